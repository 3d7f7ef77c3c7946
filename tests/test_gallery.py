"""The gallery: pages of scenarios that there are, with small pictures that can be drawn."""

import importlib.util
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from society.scenario import shipped

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
SHOWN = re.compile(r"!\[[^\n]*?\]\(([^)]+)\)")


@pytest.fixture(scope="module")
def gallery():
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_of_scenarios_that_there_are(gallery):
    pages = {path.stem for path in GALLERY.glob("*.md")} - {"index"}
    assert pages
    assert pages <= set(shipped())
    assert set(gallery.SHORTER) <= set(shipped())


def test_every_picture_that_is_shown_is_there_and_small(gallery):
    shown = set()
    for page in GALLERY.glob("*.md"):
        for name in SHOWN.findall(page.read_text(encoding="utf-8")):
            assert (GALLERY / name).is_file(), (page.name, name)
            shown.add(name)
    there = [path for path in GALLERY.iterdir() if path.suffix in (".svg", ".png")]
    assert {path.name for path in there} == shown
    assert max(path.stat().st_size for path in there) <= gallery.MOST_BYTES
    for path in there:
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag.endswith("svg")


def test_what_was_said_is_only_text(gallery):
    svg = gallery.words([("<b>Ann</b>", "<script>alert(1)</script> \x1b[31m & more " * 20)])
    root = ET.fromstring(svg)
    assert not [one for one in root.iter() if one.tag.endswith(("script", "}b"))]
    assert gallery._text("a | [b](c) `d` <e>") == r"a \| \[b\](c) \`d\` &lt;e&gt;"


@pytest.mark.slow
def test_a_page_is_made_by_the_command(gallery, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gallery, "FOLDER", tmp_path)
    monkeypatch.setitem(gallery.SHORTER, "donor_game", ["generations=2", "world.rounds=2"])
    monkeypatch.setattr(sys, "argv", ["gallery.py", "donor_game"])
    gallery.main()
    assert "donor_game:" in capsys.readouterr().out
    page = (tmp_path / "donor_game.md").read_text()
    assert SHOWN.findall(page)
    assert "--set world.rounds=2" in page and "scenarios/donor_game.yaml" in page
    assert SHOWN.findall((tmp_path / "index.md").read_text())
