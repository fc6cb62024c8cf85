"""The command `eventstore`, for deployments and for people: `eventstore --help`."""

from eventstore.cli.group import main
from eventstore.cli.migrations import check, migrate, sql, versions_path
from eventstore.cli.transfer import export, import_

for _command in (migrate, check, sql, versions_path, export, import_):
    main.add_command(_command)

__all__ = ["main"]
