"""Memory formats: the orders in which the axes of a tensor may lie in memory.

Takes a shape and a format, gives strides. Invariant: there are four formats, compared by identity.
https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.memory_format
"""

from __future__ import annotations

from typing import Any


class memory_format:  # noqa: N801  (PyTorch's name)
    """One of contiguous_format, preserve_format, channels_last, channels_last_3d."""

    __slots__ = ("name", "axes")

    name: str
    axes: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("cannot create 'torch.memory_format' instances")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def __copy__(self) -> memory_format:
        return self

    def __deepcopy__(self, memo: dict) -> memory_format:
        return self


def _make(name: str, axes: int = 0) -> memory_format:
    out = object.__new__(memory_format)
    out.name, out.axes = name, axes
    return out


contiguous_format = _make("contiguous_format")
preserve_format = _make("preserve_format")
channels_last = _make("channels_last", 4)
channels_last_3d = _make("channels_last_3d", 5)


def check(name: str, found: Any) -> memory_format | None:
    """`found` when it is a format or None; PyTorch's TypeError otherwise."""
    if found is None or isinstance(found, memory_format):
        return found
    raise TypeError(f"{name}(): argument 'memory_format' must be torch.memory_format, not "
                    f"{type(found).__name__}")  # fmt: skip


def channel_strides(shape: tuple, chosen: memory_format) -> tuple:
    """Strides with the channels innermost. RuntimeError for another number of axes."""
    if len(shape) != chosen.axes:
        raise RuntimeError(f"required rank {chosen.axes} tensor to use {chosen.name} format")
    out: list = [0] * len(shape)
    step: Any = 1
    for axis in (1, *range(len(shape) - 1, 1, -1), 0):
        out[axis] = step
        step = step * (1 if shape[axis] == 0 else shape[axis])
    return tuple(out)


def suggested(shape: tuple, strides: tuple) -> memory_format | None:
    """The channels-last format that strides show, or None; where sizes of 1 leave it open, None."""
    chosen = {4: channels_last, 5: channels_last_3d}.get(len(shape))
    if chosen is None or strides[1] == 0:
        return None
    least: Any = 0
    for axis in (1, *range(len(shape) - 1, 1, -1), 0):
        if shape[axis] == 0 or strides[axis] < least:
            return None
        if axis == 0 and least == strides[1]:
            return None
        least = strides[axis]
        if shape[axis] > 1:
            least = least * shape[axis]
    return chosen
