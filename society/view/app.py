"""The viewer of one run: which address answers what."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from society.recorder import NotARunError, RunFolder
from society.view.film_store import FilmStore
from society.view.people import People
from society.view.server import BadRequest, Viewer
from society.view.source import RunSource
from society.view.workers import Films, Interviews

__all__ = ["App", "find_run"]


@dataclasses.dataclass(eq=False)
class App:
    """Everything the page can ask about a run; ``close`` ends what it started."""

    folder: RunFolder
    port: int = 0
    allow_code: bool = False

    def __post_init__(self) -> None:
        """Bind to the port and open the run."""
        self.source = RunSource(self.folder)
        self.people = People(self.source)
        self.viewer = Viewer(self._reads(), self._writes(), self.port)
        self.films = Films(self.folder.path, self.allow_code)
        self.interviews = Interviews(self.folder.path, self.allow_code)

    def close(self) -> None:
        """Release everything."""
        self.viewer.close()
        self.films.close()
        self.interviews.close()
        self.source.close()

    def __enter__(self) -> "App":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reads(self) -> Mapping[str, Any]:
        return {
            "/api/run": lambda query: self.source.overview(),
            "/api/state": lambda query: {
                **self.source.state(),
                "trace": self.films.status(),
            },
            "/api/moments": lambda query: self.source.moments(
                self._replicate(query), _clock(query.get("after"))
            ),
            "/api/series": lambda query: self.source.series(
                None if query.get("replicate") == "all" else self._replicate(query)
            ),
            "/api/log": lambda query: self.people.log(
                query.get("kind", "messages"),
                self._replicate(query),
                _whole(query, "after"),
                query.get("search", ""),
            ),
            "/api/call": lambda query: self.people.call(_whole(query, "row")),
            "/api/stage": lambda query: self._film(query).fact("stage"),
            "/api/snapshots": lambda query: self._film(query).snapshots(_whole(query, "after")),
            "/api/picture": lambda query: self.films.picture(
                self._replicate(query), _whole(query, "seq")
            ),
            "/api/mind": lambda query: {
                "mind": self._film(query).mind(_whole(query, "seq"), _whole(query, "slot"))
            },
            "/api/edges": lambda query: {
                "edges": self._film(query).edges(_whole(query, "version")) or []
            },
            "/api/interviews": lambda query: self.interviews.asked(self._replicate(query)),
            "/api/people": lambda query: self.people.born(self._replicate(query)),
        }

    def _writes(self) -> Mapping[str, Any]:
        return {
            "/api/interview": self._ask,
            "/api/trace": lambda given: self.films.again(self._known(given.get("replicate"))),
        }

    def _ask(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._known(given.get("replicate"))
        return self.interviews.ask(given)

    def _known(self, replicate: Any) -> int:
        if not isinstance(replicate, int) or not 0 <= replicate < len(self.source.seeds):
            raise BadRequest(f"replicate must be 0 to {len(self.source.seeds) - 1}")
        return replicate

    def _film(self, query: Mapping[str, str]) -> FilmStore:
        return self.films.of(self._replicate(query))

    def _replicate(self, query: Mapping[str, str]) -> int:
        replicate = _whole(query, "replicate")
        if replicate >= len(self.source.seeds):
            raise BadRequest(f"replicate {replicate} of {len(self.source.seeds)}", 404)
        return replicate


def find_run(name: str, out: Path = Path("runs")) -> RunFolder:
    """Open a run by its folder, its name in ``out``, the scenario's name, or "" for the newest.

    Raises:
      NotARunError: There is none.
    """
    given = Path(name)
    if name and given.is_dir():
        return RunFolder.open(given)
    known = sorted(
        (path.parent for path in out.glob("*/manifest.json")),
        key=lambda path: path.joinpath("manifest.json").stat().st_mtime_ns,
    )
    fitting = [path for path in known if path.name == name or path.name.startswith(f"{name}-")]
    if not name:
        fitting = known
    if not fitting:
        there = f"it has {', '.join(p.name for p in known[-5:])}" if known else "it holds no runs"
        raise NotARunError(f"{name or 'the newest run'!r} is no folder and not in {out}: {there}")
    return RunFolder.open(fitting[-1])


def _whole(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadRequest(f"{name} must be a whole number of 0 or more, not {text[:40]!r}")
    return int(text)


def _clock(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise BadRequest(f"after must be GENERATION.EPISODE.STEP, not {text[:40]!r}")
    return int(parts[0]), int(parts[1]), int(parts[2])
