"""The command line for tests that kill it: checkpoints at every step, and a log of questions.

Run as ``python interruptible.py LOG ARGUMENTS...``. Each question that goes out to a backend
adds a line with the hash of its request to LOG. ``SOCIETY_TEST_OFFLINE`` blocks
sockets; ``SOCIETY_TEST_CHANGE`` runs code that says something else to the agents.
"""

import dataclasses
import os
import sys

import society.execute
from llm_agents.backends.base import request_hash
from llm_agents.backends.wrappers import Budget
from society.cli import main
from society.speakers import Speakers


def log_questions(path):
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    go_out = Budget._pass

    async def log_and_go_out(self, ask, requests):
        os.write(handle, "".join(f"{request_hash(one)}\n" for one in requests).encode())
        return await go_out(self, ask, requests)

    Budget._pass = log_and_go_out


def block_sockets():
    def refuse(event, _):
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"):
            raise RuntimeError(f"{event} during a replay")

    sys.addaudithook(refuse)


def change_what_agents_read():
    turn_of = Speakers._turn

    def changed(self, slot, moment, place, *rest):
        turn = turn_of(self, slot, moment, place, *rest)
        return dataclasses.replace(turn, text=turn.text + " Hurry.") if place.step == 2 else turn

    Speakers._turn = changed


if __name__ == "__main__":
    society.execute.CHECKPOINT_EVERY_S = 0.0
    log_questions(sys.argv[1])
    if "SOCIETY_TEST_OFFLINE" in os.environ:
        block_sockets()
    if "SOCIETY_TEST_CHANGE" in os.environ:
        change_what_agents_read()
    sys.argv = ["society", *sys.argv[2:]]
    print("ready", file=sys.stderr, flush=True)
    main()
