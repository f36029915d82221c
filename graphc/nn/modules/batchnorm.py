"""BatchNorm and InstanceNorm layers, with running statistics as buffers.

Invariant: running_var takes the unbiased variance, the normalisation itself the biased one.
https://docs.pytorch.org/docs/stable/nn.html#normalization-layers
"""

from __future__ import annotations

from typing import Any

from ...base.dtypes import int64
from ...core.modes import no_grad
from ...core.tensor import Tensor
from ...creation import empty, ones, tensor, zeros
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module


class _NormBase(Module):
    """Affine parameters and running statistics per channel."""

    _version = 2

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
                 affine: bool = True, track_running_stats: bool = True, device: Any = None,
                 dtype: Any = None, *, bias: bool = True) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name, wanted in (("weight", True), ("bias", bias)):
            if affine and wanted:
                setattr(self, name, Parameter(empty(num_features, device=device, dtype=dtype)))
            else:
                self.register_parameter(name, None)
        stats: dict = dict.fromkeys(("running_mean", "running_var", "num_batches_tracked"))
        if track_running_stats:
            stats = {"running_mean": zeros(num_features, device=device, dtype=dtype),
                     "running_var": ones(num_features, device=device, dtype=dtype),
                     "num_batches_tracked": tensor(0, dtype=int64, device=device)}
        for name, value in stats.items():
            self.register_buffer(name, value)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Running mean to 0, variance to 1, count to 0."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Resets the statistics, weight to ones, bias to zeros."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not say which inputs it takes")

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, "
                f"track_running_stats={self.track_running_stats}")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: dict,
                              *rest: Any) -> None:
        version = local_metadata.get("version")
        key = prefix + "num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            tracked = self.num_batches_tracked      # older files have no counter
            state_dict[key] = tracked if tracked is not None else tensor(0, dtype=int64)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class _BatchNorm(_NormBase):
    def _momentum(self) -> Any:
        """The factor of this step's update, a number or a 0-d tensor; counts the batch."""
        if not (self.training and self.track_running_stats):
            return 0.0 if self.momentum is None else self.momentum
        with no_grad():
            self.num_batches_tracked.add_(1)
        if self.momentum is None:       # cumulative average
            return 1.0 / self.num_batches_tracked.to(self.running_mean.dtype)
        return self.momentum

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = self._momentum()
        use_batch = self.training or (self.running_mean is None and self.running_var is None)
        track = not self.training or self.track_running_stats
        return F.batch_norm(input, self.running_mean if track else None,
                            self.running_var if track else None, self.weight, self.bias, use_batch,
                            momentum, self.eps)


def _check_dims(input: Tensor, allowed: tuple[int, ...], text: str) -> None:
    if input.ndim not in allowed:
        raise ValueError(f"expected {text} input (got {input.ndim}D input)")


class BatchNorm1d(_BatchNorm):
    """Normalises the channels of (N, C) or (N, C, L) over the batch."""

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dims(input, (2, 3), "2D or 3D")


class BatchNorm2d(_BatchNorm):
    """Normalises the channels of (N, C, H, W) over the batch."""

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dims(input, (4,), "4D")


class BatchNorm3d(_BatchNorm):
    """Normalises the channels of (N, C, D, H, W) over the batch."""

    def _check_input_dim(self, input: Tensor) -> None:
        _check_dims(input, (5,), "5D")


class SyncBatchNorm(_BatchNorm):
    """BatchNorm over (N, C, *) whose statistics are those of all processes: graphc runs one, so
    they are the batch's.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.SyncBatchNorm.html"""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
                 affine: bool = True, track_running_stats: bool = True, process_group: Any = None,
                 device: Any = None, dtype: Any = None, *, bias: bool = True) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with its BatchNorm layers replaced by SyncBatchNorm with the same state."""
        out = module
        if isinstance(module, _BatchNorm):
            new = cls(module.num_features, module.eps, module.momentum, module.affine,
                      module.track_running_stats, process_group, bias=module.bias is not None)
            for name in ("weight", "bias"):
                setattr(new, name, getattr(module, name))
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                setattr(new, name, getattr(module, name))
            new.training = module.training
            out = new
        for name, child in module.named_children():
            out.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return out


class _InstanceNorm(_NormBase):
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1,
                 affine: bool = False, track_running_stats: bool = False, device: Any = None,
                 dtype: Any = None, *, bias: bool = True) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias=bias)

    _single: int

    def _check_input_dim(self, input: Tensor) -> None:
        n = self._single
        _check_dims(input, (n, n + 1), f"{n}D or {n + 1}D")

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        channel = input.ndim - self._single
        if input.shape[channel] != self.num_features and self.affine:
            raise ValueError(f"expected input's size at dim={channel} to match num_features "
                             f"({self.num_features}), but got: {input.shape[channel]}.")
        batched = input if channel else input.unsqueeze(0)
        out = F.instance_norm(batched, self.running_mean, self.running_var, self.weight, self.bias,
                              self.training or not self.track_running_stats,
                              self.momentum if self.momentum is not None else 0.0, self.eps)
        return out if channel else out.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each sample of (N, C, L) or (C, L)."""

    _single = 2


class InstanceNorm2d(_InstanceNorm):
    """Normalises each channel of each sample of (N, C, H, W) or (C, H, W)."""

    _single = 3


class InstanceNorm3d(_InstanceNorm):
    """Normalises each channel of each sample of (N, C, D, H, W) or (C, D, H, W)."""

    _single = 4
