"""backward() and grad() with PyTorch's checks and messages; anomaly mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base.errors import with_user_line
from ..core import tape
from ..core.tensor import Tensor
from ..creation import ones_like, zeros, zeros_like
from .graph import GradientEdge
from .vmap import vmap


def _tuple(x: Any) -> tuple:
    if x is None:
        return ()
    if isinstance(x, (Tensor, GradientEdge)):
        x = (x,)
    return tuple([_at(t) if isinstance(t, GradientEdge) else t for t in x])


def _at(edge: GradientEdge) -> Tensor:
    """A tensor that stands at an edge of the graph."""
    if isinstance(edge.node, tape.AccumulateGrad):
        return edge.node.variable
    shape, dtype = edge.node.out_types[edge.output_nr]
    t = zeros(tuple(shape), dtype=dtype)
    t._needs, t._fn, t._output_nr = True, edge.node, edge.output_nr
    return t


def _start(outputs: tuple, grads: tuple) -> list:
    """The cotangents to start from. RuntimeError for non-scalars without one and for wrong
    shapes."""
    out = []
    for i, t in enumerate(outputs):
        g = grads[i] if i < len(grads) else None
        if not t.requires_grad:
            raise RuntimeError(
                f"element {i} of tensors does not require grad and does not have a grad_fn"
            )
        if g is None:
            if t.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if not t.dtype.is_floating_point:
                raise RuntimeError(
                    f"grad can be implicitly created only for real scalar outputs but got {t.dtype}"
                )
            g = ones_like(t)
        elif tuple(g.shape) != tuple(t.shape):
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has "
                f"a shape of {t.shape}."
            )
        out.append(g)
    return out


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Accumulates gradients of `tensors` into the .grad of the leaves (or of `inputs` only).

    Raises PyTorch's RuntimeErrors: non-scalar without gradient, nothing to differentiate, graph
    freed."""
    try:
        outs = _tuple(tensors)
        chosen = None if inputs is None else _tuple(inputs)
        if chosen is not None and not chosen:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        grads = _start(outs, _tuple(grad_tensors))
        keep = create_graph if retain_graph is None else retain_graph
        found = tape.run_backward(
            outs, grads, retain_graph=keep, create_graph=create_graph, inputs=chosen
        )
        for t, g in zip(chosen or (), found, strict=bool(chosen)):
            if t.grad_fn is not None and g is not None:
                tape.accumulate_grad(t, g, False, create_graph)
    except (RuntimeError, TypeError, IndexError, ValueError) as e:
        raise with_user_line(e) from None


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple:
    """Gradients of outputs with respect to inputs, as a tuple; .grad is not touched.

    Raises RuntimeError for inputs that were not used unless allow_unused (then None)."""
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, "
            "but got: allow_unused=False."
        )
    if allow_unused is None:
        allow_unused = materialize_grads
    if is_grads_batched:
        return _batched(
            outputs, inputs, grad_outputs, create_graph, allow_unused, materialize_grads
        )
    try:
        outs, ins = _tuple(outputs), _tuple(inputs)
        if not ins:
            raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
        start = _start(outs, _tuple(grad_outputs))
        for t in ins:
            if not t.requires_grad:
                raise RuntimeError("One of the differentiated Tensors does not require grad")
        keep = create_graph if retain_graph is None else retain_graph
        found: Sequence = tape.run_backward(
            outs, start, retain_graph=keep, create_graph=create_graph, inputs=ins, accumulate=False
        )
        for i, g in enumerate(found):
            if g is None and not allow_unused:
                raise RuntimeError(
                    f"The differentiated Tensor at index {i} appears to not have been used in the "
                    "graph. Set allow_unused=True if this is the desired behavior."
                )
        if materialize_grads:
            found = [zeros_like(t) if g is None else g for g, t in zip(found, ins, strict=True)]
        return tuple(found)
    except (RuntimeError, TypeError, IndexError, ValueError) as e:
        raise with_user_line(e) from None


def _batched(
    outputs: Any, inputs: Any, grad_outputs: Any, create_graph: bool, unused: bool, fill: bool
) -> tuple:
    """grad() for cotangents with a batch as their first axis; so are the results."""
    ins = _tuple(inputs)
    rows = _tuple(grad_outputs)
    got: list = []

    def row(*vs: Tensor) -> tuple:
        found = grad(
            outputs,
            ins,
            vs,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=unused,
            materialize_grads=fill,
        )
        got[:] = [g is not None for g in found]
        return tuple([g for g in found if g is not None])

    it = iter(vmap(row)(*rows))
    return tuple([next(it) if there else None for there in got])


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return tape.anomaly[0]


class set_detect_anomaly:
    """Turns anomaly mode on or off: entries remember their forward line, nan gradients raise."""

    def __init__(self, mode: bool, check_nan: bool = True):
        self.previous = (tape.anomaly[0], tape.check_nan[0])
        tape.anomaly[0], tape.check_nan[0] = bool(mode), bool(check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: Any) -> None:
        tape.anomaly[0], tape.check_nan[0] = self.previous


class detect_anomaly(set_detect_anomaly):
    """Anomaly mode as a context manager."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True, check_nan)
        tape.anomaly[0], tape.check_nan[0] = self.previous
        self.check_nan = bool(check_nan)

    def __enter__(self) -> None:
        self.previous = (tape.anomaly[0], tape.check_nan[0])
        tape.anomaly[0], tape.check_nan[0] = True, self.check_nan
