"""The C dialect: takes statements and expressions of the loop IR, gives lines of C99.

Invariant: arithmetic is written out only where C's own operators are the contract's; everything
else is a call of the runtime's scalar functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base import dtypes
from ...base.dtypes import DType
from ...ir.index import Data, Div, Index, Symbol, as_index
from ...ir.loop import (
    Address,
    Alloc,
    Apply,
    Barrier,
    Buffer,
    Call,
    Cast,
    Checked,
    Comment,
    Const,
    Expr,
    For,
    If,
    IndexValue,
    Let,
    Load,
    Ref,
    Require,
    ScalarRef,
    Select,
    Set,
    Stmt,
    Store,
)

_FLOAT = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_BOOL = {
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "logical_and": "&",
    "logical_or": "|",
    "mul": "&",
    "add": "|",
}
_HELPERS = {"min": "gcp_min", "max": "gcp_max", "lane_rows": "gcp_lane_rows"}
# Steps up to which gcc unrolls an inner loop and then vectorises the outer one. gcc 12 gives the
# guarded loads of the steps one mask (gc_basic.h), so such loops stay loops where they choose.
_UNROLLED = 16


MARK = "\x01"  # encloses the position of a literal in printed lines


def filled(text: str, literals: list[str]) -> str:
    """Printed text with its literals in place."""
    parts = text.split(MARK)
    parts[1::2] = [literals[int(i)] for i in parts[1::2]]
    return "".join(parts)


class Printer:
    """Prints one kernel. Collects what it uses: `params` (buffer name -> (Buffer, written)), size
    symbols, random seeds, messages of run-time checks; `literals`, (dtype, text) of the floating
    constants, which the lines call by position: see `filled`."""

    def __init__(self, messages: list[str]):
        self.messages = messages  # of the whole program; a status is 1 + position
        self.params: dict[str, list] = {}
        self.sizes: dict[str, None] = {}
        self.heaps: list[Buffer] = []
        self.literals: list[tuple[DType, str]] = []
        self.uses_frame = False
        self.choices = 0  # conditional expressions printed so far
        self.lines: list[str] = []

    # ---------------------------------------------------------------- names

    def name(self, b: Buffer) -> str:
        """The local name of a buffer: parameters are called by position, so that equal kernels have
        equal text."""
        if b.space == "local" or b.space == "tile":
            return b.name
        if b.space == "heap" and b in self.heaps:
            return b.name
        entry = self.params.get(b.name)
        if entry is None:
            entry = self.params[b.name] = [b, False, f"a{len(self.params)}"]
        return entry[2]

    # ---------------------------------------------------------------- expressions

    def expr(self, e: Expr) -> str:
        """An expression; compound ones are in parentheses."""
        return getattr(self, "_" + type(e).__name__.lower())(e)

    def bare(self, e: Expr) -> str:
        """The same without the outer parentheses."""
        text = self.expr(e)
        return text[1:-1] if text.startswith("(") and _closes_last(text) else text

    def _const(self, e: Const) -> str:
        text = constant(e.value, e.dtype)
        if e.dtype not in (dtypes.float32, dtypes.float64):
            return text
        slot, bare = f"{MARK}{len(self.literals)}{MARK}", text.strip("()")
        self.literals.append((e.dtype, bare))
        return text.replace(bare, slot)

    def _ref(self, e: Ref) -> str:
        return e.name

    def _scalarref(self, e: ScalarRef) -> str:
        self.uses_frame = True
        text = f"f->scalars[{e.slot}]"
        return (
            text
            if e.dtype is dtypes.float64
            else (
                f"(float){text}"
                if e.dtype is dtypes.float32
                else f"gc_cast_f64_{e.dtype.code}({text})"
            )
        )

    def _indexvalue(self, e: IndexValue) -> str:
        text = self.index(e.index)
        return text if e.dtype is dtypes.int64 else f"({e.dtype.ctype}){_atomic(text)}"

    def _load(self, e: Load) -> str:
        return f"{self.name(e.buffer)}[{self.index(e.index, bare=True)}]"

    def _address(self, e: Address) -> str:
        name = self.name(e.buffer)
        if e.buffer.count == 1 and e.buffer.space == "local":
            return f"&{name}"
        return name if e.index.same(0) else f"{name} + {_atomic(self.index(e.index))}"

    def _apply(self, e: Apply) -> str:
        args = [self.expr(a) for a in e.args]
        if len(args) == 2:
            if e.fn in _FLOAT and e.code in ("f32", "f64"):
                return f"({args[0]} {_FLOAT[e.fn]} {args[1]})"
            if e.fn in _COMPARE and not _foregone(e, args):
                return f"({args[0]} {_COMPARE[e.fn]} {args[1]})"
            if e.fn in _BOOL and e.code == "b8":
                if "gc" in args[1]:  # clang asks whether && is meant where the right side calls
                    args[0] = f"(int){_atomic(args[0])}"
                return f"({args[0]} {_BOOL[e.fn]} {args[1]})"
        if e.fn == "neg" and e.code in ("f32", "f64"):
            return f"(-{args[0]})"
        bare = [self.bare(a) for a in e.args]
        if e.fn in _HELPERS:
            return f"{_HELPERS[e.fn]}({', '.join(bare)})"
        return f"gc_{e.fn}_{e.code}({', '.join(bare)})"

    def _select(self, e: Select) -> str:
        c, a, b = e.args
        self.choices += 1
        return f"({self.expr(c)} ? {self.expr(a)} : {self.expr(b)})"

    def _cast(self, e: Cast) -> str:
        x = e.args[0]
        if c_casts(x.dtype, e.dtype):
            return f"(({e.dtype.ctype}){_atomic(self.expr(x))})"
        return f"gc_cast_{x.dtype.code}_{e.dtype.code}({self.bare(x)})"

    def _checked(self, e: Checked) -> str:
        self.uses_frame = True
        return (
            f"gcp_checked({self.bare(e.args[0])}, {self.index(e.size, bare=True)}, f->status, "
            f"{self._status(e.message)})"
        )

    def _require(self, e: Require) -> str:
        self.uses_frame = True
        x, cond = e.args
        if x.dtype is not dtypes.int64:
            return (
                f"(gcp_require({self.bare(cond)}, f->status, {self._status(e.message)}) ? "
                f"{self.expr(x)} "
                f": ({x.dtype.ctype})0)"
            )
        status = self._status(e.message)
        return f"(gcp_require({self.bare(cond)}, f->status, {status}) ? {self.expr(x)} : 0)"

    def _status(self, message: str) -> int:
        if message not in self.messages:
            self.messages.append(message)
        return self.messages.index(message) + 1

    # ---------------------------------------------------------------- coordinates

    def index(self, i: Index, bare: bool = False) -> str:
        """An Index as a C expression of type int64_t."""
        terms = sorted(i.terms.items(), key=lambda t: (not t[0], t[1] < 0, [a.key for a in t[0]]))
        parts: list[str] = []
        for m, c in terms:
            factors = [self._atom(a) for a in m]
            if abs(c) != 1 or not factors:
                factors.append(_integer(abs(c)))
            text = " * ".join(factors)
            if not parts:
                parts.append(f"-{text}" if c < 0 else text)
            else:
                parts.append(f"{'-' if c < 0 else '+'} {text}")
        text = " ".join(parts) or "0"
        return (
            text if bare or len(parts) == 1 and " " not in text and text[0] != "-" else f"({text})"
        )

    def _atom(self, a: Any) -> str:
        if isinstance(a, Data):
            return _atomic(self.expr(a.expr))
        if isinstance(a, Symbol):
            if a.kind == "size":
                self.sizes[a.name] = None
            return a.name
        lo, _ = a.a.bounds()
        x, y = self.index(a.a), self.index(a.b)
        if lo is not None and lo >= 0:
            return f"({x} {'/' if isinstance(a, Div) else '%'} {y})"
        fn = "floor_divide" if isinstance(a, Div) else "remainder"
        return f"gc_{fn}_i64({_bare(x)}, {_bare(y)})"

    # ---------------------------------------------------------------- statements

    def block(self, stmts: list[Stmt], depth: int) -> None:
        for s in stmts:
            getattr(self, "_stmt_" + type(s).__name__.lower())(s, depth)

    def put(self, depth: int, text: str) -> None:
        self.lines.append("  " * depth + text)

    def _stmt_for(self, s: For, depth: int) -> None:
        if s.mark == "parallel":
            begin, end = "begin", "end"
        else:
            begin, end = self.index(s.begin, bare=True), self.index(s.extent, bare=True)
        step = f"{s.symbol}++" if s.step == 1 else f"{s.symbol} += {s.step}"
        head, choices = len(self.lines), self.choices
        self.put(depth, f"for (int64_t {s.symbol} = {begin}; {s.symbol} < {end}; {step}) {{")
        self.block(s.body, depth + 1)
        steps = s.extent.constant
        if self.choices > choices and steps is not None and steps <= _UNROLLED:
            self.lines.insert(head, "  " * depth + "GC_ONE_BY_ONE")
        self.put(depth, "}")

    def _stmt_if(self, s: If, depth: int) -> None:
        self.choices += 1
        self.put(depth, f"if ({self.bare(s.cond)}) {{")
        self.block(s.then, depth + 1)
        if s.otherwise:
            self.put(depth, "} else {")
            self.block(s.otherwise, depth + 1)
        self.put(depth, "}")

    def _stmt_alloc(self, s: Alloc, depth: int) -> None:
        b = s.buffer
        if s.init is not None:
            self.put(depth, f"{b.dtype.ctype} {b.name} = {self.bare(s.init)};")
        elif b.space == "heap":
            self.heaps.append(b)
        else:
            self.put(depth, f"GC_ALIGNED {b.dtype.ctype} {b.name}[{as_index(b.count)}];")

    def _stmt_let(self, s: Let, depth: int) -> None:
        note = f"    /* {comment_text(s.comment)} */" if s.comment else ""
        self.put(depth, f"const {s.expr.dtype.ctype} {s.name} = {self.bare(s.expr)};{note}")

    def _stmt_set(self, s: Set, depth: int) -> None:
        self.put(depth, f"{s.name} = {self.bare(s.expr)};")

    def _stmt_store(self, s: Store, depth: int) -> None:
        name = self.name(s.buffer)
        if s.buffer.name in self.params:
            self.params[s.buffer.name][1] = True
        self.put(depth, f"{name}[{self.index(s.index, bare=True)}] = {self.bare(s.expr)};")

    def _stmt_call(self, s: Call, depth: int) -> None:
        args = []
        for i, a in enumerate(s.args):
            if isinstance(a, Address) and a.buffer.name in self.params and i == 0:
                self.params[a.buffer.name][1] = True
            elif isinstance(a, Address) and i == 0 and a.buffer.space not in ("local", "tile"):
                self.name(a.buffer)
                if a.buffer.name in self.params:
                    self.params[a.buffer.name][1] = True
            args.append(self.bare(a) if isinstance(a, Expr) else self.index(a, bare=True))
        self.put(depth, f"{s.fn}({', '.join(args)});")

    def _stmt_comment(self, s: Comment, depth: int) -> None:
        self.put(depth, f"/* {comment_text(s.text)} */")

    def _stmt_barrier(self, s: Barrier, depth: int) -> None:
        pass  # one thread runs a row


def c_casts(a: DType, b: DType) -> bool:
    """Whether C's own conversion is the contract's total one."""
    if b.is_half or a.is_half or b is dtypes.bool_:
        return False
    if a.is_floating_point:
        return b.is_floating_point
    return b.is_floating_point or b.itemsize > a.itemsize or a is dtypes.bool_


def _foregone(e: Apply, texts: list[str]) -> bool:
    """Whether compilers would warn that the outcome of a comparison is known beforehand: of an
    integer with itself, or with the end of its range."""
    if e.args[0].dtype.is_floating_point:
        return False
    if texts[0] == texts[1]:
        return True
    for x, c in (e.args, e.args[::-1]):
        if isinstance(c, Const):
            while isinstance(x, Cast) and not x.args[0].dtype.is_floating_point:
                x = x.args[0]  # a wider type has no more values
            info = None if x.dtype is dtypes.bool_ else np.iinfo(x.dtype.np)
            low, high = (0, 1) if info is None else (info.min, info.max)
            return not low < c.value < high
    return False


def comment_text(text: str) -> str:
    """Any text (a user's line, a function's name) as part of a C comment that no compiler warns
    of."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text.replace("*/", "* /").replace("/*", "/ *").rstrip("\\")


def constant(v: Any, d: DType) -> str:
    """A literal of dtype d."""
    if d.is_floating_point:
        x = float(v)
        suffix = "f" if d is dtypes.float32 else ""
        kind = "F32" if d is dtypes.float32 else "F64"
        if x != x:
            return f"GC_NAN_{kind}"
        if x in (float("inf"), float("-inf")):
            return f"(-GC_INF_{kind})" if x < 0 else f"GC_INF_{kind}"
        text = str(np.float32(x)) if d is dtypes.float32 else repr(x)  # with a point or an exponent
        return f"({text}{suffix})" if text[0] == "-" else text + suffix
    if d is dtypes.bool_:
        return "1" if v else "0"
    return _integer(int(v))


def _integer(v: int) -> str:
    if v == -1 << 63:
        return "INT64_MIN"
    if -1 << 31 < v < 1 << 31:
        return f"({v})" if v < 0 else str(v)
    return f"INT64_C({v})" if v >= 0 else f"(-INT64_C({-v}))"


def _atomic(text: str) -> str:
    if text.startswith("(") and _closes_last(text) or text.replace("_", "a").isalnum():
        return text
    if (
        text.endswith(")")
        and text[: text.find("(")].replace("_", "a").isalnum()
        and _closes_last(text[text.find("(") :])
    ):
        return text
    if text.endswith("]") and text.count("[") == 1 and text[: text.find("[")].isalnum():
        return text
    return f"({text})"


def _bare(text: str) -> str:
    return text[1:-1] if text.startswith("(") and _closes_last(text) else text


def _closes_last(text: str) -> bool:
    """Whether the first parenthesis closes at the very end."""
    depth = 0
    for i, ch in enumerate(text):
        if ch == "(":
            depth += 1
        elif ch == ")":
            depth -= 1
            if depth == 0:
                return i == len(text) - 1
    return False
