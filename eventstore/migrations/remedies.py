"""Remedies of deviations: SQL statements that block no append for long, or advice."""

from dataclasses import dataclass

REPAIR = "`eventstore repair`"
RESTORE = "restore it from a backup, because it can't be computed"
RENAME = "rename it, because a later revision creates a table with that name"
UNLESS_MEANT = "unless it is intended: "
IF_THE_SAME = "if it has the values of that column: "
REWRITES = "while nothing is appended, because the table is rewritten: "


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about a deviation.

    Attributes:
        statements: SQL, each statement outside of a transaction; empty if it takes a decision or a backup.
        advice: The text before the SQL or instead of it.
        repairable: Whether `repair` does it, if the rows allow it: nothing is lost, and there is nothing to decide.
        is_script: Whether the statements are too many to be printed, so that our command must run them.
    """

    statements: tuple[str, ...] = ()
    advice: str = ""
    repairable: bool = False
    is_script: bool = False

    def text(self, dialect: str) -> str:
        """Return the text to print, with SQL for psql or for the sqlite3 shell."""
        if self.is_script or not self.statements:
            return self.advice
        is_limited = dialect == "postgresql"
        return self.advice + "; ".join(_with_timeouts(self.statements) if is_limited else self.statements)


def may_wait(statement: str) -> bool:
    """Return whether a statement may wait for its locks because appends do not queue behind it."""
    keeps_writers = (" CONCURRENTLY ", " VALIDATE CONSTRAINT ", " SET (", " RESET (")
    touches_rows = ("INSERT", "UPDATE", "DELETE", "CREATE TABLE", "GRANT")
    return any(words in statement for words in keeps_writers) or statement.startswith(touches_rows)


LOCK_TIMEOUT = "400ms"
"""How long appends wait at most; twice as long if a foreign key locks two tables. That is less than the second after
which PostgreSQL looks for deadlocks: if an append and a remedy wait for each other, the remedy times out."""


def _with_timeouts(statements: tuple[str, ...]) -> list[str]:
    """Return the statements with a short lock timeout for each that others would queue behind."""
    lines: list[str] = []
    is_limited = False
    for statement in statements:
        if may_wait(statement) == is_limited:
            is_limited = not is_limited
            lines.append(f"SET lock_timeout = '{LOCK_TIMEOUT}'" if is_limited else "RESET lock_timeout")
        lines.append(statement)
    return [*lines, "RESET lock_timeout"] if is_limited else lines
