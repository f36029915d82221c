"""Programs: takes a captured Graph, gives a `Program` that runs it as compiled C.

`build` looks for a stored record first: a warm process runs no pass, no template and no compiler,
and imports neither networkx nor jinja2. Invariant: a call with a non-zero status has changed no
input.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.config import config
from ..base.errors import GraphcError
from ..ir.graph import Graph, Node
from ..ir.text import graph_text
from ..native import build as native_build
from ..native import cpu, library
from ..native.cache import digest, disk_cache
from .inspect.views import KernelInfo, kernel_from_record, why_text
from .interpret.sizes import symbols_of

FORMAT = 5  # of the record; older ones are rebuilt
RECORD = "program.json"
SOURCE = "program.c"
# gcc 12's straight-line vectoriser drops the rounding of a float that was stored and read again as
# a double
FLAGS = ("-fno-tree-slp-vectorize",)


class ProgramError(GraphcError):
    """A compiled program stopped: an index out of range, a division by zero, no memory. Nothing was
    written. `status` is what the program returned."""

    def __init__(self, status: int, message: str):
        self.status = status
        super().__init__(message)


class Program:
    """A compiled graph. `call` runs it; `kernels`, `source`, `memory`, `why_not_fused`,
    `graph_before` and `graph_after` show what it is."""

    def __init__(
        self,
        record: dict,
        path: str,
        source: str,
        constants: list,
        opaque: dict[int, Callable] | None = None,
        data: bytes | None = None,
    ):
        self._record, self._path = record, path
        self.source = source
        self.messages: list[str] = record["messages"]
        self.graph_before, self.graph_after = record["before"], record["after"]
        self.memory: str = record["memory"]
        self._constants = constants  # graph outputs that are no arrays: (position, value)
        self._opaque = opaque or {}
        self._program = library.program(path, data)
        self._run, self._api = self._program.run, self._program.api
        self._states: list[_State] = []
        self._out = [(i, _Spec(*spec)) for i, spec in record["outputs"]]
        self._count = record["results"]
        self.symbols: list[str] = record["symbols"]  # what the `sizes` of a call are
        self.assumes: list = record["assumes"]  # (relation of sizes, whether it holds)
        self._arena_size = _size(record["arena"])
        self.cached = False
        self.calls = 0
        if record.get("steps"):
            _report_at_exit(self)
        # outputs that need no thought on a call: small, of a known shape, row-major
        plain = [(i, spec.shape, spec.dtype) for i, spec in self._out if spec.small]
        self._plain = (
            plain
            if len(plain) == len(self._out) and not any(d.kind == "V" for _, _, d in plain)
            else None
        )

    @property
    def kernels(self) -> list[KernelInfo]:
        return [kernel_from_record(r) for r in self._record["kernels"]]

    @property
    def why_not_fused(self) -> str:
        return why_text([tuple(r) for r in self._record["refused"]])

    def record(self) -> dict:
        """What `load` needs, JSON-able."""
        return self._record

    # ---------------------------------------------------------------- running

    def call(
        self,
        arrays: Sequence[np.ndarray],
        scalars: Sequence[float] = (),
        rng: Sequence[tuple[int, int]] = (),
        sizes: Sequence[int] = (),
    ) -> list:
        """The results in the order of the graph's outputs, in fresh memory; updates are written
        into `arrays`. Raises ProgramError with nothing written."""
        try:
            state = self._states.pop()
        except IndexError:  # all are in use: the first call, a recursion, other threads
            state = _State(self)
        self.calls += 1
        try:
            table, refs = state.table, state.refs
            i = 0
            for a in arrays:
                if refs[i]() is not a:
                    state.set_input(i, a)
                i += 1
            if scalars:
                n = state.count  # a backward may read fewer than its forward
                state.scalars[0:n] = scalars if len(scalars) == n else scalars[:n]
            if rng or sizes or state.dynamic:
                state.set_sizes(self, sizes, rng)
            values = None
            if self.symbols and (self._opaque or self._plain is None):
                values = dict(zip(self.symbols, sizes, strict=True))
            results: list = [None] * self._count
            if self._plain is not None:
                for at, shape, dtype in self._plain:
                    results[at] = a = _empty(shape, dtype)
                    table[i] = _from_buffer(a)
                    i += 1
            else:
                for at, spec in self._out:
                    results[at] = a = spec.make(values)
                    table[i] = spec.pointer(a)
                    i += 1
            if self._opaque:
                status = self._segments(state, arrays, results, values)
            else:
                status = self._run(self._api, table, state.sizes, state.scalars)
            if status:
                raise ProgramError(status, self._message(status))
        finally:
            self._states.append(state)
        for at, value in self._constants:
            results[at] = value
        return results

    def _message(self, status: int) -> str:
        if status < 0:
            return "not enough memory"
        return self.messages[status - 1] if status <= len(self.messages) else f"status {status}"

    def _segments(self, state: _State, arrays: Sequence, results: list, values: dict | None) -> int:
        """Native segments with the opaque operators between them."""
        slot = len(self.symbols) + 2 * self._record["draws"]
        for k in range(self._record["segments"]):
            state.sizes[slot] = k
            status = self._run(self._api, state.table, state.sizes, state.scalars)
            if status:
                return status
            if k in self._opaque:
                self._opaque[k](state, arrays, results, values)
        return 0

    def times(self) -> list[tuple[str, float, int]]:
        """(kernels of a step, nanoseconds in all calls, bytes per call), for programs built while
        GRAPHC_DEBUG is 2 or more; empty for others."""
        steps = self._record.get("steps") or []
        if not steps:
            return []
        start = cpu.function(self._program._library, "gcp_profile", "void *(void)")()
        spent = cpu.ffi().cast("double *", start)
        moved = {k["name"]: k["bytes"] for k in self._record["kernels"]}
        return [
            (", ".join(names), spent[i], sum(moved.get(n, 0) for n in names))
            for i, names in enumerate(steps)
        ]


def _report_at_exit(program: Program) -> None:
    import atexit
    import sys

    def report() -> None:
        calls = max(program.calls, 1)
        print(f"-- {program._record['name']}: {program.calls} calls", file=sys.stderr)
        for names, ns, moved in sorted(program.times(), key=lambda t: -t[1]):
            rate = moved * calls / ns if ns else 0.0
            print(f"{ns / calls / 1e3:10.1f} us {rate:7.1f} GB/s  {names}", file=sys.stderr)

    atexit.register(report)


class _Spec:
    """How to make one output array."""

    __slots__ = ("shape", "strides", "dtype", "dense", "fixed", "span", "small")

    def __init__(self, dtype: str, shape: list, strides: list, dense: bool):
        self.dtype = dtypes.dtype_named(dtype).np
        self.shape, self.strides, self.dense = (
            [_size(s) for s in shape],
            [_size(s) for s in strides],
            dense,
        )
        self.fixed = all(isinstance(s, int) for s in self.shape)
        if self.fixed:
            self.shape = tuple(self.shape)  # type: ignore[assignment]
            self.strides = tuple(self.strides)  # type: ignore[assignment]
        self.small = (
            self.fixed and dense and int(np.prod(shape)) * self.dtype.itemsize < library.LARGE
        )

    def make(self, values: dict | None) -> np.ndarray:
        if self.small:
            return np.empty(self.shape, self.dtype)
        shape, strides = self.shape, self.strides
        if not self.fixed:
            shape = tuple(_value(s, values) for s in shape)  # type: ignore[assignment]
            strides = tuple(_value(s, values) for s in strides)  # type: ignore[assignment]
        if self.dense:
            return library.empty(shape, self.dtype)  # type: ignore[arg-type]
        span = (
            1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
            if 0 not in shape
            else 1
        )
        size = self.dtype.itemsize
        return np.lib.stride_tricks.as_strided(
            library.empty((span,), self.dtype), shape, [s * size for s in strides]
        )

    def pointer(self, a: np.ndarray) -> Any:
        return library.pointer(a) if self.dense else address(a)


class _State:
    """The buffers of one call in flight: pointer table, arena, scalars, sizes."""

    __slots__ = ("table", "refs", "scalars", "count", "sizes", "arena", "keep", "dynamic", "inputs",
                 "arena_slot", "functions")  # fmt: skip

    def __init__(self, program: Program):
        r = program._record
        n = r["inputs"]
        ffi = cpu.ffi()
        self.inputs = n
        self.arena_slot = n + len(r["outputs"])
        functions = r["functions"]
        self.table = ffi.new("void *[]", self.arena_slot + 2)
        called = [ffi.cast("void *", library.fn(name, library.CALL)) for name in functions]
        self.functions = ffi.new("void *[]", called)
        self.table[self.arena_slot + 1] = self.functions
        self.refs: list = [_nothing] * n
        self.keep: list = [None] * n
        self.count = r["scalars"]
        self.scalars = ffi.new("double[]", max(self.count, 1))
        self.sizes = ffi.new("int64_t[]", len(r["symbols"]) + 2 * r["draws"] + 1)
        self.dynamic = bool(r["symbols"])
        self.arena: np.ndarray | None = None
        if not self.dynamic:
            self._grow(int(program._arena_size))

    def _grow(self, size: int) -> None:
        if self.arena is None or self.arena.size < size + 64:
            self.arena = library.empty((size + 64,), np.dtype(np.uint8))
        start = address_of(self.arena)
        self.table[self.arena_slot] = cpu.ffi().cast("void *", start + -start % 64)

    def set_input(self, i: int, a: np.ndarray) -> None:
        if a.flags.c_contiguous:
            p = library.pointer(a)
            self.table[i] = p
        else:
            self.table[i] = address(a)
        self.refs[i] = weakref.ref(a)

    def set_sizes(
        self, program: Program, sizes: Sequence[int], rng: Sequence[tuple[int, int]]
    ) -> None:
        i = 0
        for s in sizes:
            self.sizes[i] = s
            i += 1
        for seed, offset in rng:
            self.sizes[i] = seed - (1 << 64) if seed >= 1 << 63 else seed
            self.sizes[i + 1] = offset - (1 << 64) if offset >= 1 << 63 else offset
            i += 2
        if self.dynamic:
            self._grow(_value(program._arena_size, dict(zip(program.symbols, sizes, strict=True))))

    def arena_view(self, offset: int, shape: tuple, strides: tuple, dtype: Any) -> np.ndarray:
        """An array over arena memory."""
        start = address_of(self.arena)
        at = -start % 64 + offset
        span = (
            1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
            if 0 not in shape
            else 0
        )
        flat = self.arena[at : at + span * dtype.itemsize].view(dtype)  # type: ignore[index]
        return np.lib.stride_tricks.as_strided(flat, shape, [s * dtype.itemsize for s in strides])


_empty = np.empty
_from_buffer = cpu.ffi().from_buffer


def _nothing() -> None:
    return None


def address_of(a: Any) -> int:
    return a.__array_interface__["data"][0]


def address(a: np.ndarray) -> Any:
    """A pointer to the first element of any array; keeps nothing alive."""
    return cpu.ffi().cast("void *", a.__array_interface__["data"][0])


def _size(x: Any) -> Any:
    """An int, or compiled code for a size that depends on symbols."""
    return x if isinstance(x, int) else compile(x, "<size>", "eval")


def _value(x: Any, values: dict | None) -> int:
    return x if isinstance(x, int) else eval(x, {"__builtins__": {}}, values)


# ---------------------------------------------------------------- building

_STAMP: list[str] = []


def _stamp() -> str:
    """Changes when the compiler's own sources do."""
    if not _STAMP:
        here = os.path.dirname(os.path.abspath(__file__))
        root = os.path.dirname(here)
        parts = []
        for folder in (
            "base",
            "ir",
            "ops",
            "compiler",
            "compiler/passes",
            "compiler/lower",
            "compiler/codegen",
            "compiler/inspect",
        ):
            with os.scandir(os.path.join(root, folder)) as entries:
                for e in sorted(entries, key=lambda e: e.name):
                    if e.name.endswith(".py"):
                        st = e.stat()
                        parts.append(f"{folder}/{e.name} {st.st_size} {st.st_mtime_ns}")
        from ..base.resources import templates_dir

        for path in sorted((templates_dir() / "c").iterdir()):
            st = path.stat()
            parts.append(f"{path.name} {st.st_size} {st.st_mtime_ns}")
        _STAMP.append(digest(*parts))
    return _STAMP[0]


def key_of(graph: Graph, fast_math: bool = False, skip: Collection[str] = ()) -> str:
    """The cache key: the captured graph's text with types, the compiler, the runtime, our own
    sources."""
    draws = ",".join(f"{k}:{v}" for k, v in sorted(graph.draws.items()))
    return digest(
        "program",
        str(FORMAT),
        _stamp(),
        native_build.fingerprint(),
        *FLAGS,
        str(fast_math),
        draws,
        "timed" if config.debug >= 2 else "",
        *sorted(skip),
        graph_text(graph),
    )


def build(
    graph: Graph,
    *,
    fast_math: bool = False,
    name: str = "program",
    skip: Collection[str] = (),
    more_flags: Sequence[str] = (),
    store: bool = True,
) -> Program:
    """The program of a captured graph, from the cache where it is there. skip: names of passes to
    leave out (`passes.pipeline.OPTIONAL`); more_flags: of the C compiler's, for builds with
    store=False, which neither look into the cache nor add to it.

    Raises NativeBuildError without a C compiler."""
    key = key_of(graph, fast_math, skip)
    constants = [(i, o) for i, o in enumerate(graph.outputs) if not isinstance(o, Node)]
    entry = disk_cache().get(key) if store else None
    if entry is not None:
        record = json.loads(entry.files[RECORD])
        if not _suits(record, graph):  # made for other sizes: those of this call have their own
            key = digest(key, repr(symbols_of(graph)))
            entry = disk_cache().get(key)
            record = json.loads(entry.files[RECORD]) if entry is not None else None
        if entry is not None:
            program = Program(
                record,
                entry.path(native_build.LIBRARY),
                entry.files[SOURCE].decode(),
                constants,
                data=entry.files[native_build.LIBRARY],
            )
            program.cached = True
            return program
    from .driver import compile_graph

    record, source, opaque, pieces = compile_graph(graph, name, skip)
    if config.debug >= 5:
        import sys

        print(source, file=sys.stderr)
    files = {SOURCE: source}
    extras = {RECORD: json.dumps(record).encode()}
    options: dict = {"flags": (*FLAGS, *more_flags), "extras": extras}
    options.update(pieces=pieces, store=store)
    # Sizes of examples decide plans: another process may have stored another one of this graph, and
    # the record of a program with opaque operators is made anew each time.
    built = None
    if not record["opaque"]:
        built = native_build.shared_object(files, key=key, **options)
    if built is None or built.files[RECORD] != extras[RECORD]:
        built = native_build.shared_object(files, key=digest(key, source), **options)
    path, data = built.path(native_build.LIBRARY), built.files[native_build.LIBRARY]
    return Program(record, path, source, constants, opaque, data)



def _suits(record: dict, graph: Graph) -> bool:
    """Whether what a stored program assumes of the sizes holds of the graph's example sizes."""
    if not record["assumes"]:
        return True
    values = symbols_of(graph)
    return all(eval(text, {"__builtins__": {}}, values) is o for text, o in record["assumes"])


def load(record: dict, path: str, source: str = "", constants: Sequence = ()) -> Program:
    """A program from its record and its library file."""
    return Program(record, path, source, list(constants))
