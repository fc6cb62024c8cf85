"""What `TenantWorkers` know of one tenant, and when it is due for a visit."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from eventstore.backends.schema_watch import Drawn
from eventstore.common.backoff import Backoff

_LONGEST_BACKOFF_SECONDS: Final = 60.0


@dataclass(eq=False, slots=True)
class Tenant:
    """What is known of one tenant.

    Attributes:
        schema: The name of the schema.
        drawn: The last position that was drawn while no append was under way; None if one was.
        handled: The position up to which all that was drawn was handled; None if that is not known.
        is_caught_up: Whether the last visit has handled everything.
        is_at_work: Whether a thread is at it, or it waits for one.
        is_open: Whether an append was under way at the last look.
        visit_at: When to visit it although nothing was drawn, by `time.monotonic`.
        not_before: When to try again after a failure.
        backoff: How long to wait after a failure.
    """

    schema: str
    drawn: int | None = None
    handled: int | None = None
    is_caught_up: bool = False
    is_at_work: bool = False
    is_open: bool = False
    visit_at: float = 0.0
    not_before: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(1.0, _LONGEST_BACKOFF_SECONDS))

    def is_due(self, drawn: Drawn | None, now: float) -> bool:
        """Return whether to visit it.

        Args:
            drawn: What a look has found; None if there is no log.
            now: The time, by `time.monotonic`.
        """
        if self.is_at_work or now < self.not_before:
            return False
        if self.handled is None or now >= self.visit_at:
            return True
        return drawn is None or drawn.position != self.handled

    def begin_visit(self, drawn: Drawn | None, appended_to: AbstractSet[int]) -> None:
        """Note what was found before a visit.

        Args:
            drawn: What a look has found; None if there is no log.
            appended_to: The tables with appends under way, by a later statement than that of `drawn`.
        """
        self.is_open = drawn is None or drawn.table in appended_to
        self.drawn = None if drawn is None or self.is_open else drawn.position
        self.is_at_work = True

    def end_visit(self, *, is_at_end: bool, visit_at: float) -> None:
        """Note what a visit has done.

        Args:
            is_at_end: Whether everything that is stored was handled.
            visit_at: When to visit it again, although nothing was drawn.
        """
        self.is_caught_up = is_at_end and not self.is_open
        self.handled = self.drawn if is_at_end else None
        self.visit_at, self.is_at_work = visit_at, False
