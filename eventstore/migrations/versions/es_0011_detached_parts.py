"""Create es_detached_parts, the list of the parts of a partitioned log that are not in it any more.

Revision ID: es_0011
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from eventstore.migrations import operations

revision: str = "es_0011"
down_revision: str | None = "es_0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    on_sqlite = op.get_context().dialect.name == "sqlite"
    big = sa.Integer() if on_sqlite else sa.BigInteger()
    now = "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if on_sqlite else "clock_timestamp()"
    op.create_table(
        "es_detached_parts",
        sa.Column("first_position", big, nullable=False, autoincrement=False, comment="The lowest that it can have"),
        sa.Column("last_position", big, nullable=False, comment="The highest that it can have"),
        sa.Column("events", big, nullable=False, comment="How many events it had"),
        sa.Column(
            "detached_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text(now),
            comment="When it was detached",
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="The name of the table that was the part"),
        sa.Column("location", sa.Text(), comment="Where it was exported to; NULL if nowhere"),
        sa.Column("sha256", sa.Text(), comment="The SHA-256 of the manifest of the export; NULL if there is none"),
        sa.PrimaryKeyConstraint("first_position", name="es_detached_parts_pkey"),
        sa.CheckConstraint("first_position <= last_position", name="es_detached_parts_last_position_check"),
        comment="Parts of es_events that were detached: the events in them are not here any more",
        schema=operations.schema(),
    )
    operations.set_schema_version(11)


def downgrade() -> None:
    operations.begin()
    operations.refuse_if_partitioned()
    op.drop_table("es_detached_parts", schema=operations.schema())
    operations.set_schema_version(10)
