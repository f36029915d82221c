"""Views of a compiled program: kernels with the user's lines, the memory plan, refused fusions.

Takes what the compiler made, gives plain data (JSON-able) and stable text. Imports nothing heavy,
since programs from the cache show the same views.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class KernelInfo:
    """One kernel. `ops`: fused operators in order; `lines`: (file, line, source text) of the user;
    `shapes`: one text per result; `bytes`: memory read and written once; `flops`: arithmetic
    operations, a multiply-add counting two (estimates for symbolic sizes use the example)."""

    name: str
    source: str
    ops: list = field(default_factory=list)
    lines: list = field(default_factory=list)
    shapes: list = field(default_factory=list)
    bytes: int = 0
    flops: int = 0

    def __str__(self) -> str:
        head = [
            f"{self.name}: {', '.join(self.ops) or 'copy'}",
            f"  gives {', '.join(self.shapes)}; moves {quantity(self.bytes, 'B')}, "
            f"{quantity(self.flops, 'FLOP')}",
        ]
        head += [f"  {f}:{n}: {text}" for f, n, text in self.lines]
        return "\n".join(head)

    def record(self) -> dict:
        return asdict(self)


def kernel_from_record(r: dict) -> KernelInfo:
    return KernelInfo(**{**r, "lines": [tuple(x) for x in r["lines"]]})


def quantity(n: int, unit: str) -> str:
    """1234567 B -> "1.23 MB"."""
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= limit:
            return f"{n / limit:.3g} {prefix}{unit}"
    return f"{n} {unit}"


def describe(name: str, group: Any, kernel: Any, places: dict) -> KernelInfo:
    """The facts of a kernel, without its source."""
    nodes = group.nodes
    info = KernelInfo(name, "")
    seen: set = set()
    for n in nodes:
        if n.op is None:
            continue
        if n.op.kind != "movement" and n.op.name != "copy":
            info.ops.append(n.op.name)
        info.flops += _flops(n)
        if n.origin is not None and n.origin[:2] not in seen:
            seen.add(n.origin[:2])
            info.lines.append((n.origin.file, n.origin.line, n.origin.text))
    info.shapes = [str(u.node.type) for u in group.stored if type(u.node.type) is not tuple]
    info.bytes = sum(_bytes(b) for b in touched(group, places).values())
    return info


def touched(group: Any, places: dict) -> dict:
    """Buffer name -> Buffer of everything that a group reads or writes outside of itself."""
    out: dict = {}
    own = {u.node.id for u in group.units}
    for u in group.units:
        for r, _ in u.reads:
            if r.id in places and r.id not in own:
                b = places[r.id][0].buffer
                out[b.name] = b
    for u in group.stored:
        for p in places.get(u.node.id, ()):
            out[p.buffer.name] = p.buffer
    return out


def _hint(x: Any) -> int:
    if isinstance(x, int):
        return x
    return x.hint or 0


def _bytes(b: Any) -> int:
    return _hint(b.count) * b.dtype.itemsize


def _flops(n: Any) -> int:
    size = 1
    shape = n.shape if type(n.type) is not tuple else ()
    for s in shape:
        size *= _hint(s)
    if n.op.kind == "contract":
        return 2 * size * _hint(n.args[0].shape[-1])
    if n.op.kind in ("reduce", "scan"):
        size = 1
        for s in n.args[0].shape:
            size *= _hint(s)
        return size
    return size if n.op.kind == "pointwise" else 0


def memory_text(layout: Any, inputs: list, outputs: list, in_place: dict, notes: list) -> str:
    """The memory plan as a table: arena buffers with lifetime and offset, inputs written in
    place."""
    saved = sum(r[1] for r in layout.rows if isinstance(r[1], int))
    lines = [
        f"arena: {layout.size} bytes for {len(layout.rows)} buffers of {saved} bytes in all",
        f"inputs: {len(inputs)}, outputs: {len(outputs)}, updated in place: {len(in_place)}",
    ]
    for name, size, first, last, offset in layout.rows:
        lines.append(f"  {name:<12} {size!s:>10} bytes at {offset!s:>8}, kernels {first} to {last}")
    if in_place:
        lines.append("  in place: " + ", ".join(f"in{s}" for s in sorted(in_place)))
    lines += [f"  {note}" for note in notes]
    return "\n".join(lines)


def why_text(refused: list) -> str:
    """One line per refused fusion."""
    return "\n".join(
        f"{a} -> {b}: {reason}" + (f"  # {where}" if where else "")
        for a, b, reason, where in refused
    )
