"""The definitions of our tables in a SQLite file: the texts of its statements, compared token by token.

PRAGMAs return columns and keys, but no CHECK, generated expression, conflict clause or DEFERRABLE; the statements have
them. Spaces, comments, quotes, the case of letters and doubled parentheses are ignored, because versions of SQLAlchemy
and SQLite differ in them.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, text

from eventstore.migrations.definitions import TABLES, Definitions, Key

_MASTER: Final = text(
    "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name IN :tables AND sql IS NOT NULL ORDER BY rowid"
).bindparams(bindparam("tables", expanding=True))
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<string>[xX]?'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
      | (?P<word>\w+)
      | (?P<sign>\|\||<=|>=|<>|!=|==|<<|>>|->>|->|.)""",
    re.DOTALL | re.VERBOSE,
)
_UPPER: Final = frozenset(
    re.findall(
        r"\w+",
        """
        ABORT ACTION ADD ALWAYS AND AS ASC AUTOINCREMENT BEFORE AFTER BEGIN BETWEEN BIGINT BLOB BOOLEAN CASCADE CASE
        CHAR CHECK COLLATE CONFLICT CONSTRAINT DATETIME DEFAULT DEFERRABLE DEFERRED DELETE DESC EACH ELSE END EXISTS
        FAIL FOR FOREIGN FROM GENERATED IGNORE IMMEDIATE IN INITIALLY INSERT INSTEAD INTEGER IS JSON KEY MATCH NO NOT
        NULL NUMERIC OF ON OR PRIMARY RAISE REAL REFERENCES REPLACE RESTRICT ROLLBACK ROW ROWID SELECT SET SMALLINT
        STORED STRICT TEXT THEN UNIQUE UPDATE VALUES VARCHAR VIRTUAL WHEN WHERE WITHOUT
        """,
    )
)
_CONSTRAINTS: Final = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})


def read(connection: Connection) -> Definitions:
    """Return the definitions of our tables in the file."""
    definitions: Definitions = {}
    for type_, name, table, sql in connection.execute(_MASTER, {"tables": list(TABLES)}):
        tokens = _tokens(sql)
        if type_ == "table":
            definitions.update(_of_table(name, tokens))
        elif type_ == "view":
            definitions[Key(name, "table")] = "VIEW"
        elif type_ == "index":
            unique = "UNIQUE " if tokens[1] == "UNIQUE" else ""
            definitions[Key(table, "index", name)] = unique + _text(tokens[tokens.index("(") :])
        else:
            start = 1 + next(place for place, token in enumerate(tokens) if token.lower() == name.lower())
            definitions[Key(table, "trigger", name)] = _text(tokens[start:])
    return dict(sorted(definitions.items(), key=lambda item: TABLES.index(item[0].table)))


def _of_table(table: str, tokens: list[str]) -> Iterator[tuple[Key, str]]:
    if "(" not in tokens or "VIRTUAL" in tokens[:2]:
        yield Key(table, "table"), _text(tokens)
        return
    start = tokens.index("(")
    end = _closing(tokens, start)
    yield Key(table, "table"), " ".join(["TABLE", *tokens[end + 1 :]])
    for part in _split(tokens[start + 1 : end]):
        if part[0] not in _CONSTRAINTS:
            yield Key(table, "column", _bare(part[0])), _text(part[1:])
        elif part[0] == "CONSTRAINT":
            yield Key(table, "constraint", _bare(part[1])), _text(part[2:])
        else:
            yield Key(table, "constraint", _text(part)), _text(part)


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _tokens(sql: str) -> list[str]:
    tokens = []
    for match in _TOKEN.finditer(sql):
        token = match.group()
        if match.lastgroup == "word":
            token = token.upper() if token.upper() in _UPPER else token.lower()
        elif match.lastgroup == "quoted":
            bare = token[1:-1].replace(token[0] * 2, token[0])
            is_plain = re.fullmatch(r"[a-z_]\w*", bare) and bare.upper() not in _UPPER
            token = bare if is_plain else '"' + bare.replace('"', '""') + '"'
        if match.lastgroup != "space":
            tokens.append(token)
    return _without_doubled_parentheses(tokens)


def _without_doubled_parentheses(tokens: list[str]) -> list[str]:
    place = 0
    while place + 1 < len(tokens):
        if tokens[place] == tokens[place + 1] == "(":
            outer, inner = _closing(tokens, place), _closing(tokens, place + 1)
            if outer == inner + 1:
                del tokens[inner], tokens[place]
                continue
        place += 1
    return tokens


def _closing(tokens: Sequence[str], opening: int) -> int:
    depth = 0
    for place in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[place], 0)
        if depth == 0:
            return place
    return len(tokens)


def _split(tokens: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    depth = 0
    for sign in tokens:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            yield part
            part = []
        else:
            part.append(sign)
    yield part


def _text(tokens: Sequence[str]) -> str:
    return re.sub(r"\( | (?=[),;])", lambda match: match.group().strip(), " ".join(tokens))
