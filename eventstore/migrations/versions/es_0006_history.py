"""Refuse changes of es_events, and let streams be deleted and archived.

Revision ID: es_0006
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from eventstore.migrations import operations

revision: str = "es_0006"
down_revision: str | None = "es_0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FUNCTION_BODY = """
BEGIN
    RAISE restrict_violation USING
        MESSAGE = 'events are never changed: ' || TG_OP || ' of ' || TG_TABLE_NAME || ' was refused',
        HINT = 'If you mean it, first SET LOCAL eventstore.allow_history_changes = ''on'', in the same transaction.',
        CONSTRAINT = 'es_events_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
END
"""


def upgrade() -> None:
    operations.begin()
    on_sqlite = op.get_context().dialect.name == "sqlite"
    big = sa.Integer() if on_sqlite else sa.BigInteger()
    if on_sqlite:
        op.create_table(
            "es_history_permission",
            sa.Column("id", sa.Integer(), nullable=False, autoincrement=False, comment="Always 1"),
            sa.PrimaryKeyConstraint("id", name="es_history_permission_pkey"),
            sa.CheckConstraint("id = 1", name="es_history_permission_id_check"),
            comment="A row, within a transaction that may change history; otherwise none",
        )
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER es_events_immutable_{change.lower()} BEFORE {change} ON es_events "
                "WHEN NOT EXISTS (SELECT 1 FROM es_history_permission) "
                f"BEGIN SELECT RAISE(ABORT, 'events are never changed: {change} of es_events was refused'); END"
            )
    else:
        operations.create_statement_trigger(
            "es_events_immutable",
            "es_events",
            "BEFORE UPDATE OR DELETE OR TRUNCATE",
            when="current_setting('eventstore.allow_history_changes', true) IS DISTINCT FROM 'on'",
            function="es_refuse_history_change",
            body=FUNCTION_BODY,
        )
    comment = "Version of the event that says it was deleted, its last; NULL where it was not"
    operations.add_column("es_streams", sa.Column("deleted_version", big, comment=comment))
    operations.add_column("es_streams", sa.Column("archived_version", big, comment="The same, of being archived"))
    operations.add_constraints(
        "es_streams",
        es_streams_deleted_version_check="CHECK (version = deleted_version)",
        es_streams_archived_version_check="CHECK (version = archived_version)",
    )
    operations.validate_constraints(
        "es_streams", "es_streams_deleted_version_check", "es_streams_archived_version_check"
    )
    operations.set_schema_version(6)


def downgrade() -> None:
    """Streams that were deleted or archived can be appended to again, after the event that says so."""
    operations.begin()
    operations.drop_constraints("es_streams", "es_streams_archived_version_check", "es_streams_deleted_version_check")
    operations.drop_column("es_streams", "archived_version")
    operations.drop_column("es_streams", "deleted_version")
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TRIGGER IF EXISTS es_events_immutable_delete")
        op.execute("DROP TRIGGER IF EXISTS es_events_immutable_update")
        op.drop_table("es_history_permission")
    else:
        operations.drop_statement_trigger("es_events_immutable", "es_events", function="es_refuse_history_change")
    operations.set_schema_version(5)
