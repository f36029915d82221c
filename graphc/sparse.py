"""Sparse tensors in coordinate form: takes places and values, gives products with dense tensors,
sums, copies in other forms. Everything is written in ops on the values, so it differentiates twice
and is captured like any program.

Invariant: a `SparseTensor` is no `Tensor`: an op that does not know it refuses it. Entries of one
place are added up. All dimensions are sparse. Source: https://pytorch.org/docs/stable/sparse.html
"""

from __future__ import annotations

from typing import Any

from . import creation, functional
from .base.dtypes import DType
from .core.tensor import Size, Tensor
from .layout import sparse_coo

__all__ = ["addmm", "mm", "sum"]


def _on_values(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> SparseTensor:
        return self._with(getattr(self._entries, name)(*args, **kwargs))

    method.__name__, method.__doc__ = name, f"The entries by `Tensor.{name}`."
    return method


class SparseTensor:
    """Entries `values[k]` at `indices[:, k]` of a tensor of `size`; made by
    `graphc.sparse_coo_tensor` and `Tensor.to_sparse`."""

    __slots__ = ("_places", "_entries", "shape", "_unique", "__weakref__")
    is_sparse = True
    layout = sparse_coo

    def __init__(self, indices: Tensor, values: Tensor, shape: Size, unique: bool = False):
        self._places, self._entries, self.shape, self._unique = indices, values, shape, unique

    def _with(self, values: Tensor) -> SparseTensor:
        return SparseTensor(self._places, values, self.shape, self._unique)

    # ------------------------------------------------------------ facts

    dtype = property(lambda self: self._entries.dtype)
    device = property(lambda self: self._entries.device)
    requires_grad = property(lambda self: self._entries.requires_grad)
    is_leaf = property(lambda self: self._entries.is_leaf)
    grad_fn = property(lambda self: self._entries.grad_fn)
    ndim = property(lambda self: len(self.shape))
    T = property(lambda self: self.t())

    @property
    def grad(self) -> SparseTensor | None:
        """The gradient of a leaf's entries, at its places."""
        found = self._entries.grad
        return None if found is None else self._with(found)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """How many dimensions there are."""
        return len(self.shape)

    sparse_dim = dim

    def dense_dim(self) -> int:
        """0: every dimension is sparse."""
        return 0

    def numel(self) -> int:
        """How many elements the dense tensor would have."""
        return self.shape.numel()

    def _nnz(self) -> int:
        return self._entries.shape[0]

    def __len__(self) -> int:
        return self.shape[0]

    def is_coalesced(self) -> bool:
        """Whether the places are known to be sorted and different."""
        return self._unique

    def _indices(self) -> Tensor:
        return self._places

    def _values(self) -> Tensor:
        return self._entries

    def indices(self) -> Tensor:
        """The places, int64 [dims, nnz]. RuntimeError before `coalesce()`."""
        return self._settled("indices")._places

    def values(self) -> Tensor:
        """The entries, [nnz]. RuntimeError before `coalesce()`."""
        return self._settled("values")._entries

    def _settled(self, what: str) -> SparseTensor:
        if not self._unique:
            raise RuntimeError(
                f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first"
            )
        return self

    # ------------------------------------------------------------ other forms

    def coalesce(self) -> SparseTensor:
        """The same tensor with its places in order, entries of one place added up."""
        if self._unique:
            return self
        flat = self._flat()
        found, at = flat.unique(return_inverse=True)
        values = self._entries.new_zeros(found.shape).index_add(0, at, self._entries)
        places = []
        for n in reversed(self.shape):
            places.append(found % n)
            found = found.div(n, rounding_mode="floor")
        return SparseTensor(functional.stack(places[::-1]), values, self.shape, True)

    def _flat(self) -> Tensor:
        """Each place as a row-major number."""
        flat = self._places.new_zeros(self._nnz())
        for n, at in zip(self.shape, self._places):
            flat = flat * n + at
        return flat

    def to_dense(self, dtype: DType | None = None) -> Tensor:
        """The strided tensor."""
        values = self._entries if dtype is None else self._entries.to(dtype)
        whole = values.new_zeros(self.numel())
        return whole.index_add(0, self._flat(), values).reshape(self.shape)

    def to_sparse(self) -> SparseTensor:
        """Itself."""
        return self

    to_sparse_coo = to_sparse

    def t(self) -> SparseTensor:
        """A matrix with its dimensions exchanged."""
        if len(self.shape) > 2:
            raise RuntimeError(
                "t() expects a tensor with <= 2 sparse and 0 dense dimensions, "
                f"but got {len(self.shape)} sparse and 0 dense dimensions"
            )
        return self if len(self.shape) < 2 else self.transpose(0, 1)

    def transpose(self, dim0: int, dim1: int) -> SparseTensor:
        """Two dimensions exchanged."""
        order = list(range(len(self.shape)))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        shape = Size(self.shape[d] for d in order)
        return SparseTensor(self._places[order], self._entries, shape)

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """The entries by `Tensor.to`."""
        return self._with(self._entries.to(*args, **kwargs))

    float, double, half = _on_values("float"), _on_values("double"), _on_values("half")
    cpu, detach, clone = _on_values("cpu"), _on_values("detach"), _on_values("clone")
    __neg__ = _on_values("__neg__")

    def requires_grad_(self, requires_grad: bool = True) -> SparseTensor:
        """Whether gradients of the entries are recorded."""
        self._entries.requires_grad_(requires_grad)
        return self

    # ------------------------------------------------------------ arithmetic

    def _product(self, other: Any) -> Tensor:
        """Called by `graphc.mm` and `graphc.matmul`."""
        return _multiply(self, other)

    def mm(self, mat2: Tensor) -> Tensor:
        """[M, K] x dense [K, N] -> dense [M, N]."""
        return mm(self, mat2)

    def matmul(self, other: Tensor) -> Tensor:
        """[M, K] x dense [K, N] or [K] -> dense."""
        return _multiply(self, other)

    __matmul__ = matmul

    def __rmatmul__(self, other: Tensor) -> Tensor:
        return _multiply(self.t(), other.t() if other.dim() > 1 else other).t()

    def __mul__(self, other: Any) -> SparseTensor:
        if isinstance(other, SparseTensor):
            raise TypeError(
                "products of sparse tensors' elements are not available: use to_dense()"
            )
        if isinstance(other, Tensor) and other.dim():
            places = other.broadcast_to(self.shape)[tuple(self._places)]
            return self._with(self._entries * places)
        return self._with(self._entries * other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> SparseTensor:
        return (
            self * (1 / other) if isinstance(other, Tensor) else self._with(self._entries / other)
        )

    def __add__(self, other: Any) -> SparseTensor:
        if not isinstance(other, SparseTensor):
            raise RuntimeError(
                "add(sparse, dense) is not supported. Use add(dense, sparse) instead."
            )
        if self.shape != other.shape:
            raise RuntimeError(
                f"add: expected sizes of 'self' and 'other' to match, but {list(self.shape)} != "
                f"{list(other.shape)}"
            )
        places = functional.cat([self._places, other._places], 1)
        entries = functional.cat([self._entries, other._entries])
        return SparseTensor(places, entries, self.shape).coalesce()

    def __radd__(self, other: Tensor) -> Tensor:
        return other + self.to_dense()

    def sum(self, dim: Any = None, dtype: DType | None = None) -> Any:
        """The sum of all entries, or of a dimension's; see `graphc.sparse.sum`."""
        return sum(self, dim, dtype)

    def __repr__(self) -> str:
        head = "tensor(indices="
        places = repr(self._places.detach()).replace("\n", "\n" + " " * len(head))
        values = repr(self._entries.detach()).replace("\n", "\n" + " " * 7)
        values, _, kind = values.partition(", dtype=")
        more = f", dtype={kind[:-1]}" if kind else ""
        end = ")" if kind else ""
        grad = ", requires_grad=True" if self.requires_grad else ""
        return (
            f"{head}{places},\n       values={values}{end},\n       size={tuple(self.shape)}, "
            f"nnz={self._nnz()}{more}, layout=torch.sparse_coo{grad})"
        )


def sparse_coo_tensor(
    indices: Any,
    values: Any = None,
    size: Any = None,
    *,
    dtype: DType | None = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
) -> SparseTensor:
    """A sparse tensor of `values` [nnz] at `indices` [dims, nnz]; of `size`, or just large enough.

    Gradients reach `values` where it is a tensor that records them; `requires_grad` makes a leaf
    of its own. Raises RuntimeError for indices outside `size` or negative, for numbers of entries
    that disagree, and for values of more than one dimension.
    """
    if values is None:
        shape = Size(indices if size is None else size)
        places = creation.zeros((len(shape), 0), dtype=creation.tensor([0]).dtype)
        return SparseTensor(places, creation.zeros(0, dtype=dtype), shape)
    places = indices if isinstance(indices, Tensor) else creation.tensor(indices)
    places = places.to(creation.tensor([0]).dtype)
    entries = values if isinstance(values, Tensor) else creation.tensor(values, dtype=dtype)
    entries = entries if dtype is None else entries.to(dtype)
    if requires_grad:
        entries = entries.detach().clone().requires_grad_()
    if places.dim() != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(places.shape)}")
    dims, nnz = places.shape
    if entries.dim() != 1:
        raise RuntimeError(f"values must have one dimension here, but got: {list(entries.shape)}")
    if entries.shape[0] != nnz:
        raise RuntimeError(
            "indices and values must have same nnz, but got nnz from indices: "
            f"{nnz}, nnz from values: {entries.shape[0]}"
        )
    if size is not None and len(size) != dims:
        raise RuntimeError(
            "'len(size) == sparse_dim + dense_dim' is not satisfied: "
            f"len(size) = {len(size)}, sparse_dim = {dims}, dense_dim = 0"
        )
    least = places.amin(1).tolist() if nnz else [0] * dims
    most = places.amax(1).tolist() if nnz else [-1] * dims
    for d in range(dims):
        if least[d] < 0:
            raise RuntimeError(f"found negative index {least[d]} for dim {d}")
        if size is not None and most[d] >= size[d]:
            raise RuntimeError(
                f"size is inconsistent with indices: for dim {d}, size is {size[d]} "
                f"but found index {most[d]}"
            )
    shape = Size(size if size is not None else [m + 1 for m in most])
    return SparseTensor(places, entries, shape, bool(is_coalesced))


def to_sparse(self: Tensor, sparse_dim: int | None = None) -> SparseTensor:
    """The elements that are not zero, as a sparse tensor; gradients reach `self`."""
    if sparse_dim not in (None, self.dim()):
        raise RuntimeError("sparse tensors have no dense dimensions here: leave sparse_dim out")
    places = self.detach().nonzero()
    return SparseTensor(places.t(), self[tuple(places.t())], Size(self.shape), True)


def _multiply(mat1: SparseTensor, mat2: Any) -> Tensor:
    """Each entry times a row of `mat2`, added at its own row in the order of the entries."""
    if not isinstance(mat2, Tensor):
        raise TypeError(f"a sparse matrix multiplies dense tensors, got {type(mat2).__name__}")
    if len(mat1.shape) != 2 or mat2.dim() not in (1, 2):
        raise RuntimeError(
            f"sparse products take matrices, got {len(mat1.shape)}-D and {mat2.dim()}-D tensors"
        )
    if mat1.shape[1] != mat2.shape[0]:
        raise RuntimeError(
            f"addmm: Argument #3 (dense): Expected dim 0 size {mat1.shape[1]}, got {mat2.shape[0]}"
        )
    if mat1.dtype is not mat2.dtype:
        raise RuntimeError(f"expected scalar type {mat1.dtype.title} but found {mat2.dtype.title}")
    row, column = mat1._places
    entries = mat1._entries if mat2.dim() == 1 else mat1._entries.unsqueeze(1)
    whole = mat2.new_zeros((mat1.shape[0], *mat2.shape[1:]))
    return whole.index_add(0, row, entries * mat2.index_select(0, column))


def mm(mat1: Any, mat2: Any, reduce: str = "sum") -> Tensor:
    """[M, K] x [K, N] -> dense [M, N]; `mat1` sparse or dense. TypeError for a sparse `mat2`."""
    if reduce != "sum":
        raise RuntimeError(f"sparse products add up: reduce={reduce!r} is not available")
    if isinstance(mat1, SparseTensor):
        if isinstance(mat2, Tensor) and mat2.dim() != 2:
            raise RuntimeError(
                f"addmm: 2-D matrices expected, got {len(mat1.shape)}D and {mat2.dim()}D tensors"
            )
        return _multiply(mat1, mat2)
    return functional.mm(mat1, mat2)


spmm = mm


def addmm(input: Tensor, mat1: Any, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2), `mat1` sparse or dense."""
    return input * beta + mm(mat1, mat2) * alpha


def sum(input: SparseTensor, dim: Any = None, dtype: DType | None = None) -> Any:
    """The sum of all entries (dense, 0-d), or over dimensions (sparse; dense if none is left).
    IndexError for a dimension out of range."""
    values = input._entries if dtype is None else input._entries.to(dtype)
    if dim is None:
        return values.sum()
    rank = len(input.shape)
    gone = set()
    for d in (dim,) if isinstance(dim, int) else dim:
        if not -rank <= d < rank:
            raise IndexError(
                "Dimension out of range (expected to be in range of "
                f"[{-rank}, {rank - 1}], but got {d})"
            )
        gone.add(d % rank)
    kept = [d for d in range(rank) if d not in gone]
    if not kept:
        return values.sum()
    shape = Size(input.shape[d] for d in kept)
    return SparseTensor(input._places[kept], values, shape).coalesce()
