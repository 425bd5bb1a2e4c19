"""The rules of a request body, and records that are validated one by one."""

from dataclasses import dataclass
from typing import Any

import msgspec

from contract.errors import InvalidRequestError
from contract.json import has_more_values, parse_json, parse_leniently, split_array
from contract.types import FieldError
from contract.validation import Schema, Validator, resolve

EXCESS = 2
"""A body with more than this many times the values of the largest valid body is refused before it is parsed.

The factor also covers the error of the estimate in `has_more_values`.
"""

NOT_JSON = "not JSON"
"""The text in the log for a body or a record that cannot be parsed."""


class Record(msgspec.Struct, frozen=True):
    """A record of a batch, with its faults. `index` is its position in the batch, from 0.

    `value` is the JSON value. If the record cannot be parsed, it is what `parse_leniently` returns.
    """

    index: int
    value: Any
    faults: list[FieldError]


@dataclass(frozen=True, slots=True)
class BodyRules:
    """The rules of a request body.

    `max_bytes` is checked while the body is read. `max_values` is the number of JSON values in the largest valid body.
    `whole` validates the body. With `record`, the body is an array, and `record` validates each item separately.
    """

    max_bytes: int
    max_values: int
    whole: Validator
    record: Validator | None = None

    def parse(self, body: bytes) -> Any:
        """Parse and validate a body. Return the JSON value, or a list of `Record` if the rules have `record`.

        Raises InvalidRequestError.
        """
        if has_more_values(body, self.max_values * EXCESS):
            message = f"more values than any valid body has: at most {self.max_values:,}"
            raise self._refusal(message, "too many values")
        try:
            value = parse_json(body)
        except ValueError as error:
            if self.record is None:
                raise self._refusal(str(error), NOT_JSON) from error
            return self._salvage(body, self.record, str(error))
        self._require_valid(value)
        if self.record is None:
            return value
        return [Record(index, item, self.record.faults(item)) for index, item in enumerate(value)]

    def _salvage(self, body: bytes, rules: Validator, reason: str) -> list[Record]:
        """Parse each record of a batch by itself, so that only those that cannot be parsed fail."""
        try:
            texts = split_array(body)
        except ValueError as error:
            raise self._refusal(reason, NOT_JSON) from error
        self._require_valid([{} if text.startswith(b"{") else None for text in texts])
        return [_parse_record(index, text, rules) for index, text in enumerate(texts)]

    def _require_valid(self, value: Any) -> None:
        if faults := self.whole.faults(value):
            raise InvalidRequestError(errors=faults)
        if self.record and not any(isinstance(item, dict) for item in value):
            raise self._refusal("value is not an array of objects", "/0 type")

    def _refusal(self, message: str, shown: str) -> InvalidRequestError:
        return InvalidRequestError(errors=[self.whole.fault("", message, shown)])


def _parse_record(index: int, text: bytes, rules: Validator) -> Record:
    try:
        value = parse_json(text)
    except ValueError as error:
        return Record(index, parse_leniently(text), [rules.fault("", str(error), f" {NOT_JSON}")])
    return Record(index, value, rules.faults(value))


def max_values(schema: Schema, components: Schema) -> int:
    """Return the number of JSON values in the largest value that conforms to a schema.

    Raises ValueError if the schema sets no limit: an array without `maxItems`, or an object
    without `additionalProperties: false`.
    """
    schema = resolve(schema, components)
    match schema:
        case {"type": "array", "items": items, "maxItems": count}:
            return 1 + int(count) * max_values(items, components)
        case {"type": "object", "additionalProperties": False}:
            return 1 + sum(max_values(member, components) for member in schema.get("properties", {}).values())
        case {"type": "string" | "number" | "integer" | "boolean"}:
            return 1
    raise ValueError(f"a request body needs a limit: {schema}")
