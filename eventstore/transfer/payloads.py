"""Payloads that people can read, from which the very same bytes can be made again."""

from eventstore.codecs import JSONCodec
from eventstore.codecs.payload import PayloadCodec

_JSON = JSONCodec()


def readable(codec: PayloadCodec, number: int, data: bytes) -> bytes | None:
    """Return a payload as JSON, None where its bytes could not be made of that again.

    So what is damaged, or written by another library or an unknown codec, is carried as bytes and is none the worse.
    """
    try:
        text = _JSON.encode(codec.decode(number, data))
        same = codec.encode_as(number, _JSON.decode(text)) == data
    except Exception:  # noqa: BLE001  # whatever it is, the bytes are what counts
        return None
    return text if same else None


def stored(codec: PayloadCodec, number: int, text: bytes) -> bytes:
    """Return the bytes of a payload that was made readable.

    Raises:
        Exception: The text is no JSON, or the codec is not known.
    """
    return codec.encode_as(number, _JSON.decode(text))
