"""assert_close: takes two values, tensors or nested containers of them, gives nothing, or an error
that says where they differ and by how much.

Invariant: the texts are PyTorch's; the first difference is the one that is reported.
https://docs.pytorch.org/docs/stable/testing.html#torch.testing.assert_close
"""

from __future__ import annotations

import cmath
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..base import dtypes
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..creation import as_tensor
from ..functional import isclose

# dtype -> (rtol, atol); 0 for the others
_TOLERANCES: dict[Any, tuple[float, float]] = {
    dtypes.float16: (1e-3, 1e-5),
    dtypes.bfloat16: (1.6e-2, 1e-5),
    dtypes.float32: (1.3e-6, 1e-5),
    dtypes.float64: (1e-7, 1e-7),
    dtypes.complex64: (1.3e-6, 1e-5),
    dtypes.complex128: (1e-7, 1e-7),
}
_NUMBERS = {int: dtypes.int64, float: dtypes.float64, complex: dtypes.complex128}


class _Different(Exception):
    """A difference at a place inside the containers."""

    def __init__(self, error: type[Exception], text: str, place: tuple, structural: bool = True):
        super().__init__(text)
        self.error, self.text, self.structural = error, text, structural
        if place:
            at = "".join(str([item]) for item in place)
            self.text += f"\n\nThe failure occurred for item {at}"


class _Options(NamedTuple):
    allow_subclasses: bool
    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool

    def tolerances(self, place: tuple, *kinds: Any) -> tuple[float, float]:
        if (self.rtol is None) != (self.atol is None):
            raise _Different(
                ValueError,
                "Both 'rtol' and 'atol' must be either specified or omitted, but got no "
                f"{'rtol' if self.rtol is None else 'atol'}.",
                place,
            )
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        pairs = [_TOLERANCES.get(d, (0.0, 0.0)) for d in kinds]
        return max(r for r, _ in pairs), max(a for _, a in pairs)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere.

    actual, expected: tensors, numbers, numpy arrays, None, and sequences and mappings of them.
    rtol and atol: both or neither (ValueError); by default they follow the dtypes, 0 for integers.
    msg: another text, or a function of the text. TypeError for values that cannot be compared.
    https://docs.pytorch.org/docs/stable/testing.html#torch.testing.assert_close"""
    options = _Options(
        allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout,
        check_stride,
    )  # fmt: skip
    found: _Different | None = None
    try:
        pairs = list(_pairs(actual, expected, ()))
        with no_grad():
            for a, b, place in pairs:
                _compare(a, b, place, options)
    except _Different as difference:
        found = difference
    if found is None:
        return
    text = found.text
    if msg is not None and not found.structural:  # what cannot be compared keeps its text
        text = msg(text) if callable(msg) else msg
    raise found.error(text)


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """assert_close that looks at values alone; deprecated."""
    warnings.warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a "
        "future release. Please use `torch.testing.assert_close()` instead.",
        FutureWarning,
        stacklevel=2,
    )
    both = [as_tensor(x) for x in (actual, expected)]
    if rtol is None and atol is None:
        pairs = [_TOLERANCES.get(t.dtype, (0.0, 0.0)) for t in both]
        rtol, atol = max(r for r, _ in pairs), max(a for _, a in pairs)
    assert_close(
        *both,
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_device=True,
        check_dtype=False,
        check_stride=False,
        msg=msg or None,
    )


def _pairs(actual: Any, expected: Any, place: tuple) -> Iterator[tuple]:
    """The values inside two containers, side by side, with their places."""
    both = (actual, expected)
    if all(isinstance(x, Sequence) and not isinstance(x, str) for x in both):
        if len(actual) != len(expected):
            raise _Different(
                AssertionError,
                f"The length of the sequences mismatch: {len(actual)} != {len(expected)}",
                place,
            )
        for i in range(len(actual)):
            yield from _pairs(actual[i], expected[i], (*place, i))
    elif all(isinstance(x, Mapping) for x in both):
        missing, more = expected.keys() - actual.keys(), actual.keys() - expected.keys()
        if missing or more:
            raise _Different(
                AssertionError,
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {sorted(missing)}\n"
                f"Additional keys in the actual mapping: {sorted(more)}",
                place,
            )
        keys: Any = list(actual)
        try:
            keys = sorted(keys)
        except TypeError:
            pass
        for key in keys:
            yield from _pairs(actual[key], expected[key], (*place, key))
    else:
        yield actual, expected, place


def _compare(actual: Any, expected: Any, place: tuple, options: _Options) -> None:
    both = (actual, expected)

    def differ(text: str) -> None:
        raise _Different(AssertionError, text, place, False)

    if actual is None or expected is None:
        if actual is not expected:
            differ(f"None mismatch: {actual} is not {expected}")
    elif all(isinstance(x, (bool, np.bool_)) for x in both):
        if bool(actual) is not bool(expected):
            differ(f"Booleans mismatch: {bool(actual)} is not {bool(expected)}")
    elif all(isinstance(x, (int, float, complex, np.number)) for x in both):
        a, b = [x.item() if isinstance(x, np.number) else x for x in both]
        _numbers(a, b, place, options, differ)
    else:
        x, y = _as_tensors(actual, expected, place, options)
        _tensors(x, y, place, options, differ)


def _as_tensors(actual: Any, expected: Any, place: tuple, options: _Options) -> list:
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    if related and (options.allow_subclasses or type(actual) is type(expected)):
        try:
            return [x if isinstance(x, Tensor) else as_tensor(x) for x in (actual, expected)]
        except Exception:  # noqa: BLE001  (whatever the conversion says, they are no tensors)
            pass
    raise _Different(
        TypeError,
        f"No comparison pair was able to handle inputs of type {type(actual)} and "
        f"{type(expected)}.",
        place,
    )


def _numbers(actual: Any, expected: Any, place: tuple, options: _Options, differ: Callable) -> None:
    kinds = [_NUMBERS[next(k for k in _NUMBERS if isinstance(x, k))] for x in (actual, expected)]
    rtol, atol = options.tolerances(place, *kinds)
    if options.check_dtype and type(actual) is not type(expected):
        differ(f"The (d)types do not match: {type(actual)} != {type(expected)}.")
    if actual == expected:
        return
    if options.equal_nan and cmath.isnan(actual) and cmath.isnan(expected):
        return
    distance = abs(actual - expected)
    if cmath.isfinite(distance) and distance <= atol + rtol * abs(expected):
        return
    differ(_scalar_text(actual, expected, rtol, atol))


def _tensors(actual: Any, expected: Any, place: tuple, options: _Options, differ: Callable) -> None:
    rtol, atol = options.tolerances(place, actual.dtype, expected.dtype)

    def attribute(name: str, a: Any, b: Any) -> None:
        if a != b:
            differ(f"The values for attribute '{name}' do not match: {a} != {b}.")

    attribute("shape", actual.shape, expected.shape)
    if options.check_stride:
        attribute("stride()", actual.stride(), expected.stride())
    if options.check_device:
        attribute("device", actual.device, expected.device)
    if options.check_dtype:
        attribute("dtype", actual.dtype, expected.dtype)
    if actual.dtype is not expected.dtype:
        common = dtypes.promote_types(actual.dtype, expected.dtype)
        actual, expected = actual.to(common), expected.to(common)
    if actual.dtype is dtypes.bool_:
        actual, expected = actual.to(dtypes.int64), expected.to(dtypes.int64)
    matches = isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=options.equal_nan)
    if bool(matches.all()):
        return
    if not actual.shape:
        differ(_scalar_text(actual.item(), expected.item(), rtol, atol))
    differ(_tensor_text(actual, expected, matches, rtol, atol))


def _scalar_text(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    distance = abs(actual - expected)
    relative = float("inf") if expected == 0 else distance / abs(expected)
    lines = [
        f"Expected {expected} but got {actual}.",
        f"Absolute difference: {distance}" + _allowed(atol, rtol, atol),
        f"Relative difference: {relative}" + _allowed(rtol, rtol, atol),
    ]
    return _headed("Scalars", lines, rtol, atol)


def _tensor_text(actual: Any, expected: Any, matches: Any, rtol: float, atol: float) -> str:
    total, right = matches.numel(), int(matches.sum())
    wide = [
        t.flatten() if t.dtype.is_floating_point or t.dtype.is_complex
        else t.flatten().to(dtypes.int64)
        for t in (actual, expected)
    ]  # fmt: skip
    distance = (wide[0] - wide[1]).abs().masked_fill(matches.flatten(), 0)
    relative = (distance / wide[1].abs()).masked_fill(matches.flatten(), 0)
    lines = [f"Mismatched elements: {total - right} / {total} ({(total - right) / total:.1%})"]
    for kind, differences, tol in (("absolute", distance, atol), ("relative", relative, rtol)):
        at = int(differences.argmax())
        index = tuple(int(i) for i in np.unravel_index(at, tuple(actual.shape)))
        lines.append(
            f"Greatest {kind} difference: {differences[at].item()} at index {index}"
            + _allowed(tol, rtol, atol)
        )
    return _headed("Tensor-likes", lines, rtol, atol)


def _allowed(tolerance: float, rtol: float, atol: float) -> str:
    return "" if rtol == 0 and atol == 0 else f" (up to {tolerance} allowed)"


def _headed(what: str, lines: list, rtol: float, atol: float) -> str:
    how = "equal" if rtol == 0 and atol == 0 else "close"
    return "\n".join([f"{what} are not {how}!", "", *lines])
