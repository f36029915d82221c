"""ChannelShuffle under PyTorch's module path; it lives in pixelshuffle.py."""

from .pixelshuffle import ChannelShuffle

__all__ = ["ChannelShuffle"]
