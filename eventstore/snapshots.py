"""Snapshots: states of streams at a version, saved so that a load need not read all events."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from eventstore.backends.protocol import Row
from eventstore.common.validation import (
    MAX_VERSION,
    check_category,
    check_number,
    check_schema_version,
    check_stream_id,
)
from eventstore.core.core import Core
from eventstore.core.execution import serialization_is_a_conflict
from eventstore.errors import DecodingError, InvalidInput
from eventstore.statements.listing import list_snapshots, snapshot_coverage
from eventstore.statements.snapshots import delete_snapshot, delete_snapshots, load_snapshot, save_snapshot

_log = logging.getLogger(__name__)

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A saved state.

    Attributes:
        stream_id: The stream.
        version: The version of the stream that the state was computed at. Read the events after it.
        state: The state, as it was saved.
        schema_version: The version of the structure of the state.
        created_at: When it was saved, in UTC.
    """

    stream_id: str
    version: int
    state: Any
    schema_version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What the store knows about a snapshot without reading its state.

    Attributes:
        stream_id: The stream.
        schema_version: The version of the structure of the state.
        version: The version of the stream that the state was computed at.
        stream_version: The version of the stream now. A load reads the events between the two after the snapshot.
        size_bytes: The size of the stored state.
        codec: The number of its codec, plus 256 if it is compressed.
        created_at: When it was saved, in UTC.
    """

    stream_id: str
    schema_version: int
    version: int
    stream_version: int
    size_bytes: int
    codec: int
    created_at: datetime

    @property
    def events_after(self) -> int:
        """How many versions the stream is ahead of the snapshot.

        Negative if the snapshot is beyond the head of the stream; then it is not loaded.
        """
        return self.stream_version - self.version


@dataclass(frozen=True, slots=True)
class SnapshotCoverage:
    """How many events snapshots save when streams are loaded.

    Attributes:
        streams: How many streams were counted.
        covered: How many of them have a snapshot, of any schema version.
        events_after: How many events are read to load each stream once: those after the newest snapshot, or all of them
            if there is none. Computed from versions, so deleted and archived events count, too.
        most_events_after: The largest number of these for one stream.
    """

    streams: int
    covered: int
    events_after: int
    most_events_after: int


def write_snapshot(
    core: Core, stream_id: str, *, version: int, schema_version: int, encoded: tuple[int, bytes]
) -> bool:
    """Save an encoded state, unless there is one of the same version or newer; see `SnapshotStore.save`."""
    codec, data = encoded
    with (
        core.observer.operation("save_snapshot", stream_id=stream_id),
        serialization_is_a_conflict(core.execution, core.driver, [stream_id]),
        core.execution.statement() as run,
    ):
        saved = run(
            save_snapshot,
            stream_id=stream_id,
            schema_version=schema_version,
            version=version,
            codec=codec,
            state=data,
        )
    return bool(saved)


class SnapshotStore:
    """The snapshots of one store: `store.snapshots`. They are a cache; deleting them loses nothing."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._codec = core.mapper.codec

    def save(self, stream_id: str, *, version: int, state: Any, schema_version: int = 1) -> bool:
        """Save a state, unless there is one of the same version or newer.

        Args:
            stream_id: The stream.
            version: The version of the stream that the state was computed at, from 1.
            state: Any value that the codec can store exactly.
            schema_version: The version of the structure of the state, from 1. A stream has one snapshot for each schema
                version, so that old and new code can run side by side.

        Returns:
            False if the state was not saved, because the existing snapshot is of the same version or newer, or the
            stream has not reached this version (the events may have been rolled back).

        Raises:
            InvalidInput: An argument is not valid.
            EncodingError: The state can't be stored exactly.
            SerializationConflict: PostgreSQL has aborted the joined transaction, because another one has saved or
                deleted a snapshot of the stream.
        """
        stream_id = check_stream_id(stream_id)
        check_number("version", version, minimum=1)
        check_schema_version(schema_version)
        return write_snapshot(
            self._core, stream_id, version=version, schema_version=schema_version, encoded=self._codec.encode(state)
        )

    def load(self, stream_id: str, *, schema_version: int = 1) -> Snapshot | None:
        """Return the snapshot of this schema version.

        Returns:
            None if there is none, if it is beyond the head of the stream, or if it can't be read, which is logged as a
            warning.

        Raises:
            InvalidInput: An argument is not valid.
        """
        stream_id = check_stream_id(stream_id)
        check_schema_version(schema_version)
        with (
            self._core.observer.operation("load_snapshot", stream_id=stream_id),
            self._core.execution.statement() as run,
        ):
            rows = run(load_snapshot, stream_id=stream_id, schema_version=schema_version)
        if not rows:
            return None
        version, codec, data, created_at = rows[0]
        try:
            state = self._codec.decode(codec, data)
        except DecodingError as error:
            extra = {"stream_id": stream_id, "version": version, "error_type": type(error).__name__}
            _log.warning("snapshot of %r at version %d is ignored: %s", stream_id, version, error, extra=extra)
            return None
        return Snapshot(stream_id, version, state, schema_version, self._core.dialect.to_time(created_at))

    def list(
        self,
        *,
        category: str | None = None,
        after: tuple[str, int] | None = None,
        limit: int | None = None,
    ) -> Iterator[SnapshotInfo]:
        """List snapshots, in order of stream id and schema version, one page at a time, without their states.

        Args:
            category: List the snapshots of streams of this category. Defaults to None: all.
            after: Exclusive; continue after this stream id and schema version. Defaults to None: from the first.
            limit: List at most so many. Defaults to None: all.

        Raises:
            InvalidInput: An argument is not valid.
        """
        if category is not None:
            category = check_category(category)
        if after is not None and not (isinstance(after, tuple) and len(after) == 2):  # noqa: PLR2004  # a pair
            msg = f"after must be a pair (stream id, schema version) or None, not {type(after).__name__}"
            raise InvalidInput(msg)
        stream_id, schema_version = ("", 0) if after is None else after
        if after is not None:
            stream_id = check_stream_id(stream_id)
            check_number("the schema version of after", schema_version)
        remaining = MAX_VERSION if limit is None else check_number("limit", limit)
        return self._pages(category, stream_id, schema_version, remaining)

    def _pages(
        self, category: str | None, stream_id: str, schema_version: int, remaining: int
    ) -> Iterator[SnapshotInfo]:
        parameters = {} if category is None else {"category": category}
        while remaining > 0:
            page_size = min(_PAGE, remaining)
            with self._core.execution.statement() as run:
                rows = run(
                    list_snapshots(of_category=category is not None),
                    **parameters,
                    after_stream_id=stream_id,
                    after_schema_version=schema_version,
                    page_size=page_size,
                )
            yield from map(self._info, rows)
            if len(rows) < page_size:
                return
            remaining -= page_size
            stream_id, schema_version = rows[-1][:2]

    def _info(self, row: Row) -> SnapshotInfo:
        stream_id, schema_version, version, codec, size_bytes, created_at, stream_version = row
        created_at = self._core.dialect.to_time(created_at)
        return SnapshotInfo(stream_id, schema_version, version, stream_version, size_bytes, codec, created_at)

    def coverage(self, *, category: str | None = None, min_version: int = 1) -> SnapshotCoverage:
        """Count streams and their newest snapshots. It looks at every stream, about a million a second.

        Args:
            category: Count streams of this category. Defaults to None: all.
            min_version: Count streams at this version or a higher one, from 1. Short streams need no snapshot.

        Raises:
            InvalidInput: An argument is not valid.
        """
        if category is not None:
            category = check_category(category)
        check_number("min_version", min_version, minimum=1)
        parameters = {} if category is None else {"category": category}
        with self._core.execution.statement() as run:
            statement = snapshot_coverage(of_category=category is not None)
            ((streams, covered, after, most),) = run(statement, **parameters, min_version=min_version)
        return SnapshotCoverage(int(streams), int(covered), int(after), int(most))

    def delete(self, stream_id: str, *, schema_version: int | None = None) -> int:
        """Delete the snapshots of a stream.

        Args:
            stream_id: The stream.
            schema_version: Delete the snapshot of this schema version only. Defaults to None: all.

        Returns:
            How many there were.

        Raises:
            InvalidInput: An argument is not valid.
        """
        stream_id = check_stream_id(stream_id)
        conflicting = serialization_is_a_conflict(self._core.execution, self._core.driver, [stream_id])
        with conflicting, self._core.execution.statement() as run:
            if schema_version is None:
                return len(run(delete_snapshots, stream_id=stream_id))
            check_schema_version(schema_version)
            return len(run(delete_snapshot, stream_id=stream_id, schema_version=schema_version))
