"""Checking and exporting the contracts."""

from collections.abc import Iterator
from typing import Any

import msgspec
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator

from ocms.contract import MEDIA_TYPE, Contract


class _Dumper(yaml.SafeDumper):
    """Quotes Y and N, which many readers of YAML take for booleans."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Write a text."""
        style = "'" if data.lower() in ("y", "n") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def export(contract: Contract, form: str) -> bytes:
    """Return the document that partners and gateways import; the same bytes each time."""
    document = contract.published()
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120).encode()


def problems(contract: Contract) -> Iterator[str]:
    """Yield what is wrong with a contract, one line each: against OpenAPI 3.0, and examples against their schemas."""
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
