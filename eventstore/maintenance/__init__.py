"""Maintenance: verify a store, repair it, count what it holds, and diagnose its environment.

On the command line: `eventstore verify`, `repair`, `fill-tags`, `recode`, `stats` and `doctor`. This package and
`migrations` import Alembic; a running application does not need them.
"""

from eventstore.backends.maintenance import Size
from eventstore.findings import Finding, FindingKind, Level
from eventstore.maintenance.diagnosis import diagnose
from eventstore.maintenance.progress import Part, Place, Progress
from eventstore.maintenance.recoding import Recoded, recode
from eventstore.maintenance.repairs import Repair, plan, repair
from eventstore.maintenance.statistics import (
    CategoryStatistics,
    Count,
    Precision,
    RecentEvents,
    SnapshotStatistics,
    Statistics,
    statistics,
)
from eventstore.maintenance.tag_filling import FilledTags, fill_tags
from eventstore.maintenance.verification import verify

__all__ = [
    "CategoryStatistics",
    "Count",
    "FilledTags",
    "Finding",
    "FindingKind",
    "Level",
    "Part",
    "Place",
    "Precision",
    "Progress",
    "RecentEvents",
    "Recoded",
    "Repair",
    "Size",
    "SnapshotStatistics",
    "Statistics",
    "diagnose",
    "fill_tags",
    "plan",
    "recode",
    "repair",
    "statistics",
    "verify",
]
