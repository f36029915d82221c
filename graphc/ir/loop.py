"""The loop IR: what kernels are made of before they become text. Data only.

Expressions (`Expr`) are values computed from loop counters; statements arrange them in loops. An
op's `lower` builds expressions; the compiler builds statements; printers turn both into C or CUDA.
Invariants: expressions are immutable and pure (loads included: no kernel stores what an expression
built before it loads, except at the same place); equal expressions have equal `key`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..base import dtypes
from ..base.dtypes import DType
from .index import Index, as_index

_NOTHING: frozenset = frozenset()


class Buffer:
    """A piece of memory: `name` in the text, element dtype, number of elements (int or Index), the
    space it lives in: "param" (pointer argument), "local" (array of the kernel), "tile" (of a
    product) or "heap"; `over`: the loop symbols inside which its contents are made."""

    __slots__ = ("name", "dtype", "count", "space", "over")

    def __init__(
        self,
        name: str,
        dtype: DType,
        count: Any = 1,
        space: str = "param",
        over: frozenset = _NOTHING,
    ):
        self.name, self.dtype, self.count, self.space, self.over = name, dtype, count, space, over

    def __repr__(self) -> str:
        return self.name


# ---------------------------------------------------------------- expressions


class Expr:
    """Base of the expressions. `dtype`: of the value; half types appear in memory only (Load
    widens by an explicit Cast). `args`: the sub-expressions."""

    __slots__ = ("dtype", "_key", "_symbols")
    args: tuple = ()
    dtype: DType
    _key: str | None
    _symbols: frozenset | None

    def _text(self) -> str:
        raise TypeError(type(self).__name__)

    @property
    def key(self) -> str:
        """A digest of the structure: equal keys mean equal values."""
        if self._key is None:
            text = self._text() + "|" + ",".join(a.key for a in self.args)
            self._key = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return self._key

    def symbols(self) -> frozenset:
        """The loop and size symbols that the value depends on."""
        if self._symbols is None:
            out: set = set(self._own_symbols())
            for a in self.args:
                out |= a.symbols()
            self._symbols = frozenset(out)
        return self._symbols

    def _own_symbols(self) -> Any:
        return _NOTHING

    def with_args(self, args: tuple) -> Expr:
        return self

    def substitute(self, values: Mapping[Any, Any]) -> Expr:
        """Loop symbols replaced by Indexes."""
        if not any(s in values for s in self.symbols()):
            return self
        return self.with_args(tuple(a.substitute(values) for a in self.args))

    # arithmetic, for lowerings: numbers become constants of the expression's dtype

    def __add__(self, other: Any) -> Expr:
        return apply("add", self, other)

    def __radd__(self, other: Any) -> Expr:
        return apply("add", other, self)

    def __sub__(self, other: Any) -> Expr:
        return apply("sub", self, other)

    def __rsub__(self, other: Any) -> Expr:
        return apply("sub", other, self)

    def __mul__(self, other: Any) -> Expr:
        return apply("mul", self, other)

    def __rmul__(self, other: Any) -> Expr:
        return apply("mul", other, self)

    def __truediv__(self, other: Any) -> Expr:
        return apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return apply("div", other, self)

    def __neg__(self) -> Expr:
        return apply("neg", self)

    def __abs__(self) -> Expr:
        return apply("abs", self)

    # ir.text attaches __repr__


def _init(e: Expr, dtype: DType) -> None:
    e.dtype, e._key, e._symbols = dtype, None, None


class Const(Expr):
    """A literal: value is a Python number, dtype what it is rounded to."""

    __slots__ = ("value",)

    def __init__(self, value: Any, dtype: DType):
        _init(self, dtype)
        self.value = value

    def _text(self) -> str:
        return f"const {self.value!r} {self.dtype.code}"


class ScalarRef(Expr):
    """Run-time scalar `slot` (a double) rounded to dtype."""

    __slots__ = ("slot",)

    def __init__(self, slot: int, dtype: DType):
        _init(self, dtype)
        self.slot = slot

    def _text(self) -> str:
        return f"scalar {self.slot} {self.dtype.code}"


class Ref(Expr):
    """A local variable bound by Let or Alloc; `over`: the loop symbols that it varies with."""

    __slots__ = ("name", "over")

    def __init__(self, name: str, dtype: DType, over: frozenset = _NOTHING):
        _init(self, dtype)
        self.name, self.over = name, over

    def _text(self) -> str:
        return f"ref {self.name} {self.dtype.code}"

    def _own_symbols(self) -> Any:
        return self.over


class IndexValue(Expr):
    """An Index (coordinate, size) as a value."""

    __slots__ = ("index",)

    def __init__(self, index: Any, dtype: DType = dtypes.int64):
        _init(self, dtype)
        self.index = as_index(index)

    def _text(self) -> str:
        return f"index {self.index.key} {self.dtype.code}"

    def _own_symbols(self) -> Any:
        return self.index.symbols()

    def substitute(self, values: Mapping[Any, Any]) -> Expr:
        return IndexValue(self.index.substitute(values), self.dtype)


class Load(Expr):
    """buffer[index], index in elements."""

    __slots__ = ("buffer", "index")

    def __init__(self, buffer: Buffer, index: Any):
        _init(self, buffer.dtype)
        self.buffer, self.index = buffer, as_index(index)

    def _text(self) -> str:
        return f"load {self.buffer.name} {self.index.key}"

    def _own_symbols(self) -> Any:
        return self.index.symbols() | self.buffer.over

    def substitute(self, values: Mapping[Any, Any]) -> Expr:
        return Load(self.buffer, self.index.substitute(values))


class Address(Expr):
    """&buffer[index], an argument of a Call or of an Apply."""

    __slots__ = ("buffer", "index")

    def __init__(self, buffer: Buffer, index: Any = 0):
        _init(self, buffer.dtype)
        self.buffer, self.index = buffer, as_index(index)

    def _text(self) -> str:
        return f"address {self.buffer.name} {self.index.key}"

    def _own_symbols(self) -> Any:
        return self.index.symbols()

    def substitute(self, values: Mapping[Any, Any]) -> Expr:
        return Address(self.buffer, self.index.substitute(values))


class Apply(Expr):
    """The runtime's scalar function gc_<fn>_<code>(args). `dtype`: of the result; `code`: type
    suffix, by default that of the first argument."""

    __slots__ = ("fn", "args", "code")

    def __init__(self, fn: str, args: Sequence[Expr], dtype: DType, code: str | None = None):
        _init(self, dtype)
        self.fn, self.args = fn, tuple(args)
        self.code = code if code is not None else self.args[0].dtype.code

    def _text(self) -> str:
        return f"apply {self.fn} {self.code} {self.dtype.code}"

    def with_args(self, args: tuple) -> Expr:
        return Apply(self.fn, args, self.dtype, self.code)


class Select(Expr):
    """cond ? a : b. Only the chosen side is evaluated, so the other may load out of range."""

    __slots__ = ("args",)

    def __init__(self, cond: Expr, a: Expr, b: Expr):
        _init(self, a.dtype)
        self.args = (cond, a, b)

    def _text(self) -> str:
        return "select"

    def with_args(self, args: tuple) -> Expr:
        return select(*args)


class Cast(Expr):
    """The total conversion gc_cast_<from>_<to>."""

    __slots__ = ("args",)

    def __init__(self, x: Expr, dtype: DType):
        _init(self, dtype)
        self.args = (x,)

    def _text(self) -> str:
        return f"cast {self.dtype.code}"

    def with_args(self, args: tuple) -> Expr:
        return cast(args[0], self.dtype)


class Checked(Expr):
    """An index from data: negative values count from the end; outside of [-size, size) the program
    stops with a status (`message` says what was out of range). The value is in [0, size)."""

    __slots__ = ("args", "size", "message")

    def __init__(self, x: Expr, size: Any, message: str = "index out of range"):
        _init(self, dtypes.int64)
        self.args, self.size, self.message = (cast(x, dtypes.int64),), as_index(size), message

    @property
    def bound(self) -> Any:
        """The value is below this."""
        return self.size

    def _text(self) -> str:
        return f"checked {self.size.key} {self.message}"

    def _own_symbols(self) -> Any:
        return self.size.symbols()

    def with_args(self, args: tuple) -> Expr:
        return Checked(args[0], self.size, self.message)

    def substitute(self, values: Mapping[Any, Any]) -> Expr:
        return Checked(self.args[0].substitute(values), self.size.substitute(values), self.message)


class Require(Expr):
    """x, after the program has stopped with a status where cond does not hold."""

    __slots__ = ("args", "message")

    def __init__(self, x: Expr, cond: Expr, message: str):
        _init(self, x.dtype)
        self.args, self.message = (x, cond), message

    def _text(self) -> str:
        return f"require {self.message}"

    def with_args(self, args: tuple) -> Expr:
        return Require(args[0], args[1], self.message)


# ---------------------------------------------------------------- making them


def const(value: Any, dtype: DType) -> Const:
    return Const(value, dtype)


def apply(fn: str, *args: Any) -> Expr:
    """The scalar function gc_<fn> of expressions of one dtype; numbers become constants of it."""
    dtype = next(a.dtype for a in args if isinstance(a, Expr))
    return Apply(fn, [a if isinstance(a, Expr) else Const(a, dtype) for a in args], dtype)


def cast(x: Expr, dtype: DType) -> Expr:
    """x in another dtype; x itself when nothing changes."""
    return x if x.dtype is dtype else Cast(x, dtype)


def value(x: Any) -> Expr:
    """An Expr, Index or int as an expression."""
    return x if isinstance(x, Expr) else IndexValue(x)


def select(cond: Any, a: Expr, b: Expr) -> Expr:
    """cond ? a : b, folded when cond is known."""
    if isinstance(cond, bool):
        return a if cond else b
    if isinstance(cond, Const):
        return a if cond.value else b
    return Select(cond, a, b)


def compare(relation: str, a: Any, b: Any) -> Expr:
    """relation ("lt", "le", "gt", "ge", "eq", "ne") of two coordinates; a Const when the ranges
    tell."""
    x, y = as_index(a), as_index(b)
    lo, hi = (x - y).bounds()
    known = {
        "lt": (hi is not None and hi < 0, lo is not None and lo >= 0),
        "le": (hi is not None and hi <= 0, lo is not None and lo > 0),
        "gt": (lo is not None and lo > 0, hi is not None and hi <= 0),
        "ge": (lo is not None and lo >= 0, hi is not None and hi < 0),
        "eq": (lo == 0 == hi, (lo or 0) > 0 or (hi or 0) < 0),
        "ne": ((lo or 0) > 0 or (hi or 0) < 0, lo == 0 == hi),
    }[relation]
    if known[0] or known[1]:
        return Const(known[0], dtypes.bool_)
    return Apply(relation, (IndexValue(x), IndexValue(y)), dtypes.bool_)


def all_of(*conds: Expr) -> Expr:
    """Logical and of bool expressions; constants fold."""
    left = [c for c in conds if not (isinstance(c, Const) and c.value)]
    for c in left:
        if isinstance(c, Const):
            return c
    if not left:
        return Const(True, dtypes.bool_)
    out = left[0]
    for c in left[1:]:
        out = Apply("logical_and", (out, c), dtypes.bool_)
    return out


# ---------------------------------------------------------------- statements


class Stmt:
    """Base of the statements; ir.text attaches __repr__."""

    __slots__ = ()


class For(Stmt):
    """for (symbol = 0; symbol < extent; symbol++) body. mark: serial, parallel, vector, unroll,
    block, thread. begin and step for chunked loops (step an int)."""

    __slots__ = ("symbol", "extent", "body", "mark", "begin", "step")

    def __init__(
        self,
        symbol: Any,
        extent: Any,
        body: list,
        mark: str = "serial",
        begin: Any = 0,
        step: int = 1,
    ):
        self.symbol, self.extent, self.body, self.mark = symbol, as_index(extent), body, mark
        self.begin, self.step = as_index(begin), step


class If(Stmt):
    __slots__ = ("cond", "then", "otherwise")

    def __init__(self, cond: Expr, then: list, otherwise: list | None = None):
        self.cond, self.then, self.otherwise = cond, then, otherwise or []


class Alloc(Stmt):
    """A local array (count a compile-time int) or, with init, a local variable that Set changes."""

    __slots__ = ("buffer", "init")

    def __init__(self, buffer: Buffer, init: Expr | None = None):
        self.buffer, self.init = buffer, init


class Let(Stmt):
    """const dtype name = expr. `comment` follows on the line."""

    __slots__ = ("name", "expr", "comment")

    def __init__(self, name: str, expr: Expr, comment: str = ""):
        self.name, self.expr, self.comment = name, expr, comment


class Set(Stmt):
    """name = expr, of a variable made by Alloc."""

    __slots__ = ("name", "expr")

    def __init__(self, name: str, expr: Expr):
        self.name, self.expr = name, expr


class Store(Stmt):
    """buffer[index] = expr; with reduce ("add", "mul", "max", "min"): combined with what is
    there."""

    __slots__ = ("buffer", "index", "expr", "reduce")

    def __init__(self, buffer: Buffer, index: Any, expr: Expr, reduce: str = ""):
        self.buffer, self.index, self.expr, self.reduce = buffer, as_index(index), expr, reduce


class Call(Stmt):
    """fn(args): a runtime routine; args are Exprs (Address for pointers) or Indexes."""

    __slots__ = ("fn", "args")

    def __init__(self, fn: str, args: Sequence[Any]):
        self.fn, self.args = fn, tuple(args)


class Barrier(Stmt):
    """All threads of a block (CUDA) or team wait here."""

    __slots__ = ()


class Comment(Stmt):
    __slots__ = ("text",)

    def __init__(self, text: str):
        self.text = text


def walk(expr: Expr, seen: set | None = None) -> list[Expr]:
    """Every distinct sub-expression by identity, arguments first; those in `seen` are left out,
    and the others are added to it."""
    out: list[Expr] = []
    seen = set() if seen is None else seen
    stack: list[tuple[Expr, bool]] = [(expr, False)]
    while stack:
        e, done = stack.pop()
        if done:
            out.append(e)
            continue
        if id(e) in seen:
            continue
        seen.add(id(e))
        stack.append((e, True))
        stack.extend((a, False) for a in reversed(e.args))
        for x in index_exprs(e):
            stack.append((x, False))
    return out


def index_exprs(e: Expr) -> list[Expr]:
    """The run-time values inside the coordinates of a load, address or index value."""
    from .index import Data, Div, Mod

    index: Index | None = getattr(e, "index", None)
    if index is None:
        return []
    out: list[Expr] = []
    todo = [index]
    while todo:
        for m in todo.pop().terms:
            for a in m:
                if isinstance(a, Data):
                    out.append(a.expr)
                elif isinstance(a, (Div, Mod)):
                    todo += [a.a, a.b]
    return out
