"""GradScaler: takes a loss, gives it scaled, so that small float16 gradients do not vanish;
unscales gradients, skips steps whose gradients overflowed, and adapts the scale.

Invariant: the scale is one float32 tensor, which grows and shrinks as in PyTorch. Only step() reads
a value. Source: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.GradScaler
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from enum import Enum
from typing import Any

from ..base.dtypes import float16, float32, float64, int32
from ..core import observe
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..creation import tensor
from ..ops.pointwise import where


class OptState(Enum):
    """What was done with an optimizer since the last update()."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class _Progress:
    """An optimizer's place in the iteration, and whether its gradients overflowed."""

    def __init__(self) -> None:
        self.stage = OptState.READY
        self.found: Any = None


class GradScaler:
    """Scales losses by a factor that shrinks by backoff_factor when gradients are inf or nan (whose
    step is skipped) and grows by growth_factor after growth_interval good steps.

    device: "cpu"; with "cuda", the default, it warns and is disabled here. A disabled scaler passes
    everything through. AssertionError for a growth_factor <= 1 or a backoff_factor >= 1."""

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device, self._enabled = device, enabled
        if enabled and device == "cuda":
            warnings.warn(
                "torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.",
                stacklevel=2,
            )
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale, self._init_growth_tracker = init_scale, 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._scale: Any = None  # made by the first scale()
        self._growth_tracker: Any = None
        self._optimizers: dict[int, _Progress] = {}

    def _checked(self, name: str) -> Any:
        if self._scale is None:
            raise AssertionError(
                f"Attempted {name} but _scale is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )
        return self._scale

    def _progress(self, optimizer: Any) -> _Progress:
        return self._optimizers.setdefault(id(optimizer), _Progress())

    def scale(self, outputs: Any) -> Any:
        """outputs (a tensor, or an iterable of them) times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                with observe.eagerly():
                    self._scale = tensor(float(self._init_scale), dtype=float32)
                    self._growth_tracker = tensor(self._init_growth_tracker, dtype=int32)
            return outputs * self._scale
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divides the optimizer's gradients by the scale, in place; once per step.

        RuntimeError when called twice or after step(), ValueError for float16 gradients."""
        if not self._enabled:
            return
        scale, progress = self._checked("unscale_"), self._progress(optimizer)
        if progress.stage is OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if progress.stage is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        with no_grad():
            inverse = (1 / scale.to(float64)).to(float32)
            progress.found = self._unscale(optimizer, inverse)
        progress.stage = OptState.UNSCALED

    def _unscale(self, optimizer: Any, inverse: Any) -> Any:
        """1.0 where any gradient is inf or nan, as a float32 tensor."""
        found = tensor(0.0)
        for group in optimizer.param_groups:
            for p in group["params"]:
                if not isinstance(p, Tensor):
                    raise AssertionError(
                        f"expected param to be torch.Tensor, got {type(p).__name__}"
                    )
                g: Any = p.grad
                if g is None:
                    continue
                if g.dtype is float16:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                found = where(g.isfinite().all(), found, 1.0)
                g.mul_(inverse)
        return found

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(*args, **kwargs), unless a gradient is inf or nan; unscales first where
        unscale_() was not called. RuntimeError for a closure and for a second call."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._checked("step")
        progress = self._progress(optimizer)
        if progress.stage is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if progress.stage is OptState.READY:
            self.unscale_(optimizer)
        result = None
        if not progress.found.item():
            result = optimizer.step(*args, **kwargs)
        progress.stage = OptState.STEPPED
        return result

    def update(self, new_scale: Any = None) -> None:
        """Adapts the scale to what was found since the last update(), or sets it (a float, or a
        tensor of one element)."""
        if not self._enabled:
            return
        scale = self._checked("update")
        with no_grad():
            if isinstance(new_scale, Tensor):
                if new_scale.numel() != 1 or new_scale.requires_grad:  # type: ignore[attr-defined]
                    raise AssertionError(
                        "new_scale should be a float or a 1-element torch.cuda.FloatTensor or "
                        "torch.FloatTensor with requires_grad=False."
                    )
                scale.copy_(new_scale)
            elif new_scale is not None:
                scale.fill_(new_scale)
            else:
                found = [p.found for p in self._optimizers.values() if p.found is not None]
                if not found:
                    raise AssertionError("No inf checks were recorded prior to update.")
                self._adapt(scale, sum(found[1:], found[0]) != 0)
        self._optimizers = {}

    def _adapt(self, scale: Any, bad: Any) -> None:
        count = self._growth_tracker + 1
        due = count == self._growth_interval
        grown = scale * self._growth_factor
        grown = where(due & grown.isfinite(), grown, scale)
        scale.copy_(where(bad, scale * self._backoff_factor, grown))
        self._growth_tracker.copy_(where(bad | due, 0, count))

    # ---- settings

    def get_scale(self) -> float:
        """The scale as a float; 1.0 when disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        if self._growth_tracker is None:
            return self._init_growth_tracker
        return self._growth_tracker.item()

    def is_enabled(self) -> bool:
        """Whether this scaler scales."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale, its settings and the count of good steps, as Python numbers; empty when
        disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what state_dict() gave. RuntimeError for an empty one, unless disabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled "
                "instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self._enabled:
            if self._optimizers:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning "
                    "of an iteration, or at the end after scaler.update()."
                )
            state["_init_scale"] = self.get_scale()
            state["_init_growth_tracker"] = self._get_growth_tracker()
            state["_scale"] = state["_growth_tracker"] = None
        return state


__all__ = ["GradScaler", "OptState"]
