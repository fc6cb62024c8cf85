"""Let projections begin elsewhere than at the first event, have partitions, and know which events had outside effects.

Revision ID: es_0012
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from eventstore.migrations import operations

revision: str = "es_0012"
down_revision: str | None = "es_0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    on_sqlite = op.get_context().dialect.name == "sqlite"
    big = sa.Integer() if on_sqlite else sa.BigInteger()
    key_text = sa.Text() if on_sqlite else sa.Text(collation="C")
    for column in (
        sa.Column(
            "started_after", big, nullable=False, server_default=sa.text("0"),
            comment="The position after which the projection began",
        ),
        sa.Column(
            "outside_after", big,
            comment="Handlers with outside effects are called for later events only; NULL if it has none",
        ),
        sa.Column(
            "partitions", sa.Integer(), nullable=False, server_default=sa.text("1"),
            comment="How many partitions the projection has; if more than one, each has a row",
        ),
        sa.Column(
            "next_partitions", sa.Integer(),
            comment="How many it will have, once all have reached `stop_position`; NULL if that does not change",
        ),
        sa.Column("stop_position", big, comment="Where a partition waits until their number has changed"),
        sa.Column(
            "partition_number", sa.Integer(), comment="Number of a partition, from 1; NULL in the row of a projection",
        ),
        sa.Column("partition_of", key_text, comment="The projection of a partition; NULL in the row of a projection"),
    ):  # fmt: skip
        operations.add_column("es_checkpoints", column)
    operations.set_schema_version(12)


def downgrade() -> None:
    operations.begin()
    operations.refuse_if_projections_have_partitions()
    for name in (
        "partition_of", "partition_number", "stop_position", "next_partitions", "partitions", "outside_after",
        "started_after",
    ):  # fmt: skip
        operations.drop_column("es_checkpoints", name)
    operations.set_schema_version(11)
