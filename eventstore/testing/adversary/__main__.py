"""The command: `python -m eventstore.testing.adversary --help`."""

import logging
import secrets
import shlex
import signal
import sys
import threading
from types import FrameType
from typing import Any, Final, NoReturn

from sqlalchemy import make_url

from eventstore.backends import without_password
from eventstore.errors import ExtraMissing
from eventstore.testing.adversary.loading import OURS
from eventstore.testing.adversary.places import CanNotRun
from eventstore.testing.adversary.report import as_json, lines_of, summary, worst
from eventstore.testing.adversary.running import NAMES, open_setting, run
from eventstore.testing.adversary.verdicts import Result, Verdict

try:
    import click
except ImportError:
    sys.exit(str(ExtraMissing("click", "cli")))

FOUND: Final = 1
COULD_NOT_RUN: Final = 2

_interrupted: Final = threading.Event()


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--url", required=True, help="A PostgreSQL database, or a SQLite file that does not exist yet.")
@click.option("--direct-url", default=None, help="The URL of the server itself, if --url leads to a pooler.")
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Length of the random attack."
)
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Seed of all random numbers.  [default: random]")
@click.option("--adapter", default=OURS, show_default=True, help="The store, as module:Class.")
@click.option("--cases", default=",".join(NAMES), show_default=True, help="The attacks to make, by name.")
@click.option(
    "--writers", type=click.IntRange(min=1, max=64), default=4, show_default=True, help="Number of writing processes."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1, max=64),
    default=1,
    show_default=True,
    help="Number of threads of each; with the adapter eventstore.testing.adversary.ours:Grouped they share a store.",
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON instead of text.")
def main(
    *,
    url: str,
    direct_url: str | None,
    seconds: float,
    seed: int | None,
    adapter: str,
    cases: str,
    writers: int,
    threads: int,
    is_json: bool,
) -> None:
    """Try to make the readers of an event store miss, double or invert events.

    It works only in schemas, databases or files that it creates and removes itself. Exit code: 0 clean, 1 a fault was
    found, 2 could not run.
    """
    names = [name.strip() for name in cases.split(",") if name.strip()]
    if unknown := set(names) - set(NAMES):
        raise click.UsageError(f"there is no attack {', '.join(sorted(unknown))}; the attacks are {', '.join(NAMES)}")
    seed = secrets.randbelow(10**6) if seed is None else seed
    verdicts: list[Verdict] = []
    try:
        setting = open_setting(url, adapter, seed=seed, writers=writers, threads=threads, direct_url=direct_url)
        heading = {"store": setting.adapter.name, "database": setting.ground.version(), "seed": seed}
        if not is_json:
            click.echo(f"{heading['store']} on {heading['database']}, seed {seed}\n")
        for verdict in run(setting, seconds=seconds, names=names):
            _check_interrupted()
            verdicts.append(verdict)
            if verdict.trace is not None:
                trace = without_password(verdict.trace, make_url(url))
                click.echo(without_password(trace, make_url(direct_url or url)), err=True)
            if not is_json:
                click.echo("\n".join(lines_of(verdict)))
    except CanNotRun as error:
        _fail(f"could not run: {error}")
    except KeyboardInterrupt:
        _fail("interrupted; everything it created was removed")
    command = _command(
        url=url,
        direct_url=direct_url,
        seconds=seconds,
        seed=seed,
        adapter=adapter,
        names=names,
        writers=writers,
        threads=threads,
    )
    click.echo(as_json(heading, verdicts, command) if is_json else f"\n{summary(verdicts)}\nrepeat: {command}")
    sys.exit({Result.FOUND: FOUND, Result.FAILED: COULD_NOT_RUN}.get(worst(verdicts), 0))


def _command(
    *,
    url: str,
    direct_url: str | None,
    seconds: float,
    seed: int,
    adapter: str,
    names: list[str],
    writers: int,
    threads: int,
) -> str:
    """Return the command that repeats this run, without a password."""
    options: dict[str, Any] = {"url": make_url(url).render_as_string(), "seconds": f"{seconds:g}", "seed": seed}
    if direct_url is not None:
        options["direct-url"] = make_url(direct_url).render_as_string()
    if adapter != OURS:
        options["adapter"] = adapter
    if names != list(NAMES):
        options["cases"] = ",".join(names)
    options["writers"] = writers
    if threads > 1:
        options["threads"] = threads
    arguments = " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items())
    return f"python -m eventstore.testing.adversary {arguments}"


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(COULD_NOT_RUN)


def _check_interrupted() -> None:
    if _interrupted.is_set():
        raise KeyboardInterrupt


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """Interrupt the run, so that its places are removed. The interrupted code may raise another error instead."""
    _interrupted.set()
    raise KeyboardInterrupt


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # stores log the connections that are cut on purpose
    for _signal in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_signal, _end)
    main(prog_name="python -m eventstore.testing.adversary")
