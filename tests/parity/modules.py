"""PyTorch's own module samples (ModuleInfo) under both libraries: a module class in, one Outcome
per sample and kind of check out.

Both modules are built from the same arguments; graphc's takes PyTorch's state_dict; results,
gradients of inputs and parameters, and buffers afterwards are compared in float64, in training and
in evaluation.

Invariant: a module that cannot be built or called counts as failed, one that graphc does not have
as missing."""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_modules import module_db

import graphc

from . import compare
from .convert import Twins, tensors
from .opinfo import Missing, Outcome, attempt, cotangents, failure, lookup, names

MODES = (True, False)
MOST_SAMPLES = 24  # per module and mode, drawn evenly


@functools.cache
def chosen(tier: int = 2) -> dict[str, Any]:
    """The ModuleInfos by PyTorch's public name."""
    found = {}
    for info in module_db:
        name = f"nn.{info.module_cls.__name__}"
        if names().get(name, 9) <= tier or tier > 2:
            found.setdefault(name, info)
    return found


class ModuleTwins(Twins):
    """Arguments of modules may be functions and modules, too."""

    def __call__(self, x: Any) -> Any:
        if isinstance(x, torch.nn.Module):
            return self.module(x)
        if callable(x) and getattr(x, "__module__", "").startswith("torch"):
            room = "nn.functional." if "functional" in x.__module__ or "_nn" in x.__module__ else ""
            return lookup(room + x.__name__)
        return super().__call__(x)

    def module(self, x: torch.nn.Module) -> Any:
        """A twin of a whole module: built by pickling's way, then given the same members."""
        cls = lookup(f"nn.{type(x).__name__}")
        made = cls.__new__(cls)
        graphc.nn.Module.__init__(made)
        for k, v in x.__dict__.items():
            if not k.startswith("_") or k in ("_qkv_same_embed_dim",):
                made.__dict__[k] = self(v)
        for k, p in x._parameters.items():
            twin = None if p is None else graphc.nn.Parameter(self(p.detach()))
            made.register_parameter(k, twin)
        for k, b in x._buffers.items():
            made.register_buffer(k, self(b))
        for k, m in x._modules.items():
            made.add_module(k, self(m))
        return made


def run(name: str) -> list[Outcome]:
    """Every check of one module."""
    info = chosen(9)[name]
    out: list[Outcome] = []

    def note(kind: str, i: int, said: str | None, missing: bool = False) -> None:
        out.append(Outcome(name, kind, "float64", i, said, missing))

    for training in MODES:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        samples = info.module_inputs_func(
            info, device="cpu", dtype=torch.float64, requires_grad=True, training=training
        )
        samples = samples[:: max(1, -(-len(samples) // MOST_SAMPLES))]
        for i, s in enumerate(samples):
            _one(info, s, training, 2 * i + training, note)
    return out


def _one(info: Any, s: Any, training: bool, i: int, note: Any) -> None:
    args, kwargs = s.constructor_input.args, s.constructor_input.kwargs
    theirs, refused = attempt(info.module_cls, *args, **kwargs)
    if refused is not None:
        return
    theirs = theirs.to(torch.float64).train(training)
    give = ModuleTwins()
    try:
        cls = lookup(f"nn.{info.module_cls.__name__}")
        mine, raised = attempt(cls, *give(args), **give(kwargs))
    except Missing as e:
        note("forward", i, f"missing: {e}", True)
        return
    if raised is not None:
        note("forward", i, "constructor: " + failure(raised))
        return
    mine = mine.to(graphc.float64).train(training)
    state = {k: give(v.detach().clone()) for k, v in theirs.state_dict().items()}
    _, raised = attempt(mine.load_state_dict, state)
    if raised is not None:
        note("forward", i, failure(raised))
        return
    if repr(mine) != repr(theirs):
        note("repr", i, f"{mine!r}; PyTorch {theirs!r}")
    else:
        note("repr", i, None)
    f = s.forward_input
    inputs_g, named_g = give(f.args), give(f.kwargs)
    want, refused = attempt(theirs, *f.args, **f.kwargs)
    got, raised = attempt(mine, *inputs_g, **named_g)
    if refused is not None:
        return
    if raised is not None:
        note("forward", i, failure(raised))
        return
    if training and ("Dropout" in type(theirs).__name__ or kwargs.get("dropout")):
        note("forward", i, compare.shapes(got, want))
        return
    note("forward", i, compare.values(got, want))
    for k, w in theirs.named_buffers():
        g = dict(mine.named_buffers()).get(k)
        note("buffers", i, compare.values(g, w))
    _gradients(theirs, mine, (f.args, f.kwargs), give, want, got, i, note)


def _gradients(
    theirs: Any, mine: Any, inputs: Any, give: Twins, want: Any, got: Any, i: int, note: Any
) -> None:
    outs_t = [t for t in tensors(want) if t.requires_grad]
    outs_g = [t for t in tensors(got) if t.requires_grad]
    if len(outs_t) != len(outs_g):
        note("grad", i, f"{len(outs_g)} results with grad, PyTorch {len(outs_t)}")
        return
    if not outs_t:
        return
    leaves_t = [t for t in tensors(inputs) if t.requires_grad]
    leaves_g = [give.tensor(t) for t in leaves_t]
    own = dict(mine.named_parameters())
    for k, p in theirs.named_parameters():
        leaves_t.append(p)
        leaves_g.append(own[k])
    cots = cotangents(outs_t, i)
    want, refused = attempt(
        torch.autograd.grad,
        outs_t,
        leaves_t,
        [torch.from_numpy(c) for c in cots],
        allow_unused=True,
    )
    if refused is not None:
        return
    got, raised = attempt(
        graphc.autograd.grad, outs_g, leaves_g, [graphc.from_numpy(c) for c in cots],
        allow_unused=True,
    )  # fmt: skip
    if raised is not None:
        note("grad", i, failure(raised))
        return
    said = None
    for g, w in zip(got, want):
        if g is None or w is None:
            there = g if w is None else w
            if there is not None and bool((there != 0).any()):
                said = f"a gradient is {'there' if w is None else 'None'}, PyTorch's is not"
        else:
            said = said or compare.values(g, w)
    note("grad", i, said)
