"""What a report shows of texts: figures, and the tables behind them."""

import csv
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from society.html_report.write import write_report
from society.plots_texts import Points, heatmap, scatter
from society.run import run_scenario
from society.scenario import load_scenario


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A short story told along a graph in three runs, and its report."""
    folder = tmp_path_factory.mktemp("told")
    sets = ["steps=4", "seeds=3", "backend=drift", "measures=[text_similarity]"]
    summary = run_scenario(load_scenario("story_networks", sets), folder)
    return summary, write_report(summary["run_dir"])


def rows_of(report, name):
    path = next(Path(one) for one in report["tables"] if Path(one).stem == name)
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_report_of_texts_has_its_figures_and_tables(told):
    _, report = told
    names = " ".join(Path(one).stem for one in report["figures"])
    for wanted in ("likeness_of_texts", "likeness_of_rounds", "length", "tree_of_the_last_texts",
                   "last_against_first"):  # fmt: skip
        assert wanted in names, names
    for figure in report["figures"]:
        ET.fromstring(Path(figure).read_text(encoding="utf-8"))
    tables = {Path(one).stem for one in report["tables"]}
    assert tables >= {"text_rounds", "text_similarity_matrix", "text_attractors", "text_tree"}


def test_the_tables_agree_with_the_measures(told):
    summary, report = told
    rounds = rows_of(report, "text_rounds")
    assert len(rounds) == 3 * 4
    last = [float(row["similarity_to_first"]) for row in rounds if row["round"] == "3"]
    assert last == pytest.approx(summary["measures"]["similarity_to_first"]["values"])
    matrix = rows_of(report, "text_similarity_matrix")
    assert len(matrix) == 16
    corner = next(row for row in matrix if (row["round"], row["other_round"]) == ("0", "3"))
    assert float(corner["similarity"]) == pytest.approx(sum(last) / 3)
    (tree,) = rows_of(report, "text_tree")
    assert tree["newick"].endswith(";") and tree["newick"].count("slot_") == 20


def test_a_heatmap_leaves_out_what_is_undefined():
    svg = heatmap([[float("nan"), 0.5], [0.2, 1.0]], title="t", labels=["0", "1"])
    assert svg.count("<title>") == 1 + 3 and "1, 1: 1" in svg


def test_lines_of_a_scatter_stay_within_its_frame():
    points = [Points([0.0, 10.0], [4.0, 6.0])]
    svg = scatter(
        points, title="t", x_label="x", lines=[("steep", -100.0, 30.0), ("no", 99.0, 0.0)]
    )
    assert "steep" in svg and ">no<" not in svg
