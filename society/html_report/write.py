"""Write the report of a run or of a study: ``report.html``, ``report.md``, its figures and tables.

The page is one file without scripts and without anything from elsewhere; a content security
policy says so to the browser. What models have said appears only as escaped text.
"""

import base64
import csv
import hashlib
import html
import importlib
import importlib.resources
import io
from pathlib import Path
from typing import Any

from society.html_report.parts import Page
from society.html_report.run_page import run_page
from society.html_report.study_page import study_page
from society.plots import STYLE, whole
from society.study.read import read_results
from worlds.redact import redact

__all__ = ["PictureError", "write_report"]


class PictureError(RuntimeError):
    """PNG files cannot be made here; the message says what to do."""


def write_report(place: str | Path, out: str | Path | None = None, png: bool = False) -> dict:
    """Write a report beside a run or a study.

    Args:
      place: its folder. out: another folder for the report. png: figures as PNG too.

    Returns:
      ``html``, ``markdown``, ``figures`` and ``tables`` (paths).

    Raises:
      NotARunError: The folder is neither. PictureError: PNG was asked for and cannot be made.
    """
    results = read_results([place])
    page = study_page(results) if results.kind == "study" else run_page(results)
    folder = Path(out) if out is not None else Path(place)
    pictures = folder / "report_figures"
    pictures.mkdir(parents=True, exist_ok=True)
    figures = []
    for name, svg in page.figures.items():
        (pictures / f"{name}.svg").write_text(redact(whole(svg), forms=False), encoding="utf-8")
        figures.append(pictures / f"{name}.svg")
        if png:
            figures.append(_png(pictures / f"{name}.png", whole(svg, dark=False)))
    tables = [_csv(folder / "report_tables", name, *table) for name, table in page.tables.items()]
    whole_page, markdown = folder / "report.html", folder / "report.md"
    whole_page.write_text(redact(_html(page), forms=False), encoding="utf-8")
    text = "\n\n".join(page.text).replace("](FIGURES/", "](report_figures/")
    markdown.write_text(redact(text, forms=False) + "\n", encoding="utf-8")
    return {
        "html": str(whole_page),
        "markdown": str(markdown),
        "figures": [str(path) for path in figures],
        "tables": [str(path) for path in tables],
        "title": page.title or results.title,
    }


def _html(page: Page) -> str:
    """The whole page; its policy allows this one style sheet and nothing else."""
    css = importlib.resources.files("society.html_report") / "style.css"
    style = css.read_text(encoding="utf-8").strip() + STYLE
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{html.escape(page.title)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(page.body)}"
        "<footer>Made by societylab from the run's own journal. The unit of every interval is "
        "the run, never the agent.</footer></main></body></html>\n"
    )


def _csv(folder: Path, name: str, columns: list[str], rows: list[list[Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    path = folder / f"{name}.csv"
    path.write_text(redact(text.getvalue(), forms=False), encoding="utf-8", newline="")
    return path


def _png(path: Path, svg: str) -> Path:
    try:
        resvg_py: Any = importlib.import_module("resvg_py")
    except ImportError:
        message = "figures as PNG need resvg_py: pip install 'societylab[viz]'"
        raise PictureError(message) from None
    made = resvg_py.svg_to_bytes(svg_string=svg, zoom=2, background="white")
    path.write_bytes(bytes(made))
    return path
