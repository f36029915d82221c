"""The disk cache of everything built: takes a key and named files, gives them back or a miss.

Layout: `<cache folder>/v1/entries/<key>/` with the files and a `manifest` of their content hashes.
Invariants: an entry appears whole (temporary folder + rename) and is checked in full before it is
used, so a truncated, altered or vanished entry is a miss and never an error; the folder is private
to the user (mode 0700), since what lies in it is loaded as code; locks die with their owner.
"""

import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache as _once
from pathlib import Path
from typing import NamedTuple

from graphc.base.config import config

try:  # hashlib would load OpenSSL for 10 ms, and only blake2 is wanted
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

_MANIFEST = "manifest"
_HEADER = "graphc-cache 1"
_STALE = 3600.0  # seconds after which a left-over temporary folder belongs to a dead process


def digest(*parts: str | bytes) -> str:
    """The content hash (40 hex digits) of a sequence of texts; its boundaries count."""
    state = blake2b(digest_size=20)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(b"%d:" % len(data))
        state.update(data)
    return state.hexdigest()


class Entry(NamedTuple):
    """A checked cache entry: its folder and the bytes of its files."""

    folder: Path
    files: dict[str, bytes]

    def path(self, name: str) -> str:
        """Where the file `name` lies, for the dynamic loader."""
        return str(self.folder / name)


class DiskCache:
    """Entries of named files under a root folder; every process of the user may use it at once."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.root, self.limit_bytes = root, limit_bytes
        self.entries, self.tmp, self.locks = root / "entries", root / "tmp", root / "locks"
        self._unscanned = limit_bytes  # bytes stored since the folder was last looked through
        self._make_folders()
        if hasattr(os, "getuid"):
            stat = os.stat(root)
            if stat.st_uid != os.getuid():
                raise PermissionError(f"{root} belongs to another user")
            if stat.st_mode & 0o077:
                os.chmod(root, 0o700)
        if not os.access(self.tmp, os.W_OK):
            raise PermissionError(f"{root} is not writable")

    def _make_folders(self) -> None:
        for folder in (self.root, self.entries, self.tmp, self.locks):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get(self, key: str) -> Entry | None:
        """The entry of `key` with all contents verified, or None; a bad entry is deleted."""
        folder = self.entries / key
        try:
            files = _read_verified(folder)
        except FileNotFoundError:
            if folder.exists():  # a part of it is gone
                self.discard(key)
            return None
        except (OSError, ValueError):
            self.discard(key)
            return None
        try:
            os.utime(folder / _MANIFEST)  # the least recently used entry goes first
        except OSError:
            pass
        return Entry(folder, files)

    def put(self, key: str, files: Mapping[str, bytes]) -> Entry:
        """Stores the entry whole; one that another process stored meanwhile is taken instead.

        Raises OSError if the disk refuses.
        """
        for attempt in range(3):
            with self.workspace() as work:
                if attempt == 0:
                    self._make_room(sum(map(len, files.values())))
                fresh = work / "entry"
                fresh.mkdir(mode=0o700)
                for name, data in files.items():
                    (fresh / name).write_bytes(data)
                lines = [f"{digest(data)} {len(data)} {name}" for name, data in files.items()]
                text = "\n".join([f"{_HEADER} {len(lines)}", *lines, ""])
                (fresh / _MANIFEST).write_text(text, encoding="utf-8")
                try:
                    os.rename(fresh, self.entries / key)
                    return Entry(self.entries / key, dict(files))
                except OSError:  # there is one already; a bad one is deleted by looking at it
                    present = self.get(key)
                    if present is not None and present.files.keys() == files.keys():
                        return present
                    self.discard(key)
        raise OSError(f"cannot store a cache entry under {self.root}")

    def discard(self, key: str) -> None:
        """Deletes an entry, at once for everyone who looks."""
        import shutil

        try:
            with self.workspace() as work:
                os.rename(self.entries / key, work / "gone")
        except OSError:  # it is gone already, or there is no room for another folder
            shutil.rmtree(self.entries / key, ignore_errors=True)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A private folder on the cache's file system that is gone afterwards."""
        import shutil
        import tempfile

        try:
            work = Path(tempfile.mkdtemp(dir=self.tmp))
        except FileNotFoundError:  # the whole cache was deleted since
            self._make_folders()
            work = Path(tempfile.mkdtemp(dir=self.tmp))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Only one process builds `key`; the lock is the kernel's and dies with its owner.

        Where the file system has no locks everyone builds: storing is atomic all the same.
        """
        from filelock import FileLock

        lock = FileLock(str(self.locks / f"{key}.lock"), timeout=600)
        try:
            lock.acquire()
        except (OSError, NotImplementedError):  # filelock.Timeout is an OSError
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def info(self) -> dict[str, object]:
        """Folder, number of entries, bytes and limit, for the command line."""
        sizes = [size for _, size, _ in self._scan()]
        return {"folder": str(self.root), "entries": len(sizes), "bytes": sum(sizes),
                "limit_bytes": self.limit_bytes}  # fmt: skip

    def clear(self) -> int:
        """Deletes every entry; running processes keep what they have loaded. Gives the number."""
        keys = [key for _, _, key in self._scan()]
        for key in keys:
            self.discard(key)
        self._sweep()
        return len(keys)

    def _scan(self) -> list[tuple[float, int, str]]:
        """(last use, bytes, key) of every entry; what vanishes meanwhile is left out."""
        found: list[tuple[float, int, str]] = []
        try:
            entries = list(os.scandir(self.entries))
        except FileNotFoundError:
            return found
        for entry in entries:
            try:
                size = sum(file.stat().st_size for file in os.scandir(entry.path))
                used = os.stat(os.path.join(entry.path, _MANIFEST)).st_mtime
            except FileNotFoundError:
                size, used = 0, 0.0
            except OSError:
                continue
            found.append((used, size, entry.name))
        return sorted(found)

    def _make_room(self, nbytes: int) -> None:
        """Deletes the least recently used entries beyond the limit, and what dead processes left.

        Looking through thousands of entries takes longer than storing one, so it is done again only
        after a 64th of the limit was stored."""
        self._unscanned += nbytes + self.limit_bytes // 4096
        if self._unscanned <= self.limit_bytes // 64:
            return
        self._unscanned = 0
        entries = self._scan()
        excess = sum(size for _, size, _ in entries) + nbytes
        excess -= self.limit_bytes - self.limit_bytes // 64
        for _, size, key in entries:
            if excess <= 0:
                break
            self.discard(key)
            excess -= size
        self._sweep()

    def _sweep(self) -> None:
        """Deletes the temporary folders and locks of processes that must be dead by now. A lock
        that is held all the same has at worst something built twice."""
        import shutil

        try:
            leftovers = [*os.scandir(self.tmp), *os.scandir(self.locks)]
        except FileNotFoundError:
            return
        for leftover in leftovers:
            try:
                if time.time() - leftover.stat().st_mtime <= _STALE:
                    continue
                if leftover.is_dir(follow_symlinks=False):
                    shutil.rmtree(leftover.path, ignore_errors=True)
                else:
                    os.unlink(leftover.path)
            except OSError:
                pass


def _read_verified(folder: Path) -> dict[str, bytes]:
    header, *lines = (folder / _MANIFEST).read_text(encoding="utf-8").splitlines()
    if header != f"{_HEADER} {len(lines)}":
        raise ValueError("damaged manifest")
    files = {}
    for line in lines:
        expected, size, name = line.split(" ", 2)
        data = (folder / name).read_bytes()
        if len(data) != int(size) or digest(data) != expected:
            raise ValueError(f"damaged file {name}")
        files[name] = data
    return files


def private_entry(files: Mapping[str, bytes]) -> Entry:
    """An entry outside the cache that lasts for this process: for when storing one has failed."""
    folder = _private_folder()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return Entry(folder, dict(files))


def _private_folder() -> Path:
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="graphc-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def disk_cache() -> DiskCache:
    """The cache of this process: $GRAPHC_CACHE_DIR, else the user's cache folder.

    Where that cannot be used, a folder that lives as long as the process, with one warning.
    """
    return _open(config.cache_dir)


@_once
def _open(folder: str) -> DiskCache:
    if not folder:
        from platformdirs import user_cache_dir

        folder = user_cache_dir("graphc", appauthor=False)
    limit = config.cache_mb << 20
    try:
        return DiskCache(Path(folder).expanduser().absolute() / "v1", limit)
    except OSError as error:
        warnings.warn(
            f"graphc: the cache folder cannot be used ({error}); what is built lasts for this "
            "process only. Set GRAPHC_CACHE_DIR to a folder of your own.",
            stacklevel=2,
        )
        return DiskCache(_private_folder() / "v1", limit)
