"""Check the rows that are older than the constraints of es_0003.

Revision ID: es_0004
"""

from collections.abc import Sequence

from eventstore.migrations import operations

revision: str = "es_0004"
down_revision: str | None = "es_0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    operations.validate_constraints("es_streams", "es_streams_stream_id_check")
    operations.validate_constraints(
        "es_events", "es_events_position_check", "es_events_codec_check", "es_events_event_type_check"
    )
    operations.validate_constraints(
        "snapshots",
        "snapshots_stream_id_fkey",
        "snapshots_version_check",
        "snapshots_schema_version_check",
        "snapshots_codec_check",
    )
    operations.set_schema_version(4)


def downgrade() -> None:
    operations.begin()
    operations.set_schema_version(3)  # that old rows were found to be right does no harm
