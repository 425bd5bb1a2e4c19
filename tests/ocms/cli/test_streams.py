"""Standard input, output and error of the commands: full, closed, not UTF-8, or with a reader that is gone."""

import fcntl
import os
import pty
import resource
import sqlite3
import subprocess
import sys
import threading
from functools import partial

import pytest
import typer
from fixtures.commands import environment

from db.dayend import get_dayend_flag
from domain.clock import business_date, utc_now
from ocms.cli import app
from ocms.keys import create_key, hash_key

KEY = create_key()
KEYS = f"CAS:{hash_key(KEY)},PLUS:{hash_key('b')}"


def leaves(group, *path):
    """Each command of a group as its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, *path, name)
        else:
            yield " ".join([*path, name])


COMMANDS = sorted(leaves(typer.main.get_command(app)))
ARGUMENTS = {
    "alerts test": "",
    "db check": "",
    "db seed": "--notices 1 --vehicles 0",
    "db upgrade": "",
    "dayend set": "Y",
    "dayend show": "",
    "demo": "--help",
    "jobs check": "--help",
    "jobs history": "",
    "jobs loop": "--help",
    "jobs run": "--help",
    "jobs show": "--help",
    "keys check": "",
    "keys create": "CAS",
    "keys list": "",
    "mock-cas": "--help",
    "serve": "--help",
    "spec check": "",
    "spec export": "",
    "spec verify": "--url http://127.0.0.1:9",
}
"""What makes each command write to standard output. `--help` stands for those that run on, or need a run of the job."""


@pytest.fixture
def shell(database_url, tmp_path):
    """Run a line of bash in which `ocms` is the command; returns its exit code, output and errors as bytes."""

    def run(line, text=b"", prepare=None, pass_fds=(), **variables):
        defined = f'set -o pipefail; ocms() {{ "{sys.executable}" -m ocms "$@"; }}; {line}'
        return subprocess.run(
            ["bash", "-c", defined],
            cwd=tmp_path,
            env=environment(database_url, OCMS_API_KEYS=KEYS, OCMS_VERIFY_KEYS="CAS:x", **variables),
            input=text,
            capture_output=True,
            timeout=60,
            check=False,
            preexec_fn=prepare,
            pass_fds=pass_fds,
        )

    return run


def assert_one_line(done, text, code=1):
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, len(lines)) == (code, 1), lines
    assert lines[0].startswith("ocms: ")
    assert text in lines[0]


def test_the_arguments_cover_every_command():
    assert sorted(ARGUMENTS) == COMMANDS


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_output_to_a_full_disk_is_one_line_and_exit_code_1(shell, webhook, command):
    quiet = "2> >(tail -n 1 >&2)" if command == "db seed" else ""  # it shows its progress there
    line = f"ocms {command} {ARGUMENTS.get(command, '--help')} > /dev/full {quiet}"
    done = shell(line, f"{KEY}\n".encode(), OCMS_ALERT_URLS=webhook.url)
    assert_one_line(done, "cannot write to standard output: No space left on device")


@pytest.mark.parametrize("command", ["", "db upgrade --sql", "keys check", "keys list", "spec export", "spec verify"])
def test_output_to_a_closed_stream_is_one_line_and_exit_code_1(shell, command):
    line = f"ocms {command} {ARGUMENTS.get(command, '')} >&-"
    done = shell(line, f"{KEY}\n".encode())
    assert_one_line(done, "cannot write to standard output: it is not open for writing")


@pytest.mark.parametrize("command", ["", "keys list", "spec export"])
def test_a_reader_that_has_read_enough_is_no_failure(shell, command):
    for reader in ("head -c 1 > /dev/null", "sleep 0"):
        done = shell(f"ocms {command} | {reader}")
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_command_is_completed_although_its_reader_is_gone(shell, database):
    read, write = os.pipe()
    os.close(read)
    done = shell(f"ocms dayend set Y >&{write}", pass_fds=[write])
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    with database.reading() as conn:
        assert get_dayend_flag(conn, business_date(utc_now())) == "Y"


def test_a_failure_remains_one_when_the_reader_is_gone(shell):
    assert_one_line(shell("ocms jobs check | sleep 0"), "it has never succeeded")


def test_a_slow_reader_of_a_pipe_that_does_not_block_gets_everything(shell, tmp_path):
    read, write = os.pipe()
    os.set_blocking(write, False)
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    received = []
    reader = threading.Thread(target=lambda: received.extend(iter(lambda: os.read(read, 1000), b"")))
    reader.start()
    done = shell(f"ocms spec export >&{write}", pass_fds=[write])
    os.close(write)
    reader.join(10)
    os.close(read)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"".join(received) == shell("ocms spec export").stdout


def test_output_that_does_not_fit_is_reported_and_not_written_again_at_the_end(shell, tmp_path):
    done = shell("ocms spec export > file", prepare=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (4096, 4096)))
    assert_one_line(done, "cannot write to standard output: File too large")
    assert (tmp_path / "file").stat().st_size == 4096


def test_a_closed_standard_stream_never_becomes_the_database(shell, tmp_path):
    url = f"sqlite:///{tmp_path}/new.db"
    done = shell("ocms db upgrade <&- >&- 2>&-", OCMS_DATABASE_URL=url)
    assert done.returncode == 1
    assert sqlite3.connect(tmp_path / "new.db").execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert shell("ocms db check <&- 2>&-", OCMS_DATABASE_URL=url).returncode == 0


@pytest.mark.parametrize("closed", ["2> /dev/full", "2>&-"])
def test_messages_that_cannot_be_written_fail_nothing(shell, closed):
    assert shell(f"ocms db seed --notices 1 --vehicles 0 {closed}").returncode == 0
    assert shell(f"ocms jobs show 1 {closed}").returncode == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe" + KEY.encode("utf-16-le"), "standard input is not UTF-8"),
        (b"\xe9" * 50, "standard input is not UTF-8"),
        (b"\xed\xa0\x80" * 50, "standard input is not UTF-8"),
        (b"", "standard input is empty"),
        (b"\n", "standard input is empty"),
        (KEY.encode("utf-16-le"), "standard input is not UTF-8"),
        (b"\0" * 200_000, "standard input is not UTF-8"),
        (KEY.encode() + b"\0\n", "standard input is not UTF-8"),
        (b"\xef\xbb\xbf\n", "standard input is empty"),
        (KEY.encode() + b"\xef\xbb\xbf\n", "OCMS_API_KEYS does not have the hash of this key"),
        ("é".encode() * 50, "OCMS_API_KEYS does not have the hash of this key"),
    ],
    ids=[
        *("UTF-16", "latin-1", "surrogates", "empty", "blank"),
        *("UTF-16 without a mark", "zeros", "a zero", "only a mark", "a mark at the end", "é"),
    ],
)
def test_standard_input_that_is_no_key_is_one_line(shell, text, message):
    assert_one_line(shell("ocms keys check", text), message)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_byte_order_mark_before_a_key_is_skipped(shell, end):
    done = shell("ocms keys check", b"\xef\xbb\xbf" + KEY.encode() + end)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"The key of CAS" in done.stdout


def test_standard_input_is_utf_8_in_every_locale(shell):
    settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert_one_line(shell("ocms keys check", b"\xe9" * 50, **settings), "standard input is not UTF-8")


@pytest.mark.parametrize(
    ("redirection", "message"),
    [
        ("<&-", "standard input is empty"),
        ("0> /dev/null", "cannot read standard input: Bad file descriptor"),
        ("< /dev/zero", "standard input is not UTF-8"),
    ],
)
def test_standard_input_that_cannot_be_read_or_never_ends_is_one_line(shell, redirection, message):
    done = shell(
        f"ocms keys check {redirection}", prepare=partial(resource.setrlimit, resource.RLIMIT_AS, (2**30, 2**30))
    )
    assert_one_line(done, message)


def test_a_key_that_is_typed_at_a_terminal_and_is_not_utf_8_is_one_line(database_url, tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ocms", "keys", "check"],
        cwd=tmp_path,
        env=environment(database_url, OCMS_API_KEYS=KEYS),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert os.read(process.stderr.fileno(), 100) == b" "  # the end of the prompt; what was typed earlier is dropped
        os.write(ours, b"\xff" * 50 + b"\n")
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
        os.close(theirs)
    assert (process.returncode, errors.split()) == (1, b"ocms: standard input is not UTF-8".split())


@pytest.mark.parametrize("line", ["keys create $'\\xff'", "jobs run $'\\xff'", "spec export $'\\xff'", "$'\\xff'"])
def test_an_argument_that_is_not_utf_8_is_one_line(shell, line):
    assert_one_line(shell(f"ocms {line}"), "", 2)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_the_encoding_lacks_are_escaped(shell, encoding):
    done = shell("ocms keys check", f"{KEY}\n".encode(), PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    if encoding != "ascii":  # typer writes UTF-8 then
        assert f"hash {hash_key(KEY)[:8]}\\u2026, valid" in done.stdout.decode(encoding)
    assert shell("ocms jobs history", PYTHONIOENCODING=encoding).returncode == 0
