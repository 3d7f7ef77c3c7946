import hashlib
import http.client
import io
import json
import socket
import threading
from contextlib import contextmanager
from urllib.parse import urlencode

import numpy as np
import pytest

from llm_agents.backends.base import ChatMessage, Request, signed
from society.journal import CallKey, Journal, StoredCall, StoredEvent, StoredMessage
from society.recorder import NotARunError, RunFolder
from society.view.app import App, find_run
from society.view.png import png
from society.view.server import BadRequest

# Texts that run as code, or break out, where a page puts them into markup, attributes or URLs.
XSS = (
    "<script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    "<svg/onload=window.hit=1>",
    '"><script>window.hit=1</script>',
    "' onmouseover='window.hit=1",
    "javascript:window.hit=1",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<a href=javascript:window.hit=1>x</a>",
    "</textarea></title></style><script>window.hit=1</script>",
    "<math><mtext><mglyph><style><!--</style><img title='--><img src=x onerror=window.hit=1>",
    "{{constructor.constructor('window.hit=1')()}}",
    "${window.hit=1}",
    "<style>@import 'http://evil.example/x.css'</style>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<base href=http://evil.example/>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "\u202e<\u200bscript\u200b>window.hit=1</script>",
    "<form action=http://evil.example><button formaction=javascript:window.hit=1>go</form>",
)
SCENARIO = {
    "name": "made",
    "about": XSS[1],
    "groups": {"people": {"count": len(XSS), "policy": {"use": "chat"}}},
    "world": {"use": "matrix_game"},
    "channels": {"talk": {"use": "text"}},
    "generations": 1,
}


def fill(journal, texts=XSS, step=0):
    """One step in which every agent says, answers, is born as and does one text."""
    for uid, text in enumerate(texts):
        key = CallKey(0, 0, 0, step, 0, uid, "act")
        answer = json.dumps({"text": text})
        asked = Request((ChatMessage("system", text), ChatMessage("user", text)))
        beginning, rest, hashed = signed(asked)
        call = StoredCall(key, hashed, rest, answer, model=text, beginning=beginning)
        journal.add_calls([call])
        to = ((uid + 1) % len(texts),)
        journal.add_messages([StoredMessage(0, 0, 0, step, 0, "talk", uid, 0, to, text)])
        if step == 0:
            born = {"name": text, "slot": uid, "parents": [], "text": text}
            journal.add_events([StoredEvent(0, 0, 0, 0, 0, "birth", uid, 0, born)])
        happened = {"kind": "did", "data": {"words": text}}
        journal.add_events([StoredEvent(0, 0, 0, step, 0, "world", uid, 0, happened)])
    values = np.array([[step, step / 2]], np.float32)
    journal.add_metrics_block(0, np.array([[0, 0, step]]), values)
    journal.flush()


def make_run(out, steps=3, seeds=(0,), scenario=SCENARIO):
    manifest = {"scenario": scenario, "seeds": list(seeds)}
    folder = RunFolder.create(out, "made", scenario, manifest)
    with Journal.open(folder.journal_path) as journal:
        journal.set_metric_names(["score", "generation/half"])
        for step in range(steps):
            fill(journal, step=step)
    folder.write_summary({"status": "ok", "seeds": list(seeds), "wall_s": 1.0, "measures": {}})
    return folder


@contextmanager
def shown(folder):
    with App(folder) as app:
        thread = threading.Thread(target=app.viewer.serve_forever, daemon=True)
        thread.start()
        try:
            yield app
        finally:
            app.viewer.stop()
            thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def app(folder):
    with shown(folder) as running:
        yield running


def ask(app, path, method="GET", body=None, **headers):
    """(status, headers, body) of one request, its target sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", app.viewer.port, timeout=20)
    given = {"Host": f"127.0.0.1:{app.viewer.port}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        given = {"Content-Type": "application/json", "Content-Length": str(len(data)), **given}
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders(data)
    response = connection.getresponse()
    found = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return found


def read(app, path, **query):
    status, _, body = ask(app, f"/api/{path}?{urlencode(query)}")
    assert status == 200, body
    return json.loads(body)


# ---- who is answered ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/run", "/api/log?kind=messages", "/nothing"])
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}", ""],
)
def test_another_host_is_misdirected(app, path, host):
    status, headers, body = ask(app, path, Host=host.format(port=app.viewer.port))
    assert status == 421 and b"text" not in body
    assert headers["Content-Security-Policy"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_loopback_names_are_answered(app, host):
    assert ask(app, "/api/run", Host=f"{host}:{app.viewer.port}")[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_origin_is_refused(app, origin, method):
    token = app.viewer.token
    origin = origin.format(port=app.viewer.port)
    body = {"replicate": 0} if method == "POST" else None
    path = "/api/run" if method == "GET" else "/api/interview"
    assert ask(app, path, method, body, Origin=origin, X_Society_Token=token)[0] == 403


def test_ones_own_origin_is_answered(app):
    assert ask(app, "/api/run", Origin=f"http://127.0.0.1:{app.viewer.port}")[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_is_refused_by_what_the_browser_says(app, site):
    assert ask(app, "/api/run", Sec_Fetch_Site=site)[0] == 403


def test_the_server_is_bound_to_loopback(app):
    assert app.viewer._server.server_address[0] == "127.0.0.1"


# ---- what changes something ----------------------------------------------------------------

QUESTION = {"replicate": 0, "uid": 0, "clock": [0, 0, 0], "question": "Why?"}


@pytest.mark.parametrize("token", [None, "", "x", "é"])
@pytest.mark.parametrize("path", ["/api/interview", "/api/trace"])
def test_a_write_needs_the_token(app, token, path):
    headers = {} if token is None else {"X_Society_Token": token.encode()}
    assert ask(app, path, "POST", QUESTION, **headers)[0] == 403
    assert app.interviews._asked == []


def test_nothing_is_changed_by_reading(app):
    for path in app.viewer.writes:
        assert ask(app, f"{path}?{urlencode(QUESTION)}", X_Society_Token=app.viewer.token)[0] == 404
    assert app.interviews._asked == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(app, method):
    assert ask(app, "/api/run", method, X_Society_Token=app.viewer.token)[0] == 405


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Length": "70000"}, 413),
        ({"Content_Length": "-1"}, 411),
    ],
)
def test_forms_and_long_bodies_are_refused(app, headers, status):
    given = {"X_Society_Token": app.viewer.token, **headers}
    assert ask(app, "/api/interview", "POST", QUESTION, **given)[0] == status


@pytest.mark.parametrize(
    "change",
    [
        {"question": ""}, {"question": "x" * 2001}, {"question": 1}, {"uid": -1}, {"uid": True},
        {"clock": [0, 0]}, {"clock": ["0", 0, 0]}, {"replicate": 7}, {"replicate": "0"},
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_not_asked(app, change):
    token = app.viewer.token
    status, _, body = ask(app, "/api/interview", "POST", QUESTION | change, X_Society_Token=token)
    assert status == 400 and json.loads(body)["error"]
    assert app.interviews._asked == []


def test_a_body_that_is_no_object_is_refused(app):
    assert ask(app, "/api/interview", "POST", [1], X_Society_Token=app.viewer.token)[0] == 400


def test_every_viewer_has_its_own_token(folder):
    with App(folder) as one, App(folder) as other:
        assert one.viewer.token != other.viewer.token and len(one.viewer.token) >= 32


# ---- what is answered ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/assets/index.js", "/api/run", "/nothing", "/api/call?row=x"]
)
def test_every_answer_carries_the_policy(app, path):
    _, headers, _ = ask(app, path)
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


def test_the_page_has_no_inline_script_or_style_and_loads_nothing_from_elsewhere(app):
    page = ask(app, "/")[2].decode()
    assert "<style" not in page and "style=" not in page and " on" not in page.partition("<body")[2]
    assert page.count("<script") == page.count('<script type="module" crossorigin src="/assets/')
    assert "//" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/../source.py", "/assets/../../source.py", "/%2e%2e/source.py", "/assets/%2e%2e/x",
        "//etc/passwd", "/etc/passwd", "/assets/..\\..\\source.py", "/static/index.html",
        "/assets/index.js/", "/assets/", "/index.html%00.js", "http://evil.example/api/run/",
        "/api/../manifest.json", "/manifest.json", "/journal.sqlite", "/api/picture/../../x",
    ],
)  # fmt: skip
def test_no_path_leads_out(app, path):
    status, _, body = ask(app, path)
    assert status == 404 and set(json.loads(body)) == {"error"}


@pytest.mark.parametrize(
    "path",
    [
        "call?row=-1", "call?row=1e3", "call?row=99999", "log?kind=sqlite_master", "log?after=x",
        "moments?after=0.0", "moments?after=a.b.c", "series?replicate=5", "people?replicate=-1",
        "log?kind=messages;drop", "call?row=" + "9" * 40,
    ],
)  # fmt: skip
def test_a_query_that_makes_no_sense_says_so(app, path):
    status, _, body = ask(app, f"/api/{path}")
    assert status in (400, 404) and json.loads(body)["error"]


def test_hostile_texts_arrive_as_data(app):
    for kind in ("messages", "calls", "events"):
        status, headers, body = ask(app, f"/api/log?kind={kind}")
        assert status == 200 and headers["Content-Type"] == "application/json"
        texts = [row["text"] for row in json.loads(body)["rows"]]
        assert all(any(text in found for found in texts) for text in XSS)
    assert [person["name"] for person in read(app, "people")["people"]] == list(XSS)
    assert read(app, "run")["about"] == XSS[1]
    call = read(app, "call", row=1)
    assert call["answer"] == call["model"] == XSS[0]
    assert call["prompt"] == [["system", XSS[0]], ["user", XSS[0]]]


def test_a_search_takes_its_words_literally(app):
    assert len(read(app, "log", kind="messages", search="WINDOW.HIT=1</SCRIPT>")["rows"]) == 12
    assert read(app, "log", kind="messages", search="%")["rows"] == []
    assert read(app, "log", kind="messages", search="' OR 1=1 --")["rows"] == []


def test_rows_come_in_portions(app, monkeypatch):
    monkeypatch.setattr("society.view.people.MOST_ROWS", 7)
    after, seen = 0, []
    while True:
        found = read(app, "log", kind="messages", after=after)
        seen += [row["row"] for row in found["rows"]]
        after = found["last"]
        if not found["more"]:
            break
    assert seen == list(range(1, 3 * len(XSS) + 1))


def test_moments_and_series_share_a_clock(app):
    assert read(app, "moments")["clock"] == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    assert read(app, "moments", after="0.0.1")["clock"] == [[0, 0, 2]]
    series = read(app, "series", replicate=0)
    assert series["clock"] == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    assert series["series"]["score"] == {"mean": [0.0, 1.0, 2.0]}
    assert series["ends"] == ["generation/half"]


def test_replicates_give_an_interval(tmp_path):
    folder = make_run(tmp_path, seeds=range(5))
    with Journal.open(folder.journal_path) as journal:
        for replicate in range(1, 5):
            clock = np.array([[0, 0, step] for step in range(3)])
            values = np.full((3, 2), replicate, np.float32)
            journal.add_metrics_block(replicate, clock, values)
    with shown(folder) as app:
        band = read(app, "series", replicate="all")["series"]["score"]
        assert band["mean"][0] == 2.0
        # 0, 1, 2, 3, 4: t(4) = 2.776 times sqrt(2.5 / 5).
        assert band["high"][0] - 2 == pytest.approx(2.776 * 0.5**0.5, abs=1e-3)
        assert 2 - band["low"][0] == pytest.approx(2.776 * 0.5**0.5, abs=1e-3)


# ---- runs that go on ---------------------------------------------------------------------------


def test_a_running_run_is_followed_and_left_alone(tmp_path):
    manifest = {"scenario": SCENARIO, "seeds": [0]}
    folder = RunFolder.create(tmp_path, "made", SCENARIO, manifest)
    with shown(folder) as app, folder.lock():
        assert read(app, "state")["status"] == "running"
        assert read(app, "moments")["clock"] == []  # there is no journal yet
        with Journal.open(folder.journal_path) as journal:
            journal.set_metric_names(["score", "half"])
            for step in range(4):
                fill(journal, step=step)
                assert read(app, "moments")["clock"][-1] == [0, 0, step]
                assert read(app, "state")["rows"]["messages"] == (step + 1) * len(XSS)
                assert len(read(app, "series")["clock"]) == step + 1
        folder.write_summary({"status": "ok", "seeds": [0], "wall_s": 2.5})
        assert read(app, "state")["status"] == "ok"
    assert read_only(folder)


def test_a_run_whose_process_died_has_stopped(tmp_path):
    folder = make_run(tmp_path)
    folder.summary_path.unlink()
    gone = {"pid": 2**22 + 5, "host": socket.gethostname(), "since": ""}
    (folder.path / "lock").write_text(json.dumps(gone))
    with shown(folder) as app:
        assert read(app, "state")["status"] == "stopped"


def read_only(folder):
    """Whether looking at a run leaves every byte of it and no new file."""

    def stored():
        files = [path for path in folder.path.rglob("*") if path.is_file()]
        shared = {"journal.sqlite-shm", "journal.sqlite-wal"}
        kept = [path for path in files if path.name not in shared]
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}

    before = stored()
    with shown(folder) as app:
        for path in (
            "run",
            "state",
            "moments",
            "series",
            "log",
            "people",
            "call?row=1",
            "interviews",
        ):
            assert ask(app, f"/api/{path}")[0] == 200
    return stored() == before


def test_looking_changes_nothing(folder):
    assert read_only(folder)


# ---- small things -------------------------------------------------------------------------------


def test_runs_are_found_by_folder_name_and_scenario(tmp_path):
    first = make_run(tmp_path)
    assert find_run(str(first.path)).path == first.path
    assert find_run(first.path.name, tmp_path).path == first.path
    assert find_run("made", tmp_path).path == find_run("", tmp_path).path == first.path
    with pytest.raises(NotARunError, match="made-"):
        find_run("mode", tmp_path)


def test_a_port_that_is_taken_is_an_error(app, folder):
    with pytest.raises(OSError):
        App(folder, app.viewer.port)


def test_pictures_are_sound_png():
    from PIL import Image

    frame = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png(frame)))) == frame).all()


def test_a_picture_that_is_not_there_is_not_found(app, monkeypatch):
    class Nothing:
        def picture(self, seq):
            return None

    monkeypatch.setattr(app.films, "of", lambda replicate: Nothing())
    with pytest.raises(BadRequest, match="no picture 3"):
        app.viewer.get("/api/picture?replicate=0&seq=3")
