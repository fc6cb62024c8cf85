"""Let streams know a position below those of all their events, so that reads search no older part of the log.

Streams that exist have 0, and new ones the newest position.

Revision ID: es_0010
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from eventstore.migrations import operations

revision: str = "es_0010"
down_revision: str | None = "es_0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    big = sa.Integer() if op.get_context().dialect.name == "sqlite" else sa.BigInteger()
    comment = "A position below those of all its events, so that older parts of the log are not searched"
    column = sa.Column("after_position", big, nullable=False, server_default=sa.text("0"), comment=comment)
    operations.add_column("es_streams", column)
    operations.set_default_to_newest_position("es_streams", "after_position")
    operations.set_schema_version(10)


def downgrade() -> None:
    operations.begin()
    operations.drop_column("es_streams", "after_position")
    operations.set_schema_version(9)
