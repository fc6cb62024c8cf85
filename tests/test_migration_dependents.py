"""Going back drops nothing that an application's objects need, and none of them along with it (PostgreSQL)."""

from typing import Final, NamedTuple

import pytest
from sqlalchemy import Engine, text

from eventstore import migrations
from eventstore.errors import ReferredTo, RowTypeInUse
from tests.application_objects import dump
from tests.fix_migrations import NAMES, BringTo

pytestmark = pytest.mark.slow


class Needing(NamedTuple):
    sql: str
    dropped: str
    dependent: str


COLUMN: Final = "column deleted_version of es_streams"
MADE_IN: Final = {
    COLUMN: "es_0006",
    "function es_refuse_history_change": "es_0006",
    "column event_id of es_checkpoints": "es_0007",
    "es_checkpoints": "es_0005",
    "es_dead_letters": "es_0005",
}
"""The revision that makes what would be dropped."""
NEEDING: Final = {
    "view of a column": Needing(
        "CREATE VIEW app_heads AS SELECT deleted_version FROM es_streams", COLUMN, "view app_heads"
    ),
    "materialized view": Needing(
        "CREATE MATERIALIZED VIEW app_heads AS SELECT deleted_version FROM es_streams",
        COLUMN,
        "materialized view app_heads",
    ),
    "index of a column": Needing("CREATE INDEX app_ended ON es_streams (deleted_version)", COLUMN, "index app_ended"),
    "part of an index": Needing(
        "CREATE INDEX app_open ON es_streams (version) WHERE deleted_version IS NULL", COLUMN, "index app_open"
    ),
    "function of ours": Needing(
        "CREATE TABLE app_log (id int); CREATE TRIGGER app_kept BEFORE DELETE ON app_log "
        "EXECUTE FUNCTION es_refuse_history_change()",
        "function es_refuse_history_change",
        "trigger app_kept on table app_log",
    ),
    "view of a column of checkpoints": Needing(
        "CREATE VIEW app_places AS SELECT event_id FROM es_checkpoints",
        "column event_id of es_checkpoints",
        "view app_places",
    ),
    "foreign key": Needing(
        "CREATE TABLE app_jobs (name text REFERENCES es_checkpoints ON DELETE CASCADE)",
        "es_checkpoints",
        "constraint app_jobs_name_fkey on table app_jobs",
    ),
    "view of a table": Needing(
        "CREATE VIEW app_letters AS SELECT position FROM es_dead_letters", "es_dead_letters", "view app_letters"
    ),
    "index": Needing("CREATE INDEX app_failed ON es_dead_letters (error)", "es_dead_letters", "index app_failed"),
    "trigger": Needing(
        "CREATE FUNCTION app_note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$; "
        "CREATE TRIGGER app_noted AFTER INSERT ON es_checkpoints FOR EACH ROW EXECUTE FUNCTION app_note()",
        "es_checkpoints",
        "trigger app_noted on table es_checkpoints",
    ),
    "rule": Needing(
        "CREATE RULE app_rule AS ON UPDATE TO es_checkpoints DO ALSO NOTHING",
        "es_checkpoints",
        "rule app_rule on table es_checkpoints",
    ),
    "check": Needing(
        "ALTER TABLE es_checkpoints ADD CONSTRAINT app_small CHECK (position < 1000000)",
        "es_checkpoints",
        "constraint app_small on table es_checkpoints",
    ),
    "type of a row": Needing(
        "CREATE TABLE app_kept (letters es_dead_letters[])", "es_dead_letters", "column letters of table app_kept"
    ),
    "function of a row": Needing(
        "CREATE FUNCTION app_count() RETURNS bigint LANGUAGE sql "
        "BEGIN ATOMIC SELECT count(*) FROM es_dead_letters; END",
        "es_dead_letters",
        "function app_count()",
    ),
    "child": Needing("CREATE TABLE app_child () INHERITS (es_dead_letters)", "es_dead_letters", "table app_child"),
    "sequence": Needing(
        "CREATE SEQUENCE app_numbers OWNED BY es_dead_letters.position", "es_dead_letters", "sequence app_numbers"
    ),
    "policy": Needing(
        "CREATE POLICY app_policy ON es_dead_letters USING (true)",
        "es_dead_letters",
        "policy app_policy on table es_dead_letters",
    ),
}


@pytest.fixture
def engine(new_postgres_engine: Engine) -> Engine:
    return new_postgres_engine


def run(engine: Engine, sql: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(sql))


@pytest.mark.parametrize("kind", NEEDING)
def test_what_something_of_theirs_needs_is_not_dropped(bring_to: BringTo, engine: Engine, kind: str) -> None:
    needing = NEEDING[kind]
    made_in = MADE_IN[needing.dropped]
    began_at = NAMES[NAMES.index(made_in) + 1]
    bring_to(engine, began_at)
    run(engine, needing.sql)
    with pytest.raises(ReferredTo) as refused:
        migrations.downgrade(engine, "es_0001")
    assert (refused.value.dropped, refused.value.dependents) == (needing.dropped, (needing.dependent,))
    assert migrations.current(engine) == made_in
    before = dump(engine)
    with pytest.raises(ReferredTo):
        migrations.downgrade(engine, "es_0001")
    assert dump(engine) == before
    problems = [finding.found for finding in migrations.verify(engine) if "app_" not in str(finding)]
    assert all(problem.startswith("not yet applied: ") for problem in problems), f"{made_in} is complete"
    migrations.upgrade(engine, began_at)
    assert migrations.current(engine) == began_at


def test_in_a_schema_of_any_name_it_is_the_table_there_that_counts(bring_to: BringTo, engine: Engine) -> None:
    bring_to(engine)
    for schema in ('My "Events"', "tenant$1"):
        migrations.upgrade(engine, "es_0006", schema=schema)
        run(engine, f"""CREATE VIEW "{schema.replace('"', '""')}".app_heads AS SELECT * FROM public.es_streams""")
        migrations.downgrade(engine, "es_0005", schema=schema)
    with pytest.raises(ReferredTo, match="view"):
        migrations.downgrade(engine, "es_0001")


def test_a_column_of_the_row_type_of_a_table_that_gets_a_column_is_refused_by_name(
    bring_to: BringTo, engine: Engine
) -> None:
    bring_to(engine, "es_0009")
    run(engine, "CREATE TABLE app_of_type (heads es_streams[])")
    with pytest.raises(RowTypeInUse, match=r'column "app_of_type\.heads" uses its row type.*jsonb'):
        migrations.upgrade(engine)
    assert migrations.current(engine) == "es_0009"
    run(engine, "ALTER TABLE app_of_type ALTER heads TYPE jsonb USING to_jsonb(heads)")
    migrations.upgrade(engine)
    assert migrations.verify(engine) == []


def test_without_anything_of_theirs_all_is_dropped(bring_to: BringTo, engine: Engine) -> None:
    bring_to(engine)
    migrations.downgrade(engine, "base")
    assert migrations.current(engine) is None
