"""Devices: `device("cpu")` objects, the default device, and the one check that names what is
missing for the others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn


class device:
    """Where a tensor lives, as `torch.device`: type and index. As a region, the default device."""

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None):
        if isinstance(type, device):
            type, index = type.type, type.index
        if isinstance(type, int):
            raise RuntimeError("Cannot access accelerator device when none is available.")
        name, _, number = str(type).partition(":")
        if name not in _KINDS:
            raise RuntimeError(
                "Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, "
                "fpga, maia, xla, lazy, vulkan, mps, meta, hpu, mtia, privateuseone device type "
                f"at start of device string: {name}"
            )
        if index is not None and index < 0:
            raise RuntimeError("Device index must not be negative")
        self.type = name
        self.index = int(number) if number else index

    def __repr__(self) -> str:
        at = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{at})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __enter__(self) -> device:
        _default.append(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        _default.pop()

    def __call__(self, func: Callable) -> Callable:
        @functools.wraps(func)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return within

    def __reduce__(self) -> tuple:
        return (device, (self.type, self.index))


_KINDS = ("cpu", "cuda", "mps", "xpu", "meta")
CPU = device("cpu")
_default: list[device] = [CPU]


def no_cuda() -> NoReturn:
    """AssertionError, as a PyTorch without CUDA."""
    raise AssertionError("Torch not compiled with CUDA enabled")


def known_device(text: str) -> bool:
    """Whether a text names a device, with a number after a colon or without."""
    name, colon, number = text.partition(":")
    return name in _KINDS and (number.isdigit() if colon else True)


def check_device(d: Any) -> None:
    """RuntimeError (for CUDA AssertionError), saying what is missing, for any device but the
    CPU. None: the default device."""
    if d is None:
        d = _default[-1]
    if d is CPU:
        return
    kind = device(d).type
    if kind == "cuda":
        no_cuda()
    if kind != "cpu":
        raise RuntimeError(f'device {kind!r} is not supported by graphc; use "cpu"')


def set_default_device(device: Any) -> None:
    """The device of tensors that are made without one; None: the CPU. Another one raises when a
    tensor is made."""
    _default[0] = CPU if device is None else _device(device)


def get_default_device() -> device:
    """The device of tensors that are made without one."""
    return _default[-1]


_device = device
