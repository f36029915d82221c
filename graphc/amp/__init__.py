"""Automatic mixed precision: autocast and gradient scaling, under PyTorch's names.
https://docs.pytorch.org/docs/stable/amp.html"""

from .autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
