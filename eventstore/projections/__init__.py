"""Projections: read models, and whatever else is computed from events, each one applied once.

A `Projection` says what to do with which events, a `Worker` runs it, `ProjectionAdmin` looks after it. `inline` runs
handlers inside the appends themselves.
"""

from eventstore.projections.administration import ProjectionAdmin, ProjectionStatus
from eventstore.projections.batches import Batch, Outcome
from eventstore.projections.dead_letters import DeadLetter, DeadLetters, DeadLetterStatus
from eventstore.projections.definition import OnFailure, Projection
from eventstore.projections.inline import inline
from eventstore.projections.worker import CatchUpProgress, Worker

__all__ = [
    "Batch",
    "CatchUpProgress",
    "DeadLetter",
    "DeadLetterStatus",
    "DeadLetters",
    "OnFailure",
    "Outcome",
    "Projection",
    "ProjectionAdmin",
    "ProjectionStatus",
    "Worker",
    "inline",
]
