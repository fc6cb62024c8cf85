"""Take off es_streams and es_events the checks that the code does as well, and that each append paid for.

One check keeps the head of a closed stream as it is, in place of two. It has the name of one of them, so that code
from before this revision recognises it.

Revision ID: es_0008
"""

from collections.abc import Sequence

from eventstore.migrations import operations

revision: str = "es_0008"
down_revision: str | None = "es_0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    operations.replace_constraints(
        "es_streams",
        "es_streams_stream_id_check",
        "es_streams_archived_version_check",
        es_streams_deleted_version_check="CHECK (version = coalesce(deleted_version, archived_version))",
    )
    operations.validate_constraints("es_streams", "es_streams_deleted_version_check")
    operations.replace_constraints(
        "es_events",
        "es_events_schema_version_check",
        "es_events_position_check",
        "es_events_codec_check",
        "es_events_event_type_check",
    )
    operations.set_schema_version(8)


def downgrade() -> None:
    operations.begin()
    operations.replace_constraints(
        "es_events",
        es_events_schema_version_check="CHECK (schema_version >= 1)",
        es_events_position_check="CHECK (position >= 1)",
        es_events_codec_check="CHECK (codec >= 0)",
        es_events_event_type_check="CHECK (length(event_type) BETWEEN 1 AND 255)",
    )
    operations.replace_constraints(
        "es_streams",
        es_streams_stream_id_check="CHECK (length(stream_id) BETWEEN 1 AND 255)",
        es_streams_deleted_version_check="CHECK (version = deleted_version)",
        es_streams_archived_version_check="CHECK (version = archived_version)",
    )
    operations.validate_constraints(
        "es_events",
        "es_events_schema_version_check",
        "es_events_position_check",
        "es_events_codec_check",
        "es_events_event_type_check",
    )
    operations.validate_constraints(
        "es_streams",
        "es_streams_stream_id_check",
        "es_streams_deleted_version_check",
        "es_streams_archived_version_check",
    )
    operations.set_schema_version(7)
