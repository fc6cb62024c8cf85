"""${message}.

Revision ID: ${up_revision}
"""

from collections.abc import Sequence

from eventstore.migrations import operations

revision: str = "${up_revision}"
down_revision: str | None = "${down_revision}"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    operations.begin()
    ${upgrades if upgrades else "raise NotImplementedError"}
    operations.set_schema_version(${int(up_revision.removeprefix("es_"))})


def downgrade() -> None:
    operations.begin()
    ${downgrades if downgrades else "raise NotImplementedError"}
    operations.set_schema_version(${int(up_revision.removeprefix("es_")) - 1})
