"""Methods and attributes of Tensor that state what it is (device, layout, kind) or make others
like it, and a few in-place forms of their own. `methods.py` copies them onto Tensor. Source:
https://pytorch.org/docs/stable/tensors.html"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import creation, functional, layout, pieces
from .base import dtypes
from .base.dtypes import DType
from .core import inplace
from .core.tensor import Tensor
from .ops import movement, pointwise, random, sample
from .special import polygamma


def _never(name: str, doc: str) -> Any:
    def fact(self: Any) -> bool:
        return False

    fact.__doc__ = doc
    fact.__name__ = name
    return property(fact)


def _refusal(name: str, text: str) -> Any:
    def method(self: Any, *args: Any, **named: Any) -> Any:
        raise RuntimeError(text)

    method.__name__ = name
    method.__doc__ = "Raises RuntimeError: every tensor of graphc is dense and strided."
    return method


class Facts:
    """Bodies of the methods; copied onto Tensor."""

    is_sparse = _never("is_sparse", "False: tensors are strided.")
    is_sparse_csr = _never("is_sparse_csr", "False: tensors are strided.")
    is_quantized = _never("is_quantized", "False.")
    is_meta = _never("is_meta", "False: every tensor has values.")
    is_mkldnn = _never("is_mkldnn", "False.")
    is_nested = _never("is_nested", "False.")
    is_xla = _never("is_xla", "False: tensors are on the CPU.")
    is_xpu = _never("is_xpu", "False: tensors are on the CPU.")
    is_mps = _never("is_mps", "False: tensors are on the CPU.")
    is_ipu = _never("is_ipu", "False: tensors are on the CPU.")
    is_mtia = _never("is_mtia", "False: tensors are on the CPU.")
    is_maia = _never("is_maia", "False: tensors are on the CPU.")
    is_vulkan = _never("is_vulkan", "False: tensors are on the CPU.")

    @property
    def is_cpu(self: Any) -> bool:
        """True: tensors are on the CPU."""
        return True

    @property
    def layout(self: Any) -> Any:
        """`graphc.strided`."""
        return layout.strided

    def is_pinned(self: Any, device: Any = None) -> bool:
        """False: there is no device that pinned memory would serve."""
        return False

    def is_coalesced(self: Any) -> bool:
        """Raises RuntimeError: only sparse tensors are."""
        raise RuntimeError("is_coalesced expected sparse coordinate tensor layout but got Strided")

    def coalesce(self: Any) -> Any:
        """Raises RuntimeError: only sparse tensors can be."""
        raise RuntimeError("coalesce expected sparse coordinate tensor layout but got Strided")

    def dense_dim(self: Any) -> int:
        """The number of axes."""
        return self.ndim

    def to_sparse(self: Any, sparse_dim: int | None = None) -> Any:
        """The elements that are not zero, in coordinate form; see `graphc.sparse`."""
        from .sparse import to_sparse

        return to_sparse(self, sparse_dim)

    to_sparse_coo = to_sparse

    def sparse_dim(self: Any) -> int:
        """0: tensors are strided."""
        return 0

    def to_dense(self: Any, dtype: DType | None = None, *, masked_grad: bool = True) -> Any:
        """The tensor itself: it is dense."""
        return self if dtype is None else self.to(dtype)

    def dim_order(self: Any, ambiguity_check: Any = False) -> tuple:
        """The axes from the outermost in memory to the innermost."""
        strides = self.stride()
        return tuple(sorted(range(self.ndim), key=lambda d: (-strides[d], d)))

    def is_set_to(self: Any, tensor: Any) -> bool:
        """Whether both show the same memory in the same way."""
        return (
            self._storage is tensor._storage
            and self.type_ == tensor.type_
            and (self.storage_offset() == tensor.storage_offset())
        )

    # making others

    def new(self: Any, *args: Any, device: Any = None) -> Any:
        """A tensor of this dtype: empty, of a size, or with the given data."""
        if not args:
            return creation.empty(0, dtype=self.dtype)
        first = args[0]
        if isinstance(first, Tensor):
            return first.to(self.dtype)  # type: ignore[attr-defined]
        if (
            isinstance(first, (list, tuple))
            and type(first).__name__ != "Size"
            or isinstance(first, np.ndarray)
        ):
            return creation.tensor(first, dtype=self.dtype)
        return creation.empty(*args, dtype=self.dtype)

    def new_empty_strided(
        self: Any,
        size: Any,
        stride: Any,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
    ) -> Any:
        """empty_strided() of this dtype."""
        return pieces.empty_strided(
            size, stride, dtype=dtype or self.dtype, requires_grad=requires_grad
        )

    def broadcast_to(self: Any, *size: Any) -> Any:
        """The tensor expanded to size."""
        return self.expand(*size)

    def resize_as_(self: Any, other: Any, memory_format: Any = None) -> Any:
        """Another shape over the same memory: that of other."""
        return self.resize_(tuple(other.shape))

    def prelu(self: Any, weight: Any) -> Any:
        """nn.functional.prelu()."""
        from .nn.functional import prelu

        return prelu(self, weight)

    def xpu(self: Any, device: Any = None, non_blocking: bool = False) -> Any:
        """Raises RuntimeError: there is no such device."""
        raise RuntimeError("PyTorch is not linked with support for xpu devices")

    def as_subclass(self: Any, cls: Any) -> Any:
        """The same memory as an instance of a subclass of Tensor."""
        if not (isinstance(cls, type) and issubclass(cls, Tensor)):
            raise TypeError("cls must be a type (not an instance) and a subclass of Tensor")
        out = movement.view(self, tuple(self.shape)) if self._needs else self.detach()
        out.__class__ = cls
        return out

    def index_reduce(
        self: Any,
        dim: int,
        index: Any,
        source: Any,
        reduce: str,
        *,
        include_self: bool = True,
    ) -> Any:
        """A copy with source combined into the rows that index names."""
        return pieces.index_reduce(self, dim, index, source, reduce, include_self=include_self)

    # arithmetic under other names

    def polygamma(self: Any, n: int) -> Any:
        """The n-th derivative of digamma."""
        return polygamma(n, self)

    def polygamma_(self: Any, n: int) -> Any:
        """In-place version of polygamma()."""
        return inplace.apply_function(lambda x: polygamma(n, x), self, (), {})

    def __div__(self: Any, other: Any) -> Any:
        return functional.div(self, other)

    def __rdiv__(self: Any, other: Any) -> Any:
        return self.reciprocal() * other

    def __idiv__(self: Any, other: Any) -> Any:
        return self.div_(other)

    def __ilshift__(self: Any, other: Any) -> Any:
        return self.bitwise_left_shift_(other)

    def __irshift__(self: Any, other: Any) -> Any:
        return self.bitwise_right_shift_(other)

    def __long__(self: Any) -> int:
        return int(self)

    def __nonzero__(self: Any) -> bool:
        return bool(self)

    # in-place forms of their own

    def fill_diagonal_(self: Any, fill_value: Any, wrap: bool = False) -> Any:
        """The main diagonal becomes one value; wrap: it starts again below square matrices."""
        if self.ndim < 2:
            raise RuntimeError("dimensions must larger than 1")
        if self.ndim > 2 and len(set(self.shape)) > 1:
            raise RuntimeError("all dimensions of input must be of equal length")
        n, m = min(self.shape), self.shape[-1]
        step = sum(self.stride())
        self.as_strided((n,), (step,)).fill_(fill_value)
        if wrap and self.ndim == 2 and self.shape[0] > m + 1:
            for start in range(m + 1, self.shape[0], m + 1):
                self.narrow(0, start, self.shape[0] - start).fill_diagonal_(fill_value)
        return self

    def geometric_(self: Any, p: float, *, generator: Any = None) -> Any:
        """Filled with numbers of trials up to the first success of probability p."""
        if not 0 < p < 1:
            raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
        u = random.rand(tuple(self.shape), dtypes.float64, generator)
        return self.copy_(pointwise.ceil(pointwise.log1p(-u) / math.log1p(-p)).clamp_min(1.0))

    def cauchy_(self: Any, median: float = 0, sigma: float = 1, *, generator: Any = None) -> Any:
        """Filled with numbers of Cauchy's distribution."""
        u = random.rand(tuple(self.shape), dtypes.float64, generator)
        return self.copy_(pointwise.tan((u - 0.5) * math.pi) * sigma + median)

    def log_normal_(self: Any, mean: float = 1, std: float = 2, *, generator: Any = None) -> Any:
        """Filled with exponentials of normal numbers."""
        x = random.randn(tuple(self.shape), dtypes.float64, generator)
        return self.copy_(pointwise.exp(x * std + mean))

    def map_(self: Any, tensor: Any, callable: Any) -> Any:
        """Each element becomes callable(element, tensor's element)."""
        a, b = self.concrete("map_()"), tensor.expand(tuple(self.shape)).concrete("map_()")
        for i in np.ndindex(a.shape):
            a[i] = callable(a[i].item(), b[i].item())
        self._storage.version += 1
        return self

    sparse_mask = _refusal(
        "sparse_mask", "sparse_mask() expects a sparse mask, and tensors are strided here"
    )
    sparse_resize_ = _refusal(
        "sparse_resize_", "sparse_resize_ expected a sparse tensor, but got a strided one"
    )
    int_repr = _refusal("int_repr", "int_repr is only available for quantized tensors")
    crow_indices = _refusal(
        "crow_indices",
        "crow_indices expected sparse row compressed tensor layout but got Strided",
    )
    col_indices = _refusal(
        "col_indices", "col_indices expected sparse row compressed tensor layout but got Strided"
    )
    ccol_indices = _refusal(
        "ccol_indices",
        "ccol_indices expected sparse column compressed tensor layout but got Strided",
    )
    row_indices = _refusal(
        "row_indices",
        "row_indices expected sparse column compressed tensor layout but got Strided",
    )


def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """Numbers of Poisson's distribution of rates input."""
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"poisson_cpu\" not implemented for '{input.dtype.title}'")
    rates = input._array
    if rates is not None and rates.size and rates.min() < 0:
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return sample.poisson(input, sample.words(tuple(input.shape), generator))


def binomial(count: Tensor, prob: Tensor, generator: Any = None) -> Tensor:
    """Numbers of successes among count trials of probability prob."""
    if not count.dtype.is_floating_point:
        raise NotImplementedError(f"\"binomial_cpu\" not implemented for '{count.dtype.title}'")
    return sample.binomial(count, prob, sample.words(tuple(count.shape), generator))


def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """input with the shape of another tensor, over the same memory."""
    return input.resize_(tuple(the_template.shape))  # type: ignore[attr-defined]


def constant_pad_nd(input: Tensor, pad: Any, value: Any = 0) -> Tensor:
    """input with `value` around it: pad counts from the last axis, (before, after) each."""
    from .nn.functional import pad as padded

    return padded(input, tuple(pad), "constant", value)


def set_default_tensor_type(t: Any) -> None:
    """The default dtype from a tensor type: `torch.FloatTensor` or its name."""
    name = t if isinstance(t, str) else t.__name__
    kind = name.rsplit(".", 1)[-1].removesuffix("Tensor")
    found = next((d for d in dtypes.ALL if d.title == kind and d.is_floating_point), None)
    if found is None:
        raise TypeError("only floating-point types are supported as the default type")
    dtypes.set_default_dtype(found)


FUNCTIONS = ("poisson", "binomial", "resize_as_", "constant_pad_nd", "set_default_tensor_type")
METHODS = ()
INPLACE = ()
