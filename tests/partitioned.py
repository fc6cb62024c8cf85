"""A log in small partitions, for tests of parts."""

from sqlalchemy import Engine, text

LEAF = """
CREATE TABLE es_events_{n} (LIKE es_events INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS INCLUDING STORAGE);
ALTER TABLE es_events_{n} ADD CONSTRAINT es_events_pkey_{n} PRIMARY KEY (stream_id, version);
ALTER TABLE es_events ATTACH PARTITION es_events_{n} FOR VALUES FROM ({start}) TO ({end});
CREATE OR REPLACE TRIGGER es_events_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON es_events_{n} FOR EACH STATEMENT
    WHEN (current_setting('eventstore.allow_history_changes', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION es_refuse_history_change();
"""


def partition(engine: Engine, *, size: int, count: int = 5) -> None:
    """Make the log of an empty store partitioned: `count` parts of `size` positions, es_events_1 and so on."""
    with engine.begin() as c:
        c.execute(text("ALTER TABLE es_streams ALTER after_position SET DEFAULT 0"))
        c.execute(text("ALTER TABLE es_events RENAME TO es_events_old"))
        c.execute(text("ALTER SEQUENCE es_events_position_seq RENAME TO es_events_old_seq"))
        c.execute(
            text(
                "CREATE TABLE es_events (LIKE es_events_old INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING COMMENTS "
                "INCLUDING STORAGE INCLUDING CONSTRAINTS) PARTITION BY RANGE (position)"
            )
        )
        c.execute(text("DROP TABLE es_events_old"))
        c.execute(
            text(
                "ALTER TABLE es_events ALTER position ADD GENERATED ALWAYS AS IDENTITY "
                "(SEQUENCE NAME es_events_position_seq CACHE 1)"
            )
        )
        for sql in (
            "ALTER TABLE es_events ADD CONSTRAINT es_events_position_key UNIQUE (position)",
            "CREATE INDEX es_events_event_type_position_idx ON es_events (event_type, position)",
            "CREATE INDEX es_events_category_position_idx ON es_events (category, position)",
            "ALTER TABLE es_events ADD CONSTRAINT es_events_stream_id_fkey FOREIGN KEY (stream_id) "
            "REFERENCES es_streams (stream_id)",
            "ALTER TABLE es_streams ALTER after_position SET DEFAULT "
            "coalesce(pg_sequence_last_value('es_events_position_seq'::regclass), 0)",
        ):
            c.execute(text(sql))
        for n in range(1, count + 1):
            start = "MINVALUE" if n == 1 else 1 + (n - 1) * size
            for sql in LEAF.format(n=n, start=start, end=1 + n * size).strip().split(";\n"):
                c.execute(text(sql.strip(";").replace(":", r"\:")))
