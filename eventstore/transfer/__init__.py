"""Transfer of events: exports and imports between stores, and imports from the tables of other programs.

```python
from eventstore.transfer import export_events, import_events

exported = export_events(store, "events.jsonl")
imported = import_events(other_store, "events.jsonl", keep_positions=True)

import_table(store, open_source("postgresql://reader@host/old"), TableMap.from_toml("events.toml"))
```
"""

from eventstore.transfer.exporting import Exported, ExportProgress, export_events
from eventstore.transfer.files import Format
from eventstore.transfer.importing import Imported, ImportProgress, import_events
from eventstore.transfer.incoming import Origin, SourceEvent
from eventstore.transfer.loading import Loaded, last_loaded, load
from eventstore.transfer.sources.comparing import TableComparison, TableDifference, compare_table
from eventstore.transfer.sources.importing import TableImported, TableProgress, import_table
from eventstore.transfer.sources.opening import open_source
from eventstore.transfer.sources.table_map import TableMap

__all__ = [
    "ExportProgress",
    "Exported",
    "Format",
    "ImportProgress",
    "Imported",
    "Loaded",
    "Origin",
    "SourceEvent",
    "TableComparison",
    "TableDifference",
    "TableImported",
    "TableMap",
    "TableProgress",
    "compare_table",
    "export_events",
    "import_events",
    "import_table",
    "last_loaded",
    "load",
    "open_source",
]
