"""skip_init: a module whose parameters' values are left open."""

from __future__ import annotations

import inspect
from typing import Any

from ...core.rng import default_generator
from ..modules.module import Module


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """module_cls(*args, **kwargs) for a caller who fills the parameters: their values are whatever
    they are, and no random numbers are used up. RuntimeError for what is no Module or takes no
    `device`. https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.skip_init.html"""
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    state = default_generator.state_words()
    try:
        return module_cls(*args, **kwargs)
    finally:
        default_generator.set_state_words(*state)
