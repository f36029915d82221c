"""Runs a function eagerly and compiled on equal copies of its arguments and compares everything
that a user can see: bits, shapes, strides, dtypes, aliasing, .grad, requires_grad, versions and
the random state."""

import numpy as np

import graphc
from graphc.base import pytree
from graphc.core.tensor import Tensor


def bits(t):
    """A tensor's bits, every nan as one class."""
    a = np.ascontiguousarray(t.detach()._array)
    if a.dtype.kind == "f":
        a = np.where(np.isnan(a), np.array(np.nan, a.dtype), a)
        return a.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[a.itemsize])
    return a if a.dtype.kind in "biu" else a.view(np.uint16)


def strides(t):
    """Strides where they mean something: axes of size 1 have none."""
    return tuple(0 if n == 1 else s for n, s in zip(t.shape, t.stride(), strict=True))


def same(a, b, where=""):
    """Asserts that two results agree in everything but identity."""
    la, sa = pytree.flatten(a)
    lb, sb = pytree.flatten(b)
    assert sa == sb, where
    for i, (x, y) in enumerate(zip(la, lb, strict=True)):
        at = f"{where}[{i}]"
        if not isinstance(x, Tensor):
            assert type(x) is type(y) and (x == y or x != x), f"{at}: {x!r} {y!r}"
            continue
        assert x.shape == y.shape, f"{at}: shape {x.shape} {y.shape}"
        assert x.dtype is y.dtype, f"{at}: dtype {x.dtype} {y.dtype}"
        assert strides(x) == strides(y), f"{at}: stride {x.stride()} {y.stride()}"
        assert x.requires_grad == y.requires_grad, f"{at}: requires_grad {x.requires_grad}"
        assert np.array_equal(bits(x), bits(y)), f"{at}:\n{x}\n{y}"
    assert aliases(la) == aliases(lb), f"{where}: aliasing {aliases(la)} {aliases(lb)}"


def aliases(leaves):
    """Which tensors share memory or are one object."""
    ts = [t for t in leaves if isinstance(t, Tensor)]
    return [[(a is b, np.shares_memory(a._array, b._array)) for b in ts] for a in ts]


def state(leaves):
    ts = [t for t in leaves if isinstance(t, Tensor)]
    return [t.detach() for t in ts], [t.grad for t in ts], [t._version for t in ts]


def check(fn, make, calls=2, backend="c", programs=1, **settings):
    """fn(*make(i)) for each call i, eager against compiled. Returns the compiled function."""
    compiled = graphc.compile(fn, backend=backend, fullgraph=True, **settings)
    for i in range(calls):
        eager_args, args = make(i), make(i)
        graphc.manual_seed(1234 + i)
        want = fn(*eager_args)
        seed = graphc.default_generator.state_words()
        graphc.manual_seed(1234 + i)
        got = compiled(*args)
        assert graphc.default_generator.state_words() == seed, f"call {i}: random state"
        le, lc = pytree.flatten(eager_args)[0], pytree.flatten(args)[0]
        same((want, eager_args), (got, args), f"call {i}")
        for a, b in zip(state(le), state(lc), strict=True):
            same(a, b, f"call {i} state")
    if programs is not None:
        assert len(compiled.specialisations) == programs, compiled.explain()
    return compiled
