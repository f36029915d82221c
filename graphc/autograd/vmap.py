"""vmap: takes a function of elements, gives the function of batches; see `core.layer`.
Source: https://pytorch.org/docs/stable/generated/torch.vmap.html"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..base import pytree
from ..core import rng
from ..core.layer import Layer, to_last
from ..core.tensor import Tensor
from ..ops.gather import cat

_RANDOMNESS = ("error", "different", "same")


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """func mapped over axis `in_dims` of its inputs (an int, None for "not mapped", or a nesting
    of them like the inputs), results stacked along `out_dims`. Keyword arguments are not mapped.

    randomness: what random calls inside do: "error" (the default), "same" numbers for every
    element, or "different" ones. chunk_size: at most so many elements at once. Raises ValueError
    for dims that do not fit inputs or outputs, RuntimeError for control flow and `.item()` on
    mapped values and for in-place writes of mapped values into others."""
    check_randomness(randomness)
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return _run(func, in_dims, out_dims, randomness, chunk_size, args, kwargs)

    return wrapped


def check_randomness(randomness: str) -> None:
    if randomness not in _RANDOMNESS:
        raise RuntimeError(
            "Only allowed values for randomness are 'error', 'different', or 'same'. "
            f"Got {randomness}"
        )


def _name(func: Callable) -> str:
    return getattr(func, "__name__", None) or repr(func)


def _run(
    func: Callable, in_dims: Any, out_dims: Any, randomness: str, chunk: Any, args: tuple, kw: dict
) -> Any:
    flat, dims, spec, size = _inputs(func, in_dims, args)
    if chunk is None or chunk >= size:
        return _once(func, out_dims, randomness, (flat, dims, spec), kw, size)
    pieces, state = [], rng.default_generator.state_words()
    for at in range(0, size, chunk):
        n = min(chunk, size - at)
        part = [x if d is None else x.narrow(d, at, n) for x, d in zip(flat, dims, strict=True)]
        if randomness == "same":
            rng.default_generator.set_state_words(*state)
        pieces.append(_once(func, out_dims, randomness, (part, dims, spec), kw, n))
    leaves = [pytree.flatten(p)[0] for p in pieces]
    spec = pytree.flatten(pieces[0])[1]
    each = _spread_dims(out_dims, spec)
    joined = [
        column[0] if d is None else cat(list(column), d)
        for column, d in zip(zip(*leaves, strict=True), each or [], strict=True)
    ]
    return pytree.unflatten(joined, spec)


def _once(
    func: Callable, out_dims: Any, randomness: str, inputs: tuple, kwargs: dict, size: Any
) -> Any:
    flat, dims, spec = inputs
    layer = Layer(size, randomness)
    elements = [_enter(layer, x, d) for x, d in zip(flat, dims, strict=True)]
    with layer.running():
        out = func(*pytree.unflatten(elements, spec), **kwargs)
    return leave(layer, func, out, out_dims)


def _enter(layer: Layer, x: Any, d: int | None) -> Any:
    return x if d is None else layer.element(to_last(x, d))


def _inputs(func: Callable, in_dims: Any, args: tuple) -> tuple:
    """(leaves, dim per leaf, spec, batch size) with PyTorch's checks."""
    name = _name(func)
    if isinstance(in_dims, list):
        in_dims = tuple(in_dims)
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a "
            "(potentially nested) tuple matching the structure of inputs, got: "
            f"{type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are "
            "trying to vmap over a function with no inputs. The latter is unsupported."
        )
    flat, spec = pytree.flatten(args)
    dims = _spread_dims(in_dims, spec)
    start = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): "
    if dims is None:
        raise ValueError(
            f"{start}in_dims is not compatible with the structure of `inputs`. in_dims has "
            f"structure {spec_text(pytree.flatten(in_dims)[1])} but inputs has structure "
            f"{spec_text(spec)}."
        )
    found: list = []
    sizes: list = []
    for x, d in zip(flat, dims, strict=True):
        if not isinstance(d, int) and d is not None:
            raise ValueError(
                f"{start}Got in_dim={d} for an input but in_dim must be either an integer "
                "dimension or None."
            )
        if d is None:
            found.append(None)
            continue
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{start}Got in_dim={d} for an input but the input is of type {type(x)}. We "
                "cannot vmap over non-Tensor arguments, please use None as the respective in_dim"
            )
        if not -x.ndim <= d < x.ndim:
            raise ValueError(
                f"{start}Got in_dim={d} for some input, but that input is a Tensor of "
                f"dimensionality {x.ndim} so expected in_dim to satisfy "
                f"-{x.ndim} <= in_dim < {x.ndim}."
            )
        d = d % x.ndim
        found.append(d)
        sizes.append(x.type_.shape[d])
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if any(n != sizes[0] for n in sizes):
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return flat, found, spec, sizes[0]


def leave(layer: Layer, func: Callable, out: Any, out_dims: Any) -> Any:
    """The results of a function that ran under `layer`, as batches."""
    name = _name(func)
    flat, spec = pytree.flatten(out)
    whole, _ = pytree.flatten(out_dims)
    if any(not isinstance(d, int) and d is not None for d in whole):
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python "
            "collection of ints representing where in the outputs the vmapped dimension should "
            "appear."
        )
    dims = _spread_dims(out_dims, spec)
    if dims is None and len(flat) == 1 and isinstance(out_dims, tuple) and len(out_dims) == 1:
        dims = list(out_dims) if spec is pytree.LEAF else None
    if dims is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with "
            f"the structure of `outputs`. out_dims has structure "
            f"{spec_text(pytree.flatten(out_dims)[1])} but outputs has structure "
            f"{spec_text(spec)}."
        )
    return pytree.unflatten(
        [_leave(layer, name, t, d) for t, d in zip(flat, dims, strict=True)], spec
    )


def _leave(layer: Layer, name: str, t: Any, d: int | None) -> Any:
    if d is None:
        if layer.batches(t):
            raise ValueError(
                f"vmap({name}, ..., out_dims=None): `{name}` can not return a BatchedTensor when "
                "out_dim is None"
            )
        return t._trace.value if layer.owns(t) else t
    if not isinstance(t, Tensor):
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(t)}. Did you "
            "mean to set out_dims= to None for output?"
        )
    n = t.ndim + 1
    if not -n <= d < n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})"
        )
    d %= n
    whole = layer.whole(t)
    order = [*range(d), n - 1, *range(d, n - 1)]
    return whole if d == n - 1 else whole.permute(order)  # type: ignore[attr-defined]


def _spread_dims(dims: Any, spec: Any) -> list | None:
    """One dim per leaf of spec, from a nesting that ends where one dim stands for the rest; None
    when they do not fit."""
    if dims is None or isinstance(dims, int):
        return [dims] * _count(spec)
    if isinstance(spec, pytree.Leaf):
        return None if isinstance(dims, (tuple, list, dict)) else [dims]
    _, own = pytree.flatten(dims)
    if isinstance(own, pytree.Leaf):
        return [dims] * _count(spec)
    if own.type is not spec.type or own.context != spec.context:
        return None
    parts = dims.values() if isinstance(dims, dict) else dims
    if len(own.children) != len(spec.children):
        return None
    out: list = []
    for part, child in zip(parts, spec.children, strict=True):
        found = _spread_dims(part, child)
        if found is None:
            return None
        out += found
    return out


def _count(spec: Any) -> int:
    return 1 if isinstance(spec, pytree.Leaf) else sum(_count(c) for c in spec.children)


def spec_text(spec: Any, indent: int = 0) -> str:
    """A structure as PyTorch's errors show it."""
    if isinstance(spec, pytree.Leaf):
        return "*"
    indent += 2
    context = list(spec.context) if issubclass(spec.type, dict) else None
    parts = [spec_text(c, indent) for c in spec.children]
    inner = (",\n" + " " * indent).join(parts)
    return f"TreeSpec({spec.type.__name__}, {context}, [{inner}])"
