"""In-place ops over views whose elements lie apart, against the same op on a copy."""

import pytest

import graphc as torch


@pytest.mark.parametrize(
    "name",
    [
        "neg_",
        "abs_",
        "sqrt_",
        "floor_",
        "ceil_",
        "trunc_",
        "round_",
        "square_",
        "add_",
        "sub_",
        "mul_",
        "div_",
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_in_place_over_columns(name, dtype):
    """numpy has loops of their own for some distances of elements, in what it reads and writes."""
    d = getattr(torch, dtype)
    if not d.is_floating_point and name in ("sqrt_", "div_"):
        return
    more = (3,) if name in ("add_", "sub_", "mul_", "div_") else ()
    for step in (2, 3, 4, 8, 16):
        for n in (1, 2, 5, 17):
            whole = torch.arange(1, 300).to(d)
            view = whole[2 : 2 + n * step : step]
            want = getattr(view.clone(), name)(*more)
            assert (getattr(view, name)(*more) == want).all(), (step, n)
            assert (whole[2 : 2 + n * step : step] == want).all()
