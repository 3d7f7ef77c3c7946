import os
import re
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "society" / "view" / "static"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The shipped files by their path in the wheel."""
    from hatchling.build import build_wheel

    out = tmp_path_factory.mktemp("dist")
    before = Path.cwd()
    os.chdir(ROOT)  # where a build backend is called
    try:
        name = build_wheel(str(out))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(out / name) as file:
        return {path: file.read(path) for path in file.namelist()}


def test_the_wheel_holds_the_page_and_not_its_sources(wheel):
    shipped = {path for path in wheel if path.startswith("society/view/static/")}
    built = {path.relative_to(ROOT).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    assert shipped == built
    page = wheel["society/view/static/index.html"].decode()
    for asked in re.findall(r'(?:src|href)="/([^"]+)"', page):
        assert f"society/view/static/{asked}" in wheel
    assert not any(path.startswith("society/view/web/") for path in wheel)


def test_the_wheel_holds_the_licence_of_everything_in_the_page(wheel):
    texts = wheel["society/view/static/LICENSES.md"].decode()
    sections = dict(re.findall(r"^## (\S+) - [^\n]*\n(.*?)(?=^## |\Z)", texts, re.M | re.S))
    assert set(sections) >= {"sigma", "@sigma/node-border", "graphology", "uplot"}
    for name, text in sections.items():
        assert "Copyright" in text and "Permission is hereby granted" in text, name
    assert any(path.endswith(".dist-info/licenses/LICENSE") for path in wheel)


def test_the_wheel_holds_scenarios_and_their_schema(wheel):
    data = {path for path in wheel if path.startswith("scenarios/")}
    wanted = {f"scenarios/{path.name}" for path in (ROOT / "scenarios").glob("*.yaml")}
    assert wanted | {"scenarios/schema.json"} <= data
