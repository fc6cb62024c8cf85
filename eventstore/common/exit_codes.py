"""The exit codes of commands."""

from typing import Final

from eventstore.errors import (
    ConcurrencyConflict,
    DatabaseBusy,
    EncodingError,
    EventIdReused,
    InvalidInput,
    MigrationInProgress,
    ProjectionBehind,
    ProjectionRunning,
    SchemaMissing,
    SchemaOutdated,
    SchemaTooNew,
    TableLocked,
)

FAILED: Final = 1
USAGE: Final = 2
SCHEMA_MISSING: Final = 3
SCHEMA_OUTDATED: Final = 4
SCHEMA_TOO_NEW: Final = 5
SCHEMA_DIFFERS: Final = 6
TIMED_OUT: Final = 7
CONFLICT: Final = 8
DAMAGED: Final = 9

_OF_ERRORS: Final = {
    SchemaMissing: SCHEMA_MISSING,
    SchemaOutdated: SCHEMA_OUTDATED,
    SchemaTooNew: SCHEMA_TOO_NEW,
    MigrationInProgress: TIMED_OUT,
    TableLocked: TIMED_OUT,
    DatabaseBusy: TIMED_OUT,
    ProjectionRunning: TIMED_OUT,
    ProjectionBehind: TIMED_OUT,
    InvalidInput: USAGE,
    EncodingError: USAGE,
    ConcurrencyConflict: CONFLICT,
    EventIdReused: CONFLICT,
}


def exit_code(error: BaseException) -> int:
    """Return the exit code of a command that ends with an error."""
    return next((code for kind, code in _OF_ERRORS.items() if isinstance(error, kind)), FAILED)
