"""PyTorch values as graphc's and both as numpy's: tensors keep values, dtype, strides, offset and
shared memory (one memory per storage of one conversion); dtypes, devices, sizes and containers
become their twins; everything else passes through.

Invariant: `Twins` never lets the two libraries share memory, so an in-place call on one side cannot
hide a missing one on the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import graphc

BITS = {torch.bfloat16: torch.int16}


def dtype_twin(dtype: torch.dtype) -> Any:
    """The dtype of the same name."""
    return getattr(graphc, str(dtype).removeprefix("torch."))


def dtype_name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


class NoTwin(Exception):
    """A tensor of another device than the CPU, or of too many dimensions for numpy."""


class Twins:
    """One conversion: tensors that share memory share it afterwards too."""

    def __init__(self) -> None:
        self.storages: dict[int, Any] = {}
        self.tensors: dict[int, Any] = {}
        self.keep: list[Any] = []

    def tensor(self, t: torch.Tensor) -> Any:
        if id(t) in self.tensors:
            return self.tensors[id(t)]
        if t.device.type != "cpu" or t.ndim > 64:  # numpy's limit
            raise NoTwin(f"graphc has no {t.ndim}-d tensors on {t.device}")
        plain = t.detach().resolve_conj().resolve_neg()
        flat = torch.empty(0, dtype=plain.dtype).set_(plain.untyped_storage())
        key = (plain.untyped_storage()._cdata, plain.dtype)
        if key not in self.storages:
            flat = flat.clone()  # .numpy() would pin the size of the sample's own storage
            if plain.dtype in BITS:
                bits = flat.view(BITS[plain.dtype]).numpy()
                whole = graphc.from_numpy(bits).view(dtype_twin(plain.dtype))
            else:
                whole = graphc.from_numpy(flat.numpy())
            self.storages[key] = whole
        whole = self.storages[key]
        twin = whole.as_strided(tuple(plain.shape), tuple(plain.stride()), plain.storage_offset())
        if not t.requires_grad:
            twin = twin.detach()
        else:
            twin = twin.detach().requires_grad_(True)
        self.tensors[id(t)] = twin
        self.keep.append(t)
        return twin

    def __call__(self, x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return self.tensor(x)
        if isinstance(x, torch.dtype):
            return dtype_twin(x)
        if isinstance(x, torch.device):
            return graphc.device(str(x))
        if isinstance(x, torch.Size):
            return graphc.Size(tuple(x))
        if isinstance(x, torch.memory_format):
            return getattr(graphc, str(x).removeprefix("torch."))
        if isinstance(x, torch.layout):
            return getattr(graphc, str(x).removeprefix("torch."))
        if isinstance(x, tuple) and hasattr(x, "_fields"):
            return type(x)(*(self(v) for v in x))
        if isinstance(x, (list, tuple)):
            return type(x)(self(v) for v in x)
        if isinstance(x, dict):
            return {k: self(v) for k, v in x.items()}
        if isinstance(x, slice):
            return slice(self(x.start), self(x.stop), self(x.step))
        return x


def array(t: Any) -> np.ndarray:
    """A tensor of either library as a numpy array; bfloat16 as float32."""
    t = t.detach()
    if dtype_name(t.dtype) == "bfloat16":
        t = t.float()
    return t.numpy(force=True)  # also of PyTorch's lazy conjugates and zeros


def is_tensor(x: Any) -> bool:
    return isinstance(x, (torch.Tensor, graphc.Tensor))


def tensors(x: Any) -> list[Any]:
    """The tensors of a nested value, in order."""
    if is_tensor(x):
        return [x]
    if isinstance(x, dict):
        return [t for v in x.values() for t in tensors(v)]
    if isinstance(x, (list, tuple)):
        return [t for v in x for t in tensors(v)]
    return []
