"""Parts of the log: the partitions of es_events, which are exported, detached, and read from their exports.

`eventstore.migrations.partitioning.parts` lists them.

```python
from eventstore.detaching import detach_part, read_part

detach_part(store, "es_events_1", folder="/archive/es_events_1", location="s3://archive/es_events_1")
for event in read_part(store, "/archive/es_events_1"):
    print(event.position, event.event_type)
```
"""

from eventstore.detaching.detach import DetachOutcome, detach_part
from eventstore.detaching.exporting import PartProgress, export_part
from eventstore.detaching.manifest import Manifest, PartFile
from eventstore.detaching.reading import check_part, load_part, read_part

__all__ = [
    "DetachOutcome",
    "Manifest",
    "PartFile",
    "PartProgress",
    "check_part",
    "detach_part",
    "export_part",
    "load_part",
    "read_part",
]
