"""The board of a forum channel: posts, reactions, and which posts a reader sees.

A board is a plain value, ``{"posts": [...], "next": number of the next post}``.
"""

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from society.channels import Forum
from society.plan import Place
from worlds.types import Message

__all__ = ["hot_score", "read_board", "write_board"]

_REACTION = re.compile(r"\s*(like|unlike|repost)\s+#?(\d{1,9})\s*\.?\s*\Z", re.IGNORECASE)


def write_board(board: dict[str, Any], channel: Forum, slot: int, message: Message) -> None:
    """Put up a post, or count a reaction to one.

    Args:
      board: changed in place.
      channel: its limits.
      slot: who writes; each counts once a post.
      message: the post, or ``like #3``, ``unlike #3``, ``repost #3``.
    """
    match = _REACTION.match(message.text)
    if match:
        post = next((p for p in board["posts"] if p["number"] == int(match[2])), None)
        if post is None:
            return
        kind = match[1].lower()
        for other in ("likes", "unlikes"):
            if kind != "repost" and message.speaker in post[other]:
                post[other].remove(message.speaker)
        post[f"{kind}s"].append(message.speaker)
        post[f"{kind}s"] = sorted(set(post[f"{kind}s"]))
        if kind == "repost" and slot not in post["slots"]:
            post["slots"].append(slot)
        return
    board["posts"].append(
        {
            "number": board["next"],
            "slots": [slot],
            "likes": [],
            "unlikes": [],
            "reposts": [],
            "channel": message.channel,
            "speaker": message.speaker,
            "speaker_name": message.speaker_name,
            "text": message.text,
            "generation": message.generation,
            "episode": message.episode,
            "step": message.step,
            "turn": message.turn,
            "mode": message.mode,
        }
    )
    board["next"] += 1
    del board["posts"][: -channel.kept]


def read_board(
    board: Mapping[str, Any],
    channel: Forum,
    reader: int,
    around: Collection[int] | None,
    now: Place,
) -> list[dict[str, Any]]:
    """The best posts for a reader, best first, as fields of a Message.

    Args:
      board: to read.
      channel: says how many and in which order.
      reader: slot; does not see its own posts.
      around: slots whose posts and reposts it sees; None = all.
      now: when the reader reads.
    """
    near = None if around is None else {int(slot) for slot in around}
    seen = [
        post
        for post in board["posts"]
        if post["slots"][0] != reader and (near is None or near.intersection(post["slots"]))
    ]
    keys = {
        "hot": lambda post: (hot_score(post, now), post["number"]),
        "new": lambda post: post["number"],
        "liked": lambda post: (_net(post), post["number"]),
    }
    seen.sort(key=keys[channel.ranking], reverse=True)
    return [
        {
            **post,
            "text": f"#{post['number']} (likes {_net(post)}) {post['text']}",
        }
        for post in seen[: channel.top]
    ]


def hot_score(post: Mapping[str, Any], now: Place) -> float:
    """log10(likes + 1) / (age + 1)^1.8; without likes, minus the age in steps.

    Posts of earlier episodes and generations count as a million steps old.
    """
    same = (now.generation, now.episode) == (post["generation"], post["episode"])
    age = max(now.step - post["step"], 0) if same else 10**6
    net = _net(post)
    return math.log10(net + 1) / (age + 1) ** 1.8 if net > 0 else -float(age)


def _net(post: Mapping[str, Any]) -> int:
    return len(post["likes"]) + len(post["reposts"]) - len(post["unlikes"])
