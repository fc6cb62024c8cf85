"""Every SQL statement of the store, one function each.

A function takes the tables and returns a SQLAlchemy Core construct; what varies from call to call is a named bind
parameter. Nothing is executed here: pass the function to the seam, `run(statements.stream_version,
stream_id="order-42")`. To look at one, compile it or EXPLAIN it: `print(statements.read_forwards(tables))`.
"""

from eventstore.statements.appending import (
    advance_existing_head,
    advance_head,
    append_at_version,
    append_at_version_and_notify,
    append_to_any,
    append_to_any_and_notify,
    append_to_existing,
    append_to_existing_and_notify,
    append_to_many,
    append_to_many_and_notify,
    append_to_new,
    append_to_new_and_notify,
    create_head,
    create_heads,
    create_or_advance_head,
    find_heads,
    find_positions,
    insert_event,
    lock_heads,
    set_head,
    take_write_lock,
)
from eventstore.statements.filtering import read_matching, read_matching_by_json
from eventstore.statements.global_order import end_of_run, look, newest_position, position_cache, read_everything
from eventstore.statements.notifications import notification_channel
from eventstore.statements.reading import newest_stored_version, read_backwards, read_forwards, stream_version
from eventstore.statements.schema import schema_version
from eventstore.statements.snapshots import delete_snapshot, delete_snapshots, load_snapshot, save_snapshot

__all__ = [
    "advance_existing_head",
    "advance_head",
    "append_at_version",
    "append_at_version_and_notify",
    "append_to_any",
    "append_to_any_and_notify",
    "append_to_existing",
    "append_to_existing_and_notify",
    "append_to_many",
    "append_to_many_and_notify",
    "append_to_new",
    "append_to_new_and_notify",
    "create_head",
    "create_heads",
    "create_or_advance_head",
    "delete_snapshot",
    "delete_snapshots",
    "end_of_run",
    "find_heads",
    "find_positions",
    "insert_event",
    "load_snapshot",
    "lock_heads",
    "look",
    "newest_position",
    "newest_stored_version",
    "notification_channel",
    "position_cache",
    "read_backwards",
    "read_everything",
    "read_forwards",
    "read_matching",
    "read_matching_by_json",
    "save_snapshot",
    "schema_version",
    "set_head",
    "stream_version",
    "take_write_lock",
]
