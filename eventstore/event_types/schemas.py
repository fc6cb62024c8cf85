"""JSON Schema of registered classes: what their events look like as `JSONCodec` stores them."""

import inspect as python_inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import inspect

from eventstore.errors import EventTypeError
from eventstore.event_types.upcasting import Shape

Schema = dict[str, Any]

_PYDANTIC: Final = "__pydantic_validator__"
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_CONSTRAINTS: Final = {
    "gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum", "multiple_of": "multipleOf",
    "pattern": "pattern",
}  # fmt: skip


def schema_of(shape: Shape, cls: type) -> Schema:
    """Return the schema of an event type's payload, in JSON Schema 2020-12.

    Args:
        shape: The event type and its schema version, which become `title` and the annotation `x-schema-version`.
        cls: The registered class.

    Raises:
        EventTypeError: An annotation uses a name that is not defined, or a type that has no schema.
    """
    event_type, version = shape
    definitions = _Definitions()
    try:
        schema = definitions.of_class(cls)
    except NameError as error:
        msg = f"the class of {event_type!r} has no schema yet: {error}"
        raise EventTypeError(msg) from None
    return {"$schema": _DRAFT, "title": event_type, "x-schema-version": version, **schema, "$defs": definitions.named}


def tagged(tag: str, content: Schema) -> Schema:
    """Return the schema of an object with one key: how `JSONCodec` stores types that JSON does not have."""
    return {"type": "object", "properties": {tag: content}, "required": [tag], "additionalProperties": False}


def _text(tag: str, **more: str) -> Schema:
    return tagged(tag, {"type": "string", **more})


SCALARS: Final[Mapping[str, Schema]] = {
    "decimal": _text("$decimal"),
    "datetime": _text("$datetime", description="RFC 9557: 2026-10-25T02:30:00+01:00[Europe/Berlin]"),
    "date": _text("$date", format="date"),
    "time": _text("$time"),
    "timedelta": _text("$timedelta", pattern=r"^-?\d+ \d+ \d+$", description="days, seconds, microseconds"),
    "uuid": _text("$uuid", format="uuid"),
    "bytes": _text("$bytes", contentEncoding="base64"),
    "int": {"anyOf": [{"type": "integer"}, _text("$int", description="hexadecimal, above 2,000 bits")]},
    "float": {"anyOf": [{"type": "number"}, tagged("$float", {"enum": ["nan", "inf", "-inf"]})]},
}
"""How `JSONCodec` stores each of these."""


class _Definitions:
    """Builds schemas. Classes, and types that JSON does not have, are defined once, under `$defs`."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}

    def of_class(self, cls: Any) -> Schema:
        """Return a reference to the schema of a class."""
        return self._of_pydantic(cls) if hasattr(cls, _PYDANTIC) else self._of(inspect.type_info(cls))

    def _of(self, node: inspect.Type) -> Schema:
        make: Callable[[Any], Schema] | None = self._makers.get(type(node))
        if make is not None:
            return make(node)
        scalar = _SCALAR_NODES.get(type(node))
        if scalar is None:
            return {}  # any value
        limits = _constraints(node)
        if scalar in {"int", "float"} and limits:
            return {"type": "integer" if scalar == "int" else "number", **limits}
        self.named.setdefault(f"${scalar}", SCALARS[scalar])
        return {"$ref": f"#/$defs/${scalar}"}

    @property
    def _makers(self) -> dict[type, Callable[[Any], Schema]]:
        return {
            inspect.NoneType: lambda _: {"type": "null"},
            inspect.BoolType: lambda _: {"type": "boolean"},
            inspect.StrType: lambda node: {"type": "string", **_constraints(node), **_lengths(node, "Length")},
            inspect.EnumType: lambda node: _enum([member.value for member in node.cls]),
            inspect.LiteralType: lambda node: _enum(list(node.values)),
            inspect.UnionType: self._of_union,
            inspect.Metadata: lambda node: {**self._of(node.type), **(node.extra_json_schema or {})},
            inspect.ListType: self._of_items,
            inspect.SetType: lambda node: tagged("$set", self._of_items(node)),
            inspect.FrozenSetType: lambda node: tagged("$frozenset", self._of_items(node)),
            inspect.VarTupleType: lambda node: tagged("$tuple", self._of_items(node)),
            inspect.TupleType: lambda node: tagged("$tuple", _row([self._of(each) for each in node.item_types])),
            inspect.NamedTupleType: lambda node: tagged("$tuple", _row([self._of(each.type) for each in node.fields])),
            inspect.DictType: self._of_dict,
            inspect.TypedDictType: self._of_fields,
            inspect.DataclassType: self._of_fields,
            inspect.StructType: self._of_fields,
            inspect.CustomType: lambda node: self._of_pydantic(node.cls),
        }

    def _of_union(self, node: Any) -> Schema:
        return {"anyOf": [self._of(each) for each in node.types]}

    def _of_items(self, node: Any) -> Schema:
        return {"type": "array", "items": self._of(node.item_type), **_lengths(node, "Items")}

    def _of_dict(self, node: Any) -> Schema:
        key, value = self._of(node.key_type), self._of(node.value_type)
        pairs = tagged("$dict", {"type": "array", "items": _row([key, value])})
        if isinstance(node.key_type, inspect.StrType):
            # with one key that begins with $, it is stored as pairs
            return {"anyOf": [{"type": "object", "additionalProperties": value}, pairs]}
        return {"anyOf": [{"type": "object", "maxProperties": 0}, pairs]}

    def _of_fields(self, node: Any) -> Schema:
        name, is_new = self._name(node.cls)
        if is_new:
            self.named[name] = {}  # for a class that refers to itself
            self.named[name] = {**_described(node.cls), **self._object(node)}
        return {"$ref": f"#/$defs/{name}"}

    def _object(self, node: Any) -> Schema:
        tag = {} if getattr(node, "tag", None) is None else {node.tag_field: {"const": node.tag}}
        properties = {field.encode_name: self._of(field.type) for field in node.fields}
        required = [*tag, *(field.encode_name for field in node.fields if field.required)]
        if getattr(node, "array_like", False):
            return _row([*tag.values(), *properties.values()], at_least=len(required))
        is_closed = {"additionalProperties": False} if getattr(node, "forbid_unknown_fields", False) else {}
        return {"type": "object", "properties": {**tag, **properties}, "required": required, **is_closed}

    def _of_pydantic(self, cls: Any) -> Schema:
        name, is_new = self._name(cls)
        if is_new:
            schema = _pydantic_schema(cls)
            definitions = schema.pop("$defs", {})
            if list(schema) == ["$ref"]:  # a model that refers to itself
                return {"$ref": self._adopt(definitions, schema["$ref"].rpartition("/")[2])}
            self.named[name] = schema
            self._adopt(definitions, None)
        return {"$ref": f"#/$defs/{name}"}

    def _adopt(self, definitions: dict[str, Schema], name: str | None) -> str:
        self.named.update(definitions)
        return f"#/$defs/{name}"

    def _name(self, cls: Any) -> tuple[str, bool]:
        if cls in self._names:
            return self._names[cls], False
        name, number = cls.__name__, 1
        while name in self.named:
            number += 1
            name = f"{cls.__name__}{number}"
        self._names[cls] = name
        return name, True


def _pydantic_schema(cls: Any) -> Schema:
    """Return pydantic's own schema of a model, with the types that JSON does not have as `JSONCodec` stores them."""
    from pydantic import TypeAdapter  # noqa: PLC0415  # no dependency of this package; the application has imported it
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415  # likewise

    def wrapped(tag: str, name: str) -> Callable[..., Schema]:
        inner = getattr(GenerateJsonSchema, name)
        return lambda self, schema: tagged(tag, {**inner(self, schema)})

    def limited(name: str, scalar: str) -> Callable[..., Schema]:
        inner = getattr(GenerateJsonSchema, name)

        def make(self: Any, schema: Any) -> Schema:
            plain: Schema = inner(self, schema)
            return SCALARS[scalar] if set(plain) == {"type"} else plain

        return make

    def dict_schema(self: Any, schema: Any) -> Schema:
        plain: Schema = GenerateJsonSchema.dict_schema(self, schema)
        key, value = (
            self.generate_inner(schema[of]) if of in schema else {} for of in ("keys_schema", "values_schema")
        )
        pairs = tagged("$dict", {"type": "array", "items": _row([key, value])})
        is_text = schema.get("keys_schema", {}).get("type") == "str"
        return {"anyOf": [plain if is_text else {"type": "object", "maxProperties": 0}, pairs]}

    methods: dict[str, Any] = {
        "dict_schema": dict_schema,
    }
    methods |= {
        f"{name}_schema": lambda _self, _schema, name=name: SCALARS[name]
        for name in ("decimal", "datetime", "date", "time", "timedelta", "uuid", "bytes")
    }
    methods |= {f"{name}_schema": wrapped(f"${name}", f"{name}_schema") for name in ("set", "frozenset", "tuple")}
    methods |= {f"{name}_schema": limited(f"{name}_schema", name) for name in ("int", "float")}
    generator: Any = type("StoredSchema", (GenerateJsonSchema,), methods)
    schema: Schema = TypeAdapter(cls).json_schema(schema_generator=generator, by_alias=False)
    return schema


_SCALAR_NODES: Final[dict[type, str]] = {
    inspect.IntType: "int",
    inspect.FloatType: "float",
    inspect.DecimalType: "decimal",
    inspect.DateTimeType: "datetime",
    inspect.DateType: "date",
    inspect.TimeType: "time",
    inspect.TimeDeltaType: "timedelta",
    inspect.UUIDType: "uuid",
    inspect.BytesType: "bytes",
    inspect.ByteArrayType: "bytes",
    inspect.MemoryViewType: "bytes",
}


def _constraints(node: Any) -> Schema:
    found = {keyword: getattr(node, name, None) for name, keyword in _CONSTRAINTS.items()}
    return {keyword: value for keyword, value in found.items() if value is not None}


def _lengths(node: Any, of: str) -> Schema:
    found = {f"min{of}": node.min_length, f"max{of}": node.max_length}
    return {keyword: value for keyword, value in found.items() if value is not None}


def _row(items: list[Schema], *, at_least: int | None = None) -> Schema:
    least = len(items) if at_least is None else at_least
    return {"type": "array", "prefixItems": items, "minItems": least, "maxItems": len(items)}


def _enum(values: list[Any]) -> Schema:
    """Return the schema of one of these values; of any value if one is stored in another form than itself."""
    if all(value is None or isinstance(value, str | int) for value in values):
        return {"enum": [value if value is None else _base(value) for value in values]}
    return {}


def _base(value: Any) -> Any:
    return value if isinstance(value, bool) else str.__str__(value) if isinstance(value, str) else int(value)


def _described(cls: Any) -> Schema:
    """Return the docstring of a class, unless a library has made it."""
    text = python_inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    return {"description": text} if text and not text.startswith(f"{cls.__name__}(") else {}
