"""Repro scripts: takes a case (a small graph with input values), writes a Python file that runs it
op by op through `graphc.verify`, which shows what differs.

Small inputs stand in the file as numbers, large ones in a .npz beside it. Invariant: the file
states every bit of the inputs, NaN payloads apart.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ...base import dtypes
from ...base.dtypes import DType
from ...core.dispatch import cast_array
from ...ir.graph import Draw, Graph, Node, Scalar
from ...ir.index import Index
from ...ir.types import TensorType, contiguous_strides
from .shrink import Case, results_of

_INLINE = 256  # elements

_TEMPLATE = '''"""{title}

Written by graphc.verify. Run it: it fails with the difference, or prints that all agree.
"""

{imports}


def program({names}):
{body}


{inputs}

if __name__ == "__main__":
    print(graphc.verify(program, {names}, repro_dir=None))
'''


def write(case: Case, path: Path, title: str) -> Path:
    """Writes the script, and the values beside it when they are large."""
    large: dict[str, np.ndarray] = {}
    inputs = [
        f"in{i} = {_tensor(f'in{i}', n.type, a, large)}"
        for i, (n, a) in enumerate(zip(case.graph.inputs, case.arrays, strict=True))
    ]
    imports = ["import graphc", "from graphc.ir import op"]
    if large:
        np.savez(path.with_suffix(".npz"), **large)  # type: ignore[arg-type]
        imports = ["from pathlib import Path", "", "import numpy as np", "", *imports]
        inputs.insert(0, 'data = np.load(Path(__file__).with_suffix(".npz"))')
    text = _TEMPLATE.format(
        title=title.replace("\\", "/").replace('"""', "'''"),
        imports="\n".join(imports),
        names=", ".join(f"in{i}" for i in range(len(inputs) - bool(large))),
        body="\n".join("    " + line for line in body(case)),
        inputs="\n".join(inputs),
    )
    path.write_text(text, encoding="utf-8")
    return path


def body(case: Case) -> list[str]:
    """The lines of a function over in0, in1 ... that does what the graph says."""
    graph, names = case.graph, {n.id: f"in{i}" for i, n in enumerate(case.graph.inputs)}
    lines = []
    for n in graph.nodes:
        names[n.id] = f"v{len(names) - len(graph.inputs)}"
        args = [names[a.id] if isinstance(a, Node) else _literal(a, case) for a in n.args]
        op: Any = n.op
        if n.is_output_of:
            call = f"{args[0]}[{n.attrs[1]}]"
        else:
            if op.variadic:
                fixed = len(op.inputs) - 1
                args = [*args[:fixed], f"({''.join(a + ', ' for a in args[fixed:])})"]
            args += [_literal(a, case) for a in n.attrs]
            call = f'op.get("{op.name}")({", ".join(args)})'
        where = f"  # {n.origin}" if n.origin is not None else ""
        lines.append(f"{names[n.id]} = {call}{where}")
    for slot, n in sorted(graph.updates.items()):
        lines.append(f"in{slot}.copy_({names[n.id]})")
    outs = [_returned(n, names) for n in graph.outputs if isinstance(n, Node)]
    lines.append("return " + (", ".join(outs) if outs else "None"))
    return lines


def _returned(n: Node, names: dict[int, str]) -> str:
    """A result of its own: views are returned as copies, as the graph gives them."""
    name = names[n.id]
    return f"{name}.clone()" if n.op is not None and n.op.view else name


def _literal(x: Any, case: Case) -> str:
    if isinstance(x, Scalar):
        return _literal(float(case.scalars[x.index]), case)
    if isinstance(x, Draw):
        seed, start = case.rng[x.slot]
        return f"({seed}, {start + int(x.offset)})"
    if isinstance(x, DType):
        return f"graphc.{x.name}"
    if isinstance(x, Index):
        return repr(int(x))
    if isinstance(x, (tuple, list)):
        return f"({''.join(_literal(v, case) + ', ' for v in x)})"
    if isinstance(x, float) and not math.isfinite(x):
        return f'float("{x}")'
    return repr(x)


def _tensor(name: str, type: TensorType, a: np.ndarray, large: dict) -> str:
    """An expression for the tensor."""
    dtype = f"graphc.{type.dtype.name}"
    if type.dtype.is_half:
        a = cast_array(a, type.dtype, dtypes.float32)  # exact, and back
    if a.size <= _INLINE:
        numbers = _numbers(a.tolist())
        text = f"graphc.tensor({numbers}, dtype={dtype})"
        if 0 in type.shape:
            text += f".reshape({tuple(type.shape)})"
    else:
        large[name] = np.ascontiguousarray(a)
        text = f'graphc.from_numpy(data["{name}"])'
        text += f".to({dtype})" if type.dtype.is_half else ""
    if tuple(type.strides) != contiguous_strides(type.shape):
        text = f'op.get("clone")({text}, {tuple(type.strides)})'
    return text


def _numbers(x: Any) -> str:
    if isinstance(x, list):
        return f"[{', '.join(map(_numbers, x))}]"
    if isinstance(x, float) and not math.isfinite(x):
        return f'float("{x}")'
    return repr(x)


def lines_of(graph: Graph, case: Case, most: int) -> list[str]:
    """The graph as at most `most` lines of text for a message."""
    lines = [line for line in body(case) if not line.startswith("return")]
    lines = [line.replace('op.get("', "").replace('")(', "(") for line in lines]
    return lines if len(lines) <= most else [*lines[: most - 1], f"... {len(lines)} in all"]


__all__ = ["body", "lines_of", "results_of", "write"]
