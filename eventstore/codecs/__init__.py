"""Codecs, which turn values into bytes and back, exactly.

The number of the codec is stored in every row, so a store can change its codec and still read older rows. Both codecs
store None, bool, int of any size, float, str, bytes, datetime, date, time, timedelta, Decimal, UUID, list, tuple, dict,
set and frozenset, nested in any way. In the data of a registered event class they also store enums and nested
dataclasses, attrs classes, msgspec Structs and pydantic models, which are restored by the annotations of that class.

An object of a subclass is read back as the type above that it equals: a named tuple as a tuple, an OrderedDict as a
dict, the datetime of a frozen clock as a datetime, and a bytearray as bytes. Time zones of `zoneinfo` and fixed offsets
are kept; of any other tzinfo, the offset is kept. A datetime whose zone is unknown on this machine, or has new rules,
is still the same instant.

JSON allows 100 levels of nesting, MessagePack 500, sets in sets 8. Deeper values are refused when they are written.
"""

from eventstore.codecs.json_text import JSONCodec
from eventstore.codecs.messagepack import MessagePackCodec
from eventstore.codecs.protocol import Codec

__all__ = ["Codec", "JSONCodec", "MessagePackCodec"]
