"""Values to bytes and back, exactly.

A codec is stored with every row, as a number, so that a store may change its codec and still read what it wrote before.
Both codecs keep None, bool, int of any size, float, str, bytes, datetime, date, time, timedelta, Decimal, UUID, list,
tuple, dict, set and frozenset, nested in any way. In the data of a registered event class they also take enums and
nested dataclasses, attrs classes, msgspec Structs and pydantic models, which the annotations of that class bring back.

A subclass comes back as the type above that it is equal to: a named tuple as a tuple, an OrderedDict as a dict, a
frozen clock's datetime as a datetime; and a bytearray as bytes. Zones are those of `zoneinfo` and fixed offsets; of any
other tzinfo the offset is kept. A datetime whose zone is unknown here, or has new rules, is still the same instant.

JSON takes 100 levels of nesting, MessagePack 500; sets in sets go 8 deep. What is deeper is refused when it is written.
"""

from eventstore.codecs.json_text import JSONCodec
from eventstore.codecs.messagepack import MessagePackCodec
from eventstore.codecs.protocol import Codec

__all__ = ["Codec", "JSONCodec", "MessagePackCodec"]
