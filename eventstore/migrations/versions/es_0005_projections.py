"""Create es_checkpoints and es_dead_letters, for projections.

Revision ID: es_0005
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from eventstore.migrations import operations

revision: str = "es_0005"
down_revision: str | None = "es_0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    schema = operations.schema()
    on_sqlite = op.get_context().dialect.name == "sqlite"
    key_text = sa.Text() if on_sqlite else sa.Text(collation="C")
    big = sa.Integer() if on_sqlite else sa.BigInteger()
    time = sa.DateTime(timezone=True)
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if on_sqlite else "clock_timestamp()")
    op.create_table(
        "es_checkpoints",
        sa.Column("position", big, nullable=False, comment="Everything up to here has been handled"),
        sa.Column("updated_at", time, nullable=False, server_default=now, comment="When it last came forward"),
        sa.Column("seen_at", time, comment="When a worker was last seen at work; NULL where the last one has stopped"),
        sa.Column("failed_at", time, comment="When an event last failed; NULL once it has gone on"),
        sa.Column("name", key_text, nullable=False, comment="The name of the projection; 1 to 255 characters"),
        sa.Column("worker", sa.Text(), comment="Who was last seen at work: host and process"),
        sa.Column("failure", sa.Text(), comment="The event that failed and the type of the error, no payload"),
        sa.PrimaryKeyConstraint("name", name="es_checkpoints_pkey"),
        sa.CheckConstraint("position >= 0", name="es_checkpoints_position_check"),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 255", name="es_checkpoints_name_check"),
        comment="One row a projection: how far it has come",
        schema=schema,
    )
    if not on_sqlite:
        op.execute(f"ALTER TABLE {operations.qualified('es_checkpoints')} SET (fillfactor = 50)")  # updated in place
    op.create_table(
        "es_dead_letters",
        sa.Column("position", big, nullable=False, comment="Of the event"),
        sa.Column("version", big, nullable=False, comment="Of the event, in its stream"),
        sa.Column("first_failed_at", time, nullable=False, server_default=now, comment="When it was put here"),
        sa.Column("last_failed_at", time, nullable=False, server_default=now, comment="When it was last tried in vain"),
        sa.Column("closed_at", time, comment="When it was resolved or discarded"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="How often it was tried; 0 where it only follows"),
        sa.Column("event_id", sa.Uuid(), nullable=False, comment="Of the event"),
        sa.Column("projection", key_text, nullable=False, comment="The projection that could not handle it"),
        sa.Column("status", key_text, nullable=False, comment="pending, resolved or discarded"),
        sa.Column("stream_id", key_text, nullable=False, comment="The stream: its later events follow, in order"),
        sa.Column("event_type", key_text, nullable=False, comment="Of the event"),
        sa.Column("error", sa.Text(), comment="The type of the error, no payload; NULL where it only follows"),
        sa.Column("note", sa.Text(), comment="What somebody has said about it"),
        sa.PrimaryKeyConstraint("projection", "position", name="es_dead_letters_pkey"),
        sa.ForeignKeyConstraint(
            ["projection"],
            [f"{schema}.es_checkpoints.name" if schema else "es_checkpoints.name"],
            name="es_dead_letters_projection_fkey",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("attempts >= 0", name="es_dead_letters_attempts_check"),
        sa.CheckConstraint("status IN ('pending', 'resolved', 'discarded')", name="es_dead_letters_status_check"),
        comment="Events that a projection could not handle, and those of the same streams that follow them",
        schema=schema,
    )
    pending = sa.text("status = 'pending'")
    op.create_index(
        "es_dead_letters_pending_idx",
        "es_dead_letters",
        ["projection", "stream_id", "position"],
        schema=schema,
        postgresql_where=pending,
        sqlite_where=pending,
    )
    operations.set_schema_version(5)


def downgrade() -> None:
    operations.begin()
    op.drop_table("es_dead_letters", schema=operations.schema())
    op.drop_table("es_checkpoints", schema=operations.schema())
    operations.set_schema_version(4)
