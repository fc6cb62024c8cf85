"""The settings of a migration, and the reports of its progress."""

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
        step: A description, such as "building index es_events_category_position_idx: scanning table".
        applied: The revision that was just completed (or undone); None while a revision is running.
        done: How much of the step is done; None if that is not known.
        total: How much there is to do, in the same unit (mostly pages of the table); None if that is not known.
        waiting_for: Descriptions of the sessions that hold the lock it waits for; empty if it does not wait.
    """

    step: str
    applied: str | None = None
    done: int | None = None
    total: int | None = None
    waiting_for: tuple[str, ...] = ()


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a migration.

    Attributes:
        schema: The PostgreSQL schema of the tables. Defaults to None: the first schema of the connection's search path.
        lock_timeout_seconds: How long one attempt to lock a table may take. Later writers wait as long. Then the
            attempt ends, lets them pass, and is repeated.
        wait_seconds: How long to retry, and how long to wait for another migration.
        on_progress: Called with a `Progress`, from any thread.
    """

    ATTRIBUTE: ClassVar[str] = "eventstore"
    """The key of the settings in the attributes of Alembic's Config."""

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
        """Return the settings of our own environment, or those in an application's alembic.ini."""
        if config is None:
            return cls()
        settings: Settings | None = config.attributes.get(cls.ATTRIBUTE)
        if settings is not None:
            return settings
        return cls(
            schema=config.get_main_option("eventstore_schema"),
            lock_timeout_seconds=_seconds(config, "eventstore_lock_timeout_seconds", "1"),
            wait_seconds=_seconds(config, "eventstore_wait_seconds", "600"),
        )

    def report(self, progress: Progress) -> None:
        """Report progress to the log and to `on_progress`."""
        if progress.waiting_for:
            logger.warning("%s: waiting for %s", progress.step, "; ".join(progress.waiting_for))
        else:
            logger.info("%s", progress.step)
        if self.on_progress is not None:
            self.on_progress(progress)


def _seconds(config: Config, option: str, default: str) -> float:
    value = config.get_main_option(option, default)
    try:
        return float(value)
    except ValueError:
        msg = f"{option} in alembic.ini must be a number of seconds, not {value!r}"
        raise InvalidInput(msg) from None
