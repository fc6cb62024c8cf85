"""How `verify` and `diagnose` make findings: of damage, and of what the database user may not read."""

from collections.abc import Iterable, Iterator

from eventstore.errors import PermissionDenied
from eventstore.findings import Finding, FindingKind, Level


def damage(
    kind: FindingKind,
    *,
    found: str,
    expected: str,
    remedy: str,
    repairable: bool = False,
    name: str | None = None,
    stream_id: str | None = None,
    version: int | None = None,
    position: int | None = None,
    schema_version: int | None = None,
) -> Finding:
    """Return a finding of damage to stored data. Its subject names the place in words."""
    subject = {
        "{}": name,
        "stream {!r}": stream_id,
        "version {}": version,
        "position {}": position,
        "schema version {}": schema_version,
    }
    return Finding(
        Level.ERROR,
        ", ".join(words.format(value) for words, value in subject.items() if value is not None),
        found,
        remedy,
        kind=kind,
        expected=expected,
        repairable=repairable,
        name=name,
        stream_id=stream_id,
        version=version,
        position=position,
        schema_version=schema_version,
    )


def if_permitted(subject: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings of a check. If the database user may not read what it needs, yield a finding that says so."""
    try:
        yield from findings
    except PermissionDenied as denied:
        yield not_looked_at(subject, denied)


def not_looked_at(subject: str, denied: PermissionDenied) -> Finding:
    """Return the finding that the database user has no right to read something."""
    return Finding(
        Level.WARNING,
        subject,
        denied.problem,
        denied.remedy,
        kind=FindingKind.NOT_LOOKED_AT,
        expected="a user that may read it",
        name=subject,
    )
