"""save and load: tensors and plain containers in PyTorch's zip layout, written atomically, checked by CRC-32,
read by an interpreter with a closed list of what may be built. No pickle code is ever executed."""

from .reader import LoadError, load
from .writer import save

__all__ = ["LoadError", "load", "save"]
