"""Runs the terminal sessions that the documentation shows, in `console` blocks.

A line that begins with `$ ` is a command, lines with `> ` after it continue it, and what follows, up to the next
command, is what it prints in a terminal of 80 columns: stdout and stderr together, without colours. A session can
`export NAME=value`, run `eventstore`, with `<<EOF` for its standard input and `| cat` for a pipe, and `echo $?`.

What differs from run to run, `VARIES`, may differ; everything else must be the same, schema versions and counts too.
The folder in which a document runs is shown as `/srv`.
"""

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from click.testing import CliRunner

from eventstore.cli import main

VARIES: Final = {
    re.compile(r"\d{4}-\d\d-\d\d"): "<day>",
    re.compile(r"\d\d:\d\d:\d\d(\.\d+)?"): "<time>",
    re.compile(r"01[0-9a-f]{6}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"): "<id>",  # UUIDs of version 7
    re.compile(r"\b\d+ ms\b"): "<duration>",
    re.compile(r"\bin [\d.]+ s( \([\d,]+ events a second\))?"): "in <duration>",
    re.compile(r" {2,}\d+\.\d(?= |$)"): "  <seconds>",  # in a column of a table
}
_TERMINAL: Final[dict[str, str | None]] = {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}
_PIPE: Final[dict[str, str | None]] = {"FORCE_COLOR": None, "NO_COLOR": None, "COLUMNS": "80", "TERM": "xterm"}
_SHELL: Final = frozenset({"|", "<", ">", ">>", "&&", "||", ";", "&"})  # the rest of what a shell could do
_CONTROL: Final = re.compile(r"(\x1b\[[0-9;?]*[A-Za-z]|[\r\n])")


class NotUnderstood(Exception):
    """A line that a session can't have."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it is typed, its standard input, and what the document says that it prints."""

    typed: list[str]
    stdin: str | None
    shown: list[str]


def commands(block: str) -> Iterator[Command]:
    """Return the commands of a block."""
    lines = block.splitlines()
    while lines:
        first = lines.pop(0)
        if not first.startswith("$ "):
            msg = f"a session begins with '$ ', not with {first!r}"
            raise NotUnderstood(msg)
        typed = [first]
        while lines and lines[0].startswith("> "):
            typed.append(lines.pop(0))
        shown = []
        while lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        if first.endswith(" <<EOF") and typed[-1] == "> EOF":
            yield Command(typed, "".join(f"{line[2:]}\n" for line in typed[1:-1]), shown)
        else:
            yield Command(typed, None, shown)


class Terminal:
    """A terminal in which a document's sessions run, one after the other."""

    def __init__(self) -> None:
        self._variables: dict[str, str | None] = {"EVENTSTORE_URL": None, "EVENTSTORE_SCHEMA": None}
        self._exit_code = 0

    def replay(self, block: str) -> str:
        """Run the commands of a block, and return it as it should be, with the lines that still hold as they are."""
        lines = []
        for command in commands(block):
            lines += [*command.typed, *_kept(command.shown, self._run(command))]
        return "".join(f"{line}\n" for line in lines)

    def _run(self, command: Command) -> list[str]:
        line = command.typed[0].removesuffix(" <<EOF") if command.stdin is not None else _joined(command.typed)
        in_pipe = line.endswith(" | cat")
        match shlex.split(line.removeprefix("$ ").removesuffix(" | cat"), comments=True):
            case ["export", assignment] if "=" in assignment:
                name, _, value = assignment.partition("=")
                self._variables[name] = value
                return []
            case ["echo", "$?"]:
                printed, self._exit_code = str(self._exit_code), 0
                return [printed]
            case ["eventstore", *arguments] if _SHELL.isdisjoint(arguments):
                return self._eventstore(arguments, command.stdin, _PIPE if in_pipe else _TERMINAL)
        msg = f"a session can't run {line!r}: see tests/console.py"
        raise NotUnderstood(msg)

    def _eventstore(self, arguments: list[str], stdin: str | None, kind: dict[str, str | None]) -> list[str]:
        runner = CliRunner(env={**self._variables, **kind})
        result = runner.invoke(main, arguments, input=stdin, prog_name="eventstore", catch_exceptions=False)
        self._exit_code = result.exit_code
        return screen(result.output.replace(str(Path.cwd()), "/srv"))


def screen(output: str) -> list[str]:
    """Return the lines that a terminal shows in the end, when bars have been drawn and erased."""
    lines, line = [""], 0
    for part in _CONTROL.split(output):
        if part == "\n":
            line += 1
            lines += [""] * (line == len(lines))
        elif part == "\x1b[2K":
            lines[line] = ""
        elif part == "\x1b[1A":
            line -= 1
        elif not _CONTROL.fullmatch(part):
            lines[line] += part
    shown = [each.rstrip() for each in lines]
    while shown and not shown[-1]:
        shown.pop()
    return shown


def _joined(typed: Iterable[str]) -> str:
    return "".join(line[2:].removesuffix("\\") for line in typed)


def _kept(shown: list[str], printed: list[str]) -> list[str]:
    """Return what was printed, with each line that differs only in what varies as it was shown."""
    known = {_without_what_varies(line): line for line in shown}
    return [known.get(_without_what_varies(line), line) for line in printed]


def _without_what_varies(line: str) -> str:
    for varies, name in VARIES.items():
        line = varies.sub(name, line)
    return line
