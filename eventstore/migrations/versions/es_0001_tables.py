"""Create es_streams, es_events, snapshots and es_schema.

Revision ID: es_0001
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from eventstore.migrations import operations

revision: str = "es_0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = ("eventstore",)
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    operations.create_schema()
    schema = operations.schema()
    on_sqlite = op.get_context().dialect.name == "sqlite"
    key_text = sa.Text() if on_sqlite else sa.Text(collation="C")
    big = sa.Integer() if on_sqlite else sa.BigInteger()
    time = sa.DateTime(timezone=True)
    now = sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if on_sqlite else "clock_timestamp()")
    category = (
        "substr(stream_id, 1, instr(stream_id || '-', '-') - 1)" if on_sqlite else "split_part(stream_id, '-', 1)"
    )

    def category_column() -> sa.Column[str]:
        comment = "The part of stream_id before the first hyphen"
        return sa.Column("category", key_text, sa.Computed(category, persisted=True), nullable=False, comment=comment)

    op.create_table(
        "es_streams",
        sa.Column(
            "version", big, nullable=False, comment="The version of its newest event: the head that writers lock"
        ),
        sa.Column("created_at", time, nullable=False, server_default=now, comment="When its first event was stored"),
        sa.Column("updated_at", time, nullable=False, server_default=now, comment="When its newest event was stored"),
        sa.Column("stream_id", key_text, nullable=False, comment="Such as order-42; 1 to 255 characters"),
        category_column(),
        sa.PrimaryKeyConstraint("stream_id", name="es_streams_pkey"),
        sa.CheckConstraint("version >= 0", name="es_streams_version_check"),
        comment="One row a stream: its current version",
        schema=schema,
    )
    if not on_sqlite:
        op.execute(
            f"ALTER TABLE {operations.qualified('es_streams')} SET (fillfactor = 80)"
        )  # heads are updated in place
    keys: list[sa.schema.SchemaItem] = [
        sa.PrimaryKeyConstraint("stream_id", "version", name="es_events_pkey"),
        sa.UniqueConstraint("position", name="es_events_position_key"),
    ]
    if on_sqlite:  # only an integer primary key numbers rows there
        keys = [
            sa.PrimaryKeyConstraint("position", name="es_events_pkey"),
            sa.UniqueConstraint("stream_id", "version", name="es_events_stream_id_version_key"),
        ]
    op.create_table(
        "es_events",
        sa.Column(
            "position",
            big,
            sa.Identity(always=True, cache=1),
            nullable=False,
            comment="Place in the global order of all events; ascending, with holes",
        ),
        sa.Column("version", big, nullable=False, comment="Place in the stream: 1, 2, 3, ..."),
        sa.Column(
            "recorded_at",
            time,
            nullable=False,
            server_default=now,
            comment="When the event was stored, by this database's clock",
        ),
        sa.Column(
            "event_id", sa.Uuid(), nullable=False, comment="Given by the writer; makes a repeated append recognisable"
        ),
        sa.Column("schema_version", sa.Integer(), nullable=False, comment="Version of the shape of the data"),
        sa.Column(
            "codec",
            sa.SmallInteger(),
            nullable=False,
            comment="How data is encoded: codec number, plus 256 where compressed with zstd",
        ),
        sa.Column("stream_id", key_text, nullable=False, comment="The stream that the event belongs to"),
        category_column(),
        sa.Column("event_type", key_text, nullable=False, comment="What happened, such as order-placed"),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="The payload, encoded"),
        sa.Column(
            "metadata",
            sa.JSON() if on_sqlite else postgresql.JSONB(),
            comment="Who, why, in which request; NULL where none was given",
        ),
        *keys,
        sa.ForeignKeyConstraint(
            ["stream_id"],
            [f"{schema}.es_streams.stream_id" if schema else "es_streams.stream_id"],
            name="es_events_stream_id_fkey",
        ),
        sa.CheckConstraint("version >= 1", name="es_events_version_check"),
        sa.CheckConstraint("schema_version >= 1", name="es_events_schema_version_check"),
        comment="The events. Rows are added, never changed",
        schema=schema,
        sqlite_autoincrement=True,
    )
    op.create_table(
        "snapshots",
        sa.Column("version", big, nullable=False, comment="Version of the stream that the state was computed at"),
        sa.Column("created_at", time, nullable=False, server_default=now, comment="When the state was saved"),
        sa.Column("schema_version", sa.Integer(), nullable=False, comment="Version of the shape of the state"),
        sa.Column(
            "codec",
            sa.SmallInteger(),
            nullable=False,
            comment="How state is encoded: codec number, plus 256 where compressed with zstd",
        ),
        sa.Column("stream_id", key_text, nullable=False, comment="The stream whose state this is"),
        sa.Column("state", sa.LargeBinary(), nullable=False, comment="The state, encoded"),
        sa.PrimaryKeyConstraint("stream_id", "schema_version", name="snapshots_pkey"),
        comment="The newest saved state of a stream: a cache, safe to delete",
        schema=schema,
    )
    versions = op.create_table(
        "es_schema",
        sa.Column("id", sa.SmallInteger(), nullable=False, autoincrement=False, comment="Always 1"),
        sa.Column("version", sa.Integer(), nullable=False, comment="Version of these tables"),
        sa.Column(
            "breaking_version",
            sa.Integer(),
            nullable=False,
            comment="Newest version that code must know to work with these tables",
        ),
        sa.PrimaryKeyConstraint("id", name="es_schema_pkey"),
        sa.CheckConstraint("id = 1", name="es_schema_id_check"),
        comment="One row: which version of the event store's tables this is",
        schema=schema,
    )
    op.bulk_insert(versions, [{"id": 1, "version": 1, "breaking_version": 1}])


def downgrade() -> None:
    operations.begin()
    operations.refuse_to_lose_events()
    for table in ("es_schema", "snapshots", "es_events", "es_streams"):
        op.drop_table(table, schema=operations.schema())
