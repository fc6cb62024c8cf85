"""The sessions in the documentation fail if a command prints something else, and only then."""

from pathlib import Path

import pytest

from eventstore import migrations
from tests.console import NotUnderstood, Terminal, screen
from tests.fix_documentation import run_document, update_document

SESSION = """$ export EVENTSTORE_URL=sqlite:///shop.db
$ eventstore migrate --json
{"before": null, "after": "es_0001"}
$ eventstore append order-1 --expected-version 0 <<EOF
> {"event_type": "placed"}
> {"event_type": "paid"}
> EOF
$ eventstore streams
stream   version  last event (UTC)
order-1        2  2026-03-14 09:26:53
$ eventstore streams | cat
order-1	2	2026-03-14T09:26:53.123000+00:00	2026-03-14T09:26:53+00:00
$ eventstore append order-1 '{"event_type": "sent"}' \\
> --expected-version 1
$ echo $?
0
"""


@pytest.fixture
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("in_an_empty_folder")
def test_what_varies_is_kept_and_all_else_is_what_the_commands_print() -> None:
    shown, printed = SESSION.splitlines(), Terminal().replay(SESSION).splitlines()
    assert [line for line in printed if line not in shown] == [
        f'{{"before": null, "after": "{migrations.head()}"}}',
        "order-1 is at version 2, position 2",
        "error: stream 'order-1' is at version 2, but 1 was expected; load it again, decide again, append again",
        "8",
    ]
    assert [line for line in shown if line not in printed] == ['{"before": null, "after": "es_0001"}', "0"]


@pytest.mark.parametrize("session", ["eventstore check", "$ rm -r /", "$ eventstore check > file", "$ export URL"])
def test_a_session_that_can_not_be_run_is_refused(session: str) -> None:
    with pytest.raises(NotUnderstood):
        Terminal().replay(session)


def test_bars_that_were_erased_are_not_shown() -> None:
    assert screen("first\n  50 %\r\x1b[2Kdone\n\x1b[1mbold\x1b[0m\nlast bar\n\x1b[1A\x1b[2K\x1b[?25h\n") == [
        "first",
        "done",
        "bold",
    ]


@pytest.mark.slow
def test_a_document_that_is_outdated_fails_and_can_be_updated(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("""\
```python
print(1 + 1)
```

```text
3
```

```console
$ eventstore --version
```
""")
    with pytest.raises(AssertionError, match="something else is printed"):
        run_document(page)
    update_document(page)
    run_document(page)
    assert "```text\n2\n```" in page.read_text()
    assert "eventstore, version " in page.read_text()
