"""Run-time Python numbers: takes numbers that may differ on every call, gives `Sym` objects that
record how they are used. Invariant: whatever the traced code learned of a value (an outcome of a
comparison, the value itself) stands in the tracer's scalar guards; arithmetic alone guards nothing
and is done again, in Python, on every call.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

_ARITHMETIC = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
NAMES = {
    "inf": math.inf,
    "nan": math.nan,
    "abs": abs,
    "bool": bool,
    "float": float,
}  # what expressions may name


def same_number(a: Any, b: Any) -> bool:
    """Equal in type and bits: -0.0 is not 0.0, nan is nan."""
    if type(a) is not type(b):
        return False
    if a != a:
        return b != b
    return a == b and (a != 0 or type(a) is not float or math.copysign(1, a) == math.copysign(1, b))


class Sym:
    """A Python number whose value is read anew on every call. `text` is its expression over the
    leaves `s[0], s[1] ...`, `value` what it is now, `number_type` int or float. Deliberately no
    float: C code would read the present value of a float subclass without a guard."""

    __slots__ = ("text", "value", "tracer", "number_type")

    def __init__(self, text: str, value: Any, tracer: Any):
        self.text, self.value, self.tracer = text, value, tracer
        self.number_type = type(value)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # isinstance(x, float) holds; `type(x)` is another matter
        return self.number_type

    def __getattr__(self, name: str) -> Any:
        if hasattr(self.number_type, name):
            return getattr(self.known(), name)
        raise AttributeError(f"'float' object has no attribute {name!r}")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        import numpy as np

        return np.array(self.known(), *args)

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return self.number_type, (self.known(),)

    # ---- what the traced code learns

    def known(self) -> Any:
        """The value itself, guarded: another value is another program."""
        self.tracer.guard_scalar(self.text, self.value)
        return self.value

    def __bool__(self) -> bool:
        outcome = bool(self.value)
        self.tracer.guard_scalar(f"bool({self.text})", outcome)
        return outcome

    def __float__(self) -> float:
        return float(self.known())

    def __int__(self) -> int:
        return int(self.known())

    __trunc__ = __int__

    def __index__(self) -> int:
        return operator.index(self.known())

    def __floor__(self) -> int:
        return math.floor(self.known())

    def __ceil__(self) -> int:
        return math.ceil(self.known())

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.known(), digits) if digits is not None else round(self.known())

    def __complex__(self) -> complex:
        return complex(self.known())

    def __hash__(self) -> int:
        return hash(self.known())

    def __repr__(self) -> str:
        return repr(self.known())

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(self.known(), spec)

    def __deepcopy__(self, memo: dict) -> Sym:
        return self

    # ---- float's methods that need the value

    def is_integer(self) -> bool:
        return float(self.known()).is_integer()

    def item(self) -> Any:
        return self

    # ---- arithmetic that records

    def __neg__(self) -> Sym:
        return Sym(f"(-{self.text})", -self.value, self.tracer)

    def __pos__(self) -> Sym:
        return self

    def __abs__(self) -> Sym:
        return Sym(f"abs({self.text})", abs(self.value), self.tracer)

    def _combine(self, sign: str, other: Any, swapped: bool) -> Any:
        if isinstance(other, Sym):
            text, value = other.text, other.value
        elif type(other) in (int, float, bool):
            text, value = f"({other!r})", other
        else:
            return NotImplemented
        x, y = (value, self.value) if swapped else (self.value, value)
        a, b = (text, self.text) if swapped else (self.text, text)
        result = _ARITHMETIC[sign](x, y)
        if type(result) not in (int, float):  # a complex power
            return (
                _ARITHMETIC[sign](other, self.known())
                if swapped
                else _ARITHMETIC[sign](self.known(), other)
            )
        return Sym(f"({a} {sign} {b})", result, self.tracer)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def _compare(self, sign: str, other: Any) -> Any:
        if isinstance(other, Sym):
            text, value = other.text, other.value
        elif type(other) in (int, float, bool):
            text, value = f"({other!r})", other
        else:
            return NotImplemented
        outcome = _COMPARE[sign](self.value, value)
        self.tracer.guard_scalar(f"({self.text} {sign} {text})", outcome)
        return outcome


def _arithmetic(sign: str) -> tuple[Callable, Callable]:
    def forward(self: Sym, other: Any) -> Any:
        return self._combine(sign, other, False)

    def backward(self: Sym, other: Any) -> Any:
        return self._combine(sign, other, True)

    return forward, backward


def _comparison(sign: str) -> Callable:
    def compare(self: Sym, other: Any) -> Any:
        return self._compare(sign, other)

    return compare


for _sign, _name in (
    ("+", "add"),
    ("-", "sub"),
    ("*", "mul"),
    ("/", "truediv"),
    ("//", "floordiv"),
    ("%", "mod"),
    ("**", "pow"),
):
    _forward, _backward = _arithmetic(_sign)
    setattr(Sym, f"__{_name}__", _forward)
    setattr(Sym, f"__r{_name}__", _backward)
for _sign, _name in (
    ("<", "lt"),
    ("<=", "le"),
    (">", "gt"),
    (">=", "ge"),
    ("==", "eq"),
    ("!=", "ne"),
):
    setattr(Sym, f"__{_name}__", _comparison(_sign))


def known(x: Any) -> Any:
    """x with every Sym inside replaced by its guarded value (tuples and lists are entered)."""
    t = type(x)
    if t is Sym:
        return x.known()
    if t is tuple or t is list:
        for v in x:
            if type(v) in (Sym, tuple, list):
                return t(known(v) for v in x)
    return x


def evaluator(texts: list[str], names: Iterable[str] = ("s",)) -> Callable[..., tuple]:
    """A function from the leaf values (or from values by name) to the values of all
    expressions."""
    body = ", ".join([*texts, ""])
    source = f"lambda {', '.join(names)}: ({body})"
    return eval(source, {"__builtins__": {}, **NAMES})  # noqa: S307
