"""Make the gallery of the documentation: a page with pictures for every shipped scenario.

``python docs/gallery.py`` runs every scenario and writes ``docs/gallery/NAME.md``, its pictures
and the index; names after it make only those, ``--missing`` those that have no page yet. Long
scenarios are shortened as ``SHORTER`` says, and their pages tell. Pictures of worlds that draw
themselves need the extra ``viz``.
"""

import argparse
import html
import io
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from society.html_report.history import Excerpt, excerpt
from society.html_report.parts import Page, spoken
from society.html_report.run_page import run_page
from society.html_report.words import question_of, scenario_in_words
from society.plots import number, whole
from society.run import run_scenario
from society.scenario import load_scenario, shipped
from society.study.read import read_results

FOLDER = Path(__file__).parent / "gallery"
MOST_BYTES = 60_000
MOST_FIGURES = 4
FRAME_WIDTH = 460

# What turns minutes or hours into seconds; the page says so.
SHORTER: dict[str, list[str]] = {
    "clean_up": ["world.max_steps=300", "seeds=2"],
    "coin_game": ["steps=2000", "num_envs=16"],
    "commons_harvest": ["world.max_steps=300", "seeds=2"],
    "commons_mixed": ["steps=120", "world.max_steps=60"],
    "cultural_accumulation_in_context": ["seeds=2"],
    "cultural_accumulation_in_weights": ["generations=3", "steps=4096", "seeds=2"],
    "epidemic_city": ["groups.residents.count=4000"],
    "life_language": ["steps=60"],
    "life_planet": ["steps=200", "world.size=64"],
    "life_predators": ["steps=400"],
    "life_quick": ["steps=600"],
    "life_seasons": ["steps=400"],
    "lola_ipd": ["steps=600"],
    "memory_sequence_train": ["steps=2048", "num_envs=8"],
    "moran_fixation": ["seeds=40"],
    "navigation_local_information": ["steps=2000", "num_envs=8"],
    "opinions": ["groups.citizens.count=80", "seeds=2"],
    "story_chain": ["backend=drift"],
    "story_networks": ["backend=drift", "seeds=3"],
    "tsp_accumulation": ["generations=3", "steps=2048", "seeds=2"],
}


def main() -> None:
    """Make pages, then the index of all that there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="scenarios; all when left out")
    parser.add_argument("--missing", action="store_true", help="only those without a page")
    given = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for name in given.names or shipped():
        if given.missing and (FOLDER / f"{name}.md").is_file():
            continue
        began = time.monotonic()
        make_page(name)
        write_index()
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
    write_index()


def make_page(name: str) -> None:
    """Run one scenario and write its page and pictures."""
    sets = SHORTER.get(name, [])
    scenario = load_scenario(name, sets)
    if scenario.num_envs == 1 and hasattr(scenario.world.load(), "frame"):
        length = (scenario.steps or 0) * scenario.generations or 300
        scenario = load_scenario(name, [*sets, f"record.frames_every={max(1, length // 20)}"])
    with tempfile.TemporaryDirectory() as runs:
        run = Path(run_scenario(scenario, runs)["run_dir"])
        results = read_results([run])
        page = run_page(results)
        known = excerpt([run], results.cells[0].summaries[0])
        pictures = [*_frame(name, run), *_figures(name, page, known)][:MOST_FIGURES]
    for old in FOLDER.glob(f"{name}.*.*"):
        old.unlink()
    for path, _, content in pictures:
        if len(content) > MOST_BYTES:
            raise ValueError(
                f"{path} has {len(content):,} bytes; at most {MOST_BYTES:,} are wanted"
            )
        (FOLDER / path).write_bytes(content)
    text = "\n".join(_page(name, scenario, results.cells[0].summaries[0], pictures))
    (FOLDER / f"{name}.md").write_text(text + "\n", encoding="utf-8")


Picture = tuple[str, str, bytes]  # file name, what it shows, content


def _frame(name: str, run: Path) -> Iterator[Picture]:
    """The last picture of a world that draws itself, each cell some pixels wide."""
    frames = sorted((run / "frames" / "replicate-0").glob("*.npy"), key=lambda path: int(path.stem))
    if not frames:
        return
    from PIL import Image

    middle = frames[len(frames) // 2]
    picture = np.load(middle)
    wider = max(1, FRAME_WIDTH // picture.shape[1])
    picture = picture.repeat(wider, 0).repeat(wider, 1)
    file = io.BytesIO()
    # Median cut would drop what is rare: rings around bodies, machines.
    colours = Image.fromarray(picture).quantize(256, Image.Quantize.MAXCOVERAGE)
    colours.save(file, "PNG", optimize=True)
    yield f"{name}.world.png", f"The world at step {int(middle.stem):,}", file.getvalue()


def _figures(name: str, page: Page, known: Excerpt) -> Iterator[Picture]:
    """Figures of the run's report, what was said before who is tied to whom."""
    flat = {_file(n) for n, course in known.courses.items() if len(set(course.mean)) == 1}
    late = ("social_graph", "ties", "who_descends", *flat)
    figures = {n: svg for n, svg in page.figures.items() if not n.startswith(late)}
    for figure, svg in figures.items():
        yield _figure(name, figure, svg)
    if spoken_lines := list(_lines(known)):
        yield f"{name}.words.svg", "What was said", words(spoken_lines).encode()
    for figure, svg in page.figures.items():
        if figure not in figures:
            yield _figure(name, figure, svg)


def _file(measure: str) -> str:
    """The name under which a report keeps the figure of a measure."""
    return "_".join("".join(c if c.isalnum() else " " for c in measure.lower()).split())


def _figure(name: str, figure: str, svg: str) -> Picture:
    caption = figure.replace("_", " ").strip().capitalize()
    return f"{name}.{figure}.svg", caption, whole(svg).encode()


def _lines(known: Excerpt) -> Iterator[tuple[str, str]]:
    """Who said what: messages, or answers where there are none."""
    yield from ((speaker, text) for _, _, speaker, text in known.messages[:5])
    if not known.messages:
        yield from ((f"{one.who}, {one.purpose}", one.answer) for one in known.said[:5])


def words(lines: list[tuple[str, str]]) -> str:
    """Draw some of what was said as SVG."""
    parts, y = [], 22
    for speaker, text in lines:
        parts.append(f'<text class="strong" x="8" y="{y}">{escape(_clean(speaker)[:60])}</text>')
        for line in textwrap.wrap(_clean(text)[:220], 62)[:3]:
            y += 17
            parts.append(f'<text x="8" y="{y}">{escape(line)}</text>')
        y += 27
    svg = (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 460 {y - 8}" '
        f'width="460" height="{y - 8}" role="img"><title>What was said</title>'
        f"{''.join(parts)}</svg>"
    )
    return whole(svg)


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _page(
    name: str, scenario: Any, summary: Mapping[str, Any], pictures: list[Picture]
) -> Iterator[str]:
    """Lines of a scenario's page."""
    title, rest = question_of(scenario.about, name)
    yield f"# {_text(title)}\n"
    if rest:
        yield f"{_text(rest)}\n"
    yield f"```sh\nsociety run {name}\n```\n"
    yield '<div class="gallery-figures" markdown>\n'
    for path, caption, _ in pictures:
        yield f"<figure markdown>\n![{_text(caption)}]({path})\n"
        yield f"<figcaption>{_text(caption)}</figcaption>\n</figure>\n"
    yield "</div>\n"
    if name in SHORTER:
        shown = " ".join(f"--set {change}" for change in SHORTER[name])
        yield f"The pictures show a shorter run: `society run {name} {shown}`.\n"
    yield from _measures(summary)
    yield "## The society\n"
    for sentence in scenario_in_words(scenario):
        yield f"- {_text(sentence)}"
    # The documentation's build puts the file itself there, so that it is never an old one.
    yield "\n## The file\n"
    yield f'```{{.yaml title="{name}.yaml"}}\n--8<-- "scenarios/{name}.yaml"\n```'


def _measures(summary: Mapping[str, Any]) -> Iterator[str]:
    """The measures of the run as a table."""
    rows = [
        (key, value)
        for key, value in summary["measures"].items()
        if isinstance(value, Mapping) and value.get("mean") is not None
    ]
    if not rows:
        return
    yield "## What came out\n\n| measure | mean | 95 % interval | runs |\n|---|--:|--:|--:|"
    for key, value in rows[:12]:
        ends = value.get("ci95")
        shown = f"{number(ends[0])} to {number(ends[1])}" if ends else ""
        yield f"| {_text(spoken(key))} | {number(value['mean'])} | {shown} | {value['n']} |"
    yield ""


def _text(text: str) -> str:
    """Text in which nothing is markup."""
    flat = html.escape(" ".join(_clean(str(text)).split()), quote=False)
    for mark in "\\`*_{}[]|":
        flat = flat.replace(mark, f"\\{mark}")
    return flat


def write_index() -> None:
    """A card for every scenario that has a page."""
    made = [name for name in shipped() if (FOLDER / f"{name}.md").is_file()]
    lines = [
        "# Gallery",
        "",
        f"{len(made)} of {len(shipped())} shipped scenarios, with pictures from a run of each. "
        "`make gallery` makes all pages anew, `python docs/gallery.py --missing` the others.",
        "",
        '<div class="grid cards gallery" markdown>',
        "",
    ]
    for name in made:
        title, _ = question_of(load_scenario(name).about, name)
        lines.append(f"-   [**{_text(spoken(name).capitalize())}**]({name}.md)")
        first = sorted(FOLDER.glob(f"{name}.*.png")) + _in_order(name)
        if first:
            lines += ["", f"    [![{_text(title)}]({first[0].name})]({name}.md)"]
        lines += ["", f"    {_text(title)}", ""]
    (FOLDER / "index.md").write_text("\n".join([*lines, "</div>"]) + "\n", encoding="utf-8")


def _in_order(name: str) -> list[Path]:
    """Pictures of a page in the order in which it shows them."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return sorted(FOLDER.glob(f"{name}.*.svg"), key=lambda path: text.find(f"({path.name})"))


if __name__ == "__main__":
    main()
