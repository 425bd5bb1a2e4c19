"""Checking the contracts: the documents against OpenAPI 3.0, and their examples against their schemas."""

from collections.abc import Iterator
from typing import Any

from contract.document import MEDIA_TYPE, Contract
from domain.errors import OperatorError


def problems(contract: Contract) -> Iterator[str]:
    """Yield each problem of a contract as one line. Raises OperatorError if openapi-spec-validator is not installed."""
    try:
        from openapi_spec_validator import OpenAPIV30SpecValidator  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        raise OperatorError(
            "openapi-spec-validator is not installed: install the extra, pip install 'ocms-integration[verify]'"
        ) from None
    for error in OpenAPIV30SpecValidator(contract.document).iter_errors():
        yield f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
    for place, schema, example in examples(contract):
        for fault in contract.validator(schema).faults(example):
            yield f"{place}{fault['field']}: {fault['message']}"


def examples(contract: Contract) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield each example of a body: its place, its schema and its value."""
    for path, methods in contract.document["paths"].items():
        for method, operation in methods.items():
            bodies = {"requestBody": operation["requestBody"], **operation["responses"]}
            for part, body in bodies.items():
                content = body["content"][MEDIA_TYPE]
                for name, example in content["examples"].items():
                    yield f"{method} {path} {part} {name}", content["schema"], example["value"]
