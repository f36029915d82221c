"""Why a program did not serve a call: takes a `Captured` and the call's arguments, gives plain
words with the argument's name, or with the line of the user's code that read what changed.

Invariant: looking changes nothing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from ...base import dtypes, pytree
from ...core.modes import STATE
from ...core.tensor import Tensor
from ...ir.index import Index, lower_int, of_symbol
from .facts import brief, freeze, unchanged
from .program import Captured
from .symbols import evaluator, same_number


def mismatch(c: Captured, fn: Callable, leaves: list, spec: Any) -> str:
    """What is different now, in words."""
    if spec != c.arg_spec:
        was, now = _call(fn, c.arg_spec), _call(fn, spec)
        return f"the arguments were {was}, now {now}"
    names = leaf_names(fn, spec)
    for i, (name, was, now) in enumerate(zip(names, c.leaves, leaves, strict=True)):
        found = difference(was, now, c.sizes.get(i))
        if found:
            return f"{name}: {found}"
    if (STATE.grad, STATE.inference) != c.mode[:2]:
        return _modes(c)
    if dtypes._default is not c.mode[2]:
        return f"the default dtype was {c.mode[2]}, now {dtypes._default}"
    if (STATE.autocast, STATE.autocast_dtype) != c.mode[3]:
        was, now = _autocast(*c.mode[3]), _autocast(STATE.autocast, STATE.autocast_dtype)
        return f"autocast was {was}, now {now}"
    changed = {}
    for check in c.reads.changed():  # the same fact may be met with a line and without
        if check.what not in changed or check.origin:
            changed[check.what] = check.difference()
    if changed:
        return "; ".join(list(changed.values())[:3])
    if c.size_guards:
        text, (outcome, origin) = next(iter(c.size_guards.items()))
        return f"a size that decided something changed ({text} was {outcome}, {origin})"
    return _numbers(c, names, leaves) or _gradients(c, names) or _aliasing(names, leaves)


def _modes(c: Captured) -> str:
    grad, inference = c.mode[:2]
    if STATE.inference is not inference:
        return f"inference mode was {_on(inference)}, now {_on(STATE.inference)}"
    return f"gradient recording was {_on(grad)}, now {_on(STATE.grad)}"


def _autocast(on: Any, dtype: Any) -> str:
    return f"off ({dtype} by default)" if on is None else str(on)


def _on(x: bool) -> str:
    return "on" if x else "off"


def difference(was: Any, now: Any, sized: Any = None) -> str:
    """How an argument differs; empty when it does not matter. sized: its type with symbols."""
    if isinstance(was, Tensor) and isinstance(now, Tensor):
        if type(was) is not type(now):
            return f"was a {type(was).__name__}, now a {type(now).__name__}"
        if was.dtype is not now.dtype:
            return f"dtype was {was.dtype}, now {now.dtype}"
        if sized is not None:
            if len(sized.shape) != now.ndim or any(
                n < 2 if isinstance(s, Index) else s != n
                for s, n in zip(sized.shape, now.shape, strict=True)
            ):
                return f"shape was {list(sized.shape)}, now {list(now.shape)}"
        elif was.shape != now.shape:
            return f"shape was {list(was.shape)}, now {list(now.shape)}"
        elif was._array is not None and was.stride() != now.stride():
            return f"strides were {list(was.stride())}, now {list(now.stride())}"
        if was._needs is not now._needs:
            return f"requires_grad was {was._needs}, now {now._needs}"
        return ""
    if type(was) is not type(now):
        return f"was {brief(was)}, now {brief(now)}"
    if type(was) is not float and not unchanged(now, freeze(was)):
        return f"was {brief(was)}, now {brief(now)}"
    return ""


def _numbers(c: Captured, names: list[str], leaves: list) -> str:
    """Run-time numbers: another type, or a decision that falls otherwise."""
    values: list[Any] = []
    texts: list[str] = []
    sizes = _sizes(c, leaves)
    of = {(id(n.holder), n.key): n for n in c.reads.numbers.values()}
    for kind, what, type_ in c.scalar_leaves:
        if kind == "arg":
            text, value, at = names[what], leaves[what], ""
        elif kind == "size":
            text, value, at = f"the size {what}", lower_int(what.substitute(sizes)), ""
        else:
            mapping, key = what
            number = of.get((id(getattr(mapping, "cell", mapping)), getattr(mapping, "key", key)))
            if number is None and hasattr(mapping, "cell"):
                number = of.get((id(mapping.cell), None))
            text = number.what if number else repr(key)
            at = f" ({number.origin})" if number and number.origin else ""
            value = mapping.get(key) if isinstance(mapping, dict) else mapping[key]
        if type(value) is not type_:
            return f"{text} was a {type_.__name__}, now {brief(value)}{at}"
        values.append(value)
        texts.append(text)
    for text, (outcome, origin) in c.scalar_guards.items():
        now = evaluator([text])(values)[0]
        if not same_number(now, outcome):
            said = re.sub(r"s\[(\d+)\]", lambda m: texts[int(m[1])], text)
            said = re.sub(r"^\((.*)\)$", r"\1", said).replace("((", "(").replace("))", ")")
            at = f" ({origin})" if origin else ""
            return f"`{said}` was {outcome!r}, now {now!r}{at}"
    return ""


def _sizes(c: Captured, leaves: list) -> dict:
    """Symbol -> its value in this call."""
    return {
        s: m
        for i, meta in c.sizes.items()
        for n, m in zip(meta.shape, leaves[i].shape, strict=True)
        if isinstance(n, Index)
        for s in n.symbols()
        if n.same(of_symbol(s))
    }


def _gradients(c: Captured, names: list[str]) -> str:
    for source, entry in c.grad_guards:
        if source.kind in ("arg", "held"):
            t = c.leaves[source.ref] if source.kind == "arg" else source.ref
            if (t._grad is None) is not (entry is None):
                what = names[source.ref] if source.kind == "arg" else f"a tensor {list(t.shape)}"
                was, now = ("None", "set") if entry is None else ("set", "None")
                return f"the .grad of {what} was {was}, now {now}"
    return ""


def _aliasing(names: list[str], leaves: list) -> str:
    """What is left: tensors share memory now, or did before."""
    seen: list[tuple] = []
    for name, x in zip(names, leaves, strict=True):
        if isinstance(x, Tensor):
            for other, y in seen:
                if x is y:
                    return f"{other} and {name} are one tensor now, or another than before"
                if x._storage.root() is y._storage.root():
                    return f"{other} and {name} share memory now, or in another way than before"
            seen.append((name, x))
    return "tensors that shared memory do not now, or a .grad is set differently"


# ---------------------------------------------------------------- names of arguments


def leaf_names(fn: Callable, spec: Any) -> list[str]:
    """What the user calls each leaf of the arguments: `x`, `config['lr']`, `pair[0]`."""
    names: list[str] = []
    args, kwargs = spec.children
    given = parameter_names(fn, len(args.children))
    for name, child in zip(given, args.children, strict=True):
        _walk(name, child, names)
    for name, child in zip(kwargs.context, kwargs.children, strict=True):
        _walk(str(name), child, names)
    return names


def _walk(name: str, spec: Any, names: list[str]) -> None:
    if isinstance(spec, pytree.Leaf):
        names.append(name)
        return
    keys = spec.context or range(len(spec.children))
    for key, child in zip(keys, spec.children, strict=True):
        fields = spec.context and not issubclass(spec.type, dict)
        _walk(f"{name}.{key}" if fields else f"{name}[{key!r}]", child, names)


def parameter_names(fn: Callable, count: int) -> list[str]:
    """The names of the first positional parameters."""
    try:
        parameters = list(inspect.signature(getattr(fn, "forward", fn)).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for p in parameters:
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
        elif p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}[{i}]" for i in range(count - len(names))]
    names = names[:count]
    return names + [f"argument {i}" for i in range(len(names), count)]


def _call(fn: Callable, spec: Any) -> str:
    """The names of the arguments, with those that are containers marked."""
    args, kwargs = spec.children
    names = parameter_names(fn, len(args.children))
    parts = [_shown(n, c) for n, c in zip(names, args.children, strict=True)]
    keyed = zip(kwargs.context, kwargs.children, strict=True)
    return "(" + ", ".join(parts + [_shown(f"{k}=", c) for k, c in keyed]) + ")"


def _shown(name: str, spec: Any) -> str:
    if isinstance(spec, pytree.Leaf):
        return name
    kind = spec.type.__name__
    return f"{name} ({kind} of {len(spec.children)})".replace("= (", "=(")
