"""Parts of PostgreSQL's SQL that contain names."""

from typing import Final

NAME: Final = r'(?:"(?:[^"]|"")+"|[\w$]+)'
"""A name in SQL, quoted or not, as a regular expression."""


def literal(value: str) -> str:
    """Return a string as it stands in SQL."""
    return "'" + value.replace("'", "''") + "'"


def block(body: str) -> str:
    """Return an anonymous block of PL/pgSQL, in a dollar quote that does not occur in it."""
    quote, number = "$$", 0
    while quote in body:
        number += 1
        quote = f"$block{number}$"
    return f"DO {quote}BEGIN {body}; END{quote}"
