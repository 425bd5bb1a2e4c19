"""Each call of the README, run against the demo, gives the answer that the README shows."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
SHOWN = re.compile(r"```sh\n([^`]+)```\n```(?:json|text)\n([^`]+)```")


def run(command, port, cas_port, database_url):
    """Run a shell command of the README: a call by curl, or one of our own commands."""
    words = shlex.split(command.replace(":8080", f":{port}").replace(":8090", f":{cas_port}").replace("\\\n", " "))
    if words[0] == "curl":
        headers = dict(words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H")
        (url,) = [word for word in words if word.startswith("http")]
        return httpx2.post(url, content=words[words.index("-d") + 1], headers=headers).text
    cas_url, key, program, *arguments = words
    assert program == ".venv/bin/ocms"
    settings = dict(word.split("=") for word in (cas_url, key)) | {"OCMS_DATABASE_URL": database_url}
    done = subprocess.run(
        [sys.executable, "-m", "ocms", *arguments], env=settings, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_each_call_of_the_readme_gets_the_answer_that_it_shows(demo):
    _, port, cas_port, database_url, _ = demo
    shown = SHOWN.findall((ROOT / "README.md").read_text())
    assert len(shown) == 5
    for command, answer in shown:
        assert run(command, port, cas_port, database_url) == answer.strip(), command
