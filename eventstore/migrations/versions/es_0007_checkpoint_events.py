"""Let checkpoints name the event that they stand at, so that a log that went back is noticed.

Revision ID: es_0007
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from eventstore.migrations import operations

revision: str = "es_0007"
down_revision: str | None = "es_0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    on_sqlite = op.get_context().dialect.name == "sqlite"
    big = sa.Integer() if on_sqlite else sa.BigInteger()
    key_text = sa.Text() if on_sqlite else sa.Text(collation="C")
    comment = "Position of an event at or before `position` when it was written; NULL if not known"
    operations.add_column("es_checkpoints", sa.Column("event_position", big, comment=comment))
    operations.add_column("es_checkpoints", sa.Column("event_id", sa.Uuid(), comment="Id of that event"))
    operations.add_column("es_checkpoints", sa.Column("event_stream_id", key_text, comment="Stream of that event"))
    operations.add_column("es_checkpoints", sa.Column("event_version", big, comment="Version of that event"))
    operations.set_schema_version(7)


def downgrade() -> None:
    operations.begin()
    for name in ("event_version", "event_stream_id", "event_id", "event_position"):
        operations.drop_column("es_checkpoints", name)
    operations.set_schema_version(6)
