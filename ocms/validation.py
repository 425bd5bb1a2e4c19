"""Compiled validation of JSON values and query strings against the schemas of a contract."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs
import msgspec

from ocms.contract_types import FieldError
from ocms.errors import InvalidRequestError
from ocms.rules import parse_instant

Schema = dict[str, Any]

LONGEST_NUMBER = 64
"""Characters of a number, and places before or after its point, beyond which it only costs time."""
BEYOND = Decimal("1E+64")
"""What is read in place of such a number; no limit of a contract admits it."""


def _exact(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return BEYOND
    return BEYOND if len(text) > LONGEST_NUMBER or abs(value.adjusted()) > LONGEST_NUMBER else value


LONGEST_NAME = 50
"""How much of a name is told."""

_NESTING = (dict, list)
_QUOTE_AND_BLANK = (b'" ', b'"\t', b'"\r', b'"\n')
_SPACED_COLON = re.compile(rb'"\s+:')
_JSON = msgspec.json.Decoder(float_hook=_exact)
_RFC3339 = jsonschema_rs.Draft4Validator({"format": "date-time"}, validate_formats=True)
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def parse_json(body: bytes) -> Any:
    """Parse JSON; numbers with a fraction or an exponent become exact decimals.

    Raises ValueError when it is no JSON, is not in UTF-8, has a member twice, or is nested or written beyond any sense.
    """
    try:
        value = _JSON.decode(body)
        if body.count(b'":') != _count_members(value) or _has_spaced_colon(body):
            # a text that begins with a colon can do that, or a member that is there twice
            json.loads(body, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no JSON in UTF-8: {error}") from error
    return value


def _count_members(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum([_count_members(item) for item in value.values() if isinstance(item, _NESTING)])
    if isinstance(value, list):
        return sum([_count_members(item) for item in value if isinstance(item, _NESTING)])
    return 0


def _has_spaced_colon(body: bytes) -> bool:
    return any(quoted in body for quoted in _QUOTE_AND_BLANK) and bool(_SPACED_COLON.search(body))


def _once(members: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in members:
        if name in names:
            raise ValueError(f"no JSON with each member once: {name[:LONGEST_NAME]!r} is there twice")
        names.add(name)


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
    """How many faults are told, and how long their texts may be."""

    items: int
    field: int
    message: int


class Validator:
    """A schema, compiled once."""

    def __init__(self, schema: Schema, components: Schema, limits: FaultLimits) -> None:
        self._compiled = jsonschema_rs.Draft4Validator(
            to_json_schema({**schema, "components": components}),
            validate_formats=True,
            formats={"date-time": _is_storable_instant},
            mask="value",  # what was sent is not repeated in messages and logs
            offline=True,
        )
        self._limits = limits

    def is_valid(self, value: Any) -> bool:
        """Tell whether a value conforms. Raises ValueError when it is nested too deeply to tell."""
        return self._compiled.is_valid(value)

    def faults(self, value: Any) -> list[FieldError]:
        """Return the faults of a value, as many and as long as the contract allows; none when it conforms."""
        try:
            if self._compiled.is_valid(value):
                return []
            return [
                self.fault(_pointer(error), error.message)
                for error in islice(self._compiled.iter_errors(value), self._limits.items)
            ]
        except ValueError as error:
            return [self.fault("", str(error))]

    def fault(self, field: str, message: str) -> FieldError:
        """Return one fault, cut to the lengths of the contract."""
        return {"field": field[: self._limits.field], "message": message[: self._limits.message]}


def _pointer(error: jsonschema_rs.ValidationError) -> str:
    path: list[str | int] = list(error.instance_path)
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            path.append(str(name).strip('"'))
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names):
            path.append(names[0])
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


class Record(msgspec.Struct, frozen=True):
    """A record of a batch, validated by itself."""

    index: int
    value: Any
    faults: list[FieldError]


@dataclass(frozen=True, slots=True)
class BodyRules:
    """What the contract says of a request body."""

    max_bytes: int
    whole: Validator
    record: Validator | None = None

    def parse(self, body: bytes) -> Any:
        """Parse and validate a body; return the JSON value, or a list of `Record` where each is validated by itself.

        Raises InvalidRequestError.
        """
        try:
            value = parse_json(body)
        except ValueError as error:
            raise InvalidRequestError(errors=[self.whole.fault("", str(error))]) from error
        if faults := self.whole.faults(value):
            raise InvalidRequestError(errors=faults)
        if self.record is None:
            return value
        if not any(isinstance(item, dict) for item in value):
            raise InvalidRequestError(errors=[self.whole.fault("", "value is no array of objects")])
        return [Record(index, item, self.record.faults(item)) for index, item in enumerate(value)]


class QueryRules:
    """What the contract says of the query parameters of an operation."""

    def __init__(self, parameters: Sequence[Schema], components: Schema, limits: FaultLimits) -> None:
        self._schemas: Mapping[str, Schema] = {p["name"]: p["schema"] for p in parameters}
        self._defaults = {name: s["default"] for name, s in self._schemas.items() if "default" in s}
        self._required = [p["name"] for p in parameters if p.get("required")]
        self._validators = {name: Validator(s, components, limits) for name, s in self._schemas.items()}
        self._any = Validator({}, components, limits)
        self._most = limits.items

    def parse(self, query: bytes) -> dict[str, Any]:
        """Parse and validate a query string; return the parameters with their defaults.

        Raises InvalidRequestError; a parameter that the contract does not know is refused.
        """
        if not query and not self._required:
            return dict(self._defaults)
        given: dict[str, list[str]] = {}
        for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            given.setdefault(name, []).append(text)
        faults = [self._any.fault(name, "required parameter") for name in self._required if name not in given]
        values = dict(self._defaults)
        for name, texts in given.items():
            if name not in self._schemas:
                faults.append(self._any.fault(name, "unknown parameter"))
            elif self._schemas[name]["type"] != "array" and len(texts) > 1:
                faults.append(self._any.fault(name, "given more than once"))
            else:
                values[name] = _value(texts, self._schemas[name])
                found = self._validators[name].faults(values[name])
                faults.extend(self._any.fault(name + fault["field"], fault["message"]) for fault in found)
        if faults:
            raise InvalidRequestError(errors=faults[: self._most])
        return values


def _value(texts: list[str], schema: Schema) -> Any:
    match schema["type"]:
        case "array":
            return texts
        case "integer" if _INTEGER.fullmatch(texts[0]):
            return int(texts[0])
        case _:
            return texts[0]
