"""What lowering delivers: kernels in loop IR with the memory they touch. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...ir.index import Index
from ...ir.loop import Buffer


class Place(NamedTuple):
    """Where a value lies: a program buffer and the strides of its axes in elements."""

    buffer: Buffer
    strides: tuple


class Gemm(NamedTuple):
    """One product: operand = (buffer, strides of its two or three axes, offset)."""

    batch: Any
    m: Any
    n: Any
    k: Any
    a: tuple
    b: tuple
    c: Buffer
    code: str


class NativeCall(NamedTuple):
    """A function of the native library: arguments are (buffer, offset in elements) or None, results
    are buffers; `numbers`: what it reads, sizes among them."""

    function: str
    arguments: list
    results: list
    numbers: list


@dataclass(slots=True, eq=False)
class Kernel:
    """form: "rows" (body runs for row in [begin, end), in parallel), "tile" (epilogue of `gemm`),
    "gemm" or "call" (no body). `extent`: number of rows; `work`: inner loop steps of one row;
    `scratch`: heap buffers that only this kernel uses; `prints`: (label, text) facts for people."""

    name: str
    form: str
    body: list = field(default_factory=list)
    row: Any = None
    extent: Any = None
    work: Any = 1
    gemm: Gemm | None = None
    call: NativeCall | None = None
    group: Any = None
    scratch: list = field(default_factory=list)
    c: Buffer | None = None         # tile: the local name of the tile
    fallible: bool = False

    @property
    def parallel_extent(self) -> Index | None:
        return self.extent
