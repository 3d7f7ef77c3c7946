"""What README and docs show works: scenarios validate, programs run."""

import re
import runpy
from pathlib import Path

import pytest

from society.scenario import load_scenario

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    """(page and number, text) of every fenced block in a language."""
    found = []
    for page in PAGES:
        texts = re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)
        name = page.relative_to(ROOT).as_posix()
        found += [(f"{name} {number}", text) for number, text in enumerate(texts, 1)]
    return found


WHOLE = [block for block in blocks("yaml") if re.search(r"^world:", block[1], re.MULTILINE)]


@pytest.mark.parametrize(("where", "text"), WHOLE, ids=[where for where, _ in WHOLE])
def test_a_scenario_in_the_docs_validates(where: str, text: str, tmp_path: Path) -> None:
    if "groups:" not in text:
        pytest.skip(f"{where} shows a part of a scenario")
    path = tmp_path / "shown.yaml"
    path.write_text(text)
    load_scenario(path, allow_code=False)


def test_the_tutorials_programs_run(tmp_path: Path) -> None:
    programs = [text for where, text in blocks("python") if where.startswith("docs/tutorial")]
    assert programs
    for number, text in enumerate(programs):
        path = tmp_path / f"shown_{number}.py"
        path.write_text(text)
        runpy.run_path(str(path))


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
        broken += [
            f"{page.relative_to(ROOT)} -> {target}"
            for target in targets
            if not (page.parent / target).exists()
        ]
    assert not broken
