"""How a migration is to run, and what it tells about itself while it does."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from alembic.config import Config

from eventstore.common.validation import check_schema_name, check_seconds
from eventstore.errors import InvalidInput

logger: Final = logging.getLogger("eventstore.migrations")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running migration is doing.

    Attributes:
        step: In words, as "building index es_events_category_position_idx: scanning table".
        applied: The revision that has just been completed (or undone); None while one is at work.
        done: How much of the step is done, None where that is not known.
        total: Of how much, in the same unit (pages of the table, mostly).
        waiting_for: Who holds the lock that it waits for, as texts; empty where it does not wait.
    """

    step: str
    applied: str | None = None
    done: int | None = None
    total: int | None = None
    waiting_for: tuple[str, ...] = ()


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a migration is to run.

    Attributes:
        schema: The PostgreSQL schema of the tables. Defaults to None: the first of the connection's search path.
        lock_timeout_seconds: How long one try to lock a table for a change may take. Writers who come after it wait as
            long. Then it steps back, lets them pass and tries again.
        wait_seconds: For how long it tries again, and for how long it waits for another migration.
        on_progress: Called with what is being done, now and then, from any thread.
    """

    ATTRIBUTE: ClassVar[str] = "eventstore"
    """Where in the attributes of Alembic's Config they are."""

    schema: str | None = None
    lock_timeout_seconds: float = 1.0
    wait_seconds: float = 600.0
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        check_schema_name(self.schema)
        check_seconds("lock_timeout_seconds", self.lock_timeout_seconds, minimum=0.001)
        check_seconds("wait_seconds", self.wait_seconds)

    @classmethod
    def of(cls, config: Config | None) -> "Settings":
        """Return those that our own environment has set, or those in an application's alembic.ini."""
        if config is None:
            return cls()
        given: Settings | None = config.attributes.get(cls.ATTRIBUTE)
        if given is not None:
            return given
        return cls(
            schema=config.get_main_option("eventstore_schema"),
            lock_timeout_seconds=_seconds(config, "eventstore_lock_timeout_seconds", "1"),
            wait_seconds=_seconds(config, "eventstore_wait_seconds", "600"),
        )

    def report(self, progress: Progress) -> None:
        """Tell what is being done: to who has asked, and to the log."""
        if progress.waiting_for:
            logger.warning("%s: waiting for %s", progress.step, "; ".join(progress.waiting_for))
        else:
            logger.info("%s", progress.step)
        if self.on_progress is not None:
            self.on_progress(progress)


def _seconds(config: Config, option: str, default: str) -> float:
    given = config.get_main_option(option, default)
    try:
        return float(given)
    except ValueError:
        msg = f"{option} in alembic.ini is a number of seconds, not {given!r}"
        raise InvalidInput(msg) from None
