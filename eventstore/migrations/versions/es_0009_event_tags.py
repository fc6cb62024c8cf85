"""Create es_event_tags, for consistency boundaries across streams.

Revision ID: es_0009
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from eventstore.migrations import operations

revision: str = "es_0009"
down_revision: str | None = "es_0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    on_sqlite = op.get_context().dialect.name == "sqlite"
    key_text = sa.Text() if on_sqlite else sa.Text(collation="C")
    big = sa.Integer() if on_sqlite else sa.BigInteger()
    op.create_table(
        "es_event_tags",
        sa.Column("position", big, nullable=False, comment="Of the event"),
        sa.Column("tag", key_text, nullable=False, comment="Such as course:c1; empty in the rows of generations"),
        sa.Column("event_type", key_text, nullable=False, comment="Of the event"),
        *([sa.PrimaryKeyConstraint("tag", "position", name="es_event_tags_pkey")] if on_sqlite else []),
        comment="The tags of events, which their metadata has, too",
        schema=operations.schema(),
        sqlite_with_rowid=False,
    )
    if not on_sqlite:  # older versions of SQLAlchemy know no INCLUDE in a key
        table = operations.qualified("es_event_tags")
        key = "PRIMARY KEY (tag, position) INCLUDE (event_type)"
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT es_event_tags_pkey {key}")
    operations.set_schema_version(9)


def downgrade() -> None:
    operations.begin()
    op.drop_table("es_event_tags", schema=operations.schema())
    operations.set_schema_version(8)
