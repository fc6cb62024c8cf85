"""Events as columns: Arrow, pandas, Polars, DuckDB and plots; and events from data frames. Needs the extra `arrow`."""

from importlib.util import find_spec

from eventstore.errors import ExtraMissing

if find_spec("pyarrow") is None:
    raise ExtraMissing("pyarrow", "arrow")

from eventstore.contrib.frames.appending import Appended, append
from eventstore.contrib.frames.frame import Frame
from eventstore.contrib.frames.reads import read_all, read_stream

__all__ = ["Appended", "Frame", "append", "read_all", "read_stream"]
