"""The locks, and the service in an environment that has the packages of the production lock and nothing else."""

import json
import os
import re
import signal
import subprocess
import tomllib
import venv
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from urllib.request import urlopen

import pytest
from fixtures.commands import environment, free_port, wait_for
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ocms.keys import ApiKey, hash_key

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PRODUCTION, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"
WANTED = {
    PRODUCTION: PROJECT["project"]["dependencies"],
    DEVELOPMENT: sum(PROJECT["project"]["optional-dependencies"].values(), PROJECT["project"]["dependencies"])
    + PROJECT["dependency-groups"]["dev"],
}


def entries(lock):
    """Each requirement of a lock with its hashes."""
    lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.lstrip().startswith("#")]
    for entry in re.split(r"\n(?=\S)", "\n".join(lines)):
        requirement, *hashes = re.split(r" \\\n +--hash=", entry)
        yield Requirement(requirement), hashes


def pins(lock):
    return {requirement.name: str(requirement.specifier) for requirement, _ in entries(lock)}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a virtual environment that links to what the production lock names, and to this project."""
    folder = tmp_path_factory.mktemp("production")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for requirement, _ in entries(PRODUCTION):
        if requirement.marker is None or requirement.marker.evaluate():
            installed = distribution(requirement.name)
            for name in {file.parts[0] for file in installed.files} - {"..", "__pycache__"}:
                link = packages / name
                if not link.exists():
                    link.symlink_to(installed.locate_file(name))
    (packages / "ocms.pth").write_text(f"{ROOT}\n")
    return folder / "bin" / "python"


@pytest.fixture
def run(python, tmp_path):
    def run(*arguments, **variables):
        return subprocess.run(
            [python, "-m", "ocms", *arguments],
            cwd=tmp_path,
            env=settings(tmp_path, **variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def start(python, tmp_path):
    """Start a command. It and its children are killed at the end of the test."""
    started = []

    def start(*arguments, **variables):
        command, env = [python, "-m", "ocms", *arguments], settings(tmp_path, **variables)
        started.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
            )
        )
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def settings(folder, **variables):
    keys = str(ApiKey("CAS", hash_key("a-key")))
    clean = environment(f"sqlite:///{folder}/ocms.db", OCMS_API_KEYS=keys, **variables)
    return {name: value for name, value in clean.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.mark.parametrize("lock", [PRODUCTION, DEVELOPMENT])
def test_a_lock_pins_each_dependency_at_an_allowed_version(lock):
    pinned = pins(lock)
    for requirement in map(Requirement, WANTED[lock]):
        version = pinned[canonicalize_name(requirement.name)].removeprefix("==")
        assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize("lock", [PRODUCTION, DEVELOPMENT])
def test_each_package_of_a_lock_has_one_version_and_hashes(lock):
    for requirement, hashes in entries(lock):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement


@pytest.mark.parametrize("lock", [PRODUCTION, DEVELOPMENT])
def test_a_lock_has_no_address(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^ *(-i|-f|--[a-z-]*(index|host|links)[a-z-]*)\b", text, re.MULTILINE)


def test_the_development_lock_has_every_production_package_at_the_same_version():
    assert pins(PRODUCTION).items() <= pins(DEVELOPMENT).items()


def test_the_production_lock_has_no_test_tool():
    assert (
        not {"schemathesis", "pytest", "hypothesis", "graphql-core", "openapi-spec-validator"} & pins(PRODUCTION).keys()
    )


def test_production_has_only_the_packages_of_its_lock(python):
    names = "print(*sorted(d.name for d in __import__('importlib.metadata').metadata.distributions()))"
    found = subprocess.run([python, "-c", names], capture_output=True, text=True, check=True, cwd="/").stdout.split()
    unknown = {canonicalize_name(name) for name in found} - pins(PRODUCTION).keys()
    assert unknown <= {"ocms-integration"}


def test_production_shows_the_commands(run):
    shown = run("--help")
    assert shown.returncode == 0, shown.stderr
    assert "serve" in shown.stdout


def test_production_runs_the_demo(start):
    ports = free_port(), free_port()
    demo = start("demo", "--port", str(ports[0]), "--cas-port", str(ports[1]))
    lines = iter(demo.stdout.readline, b"")
    seen = []
    while b"Ctrl-C" not in b"".join(seen[-1:]):
        seen.append(next(lines, None) or pytest.fail(b"".join(seen).decode()))
    with urlopen(f"http://127.0.0.1:{ports[0]}/docs/ui/swagger-ui-bundle.js") as response:
        assert response.status == 200
    demo.send_signal(signal.SIGTERM)
    rest = demo.communicate(timeout=30)[0]
    assert demo.returncode == 0, rest


def test_production_serves_with_several_workers(run, start):
    assert run("db", "upgrade").returncode == 0
    port = free_port()
    url = wait_for(port, start("serve", "--workers", "2", "--port", str(port)))
    with urlopen(f"{url}/openapi.json", timeout=30) as response:
        assert json.load(response)["openapi"]


def test_production_sends_alerts(run, webhook):
    sent = run("alerts", "test", OCMS_ALERT_URLS=webhook.url)
    assert sent.returncode == 0, sent.stderr
    assert len(webhook.alerts) == 1


@pytest.mark.parametrize(
    ("arguments", "package"),
    [
        (["spec", "check"], "openapi-spec-validator"),
        (["spec", "verify", "--url", "http://127.0.0.1:9"], "schemathesis"),
    ],
)
def test_production_says_which_extra_a_command_needs(run, arguments, package):
    done = run(*arguments, OCMS_VERIFY_KEYS="CAS:key")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{package} is not installed: install the extra, pip install 'ocms-integration[verify]'" in line
