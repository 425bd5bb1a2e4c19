"""The service under ``python -OO``, which removes docstrings and assertions."""

import json
import subprocess
import sys

import httpx2
from fixtures.commands import environment, free_port, wait_for
from fixtures.replicas import KEYS


def test_an_error_is_explained_without_docstrings(database_url, tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-OO", "-m", "ocms", "serve", "--port", str(port)],
        cwd=tmp_path,
        env=environment(database_url, OCMS_API_KEYS=KEYS),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = wait_for(port, process)
        with httpx2.Client(base_url=url) as client:
            response = client.post("/v1/getPaymentStatus", json={"notice_nos": ["N1"]})
            client.get("/openapi.json")  # the line of a call is written after its response, so before the next one
    finally:
        process.terminate()
    lines = [json.loads(line) for line in process.communicate(timeout=10)[1].splitlines()]
    assert response.status_code == 401
    assert response.json()["data"]["message"]
    assert [line["reason"] for line in lines if "reason" in line] == ["no valid API key or token"]


def test_help_is_shown_without_docstrings(tmp_path):
    command = [sys.executable, "-OO", "-m", "ocms", "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "serve" in result.stdout
