"""Writing the OpenAPI documents that partners and API gateways import."""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
import yaml

from contract.document import Contract
from domain.errors import OperatorError

_ADVICE = "its directory must be writable, because the file is replaced; a file that is mounted alone cannot be"
_NOT_REPLACED = (errno.EACCES, errno.EBUSY, errno.EPERM, errno.EROFS)
_NEW_FILE = 0o666
"""The mode of a new file before the umask is applied. A contract is public."""


class _Dumper(yaml.SafeDumper):
    """Quotes Y and N, which many YAML parsers read as booleans."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Represent a string."""
        style = "'" if data.lower() in ("y", "n") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def export(contract: Contract, form: str) -> bytes:
    """Return the published document as `json` or `yaml`. The bytes are the same for each call."""
    document = contract.published()
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120).encode()


def write_file(path: Path, content: bytes) -> None:
    """Write a file. A failure leaves the previous file unchanged. Raises OperatorError.

    The content is written to a new file, which gets the mode of the previous one, and its owner if the system allows
    it, and then replaces it. If the path is a symbolic link, its target is replaced. A file that is not regular, such
    as a named pipe or /dev/null, is written directly.
    """
    try:
        try:
            file = os.open(path, os.O_WRONLY)  # for a named pipe, this blocks until it has a reader
        except FileNotFoundError:
            _replace(path, content, None)
            return
        # the reader of a pipe may close it early, which is no failure
        with suppress(BrokenPipeError), os.fdopen(file, "wb") as previous:
            found = os.fstat(file)
            if stat.S_ISREG(found.st_mode):
                _replace(path, content, found)
            else:
                previous.write(content)
    except OSError as error:
        raise OperatorError(f"cannot write {path}: {error.strerror}") from error


def _replace(path: Path, content: bytes, previous: os.stat_result | None) -> None:
    try:
        _write_beside(Path(os.path.realpath(path)), content, previous)
    except OSError as error:
        if error.errno not in _NOT_REPLACED:
            raise
        raise OperatorError(f"cannot write {path}: {error.strerror}; {_ADVICE}") from error


def _write_beside(target: Path, content: bytes, previous: os.stat_result | None) -> None:
    file, name = tempfile.mkstemp(prefix=".ocms-", dir=target.parent)
    new = Path(name)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            if previous:
                with suppress(OSError):  # only root may change the owner of a file
                    os.fchown(file, previous.st_uid, previous.st_gid)
            os.fchmod(file, stat.S_IMODE(previous.st_mode) if previous else _NEW_FILE & ~_umask())
            os.fsync(file)
        new.replace(target)
    except BaseException:
        new.unlink()
        raise


def _umask() -> int:
    os.umask(mask := os.umask(0o077))
    return mask
