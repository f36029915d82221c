"""Index algebra: whole numbers that are not known yet, as sums of products of symbols.

Takes loop and size symbols (`loop`, `size`), ints and arithmetic (+ - * // %); gives `Index`
values in a normal form, with ranges that simplify div and mod. Invariant: two Indexes built in
different ways that are equal as polynomials are the same key (`a.key == b.key`); rounding is
Python's (floor).

A size symbol carries an example value (`hint`). Comparing sizes decides on the example when the
ranges do not decide, and reports what was decided to the hook set by `observing`, so that code
written with ordinary arithmetic (infer, vjp, lower) serves symbolic sizes, and capture can guard
on the outcome.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import gcd
from typing import Any


class Symbol:
    """A named whole number. `lo`: least value; `extent`: values are below it (None: no bound
    known); `hint`: example value of a size; `kind`: "loop" or "size"."""

    __slots__ = ("name", "lo", "extent", "hint", "kind", "key")

    def __init__(
        self,
        name: str,
        lo: int = 0,
        extent: Any = None,
        hint: int | None = None,
        kind: str = "loop",
    ):
        self.name, self.lo, self.extent, self.hint, self.kind = name, lo, extent, hint, kind
        self.key = name

    def __repr__(self) -> str:
        return self.name


class Div:
    """floor(a / b), b > 0."""

    __slots__ = ("a", "b", "key")

    def __init__(self, a: Index, b: Index):
        self.a, self.b = a, b
        self.key = f"({a.key} // {b.key})"

    def __repr__(self) -> str:
        return self.key


class Mod:
    """a - b * floor(a / b), b > 0. `partner` is the key of floor(a / b) in normal form."""

    __slots__ = ("a", "b", "key", "_partner")

    def __init__(self, a: Index, b: Index):
        self.a, self.b = a, b
        self.key = f"({a.key} % {b.key})"
        self._partner: str | None = None

    @property
    def partner(self) -> str:
        if self._partner is None:
            self._partner = _divide(self.a, self.b)[0].key
        return self._partner

    def __repr__(self) -> str:
        return self.key


class Data:
    """A whole number that is computed at run time: the value of a loop expression."""

    __slots__ = ("expr", "lo", "extent", "key")

    def __init__(self, expr: Any, lo: int | None = None, extent: Any = None):
        self.expr, self.lo, self.extent = expr, lo, extent
        self.key = f"[{expr.key}]"

    def __repr__(self) -> str:
        return self.key


Atom = Any  # Symbol, Div, Mod or Data

# Called as hook(relation, left, right, outcome) when an example value decided a comparison.
_HOOK: list[Callable[[str, Index, Any, bool], None]] = []
# Called as number(size): a run-time Python number for arithmetic that leaves the whole numbers.
_NUMBER: list[Callable[[Index], Any]] = []


@contextlib.contextmanager
def observing(
    hook: Callable[[str, Index, Any, bool], None], number: Callable[[Index], Any] | None = None
) -> Iterator[None]:
    """Sends every comparison of sizes that only an example value could decide to `hook`, and asks
    `number` for sizes that meet floats."""
    _HOOK.append(hook)
    _NUMBER.append(number or int)
    try:
        yield
    finally:
        _HOOK.pop()
        _NUMBER.pop()


class SizesEqual(BaseException):
    """Code took two sizes for equal because of their example values, so that forms of both would
    mix: what is being made has to be made again with one form, `difference` being 0."""

    def __init__(self, difference: Index):
        super().__init__(f"{difference.key} is 0")  # a number that code reads would be its value
        self.difference = difference


def relation(left: Index, sign: str, right: Any) -> str:
    """A comparison as a Python expression over the symbols' names."""
    return f"{left.key} {sign} {as_index(right).key}"


class Index:
    """terms: {monomial: coefficient}; a monomial is a tuple of atoms sorted by key, () the
    constant."""

    __slots__ = ("terms", "_key", "_hash")

    number_type = int  # type promotion sees an int

    def __init__(self, terms: dict):
        self.terms = terms
        self._key: str | None = None
        self._hash: int | None = None

    # ------------------------------------------------------------ identity

    @property
    def key(self) -> str:
        """The normal form as text; equal keys mean equal values."""
        if self._key is None:
            parts: list[str] = []
            for m in sorted(self.terms, key=_monomial_key):
                c = self.terms[m]
                name = "*".join(a.key for a in m)
                if not m:
                    text = str(abs(c))
                elif abs(c) == 1:
                    text = name
                else:
                    text = f"{abs(c)}*{name}"
                sign = ("-" if c < 0 else "") if not parts else (" - " if c < 0 else " + ")
                parts.append(sign + text)
            body = "".join(parts) or "0"
            self._key = f"({body})" if len(parts) > 1 else body
        return self._key

    def __repr__(self) -> str:
        k = self.key
        return k[1:-1] if len(self.terms) > 1 else k

    __str__ = __repr__

    def __hash__(self) -> int:
        if self._hash is None:
            c = self.constant
            self._hash = hash(self.key) if c is None else hash(c)
        return self._hash

    def __eq__(self, other: Any) -> Any:
        if isinstance(other, Index):
            if self.key == other.key:
                return True
        elif not isinstance(other, int):
            return NotImplemented
        return self._compare("==", other)

    def __ne__(self, other: Any) -> Any:
        e = self.__eq__(other)
        return e if e is NotImplemented else not e

    def same(self, other: Any) -> bool:
        """Equality of the normal forms alone: never looks at examples, never reports."""
        return self.key == as_index(other).key

    @property
    def constant(self) -> int | None:
        """The value when it is known."""
        if not self.terms:
            return 0
        if len(self.terms) == 1:
            return self.terms.get(())
        return None

    @property
    def is_constant(self) -> bool:
        return self.constant is not None

    # ------------------------------------------------------------ arithmetic

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, (Index, int)):
            return NotImplemented
        return _add(self, as_index(other), 1)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        if not isinstance(other, (Index, int)):
            return NotImplemented
        return _add(self, as_index(other), -1)

    def __rsub__(self, other: Any) -> Any:
        if not isinstance(other, (Index, int)):
            return NotImplemented
        return _add(as_index(other), self, -1)

    def __neg__(self) -> Index:
        return Index({m: -c for m, c in self.terms.items()})

    def __pos__(self) -> Index:
        return self

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, int):
            return Index({m: c * int(other) for m, c in self.terms.items()} if other else {})
        if not isinstance(other, Index):
            return NotImplemented
        out: dict = {}
        for m, c in self.terms.items():
            for n, d in other.terms.items():
                mono = tuple(sorted(m + n, key=_atom_key)) if m and n else m or n
                out[mono] = out.get(mono, 0) + c * d
        return _recombine({m: c for m, c in out.items() if c})

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        if not isinstance(other, (Index, int)):
            return NotImplemented
        return _divide(self, as_index(other))[0]

    def __rfloordiv__(self, other: Any) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        return _divide(as_index(other), self)[0]

    def __mod__(self, other: Any) -> Any:
        if not isinstance(other, (Index, int)):
            return NotImplemented
        return _divide(self, as_index(other))[1]

    def __rmod__(self, other: Any) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        return _divide(as_index(other), self)[1]

    def __divmod__(self, other: Any) -> Any:
        if not isinstance(other, (Index, int)):
            return NotImplemented
        return _divide(self, as_index(other))

    def __pow__(self, n: int) -> Index:
        out = as_index(1)
        for _ in range(n):
            out = out * self
        return out

    def __truediv__(self, other: Any) -> float:
        return int(self) / int(other)

    def __rtruediv__(self, other: Any) -> float:
        return other / int(self)

    def __abs__(self) -> Any:
        return -self if self < 0 else self

    # ------------------------------------------------------------ comparison

    def _compare(self, relation: str, other: Any) -> bool:
        d = _add(self, as_index(other), -1)
        lo, hi = d.bounds()
        outcome = _decided(relation, lo, hi)
        if outcome is None and relation in ("<", ">=") and hi is None:
            if relation == "<" and proved_nonnegative(-d - 1):
                outcome = True
            elif proved_nonnegative(d):
                outcome = relation == ">="
        if outcome is not None:
            return outcome
        value = d.hint
        if value is None:
            if relation == "==":
                return False  # different forms without examples: not the same index
            raise TypeError(f"cannot decide whether {self} {relation} {other}")
        outcome = {
            "==": value == 0,
            "<": value < 0,
            "<=": value <= 0,
            ">": value > 0,
            ">=": value >= 0,
        }[relation]
        if _HOOK:
            _HOOK[-1](relation, self, other, outcome)
        return outcome

    def __lt__(self, other: Any) -> Any:
        return self._compare("<", other) if isinstance(other, (Index, int)) else NotImplemented

    def __le__(self, other: Any) -> Any:
        return self._compare("<=", other) if isinstance(other, (Index, int)) else NotImplemented

    def __gt__(self, other: Any) -> Any:
        return self._compare(">", other) if isinstance(other, (Index, int)) else NotImplemented

    def __ge__(self, other: Any) -> Any:
        return self._compare(">=", other) if isinstance(other, (Index, int)) else NotImplemented

    def __bool__(self) -> bool:
        return self != 0

    def __index__(self) -> int:
        """The example value; the program is then good for that value only, which is reported."""
        c = self.constant
        if c is not None:
            return c
        value = self.hint
        if value is None:
            raise TypeError(f"{self} has no value yet")
        if _HOOK:
            _HOOK[-1]("==", self, value, True)
        return value

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.__index__())

    # ------------------------------------------------------------ ranges and values

    @property
    def hint(self) -> int | None:
        """The value at the example sizes; None when a symbol has none."""
        total = 0
        for m, c in self.terms.items():
            for a in m:
                v = _atom_hint(a)
                if v is None:
                    return None
                c *= v
            total += c
        return total

    def bounds(self) -> tuple[int | None, int | None]:
        """Least and greatest value as far as ints tell."""
        lo: int | None = 0
        hi: int | None = 0
        for m, c in self.terms.items():
            a, b = _monomial_bounds(m)
            if c < 0:
                a, b = b, a
            lo = None if lo is None or a is None else lo + c * a
            hi = None if hi is None or b is None else hi + c * b
        return lo, hi

    def symbols(self) -> set[Symbol]:
        """Every symbol in it, also inside div, mod and run-time data."""
        out: set[Symbol] = set()
        for m in self.terms:
            for a in m:
                _atom_symbols(a, out)
        return out

    def substitute(self, values: Mapping[Any, Any]) -> Index:
        """Symbols (the objects) replaced by Indexes or ints."""
        total: Any = as_index(0)
        for m, c in self.terms.items():
            term: Any = as_index(c)
            for a in m:
                term = term * _atom_substitute(a, values)
            total = total + term
        return total

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The value with symbols' values given by name."""
        total = 0
        for m, c in self.terms.items():
            for a in m:
                c *= _atom_evaluate(a, values)
            total += c
        return total

    def coefficient(self, symbol: Symbol) -> Any:
        """c when the index is c * symbol + rest, with rest free of the symbol; None otherwise."""
        out: dict = {}
        for m, c in self.terms.items():
            n = sum(a is symbol for a in m)
            others = tuple(a for a in m if a is not symbol)
            if n > 1 or any(symbol in _symbols_of(a) for a in others):
                return None
            if n:
                out[others] = out.get(others, 0) + c
        found = Index(out)
        return found.constant if found.is_constant else found


class SymInt(Index):
    """A size in the hands of the user's code. Arithmetic keeps it symbolic; what would show its
    value or look something up by it makes the program good for that value only, and reports so."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(self.__index__())

    def __repr__(self) -> str:
        return repr(self.__index__())

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(self.__index__(), spec)

    def __deepcopy__(self, memo: dict) -> SymInt:
        return self

    def __truediv__(self, other: Any) -> Any:
        return _number(self) / (_number(other) if isinstance(other, Index) else other)

    def __rtruediv__(self, other: Any) -> Any:
        return other / _number(self)

    def __pow__(self, n: Any) -> Any:
        if type(n) is int and n >= 0:
            return visible(Index(self.terms) ** n)
        return _number(self) ** n


def _number(x: Index) -> Any:
    return _NUMBER[-1](Index(x.terms)) if _NUMBER else int(x)


def _visible_method(name: str) -> Callable:
    plain_method = getattr(Index, name)

    def method(self: SymInt, *others: Any) -> Any:
        found = plain_method(self, *others)
        if found is NotImplemented and others and not isinstance(others[0], (Index, int)):
            if isinstance(others[0], float) or hasattr(others[0], "number_type"):
                return getattr(_number(self), name)(*others)  # 0.5 * size
        return visible(found)

    return method


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "rfloordiv", "mod", "rmod"):
    setattr(SymInt, f"__{_name}__", _visible_method(f"__{_name}__"))
for _name in ("divmod", "neg", "pos", "abs"):
    setattr(SymInt, f"__{_name}__", _visible_method(f"__{_name}__"))


def alike(a: Any, b: Any) -> bool:
    """Whether two sizes, or two tuples of sizes, are equal whatever the symbols stand for. Unlike
    ==, it never looks at example values: for shortcuts that are right either way."""
    if isinstance(a, tuple):
        if len(a) != len(b):
            return False
        for x, y in zip(a, b, strict=True):
            if x is not y and not (x == y if type(x) is type(y) is int else alike(x, y)):
                return False
        return True
    if isinstance(a, Index) or isinstance(b, Index):
        return as_index(a).key == as_index(b).key
    return a == b


def visible(x: Any) -> Any:
    """Sizes (also inside tuples) as the user's code gets them: known ones as ints."""
    if isinstance(x, Index):
        c = x.constant
        return c if c is not None else x if type(x) is SymInt else SymInt(x.terms)
    return tuple([visible(v) for v in x]) if type(x) is tuple else x


def plain(x: Any) -> Any:
    """The same as graphs hold them; tuples and lists are entered."""
    t = type(x)
    if t is SymInt:
        return Index(x.terms)
    if t is tuple or t is list:
        for v in x:
            if type(v) in (SymInt, tuple, list):
                return t([plain(v) for v in x])
    return x


# ---------------------------------------------------------------- making them


def as_index(x: Any) -> Index:
    """An int (or Index) as an Index."""
    if isinstance(x, Index):
        return x
    x = int(x)
    return Index({(): x} if x else {})


def of_symbol(s: Symbol) -> Index:
    return Index({(s,): 1})


def loop(name: str, extent: Any) -> Index:
    """A loop counter 0 <= name < extent. An extent of 1 gives the constant 0."""
    if isinstance(extent, int) and extent == 1:
        return as_index(0)
    return of_symbol(Symbol(name, 0, extent))


def size(name: str, hint: int, lo: int = 2) -> Index:
    """A symbolic size with an example value; sizes 0 and 1 are never symbols, hence lo = 2.
    Symbols are told apart by name: those of programs are named s<number>, as no loop counter of a
    kernel is."""
    return of_symbol(Symbol(name, lo, None, hint, "size"))


def from_expr(expr: Any, lo: int | None = None, extent: Any = None) -> Index:
    """The value of an integer loop expression as a coordinate. lo and extent, when given, are known
    bounds (`Checked` expressions carry their own)."""
    inner = getattr(expr, "index", None)
    if isinstance(inner, Index) and type(expr).__name__ == "IndexValue":
        return inner
    bound = getattr(expr, "bound", None)
    if bound is not None:
        lo, extent = 0, bound
    return Index({(Data(expr, lo, extent),): 1})


def lower_int(x: Any) -> Any:
    """A plain int when the value is known, else the Index."""
    if isinstance(x, Index):
        c = x.constant
        return x if c is None else c
    return x


# ---------------------------------------------------------------- the normal form


def _atom_key(a: Atom) -> str:
    return a.key


def _monomial_key(m: tuple) -> tuple:
    return (not m, [a.key for a in m])


def _add(a: Index, b: Index, sign: int) -> Index:
    out = dict(a.terms)
    for m, c in b.terms.items():
        v = out.get(m)
        if v is None:
            out[m] = sign * c
        else:
            v += sign * c
            if v:
                out[m] = v
            else:
                del out[m]
    if len(out) > 1:
        return _recombine(out)
    return Index(out)


def _recombine(terms: dict) -> Index:
    """c*b*(x // b) + c*(x % b) becomes c*x. Atoms compare by identity, so equal ones are merged
    first."""
    seen: dict[str, Atom] = {}
    merged: dict = {}
    nested = False
    for m, c in terms.items():
        if any(not isinstance(a, Symbol) for a in m):
            m = tuple(a if isinstance(a, Symbol) else seen.setdefault(a.key, a) for a in m)
            nested = True
        merged[m] = merged.get(m, 0) + c
    if not nested:
        return Index(merged)
    terms = {m: c for m, c in merged.items() if c}
    for m, c in terms.items():
        for a in m:
            if not isinstance(a, Mod):
                continue
            rest = _without(m, a)
            quotient = seen.get(a.partner)
            if quotient is None:
                continue
            other = Index({tuple(sorted((*rest, quotient), key=_atom_key)): c}) * a.b
            if all(terms.get(k) == v for k, v in other.terms.items()):
                left = {k: v for k, v in terms.items() if k != m and k not in other.terms}
                return Index(left) + Index({rest: c}) * a.a
    return Index(terms)


def _without(m: tuple, a: Atom) -> tuple:
    i = next(i for i, x in enumerate(m) if x is a)
    return m[:i] + m[i + 1 :]


def _divide(a: Index, b: Index) -> tuple[Any, Any]:
    """(a // b, a % b) for b > 0 (a known b < 0 is turned around)."""
    d = b.constant
    if d is not None:
        if d == 0:
            return as_index(0), as_index(0)  # coordinates of an empty shape: no loop runs
        if d < 0:
            q, r = _divide(-a, as_index(-d))
            return q, -r
    c = a.constant
    if c is not None and d is not None:
        return as_index(c // d), as_index(c % d)
    whole: dict = {}
    rest: dict = {}
    for m, c in a.terms.items():
        q = _exact(m, c, b, d)
        if q is not None:
            whole[q[0]] = whole.get(q[0], 0) + q[1]
        elif d is not None and not m:
            whole[m] = whole.get(m, 0) + c // d
            if c % d:
                rest[m] = c % d
        else:
            rest[m] = c
    left = Index(rest)
    q = _recombine({m: c for m, c in whole.items() if c})
    if d == 1 or not rest:
        return q, as_index(0)
    if _below(left, b):
        return q, left
    more, mod = _divide_rest(left, b, d)
    return q + more, mod


def _exact(m: tuple, c: int, b: Index, d: int | None) -> tuple | None:
    """The monomial and coefficient of c*m / b when b divides it."""
    if d is not None:
        return (m, c // d) if c % d == 0 else None
    if len(b.terms) != 1:
        return None
    ((bm, bc),) = b.terms.items()
    if c % bc:
        return None
    left = list(m)
    for a in bm:
        i = next((i for i, x in enumerate(left) if x is a or x.key == a.key), None)
        if i is None:
            return None
        del left[i]
    return tuple(left), c // bc


def _divide_rest(a: Index, b: Index, d: int | None) -> tuple[Index, Index]:
    """Division of what no simple rule solves: a has no multiple of b left."""
    if d is not None:
        g = d
        for c in a.terms.values():
            g = gcd(g, c)
        if g > 1 and len(a.terms):
            q, r = _divide(Index({m: c // g for m, c in a.terms.items()}), as_index(d // g))
            return q, r * g
        # c*x + small where c shares a factor with d and small < that factor: drop the small part
        for f in _factors(a, d):
            small = Index({m: c for m, c in a.terms.items() if c % f})
            if small.terms and _below(small, as_index(f)):
                big = Index({m: c // f for m, c in a.terms.items() if c % f == 0})
                q, r = _divide(big, as_index(d // f))
                return q, r * f + small
    if len(a.terms) == 1:
        ((m, c),) = a.terms.items()
        if c == 1 and len(m) == 1 and d is not None:
            x = m[0]
            k = x.b.constant if isinstance(x, (Div, Mod)) else None
            if isinstance(x, Div) and k is not None:
                q = _divide(x.a, as_index(k * d))[0]  # (x // k) // d == x // (k d)
                return q, Index({(_mod_atom(a, b),): 1})
            if isinstance(x, Mod) and k is not None and k % d == 0:
                # (x % k) // d == (x // d) % (k / d);  (x % k) % d == x % d
                q, r = _divide(x.a, as_index(d))
                return _divide(q, as_index(k // d))[1], r
    return Index({(Div(a, b),): 1}), Index({(_mod_atom(a, b),): 1})


def _mod_atom(a: Index, b: Index) -> Mod:
    return Mod(a, b)


def _factors(a: Index, d: int) -> list[int]:
    found = {gcd(d, c) for m, c in a.terms.items() if m}
    return sorted((f for f in found if 1 < f < d), reverse=True)


def _below(a: Index, b: Index) -> bool:
    """0 <= a < b, proved."""
    lo, hi = a.bounds()
    if lo is None or lo < 0:
        return False
    d = b.constant
    if d is not None and hi is not None:
        return hi < d
    return proved_nonnegative(b - a - 1)


def proved_nonnegative(x: Index) -> bool:
    """x >= 0 for every value of its symbols: loop counters are put at their worst, sizes at least
    lo."""
    lo, _ = x.bounds()
    if lo is not None and lo >= 0:
        return True
    for _ in range(8):
        worst = next(
            (
                s
                for m, c in x.terms.items()
                if c < 0
                for s in m
                if isinstance(s, Symbol) and s.extent is not None
            ),
            None,
        )
        if worst is None:
            break
        c = x.coefficient(worst)
        if not isinstance(c, int) and not (isinstance(c, Index) and proved_negative(c)):
            return False
        if isinstance(c, int) and c > 0:
            return False
        x = x.substitute({worst: as_index(worst.extent) - 1})
    shifted = x.substitute({s: of_symbol(s) + s.lo for s in x.symbols() if s.kind == "size"})
    return all(c >= 0 for c in shifted.terms.values()) and not any(
        isinstance(a, Data) for m in shifted.terms for a in m
    )


def proved_negative(x: Index) -> bool:
    hi = x.bounds()[1]
    return (hi is not None and hi < 0) or all(
        c < 0 and all(isinstance(a, Symbol) and a.kind == "size" and a.lo > 0 for a in m)
        for m, c in x.terms.items()
    )


def _decided(relation: str, lo: int | None, hi: int | None) -> bool | None:
    if relation == "==":
        if lo is not None and lo > 0 or hi is not None and hi < 0:
            return False
        return True if lo == 0 == hi else None
    if relation == "<":
        return True if hi is not None and hi < 0 else False if lo is not None and lo >= 0 else None
    if relation == "<=":
        return True if hi is not None and hi <= 0 else False if lo is not None and lo > 0 else None
    if relation == ">":
        return True if lo is not None and lo > 0 else False if hi is not None and hi <= 0 else None
    return True if lo is not None and lo >= 0 else False if hi is not None and hi < 0 else None


# ---------------------------------------------------------------- per atom


def _atom_bounds(a: Atom) -> tuple[int | None, int | None]:
    if isinstance(a, Symbol):
        hi = as_index(a.extent).bounds()[1] if a.extent is not None else None
        return a.lo, None if hi is None else hi - 1
    if isinstance(a, Mod):
        hi = a.b.bounds()[1]
        lo_a, hi_a = a.a.bounds()
        top = None if hi is None else hi - 1
        if lo_a is not None and lo_a >= 0 and hi_a is not None:
            top = hi_a if top is None else min(top, hi_a)
        return 0, top
    if isinstance(a, Div):
        lo, hi = a.a.bounds()
        blo, bhi = a.b.bounds()
        if lo is None:
            low = None
        elif lo >= 0:
            low = 0 if bhi is None else lo // bhi
        else:
            low = None if blo is None else lo // blo
        if hi is None:
            high = None
        elif hi >= 0:
            high = hi if blo is None else hi // max(blo, 1)
        else:
            high = -1 if bhi is None else hi // bhi
        return low, high
    hi = as_index(a.extent).bounds()[1] if a.extent is not None else None
    return a.lo, None if hi is None else hi - 1


def _monomial_bounds(m: tuple) -> tuple[int | None, int | None]:
    lo: int | None = 1
    hi: int | None = 1
    for a in m:
        x, y = _atom_bounds(a)
        if lo is not None and x is not None and lo >= 0 and x >= 0:
            lo = lo * x
            hi = None if hi is None or y is None else hi * y
            continue
        if None in (lo, hi, x, y):
            return None, None
        ends = [lo * x, lo * y, hi * x, hi * y]  # type: ignore[operator]
        lo, hi = min(ends), max(ends)
    return lo, hi


def _atom_hint(a: Atom) -> int | None:
    if isinstance(a, Symbol):
        return a.hint
    if isinstance(a, Data):
        return None
    x, y = a.a.hint, a.b.hint
    if x is None or y is None or y == 0:
        return None
    return x // y if isinstance(a, Div) else x % y


def _symbols_of(a: Atom) -> set[Symbol]:
    out: set[Symbol] = set()
    _atom_symbols(a, out)
    return out


def _atom_symbols(a: Atom, out: set[Symbol]) -> None:
    if isinstance(a, Symbol):
        out.add(a)
    elif isinstance(a, Data):
        out |= a.expr.symbols()
    else:
        out |= a.a.symbols()
        out |= a.b.symbols()


def _atom_substitute(a: Atom, values: Mapping[Any, Any]) -> Index:
    if isinstance(a, Symbol):
        return as_index(values[a]) if a in values else of_symbol(a)
    if isinstance(a, Data):
        expr = a.expr.substitute(values)
        return Index({(a,): 1}) if expr is a.expr else Index({(Data(expr, a.lo, a.extent),): 1})
    x, y = a.a.substitute(values), a.b.substitute(values)
    return x // y if isinstance(a, Div) else x % y


def _atom_evaluate(a: Atom, values: Mapping[str, int]) -> int:
    if isinstance(a, Symbol):
        return values[a.name]
    if isinstance(a, Data):
        raise TypeError(f"{a} is known at run time only")
    x, y = a.a.evaluate(values), a.b.evaluate(values)
    return x // y if isinstance(a, Div) else x % y


# ---------------------------------------------------------------- coordinates


def linear(coords: Iterable[Any], strides: Iterable[Any]) -> Index:
    """sum(coordinate * stride)."""
    total = as_index(0)
    for c, s in zip(coords, strides, strict=True):
        total = total + as_index(c) * s
    return total


def flatten(coords: Iterable[Any], shape: Iterable[Any]) -> Index:
    """The row-major position of coords in shape."""
    total = as_index(0)
    for c, n in zip(coords, shape, strict=True):
        total = total * n + c
    return total


def unflatten(position: Any, shape: tuple) -> list:
    """The coordinates in shape of a row-major position."""
    out: list = []
    position = as_index(position)
    for i, n in enumerate(reversed(shape)):
        if isinstance(n, int) and n == 1:
            out.append(as_index(0))
        elif i == len(shape) - 1:
            out.append(position)
        else:
            position, r = _divide(position, as_index(n)) if n != 0 else (position, as_index(0))
            out.append(r)
    return list(reversed(out))


def reshape_coords(coords: list, shape: tuple, old: tuple) -> list:
    """Coordinates in shape `old` of the element that stands at `coords` in `shape` (same number of
    elements, row-major). Runs of equal extent are matched first, which keeps the result simple."""
    out: list = []
    i = j = 0
    while i < len(shape) or j < len(old):
        if i < len(shape) and j < len(old) and as_index(shape[i]).same(old[j]):
            out.append(coords[i])
            i, j = i + 1, j + 1
            continue
        a, b = i, j
        m: Any = as_index(1)
        n: Any = as_index(1)
        while True:
            if m.same(n) and (i > a or j > b):
                break
            hm, hn = m.hint, n.hint
            if hm is not None and hn is not None and hm > hn and j < len(old) or i == len(shape):
                if j == len(old):
                    break
                n, j = n * old[j], j + 1
            else:
                m, i = m * shape[i], i + 1
        while i < len(shape) and shape[i] == 1:
            i += 1
        while j < len(old) and old[j] == 1:
            j += 1
        out += unflatten(flatten(coords[a:i], shape[a:i]), tuple(old[b:j]))
    return out
