"""What to do about a deviation: SQL, each statement of its own, that keeps no append waiting for long, or advice."""

from dataclasses import dataclass

REPAIR = "`eventstore repair`"
RESTORE = "restore it from a backup: nothing can compute it"
RENAME = "rename it: a later revision makes a table of that name"
UNLESS_MEANT = "unless you mean it: "
IF_THE_SAME = "if its values are that column's: "
REWRITES = "while nothing appends, for the table is rewritten: "


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do.

    Attributes:
        statements: SQL, each outside of a transaction; empty if it takes a decision or a backup.
        advice: What else there is to say, before the SQL or instead of it.
        repairable: Whether `repair` does it, if the rows allow it: nothing is lost, and there is nothing to decide.
        is_script: Whether the statements are too many to be printed: our command does them.
    """

    statements: tuple[str, ...] = ()
    advice: str = ""
    repairable: bool = False
    is_script: bool = False

    def text(self, dialect: str) -> str:
        """Return it as it is printed: for psql, or for the sqlite3 shell."""
        if self.is_script or not self.statements:
            return self.advice
        is_limited = dialect == "postgresql"
        return self.advice + "; ".join(_with_timeouts(self.statements) if is_limited else self.statements)


def may_wait(statement: str) -> bool:
    """Return whether a statement may wait for its locks: appends do not queue behind it."""
    keeps_writers = (" CONCURRENTLY ", " VALIDATE CONSTRAINT ", " SET (", " RESET (")
    touches_rows = ("INSERT", "UPDATE", "DELETE", "CREATE TABLE", "GRANT")
    return any(words in statement for words in keeps_writers) or statement.startswith(touches_rows)


LOCK_TIMEOUT = "400ms"
"""Appends wait for so long at the most; twice, where a foreign key has two tables locked. That is less than the second
after which PostgreSQL looks for deadlocks: of an append and a remedy that wait for each other, the remedy gives up."""


def _with_timeouts(statements: tuple[str, ...]) -> list[str]:
    """Return them such that each that others queue behind gives up soon."""
    printed: list[str] = []
    is_limited = False
    for statement in statements:
        if may_wait(statement) == is_limited:
            is_limited = not is_limited
            printed.append(f"SET lock_timeout = '{LOCK_TIMEOUT}'" if is_limited else "RESET lock_timeout")
        printed.append(statement)
    return [*printed, "RESET lock_timeout"] if is_limited else printed
