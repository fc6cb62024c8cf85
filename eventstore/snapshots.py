"""Snapshots: the state of a stream at a version, saved so that loading need not begin at the first event."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventstore import statements
from eventstore.backends.protocol import Backend
from eventstore.codecs import PayloadCodec
from eventstore.errors import DecodingError
from eventstore.events import check_schema_version
from eventstore.execution import Execution
from eventstore.observing import Observer
from eventstore.streams import check_number, check_stream_id

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A saved state.

    Attributes:
        stream_id: The stream.
        version: The version of the stream that the state was computed at: go on reading after it.
        state: The state, as it was saved.
        schema_version: The version of the shape of the state.
        created_at: When it was saved, in UTC.
    """

    stream_id: str
    version: int
    state: Any
    schema_version: int
    created_at: datetime


class SnapshotStore:
    """The snapshots of one store: `store.snapshots`. They are a cache; to delete them loses nothing."""

    def __init__(self, execution: Execution, backend: Backend, codec: PayloadCodec, observer: Observer) -> None:
        self._execution = execution
        self._backend = backend
        self._codec = codec
        self._observer = observer

    def save(self, stream_id: str, *, version: int, state: Any, schema_version: int = 1) -> bool:
        """Save a state, unless there is a newer or equal one.

        Args:
            stream_id: The stream.
            version: The version of the stream that the state was computed at, from 1.
            state: Any value that the codec can store exactly.
            schema_version: The version of the shape of the state, from 1. Each keeps a snapshot of its own, so that old
                and new code can run side by side.

        Returns:
            False where it was declined: the snapshot that is there is of the same version or newer, or the stream has
            not reached this version (the events may have been rolled back).

        Raises:
            InvalidInput: An argument is not valid.
            EncodingError: The state can't be stored exactly.
        """
        check_stream_id(stream_id)
        check_number("version", version, minimum=1)
        check_schema_version(schema_version)
        codec, data = self._codec.encode(state)
        with (
            self._observer.operation("save_snapshot", stream_id=stream_id),
            self._execution.statement() as run,
        ):
            saved = run(
                statements.save_snapshot,
                stream_id=stream_id,
                schema_version=schema_version,
                version=version,
                codec=codec,
                state=data,
            )
        return bool(saved)

    def load(self, stream_id: str, *, schema_version: int = 1) -> Snapshot | None:
        """Return the snapshot of this schema version.

        Returns:
            None where there is none, where it is beyond the head of the stream, or where it can't be read: that is
            logged as a warning.

        Raises:
            InvalidInput: An argument is not valid.
        """
        check_stream_id(stream_id)
        check_schema_version(schema_version)
        with (
            self._observer.operation("load_snapshot", stream_id=stream_id),
            self._execution.statement() as run,
        ):
            rows = run(statements.load_snapshot, stream_id=stream_id, schema_version=schema_version)
        if not rows:
            return None
        version, codec, data, created_at = rows[0]
        try:
            state = self._codec.decode(codec, data)
        except DecodingError as error:
            told = {"stream_id": stream_id, "version": version, "error_type": type(error).__name__}
            _log.warning("snapshot of %r at version %d is ignored: %s", stream_id, version, error, extra=told)
            return None
        return Snapshot(stream_id, version, state, schema_version, self._backend.to_time(created_at))

    def delete(self, stream_id: str, *, schema_version: int | None = None) -> int:
        """Delete the snapshots of a stream.

        Args:
            stream_id: The stream.
            schema_version: Delete that of this schema version only. Defaults to None: all.

        Returns:
            How many there were.

        Raises:
            InvalidInput: An argument is not valid.
        """
        check_stream_id(stream_id)
        with self._execution.statement() as run:
            if schema_version is None:
                return len(run(statements.delete_snapshots, stream_id=stream_id))
            check_schema_version(schema_version)
            return len(run(statements.delete_snapshot, stream_id=stream_id, schema_version=schema_version))
