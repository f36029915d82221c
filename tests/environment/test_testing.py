"""graphc.testing: assert_close's verdicts and texts are PyTorch's; make_tensor's ranges."""

import numpy as np
import pytest

import graphc
from graphc.testing import assert_close, make_tensor

# t is the library
CASES = {
    "close": lambda t: (t.tensor([1.0, 2.0]), t.tensor([1.0, 2.0 + 1e-6])),
    "far": lambda t: (t.tensor([1.0, 2.0, 3.0]), t.tensor([1.0, 2.0, 4.0])),
    "matrix": lambda t: (t.zeros(2, 3), t.arange(6.0).reshape(2, 3)),
    "int": lambda t: (t.tensor([1, 2]), t.tensor([1, 5])),
    "bool": lambda t: (t.tensor([True, False]), t.tensor([True, True])),
    "zero-dim": lambda t: (t.tensor(1.0), t.tensor(2.0)),
    "shape": lambda t: (t.zeros(2), t.zeros(3)),
    "dtype": lambda t: (t.zeros(2), t.zeros(2).double()),
    "nan": lambda t: (t.tensor([float("nan")]), t.tensor([float("nan")])),
    "inf": lambda t: (t.tensor([float("inf"), 1.0]), t.tensor([float("inf"), 1.0])),
    "numbers": lambda t: (1.0, 1.5),
    "same": lambda t: (3, 3),
    "types": lambda t: (1, 1.0),
    "none": lambda t: (None, 1),
    "bools": lambda t: (True, False),
    "list": lambda t: ([t.zeros(1), t.ones(1)], [t.zeros(1), t.zeros(1)]),
    "length": lambda t: ([1], [1, 2]),
    "dict": lambda t: ({"a": t.ones(1), "b": [1.0]}, {"a": t.ones(1), "b": [2.0]}),
    "keys": lambda t: ({"a": 1, "x": 1}, {"a": 1, "b": 2}),
    "half": lambda t: (t.tensor([1.0]).half(), t.tensor([1.0005]).half()),
    "numpy": lambda t: (np.array([1.0, 2.0]), np.array([1.0, 2.5])),
    "unrelated": lambda t: (t.zeros(1), "a"),
    "empty": lambda t: (t.zeros(0), t.zeros(0)),
}
OPTIONS = [
    {},
    {"rtol": 0, "atol": 0},
    {"rtol": 0.5, "atol": 0.1},
    {"equal_nan": True, "check_dtype": False},
    {"check_stride": True},
    {"rtol": 0.1},
    {"msg": "other text"},
    {"msg": lambda m: "Header\n" + m},
    {"allow_subclasses": False},
]


def _outcome(library, name, options):
    try:
        library.testing.assert_close(*CASES[name](library), **options)
    except Exception as e:  # noqa: BLE001
        kind = type(e).__name__
        return f"{kind}: {e}".replace("graphc.core.tensor.Tensor", "torch.Tensor")
    return "fine"


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "default")
def test_texts_are_pytorchs(options):
    torch = pytest.importorskip("torch")
    for name in CASES:
        assert _outcome(graphc, name, options) == _outcome(torch, name, options), name


def test_verdicts():
    fine = {name for name in CASES if _outcome(graphc, name, {}) == "fine"}
    assert fine == {"close", "inf", "same", "half", "empty"}
    with pytest.raises(AssertionError) as info:
        assert_close(graphc.tensor([1.0, 2.0]), graphc.tensor([1.0, 4.0]))
    assert str(info.value) == (
        "Tensor-likes are not close!\n\n"
        "Mismatched elements: 1 / 2 (50.0%)\n"
        "Greatest absolute difference: 2.0 at index (1,) (up to 1e-05 allowed)\n"
        "Greatest relative difference: 0.5 at index (1,) (up to 1.3e-06 allowed)"
    )
    with pytest.warns(FutureWarning, match="assert_allclose"):
        graphc.testing.assert_allclose(graphc.ones(2), graphc.ones(2).double())


def test_make_tensor():
    for dtype in (graphc.float32, graphc.float64, graphc.bfloat16):
        x = make_tensor((40, 5), dtype=dtype, device="cpu", low=-2, high=3)
        assert x.dtype is dtype and x.shape == (40, 5) and -2 <= x.min() and x.max() <= 3
    x = make_tensor(300, dtype=graphc.int64, device="cpu")
    assert -9 <= x.min() < -5 and 5 < x.max() <= 9
    x = make_tensor(300, dtype=graphc.uint8, device="cpu", exclude_zero=True)
    assert 1 <= x.min() and x.max() <= 9
    assert make_tensor(3, dtype=graphc.bool, device="cpu").dtype is graphc.bool
    x = make_tensor(
        3, 4, dtype=graphc.float32, device="cpu", noncontiguous=True, requires_grad=True
    )
    assert not x.is_contiguous() and x.requires_grad and x.shape == (3, 4)
    with pytest.raises(ValueError, match="`low` must be less than `high`, but got 3 >= 2"):
        make_tensor(3, dtype=graphc.int32, device="cpu", low=3, high=2)
    with pytest.raises(ValueError, match="cannot be NaN"):
        make_tensor(3, dtype=graphc.float32, device="cpu", low=float("nan"))
    with pytest.raises(ValueError, match="`requires_grad=True` is not supported"):
        make_tensor(3, dtype=graphc.int32, device="cpu", requires_grad=True)
