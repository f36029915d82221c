"""The archive: a zip file of stored (uncompressed) records, in the layout of PyTorch's files.

Takes records as names and bytes, gives an index of records with their place and CRC-32. Records
start at multiples of 64 bytes, so that they can be mapped. Invariant: no record is handed out whose
CRC-32 was not found right, unless the caller checks it itself.
Source of the format: PKWARE's APPNOTE.TXT 6.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ..native import library
from .files import LoadError, Reader

ALIGNMENT = 64
_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR = struct.Struct("<IIQI")
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = 0x04034B50, 0x02014B50, 0x06054B50
_END64_MARK, _LOCATOR_MARK = 0x06064B50, 0x07064B50
_BIG = 0xFFFFFFFF           # from here on sizes and offsets stand in 64-bit fields
_DATE = 0x21                # 1 January 1980: files depend on their contents alone


def crc32(data: Any, crc: int = 0) -> int:
    """CRC-32 of a bytes-like object, natively where it is long."""
    view = memoryview(data).cast("B")
    if view.nbytes < 1 << 16 or not library.available():
        return zlib.crc32(view, crc)
    from ..native import cpu
    return library.fn("gc_crc32", "uint32_t(uint32_t, void *, int64_t)")(
        crc, cpu.ffi().from_buffer(view), view.nbytes)


# ---------------------------------------------------------------- writing

def write(put: Callable[[Any], None], records: list[tuple[str, Any]], big: int = _BIG) -> None:
    """Writes an archive of (name, bytes-like) records through put(bytes-like). `big` is for
    tests."""
    at, index = 0, []
    for name, data in records:
        view = memoryview(data).cast("B")
        n, crc, key = view.nbytes, crc32(view), name.encode()
        header = _local_header(at, key, n, crc, big)
        put(header)
        put(view)
        index.append((key, at, n, crc))
        at += len(header) + n
    central = b"".join(_central_header(*entry, big) for entry in index)
    put(central + _ending(at, len(central), len(index), big))


def _local_header(at: int, name: bytes, n: int, crc: int, big: int) -> bytes:
    extra = struct.pack("<HHQQ", 1, 16, n, n) if n >= big else b""
    fixed = at + _LOCAL.size + len(name) + len(extra) + 4
    extra += struct.pack("<HH", 0x4246, -fixed % ALIGNMENT) + b"Z" * (-fixed % ALIGNMENT)
    short = _BIG if n >= big else n
    return (
        _LOCAL.pack(
            _LOCAL_MARK,
            45 if n >= big else 20,
            0,
            0,
            0,
            _DATE,
            crc,
            short,
            short,
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def _central_header(name: bytes, at: int, n: int, crc: int, big: int) -> bytes:
    wide = ([n, n] if n >= big else []) + ([at] if at >= big else [])
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    short, place = (_BIG if n >= big else n), (_BIG if at >= big else at)
    version = 45 if wide else 20
    return (
        _CENTRAL.pack(
            _CENTRAL_MARK,
            version,
            version,
            0,
            0,
            0,
            _DATE,
            crc,
            short,
            short,
            len(name),
            len(extra),
            0,
            0,
            0,
            0,
            place,
        )
        + name
        + extra
    )


def _ending(at: int, size: int, count: int, big: int) -> bytes:
    wide = b""
    if at >= big or size >= big or count >= 0xFFFF or big < _BIG:
        wide = _END64.pack(_END64_MARK, 44, 45, 45, 0, 0, count, count, size, at)
        wide += _LOCATOR.pack(_LOCATOR_MARK, 0, at + size, 1)
    return wide + _END.pack(
        _END_MARK,
        0,
        0,
        min(count, 0xFFFF),
        min(count, 0xFFFF),
        min(size, _BIG),
        _BIG if wide else min(at, _BIG),
        0,
    )


# ---------------------------------------------------------------- reading

class Record(NamedTuple):
    """One record: where its bytes lie in the file, and their CRC-32."""

    name: str
    offset: int
    size: int
    crc: int


class Archive:
    """The index of an archive. `prefix` is the folder that all of PyTorch's records share.

    Raises LoadError for files that are cut short, contradict themselves, or hold compressed or
    overlapping records."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self.records: dict[str, Record] = {}
        try:
            self._index()
        except (struct.error, UnicodeDecodeError, IndexError) as e:
            raise self.damaged(f"its index is damaged ({e})") from None
        pickles = [name for name in self.records if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise self.damaged(
                f"it is a zip file, but none of graphc or PyTorch: it has {len(pickles)} records "
                "named data.pkl (TorchScript and plain zip files are not read)"
            )
        self.prefix = pickles[0][:-len("data.pkl")]

    def damaged(self, what: str) -> LoadError:
        return LoadError(f"{self.reader.name}: {what}")

    def _index(self) -> None:
        size = self.reader.size
        tail_at = max(0, size - 65557 - _LOCATOR.size)
        tail = self.reader.read(tail_at, size - tail_at)
        at = self._find_end(tail)
        _, disk, disk2, _, count, length, start, _ = _END.unpack_from(tail, at)
        end = tail_at + at
        if at >= _LOCATOR.size and tail[at - _LOCATOR.size:at - _LOCATOR.size + 4] == b"PK\x06\x07":
            _, _, end, _ = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)
            mark, _, _, _, disk, disk2, _, count, length, start = _END64.unpack(
                self.reader.read(end, _END64.size))
            if mark != _END64_MARK:
                raise self.damaged(f"there is no 64-bit index end at offset {end}")
        if disk or disk2 or start + length != end:
            raise self.damaged(
                f"the index should lie at {start}..{start + length}, but ends at {end}"
            )
        self._entries(self.reader.read(start, length), count, start)

    def _find_end(self, tail: bytes) -> int:
        """Where the end record starts: the last one whose comment reaches exactly to the end of the
        file."""
        at = len(tail) - _END.size
        while at >= 0:
            at = tail.rfind(b"PK\x05\x06", 0, at + 4)
            if at >= 0 and at + _END.size + struct.unpack_from("<H", tail, at + 20)[0] == len(tail):
                return at
            at -= 1
        raise self.damaged(f"the end of the archive is missing (the file is {self.reader.size} "
                           f"bytes long); it was "
                           "probably cut short")

    def _entries(self, index: bytes, count: int, stop: int) -> None:
        at, places = 0, []
        for _ in range(count):
            (
                mark,
                _,
                _,
                flags,
                method,
                _,
                _,
                crc,
                packed,
                size,
                n_name,
                n_extra,
                n_comment,
                disk,
                _,
                _,
                local,
            ) = _CENTRAL.unpack_from(index, at)
            if mark != _CENTRAL_MARK:
                raise self.damaged(f"the index has no entry at its offset {at}")
            at += _CENTRAL.size
            name = index[at:at + n_name].decode()
            extra = index[at + n_name:at + n_name + n_extra]
            at += n_name + n_extra + n_comment
            packed, size, local = _widened(extra, packed, size, local)
            if flags & 1 or method != 0 or packed != size or disk:
                raise self.damaged(
                    f"record {name!r} is compressed, encrypted or split (method {method}); only "
                    "stored records are read"
                )
            if name in self.records:
                raise self.damaged(f"record {name!r} is there twice")
            begin = self._data_offset(name, local)
            places.append((local, begin + size, name))
            self.records[name] = Record(name, begin, size, crc)
        if at != len(index):
            raise self.damaged("the index is longer than its entries")
        places.sort()
        for (_, end, name), (following, _, _) in zip(
            places, [*places[1:], (stop, 0, "")], strict=True
        ):
            if end > following:
                raise self.damaged(
                    f"record {name!r} reaches to offset {end}, into what follows at {following}"
                )

    def _data_offset(self, name: str, local: int) -> int:
        """Where a record's bytes start, by its own header, which has to agree with the index."""
        head = self.reader.read(
            local, _LOCAL.size + 65535 if local < 0 else _LOCAL.size + len(name.encode())
        )
        mark, _, _, method, _, _, _, _, _, n_name, n_extra = _LOCAL.unpack_from(head)
        if (
            mark != _LOCAL_MARK
            or method != 0
            or head[_LOCAL.size : _LOCAL.size + n_name] != name.encode()
        ):
            raise self.damaged(f"record {name!r} has no proper header at offset {local}")
        return local + _LOCAL.size + n_name + n_extra

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.records

    def record(self, name: str) -> Record:
        """The record `name` of the common folder."""
        found = self.records.get(self.prefix + name)
        if found is None:
            raise self.damaged(f"record {self.prefix + name!r} is missing")
        return found

    def read(self, name: str) -> bytes:
        """A record's bytes, checked."""
        r = self.record(name)
        data = self.reader.read(r.offset, r.size)
        self.check(r, data)
        return data

    def check(self, r: Record, data: Any, what: str = "") -> None:
        """Raises when `data` is not the record's contents. `what` names what they are."""
        n = memoryview(data).nbytes
        if n != r.size:
            raise self.damaged(
                f"{what or r.name} ends after {n} of {r.size} bytes at offset {r.offset}"
            )
        found = crc32(data)
        if found != r.crc:
            raise self.damaged(f"{what or 'record ' + repr(r.name)} is damaged: the CRC-32 of its "
                               f"{r.size} bytes at "
                               f"offset {r.offset} is {found:08x}, it was written with {r.crc:08x}")


def _widened(extra: bytes, packed: int, size: int, local: int) -> tuple[int, int, int]:
    """The three numbers with those that did not fit taken from the 64-bit extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, n = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{n // 8}Q", extra, at + 4))
            size = next(wide, size) if size == _BIG else size
            packed = next(wide, packed) if packed == _BIG else packed
            local = next(wide, local) if local == _BIG else local
        at += 4 + n
    return packed, size, local
