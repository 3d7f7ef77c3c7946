"""Exports: what is written can be read back by others' readers and says the same."""

import csv
import hashlib
import json
from pathlib import Path

import networkx
import pytest

from society.export import ExportError, export
from society.run import run_scenario
from society.scenario import load_scenario

SCENARIO = """\
about: Donors who give half.
world: {use: donor_game, rounds: 2}
groups:
  donors: {count: 6, policy: {use: constant_donor, fraction: 0.5}}
graph: {use: cycle, k: 2}
generations: 3
selection: {use: truncation, keep: 0.5}
seeds: 2
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    (folder / "half.yaml").write_text(SCENARIO)
    return Path(run_scenario(load_scenario(folder / "half.yaml"), folder)["run_dir"])


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_hold_one_row_a_run_and_measure(run, tmp_path):
    files = {path.stem: path for path in export(run, "csv", tmp_path)}
    summary = json.loads((run / "summary.json").read_text())
    found = {(row["measure"], int(row["seed"])): row["value"] for row in rows(files["measures"])}
    for index, seed in enumerate(summary["seeds"]):
        value = summary["measures"]["generosity"]["values"][index]
        assert float(found["generosity", seed]) == value
    metrics = rows(files["metrics"])
    assert len(metrics) == 2 * summary["steps"]
    assert float(metrics[0]["donated_fraction"]) == pytest.approx(0.5)


def test_parquet_says_the_same_as_csv(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    plain = {path.stem: rows(path) for path in export(run, "csv", tmp_path)}
    for path in export(run, "parquet", tmp_path):
        table = parquet.read_table(path).to_pylist()
        assert len(table) == len(plain[path.stem])
        assert list(table[0]) == list(plain[path.stem][0])


def test_an_odd_draft_has_the_seven_elements_and_leaves_gaps_to_the_author(run, tmp_path):
    (path,) = export(run, "odd", tmp_path)
    text = path.read_text()
    for number, title in enumerate(
        ("Purpose", "Entities", "Process", "Design", "Initialization", "Input", "Submodels"), 1
    ):
        assert f"## {number}. {title}" in text
    assert "To be written by the author" in text
    assert "constant_donor" in text and "Donors who give half." in text


def test_a_crate_describes_every_file_with_its_hash(run):
    (path,) = export(run, "ro-crate")
    crate = json.loads(path.read_text())
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert path.parent == run
    parts = [part["@id"] for part in entities["./"]["hasPart"]]
    assert {"manifest.json", "scenario.yaml", "journal.sqlite", "summary.json"} <= set(parts)
    for part in parts:
        digest = hashlib.sha256((run / part).read_bytes()).hexdigest()
        assert entities[part]["sha256"] == digest


def test_a_crate_lies_in_the_folder_that_it_describes(run, tmp_path):
    with pytest.raises(ExportError, match="leave --out away"):
        export(run, "ro-crate", tmp_path / "elsewhere")


def test_graphs_can_be_read_back(run, tmp_path):
    files = export(run, "graphml", tmp_path)
    assert len(files) == 2
    net = networkx.read_graphml(files[0])
    assert sorted(dict(net.degree()).values()) == [2] * 6
    assert {data["group"] for _, data in net.nodes(data=True)} == {"donors"}


def test_descent_is_written_as_trees(run, tmp_path):
    """By hand: in each of two turnovers three of six survive and three are born."""
    text = "".join(path.read_text() for path in export(run, "newick", tmp_path)[:1])
    trees = text.split()
    assert all(tree.endswith(";") and tree.count("(") == tree.count(")") for tree in trees)
    names = [
        part.partition(":")[0]
        for part in text.replace("(", " ").replace(")", " ").replace(",", " ").split()
        if part.startswith("a")
    ]
    assert len(names) == len(set(names))
    assert len(names) - len(trees) == 6  # everybody but the founders was born once


def test_formats_and_missing_parts_are_explained(run, tmp_path):
    with pytest.raises(ExportError, match="did you mean 'parquet'"):
        export(run, "parket")
    (tmp_path / "all.yaml").write_text(SCENARIO.replace("graph: {use: cycle, k: 2}\n", ""))
    everybody = run_scenario(
        load_scenario(tmp_path / "all.yaml", ["generations=1", "selection=null"]), tmp_path
    )["run_dir"]
    with pytest.raises(ExportError, match="everybody is tied to everybody"):
        export(everybody, "graphml")
    with pytest.raises(ExportError, match="no births"):
        export(everybody, "newick")
