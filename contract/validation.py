"""Compiled validation of JSON values and query strings against the schemas of a contract."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast
from urllib.parse import parse_qsl

import jsonschema_rs
import msgspec

from contract.errors import InvalidRequestError
from contract.json import parse_json
from contract.types import FieldError
from domain.clock import parse_instant

Schema = dict[str, Any]

SHOWN_NAME = 40
"""The number of characters of an unknown member's name that the log shows."""
_RFC3339 = jsonschema_rs.Draft4Validator({"format": "date-time"}, validate_formats=True)
_INTEGER = re.compile(r"-?[0-9]{1,18}")
"""An integer in a query string. A longer one stays text, which no integer schema accepts."""


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
    """How many faults are listed, and the lengths of their texts in characters."""

    items: int
    field: int
    message: int


class Fault(dict[str, object]):
    """A `FieldError`, with the text that describes it in the log: pointer and keyword, and nothing that was sent.

    The only exception is the name of a member that the schema does not have, cut to `SHOWN_NAME` characters.
    """

    __slots__ = ("shown",)

    def __init__(self, error: FieldError, shown: str) -> None:
        super().__init__(error)
        self.shown = shown


def described(error: FieldError, text: str) -> FieldError:
    """Return a fault with the text that describes it in the log."""
    return cast("FieldError", Fault(error, text))


def shown(fault: FieldError) -> str:
    """Return the text that describes a fault in the log; an empty text if it has none."""
    return getattr(fault, "shown", "")


class Validator:
    """A compiled schema."""

    def __init__(self, schema: Schema, components: Schema, limits: FaultLimits) -> None:
        self._compiled = jsonschema_rs.Draft4Validator(
            to_json_schema({**schema, "components": components}),
            validate_formats=True,
            formats={"date-time": _is_storable_instant},
            mask="value",  # messages and logs must not repeat what was sent
            offline=True,
        )
        self._limits = limits

    def is_valid(self, value: Any) -> bool:
        """Return whether a value conforms. Raises ValueError if it is nested too deeply to be validated."""
        return self._compiled.is_valid(value)

    def faults(self, value: Any) -> list[FieldError]:
        """Return the faults of a value within the limits of the contract; an empty list if it conforms."""
        try:
            if self._compiled.is_valid(value):
                return []
            return [
                self.fault(_pointer(error), error.message, _shown(error))
                for error in islice(self._compiled.iter_errors(value), self._limits.items)
            ]
        except ValueError as error:
            return [self.fault("", str(error), "too deep")]

    def fault(self, field: str, message: str, shown: str) -> FieldError:
        """Return one fault, cut to the lengths of the contract. `shown` describes it in the log."""
        error: FieldError = {"field": field[: self._limits.field], "message": message[: self._limits.message]}
        return described(error, shown)


def _shown(error: jsonschema_rs.ValidationError) -> str:
    return f"{_pointer(error, SHOWN_NAME)} {error.schema_path[-1]}"


def _pointer(error: jsonschema_rs.ValidationError, longest: int | None = None) -> str:
    """Return the JSON pointer of an error; of an unknown member's name, `longest` characters."""
    path: list[str | int] = list(error.instance_path)
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            path.append(str(name).strip('"'))
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names):
            path.append(names[0][:longest])
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


class Record(msgspec.Struct, frozen=True):
    """A record of a batch with its own faults. `index` is its position in the batch."""

    index: int
    value: Any
    faults: list[FieldError]


@dataclass(frozen=True, slots=True)
class BodyRules:
    """The rules of a request body. With `record`, each item of an array is validated separately."""

    max_bytes: int
    whole: Validator
    record: Validator | None = None

    def parse(self, body: bytes) -> Any:
        """Parse and validate a body. Return the JSON value, or a list of `Record` if the rules have `record`.

        Raises InvalidRequestError.
        """
        try:
            value = parse_json(body)
        except ValueError as error:
            raise InvalidRequestError(errors=[self.whole.fault("", str(error), "not JSON")]) from error
        if faults := self.whole.faults(value):
            raise InvalidRequestError(errors=faults)
        if self.record is None:
            return value
        if not any(isinstance(item, dict) for item in value):
            raise InvalidRequestError(errors=[self.whole.fault("", "value is not an array of objects", "/0 type")])
        return [Record(index, item, self.record.faults(item)) for index, item in enumerate(value)]


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

        Raises InvalidRequestError, also for a parameter that the contract does not have.
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
