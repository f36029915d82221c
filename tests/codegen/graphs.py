"""Graphs built by hand for the compiler's tests, and eager execution node by node as their
oracle."""

import numpy as np

from graphc.base import dtypes
from graphc.compiler.lower.values import input_dtypes
from graphc.core import dispatch
from graphc.core.tensor import wrap
from graphc.ir import op as table
from graphc.ir.graph import Draw, Graph, Node, Scalar
from graphc.ir.types import TensorType, broadcast_shapes, pointwise_strides, tensor_type


class Builder:
    """Adds ops by name with capture's normal form: operands expanded and cast explicitly."""

    def __init__(self):
        import graphc  # noqa: F401  (registers the ops)

        self.graph = Graph()

    def input(self, shape, dtype=dtypes.float32, strides=None):
        t = tensor_type(shape, dtype)
        if strides is not None:
            t = TensorType(tuple(shape), dtype, tuple(strides))
        return self.graph.input(t)

    def __call__(self, name, *args, **attrs):
        op = table.get(name)
        n = len(op.inputs)
        if op.variadic:
            inputs, rest = tuple(args[0]), args[1:]
        else:
            inputs, rest = args[:n], args[n:]
        values = op._bind(rest, attrs) if attrs or len(rest) < len(op.attrs) else tuple(rest)
        if op.kind == "pointwise":
            return self._pointwise(op, inputs, values)
        types = [a.type if isinstance(a, Node) else a for a in inputs]
        t = op.infer(tuple(types), *values) if op.variadic else op.infer(*types, *values)
        return self.graph.add(op, inputs, values, t)

    def _pointwise(self, op, inputs, attrs):
        keys = [
            (a.dtype if a.shape else a.dtype.zero_dim)
            if isinstance(a, Node)
            else type(a.hint)
            if isinstance(a, Scalar)
            else dispatch.number_type(a)
            for a in inputs
        ]
        plan = dispatch.plan_of(op, tuple(keys))
        nodes = [a for a in inputs if isinstance(a, Node)]
        shape = broadcast_shapes(*[a.shape for a in nodes])
        args = []
        for a, d in zip(inputs, plan.inputs):
            if isinstance(a, Node):
                if a.dtype is not d:
                    a = self.graph.add(
                        table.get(f"to_{d.name}"), (a,), (), TensorType(a.shape, d, a.type.strides)
                    )
                if tuple(a.shape) != tuple(shape):
                    a = self("expand", a, tuple(shape))
            args.append(a)
        strides = pointwise_strides(tuple(shape), [(n.type.shape, n.type.strides) for n in nodes])
        return self.graph.add(op, tuple(args), attrs, TensorType(tuple(shape), plan.out, strides))

    def run(self, arrays, scalars=(), rng=()):
        return interpret(self.graph, arrays, scalars, rng)


def interpret(graph, arrays, scalars=(), rng=()):
    """(outputs, {slot: array}) through the eager kernels, one node at a time."""
    values = {n.id: a for n, a in zip(graph.inputs, arrays, strict=True)}

    def get(a):
        if isinstance(a, Node):
            return values[a.id]
        return scalars[a.index] if isinstance(a, Scalar) else a

    for n in graph.nodes:
        if n.is_output_of:
            values[n.id] = values[n.args[0].id][n.attrs[1]]
            continue
        attrs = tuple(
            (rng[x.slot][0], rng[x.slot][1] + x.offset) if isinstance(x, Draw) else x
            for x in n.attrs
        )
        if n.op.kind == "pointwise":
            tensors = tuple(
                wrap(np.asarray(get(a)), a.dtype) if isinstance(a, Node) else get(a) for a in n.args
            )
            if all(isinstance(t, (int, float)) for t in tensors):
                tensors = (wrap(np.full(n.shape, tensors[0], input_dtypes(n)[0].np)), *tensors[1:])
            out = dispatch.run_pointwise(n.op, tensors, attrs)
        else:
            tensors = tuple(wrap(np.asarray(get(a)), a.dtype) for a in n.args)
            out = dispatch.run(n.op, tensors, attrs)
        values[n.id] = tuple(t._array for t in out) if type(out) is tuple else out._array
    outs = [values[o.id] if isinstance(o, Node) else o for o in graph.outputs]
    return outs, {s: values[n.id] for s, n in graph.updates.items()}


def same_bits(a, b):
    """Equal shape, dtype and bits, every nan being one."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "fV" or a.dtype.name == "bfloat16":
        wide = np.uint16 if a.itemsize == 2 else np.uint32 if a.itemsize == 4 else np.uint64
        x, y = np.ascontiguousarray(a).view(wide), np.ascontiguousarray(b).view(wide)
        nan = np.isnan(a.astype(np.float64)) & np.isnan(b.astype(np.float64))
        return bool(np.all((x == y) | nan))
    return bool(np.array_equal(a, b))
