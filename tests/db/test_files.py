"""The files of an SQLite database: who may read them, and to whom they belong."""

import os
import stat
import subprocess
import sys

import pytest
from fixtures.users import SERVICE, needs_root

from db import migration
from db.check import list_differences
from db.engine import connect
from db.files import create_file
from db.job_lock import job_lock
from domain.errors import OperatorError

AS_USER = """
import os, sys
from db import migration
from db.engine import connect
from db.job_lock import job_lock
from db.schema import require_current
database = connect(sys.argv[1])
os.setgroups([int(sys.argv[3])])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
"""


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def owner(path):
    return path.stat().st_uid, path.stat().st_gid


@pytest.fixture
def open_mask():
    """Remove no permission from what is created."""
    mask = os.umask(0)
    yield
    os.umask(mask)


def run_as(user, database, code, group=None):
    """Run code with a database as another user. Modules are imported before, as that user may not read them."""
    command = [sys.executable, "-c", AS_USER + code, str(database.engine.url), str(user), str(group or user)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def write(database):
    """Write to a database and return its files while it is open, when all of them exist."""
    with database.writing() as conn:
        conn.exec_driver_sql("CREATE TABLE written (number)")
    return [database.path, *(database.path.with_name(database.path.name + end) for end in ("-wal", "-shm"))]


def test_only_the_owner_can_read_a_new_database_its_log_and_its_directories(tmp_path, open_mask):
    database = connect(f"sqlite:///{tmp_path}/deep/var/ocms.db")
    migration.upgrade(database)
    assert [mode(path) for path in write(database)] == [0o600, 0o600, 0o600]
    assert [mode(tmp_path / "deep"), mode(tmp_path / "deep" / "var")] == [0o700, 0o700]
    database.close()


def test_the_mode_of_an_existing_database_and_directory_is_kept_and_reported(tmp_path, open_mask):
    (tmp_path / "var").mkdir(0o755)
    database = connect(f"sqlite:///{tmp_path}/var/ocms.db")
    database.path.touch(0o644)
    migration.upgrade(database)
    assert (mode(tmp_path / "var"), mode(database.path)) == (0o755, 0o644)
    assert list_differences(database, "truncate") == [
        f"every user of this machine can read {database.path}: run 'chmod o= {database.path}*'"
    ]
    database.path.chmod(0o640)
    assert list_differences(database, "truncate") == []
    database.close()


@pytest.mark.parametrize("name", [os.fsdecode(b"\xff\xe9.db"), "é.db", "50% #1.db", "a b&mode=ro.db"])
def test_a_database_can_have_any_name(tmp_path, name):
    database = connect(f"sqlite:///{tmp_path}/{name}")
    migration.upgrade(database)
    assert list_differences(database, "truncate") == []
    with job_lock(database, "refresh"):
        write(database)
    database.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}.refresh.lock"]


def test_a_database_behind_a_symbolic_link_is_used(tmp_path):
    (tmp_path / "real.db").touch(0o600)
    (tmp_path / "ocms.db").symlink_to("real.db")
    database = connect(f"sqlite:///{tmp_path}/ocms.db")
    migration.upgrade(database)
    database.close()
    assert (tmp_path / "real.db").stat().st_size
    assert (tmp_path / "ocms.db").is_symlink()


def test_a_database_is_never_created_where_a_symbolic_link_points(tmp_path):
    (tmp_path / "ocms.db").symlink_to("target")
    with pytest.raises(OperatorError, match=r"cannot create .*/ocms.db: it is a symbolic link to nothing, remove it"):
        create_file(tmp_path / "ocms.db")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("parent", ["a-file", "a-link-to-nothing"])
def test_a_database_is_not_created_in_what_is_not_a_directory(tmp_path, parent):
    (tmp_path / "a-file").touch()
    (tmp_path / "a-link-to-nothing").symlink_to("target")
    with pytest.raises(OperatorError, match=rf"cannot create .*/{parent}/ocms.db: File exists"):
        create_file(tmp_path / parent / "ocms.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file", "a-link-to-nothing"]


@needs_root
def test_a_database_that_root_creates_belongs_to_the_owner_of_the_directory(shared):
    os.chown(shared, SERVICE, SERVICE)
    database = connect(f"sqlite:///{shared}/deep/var/ocms.db")
    migration.upgrade(database)
    assert {owner(path) for path in write(database)} == {(SERVICE, SERVICE)}
    assert {owner(shared / "deep"), owner(shared / "deep" / "var")} == {(SERVICE, SERVICE)}
    database.close()
    done = run_as(SERVICE, database, "with database.writing() as c: c.exec_driver_sql('DROP TABLE written')")
    assert done.returncode == 0, done.stderr


@needs_root
def test_after_root_ran_a_job_the_service_can_run_it_and_write(shared):
    os.chown(shared, SERVICE, SERVICE)
    database = connect(f"sqlite:///{shared}/ocms.db")
    create_file(database.path)
    with job_lock(database, "refresh"):
        assert {owner(path) for path in write(database)} == {(SERVICE, SERVICE)}
        held = run_as(SERVICE, database, "with job_lock(database, 'refresh'): print('two holders')")
        assert "JobRunningError" in held.stderr
        assert not held.stdout
    lock = shared / "ocms.db.refresh.lock"
    assert (owner(lock), mode(lock)) == ((SERVICE, SERVICE), 0o600)
    work = "with job_lock(database, 'refresh'), database.writing() as c: c.exec_driver_sql('DROP TABLE written')"
    done = run_as(SERVICE, database, work)
    assert done.returncode == 0, done.stderr
    database.close()


@needs_root
def test_whoever_in_its_group_can_write_the_database_can_lock_it(shared):
    """Two users share a database through a group; the lock file belongs to the first who ran a job."""
    os.chown(shared, 0, SERVICE)
    shared.chmod(0o770)
    database = connect(f"sqlite:///{shared}/ocms.db")
    database.path.touch()
    os.chown(database.path, SERVICE + 1, SERVICE)
    database.path.chmod(0o660)
    lock = "with job_lock(database, 'refresh'): pass"
    for user in (SERVICE + 2, SERVICE + 3):
        done = run_as(user, database, lock, group=SERVICE)
        assert done.returncode == 0, done.stderr
    assert owner(shared / "ocms.db.refresh.lock") == (SERVICE + 2, SERVICE)
    assert mode(shared / "ocms.db.refresh.lock") == 0o640


@needs_root
@pytest.mark.parametrize(("path", "code"), [("", "require_current(database)"), ("x.db", "migration.upgrade(database)")])
def test_a_directory_that_the_user_may_not_enter_is_reported(shared, path, code):
    shared.chmod(0o700)
    done = run_as(SERVICE, connect(f"sqlite:///{shared}/{path or 'ocms.db'}"), code)
    assert "domain.errors.OperatorError: " in done.stderr
    assert "Permission denied" in done.stderr.splitlines()[-1]
