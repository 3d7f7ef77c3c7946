"""Starting, watching and stopping a model server, with a stand-in that loads in no time."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request

import pytest

from llm_agents.backends import serving, vllm_guards
from llm_agents.backends.serving import ModelServer, ServerDiedError
from llm_agents.backends.transformers_torch import Transformers
from llm_agents.backends.vllm_engine import VLLM
from llm_agents.backends.vllm_guards import MissingModelError, engine_arguments, find_model, flags

STAND_IN = """
    import http.server, json, subprocess, sys
    told = dict(zip(sys.argv[1::1], sys.argv[2::1]))
    print("loading", told["--model"], flush=True)
    if "--die" in sys.argv:
        sys.exit("no such architecture")
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("worker", worker.pid, flush=True)

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"data": [{"id": told["--served-model-name"]}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    http.server.HTTPServer(("127.0.0.1", int(told["--port"])), Answers).serve_forever()
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder that looks like a model, and a stand-in for vLLM's server."""
    (tmp_path / "stand_in.py").write_text(textwrap.dedent(STAND_IN))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(vllm_guards, "on_cpu", lambda: True)
    folder = tmp_path / "a-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return str(folder)


def server(model, **changes):
    return ModelServer(model, module="stand_in", **({"wait_s": 60.0} | changes))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_server_is_there_within_the_block_and_gone_with_its_workers_after_it(model):
    with server(model) as running:
        with urllib.request.urlopen(f"{running.url}/models") as reply:
            assert json.load(reply)["data"][0]["id"] == "a-model"
        assert running.running and running.url.startswith("http://127.0.0.1:")
        worker = int(running.log.split("worker ")[1])
        assert alive(worker)
    assert not running.running
    for _ in range(100):
        if not alive(worker):
            break
        time.sleep(0.05)
    assert not alive(worker)
    running.stop()  # twice does no harm


def test_a_server_that_dies_at_its_start_says_its_last_words(model):
    with pytest.raises(ServerDiedError, match="no such architecture"):
        server(model, extra=["--die"]).__enter__()


def test_a_server_that_is_never_ready_is_stopped(model, monkeypatch):
    monkeypatch.setattr(serving, "_answers", lambda url: False)
    slow = server(model, wait_s=0.5)
    with pytest.raises(ServerDiedError, match=r"not ready after 0\.5 s"):
        slow.__enter__()
    assert not slow.running


def test_a_killed_server_starts_again_at_the_same_place(model):
    running = server(model)
    with running:
        first = running.url
        running.kill()
        assert not running.running
        running.start()
        running.wait()
        assert running.url == first and running.running


def test_it_listens_on_this_machine_alone_and_keeps_the_guards(model):
    command = server(model, port=8911, max_model_len=1024).command()
    told = " ".join(command[1:])
    assert command[1:3] == ["-m", "stand_in"] and ModelServer("x").module.startswith("vllm.")
    for part in (
        "--host 127.0.0.1 --port 8911",
        "--no-enable-chunked-prefill --max-num-batched-tokens 65536",
        '"disable_any_whitespace": true',
        "--dtype float32",
        "--max-model-len 1024",
    ):
        assert part in told
    assert vllm_guards.environment()["VLLM_HOST_IP"] == "127.0.0.1"
    assert vllm_guards.environment()["DO_NOT_TRACK"] == "1"


def test_a_gpu_keeps_the_engine_settings_that_are_made_for_it(monkeypatch):
    monkeypatch.setattr(vllm_guards, "on_cpu", lambda: False)
    told = flags(engine_arguments())
    assert "--enforce-eager" not in told and "--no-enable-chunked-prefill" not in told
    assert '"disable_any_whitespace": true' in " ".join(told)


def test_signals_are_passed_on(model):
    code = (
        "from llm_agents.backends import vllm_guards; vllm_guards.on_cpu = lambda: True\n"
        "from llm_agents.backends.serving import ModelServer\n"
        f"with ModelServer({model!r}, module='stand_in') as server:\n"
        "    print(server.log.split('worker ')[1], flush=True)\n"
        "    print(server.forward(), flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert child.stdout is not None
    worker = int(child.stdout.readline())
    assert alive(worker)
    time.sleep(0.5)  # it must be waiting in forward
    child.send_signal(signal.SIGTERM)
    assert child.stdout.readline() == "0\n"
    assert child.wait(30) == 0
    child.stdout.close()
    assert not alive(worker)


def test_a_model_is_a_folder_with_a_config_or_a_name(model, tmp_path):
    assert find_model(model) == model and find_model("org/name") == "org/name"
    for wrong, problem in (
        (str(tmp_path), "config.json"),
        ("/nowhere/at/all", "no folder"),
        ("./x", "no folder"),
    ):
        with pytest.raises(MissingModelError, match=problem):
            find_model(wrong)


@pytest.mark.parametrize(("backend", "extra"), [(Transformers(), "hf"), (VLLM(), "vllm-cpu")])
def test_what_is_not_installed_is_named_with_its_extra(backend, extra, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingModelError, match=extra):
        backend.check_params()
