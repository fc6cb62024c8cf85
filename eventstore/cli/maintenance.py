"""Commands that look after a store: verify, repair, doctor, stats."""

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import click

from eventstore import maintenance
from eventstore.cli.database import store_options
from eventstore.cli.findings import print_finding, print_summary, watching
from eventstore.cli.group import DAMAGED, FAILED
from eventstore.cli.imports import imported
from eventstore.cli.output import console, has_person, note, print_json, print_line, printable
from eventstore.cli.statistics import print_statistics
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
                help="The application's event types: then types and schema versions that it does not know are found.",
            ),
            click.option(
                "--payloads/--no-payloads", default=True, help="Read events and states, too: most of the time."
            ),
            click.option(
                "--batch-size", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N",
                help="So many streams or events at a time.",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.option("--after", metavar="PLACE", callback=_place, help="Go on where another run has ended, which has told it.")
@_verifying_options
@store_options
def verify(*, store: EventStore, as_json: bool, **options: Any) -> None:
    """Look for damage in what is stored. Exit code 9 if there is some, 1 if the user may not look at all of it.

    Others may append meanwhile. It can be interrupted: it says where to go on.

    In a pipe, the lines have: level, kind, subject, what was found, what was expected, remedy. JSON has a line for each
    finding, and a last one that sums up.
    """
    counts = _verify(store, as_json=as_json, quiet=as_json, keep=lambda _: False, **options)[1]
    click.get_current_context().exit(_exit_code(counts))


def _exit_code(counts: Counter[str]) -> int:
    """Return whether there is damage; if there is none, whether all could be looked at."""
    if counts.total() > counts[FindingKind.NOT_LOOKED_AT.value]:
        return DAMAGED
    return FAILED if counts.total() else 0


def _verify(
    store: EventStore, *, as_json: bool, quiet: bool, keep: Callable[[Finding], bool], tell: bool = True, **options: Any
) -> tuple[list[Finding], Counter[str]]:
    """Print findings as they come, and return those to keep, and how many there were of each kind."""
    kept = []
    with watching(quiet=quiet) as watch:
        for finding in maintenance.verify(store, on_progress=watch, **options):
            watch.add(finding)
            if keep(finding):
                kept.append(finding)
            if tell:
                print_finding(finding, watch.where, as_json=as_json)
    if tell:
        print_summary(watch, as_json=as_json)
    return kept, watch.counts


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@_verifying_options
@store_options
def repair(*, store: EventStore, as_json: bool, dry_run: bool, yes: bool, **options: Any) -> None:
    """Mend what can be computed anew: heads, positions, snapshots, indexes.

    It verifies, says what it would do, asks, does it, and verifies again. Without --yes, and where nobody can be asked,
    it does nothing. Exit code 9 where damage is left.
    """
    how: dict[str, Any] = {"as_json": False, "quiet": as_json, "tell": not as_json, **options}
    findings, counts = _verify(store, keep=lambda finding: as_json or finding.repairable, **how)
    repairs = maintenance.plan(findings)
    done: list[str] = []
    if not as_json:
        _tell_plan(repairs)
    if repairs and not dry_run and (yes or _may_ask(as_json=as_json)):
        for each in maintenance.repair(store, repairs):
            done.append(each.action)
            if not as_json:
                _tell("done", each.action, "green")
        findings, counts = _verify(store, keep=lambda _: as_json, **how)
    elif repairs and not dry_run and not as_json:
        note("nothing was done; --yes does it without asking")
    if as_json:
        planned = [each.action for each in repairs]
        print_json({"planned": planned, "done": done, "findings": [finding.as_dict() for finding in findings]})
    click.get_current_context().exit(_exit_code(counts))


def _may_ask(*, as_json: bool) -> bool:
    if as_json or not (sys.stdin.isatty() and has_person()):
        return False
    return click.confirm("Do it?")


def _tell_plan(repairs: list[maintenance.Repair]) -> None:
    if not repairs:
        note("there is nothing to repair")
    for each in repairs:
        _tell("would", each.action, "yellow")


def _tell(verb: str, action: str, colour: str) -> None:
    if has_person():
        console().print(f"{verb}: {printable(action)}", style=colour)
    else:
        print_line(verb, action)


@click.command()
@store_options
def doctor(*, store: EventStore, as_json: bool) -> None:
    """Say on one page whether connection, server, schema and projections are well. Exit code 9 where there are errors.

    What is stored is not looked at: that is what verify does.

    In a pipe, the lines have: level, kind of damage, subject, what was found, what was expected, remedy.
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
    help="Above so many events, estimate instead of counting, and say so.",
)  # fmt: skip
@store_options
def stats(*, store: EventStore, as_json: bool, exact_up_to: int) -> None:
    """Say how much is stored: events, streams, categories, types, sizes, rates, coverage by snapshots.

    What the user of the database may not count is named, and the rest is counted; the exit code is 1 then.

    In a pipe, the lines have: what, of which, number, exact or estimated.
    """
    found = maintenance.statistics(store, exact_up_to=exact_up_to)
    print_statistics(found, as_json=as_json)
    click.get_current_context().exit(FAILED if found.not_counted else 0)
