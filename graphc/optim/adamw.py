"""AdamW under its module's name; it is Adam with decoupled weight decay."""

from .adam import AdamW

__all__ = ["AdamW"]
