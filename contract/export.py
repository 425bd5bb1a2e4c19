"""Writing the documents that partners and gateways import."""

import msgspec
import yaml

from contract.document import Contract


class _Dumper(yaml.SafeDumper):
    """Quotes Y and N, which many YAML parsers read as booleans."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Represent a string."""
        style = "'" if data.lower() in ("y", "n") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def export(contract: Contract, form: str) -> bytes:
    """Return the published document as `json` or `yaml`. The bytes are the same for each call."""
    document = contract.published()
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120).encode()
