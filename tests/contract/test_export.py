"""Files that are written by `ocms spec`: a failure leaves the previous file unchanged."""

import os
import resource
import stat
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from fixtures.commands import environment
from fixtures.settings import OCMS_KEY
from fixtures.users import SERVICE, acting_as, needs_root

from contract.export import write_file
from domain.errors import OperatorError


@pytest.fixture
def export(tmp_path):
    """Export a contract with a line of bash in which `export` is the command; returns the process."""

    def run(line, prepare=None):
        defined = f'export() {{ "{sys.executable}" -m ocms spec export "$@"; }}; {line}'
        return subprocess.run(
            ["bash", "-c", defined],
            cwd=tmp_path,
            env=environment(""),
            capture_output=True,
            timeout=60,
            check=False,
            preexec_fn=prepare,
        )

    return run


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_an_export_that_fails_leaves_the_previous_file_and_nothing_else(export, tmp_path):
    (tmp_path / "x.yaml").write_text("previous")
    done = export("export -o x.yaml", partial(resource.setrlimit, resource.RLIMIT_FSIZE, (4096, 4096)))
    assert (done.returncode, done.stderr) == (1, b"ocms: cannot write x.yaml: File too large\n")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.yaml", "previous")]


def test_a_reader_sees_the_previous_file_or_the_new_one(tmp_path):
    path, contents, seen = tmp_path / "x", [b"0" * 10_000, b"1" * 20_000], set()
    write_file(path, contents[0])
    stop = threading.Event()

    def read():
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        write_file(path, contents[number % 2])
    stop.set()
    reader.join()
    assert seen <= set(contents)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_usual_mode(tmp_path, mask):
    previous = os.umask(mask)
    try:
        write_file(tmp_path / "x", b"new")
        assert os.umask(mask) == mask
    finally:
        os.umask(previous)
    assert ((tmp_path / "x").read_bytes(), mode(tmp_path / "x")) == (b"new", 0o666 & ~mask)


def test_an_existing_file_keeps_its_mode_and_owner(tmp_path):
    path = tmp_path / "x"
    path.write_text("previous, and longer")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, SERVICE, SERVICE)
    owner = path.stat().st_uid, path.stat().st_gid
    write_file(path, b"new")
    assert (path.read_bytes(), mode(path), path.stat().st_uid, path.stat().st_gid) == (b"new", 0o640, *owner)


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_remains_and_leads_to_the_new_content(tmp_path, exists):
    (tmp_path / "deep").mkdir()
    if exists:
        (tmp_path / "deep" / "target").write_text("previous")
    (tmp_path / "x").symlink_to("deep/target")
    write_file(tmp_path / "x", b"new")
    assert (tmp_path / "x").is_symlink()
    assert (tmp_path / "deep" / "target").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["target"]


@needs_root
def test_a_file_that_the_user_may_not_write_is_not_replaced(shared):
    path = shared / "x"
    path.write_text("previous")
    shared.chmod(0o777)
    with acting_as(SERVICE), pytest.raises(OperatorError, match=r"cannot write .*/x: Permission denied$"):
        write_file(path, b"new")
    assert path.read_text() == "previous"


ADVICE = "its directory must be writable, because the file is replaced; a file that is mounted alone cannot be"


@needs_root
@pytest.mark.parametrize("exists", [True, False])
def test_a_directory_that_may_not_be_written_is_reported_with_what_to_do(shared, exists):
    path = shared / "x"
    if exists:
        path.write_text("previous")
        os.chown(path, SERVICE, SERVICE)
    with acting_as(SERVICE), pytest.raises(OperatorError, match=rf"^cannot write {path}: Permission denied; {ADVICE}$"):
        write_file(path, b"new")
    assert [found.read_text() for found in shared.iterdir()] == ["previous"] * exists


@needs_root
def test_a_file_in_a_directory_where_only_its_owner_may_replace_it_is_reported(shared):
    """In a directory such as /tmp, whoever may write a file of another user may still not replace it."""
    path = shared / "x"
    path.write_text("previous")
    path.chmod(0o666)
    shared.chmod(0o1777)
    with (
        acting_as(SERVICE),
        pytest.raises(OperatorError, match=rf"^cannot write {path}: Operation not permitted; {ADVICE}$"),
    ):
        write_file(path, b"new")
    assert [found.read_text() for found in shared.iterdir()] == ["previous"]


@pytest.mark.parametrize("options", ["", "-o remount,ro,bind"])
def test_a_mounted_file_is_reported_with_what_to_do(export, tmp_path, options):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("previous")
    (tmp_path / "source").write_text("mounted")
    mount = "mount --bind source folder/x"
    if options:
        mount = f"mount --bind folder folder && {mount} && mount {options} folder"
    quoted = f"{mount} || exit 77; {sys.executable} -m ocms spec export -o folder/x; code=$?; ls -A folder; exit $code"
    done = export(f"unshare --user --map-root-user --mount bash -c '{quoted}'")
    if done.returncode == 77 or b"unshare" in done.stderr:
        pytest.skip("this system does not allow mounts")
    reason = "Read-only file system" if options else "Device or resource busy"
    assert done.stderr.decode() == f"ocms: cannot write folder/x: {reason}; {ADVICE}\n"
    assert (done.returncode, done.stdout) == (1, b"x\n")
    assert (tmp_path / "source").read_text() == "mounted"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "Is a directory"),
        ("none/x", "No such file or directory"),
        ("loop", "Too many levels of symbolic links"),
        ("file/x", "Not a directory"),
        ("x" * 256, "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_reported(tmp_path, path, reason):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match=rf"^cannot write {tmp_path / path}: {reason}$"):
        write_file(tmp_path / path, b"new")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["file", "loop"]


def test_what_is_not_a_regular_file_is_written_directly(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    received = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_file(tmp_path / "pipe", b"new" * 100_000)
    reader.join(10)
    assert received == [b"new" * 100_000]
    assert (tmp_path / "pipe").is_fifo()
    write_file(Path("/dev/null"), b"new")
    with pytest.raises(OperatorError, match="cannot write /dev/full: No space left on device"):
        write_file(Path("/dev/full"), b"new")


def test_the_reader_of_a_pipe_may_close_it_when_it_has_read_enough(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    received = []

    def read():
        with (tmp_path / "pipe").open("rb", buffering=0) as pipe:
            received.append(pipe.read(1))

    reader = threading.Thread(target=read)
    reader.start()
    write_file(tmp_path / "pipe", b"new" * 100_000)
    reader.join(10)
    assert received == [b"n"]


def test_standard_output_can_be_named_as_the_file(export, tmp_path):
    document = export("export").stdout
    assert export("export -o /dev/stdout | cat").stdout == document
    assert export("export -o >(cat) | cat").stdout == document
    assert export("export -o -").stdout == document
    assert not list(tmp_path.iterdir())
    assert export('export -o "$PWD/-"').stdout == b""
    assert (tmp_path / "-").read_bytes() == document
    (tmp_path / "x").write_text("previous")
    assert export("(export -o /dev/stdout; echo end) >> x").returncode == 0
    assert (tmp_path / "x").read_bytes() == b"previous" + document + b"end\n"
    for line in ("export -o /dev/stdout | head -c 1", "export -o >(head -c 1)", "export -o /dev/null > /dev/null"):
        done = export(f"set -o pipefail; {line}")
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_report_for_which_there_is_no_directory_is_refused_before_any_call(ocms, mock_cas, logs, tmp_path):
    url = mock_cas(20)
    done = ocms("spec", "verify", "cas", "--url", url, "--junit", "none/x.xml", OCMS_VERIFY_KEYS=f"OCMS:{OCMS_KEY}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ocms: cannot write none/x.xml: there is no directory none\n"
    assert not (tmp_path / "none").exists()
    assert not logs("call")
