"""The Op record: everything graphc knows about one operator, and the table of all of them.

A record is made once, in `graphc/ops`. Nothing else in the library switches on an op's name;
passes read `kind` only. An op without samples cannot be registered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "pointwise",
    "movement",
    "reduce",
    "contract",
    "gather",
    "scatter",
    "scan",
    "random",
    "composite",
    "native",
    "opaque",
)


@dataclass(slots=True)
class Sample:
    """One call of an op for the generic tests: how to make its inputs and which attributes it gets.

    inputs: per tensor input a `Make` (or a Python number); attrs: by name; error: (type, text)
    when the call must fail; grad: whether gradcheck applies; rtol/atol: of float32 against a
    float64 reference.
    """

    inputs: tuple = ()
    attrs: dict = field(default_factory=dict)
    error: tuple | None = None
    grad: bool = True
    name: str = ""


@dataclass(frozen=True, slots=True)
class Make:
    """Recipe of one sample tensor: shape, dtype name, value range, layout.

    layout: "C" (row-major), "T" (last two axes swapped in memory), "strided" (every second element
    of a larger tensor), "offset" (starts inside its storage), "expanded" (first axis has stride 0).
    values: None for uniform numbers in [lo, hi), "normal", "special" (inf, nan, zeros ...), or a
    list.
    """

    shape: tuple
    dtype: str = "float32"
    lo: float = -2.0
    hi: float = 2.0
    layout: str = "C"
    values: Any = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One VJP with what it reads, in call order, for each parameter of `fn`: ("g",) or ("gs",)
    cotangents, ("needs",), ("in", i), ("out", j), ("attr", i), ("type", i), and for variadic ops
    ("all", i) and ("types", i): the tuple of all inputs, or of their types, from input i on (a
    parameter `tensors_from2` reads the inputs from the third on)."""

    fn: Callable
    reads: tuple


class Op:
    """One operator.

    name        the table's key, PyTorch's spelling where there is one
    kind        one of KINDS; the only thing that fusion reads
    inputs      names of the tensor inputs; a last name starting with "*" takes any number of
    tensors attrs       names of the attributes (plain hashable values) in call order
    outputs     names of the outputs
    infer       (*types, *attrs) -> TensorType or tuple of them (eager strides included); raises
    PyTorch's
                errors for bad shapes and dtypes. For pointwise ops see `dtype_rule`.
    eager       (*arrays, *attrs) -> ndarray or tuple of them
    vjp         one `Rule` per input (None: not differentiable), or a single Rule returning all
    gradients lower       how the op becomes loop IR; the form depends on kind (see CONTRIBUTING,
    "Lowering") body        composite ops: the same function written in Tensor ops; what capture
    records view        the eager result shares memory with input 0
    dtype_rule  pointwise ops: "promote" (result dtype), "float" (ints become the default float),
                "bool" (compare in the promoted dtype, give bool)
    samples     () -> iterable of Sample
    backward_name  PyTorch's class name of the tape entry (AddBackward0)
    """

    __slots__ = (
        "name",
        "kind",
        "inputs",
        "attrs",
        "outputs",
        "infer",
        "eager",
        "vjp",
        "lower",
        "body",
        "view",
        "dtype_rule",
        "samples",
        "doc",
        "backward_name",
        "variadic",
        "saved_inputs",
        "saved_outputs",
        "entry_class",
        "plans",
        "extra",
        "defaults",
        "native_name",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        inputs: tuple[str, ...],
        attrs: tuple[str, ...] = (),
        outputs: tuple[str, ...] = ("out",),
        infer: Callable | None = None,
        eager: Callable | None = None,
        vjp: Any = None,
        lower: Any = None,
        body: Callable | None = None,
        view: bool = False,
        dtype_rule: str = "promote",
        samples: Callable[[], Iterable[Sample]],
        doc: str = "",
        backward_name: str = "",
        defaults: tuple = (),
        **extra: Any,
    ):
        self.infer: Any
        self.eager: Any
        self.name, self.kind = name, kind
        self.inputs, self.attrs, self.outputs = tuple(inputs), tuple(attrs), tuple(outputs)
        self.infer, self.eager, self.lower, self.body = infer, eager, lower, body
        self.view, self.dtype_rule, self.samples, self.doc = view, dtype_rule, samples, doc
        self.variadic = bool(inputs) and inputs[-1].startswith("*")
        self.defaults = defaults  # defaults of the trailing attributes
        self.backward_name = backward_name or _class_name(name)
        self.native_name = extra.pop("native_name", name)
        self.extra = extra
        self.entry_class: type | None = None  # made by core.tape
        self.plans: dict = {}  # per-op caches of core.dispatch
        self.vjp = self._rules(vjp)
        self.saved_inputs, self.saved_outputs = self._saves()

    def _rules(self, vjp: Any) -> Any:
        if vjp is None:
            return None
        if callable(vjp):
            return self._rule(vjp)
        rules = tuple(None if f is None else self._rule(f) for f in vjp)
        if len(rules) != len(self.inputs):
            raise ValueError(f"op {self.name}: {len(rules)} VJPs for {len(self.inputs)} inputs")
        return rules

    def _rule(self, fn: Callable) -> Rule:
        reads: list[tuple] = []
        names = [n.lstrip("*") for n in self.inputs]
        for p in inspect.signature(fn).parameters:
            if p in ("g", "gs", "needs"):
                reads.append((p,))
            elif self.variadic and p.split("_from")[0] == names[-1]:
                reads.append(
                    ("all", len(names) - 1 + int(p.split("_from")[1] if "_from" in p else 0))
                )
            elif self.variadic and p == names[-1] + "_type":
                reads.append(("types", len(names) - 1))
            elif p.endswith("_type") and p[:-5] in names:
                reads.append(("type", names.index(p[:-5])))
            elif p in names:
                reads.append(("in", names.index(p)))
            elif p in self.outputs:
                reads.append(("out", self.outputs.index(p)))
            elif p in self.attrs:
                reads.append(("attr", self.attrs.index(p)))
            else:
                raise ValueError(
                    f"op {self.name}: its VJP reads {p!r}, which is no input, output or attribute"
                )
        return Rule(fn, tuple(reads))

    def _saves(self) -> tuple[frozenset, frozenset]:
        rules = self.vjp if isinstance(self.vjp, tuple) else (self.vjp,)
        reads = {r for rule in rules if rule is not None for r in rule.reads}
        if any(r[0] == "all" for r in reads):
            return frozenset(range(min(r[1] for r in reads if r[0] == "all"), 64)), frozenset()
        return (
            frozenset(r[1] for r in reads if r[0] == "in"),
            frozenset(r[1] for r in reads if r[0] == "out"),
        )

    @property
    def differentiable(self) -> bool:
        return self.vjp is not None

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple:
        return (get, (self.name,))

    def __call__(self, *args: Any, **attrs: Any) -> Any:
        """Runs the op through the funnel: tensor inputs first, then attributes (positional or
        named)."""
        n = len(self.inputs)
        if self.variadic:
            inputs, rest = tuple(args[0]), args[1:]
        else:
            inputs, rest = args[:n], args[n:]
        if attrs or len(rest) < len(self.attrs):
            rest = self._bind(rest, attrs)
        return APPLY[0](self, inputs, rest)

    def _bind(self, rest: tuple, named: dict) -> tuple:
        values = list(rest)
        missing = len(self.attrs) - len(self.defaults)
        for i in range(len(rest), len(self.attrs)):
            name = self.attrs[i]
            if name in named:
                values.append(named[name])
            elif i >= missing:
                values.append(self.defaults[i - missing])
            else:
                raise TypeError(f"{self.name}() missing required argument: {name!r}")
        unknown = set(named) - set(self.attrs)
        if unknown:
            raise TypeError(
                f"{self.name}() got an unexpected keyword argument {sorted(unknown)[0]!r}"
            )
        return tuple(values)


# The funnel registers itself here: `ir` is below `core` and may not import it.
APPLY: list[Callable] = []

_TABLE: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Puts a record into the table after checking that it is complete."""
    if op.name in _TABLE:
        raise ValueError(f"op {op.name} is registered twice")
    if op.kind not in KINDS:
        raise ValueError(f"op {op.name}: kind {op.kind!r} is none of {KINDS}")
    if op.samples is None:
        raise ValueError(f"op {op.name} has no samples")
    if op.eager is None and op.body is None:
        raise ValueError(f"op {op.name} has neither an eager kernel nor a body")
    if op.infer is None and op.kind not in ("pointwise", "composite"):
        raise ValueError(f"op {op.name} has no type rule")
    if op.kind not in ("composite", "opaque") and op.lower is None:
        raise ValueError(f"op {op.name} has no lowering; declare it opaque if it has to stay so")
    _TABLE[op.name] = op
    return op


def get(name: str) -> Op:
    """The record of that name; KeyError when there is none."""
    return _TABLE[name]


def table() -> dict[str, Op]:
    """All records by name (the live table: do not change it)."""
    return _TABLE


def _class_name(name: str) -> str:
    return "".join(w.capitalize() for w in name.strip("_").split("_")) + "Backward0"
