import sys

sys.path.insert(0, "/tmp")
import try2
from sqlalchemy import text

from eventstore import *


def test_plans(postgres_engine):
    e = postgres_engine
    s = EventStore(e)
    for k in range(40):
        s.append(f"a-{k}", [NewEvent("t", {"n": i, "x": "y" * 100}) for i in range(1500)], expected_version=0)
    with e.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
        c.execute(text("VACUUM ANALYZE es_events"))
        c.execute(text("ANALYZE es_streams"))
        raw = c.connection.dbapi_connection
        try2.run(raw, c.execute(text("select 'es_events'::regclass::oid::bigint")).scalar())
