"""How one store encodes payloads: with which codec, compressed or not, and with errors that name the invalid part."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from eventstore.codecs.exactness import difference
from eventstore.codecs.json_text import JSONCodec
from eventstore.codecs.messagepack import MessagePackCodec
from eventstore.codecs.plain import plain, step_to
from eventstore.codecs.protocol import Codec
from eventstore.codecs.refusals import NOT_EXACT, TOO_DEEP, NotStorableError
from eventstore.common.validation import check_number
from eventstore.errors import DecodingError, EncodingError, InvalidInput

_ZSTD: Final = 256
"""Added to the number of the codec in a row whose bytes are compressed."""
_ALWAYS_FINE: Final = 16 * 1024 * 1024
_MAX_RATIO: Final = 256
"""Compressed data may grow to 16 MiB, or to this many times its size; otherwise a few kB could fill the memory."""
_MAX_STEPS: Final = 100
"""The longest path to a part that can't be stored."""
_MAX_STEPS_TOO_DEEP: Final = 8
"""The longest path into a part that is nested too deeply: each step takes as long as the whole encoding."""
_REFUSALS: Final = (TypeError, ValueError, OverflowError, RecursionError, BufferError)


class PayloadCodec:
    """How one store writes payloads, and reads old and new ones.

    Args:
        codec: Writes payloads, and reads those that it has written.
        compress_above: Compress payloads of more bytes than this with zstd, if that makes them smaller. Defaults to
            None: never. Needs the extra `zstd`.
        also_reads: Your codecs that older rows were written with. MessagePack and JSON are always read.

    Raises:
        InvalidInput: The number of a codec is reserved or used by another one, `compress_above` is not an integer from
            0, or zstd is not installed.
    """

    def __init__(self, codec: Codec, *, compress_above: int | None = None, also_reads: Iterable[Codec] = ()) -> None:
        if isinstance(also_reads, str | bytes | Mapping) or not isinstance(also_reads, Iterable):
            msg = f"also_reads must be a list of codecs, not {type(also_reads).__name__}"
            raise InvalidInput(msg)
        if compress_above is not None:
            check_number("compress_above", compress_above)
            _zstandard()
        self.codec = codec
        self._compress_above = math.inf if compress_above is None else compress_above
        self._codecs: dict[int, Codec] = {known.number: known for known in (MessagePackCodec(), JSONCodec())}
        for each in (codec, *also_reads):
            if type(each) not in (MessagePackCodec, JSONCodec):
                self._add(each)
        self.is_exact = type(codec) in (MessagePackCodec, JSONCodec)
        """Whether the codec is known to read back exactly what it has written; an application's codec is not."""
        self._uncompressed = {number: known.decode for number, known in self._codecs.items()}

    def _add(self, codec: Codec) -> None:
        number = getattr(codec, "number", None)
        if type(number) is not int or not 64 <= number <= 255:  # noqa: PLR2004
            msg = f"the number of your codec {codec!r} must be between 64 and 255, not {number!r}"
            raise InvalidInput(msg)
        if self._codecs.setdefault(number, codec) is not codec:
            msg = f"two codecs have the number {number}; give one of them another number"
            raise InvalidInput(msg)

    def encode(
        self, value: Any, *, typed: bool = False, index: int | None = None, event_type: str | None = None
    ) -> tuple[int, bytes]:
        """Return the number of the codec and the bytes.

        Args:
            value: The data of an event, or the state of a snapshot.
            typed: Whether the annotations of a class will restore enums and nested objects.
            index: The index of the event in the append, for the error.
            event_type: The type of the event, for the error.

        Raises:
            EncodingError: The value can't be stored exactly.
        """
        try:
            data = self.codec.encode(value, typed=typed)
        except _REFUSALS as error:
            path, part, problem = self._locate(value, error, typed=typed)
            raise EncodingError(
                path=path, value_type=type(part).__name__, problem=problem, index=index, event_type=event_type
            ) from None
        if len(data) > self._compress_above:
            compressed: bytes = _zstandard().compress(data)
            if len(compressed) < len(data) <= _most(compressed):
                return self.codec.number + _ZSTD, compressed
        return self.codec.number, data

    def encode_as(self, number: int, value: Any) -> bytes:
        """Encode plain data as in a row with the given codec number.

        Raises:
            DecodingError: The number is not known, or the data shrinks too much, so that no store would have compressed
                it.
            Exception: The codec's error, if it can't encode the data.
        """
        data = self._codec_of(number).encode(value)
        if number < _ZSTD:
            return data
        compressed: bytes = _zstandard().compress(data)
        if len(data) > _most(compressed):
            raise _too_large(compressed, len(data))
        return compressed

    def decode(self, number: int, data: bytes) -> Any:
        """Return the value.

        Args:
            number: The codec number of the row.
            data: The bytes.

        Raises:
            DecodingError: The number is not known, or the bytes are damaged, or would grow to more than 16 MiB and more
                than 256 times their size.
        """
        decode = self._uncompressed.get(number) or self._decompressing(number)
        try:
            return decode(data)
        except DecodingError:
            raise
        except InvalidInput as error:
            raise DecodingError(str(error)) from None
        except Exception as error:  # noqa: BLE001  # damaged bytes make a codec raise anything
            problem = f"the stored bytes are damaged, or not of codec {number % _ZSTD} ({type(error).__name__})"
            raise DecodingError(problem) from None

    def holds_same_value(self, one: tuple[int, bytes], other: tuple[int, bytes]) -> bool:
        """Return whether two rows have exactly the same value, with any codecs, and with any order of keys.

        Args:
            one: The codec number and the bytes of one row.
            other: Those of the other row.

        Raises:
            DecodingError: One of them can't be read.
        """
        if one == other:
            return True
        return difference(self.decode(*one), self.decode(*other), self.codec.encode) is None

    def _decompressing(self, number: int) -> Callable[[bytes], Any]:
        codec = self._codec_of(number)
        return lambda data: codec.decode(_decompressed(data))

    def _codec_of(self, number: int) -> Codec:
        compression, codec_number = divmod(number, _ZSTD)
        codec = self._codecs.get(codec_number)
        if codec is None or compression not in (0, 1):
            raise DecodingError(
                f"written by the codec with number {number}, which this store does not know; name it in also_reads"
            )
        return codec

    def _locate(self, value: Any, error: Exception, *, typed: bool) -> tuple[str, Any, str]:
        """Return path, value and problem of a part that can't be encoded: of the innermost, unless it is too deep."""
        path, outer = "$", [value]
        for number in range(_MAX_STEPS):
            if number >= _MAX_STEPS_TOO_DEEP and _problem(error) == TOO_DEEP:
                break
            for step, part in _parts(value, typed=typed):
                try:
                    self.codec.encode(part, typed=typed)
                except _REFUSALS as inner:
                    path, value, error = path + step, part, inner
                    break
            else:
                return path, value, _problem(error)
            if any(value is each for each in outer):  # it contains itself: any longer path would do as well
                break
            outer.append(value)
        return path, value, TOO_DEEP


def _parts(value: Any, *, typed: bool) -> Iterator[tuple[str, Any]]:
    """Yield the path step and value of each part of a container, dict keys among them."""
    try:
        value = plain(value, typed=typed)
    except _REFUSALS:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            yield step_to(key), part
        for key in value:
            yield f"[key of type {type(key).__name__}]", key
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from (("{}", part) for part in value)


def _problem(error: Exception) -> str:
    """Return why a value can't be stored, without the text of a foreign error, which may show the value."""
    if isinstance(error, NotStorableError):
        return str(error)
    if isinstance(error, UnicodeEncodeError):
        return "not valid Unicode (half of a surrogate pair)"
    if isinstance(error, RecursionError) or "recursion limit exceeded" in str(error):  # msgpack's ValueError
        return TOO_DEEP
    return NOT_EXACT


def _most(compressed: bytes) -> int:
    """Return how many bytes compressed data may grow to. Data that would grow more is not compressed."""
    return max(_ALWAYS_FINE, _MAX_RATIO * len(compressed))


def _too_large(compressed: bytes, size: int) -> DecodingError:
    return DecodingError(
        f"{len(compressed)} compressed bytes would become {size}, which is more than a store compresses; the row is "
        "damaged or forged"
    )


def _decompressed(data: bytes) -> bytes:
    zstandard = _zstandard()
    size: int = zstandard.frame_content_size(data)  # -1 if the frame does not say
    if size > _most(data):
        raise _too_large(data, size)
    decompressed: bytes = zstandard.decompress(data, max_output_size=_most(data))
    return decompressed


def _zstandard() -> Any:
    try:
        import zstandard  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        msg = "zstd is not installed; install sqlalchemy-eventstore[zstd]"
        raise InvalidInput(msg) from None
    return zstandard
