"""Ready parametrizations: weight_norm, spectral_norm, orthogonal.

Takes a module and the name of a parameter, gives the module with the parameter computed from
others. Invariant: names in the state dict are PyTorch's.
https://docs.pytorch.org/docs/stable/nn.html#utilities
"""

from __future__ import annotations

from typing import Any

from ... import linalg
from ...base.dtypes import finfo
from ...core.modes import no_grad
from ...core.tensor import Tensor
from ...creation import eye
from ...linalg_names import geqrf
from ...ops.gather import cat
from .. import functional as F
from ..modules.module import Module
from . import parametrize
from .spectral_norm import as_matrix, default_dim
from .weight_norm import norm_except_dim

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    """weight = g * v / |v|, from (g, v)."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """The parameter as length `original0` times direction `original1`, norms over all axes but
    `dim`. State dicts of the older weight_norm load, too. Salimans & Kingma 2016."""
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: dict, prefix: str, *rest: Any) -> None:
        old = (f"{prefix}{name}_g", f"{prefix}{name}_v")
        if all(k in state_dict for k in old):
            for i, k in enumerate(old):
                new = f"{prefix}parametrizations.{name}.original{i}"
                state_dict[new] = state_dict.pop(k)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    """weight / its largest singular value; the singular vectors are buffers."""

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        n = weight.ndim
        if dim >= n or dim < -n:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{n}, {n - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.dim = dim if dim >= 0 else dim + n
        self.eps = eps
        if n > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight.detach(), self.dim)
            rows, cols = matrix.shape
            u = matrix.new_empty(rows).normal_(0, 1)
            v = matrix.new_empty(cols).normal_(0, 1)
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
            self._power_method(matrix, 15)

    def _power_method(self, matrix: Tensor, n: int) -> None:
        with no_grad():
            for _ in range(n):
                self._u.copy_(F.normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(F.normalize(matrix.t() @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix.detach(), self.n_power_iterations)
        # later iterations change the buffers in place
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix @ v)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value  # a weight whose norm is 1 stays what it is


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """The parameter divided by its largest singular value, found by power iteration. dim: the axis
    of the outputs. ValueError if the module has no such parameter. Miyato et al. 2018."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    dim = default_dim(module) if dim is None else dim
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return parametrize.register_parametrization(module, name, made)


class _Orthogonal(Module):
    """Matrices with orthonormal columns (or rows, when they are wide) from arbitrary ones.

    "matrix_exp" and "cayley" map the skew-symmetric matrix of the lower triangle, "householder"
    multiplies reflections. With use_trivialization the result is `base` times that, so that any
    orthogonal matrix can be assigned. Lezcano-Casado & Martinez-Rubio 2019."""

    def __init__(
        self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True
    ) -> None:
        super().__init__()
        if weight.dtype.is_complex and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        if wide:
            x = x.mT
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            a = x.tril(-1)
            tau = 2.0 / (1.0 + (a * a).sum(-2))
            q = linalg.householder_product(a, tau)
            # the diagonal holds signs, which are no parameters
            q = q * x.diagonal(0, -2, -1).int().to(q.dtype).unsqueeze(-2)
        else:
            x = x.tril()
            if n != k:
                x = cat([x, x.new_zeros(*x.shape[:-1], n - k)], -1)
            a = x - (x.mH if x.dtype.is_complex else x.mT)
            if self.orthogonal_map == "matrix_exp":
                q = linalg.matrix_exp(a)
            else:
                one = eye(n, dtype=a.dtype)
                q = linalg.solve(one - a * 0.5, one + a * 0.5)
            q = q[..., :k] if n != k else q
        base = self._buffers.get("base")
        if base is not None:
            q = base @ q
        return q.mT if wide else q

    def right_inverse(self, q: Any) -> Tensor:
        if q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of "
                f"shape {q.shape}."
            )
        given = q
        wide = q.shape[-2] < q.shape[-1]
        if wide:
            q = q.mT
        n, k = q.shape[-2:]
        if "base" not in self._buffers:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley "
                    "parametrizations when use_trivialization=False."
                )
            a, tau = geqrf(q)
            signs = a.diagonal(0, -2, -1).sign()
            signs = signs * (1 - 2 * (tau == 0).to(signs.dtype))
            a = a.tril(-1) + a.triu(1) + signs.unsqueeze(-2) * eye(n, k, dtype=a.dtype)
            return a.mT if wide else a
        if n == k:
            base = q.clone() if _is_orthogonal(q) else _orthonormal(q)
        else:  # made square by random columns
            rest = q.new_empty(*q.shape[:-2], n, n - k).normal_()
            base = _orthonormal(cat([q, rest], -1))
        self.base = base
        one = eye(*given.shape[-2:], dtype=given.dtype)
        return (given * 0 - one).contiguous()


def _is_orthogonal(q: Any) -> bool:
    k = q.shape[-1]
    one = eye(k, dtype=q.dtype)
    near = 10.0 * k * finfo(q.dtype).eps
    return bool(((q.mH if q.dtype.is_complex else q.mT) @ q - one).abs().max() <= near)


def _orthonormal(a: Tensor) -> Tensor:
    """The orthogonal factor whose triangular one has a positive diagonal."""
    packed, tau = geqrf(a)
    q = linalg.householder_product(packed, tau)
    return q * packed.diagonal(0, -2, -1).sgn().unsqueeze(-2)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """The parameter as a matrix (or batch) with orthonormal columns, or rows when it is wide.

    orthogonal_map: "matrix_exp" (the default for square ones), "cayley" or "householder". Without
    use_trivialization the first two cannot be assigned to. ValueError for unknown names and maps
    and for vectors."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1] or weight.dtype.is_complex
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: '
            f"{orthogonal_map}"
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)
