"""The command: `python -m benchmarks`."""

import json
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from benchmarks import machine, markdown, page, plan, report
from benchmarks.bench import Bench
from benchmarks.results import Result, Run
from benchmarks.targets import failures, verdicts
from benchmarks.workloads import WORKLOADS


@click.command()
@click.argument("workloads", nargs=-1, type=click.Choice(list(WORKLOADS)))
@click.option("--quick", is_flag=True, help="See in two minutes that it works. The sizes are small: compare nothing.")
@click.option("--check", is_flag=True, help="Exit 1 if a target is missed by more than the noise.")
@click.option("-c", "--contestant", "contestants", multiple=True, help="Only those with this in their names, and us.")
@click.option("--rounds", type=click.IntRange(1), help="How many rounds are timed. [5; 3 in a quick run]")
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
    workloads: tuple[str, ...],
    quick: bool,
    check: bool,
    contestants: tuple[str, ...],
    rounds: int | None,
    output: Path,
    environments: Path,
) -> None:
    """Measure the event store beside the limit and beside other libraries, in turns; in about a quarter of an hour.

    Runs the WORKLOADS that are named, or all but `growth`, which takes as long again, and 14 GB. Writes the figures as
    JSON, a page with charts, and the same in Markdown.

    With --check, it exits 1 if a target is missed even in the better quarter of the rounds, or if one was not measured
    although everything was run.
    """
    if check and quick:
        raise click.UsageError("a quick run compares nothing, so it can't be checked")
    console = Console(width=130)
    steps = plan.plan(plan.chosen(workloads, full=not quick), full=not quick)
    plan.show(console, steps)
    with Bench(
        full=not quick,
        rounds=rounds or (3 if quick else 5),
        contestants=contestants,
        environments=environments.resolve(),
        console=console,
    ) as bench:
        run, failed = _run(bench, steps, output)
    missed = failures(verdicts(run.results), all_are_due=not (workloads or contestants)) if check else []
    for line in missed:
        console.print(line, style="red", markup=False)
    if failed or missed:
        sys.exit(1)


def _run(bench: Bench, steps: list[plan.Step], output: Path) -> tuple[Run, bool]:
    """Run the steps, keep their figures after each, write the page; return them, and whether a step has failed."""
    console, results, broken = bench.console, list[Result](), list[str]()
    output.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    warnings, described = machine.warnings(), machine.describe(bench.database())
    for name, value in described.items():
        console.print(f"{name}: {value}", highlight=False, markup=False)
    for warning in warnings:
        console.print(f"{warning}: compare nothing", style="red", markup=False)
    for step in steps:
        taken = time.monotonic() - begun
        console.rule(f"{step.name}: {taken:.0f} s have passed, it should end before {step.ends_after:.0f} s")
        bench.ends_at = begun + step.ends_after
        try:
            for result in WORKLOADS[step.name].run(bench):
                results.append(result)
                report.show(console, result)
        except Exception as error:  # noqa: BLE001  # the other workloads are measured all the same
            console.print_exception()
            broken.append(f"{step.name} has failed: {type(error).__name__}")
        took = {"took": f"{time.monotonic() - begun:.0f} s"}
        notes = [*warnings, *broken, *bench.notes()]
        run = Run(bench.full, described | bench.peers_versions() | took, notes, results)
        (output / "results.json").write_text(json.dumps(run.as_json(), indent=1) + "\n")
    page.write(output, run)
    (output / "results.md").write_text(markdown.document(run))
    report.show_targets(console, verdicts(results))
    for note in notes:
        console.print(note, style="red", markup=False)
    console.print(f"{took['took']}; the figures: {output / 'results.json'}; the page: {output / 'index.html'}")
    return run, bool(broken)


if __name__ == "__main__":
    main()
