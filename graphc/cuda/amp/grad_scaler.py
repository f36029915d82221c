"""torch.cuda.amp.GradScaler, a deprecated name of graphc.amp.GradScaler("cuda")."""

from __future__ import annotations

from ...amp import grad_scaler
from .autocast_mode import _deprecated


class GradScaler(grad_scaler.GradScaler):
    """graphc.amp.GradScaler("cuda", ...), which is disabled without CUDA."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        _deprecated("GradScaler", "torch.amp.GradScaler('cuda', args...)")
        super().__init__(
            "cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )


__all__ = ["GradScaler"]
