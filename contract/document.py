"""A contract: an OpenAPI 3.0 document, loaded once, and everything that the service reads from it."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Self

import yaml

from contract.body import BodyRules, max_values
from contract.errors import OcmsError
from contract.validation import FaultLimits, QueryRules, Schema, Validator
from domain.errors import OperatorError

MEDIA_TYPE = "application/json"
EXTENSION = "x-ocms-"
"""The prefix of the extensions that only this service reads. They are not published."""
METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation with its compiled rules. `responses` has a validator for each documented status."""

    operation_id: str
    path: str
    method: str
    query: QueryRules
    body: BodyRules | None
    responses: dict[str, Validator]


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
        """Load ``openapi/NAME.yaml``. Raises OperatorError if it is not a contract that can be served."""
        try:
            return cls(yaml.load(files("openapi").joinpath(f"{name}.yaml").read_bytes(), yaml.CSafeLoader))
        except yaml.YAMLError as error:
            raise OperatorError(f"openapi/{name}.yaml is not YAML: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise OperatorError(f"openapi/{name}.yaml cannot be used: {error!r}") from error

    @cached_property
    def limits(self) -> FaultLimits:
        """How many field errors a response lists, and the lengths of their texts."""
        schemas = self.components["schemas"]
        texts = schemas["FieldError"]["properties"]
        return FaultLimits(
            schemas["FieldErrors"]["maxItems"], texts["field"]["maxLength"], texts["message"]["maxLength"]
        )

    def validator(self, schema: Schema | str) -> Validator:
        """Compile a schema, or the component schema of that name."""
        if not isinstance(schema, str):
            return Validator(schema, {"schemas": self.components["schemas"]}, self.limits)
        if schema not in self._compiled:
            self._compiled[schema] = self.validator({"$ref": f"#/components/schemas/{schema}"})
        return self._compiled[schema]

    def constants(self, name: str) -> Any:
        """Return the members of a schema's `data` that have exactly one allowed value, such as code and message."""
        members = self.components["schemas"][name]["properties"]["data"]["properties"]
        return {key: member["enum"][0] for key, member in members.items() if len(member.get("enum", ())) == 1}

    def code_and_message(self, error: type[OcmsError]) -> Any:
        """Return `appCode` and `message` of an error, from the schema with the name of its class or of a base class."""
        schemas = self.components["schemas"]
        return self.constants(next(base.__name__ for base in error.__mro__ if base.__name__ in schemas))

    def error_body(self, error: OcmsError, correlation_id: str) -> dict[str, Any]:
        """Return the error body: code and message from the contract, the rest from the error."""
        coded = self.code_and_message(type(error))
        return {"data": {**coded, **error.details, "errors": error.errors, "correlationId": correlation_id}}

    def callers(self) -> set[str]:
        """Return the callers of all operations."""
        return {caller for operation in self.operations.values() for caller in self.callers_of(operation)}

    def callers_of(self, operation: Operation) -> set[str]:
        """Return the callers that may call an operation."""
        schemes = self.components["securitySchemes"]
        return {schemes[name][f"{EXTENSION}caller"] for entry in self.security(operation) for name in entry}

    def key_header(self, operation_id: str) -> str:
        """Return the name of the header for the API key of an operation."""
        requirement = self.security(self.operations[operation_id])[0]
        return str(self.components["securitySchemes"][next(iter(requirement))]["name"])

    def security(self, operation: Operation) -> list[dict[str, Any]]:
        """Return the security requirements of an operation, each a mapping by the names of its schemes."""
        requirements: list[dict[str, Any]] = self.definition(operation)["security"]
        return requirements

    def definition(self, operation: Operation) -> Schema:
        """Return an operation as the document has it."""
        found: Schema = self.document["paths"][operation.path][operation.method]
        return found

    def list_rules(self, operation_id: str, status: str) -> tuple[Validator, Validator]:
        """Return the rules of the array in a response, without those of its items, and the rules of one item."""
        response = self.definition(self.operations[operation_id])["responses"][status]
        return self._list_rules(response["content"][MEDIA_TYPE]["schema"])

    def published(self) -> Schema:
        """Return the document for partners: self-contained, without this service's extensions."""
        return _without_extensions(deepcopy(self.document))  # type: ignore[no-any-return]  # a mapping stays a mapping

    def _operation(self, path: str, method: str, definition: Schema) -> Operation:
        parameters = [p for p in definition.get("parameters", ()) if p["in"] == "query"]
        return Operation(
            operation_id=definition["operationId"],
            path=path,
            method=method,
            query=QueryRules(parameters, {"schemas": self.components["schemas"]}, self.limits),
            body=self._body(definition["requestBody"]) if "requestBody" in definition else None,
            responses={
                status: self.validator(response["content"][MEDIA_TYPE]["schema"])
                for status, response in definition["responses"].items()
            },
        )

    def _body(self, definition: Schema) -> BodyRules:
        schema = definition["content"][MEDIA_TYPE]["schema"]
        limits = definition[f"{EXTENSION}max-body-bytes"], max_values(schema, self.components)
        if not definition.get(f"{EXTENSION}each-record"):
            return BodyRules(*limits, self.validator(schema))
        return BodyRules(*limits, *self._list_rules(schema))

    def _list_rules(self, schema: Schema) -> tuple[Validator, Validator]:
        array = self.components["schemas"][schema["$ref"].rpartition("/")[2]]
        return self.validator({**array, "items": {}}), self.validator(array["items"])


def _without_extensions(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_extensions(item) for item in node]
    if isinstance(node, dict):
        return {key: _without_extensions(value) for key, value in node.items() if not key.startswith(EXTENSION)}
    return node
