"""A planted key appears in no file of a run and on no screen, whoever echoes it."""

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

CANARY = "sk-canary-0f1e2d3c4b5a6978"
PASSWORD = "pw-9876zyxw-canary"


class Echo(http.server.BaseHTTPRequestHandler):
    """A server that answers a few times and then throws the caller's secrets back."""

    answers_left = 6
    seen: list[str]

    def do_GET(self):
        self.reply(200, {"data": [{"id": "echo-model"}]})

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        secrets = f"{self.headers['Authorization']} {self.path} {CANARY}"
        type(self).seen.append(secrets)
        type(self).answers_left -= 1
        if self.answers_left >= 0:
            choice = {"message": {"role": "assistant", "content": f"{secrets} Answer: 1.00"}}
            usage = {"prompt_tokens": 1, "completion_tokens": 1}
            self.reply(200, {"choices": [choice], "usage": usage, "model": "echo-model"})
        else:
            message = f"Incorrect API key provided: {CANARY}. Headers: {secrets}"
            self.reply(401, {"error": {"message": message, "request": sent}})

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", CANARY)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Echo.seen, Echo.answers_left = [], 6
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_a_key_that_a_server_echoes_is_nowhere(tmp_path, server):
    url = f"http://someone:{PASSWORD}@{server}/v1?api_key={CANARY}"
    environment = {
        **os.environ,
        "FREELY_NAMED": CANARY,
        "JAX_API_KEY": CANARY,
        "HF_TOKEN": CANARY,
        "NO_PROXY": "127.0.0.1",
    }
    arguments = (
        *("run", "donor_game", "--set", "backend.use=openai_http"),
        *("--set", f"backend.url={url}", "--set", "backend.api_key_env=FREELY_NAMED"),
        *("--set", "backend.retries=0", "--set", "generations=1", "--set", "seeds=1"),
        *("--set", "world.rounds=2", "--set", "groups.donors.count=4", "--out", str(tmp_path)),
    )
    done = subprocess.run(
        [sys.executable, "-m", "society.cli", *arguments],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert any(CANARY in text for text in Echo.seen), "the key was really sent"
    assert done.returncode == 1, done.stderr.decode()
    assert b"401" in done.stderr, "the failure is reported"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "journal.sqlite" and path.stat().st_size for path in files)
    written = {path.name: path.read_bytes() for path in files}
    for name, content in {**written, "stdout": done.stdout, "stderr": done.stderr}.items():
        for secret in (CANARY, PASSWORD):
            assert secret.encode() not in content, f"{name} holds {secret}"
    manifest = json.loads(written["manifest.json"])
    assert server in json.dumps(manifest), "where it ran is not a secret"
