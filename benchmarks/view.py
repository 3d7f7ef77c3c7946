"""How fast the viewer is in a real headless Chromium: seconds to load, frames a second in play.

120 language agents (`opinions`, backend mock) talk along a graph with hubs; the page plays the
run while messages travel. Graphics are drawn in software, so a machine with a GPU is faster.
Needs playwright and a Chromium (`make test-view` installs them).
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
SECONDS = 6
AGENTS = 120
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
SETS = (
    f"groups.citizens.count={AGENTS - 10}", "groups.citizens.policy.every=1", "steps=30",
    "surveys.panel=null", "interventions.rumour=null", "backend=mock",
)  # fmt: skip
COUNT = """async (seconds) => {
  const gaps = [];
  let last = performance.now();
  const end = last + 1000 * seconds;
  await new Promise((done) => {
    const tick = (now) => {
      gaps.push(now - last);
      last = now;
      if (now < end) requestAnimationFrame(tick);
      else done();
    };
    requestAnimationFrame(tick);
  });
  gaps.shift();
  gaps.sort((a, b) => a - b);
  const total = gaps.reduce((a, b) => a + b, 0);
  const slow = gaps[Math.floor(gaps.length * 0.95)];
  return { mean: (1000 * gaps.length) / total, slow: 1000 / slow };
}"""


def run(out):
    """The folder of a run of 120 language agents who talk."""
    command = [sys.executable, "-m", "society.cli", "run", "opinions", "--out", out, "--quiet"]
    for change in SETS:
        command += ["--set", change]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return RunFolder.open(next(Path(out).glob("opinions-*")))


def loaded(browser, url):
    """Seconds from the address to a page that shows the population and its log."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    began = time.perf_counter()
    page.goto(url)
    page.wait_for_selector(".rows .row")
    return page, time.perf_counter() - began


def main():
    kept = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder.open(kept) if kept else run(scratch)
        with App(folder) as app, sync_playwright() as playwright:
            threading.Thread(target=app.viewer.serve_forever, daemon=True).start()
            app.films.of(0)
            while app.films.status()["status"] in ("starting", "running"):
                time.sleep(0.5)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            print(machine("playwright"), f"Chromium {browser.version}, graphics in software")
            times = []
            for _ in range(ROUNDS):
                page, seconds = loaded(browser, app.viewer.url)
                times.append(seconds)
                page.close()
            middle = statistics.median(times)
            print(f"load: median {middle:.2f} s of {ROUNDS}, worst {max(times):.2f} s")
            page, _ = loaded(browser, app.viewer.url)
            page.keyboard.press("g")
            page.keyboard.press("Space")
            found = page.evaluate(COUNT, SECONDS)
            print(
                f"play, {AGENTS} agents, 4 moments a second: {found['mean']:.0f} frames a second, "
                f"95 % of frames at {found['slow']:.0f} or more"
            )
            browser.close()
            app.viewer.stop()


if __name__ == "__main__":
    main()
