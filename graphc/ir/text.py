"""Graphs and loop nests as text, stable enough for golden files and cache keys. Printing only."""

from __future__ import annotations

from typing import Any

from .graph import Graph, Node, Scalar
from .index import Index
from .loop import (
    Address,
    Alloc,
    Apply,
    Barrier,
    Call,
    Cast,
    Checked,
    Comment,
    Const,
    Expr,
    For,
    If,
    IndexValue,
    Let,
    Load,
    Ref,
    Require,
    ScalarRef,
    Select,
    Set,
    Stmt,
    Store,
)

# ---------------------------------------------------------------- graphs


def graph_text(graph: Graph, origins: bool = True) -> str:
    """One line per node: name = op(args; attrs): type  # file:line. Names are positions, so the
    text is the same for equal graphs whatever was built before."""
    names: dict[int, str] = {}
    lines = []
    for i, n in enumerate(graph.inputs):
        names[n.id] = f"in{i}"
        lines.append(f"in{i}: {n.type}")
    for n in graph.nodes:
        names[n.id] = f"%{len(names) - len(graph.inputs)}"
        lines.append(_node_line(n, names, origins))
    outs = ", ".join(_arg(o, names) for o in graph.outputs)
    lines.append(f"return {outs}")
    for slot in sorted(graph.updates):
        lines.append(f"in{slot} <- {names[graph.updates[slot].id]}")
    for slot in sorted(graph.draws):
        lines.append(f"rng{slot} advances {graph.draws[slot]}")
    return "\n".join(lines)


def _node_line(n: Node, names: dict[int, str], origins: bool) -> str:
    args = ", ".join(_arg(a, names) for a in n.args)
    if n.is_output_of:
        body = f"{args}[{n.attrs[1]}]"
    else:
        attrs = ", ".join(
            f"{k}={attr_text(v)}" for k, v in zip(_attr_names(n), n.attrs, strict=False)
        )
        body = f"{n.op.name}({args}{'; ' if args and attrs else ''}{attrs})"  # type: ignore
    types = n.type if type(n.type) is tuple else (n.type,)
    line = f"{names[n.id]} = {body}: {', '.join(map(str, types))}"
    return f"{line}  # {n.origin}" if origins and n.origin else line


def _attr_names(n: Node) -> tuple:
    names = n.op.attrs if n.op else ()
    return (*names, *(f"a{i}" for i in range(len(names), len(n.attrs))))


def _arg(a: Any, names: dict[int, str]) -> str:
    return (
        names[a.id]
        if isinstance(a, Node)
        else a.__repr__()
        if isinstance(a, Scalar)
        else attr_text(a)
    )


def attr_text(v: Any) -> str:
    if isinstance(v, tuple):
        inner = ", ".join(map(attr_text, v))
        return f"({inner}{',' if len(v) == 1 else ''})"
    if isinstance(v, list):
        return f"[{', '.join(map(attr_text, v))}]"
    return repr(v)


# ---------------------------------------------------------------- loops

_INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
    "logical_and": "&&",
    "logical_or": "||",
}


def expr_text(e: Expr) -> str:
    """An expression in infix form."""
    if isinstance(e, Const):
        return repr(e.value)
    if isinstance(e, ScalarRef):
        return f"scalar{e.slot}"
    if isinstance(e, Ref):
        return e.name
    if isinstance(e, IndexValue):
        return index_text(e.index)
    if isinstance(e, Load):
        return f"{e.buffer.name}[{index_text(e.index)}]"
    if isinstance(e, Address):
        return f"&{e.buffer.name}[{index_text(e.index)}]"
    args = [expr_text(a) for a in e.args]
    if isinstance(e, Apply):
        if e.fn in _INFIX and len(args) == 2:
            return f"({args[0]} {_INFIX[e.fn]} {args[1]})"
        return f"{e.fn}({', '.join(args)})"
    if isinstance(e, Select):
        return f"({args[0]} ? {args[1]} : {args[2]})"
    if isinstance(e, Cast):
        return f"{e.dtype.code}({args[0]})"
    if isinstance(e, Checked):
        return f"checked({args[0]}, {index_text(e.size)})"
    if isinstance(e, Require):
        return f"require({args[0]}, {args[1]})"
    raise TypeError(type(e).__name__)


def index_text(i: Index) -> str:
    from .index import Data, Div, Mod

    def atom(a: Any) -> str:
        if isinstance(a, Data):
            return f"[{expr_text(a.expr)}]"
        if isinstance(a, (Div, Mod)):
            return f"({index_text(a.a)} {'//' if isinstance(a, Div) else '%'} {index_text(a.b)})"
        return a.name

    parts: list[str] = []
    for m, c in sorted(i.terms.items(), key=lambda t: (not t[0], [a.key for a in t[0]])):
        text = "*".join(atom(a) for a in m)
        text = str(abs(c)) if not m else text if abs(c) == 1 else f"{abs(c)}*{text}"
        parts.append((" - " if c < 0 else " + ") + text if parts else ("-" if c < 0 else "") + text)
    return "".join(parts) or "0"


def stmt_text(s: Stmt | list, indent: int = 0) -> str:
    """Statements, one per line, Python-like nesting."""
    pad = "  " * indent
    if isinstance(s, list):
        return "\n".join(stmt_text(x, indent) for x in s)
    if isinstance(s, For):
        span = (
            index_text(s.extent)
            if s.begin.same(0)
            else f"{index_text(s.begin)}..{index_text(s.extent)}"
        )
        step = f" step {s.step}" if s.step != 1 else ""
        mark = "" if s.mark == "serial" else f" {s.mark}"
        return f"{pad}for {s.symbol} in {span}{step}{mark}:\n{stmt_text(s.body, indent + 1)}"
    if isinstance(s, If):
        out = f"{pad}if {expr_text(s.cond)}:\n{stmt_text(s.then, indent + 1)}"
        return out + (f"\n{pad}else:\n{stmt_text(s.otherwise, indent + 1)}" if s.otherwise else "")
    if isinstance(s, Alloc):
        count = f"[{s.buffer.count}]" if s.buffer.count != 1 or s.init is None else ""
        init = f" = {expr_text(s.init)}" if s.init is not None else ""
        return f"{pad}var {s.buffer.dtype.code} {s.buffer.name}{count}{init}"
    if isinstance(s, Let):
        return f"{pad}{s.expr.dtype.code} {s.name} = {expr_text(s.expr)}"
    if isinstance(s, Set):
        return f"{pad}{s.name} = {expr_text(s.expr)}"
    if isinstance(s, Store):
        op = f" {s.reduce}=" if s.reduce else " ="
        return f"{pad}{s.buffer.name}[{index_text(s.index)}]{op} {expr_text(s.expr)}"
    if isinstance(s, Call):
        args = ", ".join(expr_text(a) if isinstance(a, Expr) else index_text(a) for a in s.args)
        return f"{pad}{s.fn}({args})"
    if isinstance(s, Comment):
        return f"{pad}# {s.text}"
    if isinstance(s, Barrier):
        return f"{pad}barrier"
    raise TypeError(type(s).__name__)


# data knows nothing of its text: the text is attached from here
Graph.__str__ = graph_text  # type: ignore[assignment,method-assign]
Expr.__repr__ = expr_text  # type: ignore[assignment,method-assign]
Stmt.__repr__ = stmt_text  # type: ignore[assignment,method-assign]
