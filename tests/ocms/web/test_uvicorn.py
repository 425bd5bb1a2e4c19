"""The bounds on uvicorn and h11, whose internals `ocms.web.protocol` and `ocms.web.strict_http` extend."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["uvicorn", "h11"])
def test_the_installed_server_is_the_minor_version_that_was_tested(name):
    """If this fails for uvicorn, compare `uvicorn.protocols.http.h11_impl` with `ocms.web.protocol`.

    `Protocol` relies on `app_state`, `cycle`, `conn`, `connections`, `timeout_keep_alive_handler`,
    `_unset_keepalive_if_required`, `send_400_response` and the arguments of `RequestResponseCycle`. `ocms.web.server`
    relies on `Config.load`, `loaded_app` and `ssl`, and on `handle_hup` and `processes` of `Multiprocess`.

    If it fails for h11, compare h11 with `ocms.web.strict_http`, which relies on `_receive_buffer`, `_process_event`,
    and `_data`, `_extract`, `maybe_extract_lines` and `maybe_extract_next_line` of `ReceiveBuffer`.

    Then run tests/ocms/web and tests/faults, and raise the bound in pyproject.toml to the next minor version.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (bound,) = (r for r in map(Requirement, project["dependencies"]) if r.name == name)
    operators = {specifier.operator: specifier.version for specifier in bound.specifier}
    lower, upper = operators[">="].split("."), operators["<"].split(".")
    assert (lower[0], int(lower[1]) + 1) == (upper[0], int(upper[1])), "the bound spans one minor version"
    assert version(name).split(".")[:2] == lower[:2]
