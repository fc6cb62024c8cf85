"""States as plain data, which snapshots hold, and back."""

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
    """Makes bytes of a state, and a state of bytes: a new one each time.

    What is saved is the state as plain data, and the shape of its class.

    Args:
        codec: The store's.
        shape: Of the states; what was saved with another one is refused.
        to_plain: Makes plain data.
        from_plain: Makes a state of it.
        cls: The class whose annotations bring the states back; None if that is done by `from_plain` alone.
        is_converted: Whether `to_plain` and `from_plain` are the application's own.
    """

    def __init__(
        self,
        codec: PayloadCodec,
        shape: str,
        to_plain: Callable[[State], Any],
        from_plain: Callable[[Any], State],
        cls: type | None = None,
        *,
        is_converted: bool = False,
    ) -> None:
        self._codec = codec
        self._shape = shape
        self._to_plain = to_plain
        self._from_plain = from_plain
        self._cls = cls
        self._is_converted = is_converted

    def encode(self, state: State) -> tuple[int, bytes]:
        """Return the number of the codec and the bytes.

        Raises:
            EncodingError: The state can't be stored exactly, or does not come back as it was.
        """
        if self._cls is not None and type(state) is not self._cls:
            raise _refusal(state, f"is not the class of the initial state, {self._cls.__qualname__}; {_GIVE_BOTH}")
        plain, is_typed = self._to_plain(state), self._cls is not None
        encoded = self._codec.encode({"shape": self._shape, "state": plain}, typed=is_typed)
        if self._is_converted:  # what it is made of, and made into, is the application's affair
            return encoded
        try:
            read = self.decode(*encoded)
        except DecodingError as error:
            raise _refusal(state, f"could not be read back: {error.problem}") from None
        found = difference(state, read, partial(self._codec.encode, typed=is_typed))
        if found is not None:  # a field annotated `Any` or `list` that holds objects, say: they come back as dicts
            raise _refusal(found.value, f"{found.problem}, or {_GIVE_BOTH}", path=found.path)
        return encoded

    def decode(self, codec: int, data: bytes) -> State:
        """Return the state.

        Raises:
            DecodingError: It can't be made of these bytes, or not any more.
        """
        saved = self._codec.decode(codec, data)
        if not isinstance(saved, dict) or saved.keys() != {"shape", "state"} or saved["shape"] != self._shape:
            raise DecodingError("it holds a state of another class, or of another shape of this one")
        try:
            return self._from_plain(saved["state"])
        except DecodingError:
            raise
        except Exception as error:  # noqa: BLE001  # the application's own code, on data of any age
            raise DecodingError(f"from_snapshot has raised {type(error).__name__}") from None


def state_codec(
    codec: PayloadCodec,
    initial: State,
    to_snapshot: Callable[[State], Any] | None,
    from_snapshot: Callable[[Any], State] | None,
) -> StateCodec[State]:
    """Return what makes bytes of states like this one.

    Raises:
        InvalidInput: One of the functions without the other, or neither and the state is of a class that can't do
            without.
    """
    if to_snapshot is not None and from_snapshot is not None:
        return StateCodec(codec, "to_snapshot", to_snapshot, from_snapshot, is_converted=True)
    if to_snapshot is not None or from_snapshot is not None:
        msg = "to_snapshot and from_snapshot belong together: give both, or neither"
        raise InvalidInput(msg)
    cls: Any = type(initial)
    if _is_plain(codec, initial):
        return StateCodec(codec, cls.__qualname__, lambda state: state, lambda plain: cast("State", plain))
    try:
        check_class(cls)
        check_fields(cls)
    except NameError:  # an annotation names what is defined later
        pass
    except EventTypeError as error:
        msg = f"snapshots of {cls.__qualname__} need to_snapshot and from_snapshot: {error}"
        raise InvalidInput(msg) from None
    return StateCodec(
        codec, fingerprint_of(cls), lambda state: state, lambda plain: cast("State", builder(cls)(plain)), cls
    )


def _is_plain(codec: PayloadCodec, value: Any) -> bool:
    """Return whether a value comes back without a class: not so a named tuple, which comes back as a tuple."""
    try:
        return type(codec.decode(*codec.encode(value))) is type(value)
    except EncodingError:
        return False


def _refusal(value: object, problem: str, *, path: str = "$") -> EncodingError:
    return EncodingError(path=path, value_type=type(value).__qualname__, problem=problem)
