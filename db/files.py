"""Create the files of an SQLite database. Other users may not read them.

A command that runs with sudo must not lock out the service, so a file that root creates gets the owner of the directory
or of the database next to it. SQLite does the same for its own files, and gives them the mode of the database.
"""

import os
from contextlib import suppress
from pathlib import Path

from domain.errors import OperatorError


def create_file(path: Path) -> None:
    """Create an empty SQLite file and its directories, if they do not exist. Raises OperatorError.

    The mode of an existing file or directory is not changed.
    """
    try:
        _create_directory(path.parent)
        with suppress(FileExistsError):
            os.close(create_private(path, path.parent))
        path.stat()
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError) and path.is_symlink()
        reason = "it is a symbolic link to nothing, remove it" if dangling else error.strerror
        raise OperatorError(f"OCMS_DATABASE_URL: cannot create {path}: {reason}") from None


def create_private(path: Path, beside: Path) -> int:
    """Create an empty file that only its owner may read, and return its descriptor.

    If root creates it, it gets the owner of `beside`. Raises OSError; FileExistsError also for a symbolic link, which
    is never followed.
    """
    file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    _give_to_owner_of(beside, file)
    return file


def _create_directory(path: Path) -> None:
    if path.is_dir():
        return
    _create_directory(path.parent)
    path.mkdir(0o700, exist_ok=True)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    _give_to_owner_of(path.parent, directory)
    os.close(directory)


def _give_to_owner_of(beside: Path, file: int) -> None:
    if os.geteuid() == 0:
        with suppress(OSError):  # root in a container may lack the right to change owners
            found = beside.stat()
            os.fchown(file, found.st_uid, found.st_gid)
