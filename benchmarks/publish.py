"""Put the figures of a run into the documentation: `python -m benchmarks.publish build/benchmarks/results.json`.

The page has places for them, between two comments each:

    <!-- figures: append_one_* -->
    <!-- end of figures -->

What a place names is the beginning of the keys of results, with `*` for anything, `headline`, `summary`, `targets` or
`machine`. Charts are named in the page as images; they are written into the folder of the page's name, and the figures
as JSON beside them. The front pages have the headline only.

Given several files, the figures of the later ones are put in the places of those of the first, and a note says so:

    python -m benchmarks.publish docs/explanation/performance/results.json build/benchmarks/results.json
"""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import click

from benchmarks import charts, markdown
from benchmarks.results import Run
from benchmarks.summary import headline, summary

_ROOT: Final = Path(__file__).parent.parent
PAGE: Final = _ROOT / "docs" / "explanation" / "performance.md"
FRONT_PAGES: Final = (_ROOT / "README.md", _ROOT / "docs" / "index.md")
_PLACE: Final = re.compile(r"(<!-- figures: (?P<names>[^>]*?) -->\n)(.*?)(<!-- end of figures -->)", re.DOTALL)
_CHART: Final = re.compile(r"\]\(performance/(?P<name>[a-z0-9_]+)\.svg\)")


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--page", type=click.Path(path_type=Path, exists=True), default=PAGE, show_default=True)
@click.option("--even-quick", is_flag=True, help="Publish a quick run, marked as such: to see what it looks like.")
def main(*, results: tuple[Path, ...], page: Path, even_quick: bool) -> None:
    """Put the figures of full runs, RESULTS, into the page on performance; those of later ones replace the first's."""
    run, *later = (Run.from_json(json.loads(path.read_text())) for path in results)
    for path, each in zip(results, (run, *later), strict=True):
        if not (each.full or even_quick):
            raise click.ClickException(f"{path} is of a quick run: its figures compare nothing")
    for each in later:
        run = run.with_results_of(each)
    folder = page.with_suffix("")
    folder.mkdir(exist_ok=True)
    text = filled(page.read_text(), run)
    drawn, named = charts.charts(run), chart_names(text)
    for old in folder.glob("*.svg"):
        old.unlink()
    for name in named & drawn.keys():
        (folder / f"{name}.svg").write_text(drawn[name])
    (folder / "results.json").write_text(json.dumps(run.as_json(), indent=1) + "\n")
    page.write_text(text)
    if page == PAGE:
        for front in FRONT_PAGES:
            front.write_text(filled(front.read_text(), run))
    click.echo(f"{page} and {len(named & drawn.keys())} charts are written; not in this run: {_missing(text, drawn)}")


def filled(text: str, run: Run) -> str:
    """Return the page with the figures of a run in its places.

    Raises:
        click.ClickException: A place names nothing that is known at all, in any run.
    """
    return _PLACE.sub(lambda place: f"{place[1]}\n{_figures(place['names'].split(), run)}\n\n{place[4]}", text)


def places(text: str) -> list[str]:
    """Return the names in all places of a page."""
    return [name for place in _PLACE.finditer(text) for name in place["names"].split()]


def chart_names(text: str) -> set[str]:
    """Return the names of the charts that a page shows."""
    return {found["name"] for found in _CHART.finditer(text)}


def _figures(names: list[str], run: Run) -> str:
    parts = []
    for name in names:
        if name == "targets":
            parts.append(markdown.targets(run))
        elif name == "headline":
            parts.append(headline(run))
        elif name == "summary":
            parts.append(summary(run))
        elif name == "machine":
            parts.append(markdown.machine(run))
        else:
            found = [each for each in run.results if fnmatchcase(each.key, name)]
            parts += [markdown.result(each) for each in found]
    return "\n\n".join(parts) or "Not measured in this run."


def _missing(text: str, drawn: dict[str, str]) -> str:
    return ", ".join(sorted(chart_names(text) - drawn.keys())) or "none"


if __name__ == "__main__":
    main()
