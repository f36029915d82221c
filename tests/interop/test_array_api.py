"""The array API namespace: every function of the standard, compared with numpy's own namespace."""

import inspect
import math

import numpy as np
import pytest

import graphc

XP = graphc.ones(1).__array_namespace__()
RNG = np.random.default_rng(0)
F = {"a": RNG.standard_normal((3, 4)), "b": RNG.standard_normal((3, 4)), "v": RNG.random(5) + 1}
I = {"i": RNG.integers(-4, 9, (3, 4)), "j": RNG.integers(1, 5, (3, 4)), "k": np.array([2, 0, 1])}
B = {"p": RNG.random((3, 4)) < 0.5, "q": RNG.random((3, 4)) < 0.5}
ALL = {**F, **I, **B, "u": np.array([3.0, 1.0, 3.0, 2.0, 1.0, 3.0]), "z": np.array(2.5)}

UNARY = (
    "abs asinh atan ceil cos cosh exp expm1 floor isfinite isinf isnan negative positive round "
    "sign signbit sin sinh square tan tanh trunc conj real"
).split()
POSITIVE = "log log1p log2 log10 sqrt acosh".split()
SMALL = "acos asin atanh".split()
BINARY = (
    "add atan2 copysign divide equal greater greater_equal hypot less less_equal logaddexp maximum "
    "minimum multiply not_equal subtract floor_divide remainder"
).split()
WHOLE = "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift".split()

# expressions over xp and the arrays above
EXPRESSIONS = [
    *[f"{f}(a)" for f in UNARY],
    *[f"{f}(v)" for f in POSITIVE],
    *[f"{f}(tanh(a))" for f in SMALL],
    *[f"{f}(a, b)" for f in BINARY],
    *[f"{f}(i, j)" for f in WHOLE],
    *[f"{f}(i)" for f in ("abs", "floor", "ceil", "round", "trunc", "sign", "bitwise_invert")],
    *[f"{f}(p, q)" for f in ("logical_and", "logical_or", "logical_xor", "bitwise_and")],
    "logical_not(p)",
    "bitwise_invert(p)",
    "pow(v, z)",
    "where(p, a, b)",
    "clip(a, -0.5, 0.5)",
    "clip(i, None, 3)",
    "clip(a)",
    "arange(5)",
    "arange(2, 9, 3)",
    "arange(3, 0)",
    "asarray([[1, 2], [3, 4]])",
    "astype(i, float64)",
    "astype(a, int64)",
    "eye(3)",
    "eye(2, 4, k=1)",
    "eye(3, k=-5)",
    "full((2, 2), 7)",
    "full(3, 1.5, dtype=float64)",
    "full_like(a, 2)",
    "ones((2, 3), dtype=int64)",
    "ones_like(i)",
    "zeros(4, dtype=float64)",
    "zeros_like(p)",
    "linspace(0.0, 1.0, 5, dtype=float64)",
    "linspace(0.0, 1.0, 5, dtype=float64, endpoint=False)",
    "meshgrid(k, v)",
    "meshgrid(k, v, indexing='ij')",
    "tril(a, k=1)",
    "triu(a, k=-1)",
    "broadcast_arrays(a, z)",
    "broadcast_to(k, (2, 3))",
    "concat([a, b], axis=1)",
    "concat([a, v], axis=None)",
    "expand_dims(a, axis=1)",
    "flip(a)",
    "flip(a, axis=0)",
    "moveaxis(a, 0, 1)",
    "permute_dims(a, (1, 0))",
    "repeat(k, 2)",
    "repeat(a, 2, axis=1)",
    "reshape(a, (2, 6))",
    "reshape(a, (-1,), copy=True)",
    "roll(a, 1)",
    "roll(a, (1, 2), axis=(0, 1))",
    "squeeze(expand_dims(a, axis=0), 0)",
    "stack([a, b], axis=-1)",
    "tile(k, (2, 2))",
    "unstack(a, axis=1)",
    "matmul(a, matrix_transpose(b))",
    "tensordot(a, b, axes=((1,), (1,)))",
    "vecdot(a, b)",
    "vecdot(a, b, axis=0)",
    "matrix_transpose(a)",
    "argmax(a)",
    "argmax(a, axis=1, keepdims=True)",
    "argmin(a, axis=0)",
    "nonzero(p)",
    "searchsorted(sort(v), u)",
    "searchsorted(v, u, sorter=argsort(v), side='right')",
    "take(a, k, axis=1)",
    "take(v, k)",
    "sort(a, axis=0)",
    "sort(u, descending=True)" if "descending" in str(inspect.signature(np.sort)) else "sort(u)",
    "argsort(u, stable=True)",
    "unique_all(u)",
    "unique_counts(i)",
    "unique_inverse(i)",
    "unique_values(u)",
    *[f"{f}({x})" for f in ("max", "min", "sum", "prod", "all", "any") for x in "ai"],
    *[f"{f}(a, axis=1, keepdims=True)" for f in "max min sum prod mean std var all any".split()],
    *[f"{f}(a, axis=(0, 1))" for f in "max min sum prod mean std var".split()],
    "std(a, correction=1.0)",
    "var(a, axis=0, correction=1)",
    "mean(a)",
    "sum(p)",
    "sum(i, dtype=float64)",
    "prod(j, dtype=float64)",
    "cumulative_sum(v)",
    "cumulative_sum(a, axis=1, include_initial=True)",
    "can_cast(float32, float64)",
    "isdtype(float64, 'real floating')",
    "isdtype(int64, ('bool', 'signed integer'))",
    "isdtype(bool, 'numeric')",
    "finfo(float32).eps",
    "iinfo(int8).max",
    "e, pi, inf, newaxis",
]


def _names(xp, make):
    table = {n: getattr(xp, n) for n in dir(xp) if not n.startswith("_")}
    return {**table, **{n: make(x) for n, x in ALL.items()}}


def _alike(got, want, what):
    if isinstance(want, (tuple, list)):
        assert len(got) == len(want), what
        for x, y in zip(got, want):
            _alike(x, y, what)
    elif isinstance(want, (np.ndarray, np.generic)) and hasattr(got, "dtype"):
        assert str(got.dtype).removeprefix("torch.") == str(want.dtype), (what, got.dtype)
        assert tuple(got.shape) == want.shape, what
        # float64, of the same numbers in another order at most
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-12, err_msg=what)
    else:
        assert got == want, what


def test_functions_are_those_of_the_standard():
    mine, numpys = _names(XP, graphc.tensor), _names(np, np.asarray)
    failed = []
    graphc.set_default_dtype(graphc.float64)  # numpy's, so that dtypes compare
    try:
        for text in EXPRESSIONS:
            want = eval(text, dict(numpys))
            try:
                _alike(eval(text, dict(mine)), want, text)
            except Exception as e:  # noqa: BLE001
                failed.append(f"{text}: {type(e).__name__} {e}")
    finally:
        graphc.set_default_dtype(graphc.float32)
    assert not failed, "\n".join(failed)


def test_the_namespace_says_what_it_is():
    assert XP.__array_api_version__ == "2023.12"
    assert graphc.ones(1).__array_namespace__(api_version="2022.12") is XP
    with pytest.raises(ValueError, match="array API standard"):
        graphc.ones(1).__array_namespace__(api_version="1999.01")
    info = XP.__array_namespace_info__()
    assert info.default_dtypes()["integral"] is XP.int64
    assert info.dtypes(kind="bool") == {"bool": graphc.bool}
    assert info.devices() == [info.default_device()] == [graphc.ones(1).device]
    assert math.isclose(XP.pi, math.pi)
    assert XP.result_type(graphc.ones(1), XP.float64) is graphc.float64
    x = graphc.ones(2, 3)
    assert x.to_device(x.device) is x and x.mT.shape == (3, 2)
    assert XP.asarray(x, copy=False) is x or XP.asarray(x, copy=False).data_ptr() == x.data_ptr()
    with pytest.raises(ValueError, match="avoid copy"):
        XP.asarray(x, dtype=XP.float64, copy=False)
    with pytest.raises(ValueError, match="avoid copy"):
        XP.reshape(x.mT, (6,), copy=False)


def standardise(x):
    """A consumer written against the standard."""
    xp = x.__array_namespace__()
    x = xp.astype(x, xp.float64)
    centred = (x - xp.mean(x, axis=0, keepdims=True)) / xp.std(x, axis=0, keepdims=True)
    order = xp.argsort(centred[:, 0])
    values, counts = xp.unique_counts(xp.round(centred))
    return xp.take(centred, order, axis=0), values, counts, xp.any(xp.isnan(centred))


def test_consumers_take_tensors():
    a = np.asarray(F["a"])
    for got, want in zip(standardise(graphc.tensor(a)), standardise(a), strict=True):
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-12)
