"""Exchange of memory with other array libraries by DLPack: takes tensors and gives capsules, and
the other way. Invariant: nothing is copied unless copy=True says so.
Source: https://dmlc.github.io/dlpack/latest and
https://pytorch.org/docs/stable/dlpack.html"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from .base import dtypes
from .base.dtypes import from_numpy_dtype
from .core.tensor import Tensor, wrap
from .device import check_device
from .ops.movement import strided

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]


class DLDeviceType(enum.IntEnum):
    """Kinds of devices in DLPack; graphc's memory is the CPU's."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14


_HOST = (DLDeviceType.kDLCPU, DLDeviceType.kDLCUDAHost, DLDeviceType.kDLROCMHost)


def export(
    t: Tensor,
    *,
    stream: Any = None,
    max_version: tuple | None = None,
    dl_device: tuple | None = None,
    copy: bool | None = None,
) -> Any:
    """t's memory as a DLPack capsule (Tensor.__dlpack__). BufferError for tensors that require a
    gradient, for bfloat16 and for other devices."""
    if t.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if stream is not None and type(stream) is not int:
        raise TypeError("stream must be ``int`` or ``none``")
    if dl_device is not None and int(dl_device[0]) != DLDeviceType.kDLCPU:
        raise BufferError(f"graphc tensors lie in the CPU's memory, not on device {dl_device}")
    if t.dtype is dtypes.bfloat16:
        raise BufferError("numpy, which makes graphc's capsules, has no bfloat16 in DLPack")
    a = t.concrete("__dlpack__()")
    if copy:
        a = a.copy()
    if max_version is None:
        return a.__dlpack__()
    try:
        return a.__dlpack__(max_version=max_version)
    except TypeError:  # numpy before 2.1
        return a.__dlpack__()


def device_of(t: Tensor) -> tuple:
    """(kind of device, its number): Tensor.__dlpack_device__."""
    t.concrete("__dlpack_device__()")
    return DLDeviceType.kDLCPU, 0


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule of tensor's memory, to be used once."""
    return export(tensor)


class _Capsule:
    """A capsule as numpy wants it."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple:
        return (1, 0)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of an object with __dlpack__, or of a capsule.

    copy: True always copies. Raises BufferError for memory on other devices, TypeError for other
    objects."""
    check_device(device)
    if isinstance(ext_tensor, Tensor) and ext_tensor.dtype is dtypes.bfloat16:
        t = ext_tensor.detach()  # type: ignore[attr-defined]
        return t.clone() if copy else t
    capsule = ext_tensor
    if hasattr(ext_tensor, "__dlpack__"):
        kind, number = ext_tensor.__dlpack_device__()
        if int(kind) not in _HOST:
            raise BufferError(
                f"from_dlpack: memory of device ({int(kind)}, {number}) is not the CPU's"
            )
        try:
            capsule = ext_tensor.__dlpack__(max_version=(1, 0))
        except TypeError:  # a producer of the first protocol
            capsule = ext_tensor.__dlpack__()
    elif type(ext_tensor).__name__ != "PyCapsule":
        raise TypeError(
            f"from_dlpack: expected an object with __dlpack__ or a capsule, but got "
            f"{type(ext_tensor).__name__}"
        )
    versioned = '"dltensor_versioned"' in repr(capsule)  # only these can say "read-only"
    a = np.from_dlpack(_Capsule(capsule))
    if not a.flags.writeable and not versioned:
        a = strided(a, a.shape, a.strides)
    if any(s < 0 for s in a.strides):
        a = a.copy()  # tensors have no negative strides
    return wrap(a.copy() if copy else a, from_numpy_dtype(a.dtype))
