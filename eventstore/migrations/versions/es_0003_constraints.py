"""Add the constraints that es_0001 left out; on PostgreSQL, old rows are checked by es_0004.

Revision ID: es_0003
"""

from collections.abc import Sequence

from eventstore.migrations import operations

revision: str = "es_0003"
down_revision: str | None = "es_0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    operations.add_constraints(
        "es_streams",
        es_streams_stream_id_check="CHECK (length(stream_id) BETWEEN 1 AND 255)",
    )
    operations.add_constraints(
        "es_events",
        es_events_position_check="CHECK (position >= 1)",
        es_events_codec_check="CHECK (codec >= 0)",
        es_events_event_type_check="CHECK (length(event_type) BETWEEN 1 AND 255)",
    )
    operations.add_constraints(
        "snapshots",
        snapshots_stream_id_fkey=f"FOREIGN KEY(stream_id) REFERENCES {operations.qualified('es_streams')} (stream_id)",
        snapshots_version_check="CHECK (version >= 1)",
        snapshots_schema_version_check="CHECK (schema_version >= 1)",
        snapshots_codec_check="CHECK (codec >= 0)",
    )
    operations.set_schema_version(3)


def downgrade() -> None:
    operations.begin()
    operations.drop_constraints(
        "snapshots",
        "snapshots_codec_check",
        "snapshots_schema_version_check",
        "snapshots_version_check",
        "snapshots_stream_id_fkey",
    )
    operations.drop_constraints(
        "es_events", "es_events_event_type_check", "es_events_codec_check", "es_events_position_check"
    )
    operations.drop_constraints("es_streams", "es_streams_stream_id_check")
    operations.set_schema_version(2)
