"""Every command of the tutorial about studies runs, in the order of the page."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from society import cli

PAGE = Path(__file__).parents[1] / "docs" / "tutorial" / "study.md"
BLOCK = re.compile(
    r'^```(?:(\w+)|\{\.(\w+) title="([^"]+)"\})\n(.*?)^```', re.MULTILINE | re.DOTALL
)
# What the page shows, made small enough for a test: fewer players, shorter games.
SMALLER = (("count: 60", "count: 8"), ("rounds: 20", "rounds: 3"))


@pytest.mark.slow
def test_the_tutorial_leads_from_nothing_to_a_compared_result(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = []
    for plain, _, title, text in BLOCK.findall(PAGE.read_text()):
        if title:
            Path(title).write_text(text.replace("[5, 20]", "[2]").replace("[0, 0.02, 0.1]", "[0]"))
        elif plain == "sh":
            commands += [shlex.split(line) for line in text.splitlines()]
    for words in commands:
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as caught:
            cli.main()
        shown = capsys.readouterr()
        assert caught.value.code == 0, (words, shown.err)
        if words[1] == "new":
            starter = Path("village.yaml")
            text = starter.read_text()
            for large, small in SMALLER:
                assert large in text
                text = text.replace(large, small)
            starter.write_text(text)
    assert [words[1] for words in commands] == [
        "new", "validate", "run", "sweep", "sweep", "compare", "report", "export", "export",
        "export",
    ]  # fmt: skip
    study = Path("studies/study")
    assert (study / "report.html").stat().st_size > 10_000
    assert list((study / "report_figures").glob("*.svg"))
    assert (study / "export" / "measures.csv").is_file()


def test_every_block_of_the_page_is_of_a_known_kind():
    text = PAGE.read_text()
    assert text.count("```") == 2 * len(BLOCK.findall(text))
