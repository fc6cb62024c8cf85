import inspect
import pickle
import re
from datetime import UTC, datetime
from uuid import UUID

import pytest

from eventstore import ANY, errors
from eventstore.errors import EventStoreError

EXAMPLES: dict[type[EventStoreError], EventStoreError] = {
    type(error): error
    for error in (
        errors.EventStoreError("text"),
        errors.InvalidInput("text"),
        errors.InvalidStreamId("text"),
        errors.InvalidExpectedVersion("text"),
        errors.InvalidEvent("text"),
        errors.InvalidMetadata("$.a", "is wrong"),
        errors.InvalidFilter("text"),
        errors.InvalidTableMap("text"),
        errors.ConcurrencyConflict("order-1", ANY, 7),
        errors.SerializationConflict(["order-1", "order-2"]),
        errors.BoundaryChanged("order-1", position=7, event_type="order-placed", event_stream_id="order-2"),
        errors.TooManyTags(32, 256),
        errors.EventIdReused("order-1", UUID(int=1), 2),
        errors.StreamClosed("order-1"),
        errors.StreamDeleted("order-1"),
        errors.StreamArchived("order-1"),
        errors.HistoryChangeRefused(),
        errors.TransferError("text"),
        errors.DamagedExport("line 7", "is no record"),
        errors.ImportConflict("order-1", 2, "another event is stored there"),
        errors.RowRefused("row id=7", "it is NULL", column="data"),
        errors.UnsuitableSource("events", "it is a view"),
        errors.FixtureConflict("checkpoint", "totals", "its position is 7, but 9 here"),
        errors.EncodingError(path="$.a", value_type="object", problem="unknown", index=1, event_type="placed"),
        errors.DecodingError("damaged", stream_id="order-1", version=2, event_type="placed"),
        errors.EventTooNew("placed", 2, 1),
        errors.UpcastingFailed(("placed", 1), "has raised KeyError"),
        errors.AggregateError("text"),
        errors.AggregateNotFound("order-1", datetime(2026, 1, 2, tzinfo=UTC)),
        errors.VersionNotReached("order-1", 7, 5),
        errors.EventTypeError("text"),
        errors.UnregisteredEventType("Placed"),
        errors.EventTypeTaken("text"),
        errors.UpcasterTaken("placed", 1, "the class Placed"),
        errors.UpcasterCycle([("placed", 1), ("placed", 1)]),
        errors.UpcasterMissing("placed", 1, 2),
        errors.SchemaError("text"),
        errors.SchemaMissing(errors.TablesPlace("postgresql+psycopg://user@host/shop", "events")),
        errors.DatabaseMissing("/srv/shp.db", "sqlite:///shp.db"),
        errors.PermissionDenied("permission denied for table es_events", "es_events", ["SELECT"]),
        errors.StreamForbidden("new row violates row-level security policy", ["acme:order-1"]),
        errors.TenantNotSet("unrecognized configuration parameter"),
        errors.SchemaOutdated(1, 2),
        errors.SchemaTooNew(3, 2, 1),
        errors.MigrationError("text"),
        errors.MigrationInProgress(2.5, ["pid 7"]),
        errors.DirectConnectionRequired(),
        errors.MigrationInsideTransaction("building an index"),
        errors.TableLocked("adding a constraint", "es_events", 2.5, ["pid 7"]),
        errors.ConstraintViolated("es_events", "es_events_codec_check", "CHECK (codec >= 0)"),
        errors.EventsWouldBeLost(),
        errors.LogIsPartitioned(),
        errors.RowTypeInUse("es_streams", 'cannot alter table "es_streams"'),
        errors.PartitioningRefused("it is on Citus", "do another thing"),
        errors.ProjectionsHavePartitions(),
        errors.NoSchema('"$user", public'),
        errors.ForeignMigrationHistory(),
        errors.TableTaken(["snapshots"], "public"),
        errors.MigrationLockLost("terminating connection", ["pid 7"]),
        errors.MigrationConnectionLost("building index i", "terminating connection"),
        errors.HistoryDetached(
            "es_events_1", 1, 10, location="s3://archive/es_events_1", sha256="ab", stream_id="order-1"
        ),
        errors.PartInUse("es_events_1", ["projections have not handled its events up to position 10: totals (at 9)"]),
        errors.ViewTaken("order_placed", "there is a table of that name"),
        errors.ReferredTo("es_checkpoints", ["table jobs"]),
        errors.DefinitionsProtected("es_events"),
        errors.DiskTooSmall("building an index", "/srv", 2_000_000, 1_000_000),
        errors.TablesElsewhere("public", "deploy", '"$user", public'),
        errors.UnknownRevision("es_0009", "es_0008"),
        errors.MigratedMeanwhile("es_0002", "es_0004"),
        errors.GlobalOrderError("text"),
        errors.UnsuitableTransaction("is wrong"),
        errors.PositionCacheEnabled(5),
        errors.PositionsBehind(40, 7),
        errors.UnloggedEvents(),
        errors.OutOfParts(7),
        errors.SeveralServers(5),
        errors.UnsuitableServer("the server is a worker of Citus", "connect to the coordinator"),
        errors.PositionBeyondLog(100, 40),
        errors.EventNotReached(7, "order-1", 2, newest=5, settled=4, is_visible=False, waited_seconds=0.5),
        errors.LogWentBack(100, UUID(int=1), None, "totals"),
        errors.ProjectionError("text"),
        errors.ProjectionFailed(
            "orders",
            position=7,
            stream_id="order-1",
            version=2,
            event_type="placed",
            event_id=UUID(int=1),
            error_type="ValueError",
            attempts=3,
        ),
        errors.ProjectionRunning("orders", "host:1"),
        errors.DeadLettersPending("orders", 2),
        errors.WorkerStillRunning("the worker of 'orders'", 30.0),
        errors.ProjectionBehind("orders", 5, 7, waited_seconds=2.5, failure="ValueError"),
        errors.UnknownProjection("orders"),
        errors.DeliveryFailed("https://shop.example", "it has answered with status 500", status=500),
        errors.TargetUnavailable("https://shop.example", "it asks to wait", status=429, retry_after_seconds=7.0),
        errors.MessageRejected("https://shop.example", "it refuses the message", status=422),
        errors.TargetGone("https://shop.example", "it wants no more messages", status=410),
        errors.UnsupportedDatabase("mysql+pymysql"),
        errors.DriverMissing(),
        errors.ExtraMissing("pyarrow", "arrow"),
        errors.FieldMismatch("total", "Decimal", "int64", 7, "order-placed"),
        errors.DatabaseMismatch("text"),
        errors.NotInTransaction(),
        errors.UnsuitableSetting("schema_translate_map", "is set", "take it away"),
        errors.TransactionBroken("aborted"),
        errors.AppendInterrupted("order-1"),
        errors.ReadInterrupted(),
        errors.SeveralTenants("tenant_acme.es_events"),
        errors.SynchronousCall(),
        errors.ReadOnlyDatabase(),
        errors.DatabaseBusy(30.0),
    )
}
CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, EventStoreError)]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_pickles_with_its_text_and_attributes(cls: type[EventStoreError]) -> None:
    error = EXAMPLES[cls]
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    assert type(copy) is cls
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn = re.findall(
        r"^((?:[│├└─ ]{4})*)(\w+)(?: \((\w+)\))?", errors.__doc__.partition("```")[2].partition("```")[0], re.MULTILINE
    )
    parents: list[str] = []
    tree = {}
    for indent, name, builtin in drawn:
        del parents[len(indent) // 4 :]
        tree[name] = ({parents[-1]} if parents else {"Exception"}) | ({builtin} if builtin else set())
        parents.append(name)
    assert tree == {cls.__name__: {base.__name__ for base in cls.__bases__} for cls in CLASSES}
