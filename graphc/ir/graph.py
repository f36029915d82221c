"""The Graph: typed SSA of immutable Nodes, mutation listed at the end. Data and printing only.

Invariants: a node's args stand before it in `Graph.nodes`; equal nodes are one node (hash-consing);
`updates` is the only trace of mutation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..base.errors import Origin
from .op import Op
from .types import TensorType


class Scalar:
    """A run-time Python number in the graph: slot `index` of the program's scalars, with the value
    that it had while capturing (`hint`, for printing only)."""

    __slots__ = ("index", "hint")

    def __init__(self, index: int, hint: float):
        self.index, self.hint = index, hint

    def __repr__(self) -> str:
        return f"scalar{self.index}"


class Draw:
    """The random stream position of one draw: generator slot, and blocks after the program's start
    offset. Appears as an attribute of random nodes."""

    __slots__ = ("slot", "offset")

    def __init__(self, slot: int, offset: Any):
        self.slot, self.offset = slot, offset

    def __repr__(self) -> str:
        return f"rng{self.slot}+{self.offset}"


class Node:
    """One value. `op` is an Op, or None for an input; `args` are Nodes, Python numbers or Scalars;
    `attrs` hashable values in the op's order; `type` a TensorType; `origin` the user's line.

    An op with several outputs is one Node whose type is a tuple, followed by one `Node` per used
    output with op None, args (that node,) and attrs ("output", j)."""

    __slots__ = ("op", "args", "attrs", "type", "origin", "id", "name")

    def __init__(
        self,
        op: Op | None,
        args: tuple,
        attrs: tuple,
        type: Any,
        origin: Origin | None,
        id: int,
        name: str = "",
    ):
        self.op, self.args, self.attrs, self.type = op, args, attrs, type
        self.origin, self.id, self.name = origin, id, name

    @property
    def is_input(self) -> bool:
        return self.op is None and not self.args

    @property
    def is_output_of(self) -> bool:
        """One output picked from a node that has several."""
        return self.op is None and bool(self.args)

    @property
    def shape(self) -> tuple:
        return self.type.shape

    @property
    def dtype(self) -> Any:
        return self.type.dtype

    @property
    def node_args(self) -> tuple[Node, ...]:
        return tuple(a for a in self.args if isinstance(a, Node))

    def __repr__(self) -> str:
        return self.name or f"%{self.id}"


class Graph:
    """inputs: input Nodes in slot order; nodes: every other Node in creation order; outputs: Nodes
    or plain constants; updates: {input slot: Node} written back after the run."""

    __slots__ = ("inputs", "nodes", "outputs", "updates", "_consed", "_next", "draws")

    def __init__(self) -> None:
        self.inputs: list[Node] = []
        self.nodes: list[Node] = []
        self.outputs: list[Any] = []
        self.updates: dict[int, Node] = {}
        self.draws: dict[int, Any] = {}  # generator slot -> total blocks advanced
        self._consed: dict[tuple, Node] = {}
        self._next = 0

    def _new_id(self) -> int:
        self._next += 1
        return self._next - 1

    def input(self, type: TensorType, name: str = "") -> Node:
        node = Node(None, (), (), type, None, self._new_id(), name or f"in{len(self.inputs)}")
        self.inputs.append(node)
        return node

    def add(
        self, op: Op | None, args: tuple, attrs: tuple, type: Any, origin: Origin | None = None
    ) -> Node:
        """The node of that op, args and attrs: an existing one when it is there already."""
        key = (op.name if op else None, tuple(_key(a) for a in args), _hashable(attrs))
        node = self._consed.get(key)
        if node is None:
            node = Node(op, args, attrs, type, origin, self._new_id())
            self._consed[key] = node
            self.nodes.append(node)
        return node

    def output_of(self, node: Node, index: int) -> Node:
        """Output `index` of a node with several."""
        return self.add(None, (node,), ("output", index), node.type[index], node.origin)

    def holds_complex(self) -> bool:
        """Whether complex numbers occur anywhere: there is no generated code for them."""
        return any(
            t is not None and t.dtype.is_complex
            for n in (*self.inputs, *self.nodes)
            for t in (n.type if type(n.type) is tuple else (n.type,))
        )

    def live(self) -> list[Node]:
        """The nodes that outputs and updates need, in order."""
        need: set[int] = set()
        roots = [n for n in self.outputs if isinstance(n, Node)] + list(self.updates.values())
        stack = list(roots)
        while stack:
            n = stack.pop()
            if n.id not in need:
                need.add(n.id)
                stack.extend(n.node_args)
        return [n for n in self.nodes if n.id in need]

    def uses(self) -> dict[int, list[Node]]:
        """node id -> the nodes that read it."""
        out: dict[int, list[Node]] = {n.id: [] for n in self.inputs}
        for n in self.nodes:
            out.setdefault(n.id, [])
            for a in dict.fromkeys(n.node_args):
                out[a.id].append(n)
        return out

    def to_networkx(self) -> Any:
        """A networkx.DiGraph over node ids with the Node under "node"; edges point from use to
        user."""
        import networkx as nx

        g = nx.DiGraph()
        for n in [*self.inputs, *self.nodes]:
            g.add_node(n.id, node=n)
        for n in self.nodes:
            g.add_edges_from((a.id, n.id) for a in n.node_args)
        return g

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    # ir.text attaches __str__


def _key(a: Any) -> Any:
    if isinstance(a, Node):
        return ("n", a.id)
    if isinstance(a, Scalar):
        return ("s", a.index)
    return (type(a).__name__, repr(a))  # repr keeps -0.0 and nan apart from 0.0


def _hashable(x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return (type(x).__name__, *map(_hashable, x))
    if isinstance(x, (float, complex)):
        return (type(x).__name__, repr(x))
    if isinstance(x, bool):
        return ("bool", x)
    if isinstance(x, slice):
        return ("slice", x.start, x.stop, x.step)
    if isinstance(x, Draw):
        return ("draw", x.slot, str(x.offset))
    return x


def rebuild(
    graph: Graph, replace: dict[int, Any] | None = None, keep: Iterable[Node] | None = None
) -> Graph:
    """A new Graph with dead nodes dropped and nodes replaced ({old id: function(new graph, node,
    new args)
    -> Node}); the way every pass makes its result."""
    out = Graph()
    out.draws = dict(graph.draws)
    new: dict[int, Node] = {}
    for n in graph.inputs:
        new[n.id] = out.input(n.type, n.name)
    for n in graph.live() if keep is None else keep:
        args = tuple(new[a.id] if isinstance(a, Node) else a for a in n.args)
        f = (replace or {}).get(n.id)
        new[n.id] = out.add(n.op, args, n.attrs, n.type, n.origin) if f is None else f(out, n, args)
    out.outputs = [new[o.id] if isinstance(o, Node) else o for o in graph.outputs]
    out.updates = {slot: new[n.id] for slot, n in graph.updates.items()}
    return out
