"""The MessagePack codec."""

import sys
from collections.abc import Callable
from functools import partial
from types import NoneType
from typing import Annotated, Any, Final
from uuid import UUID

import msgpack
import msgspec

from eventstore.codecs.plain import gather, plain
from eventstore.codecs.refusals import TOO_DEEP, NotStorableError
from eventstore.codecs.scalars import SCALARS

_MAX_SET_DEPTH: Final = 8


class MessagePackCodec:
    """MessagePack, by the packages `msgpack` and `msgspec`: small and fast. The default.

    Types that MessagePack does not have are extension types, whose numbers never change, because they are in databases:
    1 to 5 are the `SCALARS` as text, 6 is a UUID, 10 an integer beyond 64 bits. A tuple, set or frozenset is a list
    that begins with extension 7 of one byte, `t`, `s` or `f`; the members of a set are in the order of their bytes.
    """

    number: Final = 1

    def encode(self, value: Any, *, typed: bool = False) -> bytes:
        """Return the value in MessagePack."""
        packer = _packer(_pack_typed if typed else _pack_plain)
        if typed and type(value) not in _PACKED:
            value = plain(value, typed=True)  # as the packer would let `_pack` do, only sooner
        data: bytes = packer.pack(value)
        return data

    def decode(self, data: bytes) -> Any:
        """Return the value from MessagePack."""
        # With these bytes begin the extensions that `encode` writes. msgspec would refuse them, too, but later.
        if not (0xC7 in data or 0xD4 in data or 0xD5 in data or 0xD6 in data or 0xD7 in data or 0xD8 in data):  # noqa: PLR2004
            try:
                return read_json_types(data)
            except Exception:  # noqa: BLE001, S110  # msgpack succeeds, or raises the right error
                pass
        return unpack(data)


def unpack(data: bytes) -> Any:
    """Return the value from MessagePack of any types, by `msgpack`."""
    list_hook = _unpack_list if _MARK in data else None  # it is slow, so it is used only if there may be a mark
    return msgpack.unpackb(data, ext_hook=_unpack_extension, list_hook=list_hook, strict_map_key=False)


_FINITE: Final[Any] = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
_SCALAR: Final[Any] = None | bool | int | _FINITE | str
_DEPTH: Final = 5


def _json_types() -> Any:
    """Return the types of JSON, nested to a few levels.

    msgspec reads these as msgpack does, in half of the time. It refuses all others, and so all that it would read
    differently: keys that are lists, which it makes tuples, timestamps, and levels without end; and numbers that are
    not finite, which JSON does not have.
    """
    types: Any = _SCALAR
    for _ in range(_DEPTH):
        types = _SCALAR | dict[str, types] | list[types]
    return types


read_json_types: Final = msgspec.msgpack.Decoder(_json_types()).decode
"""Returns the value from MessagePack if JSON has all of its types; raises any error if not."""
_MARK: Final = 0xD4
"""The first byte of each of `_MARKS`."""
_MARKS: Final = {cls: msgpack.ExtType(7, cls.__name__[:1].encode()) for cls in (tuple, set, frozenset)}


_PACKED: Final = frozenset({str, int, float, bool, NoneType, bytes, list, dict, tuple, set, frozenset, UUID, *SCALARS})


def _packer(default: Callable[[Any], Any]) -> Any:
    # The buffer grows if necessary. Allocating Packer's default buffer takes longer than packing an event.
    return msgpack.Packer(default=default, strict_types=True, buf_size=1024)


def _pack(value: Any, *, typed: bool, set_depth: int = 0) -> Any:  # noqa: PLR0911  # one line a type
    """Convert a value that MessagePack does not have to one that it has; msgpack packs the result."""
    cls: type = type(value)
    if cls in SCALARS:
        return msgpack.ExtType(SCALARS[cls].extension, SCALARS[cls].write(value).encode())
    if cls is UUID:
        return msgpack.ExtType(6, value.bytes)
    if cls is tuple:
        return [_MARKS[tuple], *value]
    if cls in (set, frozenset):
        if set_depth == _MAX_SET_DEPTH:  # each level doubles the work
            raise NotStorableError(TOO_DEEP)
        pack = _packer(partial(_pack, typed=typed, set_depth=set_depth + 1)).pack
        return [_MARKS[cls], *sorted(value, key=pack)]  # equal sets, equal bytes
    if cls is int:
        fits = -(2**63) <= value < 2**64
        return value if fits else msgpack.ExtType(10, value.to_bytes(value.bit_length() // 8 + 1, signed=True))
    if cls in (str, bytes, float, bool, NoneType, list, dict):  # the result of `plain`
        return value
    return _pack(plain(value, typed=typed), typed=typed, set_depth=set_depth)  # msgpack does not call this again


_pack_plain: Final = partial(_pack, typed=False)
_pack_typed: Final = partial(_pack, typed=True)
_READ_TEXT: Final = {scalar.extension: scalar.read for scalar in SCALARS.values()}
_READ_BYTES: Final[dict[int, Callable[[bytes], Any]]] = {
    6: lambda data: UUID(bytes=data),
    7: {mark.data: cls for cls, mark in _MARKS.items()}.__getitem__,
    10: lambda data: int.from_bytes(data, signed=True),
}


def _unpack_extension(number: int, data: bytes) -> Any:
    if number in _READ_TEXT:
        return _READ_TEXT[number](data.decode())
    return _READ_BYTES[number](data)


def _unpack_list(parts: list[Any]) -> Any:
    return gather(parts[0], parts[1:]) if parts and isinstance(parts[0], type) else parts
