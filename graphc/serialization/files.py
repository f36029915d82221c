"""Files: writing that either finishes or leaves the old file as it was, and reading at offsets.

Takes a path or a file object. Invariant: a path given to `replacing` holds, at every moment and
after any crash, either its old bytes or all of the new ones.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any


class LoadError(RuntimeError, UnpicklingError):
    """A file that cannot be loaded: damaged, cut short, of another format, or holding other objects
    than load() builds. The message names the file, the part and the place."""


class NameRefused(LoadError):
    """A file that names an object which load() does not build."""


_CHUNK = 1 << 30        # one write(2) takes less than 2 GiB on Linux


def is_path(f: Any) -> bool:
    return isinstance(f, (str, bytes, os.PathLike))


@contextmanager
def replacing(path: Any) -> Iterator[Callable[[Any], None]]:
    """Gives write(bytes-like) for the new contents of `path`. They go to a temporary file in the
    same folder, reach the disk, and then take the old file's place in one step. An exception
    removes them."""
    path = os.path.realpath(os.fspath(path))
    try:
        old = os.stat(path)
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):  # a pipe or a device is written as it is
        with open(path, "wb", buffering=0) as device:
            yield lambda data: write_all(device.fileno(), data)
        return
    folder, name = os.path.split(os.fsdecode(path))
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}.tmp")
    fd = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666
    )
    try:
        try:
            if old is not None:
                os.fchmod(fd, stat.S_IMODE(old.st_mode))
            yield lambda data: write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """The new name reaches the disk too, where the system can say so."""
    try:
        fd = os.open(folder or ".", os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)


def write_all(fd: int, data: Any) -> None:
    """All of a bytes-like object into a file descriptor."""
    view = memoryview(data).cast("B")
    at = 0
    while at < view.nbytes:
        at += os.write(fd, view[at:at + _CHUNK])


class Reader:
    """Random access to a path or a seekable binary file object. `name` is for messages."""

    def __init__(self, f: Any):
        self.name = getattr(f, "name", None) or f"<{type(f).__name__}>"
        self.owned = is_path(f)
        if self.owned:
            self.name = os.fsdecode(f)
            self.file: Any = open(f, "rb", buffering=0)  # noqa: SIM115  (closed by __exit__)
        else:
            self.file = f
            for needed in ("read", "seek", "tell"):
                if not hasattr(f, needed):
                    raise AttributeError(
                        f"load() needs a path or a file object with read, seek and tell; "
                        f"{type(f).__name__} has no {needed}()"
                    )
        self.start = 0 if self.owned else f.tell()
        self.size = self.file.seek(0, io.SEEK_END)
        self.file.seek(self.start)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: Any) -> None:
        if self.owned:
            self.file.close()

    def read(self, offset: int, n: int) -> bytes:
        """n bytes at offset; fewer at the end of the file."""
        self.file.seek(offset)
        parts = []
        while n > 0:
            got = self.file.read(n)
            if not got:
                break
            parts.append(got)
            n -= len(got)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, offset: int, view: memoryview) -> int:
        """Fills view from offset; returns the number of bytes that were there."""
        self.file.seek(offset)
        readinto = getattr(self.file, "readinto", None)
        at = 0
        while at < view.nbytes:
            part = view[at:at + _CHUNK]
            if readinto is not None:
                got = readinto(part)
            else:
                data = self.file.read(part.nbytes)
                got = len(data)
                part[:got] = data
            if not got:
                break
            at += got
        return at
