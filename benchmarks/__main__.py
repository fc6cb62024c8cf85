"""The command: `python -m benchmarks`."""

import json
import time
from pathlib import Path

import click
from rich.console import Console

from benchmarks import machine, page, report
from benchmarks.bench import Bench
from benchmarks.results import Result
from benchmarks.targets import verdicts
from benchmarks.workloads import WORKLOADS


@click.command()
@click.option("--full", is_flag=True, help="Take up to half an hour instead of five minutes.")
@click.option("-w", "--workload", "workloads", multiple=True, type=click.Choice(list(WORKLOADS)), help="Only these.")
@click.option("-c", "--contestant", "contestants", multiple=True, help="Only those with this in their names, and us.")
@click.option("--rounds", type=click.IntRange(1), help="How many rounds are timed. [5; 7 in a full run]")
@click.option("--output", type=click.Path(path_type=Path), default=Path("build/benchmarks"), show_default=True)
@click.option(
    "--environments",
    type=click.Path(path_type=Path),
    default=Path("build/benchmark-peers"),
    show_default=True,
    help="Where the other libraries are installed, each in an environment of its own.",
)
def main(
    *,
    full: bool,
    workloads: tuple[str, ...],
    contestants: tuple[str, ...],
    rounds: int | None,
    output: Path,
    environments: Path,
) -> None:
    """Measure the event store beside the limit and beside other libraries, in turns, and write JSON and a page."""
    console = Console(width=130)
    results: list[Result] = []
    begun = time.monotonic()
    environments.mkdir(parents=True, exist_ok=True)
    with Bench(
        full=full,
        rounds=rounds or (7 if full else 5),
        contestants=contestants,
        environments=environments.resolve(),
        console=console,
    ) as bench:
        described = machine.describe(bench.database())
        for name, value in described.items():
            console.print(f"[bold]{name}[/]: {value}", highlight=False)
        for name in workloads or WORKLOADS:
            console.rule(name)
            for result in WORKLOADS[name](bench):
                results.append(result)
                report.show(console, result)
        described |= {f"peer {name}": version for name, version in bench.versions.items()}
        described |= {f"no peer {name}": error for name, error in bench.peer_errors.items()}
    described["took"] = f"{time.monotonic() - begun:.0f} s, {'full' if full else 'quick'} run"
    checked = verdicts(results)
    report.show_targets(console, checked)
    notes = [f"{name} could not take part: {why}" for name, why in bench.peer_errors.items()]
    for note in notes:
        console.print(f"[red]{note}")
    path = page.write(output, results, checked, described, notes)
    (output / "results.json").write_text(
        json.dumps({"machine": described, "results": [result.as_json() for result in results]}, indent=1)
    )
    console.print(f"{described['took']}; the page: {path}; the figures: {output / 'results.json'}")


if __name__ == "__main__":
    main()
