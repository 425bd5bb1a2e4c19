"""The service under ``python -OO``, which removes docstrings and assertions."""

import json
import subprocess
import sys

import httpx2
import pytest
from fixtures.commands import environment, free_port, wait_for
from fixtures.replicas import KEYS
from fixtures.settings import CAS_KEY


@pytest.fixture
def refused(database_url, tmp_path):
    """Serve with an option of Python, and make two calls that are refused; returns the responses and the log lines."""

    def run(*options):
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, *options, "-m", "ocms", "serve", "--port", str(port)],
            cwd=tmp_path,
            env=environment(database_url, OCMS_API_KEYS=KEYS),
            stderr=subprocess.PIPE,
            text=True,
        )
        correlation = {"X-Correlation-ID": "a-refused-call"}
        try:
            url = wait_for(port, process)
            with httpx2.Client(base_url=url, headers=correlation) as client:
                responses = [
                    client.post("/v1/getPaymentStatus", json={"notice_nos": ["N1"]}),
                    client.post("/v1/getPaymentStatus", content=b"{", headers={"X-API-Key": CAS_KEY}),
                ]
                client.get("/openapi.json")  # the line of a call is written after its response, so before the next one
        finally:
            process.terminate()
        lines = [json.loads(line) for line in process.communicate(timeout=10)[1].splitlines()]
        reasons = [line["reason"] for line in lines if "reason" in line]
        return [(response.status_code, response.json()) for response in responses], reasons

    return run


def test_an_error_is_explained_without_docstrings_as_with_them(refused):
    (with_docstrings, reasons), (without, reasons_without) = refused(), refused("-OO")
    assert [status for status, _ in without] == [401, 400]
    assert without == with_docstrings
    assert len(reasons) == 2
    assert all(reasons)
    assert reasons_without == reasons


def test_help_is_shown_without_docstrings(tmp_path):
    command = [sys.executable, "-OO", "-m", "ocms", "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "serve" in result.stdout
