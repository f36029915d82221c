"""CUDA, which graphc does not have: the questions are answered ("no device"), random seeds are
accepted, and what needs a device raises the error of a PyTorch without CUDA.

Invariant: nothing pretends that a device was used. https://docs.pytorch.org/docs/stable/cuda.html
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NoReturn

from ..base.dtypes import REAL
from ..device import no_cuda
from . import amp

default_generators: tuple = ()
has_half = has_magma = False


# ---------------------------------------------------------------- what can be answered


def is_available() -> bool:
    """False: graphc computes on the CPU."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False: there is no device."""
    return False


def is_tf32_supported() -> bool:
    """False: there is no device."""
    return False


def get_arch_list() -> list:
    """Architectures that kernels exist for: none."""
    return []


def get_gencode_flags() -> str:
    """Compiler flags of those: none."""
    return ""


def manual_seed(seed: int) -> None:
    """Accepted, as PyTorch does; there is no generator to seed. graphc.manual_seed seeds the
    CPU's."""
    int(seed)


def manual_seed_all(seed: int) -> None:
    """As manual_seed."""
    int(seed)


def seed() -> None:
    """Accepted; there is no generator to seed."""


def seed_all() -> None:
    """Accepted; there is no generator to seed."""


def get_rng_state_all() -> list:
    """The states of no generators."""
    return []


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Accepted, as PyTorch does where no device was used yet."""


def set_rng_state_all(new_states: Iterable) -> None:
    """The states of all generators; RuntimeError for more than there are."""
    for state in new_states:
        set_rng_state(state)


def empty_cache() -> None:
    """Nothing is cached."""


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


def memory_reserved(device: Any = None) -> int:
    """0."""
    return 0


def max_memory_reserved(device: Any = None) -> int:
    """0."""
    return 0


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved


def memory_stats(device: Any = None) -> OrderedDict:
    """No figures."""
    return OrderedDict()


def is_current_stream_capturing() -> bool:
    """False: there is no stream."""
    return False


# ---------------------------------------------------------------- what needs a device


def init() -> NoReturn:
    """AssertionError, as all that follows."""
    no_cuda()


def synchronize(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def current_device() -> NoReturn:
    """AssertionError."""
    no_cuda()


def set_device(device: Any) -> None:
    """AssertionError, but for a negative number, which PyTorch takes for "none"."""
    if not isinstance(device, int) or device >= 0:
        no_cuda()


def get_device_name(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def get_device_capability(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def get_device_properties(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def can_device_access_peer(device: Any, peer_device: Any) -> NoReturn:
    """AssertionError."""
    no_cuda()


def reset_peak_memory_stats(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def reset_accumulated_memory_stats(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats


def memory_summary(device: Any = None, abbreviated: bool = False) -> NoReturn:
    """AssertionError."""
    no_cuda()


def memory_snapshot(mempool_id: Any = None, include_traces: bool = True) -> NoReturn:
    """AssertionError."""
    no_cuda()


def mem_get_info(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def memory_usage(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def utilization(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def initial_seed() -> NoReturn:
    """AssertionError."""
    no_cuda()


def get_rng_state(device: Any = "cuda") -> NoReturn:
    """AssertionError."""
    no_cuda()


def ipc_collect() -> NoReturn:
    """AssertionError."""
    no_cuda()


def cudart() -> NoReturn:
    """AssertionError."""
    no_cuda()


def current_stream(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def default_stream(device: Any = None) -> NoReturn:
    """AssertionError."""
    no_cuda()


def set_stream(stream: Any) -> None:
    """Nothing for None, AssertionError for a stream."""
    if stream is not None:
        no_cuda()


class device:
    """A region with another current device: needs one, unless the index is None or negative."""

    def __init__(self, device: Any) -> None:
        self.idx = device if device is None or isinstance(device, int) else 0

    def __enter__(self) -> None:
        if self.idx is not None and self.idx >= 0:
            no_cuda()

    def __exit__(self, *exc: Any) -> None:
        pass


class device_of(device):
    """A region on the device of a tensor: nothing to do for tensors on the CPU."""

    def __init__(self, obj: Any) -> None:
        super().__init__(None)


class StreamContext:
    """A region with another current stream: nothing to do for None."""

    def __init__(self, stream: Any) -> None:
        set_stream(stream)
        self.stream = stream

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: Any) -> None:
        pass


def stream(stream: Any) -> StreamContext:
    """StreamContext(stream)."""
    return StreamContext(stream)


class Stream:
    """A queue of work on a device: RuntimeError, there is none."""

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any) -> None:
        raise RuntimeError("torch.cuda.Stream requires CUDA support")


class Event:
    """A point in a stream: RuntimeError, there is none."""

    def __init__(
        self,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
        external: bool = False,
    ) -> None:
        raise RuntimeError("Tried to instantiate dummy base class Event")


class CUDAGraph:
    """Recorded work: RuntimeError, there is no device that could replay it."""

    def __init__(self, keep_graph: bool = False) -> None:
        raise RuntimeError("Tried to instantiate dummy base class CUDAGraph")


class graph:
    """A region that is recorded: RuntimeError, there is no stream."""

    def __init__(
        self,
        cuda_graph: Any,
        pool: Any = None,
        stream: Any = None,
        capture_error_mode: str = "global",
        enable_annotations: bool = False,
        check_input_liveness: bool = False,
    ) -> None:
        raise RuntimeError("torch.cuda.Stream requires CUDA support")


class OutOfMemoryError(RuntimeError):
    """What a device without memory left raises; never raised here, so that code may catch it."""


class CudaError(RuntimeError):
    """An error of the CUDA runtime; never raised here."""


class _Absent(type):
    """A tensor type that no tensor has and that makes none."""

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"type torch.cuda.{cls.__name__} not available. Torch not compiled with CUDA enabled."
        )


for _d in REAL:
    globals()[_d.title + "Tensor"] = _Absent(
        _d.title + "Tensor",
        (),
        {"__module__": "torch.cuda", "__doc__": f"Tensors of {_d!r} on a device: there are none."},
    )


__all__ = [
    "CUDAGraph",
    "Event",
    "Stream",
    "amp",
    "current_device",
    "device",
    "device_count",
    "empty_cache",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "set_device",
    "stream",
    "synchronize",
]
