"""Results in other people's formats: tables, an ODD draft, RO-Crate, GraphML, Newick.

Everything is read from the run's own folder; nothing is computed anew. CSV needs no extra,
Parquet needs ``pyarrow`` (extra ``data``).
"""

import csv
import datetime
import hashlib
import json
import mimetypes
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from society.errors import nearest
from society.journal import Journal
from society.measures.town_life import relationships
from society.recorder import NotARunError, RunFolder
from society.study.read import Results, read_results
from worlds.redact import redact

__all__ = ["FORMATS", "ExportError", "export"]


class ExportError(RuntimeError):
    """It cannot be exported so; the message says what to do."""


Table = tuple[list[str], list[list[Any]]]


def export(place: str | Path, to: str, out: str | Path | None = None) -> list[Path]:
    """Write a run or a study in another format; returns the files.

    Args:
      place: its folder. to: a name in ``FORMATS``. out: another folder than ``place/export``.

    Raises:
      NotARunError: The folder is neither. ExportError: Unknown format, or a missing package.
    """
    if to not in FORMATS:
        raise ExportError(f"no format is called {to!r}{nearest(to, FORMATS)}")
    if to == "ro-crate" and out is not None and Path(out).resolve() != Path(place).resolve():
        raise ExportError("a crate describes the folder in which it lies; leave --out away")
    results = read_results([place])
    folder = Path(out) if out is not None else Path(place) / "export"
    folder.mkdir(parents=True, exist_ok=True)
    return FORMATS[to](results, Path(place), folder)


# ---- tables ---------------------------------------------------------------------------------


def _tables(results: Results) -> Iterator[tuple[str, Table]]:
    """Name and content of every table: one row a measure and run, and the journals' rows."""
    paths = list(dict.fromkeys(path for cell in results.cells for path in cell.point))
    head = ["cell", "condition", *paths, "seed", "measure", "value"]
    yield (
        "measures",
        (
            head,
            [
                [cell.name, cell.condition, *(cell.point.get(p) for p in paths), seed, name, value]
                for cell in results.cells
                for name, values in cell.values.items()
                for seed, value in values.items()
            ],
        ),
    )
    rows: dict[str, Table] = {}
    for cell in results.cells:
        for run in cell.runs:
            for name, (columns, found) in _journal_tables(run):
                table = rows.setdefault(name, (["cell", "run", *columns], []))
                table[1].extend([cell.name, run.name, *row] for row in found)
    yield from ((name, table) for name, table in rows.items() if table[1])


def _journal_tables(run: Path) -> Iterator[tuple[str, Table]]:
    seeds = json.loads((run / "summary.json").read_text(encoding="utf-8"))["seeds"]
    with Journal.open(run / "journal.sqlite", readonly=True) as journal:
        yield "metrics", _metrics(journal, seeds)
        columns = ["seed", "generation", "episode", "step", "turn"]
        messages = [
            [seeds[m.replicate], m.generation, m.episode, m.step, m.turn, m.channel, m.speaker,
             json.dumps(list(m.recipients)), m.text]
            for index in range(len(seeds))
            for m in journal.messages(index)
        ]  # fmt: skip
        yield "messages", ([*columns, "channel", "speaker", "recipients", "text"], messages)
        events = [
            [seeds[e.replicate], e.generation, e.episode, e.step, e.turn, e.kind, e.uid,
             json.dumps(e.data, ensure_ascii=False)]
            for index in range(len(seeds))
            for e in journal.events(index)
        ]  # fmt: skip
        yield "events", ([*columns, "kind", "uid", "data"], events)
        talked = [
            [seeds[index], *pair, *counts]
            for index in range(len(seeds))
            for pair, counts in relationships(journal.events(index, "world")).items()
        ]
        yield "relationships", (["seed", "slot", "other_slot", "conversations", "lines"], talked)
        yield "calls", _calls(journal, seeds)


def _metrics(journal: Journal, seeds: Sequence[int]) -> Table:
    names = list(journal.metric_names())
    rows = []
    for index, seed in enumerate(seeds):
        table = journal.metrics(index)
        for clock, values in zip(table.clock.tolist(), table.values.tolist(), strict=True):
            rows.append([seed, *clock, *(None if v != v else v for v in values)])
    return ["seed", "generation", "episode", "step", *names], rows


def _calls(journal: Journal, seeds: Sequence[int]) -> Table:
    columns = (
        "generation episode step turn uid purpose ordinal request response status backend model "
        "prompt_tokens completion_tokens cost_usd faults latency_s cached"
    ).split()
    found = journal._read(
        f"SELECT replicate, {', '.join(columns)} FROM questions ORDER BY replicate, generation, "
        "episode, step, turn, uid, purpose, ordinal"
    )
    return ["seed", *columns], [[seeds[row[0]], *row[1:]] for row in found]


def _csv(results: Results, place: Path, folder: Path) -> list[Path]:
    written = []
    for name, (columns, rows) in _tables(results):
        path = folder / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)
        written.append(path)
    return written


def _parquet(results: Results, place: Path, folder: Path) -> list[Path]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        message = "Parquet needs pyarrow: pip install 'societylab[data]', or use --to csv"
        raise ExportError(message) from None
    written = []
    for name, (columns, rows) in _tables(results):
        table = pyarrow.table(
            {column: [row[i] for row in rows] for i, column in enumerate(columns)}
        )
        path = folder / f"{name}.parquet"
        pyarrow.parquet.write_table(table, path, compression="zstd")
        written.append(path)
    return written


# ---- descriptions ---------------------------------------------------------------------------


def _first_run(results: Results) -> RunFolder:
    for cell in results.cells:
        if cell.runs:
            return RunFolder(cell.runs[0])
    raise NotARunError("no run is finished yet; there is nothing to export")


def _odd(results: Results, place: Path, folder: Path) -> list[Path]:
    """A draft after Grimm et al. (2020), doi:10.18564/jasss.4259, with gaps for the author."""
    from society.html_report.words import question_of, scenario_in_words
    from society.scenario import load_resolved

    run = _first_run(results)
    scenario = load_resolved(run.scenario_path)
    title, rest = question_of(scenario.about, results.title)
    measures = ", ".join(results.measures) or "none"
    world = (scenario.world.load().__doc__ or "").strip()
    groups = [
        f"- **{name}**: {scenario.counts[name]:,} individuals, policy `{group.policy.use}`"
        + (f", attributes {', '.join(group.attributes)}" if group.attributes else "")
        for name, group in scenario.groups.items()
    ]
    details = [
        f"### {kind} `{component.use}`\n\n{(component.load().__doc__ or '').strip()}"
        for kind, component in _submodels(scenario)
    ]
    ask = "*To be written by the author:*"
    text = "\n\n".join(
        [
            f"# ODD protocol (draft): {title}",
            "Drafted from the scenario after Grimm et al. (2020), doi:10.18564/jasss.4259. What "
            "only the author knows is marked.",
            "## 1. Purpose and patterns",
            "\n\n".join(filter(None, [title, rest])),
            f"{ask} which question is answered for whom, and which observed patterns decide "
            "whether the model is good enough for it.",
            "## 2. Entities, state variables and scales",
            "\n".join(groups),
            f"One step is one round of the world `{scenario.world.use}`. {_scales(scenario)}",
            "## 3. Process overview and scheduling",
            "\n".join(f"- {sentence}" for sentence in scenario_in_words(scenario)),
            "In every step all who act decide at the same time from what they observe; messages "
            "arrive at the next turn; then the world moves once.",
            "## 4. Design concepts",
            _concepts(scenario, measures, ask),
            "## 5. Initialization",
            f"Seeds {', '.join(map(str, scenario.seed_list[:20]))}. All random numbers derive "
            "from the seed, the clock and the name of their stream, so that changing one factor "
            "keeps the others' draws.",
            "## 6. Input data",
            ", ".join(scenario.files()) or "None.",
            "## 7. Submodels",
            f"### World `{scenario.world.use}`\n\n{world}",
            *details,
            "## Scenario",
            f"```yaml\n{run.scenario_path.read_text(encoding='utf-8').strip()}\n```",
        ]
    )
    path = folder / "ODD.md"
    path.write_text(redact(text, forms=False) + "\n", encoding="utf-8")
    return [path]


def _scales(scenario: Any) -> str:
    length = f"{scenario.steps} steps" if scenario.steps else f"{scenario.episodes or 1} episodes"
    return f"{scenario.generations:,} generations of {length}."


def _concepts(scenario: Any, measures: str, ask: str) -> str:
    learns = [name for name, group in scenario.groups.items() if group.learner]
    talks = list(scenario.channels)
    graph = scenario.graph.rule.use if scenario.graph else "everybody meets everybody"
    evolves = scenario.selection.use if scenario.selection else "nobody is selected"
    rows = {
        "Basic principles": ask,
        "Emergence": f"{ask} which results emerge rather than being imposed.",
        "Adaptation": f"Selection: {evolves}.",
        "Objectives": f"Fitness: {getattr(scenario.selection, 'params', {}).get('fitness') or 'as the world says'}.",  # noqa: E501
        "Learning": f"Groups with learners: {', '.join(learns) or 'none'}.",
        "Prediction": ask,
        "Sensing": "What the world's observation shows, and messages received.",
        "Interaction": f"Graph: {graph}. Channels: {', '.join(talks) or 'none'}.",
        "Stochasticity": "Seeded throughout; see Initialization.",
        "Collectives": f"Groups: {', '.join(scenario.groups)}.",
        "Observation": f"Measures: {measures}. The unit of statistics is the run.",
    }
    return "\n".join(f"- **{name}.** {text}" for name, text in rows.items())


def _submodels(scenario: Any) -> Iterator[tuple[str, Any]]:
    for name, group in scenario.groups.items():
        yield f"Policy of {name}", group.policy
        if group.learner:
            yield f"Learner of {name}", group.learner
    if scenario.graph:
        yield "Graph", scenario.graph.rule
    for kind in ("selection", "transmission"):
        if getattr(scenario, kind):
            yield kind.capitalize(), getattr(scenario, kind)
    for name, event in scenario.interventions.items():
        yield f"Intervention {name}", event.component


def _ro_crate(results: Results, place: Path, folder: Path) -> list[Path]:
    """RO-Crate 1.1 metadata beside the results (https://w3id.org/ro/crate/1.1)."""
    run = _first_run(results)
    manifest = run.read_manifest()
    files = [
        path
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name not in ("lock", "ro-crate-metadata.json")
        and not path.name.endswith(("-wal", "-shm"))
    ]  # fmt: skip
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = str((manifest.get("scenario") or {}).get("about", "")).strip()
    parts = [_file(path, place) for path in files]
    versions = manifest.get("versions") or {}
    graph = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": about.partition("\n")[0] or results.title,
            "description": about or f"A {results.kind} of the scenario {results.title}",
            "datePublished": now,
            "license": "To be chosen by the author",
            "hasPart": [{"@id": part["@id"]} for part in parts],
        },
        {
            "@id": "#society",
            "@type": "SoftwareApplication",
            "name": "societylab",
            "version": str(versions.get("societylab", "")),
            "softwareRequirements": ", ".join(f"{k} {v}" for k, v in versions.items()),
        },
        {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"society {'sweep' if results.kind == 'study' else 'run'} {results.title}",
            "startTime": str(manifest.get("created", "")),
            "instrument": {"@id": "#society"},
            "result": {"@id": "./"},
        },
        *parts,
    ]
    crate = {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}
    path = place / "ro-crate-metadata.json"  # by the standard, in the root of what it describes
    path.write_text(json.dumps(crate, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [path]


def _file(path: Path, place: Path) -> dict[str, Any]:
    return {
        "@id": path.relative_to(place).as_posix(),
        "@type": "File",
        "contentSize": str(path.stat().st_size),
        "encodingFormat": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


# ---- structures -----------------------------------------------------------------------------


def _graphml(results: Results, place: Path, folder: Path) -> list[Path]:
    """The social graph at the start of every replicate, of every graph of a study; who talked."""
    written: list[Path] = []
    runs: dict[str, RunFolder] = {}
    for cell in results.cells:
        if cell.runs and "graph" in cell.point:
            label = re.sub(r"[^\w.]+", "_", str(cell.point["graph"])).strip("._")[:40]
            runs.setdefault(f"{label}-", RunFolder(cell.runs[0]))
    for prefix, run in (runs or {"": _first_run(results)}).items():
        written += _graphs_of(run, folder, prefix)
    written += _who_talked(_first_run(results), folder)
    if not written:
        raise ExportError(f"{place} has no graph to export: everybody is tied to everybody")
    return written


def _graphs_of(run: RunFolder, folder: Path, prefix: str) -> list[Path]:
    """The graph of every replicate of one run; none where everybody is tied to everybody."""
    import networkx
    import numpy as np

    from society.build import make_graphs, make_population
    from society.scenario import load_resolved

    scenario = load_resolved(run.scenario_path)
    if scenario.graph is None or scenario.graph.rule.use == "complete":
        return []
    population = make_population(scenario)
    written = []
    for seed, graph in zip(scenario.seed_list, make_graphs(scenario, population), strict=True):
        net = networkx.DiGraph() if graph.directed else networkx.Graph()
        for group in population.groups:
            net.add_nodes_from(range(group.start, group.stop), group=group.name)
        senders, receivers = np.asarray(graph.senders), np.asarray(graph.receivers)
        real = (senders < graph.num_slots) & (receivers < graph.num_slots)
        net.add_edges_from(zip(senders[real].tolist(), receivers[real].tolist(), strict=True))
        path = folder / f"graph-{prefix}seed{seed}.graphml"
        networkx.write_graphml(net, path)
        written.append(path)
    return written


def _who_talked(run: RunFolder, folder: Path) -> list[Path]:
    """Who talked with whom in every replicate of a town, with conversations and lines."""
    import networkx

    seeds = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))["seeds"]
    written = []
    with Journal.open(run.path / "journal.sqlite", readonly=True) as journal:
        for index, seed in enumerate(seeds):
            pairs = relationships(journal.events(index, "world"))
            if pairs:
                net = networkx.Graph()
                for (one, other), (talks, lines) in pairs.items():
                    net.add_edge(one, other, conversations=talks, lines=lines)
                path = folder / f"relationships-seed{seed}.graphml"
                networkx.write_graphml(net, path)
                written.append(path)
    return written


def _newick(results: Results, place: Path, folder: Path) -> list[Path]:
    """Who descends from whom: one tree a founder, branch lengths in generations."""
    written = []
    for cell in results.cells:
        for run in cell.runs:
            seeds = json.loads((run / "summary.json").read_text(encoding="utf-8"))["seeds"]
            with Journal.open(run / "journal.sqlite", readonly=True) as journal:
                for index, seed in enumerate(seeds):
                    trees = _trees(journal, index)
                    if trees:
                        path = folder / f"{run.name}-seed{seed}.nwk"
                        path.write_text("\n".join(trees) + "\n", encoding="utf-8")
                        written.append(path)
    if not written:
        raise ExportError(f"{place} has no births to export: nobody has a parent there")
    return written


def _trees(journal: Journal, replicate: int) -> list[str]:
    born: dict[int, tuple[int, int]] = {}
    for event in journal.events(replicate, "births"):
        for uid, parent, _ in event.data:
            born[uid] = (parent, event.generation)
    children: dict[int, list[int]] = {}
    for uid, (parent, _) in born.items():
        children.setdefault(parent, []).append(uid)
    founders = [uid for uid in children if uid not in born]
    return [f"{_tree(uid, children, born)};" for uid in sorted(founders) if uid >= 0]


def _tree(root: int, children: Mapping[int, list[int]], born: Mapping[int, tuple[int, int]]) -> str:
    """One tree as text, without recursion: lineages may be thousands of generations deep."""
    done: dict[int, str] = {}
    stack = [(root, False)]
    while stack:
        uid, ready = stack.pop()
        below = sorted(children.get(uid, ()))
        if not ready:
            stack.append((uid, True))
            stack.extend((child, False) for child in below)
            continue
        parent, generation = born.get(uid, (-1, 0))
        length = generation - (born[parent][1] if parent in born else 0)
        inside = f"({','.join(done.pop(child) for child in below)})" if below else ""
        done[uid] = f"{inside}a{uid}:{length}"
    return done[root]


FORMATS: dict[str, Callable[[Results, Path, Path], list[Path]]] = {
    "parquet": _parquet,
    "csv": _csv,
    "odd": _odd,
    "ro-crate": _ro_crate,
    "graphml": _graphml,
    "newick": _newick,
}
