"""Index algebra against Python's own integers: every simplification keeps the value."""

import itertools
import random

import pytest

from graphc.ir import index as ix
from graphc.ir.index import Index, as_index, flatten, loop, reshape_coords, size, unflatten


def _random_index(r, symbols, depth):
    kind = r.choice("lcsadm" if depth else "lc")
    if kind == "l":
        return r.choice(symbols)
    if kind == "c":
        return as_index(r.randint(-9, 40))
    a = _random_index(r, symbols, depth - 1)
    if kind == "a":
        return a + _random_index(r, symbols, depth - 1) * r.randint(-3, 8)
    if kind == "s":
        return a - _random_index(r, symbols, depth - 1)
    n = r.choice((1, 2, 3, 4, 6, 8, 12, 24))
    return a // n if kind == "d" else a % n


class _Plain:
    """The same expression computed by Python at once."""

    def __init__(self, values):
        self.values = values

    def of(self, seed, extents):
        r = random.Random(seed)
        return _random_index(r, [as_index(v) for v in self.values], 5)


@pytest.mark.parametrize("seed", range(300))
def test_values_survive_simplification(seed):
    extents = (4, 6, 24)
    symbols = [loop(n, e) for n, e in zip("ijk", extents)]
    e = _random_index(random.Random(seed), symbols, 5)
    for values in itertools.product(range(4), range(0, 6, 2), range(0, 24, 5)):
        want = _random_index(random.Random(seed), [as_index(v) for v in values], 5)
        assert want.is_constant
        assert e.evaluate(dict(zip("ijk", values))) == want.constant
        lo, hi = e.bounds()
        assert (lo is None or lo <= want.constant) and (hi is None or want.constant <= hi)


def test_affine_quotients_vanish():
    i, j = loop("i", 64), loop("j", 256)
    f = i * 256 + j
    assert str(f // 256) == "i" and str(f % 256) == "j"
    assert str((f // 16) % 16) == "(j // 16)"
    x = loop("x", 1000)
    assert (x // 10 * 10 + x % 10).same(x)
    assert ((x // 10) // 10).same(x // 100)


def test_unflatten_and_flatten_are_inverse():
    r = loop("r", 2 * 3 * 5 * 7)
    assert flatten(unflatten(r, (2, 3, 5, 7)), (2, 3, 5, 7)).same(r)
    n = size("n", 9)
    r = loop("r", n * 15)
    assert flatten(unflatten(r, (3, n, 5)), (3, n, 5)).same(r)
    k = loop("k", n)
    assert ((k * 4 + loop("l", 4)) // 4).same(k)
    assert ((k * n + loop("m", n)) // n).same(k)


def test_reshape_keeps_common_axes():
    i, j = loop("i", 64), loop("j", 256)
    assert [str(c) for c in reshape_coords([i, j], (64, 256), (64, 16, 16))] == [
        "i",
        "(j // 16)",
        "(j % 16)",
    ]
    assert [str(c) for c in reshape_coords([i, j], (64, 256), (64, 1, 256))] == ["i", "0", "j"]
    assert reshape_coords([], (), (1, 1)) == [0, 0]


def test_sizes_decide_by_range_without_a_guard():
    n = size("n", 64)
    seen = []
    with ix.observing(lambda *a: seen.append(a)):
        assert n != 0 and n != 1 and n >= 2 and n * 2 == n + n and n + 1 > n
        assert n != n + 1
    assert not seen


def test_sizes_decide_by_example_with_a_guard():
    n, m = size("n", 64), size("m", 10)
    seen = []
    with ix.observing(lambda *a: seen.append((a[0], str(a[1]), str(a[2]), a[3]))):
        assert n == 64
        assert not n < m
        assert int(m) == 10
        assert list(range(m)) == list(range(10))
    assert seen[:3] == [("==", "n", "64", True), ("<", "n", "m", False), ("==", "m", "10", True)]


def test_loop_counters_have_no_example():
    i, j = loop("i", 4), loop("j", 4)
    assert i != j
    assert isinstance(-i // 3, Index)
    with pytest.raises(TypeError):
        bool(i < j)
