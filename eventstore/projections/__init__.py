"""Projections: read models, and whatever else is computed from events. Each event takes effect exactly once.

A `Projection` defines what to do with which events, a `Worker` runs it, `Workers` run several in one process,
`TenantWorkers` those of many tenants, and `ProjectionAdmin` manages it. `inline` runs handlers in the transactions of
appends.
"""

from eventstore.projections.administration import ProjectionAdmin
from eventstore.projections.batches import Batch, Outcome
from eventstore.projections.dead_letters import DeadLetter, DeadLetters, DeadLetterStatus
from eventstore.projections.definition import OnFailure, Projection, Start
from eventstore.projections.inline import inline
from eventstore.projections.status import PartitionStatus, ProjectionStatus
from eventstore.projections.tenants import TenantWorkers
from eventstore.projections.worker import CatchUpProgress, Worker
from eventstore.projections.workers import Workers

__all__ = [
    "Batch",
    "CatchUpProgress",
    "DeadLetter",
    "DeadLetterStatus",
    "DeadLetters",
    "OnFailure",
    "Outcome",
    "PartitionStatus",
    "Projection",
    "ProjectionAdmin",
    "ProjectionStatus",
    "Start",
    "TenantWorkers",
    "Worker",
    "Workers",
    "inline",
]
