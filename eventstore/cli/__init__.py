"""The command `eventstore`, for deployments and for people: `eventstore --help`. Needs the extra `cli`."""

from importlib.util import find_spec

from eventstore.errors import ExtraMissing

if find_spec("click") is None:
    raise ExtraMissing("click", "cli")
if find_spec("rich") is None:
    raise ExtraMissing("rich", "cli")

from eventstore.cli.appending import append
from eventstore.cli.browsing import browse
from eventstore.cli.dead_letters import dead_letters
from eventstore.cli.detaching import detach
from eventstore.cli.detaching import export as export_part
from eventstore.cli.group import main, make_group
from eventstore.cli.health import health
from eventstore.cli.importing import import_
from eventstore.cli.maintenance import doctor, repair, stats, verify
from eventstore.cli.migrations import check, migrate, sql, versions_path
from eventstore.cli.partitions import partitions
from eventstore.cli.projections import projections
from eventstore.cli.reading import find, show, streams, tail
from eventstore.cli.schema import schema
from eventstore.cli.snapshots import snapshots
from eventstore.cli.tag_filling import fill_tags
from eventstore.cli.transfer import export
from eventstore.cli.views import recode, views

projections.add_command(dead_letters)
partitions.add_command(export_part)
partitions.add_command(detach)
for _command in (
    migrate, check, sql, versions_path, partitions, streams, show, tail, find, append, projections, snapshots, health,
    verify, repair, doctor, stats, browse, export, import_, views, recode, fill_tags, schema,
):  # fmt: skip
    main.add_command(_command)

__all__ = ["main", "make_group"]
