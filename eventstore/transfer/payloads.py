"""Payloads in readable form, from which the exact bytes can be restored."""

from eventstore.codecs import JSONCodec
from eventstore.codecs.payload import PayloadCodec

_JSON = JSONCodec()


def readable(codec: PayloadCodec, number: int, data: bytes) -> bytes | None:
    """Return a payload as JSON; None if its exact bytes could not be restored from that.

    Damaged payloads, and those of another library or an unknown codec, are therefore exported as bytes, unchanged.
    """
    try:
        text = _JSON.encode(codec.decode(number, data))
        same = codec.encode_as(number, _JSON.decode(text)) == data
    except Exception:  # noqa: BLE001  # for any error, the bytes are exported
        return None
    return text if same else None


def stored(codec: PayloadCodec, number: int, text: bytes) -> bytes:
    """Return the stored bytes of a payload in readable form.

    Raises:
        Exception: The text is not JSON, or the codec is not known.
    """
    return codec.encode_as(number, _JSON.decode(text))
