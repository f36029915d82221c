"""The tracer: what core calls while a program is being captured. Takes op calls, writes, `.grad`
accesses and random draws, gives nodes of one Graph and tensors without memory.

Invariants: no array and no field of a real tensor is changed for good; a traced tensor's node is
always the present contents of its memory; every pointwise node has operands of its own shape and
compute dtype.
"""

from __future__ import annotations

import sys
from typing import Any

from ...base import dtypes
from ...base.errors import CaptureBreak, Origin, internal, user_origin
from ...core import dispatch
from ...core.modes import STATE
from ...core.storage import Storage
from ...core.tape import TapeEntry
from ...core.tensor import Tensor, link_view
from ...ir import op as op_module
from ...ir.graph import Draw, Graph, Node, Scalar
from ...ir.index import Index, SizesEqual, alike, lower_int, plain, relation
from ...ir.op import Op
from ...ir.types import TensorType, broadcast_shapes, is_dense, overlaps, pointwise_strides
from .lift import Cell, Lifter, Source, View, window_op
from .symbols import Sym, known

_new = object.__new__
_MISSING: Any = object()


class Boundary(TapeEntry):
    """Stands for the history that a real tensor has outside the captured program."""

    __slots__ = ("tensor",)

    tensor: Tensor

    def name(self) -> str:
        return "Boundary"

    def run(self, grads: list) -> Any:
        raise CaptureBreak(
            "backward() inside compiled code reaches a tensor that was computed outside of it",
            "compute it inside the compiled function, or detach() it",
            kind="history",
        )


class Tracer:
    """One capture. See the module docstring; `Capture` in `capture.program` drives it."""

    transforms = False  # it stands below the tape

    def __init__(self, merge: dict, sized: dict[int, TensorType] | None = None):
        self.graph = Graph()
        self.lifter = Lifter(self.graph, merge, sized or {})
        self.size_guards: dict[str, tuple] = {}  # relation of sizes -> (outcome, origin)
        self.scalar_leaves: list[tuple] = []  # (kind, what) per leaf number
        self._leaf_of: dict[tuple, Sym] = {}
        self.scalar_texts: dict[str, Scalar] = {}  # expression -> slot
        self.scalar_guards: dict[str, tuple] = {}  # expression -> (outcome, origin)
        self.grads: dict[int, tuple] = {}  # id(tensor) -> (tensor, present .grad)
        self.grad_entry: dict[
            int, tuple
        ] = {}  # id(tensor) -> (tensor, .grad on entry), when read first
        self.needs: dict[int, tuple] = {}  # id(tensor) -> (tensor, requires_grad_() value)
        self.offsets: set[int] = set()  # slots whose place in their storage was read
        self.generators: list[tuple] = []  # (generator, blocks drawn so far)
        self.boundaries: list[Boundary] = []
        self.constants: dict[int, tuple] = {}
        self._origins: dict[tuple, Origin | None] = {}
        self._user_code: dict[Any, bool] = {}
        self.entry_origin: Origin | None = None  # of the tape entry whose VJP is running

    # ---- the user's line

    def origin(self) -> Origin | None:
        """The innermost user frame, found once per (code, line). Inside backward: the forward's
        line."""
        if self.entry_origin is not None:
            return self.entry_origin
        frame: Any = sys._getframe(2)
        users = self._user_code
        while frame is not None:
            code = frame.f_code
            mine = users.get(code)
            if mine is None:
                mine = users[code] = not internal(code.co_filename)
            if mine:
                key = (code, frame.f_lineno)
                found = self._origins.get(key)
                if found is None:
                    found = self._origins[key] = Origin(code.co_filename, frame.f_lineno)
                return found
            frame = frame.f_back
        return None

    # ---- tensors and nodes

    def concrete(self, t: Tensor, what: str) -> Any:
        """No tensor has a value yet."""
        raise CaptureBreak(
            f"{what} needs the tensor's value, which is not known while compiling",
            "move it out of the compiled function, or compute with tensors "
            "(graphc.where) instead",
            kind="value",
        )

    def shown(self, t: Tensor) -> str:
        return self.concrete(t, "printing a tensor")

    def view(self, t: Tensor) -> View:
        """How t shows its memory; lifts real tensors."""
        if t._array is not None:
            view = self.lifter.lift(t)
            if (
                t._fn is not None
                and type(t._fn) is not Boundary
                and id(t) in self.lifter.saved
                and self.lifter.saved[id(t)].fn is t._fn
            ):
                self._bound(t)
            return view
        return t._trace

    def _bound(self, t: Tensor) -> None:
        """Cuts a real tensor's history off at the border of the program."""
        b = Boundary()
        fn = t._fn
        b.op, b.edges, b.attrs, b.saved, b.types = fn.op, (), (), None, None
        b.seq, b.origin, b.notes, b.pre_hooks, b.post_hooks = 0, None, None, None, None
        b.metas, b.out_types = (), ((t.shape, t.dtype),)
        b.tensor = t
        t._fn = b
        t.__dict__.pop("_output_nr", None)
        self.boundaries.append(b)

    def node(self, t: Tensor) -> Node:
        """The node of t's present contents."""
        view = t._trace if t._array is None else self.view(t)
        if view.version != view.cell.version:
            self._refresh(view)
        node = view.node
        if node is None:
            raise RuntimeError(
                "this tensor was made while compiling another function and has no value here"
            )
        return node

    def _refresh(self, view: View) -> None:
        cell = view.cell
        node = cell.node
        origin = self.origin()
        for op, attrs, type in view.chain:
            if op is window_op():
                node = self._laid_out(node, cell.type, origin)
            node = self.graph.add(op, (node,), attrs, type, origin)
        view.node, view.version = node, cell.version

    def _laid_out(self, node: Node, type: TensorType, origin: Any) -> Node:
        """node with the strides of `type`: windows speak of memory positions."""
        if alike(node.type.strides, type.strides):
            return node
        return self.graph.add(op_module.get("clone"), (node,), (type.strides,), type, origin)

    def fresh(self, node: Node, type: TensorType) -> Tensor:
        """A traced tensor over memory of its own."""
        cell = Cell(node, type)
        t = _new(Tensor)
        t._array, t.dtype, t._storage = None, type.dtype, Storage(cell)
        t._needs, t._fn = False, None
        t._meta, t._trace = type, View(cell, (), node)
        return t

    # ---- ops

    def apply(self, op: Op, inputs: tuple, attrs: tuple) -> Any:
        """One op call: adds its node(s), returns traced tensors."""
        attrs = plain(attrs)
        if op.kind == "pointwise":
            return self._pointwise(op, inputs, known(attrs))
        if op.kind == "composite":
            return self._composite(op, inputs, attrs)
        attrs = known(attrs)
        args: tuple = tuple([None if t is None else self.node(t) for t in inputs])  # None: left out
        types = tuple([None if t is None else t.type_ for t in inputs])
        if op.variadic and len(op.inputs) == 1:
            type = op.infer(types, *attrs)  # type: ignore[misc]
        else:
            type = op.infer(*types, *attrs)  # type: ignore[misc]
        if op.view and not op.extra.get("recast"):
            return self._view(op, inputs[0], args[0], attrs, type)
        node = self.graph.add(op, args, attrs, type, self.origin())
        if isinstance(type, TensorType):
            t = self.fresh(node, type)
            if op.view:  # parts of complex numbers: values here, so nobody may write either side
                self.view(t).cell.recast = self.view(inputs[0]).cell.recast = True
            return t
        return tuple(
            [self.fresh(self.graph.output_of(node, j), each) for j, each in enumerate(type)]
        )

    def _view(self, op: Op, parent: Tensor, node: Node, attrs: tuple, type: Any) -> Tensor:
        if not isinstance(type, TensorType):
            raise CaptureBreak(
                f"{op.name} returns several views at once, which is not captured",
                "take the views one by one",
                kind="internal",
            )
        of = self.view(parent)
        meta = parent.type_
        delta = 0
        if type.numel != 0 and op is not window_op():
            first = op.lower([0] * len(type.shape), meta, *attrs)
            delta = lower_int(sum(i * s for i, s in zip(first, meta.strides, strict=True)))
        if op is window_op():
            delta = attrs[2]
            start = delta + parent._start() - of.cell.offset
            self._check_window(of.cell, type, start)
            attrs = (attrs[0], attrs[1], start)
            node = self._laid_out(of.cell.node, of.cell.type, self.origin())
            chain: tuple = ((op, attrs, type),)
            if type.alike(of.cell.type) and alike(start, 0):
                chain = ()
        elif type.alike(meta) and alike(delta, 0):
            chain = of.chain
        else:
            chain = (*of.chain, (op, attrs, type))
        if chain is not of.chain and chain:
            node = self.graph.add(op, (node,), attrs, type, self.origin())
        t = _new(Tensor)
        t._array, t.dtype, t._storage = None, type.dtype, parent._storage
        t._needs, t._fn = False, None
        t._meta, t._trace = type, View(of.cell, chain, node)
        t._offset = parent._start() + delta
        link_view(t, parent)
        return t

    def storage_bytes(self, t: Tensor) -> int:
        """The size of the memory that t belongs to."""
        cell = self.view(t).cell
        if cell.region is not None:
            return int(cell.region.root.nbytes)
        own = cell.type
        reach = sum((n - 1) * s for n, s in zip(own.shape, own.strides, strict=True))
        return (1 + reach) * own.dtype.itemsize if own.numel else 0

    def _check_window(self, cell: Cell, type: TensorType, start: int) -> None:
        """A window has to lie inside its slot; more of a real storage becomes one slot."""
        own = cell.type
        if type.numel == 0:
            return
        reach = sum((n - 1) * s for n, s in zip(own.shape, own.strides, strict=True))
        last = start + sum((n - 1) * s for n, s in zip(type.shape, type.strides, strict=True))
        inside = 0 <= start and last <= reach
        if inside and (cell.region is None or is_dense(own.shape, own.strides)):
            return
        size, region = own.dtype.itemsize, cell.region
        first = 0 if region is None else cell.offset + start
        if region is None or first < 0 or (first + last - start + 1) * size > region.root.nbytes:
            raise RuntimeError(
                f"setStorage: sizes {list(type.shape)}, strides {list(type.strides)}, storage "
                f"offset {start} are out of bounds for the storage of this tensor"
            )
        self.lifter.unite(
            region,
            (
                region.start + first * size,
                type.shape,
                tuple(s * size for s in type.strides),
                type.dtype,
            ),
        )

    def _composite(self, op: Op, inputs: tuple, attrs: tuple) -> Any:
        """The body in place of the kernel: same bits, and the graph sees its parts."""
        saved, STATE.grad = STATE.grad, False
        try:
            out = op.body(*(inputs if not op.variadic else (inputs,)), *attrs)  # type: ignore[misc]
        finally:
            STATE.grad = saved
        types = None
        if op.infer is not None:
            seen = [t.type_ if isinstance(t, Tensor) else t for t in inputs]
            types = op.infer(*([tuple(seen)] if op.variadic else seen), *attrs)
        if type(out) is tuple:
            return tuple(
                [self._own(t, None if types is None else types[j]) for j, t in enumerate(out)]
            )
        return self._own(out, types)

    def _own(self, t: Any, type: Any) -> Any:
        """t's contents as a result of its own (the body may have returned an input or a view)."""
        if t is None:
            return None
        meta = t.type_ if type is None else type
        return self.fresh(self._laid_out(self.node(t), meta, self.origin()), meta)

    def _pointwise(self, op: Op, inputs: tuple, attrs: tuple) -> Tensor:
        keys, shapes, operands = [], [], []
        for t in inputs:
            if isinstance(t, Tensor):
                meta = t.type_
                keys.append(t.dtype if meta.shape else t.dtype.zero_dim)
                shapes.append(meta.shape)
                operands.append((meta.shape, meta.strides))
            else:
                keys.append(dispatch.number_type(t))
                operands.append(((), ()))
        plan = dispatch.plan_of(op, tuple(keys))
        shape = broadcast_shapes(*shapes) if len(shapes) > 1 else shapes[0] if shapes else ()
        if not shapes:
            raise CaptureBreak(
                f"{op.name} of Python numbers alone", "pass a tensor", kind="internal"
            )
        type = TensorType(shape, plan.out, pointwise_strides(shape, operands))
        origin = self.origin()
        args = tuple(
            [
                self._operand(t, d, shape, origin) if isinstance(t, Tensor) else self._number(t, d)
                for t, d in zip(inputs, plan.inputs, strict=True)
            ]
        )
        return self.fresh(self.graph.add(op, args, attrs, type, origin), type)

    def _operand(self, t: Tensor, d: Any, shape: tuple, origin: Any) -> Node:
        node = self.node(t)
        if t.dtype is not d:
            node = self._cast(node, d, origin)
        if not alike(node.type.shape, shape):
            op = op_module.get("expand")
            # type: ignore
            node = self.graph.add(op, (node,), (shape,), op.infer(node.type, shape), origin)
        return node

    def _cast(self, node: Node, d: Any, origin: Any) -> Node:
        meta = node.type
        strides = pointwise_strides(meta.shape, [(meta.shape, meta.strides)])
        return self.graph.add(
            op_module.get(f"to_{d.name}"),
            (node,),
            (),
            TensorType(meta.shape, d, strides, meta.device),
            origin,
        )

    def _number(self, x: Any, d: Any) -> Any:
        """A Python number as an immediate operand of compute dtype d; run-time ones become
        slots."""
        if type(x) is Sym:
            if d.is_floating_point and x.number_type is float:
                return self.scalar_slot(x)
            if d.is_floating_point and x.number_type is int:
                return self.scalar_slot(Sym(f"float({x.text})", float(x.value), self))
            x = x.known()
        x = plain(x)
        if type(x) is Index and not x.is_constant:  # a size as a number
            return x
        if d.category == dtypes.FLOAT:
            return float(x)
        if d.category == dtypes.INT:
            dispatch.number_array(x, d)  # raises when it does not fit
            return int(x)
        return bool(x) if d.category == dtypes.BOOL else complex(x)

    # ---- memory

    def write(self, target: Tensor, value: Tensor) -> None:
        """target's memory = value. A whole cell takes the value as it is, a window is scattered
        into it."""
        view = self.view(target)
        cell = view.cell
        if cell.recast:
            raise CaptureBreak(
                "memory that is seen as complex numbers and as their parts is written",
                "compute new tensors with graphc.complex() instead",
                kind="complex",
            )
        origin = self.origin()
        node = self.node(value)
        if value.dtype is not target.dtype:
            node = self._cast(node, target.dtype, origin)
        if cell.slot is not None and not cell.version:
            self.lifter.written(cell)
        meta = target.type_
        if not alike(node.type.shape, meta.shape):
            op = op_module.get("expand")
            node = self.graph.add(
                op, (node,), (meta.shape,), op.infer(node.type, meta.shape), origin
            )  # type: ignore
        if not view.chain:
            cell.node = node
        elif meta.numel != 0:
            cell.node = self._scatter(cell, meta, target, node, origin)
        cell.version += 1
        if not (view.chain and overlaps(meta.shape, meta.strides)):  # else later writes are seen
            view.node, view.version = node, cell.version
        if not view.chain:
            cell.node = node

    def _scatter(
        self, cell: Cell, meta: TensorType, target: Tensor, node: Node, origin: Any
    ) -> Node:
        start = target._start() - cell.offset
        own = cell.type
        if (
            meta.numel == own.numel
            and is_dense(own.shape, own.strides)
            and is_dense(meta.shape, meta.strides)
        ):
            return self._rearranged(own, meta, node, origin)
        if not is_dense(own.shape, own.strides) and cell.region is not None:
            at = cell.region.start + cell.offset * own.dtype.itemsize
            span = tuple(s * own.dtype.itemsize for s in own.strides)
            self.lifter.unite(cell.region, (at, own.shape, span, own.dtype))
        root = self._laid_out(cell.node, own, origin)
        op = op_module.get(
            "as_strided_put" if overlaps(meta.shape, meta.strides) else "as_strided_scatter"
        )
        return self.graph.add(op, (root, node), (meta.shape, meta.strides, start), own, origin)

    def _rearranged(self, own: TensorType, meta: TensorType, node: Node, origin: Any) -> Node:
        """A value that covers a dense cell wholly, under another shape or axis order, as the
        cell's own."""
        node = self._laid_out(node, meta, origin)
        op = window_op()
        return self.graph.add(op, (node,), (own.shape, own.strides, 0), own, origin)

    def read_offset(self, t: Tensor) -> None:
        """The user's code learns where t starts in its memory: a fact about the inputs."""
        cell = self.view(t).cell
        if cell.slot is not None:
            self.offsets.add(cell.slot)

    def same_place(self, a: Tensor, b: Tensor) -> bool:
        """Whether two tensors show the same memory in the same way."""
        return (
            self.view(a).cell is self.view(b).cell
            and a.type_ == b.type_
            and a._start() == b._start()
        )

    def snapshot(self, t: Tensor) -> Tensor:
        """t's present contents under memory of their own."""
        node, meta = self.node(t), t.type_
        strides = pointwise_strides(meta.shape, [(meta.shape, meta.strides)])
        if not alike(strides, meta.strides):
            meta = TensorType(meta.shape, meta.dtype, strides, meta.device)
            node = self._laid_out(node, meta, self.origin())
        return self.fresh(node, meta)

    def constant(self, t: Tensor) -> Tensor:
        """A tensor made from Python data while capturing: its contents are part of the program."""
        a = t._array
        if a.size == 1 and not t.dtype.is_complex:
            x = a.reshape(-1)[0]
            return self.full(a.shape, float(x) if t.dtype.is_floating_point else x.item(), t.dtype)
        cell = self.lifter.slot(t.type_, Source("const", a))
        return self.fresh(cell.node, t.type_)

    def full(self, shape: tuple, value: Any, dtype: Any) -> Tensor:
        """A tensor of one value, which may be a run-time number."""
        op = op_module.get("full")
        shape = plain(tuple(shape))
        type = op.infer(shape, dtype, 0)  # type: ignore[misc]
        origin = self.origin()
        value = self._number(value, dtype)
        late = isinstance(value, Scalar)
        node = self.graph.add(op, (), (shape, dtype, 0.0 if late else value), type, origin)
        if late:
            node = self.graph.add(op_module.get("fill"), (node, value), (), type, origin)
        return self.fresh(node, type)

    # ---- gradients and flags of real tensors

    def get_grad(self, t: Tensor) -> Any:
        found = self.grads.get(id(t))
        if found is not None:
            return found[1]
        if not self.lifter.real(t):
            return None
        g = t._grad
        self.lifter.save(t)
        self.grad_entry[id(t)] = (t, g)
        if g is not None:
            self.lifter.known.setdefault(id(g), Source("grad", t))
        self.grads[id(t)] = (t, g)
        return g

    def set_grad(self, t: Tensor, value: Any) -> None:
        if self.lifter.real(t):
            self.lifter.save(t)
        self.grads[id(t)] = (t, value)

    def set_requires_grad(self, t: Tensor, value: bool) -> None:
        if self.lifter.real(t):
            self.lifter.save(t)
            self.needs[id(t)] = (t, value)

    # ---- numbers and randomness

    def leaf(self, kind: str, key: tuple, what: Any, value: Any) -> Sym:
        """The Sym of a number that is read anew on every call."""
        found = self._leaf_of.get(key)
        if found is None:
            found = self._leaf_of[key] = Sym(f"s[{len(self.scalar_leaves)}]", value, self)
            self.scalar_leaves.append((kind, what, type(value)))
        return found

    def scalar(self, mapping: Any, key: Any, value: Any) -> Any:
        """A number of a mapping (an optimizer's group): floats stay run-time numbers, ints are
        guarded."""
        sym = self.leaf("item", ("item", id(mapping), key), (mapping, key), value)
        return sym if type(value) is float else sym.known()

    def scalar_slot(self, sym: Sym) -> Scalar:
        found = self.scalar_texts.get(sym.text)
        if found is None:
            found = self.scalar_texts[sym.text] = Scalar(len(self.scalar_texts), float(sym.value))
        return found

    def size_number(self, size: Index) -> Sym:
        """A size as a run-time number, for arithmetic that leaves the whole numbers."""
        return self.leaf("size", ("size", size.key), size, size.hint)

    def decided(self, sign: str, left: Index, right: Any, outcome: bool) -> None:
        """A comparison of sizes that this call's sizes decided. Raises SizesEqual for sizes found
        to be the same."""
        if sign == "==" and outcome:
            raise SizesEqual(left - right)
        text = relation(left, sign, right)
        if text not in self.size_guards:
            self.size_guards[text] = (outcome, user_origin(3))

    def guard_scalar(self, text: str, outcome: Any) -> None:
        if text not in self.scalar_guards:
            self.scalar_guards[text] = (outcome, user_origin(3))

    def draw(self, generator: Any, words: Any) -> Draw:
        """The position of a draw relative to where the generator stands when the program starts."""
        from ...core.rng import WORDS_PER_BLOCK

        known_generators = [g for g, _ in self.generators]
        if not any(g is generator for g in known_generators):
            self.generators.append((generator, 0))
            known_generators.append(generator)
        slot = next(i for i, g in enumerate(known_generators) if g is generator)
        at = self.generators[slot][1]
        blocks = -(-plain(words) // WORDS_PER_BLOCK)
        self.generators[slot] = (generator, lower_int(at + blocks))
        self.graph.draws[slot] = self.generators[slot][1]
        return Draw(slot, at)

    def refuse(self, what: str, fix: str, kind: str) -> None:
        raise CaptureBreak(what, fix, kind=kind)

    def entering(self, entry: TapeEntry | None) -> None:
        """Called around each VJP: its nodes carry the forward's line."""
        origin = entry.origin if entry is not None else None
        self.entry_origin = origin and origin._replace(backward=True)
