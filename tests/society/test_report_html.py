"""Reports: self-contained, without scripts, and what models say is only ever text."""

import base64
import hashlib
import json
import re
import shutil
import sqlite3
import xml.etree.ElementTree as ET
from html import escape as html_escape
from pathlib import Path

import numpy as np
import pytest

from society import plots
from society.html_report.history import _shares
from society.html_report.ties import ties_of
from society.html_report.write import PictureError, write_report
from society.journal import Journal
from society.journal_rows import TABLES, seal
from society.run import run_scenario
from society.scenario import load_scenario
from society.study.plan import StudyFolder, plan

SCENARIO = """\
about: |
  Do donors give? <b>Bold</b> & "quoted"
  A second line.
world: {use: donor_game, rounds: 2}
groups:
  donors: {count: 4, policy: {use: chat, strategy: one_sentence, memory: none}}
graph: {use: cycle, k: 2}
channels:
  talk: {use: text, to: everyone, when: before_action}
backend: mock
generations: 2
selection: {use: truncation, keep: 0.5}
transmission: {use: advice}
seeds: 2
sweep:
  factors: {world.multiplier: [2.0, 3.0]}
"""
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</div></details><iframe src=javascript:alert(1)>",
    "![x](javascript:alert(1)) [click](https://evil.example) `code` | cell",
    "\x1b[31mred\x00 \u202etxt",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small finished run with language, whose first answers and messages are attacks."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "small.yaml").write_text(SCENARIO)
    path = Path(run_scenario(load_scenario(folder / "small.yaml"), folder)["run_dir"])
    database = sqlite3.connect(path / "journal.sqlite")
    for table, column in (("messages", "text"), ("calls", "response")):
        spec = TABLES[table]
        rows = database.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid").fetchall()
        for number, row in enumerate(rows):
            place = spec.columns.index(column) + 1
            said = NASTY[number % len(NASTY)]
            value = said if table == "messages" else json.dumps({"text": said})
            changed = [*row[1:place], value, *row[place + 1 : -1]]
            database.execute(
                f"UPDATE {table} SET {column} = ?, seal = ? WHERE rowid = ?",
                (value, seal(tuple(changed)), row[0]),
            )
    database.commit()
    database.close()
    return path


@pytest.fixture(scope="module")
def page(run):
    found = write_report(run)
    return Path(found["html"]).read_text(), Path(found["markdown"]).read_text(), found


def test_a_page_is_one_file_without_scripts_or_anything_from_elsewhere(page):
    html, _, _ = page
    assert not re.search(r"<(script|iframe|img|link|object|embed|form|base)\b", html)
    assert not re.search(r"\s(on\w+|style)=", re.sub(r">[^<]*<", "><", html))
    addresses = set(re.findall(r'(?:src|href)="([^"]*)"', html))
    assert not addresses
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'") and f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy and "script-src" not in policy


def test_what_models_say_is_only_text(page):
    html, markdown, _ = page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "onerror=alert(1)&gt;" in html
    assert not {"\x00", "\x1b", "\u202e"} & {*html, *markdown}
    outside_quotes = "\n".join(
        line for line in markdown.splitlines() if not line.startswith(">     ")
    )
    assert "<script" not in outside_quotes
    assert not re.findall(r"(?<!\\)\]\((?!report_figures/)", outside_quotes)


def test_a_page_shows_what_models_were_asked(run, page):
    with Journal.open(run / "journal.sqlite", readonly=True) as journal:
        (text,) = journal._read("SELECT request FROM questions WHERE purpose = 'act' LIMIT 1")[0]
    for role, said in json.loads(text)[1]:
        assert role in ("system", "user") and html_escape(said[:60]) in page[0]


def test_a_page_has_what_a_reader_wants_to_know(page):
    html, markdown, found = page
    for title in (
        "The society", "Over time", "Measures", "Who is tied to whom", "Descent",
        "Conversations", "Language: faults and costs", "Validation", "Made by",
    ):  # fmt: skip
        assert f"<h2>{title}</h2>" in html and f"## {title}" in markdown
    assert "Do donors give? &lt;b&gt;Bold&lt;/b&gt; &amp; &quot;quoted&quot;" in html
    assert "4 donors decide by chat" in html
    assert len(found["figures"]) >= 4


def test_figures_are_well_formed_files_that_the_markdown_shows(page, run):
    _, markdown, found = page
    shown = re.findall(r"\]\((report_figures/[^)]+)\)", markdown)
    assert [run / path for path in shown] == [Path(path) for path in found["figures"]]
    for path in found["figures"]:
        root = ET.parse(path).getroot()
        assert root.tag.endswith("svg") and root.get("aria-label")


def test_png_figures_need_an_extra_and_say_so(run, tmp_path):
    try:
        import resvg_py  # noqa: F401
    except ImportError:
        with pytest.raises(PictureError, match="pip install"):
            write_report(run, tmp_path, png=True)
        return
    found = write_report(run, tmp_path, png=True)
    pictures = [path for path in found["figures"] if path.endswith(".png")]
    assert pictures and all(Path(p).read_bytes()[:4] == b"\x89PNG" for p in pictures)


def test_a_study_has_one_page_with_intervals_and_contrasts(run, tmp_path):
    """Made from the one run, copied into both cells of a study."""
    (tmp_path / "small.yaml").write_text(SCENARIO)
    scenario = load_scenario(tmp_path / "small.yaml")
    folder = StudyFolder.create(tmp_path, "study")
    planned = plan(scenario)
    folder.write_manifest(scenario, planned)
    for one in planned:
        shutil.copytree(run, folder.runs / f"cell-{one.hash[:12]}-s0to1")
    found = write_report(folder.path)
    html = Path(found["html"]).read_text()
    assert "2 cells" in html and "4 of 4 runs" in html
    assert "fewer than 5 runs" in html
    assert "p (Holm)" in html
    assert "<script" not in html


def test_what_never_changes_is_drawn_above_zero():
    for value, ticks in ((20.0, {"0", "20"}), (0.0, {"0", "1"})):
        svg = plots.courses(
            [plots.Course("told", [0.0, 1.0], [value, value])], title="told", x_label="step"
        )
        assert ticks <= set(re.findall(r'text-anchor="end">([^<]+)<', svg))
        assert "-" not in "".join(re.findall(r'text-anchor="end">([^<]+)<', svg))


def test_courses_stay_inside_their_picture():
    line = plots.Course("x", range(50), [0.5] * 50, [0.4] * 50, [0.6] * 50)
    svg = plots.courses([line, line], title="two", theory=[("zero", 0.0)])
    for path in re.findall(r' d="([^"]*)"', svg):
        numbers = [float(n) for n in re.findall(r"-?\d+\.\d+|-?\d+", path)]
        assert all(-1 <= n <= 470 for n in numbers)
    ET.fromstring(svg)


@pytest.mark.parametrize("values", [[0.0, 0.0], [1e-9, 2e-9], [-3.0, 7e6], [5.0]])
def test_any_range_of_numbers_can_be_drawn(values):
    svg = plots.courses([plots.Course("x", list(range(len(values))), values)], title="x")
    svg += plots.rows([plots.Row("a", value, (value, value)) for value in values], title="x")
    assert "nan" not in svg and "inf" not in svg


def test_descent_marks_the_ancestors_of_the_last_generation():
    born = [(0, 0, -1), (0, 1, -1), (1, 0, 0), (1, 1, 0), (2, 0, 1), (2, 1, 1)]
    svg = plots.descent(born, title="x")
    pale, strong = re.findall(r'class="(?:tie|s0)"[^>]* d="([^"]*)"', svg)
    assert pale.count("M") == 1  # slot 0 of generation 1 left nobody behind
    assert strong.count("M") == 3


@pytest.mark.parametrize(
    ("graph", "people"),
    [("{use: cycle, k: 2}", 12), ("{use: grid_2d}", 100), ("{use: barabasi_albert, m: 2}", 900)],
)
def test_every_graph_has_a_picture_of_at_most_300_people(tmp_path, graph, people):
    path = tmp_path / "tied.yaml"
    path.write_text(SCENARIO)
    sets = [f"graph={graph}", f"groups.donors.count={people}"]
    found = ties_of(load_scenario(path, sets))
    assert len(found.degrees) == people
    assert len(found.places) == len(found.groups) == min(people, 300)
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in found.places)
    assert len(set(found.places)) == len(found.places)
    tied = {slot for pair in found.ties for slot in pair}
    assert tied == set(range(len(found.places)))  # near the best connected, nobody is alone


def test_shares_are_shown_where_they_were_counted():
    nothing = np.full((3, 2), np.nan)
    counted = np.array([[np.nan, np.nan], [3.0, 1.0], [2.0, 2.0]])
    x = np.arange(3)
    assert _shares([(x, counted), (x, counted)]) == ([1, 2], [[0.75, 0.25], [0.5, 0.5]])
    assert _shares([(x, nothing)]) == ([], [])
