"""Every code block of the pages on worlds and policies runs, in the order of the page.

A block with a title is written to a file of that name; blocks of Python without one are
executed in one namespace; lines of `sh` blocks that begin with `society` are run.
"""

import re
import shlex
import sys
from pathlib import Path

import pytest

from society import cli

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(
    r'^```(?:(\w+)|\{\.(\w+) title="([^"]+)"\})\n(.*?)^```', re.MULTILINE | re.DOTALL
)
PAGES = {
    "how-to/add-a-world.md": (),
    "how-to/add-a-policy.md": ("how-to/add-a-world.md",),
    "how-to/add-a-backend.md": (),
    "explanation/contract.md": (),
}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty folder to work in, importable."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None) or ""
        if path.startswith(str(tmp_path)):
            del sys.modules[name]


def blocks(page):
    """(language, title or "", text) of every code block of a page."""
    found = BLOCK.findall((DOCS / page).read_text())
    return [(plain or titled, title, text) for plain, titled, title, text in found]


@pytest.mark.parametrize("page", PAGES)
def test_every_code_block_of_a_page_runs(page, workplace, monkeypatch, capsys):
    for other in PAGES[page]:
        for _, title, text in blocks(other):
            if title:
                (workplace / title).write_text(text)
    names = {}
    ran = 0
    for language, title, text in blocks(page):
        if title:
            (workplace / title).write_text(text)
        elif language == "python":
            exec(compile(text, f"{page}", "exec"), names)
            ran += 1
        elif language == "sh":
            for line in text.splitlines():
                monkeypatch.setattr(sys, "argv", [*shlex.split(line), "--quiet"])
                with pytest.raises(SystemExit) as caught:
                    cli.main()
                assert caught.value.code == 0, capsys.readouterr().err
                ran += 1
    assert ran >= 2


def test_the_pages_hold_blocks_of_known_kinds():
    for page in PAGES:
        assert {language for language, _, _ in blocks(page)} <= {"python", "yaml", "sh"}
        assert (DOCS / page).read_text().count("```") == 2 * len(blocks(page))
