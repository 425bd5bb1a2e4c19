"""The lock of a job on SQLite, which is a file. The lock on SQL Server is tested in test_sql_server_connections."""

import os
import stat
import subprocess
import sys

import pytest
import stamina
from fixtures.users import SERVICE, needs_root

from db.engine import connect
from db.errors import DatabaseUnavailableError
from db.job_lock import job_lock
from domain.errors import JobRunningError

JOB = "refresh"
HOLD = """
import sys, time
from db.engine import connect
from db.job_lock import job_lock
with job_lock(connect(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lock_file(tmp_path):
    return tmp_path / f"ocms.db.{JOB}.lock"


@pytest.fixture
def sqlite(tmp_path):
    return connect(f"sqlite:///{tmp_path}/ocms.db")


def test_a_held_lock_refuses_a_second_holder_until_it_is_released(sqlite):
    with job_lock(sqlite, JOB):
        with pytest.raises(JobRunningError, match="refresh is running already"), job_lock(sqlite, JOB):
            pytest.fail("two holders")
        with job_lock(sqlite, "another-job"):
            pass
    with job_lock(sqlite, JOB):
        pass


def test_the_lock_of_a_killed_process_is_free(sqlite):
    command = [sys.executable, "-c", HOLD, str(sqlite.engine.url), JOB]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(JobRunningError), job_lock(sqlite, JOB):
        pytest.fail("two holders")
    holder.kill()
    holder.communicate()
    for attempt in stamina.retry_context(JobRunningError, wait_initial=0.05):
        with attempt, job_lock(sqlite, JOB):
            pass


def test_an_exception_of_the_holder_releases_the_lock_and_is_passed_on(sqlite):
    with pytest.raises(BlockingIOError), job_lock(sqlite, JOB):
        raise BlockingIOError
    with job_lock(sqlite, JOB):
        pass


def test_only_the_owner_may_read_a_new_lock_file(sqlite, lock_file):
    mask = os.umask(0)
    try:
        with job_lock(sqlite, JOB):
            assert stat.S_IMODE(lock_file.stat().st_mode) == 0o600
    finally:
        os.umask(mask)


def test_an_existing_lock_file_needs_no_write_permission_and_is_not_changed(sqlite, lock_file):
    lock_file.write_text("content")
    lock_file.chmod(0o444)
    with job_lock(sqlite, JOB):
        pass
    assert lock_file.read_text() == "content"
    assert stat.S_IMODE(lock_file.stat().st_mode) == 0o444


@pytest.mark.parametrize("target_exists", [True, False])
def test_a_symbolic_link_is_refused_with_what_to_do(sqlite, lock_file, tmp_path, target_exists):
    target = tmp_path / "target"
    if target_exists:
        target.write_text("content")
    lock_file.symlink_to(target)
    with (
        pytest.raises(DatabaseUnavailableError, match=r"cannot lock .*/ocms.db.refresh.lock: .*link, remove it"),
        job_lock(sqlite, JOB),
    ):
        pytest.fail("the link was followed")
    assert target.exists() is target_exists


def test_a_directory_in_the_place_of_the_lock_file_is_an_error(sqlite, lock_file):
    lock_file.mkdir()
    with pytest.raises(DatabaseUnavailableError, match="Is a directory"), job_lock(sqlite, JOB):
        pytest.fail("a directory was locked")


def test_a_pipe_in_the_place_of_the_lock_file_is_an_error_and_does_not_block(sqlite, lock_file):
    os.mkfifo(lock_file)
    with pytest.raises(DatabaseUnavailableError, match="not a regular file, remove it"), job_lock(sqlite, JOB):
        pytest.fail("a pipe was locked")


@pytest.mark.parametrize("name", ["link.db", "folder/ocms.db", "chain.db"])
def test_every_name_of_a_database_has_the_same_lock(sqlite, lock_file, tmp_path, name):
    (tmp_path / "ocms.db").touch()
    (tmp_path / "link.db").symlink_to("ocms.db")
    (tmp_path / "chain.db").symlink_to(tmp_path / "link.db")
    (tmp_path / "folder").symlink_to(".")
    other = connect(f"sqlite:///{tmp_path}/{name}")
    with job_lock(sqlite, JOB):
        with pytest.raises(JobRunningError), job_lock(other, JOB):
            pytest.fail("two holders")
        assert [path.name for path in tmp_path.glob("*.lock")] == [lock_file.name]
    with job_lock(other, JOB), pytest.raises(JobRunningError), job_lock(sqlite, JOB):
        pytest.fail("two holders")


REPLACE = """
import os, subprocess, sys
from db.engine import connect
from db.job_lock import job_lock
from domain.errors import JobRunningError
url, job, path, command, replaced = *sys.argv[1:4], sys.argv[4:], []

def replace(event, arguments):
    if event == "fcntl.flock" and not replaced:
        os.unlink(path)
        replaced.append(subprocess.Popen(command, stdout=subprocess.PIPE) if command else None)
        if command:
            assert replaced[0].stdout.readline() == b"held\\n"

sys.addaudithook(replace)  # Python calls it just before flock
try:
    with job_lock(connect(url), job):
        assert replaced
        print("held", os.path.exists(path))
except JobRunningError:
    print("refused")
finally:
    if command:
        replaced[0].kill()
        replaced[0].communicate()
"""


@pytest.mark.parametrize(("another_holds_it", "result"), [(True, "refused"), (False, "held True")])
def test_a_lock_file_that_is_removed_before_it_is_locked_is_opened_again(sqlite, lock_file, another_holds_it, result):
    """Otherwise the lock would be on a file without a name, and another process would lock a new one."""
    url = str(sqlite.engine.url)
    holder = [sys.executable, "-c", HOLD, url, JOB] if another_holds_it else []
    command = [sys.executable, "-c", REPLACE, url, JOB, lock_file, *holder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == (result, "")


@needs_root
def test_a_lock_file_that_the_user_may_not_read_is_reported_with_what_to_do(shared):
    (shared / f"ocms.db.{JOB}.lock").touch(0o600)
    sqlite = connect(f"sqlite:///{shared}/ocms.db")
    refused = pytest.raises(DatabaseUnavailableError, match="Permission denied; give it and its directory to the owner")
    os.seteuid(SERVICE)
    try:
        with refused, job_lock(sqlite, JOB):
            pytest.fail("the lock was taken")
    finally:
        os.seteuid(0)
