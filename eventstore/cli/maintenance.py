"""The commands of maintenance: verify, repair, doctor, stats."""

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import click

from eventstore import maintenance
from eventstore.cli.database import store_options
from eventstore.cli.findings import print_finding, print_summary, verification_progress
from eventstore.cli.imports import imported
from eventstore.cli.output import console, has_person, note, print_json, print_line, printable
from eventstore.cli.statistics import print_statistics
from eventstore.common.exit_codes import DAMAGED, FAILED
from eventstore.errors import InvalidInput
from eventstore.event_types import EventTypes
from eventstore.findings import Finding, FindingKind, Level
from eventstore.maintenance import Place
from eventstore.store import EventStore


def _place(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> Place | None:
    try:
        return None if value is None else Place.parse(value)
    except InvalidInput as error:
        raise click.BadParameter(str(error)) from None


def _verifying_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option(
                "--event-types", metavar="MODULE:ATTRIBUTE", callback=imported(EventTypes, "an EventTypes registry"),
                help="The application's event types; types and schema versions that it does not know become findings.",
            ),
            click.option(
                "--payloads/--no-payloads", default=True, help="Decode payloads, too; this takes most of the time."
            ),
            click.option(
                "--batch-size", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N",
                help="How many streams or events to read at a time.",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.option("--after", metavar="PLACE", callback=_place, help="Continue at the place that an earlier run printed.")
@_verifying_options
@store_options
def verify(*, store: EventStore, as_json: bool, **options: Any) -> None:
    """Check stored data for damage. Exit code 9 if there is damage, 1 if the user may not read everything.

    Other processes may append in the meantime. An interrupted run prints where another one can continue.

    In a pipe, the lines have: level, kind, subject, found, expected, remedy. JSON has one line for each finding and a
    summary as the last line.
    """
    counts = _verify(store, as_json=as_json, quiet=as_json, keep=lambda _: False, **options)[1]
    click.get_current_context().exit(_exit_code(counts))


def _exit_code(counts: Counter[str]) -> int:
    """Return DAMAGED if there is damage, FAILED if something could not be read, otherwise 0."""
    if counts.total() > counts[FindingKind.NOT_LOOKED_AT.value]:
        return DAMAGED
    return FAILED if counts.total() else 0


def _verify(
    store: EventStore,
    *,
    as_json: bool,
    quiet: bool,
    keep: Callable[[Finding], bool],
    prints: bool = True,
    **options: Any,
) -> tuple[list[Finding], Counter[str]]:
    """Print findings as they are made; return those to keep, and the number of findings of each kind."""
    findings = []
    with verification_progress(quiet=quiet) as progress:
        for finding in maintenance.verify(store, on_progress=progress, **options):
            progress.add(finding)
            if keep(finding):
                findings.append(finding)
            if prints:
                print_finding(finding, progress.where, as_json=as_json)
    if prints:
        print_summary(progress, as_json=as_json)
    return findings, progress.counts


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@_verifying_options
@store_options
def repair(*, store: EventStore, as_json: bool, dry_run: bool, yes: bool, **options: Any) -> None:
    """Repair what can be recomputed: heads, positions, snapshots, tags, indexes.

    It verifies, prints its plan, asks for confirmation, repairs, and verifies again. Without --yes and without a
    terminal to ask in, it does nothing. Exit code 9 if damage remains.
    """
    verification: dict[str, Any] = {"as_json": False, "quiet": as_json, "prints": not as_json, **options}
    findings, counts = _verify(store, keep=lambda finding: as_json or finding.repairable, **verification)
    repairs = maintenance.plan(findings)
    done: list[str] = []
    if not as_json:
        _print_plan(repairs)
    if repairs and not dry_run and (yes or _may_ask(as_json=as_json)):
        for each in maintenance.repair(store, repairs):
            done.append(each.action)
            if not as_json:
                _print_action("done", each.action, "green")
        findings, counts = _verify(store, keep=lambda _: as_json, **verification)
    elif repairs and not dry_run and not as_json:
        note("nothing was done; --yes repairs without asking")
    if as_json:
        planned = [each.action for each in repairs]
        print_json({"planned": planned, "done": done, "findings": [finding.as_dict() for finding in findings]})
    click.get_current_context().exit(_exit_code(counts))


def _may_ask(*, as_json: bool) -> bool:
    if as_json or not (sys.stdin.isatty() and has_person()):
        return False
    return click.confirm("Do it?")


def _print_plan(repairs: list[maintenance.Repair]) -> None:
    if not repairs:
        note("there is nothing to repair")
    for each in repairs:
        _print_action("would", each.action, "yellow")


def _print_action(verb: str, action: str, colour: str) -> None:
    if has_person():
        console().print(f"{verb}: {printable(action)}", style=colour)
    else:
        print_line(verb, action)


@click.command()
@store_options
def doctor(*, store: EventStore, as_json: bool) -> None:
    """Check connection, server, schema and projections, on one page. Exit code 9 if there are errors.

    It does not check the stored data; verify does.

    In a pipe, the lines have: level, kind of damage, subject, found, expected, remedy.
    """
    findings = maintenance.diagnose(store)
    worst = max((finding.level for finding in findings), key=list(Level).index)
    if as_json:
        print_json({"level": worst.value, "findings": [finding.as_dict() for finding in findings]})
    else:
        for finding in findings:
            print_finding(finding, console())
    click.get_current_context().exit(DAMAGED if worst is Level.ERROR else 0)


@click.command()
@click.option(
    "--exact-up-to", type=click.IntRange(min=0), default=1_000_000, show_default=True, metavar="N",
    help="With more events than this, estimate instead of counting; the output says so.",
)  # fmt: skip
@store_options
def stats(*, store: EventStore, as_json: bool, exact_up_to: int) -> None:
    """Print how much is stored: events, streams, categories, types, sizes, rates, snapshot coverage.

    If the database user may not count something, it is named, the rest is counted, and the exit code is 1.

    In a pipe, the lines have: quantity, name, number, precision (exact, estimated or at least).
    """
    statistics = maintenance.statistics(store, exact_up_to=exact_up_to)
    print_statistics(statistics, as_json=as_json)
    click.get_current_context().exit(FAILED if statistics.not_counted else 0)
