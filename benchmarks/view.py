"""How fast the viewer is in a real headless Chromium: seconds to load, frames a second in play.

120 language agents (`opinions`, backend mock) talk along a graph with hubs. *Load* is the time
from the start of the navigation until the population, the charts and the log are drawn and two
more frames have been shown; first while the run is still being retraced (what somebody sees who
just typed `society view`), then with the retrace at hand. *Frames* are counted while the run
plays: at 4 moments a second, at 16, the fastest at which messages travel, and at 128, the
fastest there is. Chromium is started as Playwright starts it; without a GPU it draws pages and
WebGL in software. Needs playwright and a Chromium (`make test-view` installs them).
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from clock import machine
from playwright.sync_api import sync_playwright

from society.recorder import RunFolder
from society.view.app import App

ROUNDS = 5
SECONDS = 4
SPEEDS = (4, 16, 128)
AGENTS = 120
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
SETS = (
    f"groups.citizens.count={AGENTS - 10}", "groups.citizens.policy.every=1", "steps=30",
    "surveys.panel=null", "interventions.rumour=null", "backend=mock",
)  # fmt: skip
LOADED = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const drawn = () => performance.getEntriesByName("shown").length
    && document.querySelector(".charts canvas, .charts .empty")
    && document.querySelector(".rows .row");
  while (!drawn()) await frame();
  await frame();
  await frame();
  return performance.now() / 1000;
}"""
COUNT = """async (seconds) => {
  const gaps = [];
  let last = performance.now();
  const end = last + 1000 * seconds;
  await new Promise((done) => {
    const tick = (now) => {
      gaps.push(now - last);
      last = now;
      const play = document.querySelector(".transport .play");
      if (play.title.startsWith("Play")) play.click(); // begins again at the end
      if (now < end) requestAnimationFrame(tick);
      else done();
    };
    requestAnimationFrame(tick);
  });
  gaps.shift();
  const total = gaps.reduce((a, b) => a + b, 0);
  gaps.sort((a, b) => a - b);
  return { mean: (1000 * gaps.length) / total, slow: 1000 / gaps[Math.floor(gaps.length * 0.95)] };
}"""
RENDERER = """() => {
  const gl = document.createElement("canvas").getContext("webgl2");
  const named = gl && gl.getExtension("WEBGL_debug_renderer_info");
  const by = document.querySelector(".network .sketch") ? "a plain canvas" : "WebGL";
  const found = named ? gl.getParameter(named.UNMASKED_RENDERER_WEBGL) : "no WebGL";
  return `network drawn by ${by}; graphics: ${found}`;
}"""


def run(out):
    """The folder of a run of 120 language agents who talk."""
    command = [sys.executable, "-m", "society.cli", "run", "opinions", "--out", out, "--quiet"]
    for change in SETS:
        command += ["--set", change]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return RunFolder.open(next(Path(out).glob("opinions-*")))


def loaded(browser, url):
    """A page that shows the run, and the seconds from navigation until it did."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(url, wait_until="commit")
    return page, page.evaluate(LOADED)


def load_times(browser, url, what):
    """Print how long pages take to load."""
    times = []
    for _ in range(ROUNDS):
        page, seconds = loaded(browser, url)
        times.append(seconds)
        page.close()
    print(f"load, {what}: median {statistics.median(times):.2f} s of {ROUNDS}, "
          f"worst {max(times):.2f} s")  # fmt: skip


def play_rates(browser, url):
    """Print how many frames a second a playing page shows."""
    page, _ = loaded(browser, url)
    page.keyboard.press("g")
    print(page.evaluate(RENDERER))
    for speed in SPEEDS:
        while int(page.inner_text(".speed").rstrip("×")) < speed:
            page.keyboard.press("+")
        found = page.evaluate(COUNT, SECONDS)
        print(
            f"play, {AGENTS} agents, {speed} moments a second: {found['mean']:.0f} frames a "
            f"second, 95 % of frames at {found['slow']:.0f} or more"
        )


def main():
    kept = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder.open(kept) if kept else run(scratch)
        with App(folder) as app, sync_playwright() as playwright:
            threading.Thread(target=app.viewer.serve_forever, daemon=True).start()
            browser = playwright.chromium.launch(executable_path=CHROMIUM)
            print(machine("playwright"), f"Chromium {browser.version}")
            loaded(browser, app.viewer.url)[0].close()  # the browser itself starts once
            load_times(browser, app.viewer.url, "run being retraced")
            while app.films.status()["status"] in ("starting", "running"):
                time.sleep(0.25)
            load_times(browser, app.viewer.url, "retrace at hand")
            play_rates(browser, app.viewer.url)
            browser.close()
            app.viewer.stop()


if __name__ == "__main__":
    main()
