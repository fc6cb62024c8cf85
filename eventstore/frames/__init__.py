"""Events as columns: Arrow, pandas, Polars, DuckDB and plots; and events from data frames. Needs the extra `arrow`."""

from eventstore.errors import ExtraMissing

try:
    import pyarrow as _pyarrow  # noqa: F401  # asked for here once, for all that follows
except ImportError:
    raise ExtraMissing("pyarrow", "arrow") from None

from eventstore.frames.appending import Appended, append
from eventstore.frames.frame import Frame
from eventstore.frames.reads import read_all, read_stream

__all__ = ["Appended", "Frame", "append", "read_all", "read_stream"]
