"""How `verify` makes findings of damage."""

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
    """Return the finding of damage to what is stored; its subject says in words where it is."""
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


def not_looked_at(subject: str, denied: PermissionDenied) -> Finding:
    """Return the finding that the database user has no right to look at something."""
    return Finding(
        Level.WARNING,
        subject,
        denied.problem,
        denied.remedy,
        kind=FindingKind.NOT_LOOKED_AT,
        expected="a user that may look at it",
        name=subject,
    )
