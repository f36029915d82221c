"""Lifting: takes the real tensors that traced code meets, gives input slots of the graph.

Invariant: two tensors of one slot share memory, two slots that the program writes never overlap.
Tensors over one storage get a slot each while nothing is written through them; a write into memory
that several of them show makes the capture start again with that memory as one slot (`Restart`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base.errors import CaptureBreak
from ...core.tensor import Tensor, address
from ...ir.types import TensorType, tensor_type


class Unsized(Exception):
    """This capture needs sizes that are ints."""


class Restart(BaseException):
    """Memory of one storage has to become one slot: capture once more."""


class Cell:
    """Traced memory: the node that holds its present contents, and how it is laid out. `slot` is
    the input slot, or None for memory that the program makes; `node0` the contents on entry.
    `recast`: it is also shown as numbers of another dtype, so that writes would have to be seen
    there."""

    __slots__ = ("node", "node0", "type", "version", "slot", "region", "offset", "recast")

    def __init__(
        self,
        node: Any,
        type: TensorType,
        slot: int | None = None,
        region: Any = None,
        offset: int = 0,
    ):
        self.node = self.node0 = node
        self.type, self.slot, self.region, self.offset = type, slot, region, offset
        self.version = 0
        self.recast = False


class View:
    """How a tensor shows a cell: the movement ops from the cell's node to it, with the node that
    they last gave and the cell's version at that time."""

    __slots__ = ("cell", "chain", "node", "version")

    def __init__(self, cell: Cell, chain: tuple, node: Any):
        self.cell, self.chain, self.node, self.version = cell, chain, node, cell.version


class Region:
    """One block of real memory (the array that owns it) and the windows of it that were met."""

    __slots__ = ("root", "start", "cells", "merged", "lo")

    def __init__(self, root: np.ndarray):
        self.root = root
        self.start = address(root)
        self.cells: list[tuple] = []  # ((address, shape, strides, dtype), cell)
        self.merged: Cell | None = None
        self.lo = 0  # first byte of the merged slot, from start


class Source:
    """Where the array of an input slot comes from on a call. kind: "arg" (leaf number), "held" (a
    tensor), "place" (number of a variable that holds one), "grad" (of the tensor that ref names),
    "const" (an array), "region" (memory around the tensor that ref names; window: bytes before its
    first element, number of elements)."""

    __slots__ = ("kind", "ref", "window")

    def __init__(self, kind: str, ref: Any, window: Any = None):
        self.kind, self.ref, self.window = kind, ref, window


class Saved:
    """A real tensor's Python fields as they were before capture."""

    __slots__ = ("tensor", "needs", "fn", "fields", "memory")

    def __init__(self, t: Tensor):
        self.tensor, self.needs, self.fn = t, t._needs, t._fn
        self.fields = dict(t.__dict__)
        self.memory = (t._array, t._storage, t.dtype)

    def restore(self) -> None:
        t = self.tensor
        t._needs, t._fn = self.needs, self.fn
        now, was = t.__dict__, self.fields
        if now.keys() != was.keys() or any([now[k] is not was[k] for k in now]):
            t.__dict__.clear()
            t.__dict__.update(self.fields)
        t._array, t._storage, t.dtype = self.memory


def window_of(t: Tensor) -> tuple:
    a = t._array
    return address(a), a.shape, a.strides, t.dtype


def extent(window: tuple) -> tuple[int, int]:
    """First and one-past-last byte of a window."""
    at, shape, strides, dtype = window
    end = at + dtype.itemsize
    for n, s in zip(shape, strides, strict=True):
        if n == 0:
            return at, at
        end += (n - 1) * s
    return at, end


def overlap(a: tuple, b: tuple) -> bool:
    (lo, hi), (lo2, hi2) = extent(a), extent(b)
    return lo < hi2 and lo2 < hi


class Lifter:
    """The input side of a capture. `merge` says which memory has to be one slot: {id of the owning
    array: (array, first byte, one past the last)}, learned from earlier attempts."""

    def __init__(self, graph: Any, merge: dict, sized: dict[int, TensorType]):
        self.graph, self.merge = graph, merge
        self.sized = sized  # id(tensor) -> its type with symbols for sizes
        self.dressed: dict[int, Tensor] = {}
        self.sources: list[Source] = []  # per input slot
        self.regions: dict[int, Region] = {}
        self.views: dict[int, tuple] = {}  # id(tensor) -> (tensor, View)
        self.saved: dict[int, Saved] = {}
        self.versions: dict[int, tuple] = {}  # id(storage) -> (storage, version, flags on entry)
        self.known: dict[
            int, Source
        ] = {}  # id(tensor) -> source, for arguments and entry gradients

    def save(self, t: Tensor) -> None:
        """Remembers the fields of a real tensor (and of its base) so that they can be put back."""
        if id(t) not in self.saved:
            self.saved[id(t)] = Saved(t)
            s = t._storage
            if id(s) not in self.versions:
                self.versions[id(s)] = (s, s.version, s.flags)
            if t._base is not None:
                self.save(t._base)

    def type_of(self, t: Tensor) -> TensorType:
        return self.sized.get(id(t)) or t.type_

    def dress(self, t: Tensor) -> None:
        """Makes a real tensor show symbolic sizes, like a traced one, until `restore`."""
        view = self.lift(t)
        start, t._meta, t._trace = t._start(), self.sized[id(t)], view
        t._array, t._offset = None, start
        self.dressed[id(t)] = t

    def real(self, t: Tensor) -> bool:
        """Whether t came from outside."""
        return t._array is not None or id(t) in self.dressed

    def restore(self) -> None:
        for s in self.saved.values():
            s.restore()
        for storage, version, flags in self.versions.values():
            storage.version, storage.flags = version, flags

    def lift(self, t: Tensor) -> View:
        """The view of a slot that real tensor t is."""
        found = self.views.get(id(t))
        if found is not None:
            return found[1]
        self.save(t)
        view = self._place(t)
        self.views[id(t)] = (t, view)
        return view

    def _place(self, t: Tensor) -> View:
        root = t._storage.root()
        region = self.regions.get(id(root))
        if region is None:
            region = self.regions[id(root)] = Region(root)
        key = window_of(t)
        merge = self.merge.get(id(root))
        if merge is not None:
            return self._inside(region, merge, t, key)
        for window, cell in region.cells:
            if window == key:
                if cell.type != self.type_of(t):
                    raise Unsized
                return View(cell, (), cell.node) if not cell.version else _stale(cell)
        for window, cell in region.cells:
            if cell.version and overlap(window, key):
                self.unite(region, key)
        source = self.known.get(id(t)) or Source("held", t)
        cell = self.slot(
            self.type_of(t), source, region, (key[0] - region.start) // max(t.dtype.itemsize, 1)
        )
        region.cells.append((key, cell))
        return View(cell, (), cell.node)

    def slot(self, type: TensorType, source: Source, region: Any = None, offset: int = 0) -> Cell:
        """A new input slot."""
        node = self.graph.input(type)
        self.sources.append(source)
        return Cell(node, type, len(self.sources) - 1, region, offset)

    def _inside(self, region: Region, merge: tuple, t: Tensor, key: tuple) -> View:
        _, lo, hi = merge
        if id(t) in self.sized:
            raise Unsized
        start, end = extent(key)
        if start < lo or end > hi:
            self.unite(region, key)
        size = t.dtype.itemsize
        if region.merged is None:
            n = (hi - lo) // size
            source = self.known.get(id(t)) or Source("held", t)
            region.merged = self.slot(
                tensor_type((n,), t.dtype),
                Source("region", source, (start - lo, n)),
                region,
                (lo - region.start) // size,
            )
            region.lo = lo
        cell = region.merged
        if cell.type.dtype is not t.dtype:
            raise CaptureBreak(
                "memory that is shared under two dtypes is written",
                "clone one of the tensors before the compiled call",
                kind="aliasing",
            )
        region.cells.append((key, cell))
        type = t.type_
        attrs = (type.shape, type.strides, (start - lo) // size)
        view = View(cell, ((window_op(), attrs, type),), None)
        view.version = -1
        return view

    def unite(self, region: Region, *more: tuple) -> None:
        """Starts the capture again with all windows of a region in one slot."""
        if any(id(t) in self.sized and v.cell.region is region for t, v in self.views.values()):
            raise Unsized
        spans = [extent(w) for w, _ in region.cells] + [extent(w) for w in more]
        old = self.merge.get(id(region.root))
        if old is not None:
            spans.append((old[1], old[2]))
        self.merge[id(region.root)] = (
            region.root,
            min(s[0] for s in spans),
            max(s[1] for s in spans),
        )
        raise Restart

    def written(self, cell: Cell) -> None:
        """Called before the first write into a slot."""
        region = cell.region
        if region is None or region.merged is not None:
            return
        mine = next(w for w, c in region.cells if c is cell)
        if any(c is not cell and overlap(w, mine) for w, c in region.cells):
            self.unite(region)


def _stale(cell: Cell) -> View:
    view = View(cell, (), None)
    view.version = -1
    return view


_WINDOW: list = []


def window_op() -> Any:
    """The op that shows memory under other strides."""
    if not _WINDOW:
        from ...ir.op import get

        _WINDOW.append(get("as_strided"))
    return _WINDOW[0]
