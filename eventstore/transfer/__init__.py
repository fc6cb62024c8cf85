"""Transfer of events between stores: exports and imports.

```python
from eventstore.transfer import export_events, import_events

exported = export_events(store, "events.jsonl")
imported = import_events(other_store, "events.jsonl", keep_positions=True)
```
"""

from eventstore.transfer.exporting import Exported, ExportProgress, export_events
from eventstore.transfer.files import Format
from eventstore.transfer.importing import Imported, ImportProgress, import_events

__all__ = [
    "ExportProgress",
    "Exported",
    "Format",
    "ImportProgress",
    "Imported",
    "export_events",
    "import_events",
]
