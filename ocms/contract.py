"""A contract: an OpenAPI document, loaded once, with everything the service reads from it."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Self

import yaml

from ocms.errors import OcmsError, OperatorError
from ocms.validation import BodyRules, FaultLimits, QueryRules, Schema, Validator

MEDIA_TYPE = "application/json"
EXTENSION = "x-ocms-"
METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a contract, its rules compiled.

    `answers` holds a validator for each documented status.
    """

    operation_id: str
    path: str
    method: str
    query: QueryRules
    body: BodyRules | None
    answers: dict[str, Validator]


class Contract:
    """An OpenAPI 3.0 document."""

    def __init__(self, document: Schema) -> None:
        self.document = document
        self.components: Schema = document["components"]
        self._compiled: dict[str, Validator] = {}
        self.operations: dict[str, Operation] = {}
        for path, methods in document["paths"].items():
            for method, definition in methods.items():
                if method in METHODS:
                    operation = self._operation(path, method, definition)
                    self.operations[operation.operation_id] = operation

    @classmethod
    def load(cls, name: str) -> Self:
        """Load ``openapi/NAME.yaml``. Raises OperatorError when it is not a contract that can be served."""
        try:
            return cls(yaml.load(files("openapi").joinpath(f"{name}.yaml").read_bytes(), yaml.CSafeLoader))
        except yaml.YAMLError as error:
            raise OperatorError(f"openapi/{name}.yaml is no YAML: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise OperatorError(f"openapi/{name}.yaml cannot be used: {error!r}") from error

    @cached_property
    def limits(self) -> FaultLimits:
        """How many field errors an answer holds, and how long they are."""
        schemas = self.components["schemas"]
        texts = schemas["FieldError"]["properties"]
        return FaultLimits(
            schemas["FieldErrors"]["maxItems"], texts["field"]["maxLength"], texts["message"]["maxLength"]
        )

    def validator(self, schema: Schema | str) -> Validator:
        """Compile a schema, or the one of that name among the components."""
        if not isinstance(schema, str):
            return Validator(schema, {"schemas": self.components["schemas"]}, self.limits)
        if schema not in self._compiled:
            self._compiled[schema] = self.validator({"$ref": f"#/components/schemas/{schema}"})
        return self._compiled[schema]

    def fixed(self, name: str) -> Any:
        """Return the members of a schema's `data` that can have one value only: its code and message."""
        members = self.components["schemas"][name]["properties"]["data"]["properties"]
        return {key: member["enum"][0] for key, member in members.items() if len(member.get("enum", ())) == 1}

    def coded(self, error: type[OcmsError]) -> Any:
        """Return the code and message of an error: those of the schema with the name of its class or a base."""
        schemas = self.components["schemas"]
        return self.fixed(next(base.__name__ for base in error.__mro__ if base.__name__ in schemas))

    def error_body(self, error: OcmsError, correlation_id: str) -> dict[str, Any]:
        """Return the one error body: code and message from the contract, the rest from the error."""
        coded = self.coded(type(error))
        return {"data": {**coded, **error.details, "errors": error.errors, "correlationId": correlation_id}}

    def callers(self) -> set[str]:
        """Return the callers who can have a key."""
        return {scheme[f"{EXTENSION}caller"] for scheme in self.components["securitySchemes"].values()}

    def key_header(self, operation_id: str) -> str:
        """Return the header in which an operation wants its API key."""
        requirement = self.security(self.operations[operation_id])[0]
        return str(self.components["securitySchemes"][next(iter(requirement))]["name"])

    def security(self, operation: Operation) -> list[dict[str, Any]]:
        """Return the security requirements of an operation, each a mapping by the name of its scheme."""
        requirements: list[dict[str, Any]] = self.document["paths"][operation.path][operation.method]["security"]
        return requirements

    def list_rules(self, operation_id: str, status: str) -> tuple[Validator, Validator]:
        """Return what the array of an answer must be, whatever is in it, and what each of its items must be."""
        operation = self.operations[operation_id]
        answer = self.document["paths"][operation.path][operation.method]["responses"][status]
        return self._list_rules(answer["content"][MEDIA_TYPE]["schema"])

    def published(self) -> Schema:
        """Return the document as partners get it: self-contained, without the extensions of this service."""
        return _without_extensions(deepcopy(self.document))  # type: ignore[no-any-return]  # a mapping stays one

    def _operation(self, path: str, method: str, definition: Schema) -> Operation:
        parameters = [p for p in definition.get("parameters", ()) if p["in"] == "query"]
        return Operation(
            operation_id=definition["operationId"],
            path=path,
            method=method,
            query=QueryRules(parameters, {"schemas": self.components["schemas"]}, self.limits),
            body=self._body(definition["requestBody"]) if "requestBody" in definition else None,
            answers={
                status: self.validator(answer["content"][MEDIA_TYPE]["schema"])
                for status, answer in definition["responses"].items()
            },
        )

    def _body(self, definition: Schema) -> BodyRules:
        schema = definition["content"][MEDIA_TYPE]["schema"]
        max_bytes = definition[f"{EXTENSION}max-body-bytes"]
        if not definition.get(f"{EXTENSION}each-record"):
            return BodyRules(max_bytes, self.validator(schema))
        return BodyRules(max_bytes, *self._list_rules(schema))

    def _list_rules(self, schema: Schema) -> tuple[Validator, Validator]:
        """Return what an array must be, whatever is in it, and what each of its items must be."""
        array = self.components["schemas"][schema["$ref"].rpartition("/")[2]]
        return self.validator({**array, "items": {}}), self.validator(array["items"])


def _without_extensions(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_extensions(item) for item in node]
    if isinstance(node, dict):
        return {key: _without_extensions(value) for key, value in node.items() if not key.startswith(EXTENSION)}
    return node
