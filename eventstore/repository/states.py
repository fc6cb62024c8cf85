"""The conversion between states and the plain data of snapshots."""

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar, cast

from eventstore.codecs.exactness import difference
from eventstore.codecs.payload import PayloadCodec
from eventstore.errors import DecodingError, EncodingError, EventTypeError, InvalidInput
from eventstore.event_types.classes import builder, check_class, check_fields
from eventstore.repository.fingerprint import fingerprint_of

State = TypeVar("State")

_GIVE_BOTH = "give the repository to_snapshot and from_snapshot"


class StateCodec(Generic[State]):
    """Encodes states, and decodes them to a new object each time.

    A snapshot has the state as plain data, and the fingerprint of its class.

    Args:
        codec: The store's codec.
        fingerprint: The fingerprint of the states. A snapshot with another one is refused.
        to_plain: Converts a state to plain data.
        from_plain: Converts plain data to a state.
        cls: The class whose annotations restore the states; None if `from_plain` restores them alone.
        is_converted: Whether `to_plain` and `from_plain` are the application's.
    """

    def __init__(
        self,
        codec: PayloadCodec,
        fingerprint: str,
        to_plain: Callable[[State], Any],
        from_plain: Callable[[Any], State],
        cls: type | None = None,
        *,
        is_converted: bool = False,
    ) -> None:
        self._codec = codec
        self._fingerprint = fingerprint
        self._to_plain = to_plain
        self._from_plain = from_plain
        self._cls = cls
        self._is_converted = is_converted

    def encode(self, state: State) -> tuple[int, bytes]:
        """Return the number of the codec and the bytes.

        Raises:
            EncodingError: The state can't be stored exactly, or is read back changed.
        """
        if self._cls is not None and type(state) is not self._cls:
            raise _refusal(state, f"is not the class of the initial state, {self._cls.__qualname__}; {_GIVE_BOTH}")
        plain, is_typed = self._to_plain(state), self._cls is not None
        encoded = self._codec.encode({"shape": self._fingerprint, "state": plain}, typed=is_typed)
        if self._is_converted:  # the application is responsible for its conversions
            return encoded
        try:
            read = self.decode(*encoded)
        except DecodingError as error:
            raise _refusal(state, f"could not be read back: {error.problem}") from None
        change = difference(state, read, partial(self._codec.encode, typed=is_typed))
        if change is not None:  # for example objects in a field annotated `Any` or `list`, which are read as dicts
            raise _refusal(change.value, f"{change.problem}, or {_GIVE_BOTH}", path=change.path)
        return encoded

    def decode(self, codec: int, data: bytes) -> State:
        """Return the state.

        Raises:
            DecodingError: The bytes are not a state of this class, as it is now.
        """
        content = self._codec.decode(codec, data)
        is_content = isinstance(content, dict) and content.keys() == {"shape", "state"}
        if not is_content or content["shape"] != self._fingerprint:
            raise DecodingError("it has a state of another class, or of this class with other fields")
        try:
            return self._from_plain(content["state"])
        except DecodingError:
            raise
        except Exception as error:  # noqa: BLE001  # the application's code, on data of any age
            raise DecodingError(f"from_snapshot has raised {type(error).__name__}") from None


def state_codec(
    codec: PayloadCodec,
    initial: State,
    to_snapshot: Callable[[State], Any] | None,
    from_snapshot: Callable[[Any], State] | None,
) -> StateCodec[State]:
    """Return the codec for states like the initial one.

    Raises:
        InvalidInput: Only one of the functions is given, or none, and the state's class needs them.
    """
    if to_snapshot is not None and from_snapshot is not None:
        return StateCodec(codec, "to_snapshot", to_snapshot, from_snapshot, is_converted=True)
    if to_snapshot is not None or from_snapshot is not None:
        msg = "pass both to_snapshot and from_snapshot, or neither"
        raise InvalidInput(msg)
    cls: Any = type(initial)
    if _is_plain(codec, initial):
        return StateCodec(codec, cls.__qualname__, lambda state: state, lambda plain: cast("State", plain))
    try:
        check_class(cls)
        check_fields(cls)
    except NameError:  # an annotation uses a name that is defined later
        pass
    except EventTypeError as error:
        msg = f"snapshots of {cls.__qualname__} need to_snapshot and from_snapshot: {error}"
        raise InvalidInput(msg) from None
    return StateCodec(
        codec, fingerprint_of(cls), lambda state: state, lambda plain: cast("State", builder(cls)(plain)), cls
    )


def _is_plain(codec: PayloadCodec, value: Any) -> bool:
    """Return whether a value is read back with its type, unlike a named tuple, which is read back as a tuple."""
    try:
        return type(codec.decode(*codec.encode(value))) is type(value)
    except EncodingError:
        return False


def _refusal(value: object, problem: str, *, path: str = "$") -> EncodingError:
    return EncodingError(path=path, value_type=type(value).__qualname__, problem=problem)
