"""Build the indexes for reading the global order by event type, by category and by time.

Revision ID: es_0002
"""

from collections.abc import Sequence

from eventstore.migrations import operations

revision: str = "es_0002"
down_revision: str | None = "es_0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    operations.create_index_concurrently("es_events_event_type_position_idx", "es_events", "event_type", "position")
    operations.create_index_concurrently("es_events_category_position_idx", "es_events", "category", "position")
    operations.create_index_concurrently(
        "es_events_recorded_at_idx", "es_events", "recorded_at", using="brin", options="autosummarize = on"
    )
    operations.set_schema_version(2)


def downgrade() -> None:
    operations.begin()
    for name in (
        "es_events_recorded_at_idx",
        "es_events_category_position_idx",
        "es_events_event_type_position_idx",
    ):
        operations.drop_index_concurrently(name, "es_events")
    operations.set_schema_version(1)
