"""Compiled validation of JSON values and query strings against the schemas of a contract."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, islice
from typing import Any, cast
from urllib.parse import parse_qsl

import jsonschema_rs

from contract.errors import InvalidRequestError
from contract.types import FieldError
from domain.clock import parse_instant

Schema = dict[str, Any]
Path = tuple[str, ...]
"""The names of the members that lead to a value."""
LONG_TEXT = 2**16
"""The maximum number of characters of a string whose errors are searched for. Each error holds a copy of the string."""
MANY_MEMBERS = 1000
"""The maximum number of members of an object whose errors are searched for."""
DEEP = 32
"""The maximum depth of a value whose errors are searched for; the outermost value has depth 0."""

SHOWN_NAME = 40
"""The number of characters of an unknown member's name that the log shows."""
_RFC3339 = jsonschema_rs.Draft4Validator({"format": "date-time"}, validate_formats=True)
_INTEGER = re.compile(r"-?[0-9]{1,18}")
"""An integer in a query string. A longer one stays a string, which no integer schema accepts."""


def to_json_schema(node: Any) -> Any:
    """Translate an OpenAPI 3.0 schema to JSON Schema draft 4, where `nullable` does not exist."""
    if isinstance(node, list):
        return [to_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {key: to_json_schema(value) for key, value in node.items() if key != "example"}
    if node.get("nullable") is True and isinstance(node.get("type"), str):
        schema["type"] = [node["type"], "null"]
    return schema


def _is_storable_instant(text: str) -> bool:
    try:
        return _RFC3339.is_valid(text) and bool(parse_instant(text))
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class FaultLimits:
    """The maximum number of faults in a response, and the maximum lengths of their texts in characters."""

    items: int
    field: int
    message: int


class Fault(dict[str, object]):
    """A `FieldError`, with the text that describes it in the log: JSON pointer and keyword of the schema.

    The only part of a request in this text is the name of an unknown member, cut to `SHOWN_NAME` characters.
    """

    __slots__ = ("shown",)

    def __init__(self, error: FieldError, shown: str) -> None:
        super().__init__(error)
        self.shown = shown


def described(error: FieldError, text: str) -> FieldError:
    """Return a fault with the text that describes it in the log."""
    return cast("FieldError", Fault(error, text))


def shown(fault: FieldError) -> str:
    """Return the text that describes a fault in the log; an empty string if it has none."""
    return getattr(fault, "shown", "")


class Validator:
    """A compiled schema."""

    def __init__(self, schema: Schema, components: Schema, limits: FaultLimits) -> None:
        self._compiled = _compile(schema, components)
        self._schema, self._components, self._limits = schema, components, limits

    def is_valid(self, value: Any) -> bool:
        """Return whether a value conforms. Raises ValueError if it is nested too deeply to be validated."""
        return self._compiled.is_valid(value)

    def faults(self, value: Any) -> list[FieldError]:
        """Return the faults of a value within the limits of the contract; an empty list if it conforms."""
        try:
            if self._compiled.is_valid(value):
                return []
            if excess := _excess(value):
                return [self.fault("", excess, excess)]
            return list(islice(self._find(value), self._limits.items))
        except ValueError as error:
            return [self.fault("", str(error), "too deep")]

    def _find(self, value: Any) -> Iterator[FieldError]:
        """Yield the faults: first those outside arrays, then those of array items, item by item.

        jsonschema_rs finds all errors before it returns the first, which takes seconds for an array of bad items.
        """
        without_items, arrays = self._parts
        for error in without_items.iter_errors(value):
            pointer = _pointer(error.instance_path, error.kind)
            shown_pointer = _pointer(error.instance_path, error.kind, SHOWN_NAME)
            yield self.fault(pointer, error.message, f"{shown_pointer} {error.schema_path[-1]}")
        for path, rules in arrays:
            for index, item in enumerate(_array_at(value, path)):
                for fault in rules.faults(item):
                    place = _pointer([*path, index])
                    yield self.fault(place + fault["field"], fault["message"], place + shown(fault))

    @cached_property
    def _parts(self) -> tuple[jsonschema_rs.Draft4Validator, list[tuple[Path, "Validator"]]]:
        """The schema without the rules of array items, and for each array its path and those rules."""
        schema, arrays = _without_items(self._schema, self._components, ())
        rules = [(path, Validator(items, self._components, self._limits)) for path, items in arrays]
        return _compile(schema, self._components), rules

    def fault(self, field: str, message: str, shown: str) -> FieldError:
        """Return one fault, cut to the lengths of the contract. `shown` describes it in the log."""
        return _fault(field[: self._limits.field], message[: self._limits.message], shown)


@lru_cache(maxsize=1024)
def _fault(field: str, message: str, shown: str) -> FieldError:
    """Return one object, not to be modified, for all equal faults: 10,000 records can have 90,000 of them."""
    return described({"field": field, "message": message}, shown)


def _excess(value: Any, depth: int = 0) -> str | None:
    """Return why finding the errors of a value would cost too much; None if it would not."""
    match value:
        case str() if len(value) > LONG_TEXT:
            return f"a text is longer than {LONG_TEXT:,} characters"
        case dict() if len(value) > MANY_MEMBERS:
            return f"an object has more than {MANY_MEMBERS:,} members"
        case dict() | list() if depth >= DEEP:
            return f"value is nested deeper than {DEEP} levels"
        case dict():
            return next(filter(None, (_excess(inner, depth + 1) for inner in chain(value, value.values()))), None)
        case list():
            return next(filter(None, (_excess(inner, depth + 1) for inner in value)), None)
    return None


def _compile(schema: Schema, components: Schema) -> jsonschema_rs.Draft4Validator:
    return jsonschema_rs.Draft4Validator(
        to_json_schema({**schema, "components": components}),
        validate_formats=True,
        formats={"date-time": _is_storable_instant},
        mask="value",  # messages and logs must not repeat what was sent
        offline=True,
    )


def resolve(schema: Schema, components: Schema) -> Schema:
    """Return a schema, or the component schema to which it refers."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return resolve(components["schemas"][name], components) if name else schema


def _without_items(schema: Schema, components: Schema, path: Path) -> tuple[Schema, list[tuple[Path, Schema]]]:
    """Return a schema that accepts any item in its arrays, and for each array its path and the schema of its items."""
    schema = resolve(schema, components)
    if "items" in schema:
        return {**schema, "items": {}}, [(path, schema["items"])]
    properties, arrays = {}, []
    for name, member in schema.get("properties", {}).items():
        properties[name], found = _without_items(member, components, (*path, name))
        arrays += found
    return {**schema, "properties": properties}, arrays


def _array_at(value: Any, path: Path) -> list[Any]:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, list) else []


def _pointer(path: Iterable[str | int], kind: Any = None, longest: int | None = None) -> str:
    """Return the JSON pointer of an error. The name of an unknown member is cut to `longest` characters."""
    path = list(path)
    match kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            path.append(str(name).strip('"'))
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names):
            path.append(names[0][:longest])
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


class QueryRules:
    """The rules of the query parameters of an operation."""

    def __init__(self, parameters: Sequence[Schema], components: Schema, limits: FaultLimits) -> None:
        self._schemas: Mapping[str, Schema] = {p["name"]: p["schema"] for p in parameters}
        self._defaults = {name: s["default"] for name, s in self._schemas.items() if "default" in s}
        self._required = [p["name"] for p in parameters if p.get("required")]
        self._validators = {name: Validator(s, components, limits) for name, s in self._schemas.items()}
        self._any = Validator({}, components, limits)
        self._max_faults = limits.items

    def parse(self, query: bytes) -> dict[str, Any]:
        """Parse and validate a query string. Return the parameters with their defaults.

        Raises InvalidRequestError; an unknown parameter is an error too.
        """
        if not query and not self._required:
            return dict(self._defaults)
        given: dict[str, list[str]] = {}
        for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            given.setdefault(name, []).append(text)
        faults = [
            self._any.fault(name, "required parameter", f"{name} required")
            for name in self._required
            if name not in given
        ]
        values = dict(self._defaults)
        for name, texts in given.items():
            if name not in self._schemas:
                faults.append(self._any.fault(name, "unknown parameter", "unknown parameter"))
            elif self._schemas[name]["type"] != "array" and len(texts) > 1:
                faults.append(self._any.fault(name, "given more than once", f"{name} repeated"))
            else:
                values[name] = _value(texts, self._schemas[name])
                found = self._validators[name].faults(values[name])
                faults += [
                    self._any.fault(name + fault["field"], fault["message"], name + shown(fault)) for fault in found
                ]
        if faults:
            raise InvalidRequestError(errors=faults[: self._max_faults])
        return values


def _value(texts: list[str], schema: Schema) -> Any:
    match schema["type"]:
        case "array":
            return texts
        case "integer" if _INTEGER.fullmatch(texts[0]):
            return int(texts[0])
        case _:
            return texts[0]
