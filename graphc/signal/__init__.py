"""`graphc.signal`: window functions. https://pytorch.org/docs/stable/signal.html"""

from . import windows

__all__ = ["windows"]
