"""The viewer in a real headless Chromium; ``make test-view`` installs what this needs."""

import importlib.util
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
READY = importlib.util.find_spec("playwright") is not None and CHROMIUM is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(
        not READY and "SOCIETY_TEST_VIEW" not in os.environ,
        reason="needs playwright and a Chromium: make test-view",
    ),
]
PATIENCE_MS = 240_000  # other work may hold the machine
ELEMENTS = "document.querySelectorAll('script, iframe, base, form[action], img, link').length"
ARGUMENTS = ["--host-resolver-rules=MAP rebound.example 127.0.0.1"]


def sibling(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


served = sibling("test_view")


@contextmanager
def browser(*arguments):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments]
        )
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def opened(app, *arguments):
    """(page, addresses asked for, what went wrong) of the viewer in a fresh browser."""
    with browser(*arguments) as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE_MS)
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.goto(app.viewer.url)
        page.wait_for_selector(".top h1")
        page.wait_for_selector(".rows .row")
        yield page, asked, wrong


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    with served.shown(served.make_run(tmp_path_factory.mktemp("runs"), steps=4)) as running:
        yield running


def becomes(page, selector, text):
    """Wait until an element shows a text."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(text, timeout=PATIENCE_MS)


def walk(page):
    """Touch everything: panels, agents, prompts, search, play, keys."""
    for key in ("1", "2", "3", "2", "ArrowRight", "ArrowRight", "Home", "End", "t", "w", "g", "0"):
        page.keyboard.press(key)
    page.click(".rows .row:last-child")
    page.keyboard.press("1")
    page.wait_for_selector(".inspector .person")
    for summary in page.query_selector_all(".inspector details.answer summary"):
        summary.click()
    page.wait_for_selector(".call .turn.answer")
    page.keyboard.press("/")
    page.keyboard.type("<script>")
    becomes(page, ".log .note", re.compile("found"))
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.click(".help .primary")
    page.keyboard.press("Space")
    page.wait_for_timeout(600)


def test_hostile_texts_do_nothing_and_nothing_is_loaded_from_elsewhere(app):
    with opened(app) as (page, asked, wrong):
        shown = page.inner_text(".rows")
        assert all(text in shown for text in served.XSS[:3])
        walk(page)
        assert page.evaluate("window.hit") is None
        own = page.evaluate(ELEMENTS)
        page.reload()
        page.wait_for_selector(".rows .row")
        assert page.evaluate("window.hit") is None
        fresh = page.evaluate(ELEMENTS)
        assert own == fresh  # what was said has made no element
        assert wrong == []
        assert {urlsplit(url).netloc for url in asked} == {f"127.0.0.1:{app.viewer.port}"}


def test_markup_cannot_be_parsed_even_by_mistake(app):
    with opened(app) as (page, _, _):
        failed = page.evaluate(
            "() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } "
            "catch (error) { return error.name; } }"
        )
        assert failed == "TypeError"


def test_the_token_leaves_the_address_and_is_needed_for_questions(app):
    with opened(app) as (page, asked, _):
        assert app.viewer.token not in page.url
        assert not any(app.viewer.token in url for url in asked)
        refused = page.evaluate(
            "fetch('/api/interview', {method: 'POST', headers: {'Content-Type': "
            "'application/json'}, body: '{}'}).then((response) => response.status)"
        )
        assert refused == 403


def test_a_page_elsewhere_reads_and_changes_nothing(app, tmp_path):
    with served.shown(served.make_run(tmp_path)) as other, browser() as chromium:
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{other.viewer.port}/icon.svg")
        read = page.evaluate(
            "(url) => fetch(url).then(() => 'read', () => 'refused')",
            f"http://127.0.0.1:{app.viewer.port}/api/run",
        )
        assert read == "refused"
        # A name that an attacker's DNS now points at this machine.
        answer = page.goto(f"http://rebound.example:{app.viewer.port}/api/run")
        assert answer is not None and answer.status == 421


def test_moments_are_walked_by_keys_and_shown_in_log_and_slider(app):
    with opened(app) as (page, _, wrong):
        assert page.inner_text(".moment") == "step 0"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert page.inner_text(".moment") == "step 2"
        becomes(page, ".when.here", "step 2")
        page.keyboard.press("j")
        page.keyboard.type("1")
        page.keyboard.press("Enter")
        assert page.inner_text(".moment") == "step 1"
        page.keyboard.press("Home")
        for _ in range(4):
            page.keyboard.press("+")
        page.keyboard.press("Space")
        becomes(page, ".moment", "step 3")
        assert wrong == []


SKETCHED = """() => {
  const canvas = document.querySelector(".network .sketch");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, index) => index % 4 === 3 && value > 0).length;
}"""


def test_the_network_is_drawn_without_webgl(app):
    with opened(app, "--disable-3d-apis") as (page, _, wrong):
        page.keyboard.press("g")
        page.wait_for_function(f"({SKETCHED})() > 1000")
        page.wait_for_selector(".charts canvas")  # they take room from the network
        page.keyboard.press("1")
        box = page.locator(".network .sketch").bounding_box()
        assert box is not None
        # One stands below all others, inside a margin of 36 pixels and 3 % of the rest.
        below = box["height"] / 2 + (box["height"] / 2 - 36) / 1.06
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + below)
        page.wait_for_selector(".inspector .person")
        assert [text for text in wrong if "WebGL" not in text] == []


def test_a_running_run_grows_on_the_page(tmp_path):
    manifest = {"scenario": served.SCENARIO, "seeds": [0]}
    folder = served.RunFolder.create(tmp_path, "made", served.SCENARIO, manifest)
    with folder.lock(), served.Journal.open(folder.journal_path) as journal:
        journal.set_metric_names(["score", "half"])
        served.fill(journal)
        with served.shown(folder) as app, opened(app) as (page, _, wrong):
            assert page.inner_text(".status") == "running"
            served.fill(journal, step=1)
            becomes(page, ".moment", "step 1")
            served.fill(journal, step=2)
            becomes(page, ".moment", "step 2")
            folder.write_summary({"status": "ok", "seeds": [0], "wall_s": 1.0})
            becomes(page, ".status", "finished")
            assert wrong == []
