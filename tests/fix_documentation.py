"""Run the documentation: the python and console blocks of docs/ and README.md are tests.

A document is one program. Its blocks run in order, in one namespace, in an empty working directory; so it is one test,
which neither a random order nor a distribution over processes can take apart. A text block right after a python block
is what that block prints. A console block is a session in a terminal: see console.py. If a document defines tests,
pytest runs them.

`python -m tests.fix_documentation docs/how-to/migrate.md …` writes into documents what their blocks print now.
"""

import difflib
import io
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final

import pytest
from sqlalchemy import Engine
from sybil import Document, Example, Region, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.example import SybilFailure
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from eventstore import EventStore
from tests.console import Terminal
from tests.processes import run_python

ROOT: Final = Path(__file__).parent.parent
NOT_RUN: Final = frozenset({"text", "sh", "sql"})
"""Languages of blocks that are not run. Any other, and none, is an error: no block is left out by a slip of the pen."""

IN_PROCESSES_OF_THEIR_OWN: Final = frozenset({"django.md", "replicas.md"})
"""Documents that configure Django, whose settings are global; see tests/fix_django.py."""

RUN_BY_OTHER_TESTS: Final = frozenset({"detach.md"})
"""Documents that need PostgreSQL, and tables that a test has prepared."""

SLOW: Final = frozenset(
    {
        "testing",
        "flask",
        "django",
        "tutorial-shop",
        "replicas",
        "asyncio",
        "audit-trails",
        "command-line",
        "consistency",
    }
)
"""Documents that take seconds: those with tests in them, and those that start other processes."""

_CHOSEN: Final = "not TestOurSetUp or wrong_version"
"""Of the contract that a document runs on SQLite only a part: `tests/test_contract.py` has the whole on the same."""

_FENCED_BLOCKS: Final = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[^\n]*)\n"))
_EVALUATORS: Final = {"python": PythonEvaluator(), "console": None}  # a console's blocks are run by its Terminal


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "MarkdownFile | None":
    """Collect the documentation, and no other Markdown."""
    is_documentation = file_path == ROOT / "README.md" or ROOT / "docs" in file_path.parents
    if file_path.suffix == ".md" and is_documentation and file_path.name not in RUN_BY_OTHER_TESTS:
        return MarkdownFile.from_parent(parent, path=file_path)
    return None


class MarkdownFile(pytest.File):
    """A document."""

    def collect(self) -> Iterable["Program"]:
        """Return its one test."""
        program = Program.from_parent(self, name="program")
        if self.path.stem in SLOW:
            program.add_marker(pytest.mark.slow)
        yield program


class Program(pytest.Item):
    """All blocks of a document, as one test."""

    def runtest(self) -> None:
        """Run the python blocks, then the tests that they define."""
        if self.path.name in IN_PROCESSES_OF_THEIR_OWN:
            code = "import sys, warnings; from pathlib import Path; from tests import fix_documentation as this; "
            code += "warnings.simplefilter('error'); this.run_document(Path(sys.argv[1]))"
            done = run_python("-c", code, str(self.path), cwd=ROOT)
            if done.returncode != 0:
                pytest.fail(done.stdout + done.stderr, pytrace=False)
            return
        run_document(self.path)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the test is."""
        return self.path, 0, self.path.relative_to(ROOT).as_posix()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:  # noqa: ARG002  # pytest's
        """Return what went wrong, from the document on."""
        if isinstance(excinfo.value, SybilFailure | pytest.fail.Exception):
            return str(excinfo.value)
        trace = excinfo.tb
        while trace.tb_next is not None and trace.tb_frame.f_code.co_filename != str(self.path):
            trace = trace.tb_next
        return "".join(traceback.format_exception(excinfo.type, excinfo.value, trace))


def run_document(path: Path) -> None:
    """Run the blocks of a document, then the tests that they define."""
    for example, printed in _outdated(path):
        differences = difflib.ndiff(example.parsed.splitlines(), printed.splitlines())
        raise SybilFailure(example, "\n".join(["something else is printed:", *differences]))


def update_document(path: Path) -> None:
    """Write into a document what its blocks print now."""
    text = path.read_text(encoding="utf-8")
    for example, printed in reversed(list(_outdated(path))):
        block = text[example.start : example.end].replace(example.parsed, printed, 1)
        text = text[: example.start] + block + text[example.end :]
    path.write_text(text, encoding="utf-8")


def _outdated(path: Path) -> Iterator[tuple[Example, str]]:
    """Run a document, and yield each block that shows something else than what is printed, with what is printed."""
    document = Sybil([_parse]).parse(path)
    module = ModuleType(f"docs_{path.stem.replace('-', '_')}")  # where a block's classes are looked up
    document.namespace = vars(module)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(sys.modules, module.__name__, module)
        opened: list[object] = []
        try:
            yield from _run(document, opened)
        finally:
            _close_databases(opened)
        if any(name.startswith(("test_", "Test")) for name in document.namespace):
            _run_tests(document, Path(folder))


def _parse(document: Document) -> Iterable[Region]:
    for region in _FENCED_BLOCKS(document):
        region.parsed = region.lexemes["source"]
        region.evaluator = _EVALUATORS.get(_language(region), _leave_out)
        yield region


def _language(region: Region) -> str:
    language: str = region.lexemes["language"]
    return language


def _leave_out(example: Example) -> str | None:
    language = _language(example.region)
    known = [*_EVALUATORS, *sorted(NOT_RUN)]
    return None if language in NOT_RUN else f"{language!r} is none of {known}"


def _run(document: Document, opened: list[object]) -> Iterator[tuple[Example, str]]:
    """Run the blocks, and note what they have opened: a later block may give its name to something else."""
    terminal = Terminal()
    end_of_python, printed = 0, ""
    for example in document.examples():
        language = _language(example.region)
        if language == "console":
            shown = terminal.replay(example.parsed)
        else:
            follows_directly = end_of_python and not document.text[end_of_python : example.start].strip()
            shown = printed if language == "text" and follows_directly else example.parsed
        if example.parsed != shown:
            yield example, shown
        with redirect_stdout(io.StringIO()) as output:
            example.evaluate()
        opened.extend(value for value in document.namespace.values() if isinstance(value, EventStore | Engine))
        end_of_python = example.end if language == "python" else 0
        printed = output.getvalue()


def _close_databases(values: Iterable[object]) -> None:
    for value in values:
        if isinstance(value, EventStore):
            value.engine.dispose()
        elif isinstance(value, Engine):
            value.dispose()


def _run_tests(document: Document, folder: Path) -> None:
    blocks = [example.parsed for example in document.examples() if _language(example.region) == "python"]
    (folder / "test_document.py").write_text("\n\n".join(blocks), encoding="utf-8")
    options = ["-q", "--rootdir", str(folder), "--strict-markers", "-W", "error", "-o", "markers=slow", "-k", _CHOSEN]
    done = run_python("-m", "pytest", *options, "test_document.py", cwd=folder)
    if done.returncode != 0:
        pytest.fail(f"the tests in {document.path} fail:\n{done.stdout}{done.stderr}", pytrace=False)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        update_document(Path(argument))
