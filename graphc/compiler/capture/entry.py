"""The entry of a specialisation: takes a `Captured` and a program, gives `call(args)`, a Python
function written for exactly these guards and outputs. It returns `MISS` when a guard fails and
changes nothing then.
Invariant: every guard is checked before the program runs, everything is delivered after it
succeeded.
"""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np

from ...base import dtypes, pytree
from ...core import observe
from ...core.modes import STATE
from ...core.storage import INFERENCE, Storage
from ...core.tensor import Tensor, address
from ...ir.index import Index, of_symbol, plain
from ...ir.types import TensorType
from .facts import FIXED, MISSING, freeze, unchanged
from .forms import remade
from .lift import Source
from .program import Captured, Made
from .symbols import evaluator, same_number

_LATE = ("arg", "grad", "place")  # sources that may be other memory on every call
MISS: Any = type("Miss", (), {"__repr__": lambda self: "MISS"})()


class Entry:
    """Writes the source of one `call` and makes it."""

    def __init__(self, captured: Captured, program: Any):
        self.c, self.program = captured, program
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "MISS": MISS,
            "STATE": STATE,
            "EPOCH": observe.epoch,
            "MODES": dtypes,
            "new": object.__new__,
            "Tensor": Tensor,
            "Storage": Storage,
            "run": program.call,
            "flatten": pytree.flatten,
            "unflatten": pytree.unflatten,
            "same": same_number,
            "window": window,
            "region": region,
            "unchanged": unchanged,
            "MISSING": MISSING,
            "address": address,
            "remade": remade,
            "contains": operator.contains,
            "repeat": itertools.repeat,
        }
        self.epoch = [observe.epoch[0]]
        self.held: dict[int, str] = {}
        self.sizes: dict[str, int] = {}  # symbolic sizes: name -> value at capture
        # memory of held tensors: {id of its owner}, and the tensors, for when theirs is replaced
        self.fixed: tuple[set[int], list[Tensor]] = (set(), [])

    def add(self, line: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + line)

    def const(self, value: Any, prefix: str = "k") -> str:
        name = f"{prefix}{len(self.names)}"
        self.names[name] = value
        return name

    def miss_if(self, condition: str) -> None:
        self.add(f"if {condition}: return MISS")

    # ---- pieces

    def build(self) -> Any:
        self._arguments()
        self._places()
        self._modes()
        self._facts()
        self._numbers()
        self._inputs()
        self._alias_guards()
        self._run()
        self._deliver()
        text = "def call(args, kwargs=None):\n" + "\n".join(self.lines) + "\n"
        exec(compile(text, "<graphc entry>", "exec"), self.names)  # noqa: S102
        call = self.names["call"]
        call.source = text
        call.epoch = self.epoch
        return call

    def _arguments(self) -> None:
        c = self.c
        n = len(c.leaves)
        flat = _flat_count(c.arg_spec)
        xs = ", ".join(f"x{i}" for i in range(n))
        if flat == n:
            self.miss_if(f"kwargs or len(args) != {n}")
            if n:
                self.add(f"{xs}{',' if n == 1 else ''} = args")
        else:
            spec = self.const(c.arg_spec)
            self.add("leaves, spec = flatten((args, kwargs or {}))")
            self.miss_if(f"spec != {spec}")
            if n:
                self.add(f"{xs}{',' if n == 1 else ''} = leaves")
        for i, x in enumerate(c.leaves):
            self._leaf(i, x)
        assumed = [(text, outcome) for text, (outcome, _) in c.size_guards.items()]
        backward = c.joint.assumes if c.joint is not None else ()
        for text, outcome in dict([*assumed, *self.program.assumes, *backward]).items():
            self.miss_if(f"not ({text})" if outcome else text)

    def _leaf(self, i: int, x: Any) -> None:
        if isinstance(x, Tensor):
            self._like(f"x{i}", f"a{i}", x, self.c.sizes.get(i))
        elif type(x) is float and any(k == "arg" and w == i for k, w, _ in self.c.scalar_leaves):
            self.miss_if(f"type(x{i}) is not float")
        elif type(x) in (float, complex):
            self.miss_if(f"not same(x{i}, {self.const(x)})")
        elif type(x) in (int, bool, str, bytes, type(None)):
            self.miss_if(f"type(x{i}) is not {self.const(type(x))} or x{i} != {x!r}")
        else:
            frozen = freeze(x)
            if frozen[0] == "is":
                self.miss_if(f"x{i} is not {self.const(x)}")
            else:
                self.miss_if(f"not unchanged(x{i}, {self.const(frozen)})")

    def _like(self, name: str, array: str, t: Tensor, sized: Any = None) -> None:
        """`name` is a tensor like t (of type `sized`, if it has one); `array` becomes its
        memory."""
        meta = sized or t.type_
        self.miss_if(f"type({name}) is not {self.const(type(t))}")
        self.add(f"{array} = {name}._array")
        known = f"{array} is None"
        if sized is not None:
            self._sizes(array, meta)
            known = "False"
        bytes_ = tuple(s * t.dtype.itemsize for s in meta.strides)
        leaf = f" or ({name}._fn is None) is not {t._fn is None}" if t._needs else ""
        empty = sized is None and 0 in meta.shape  # numpy's strides are any then
        strides = "" if empty else f"{array}.strides != {self._tuple(bytes_)} or "
        self.miss_if(
            f"{known} or {array}.shape != {self._tuple(meta.shape)} or {strides}"
            f"{name}.dtype is not {self.const(t.dtype)} or "
            f"{name}._needs is not {t._needs}{leaf}"
        )
        for key, value in user_attributes(t):
            self.miss_if(
                f"not unchanged({name}.__dict__.get({key!r}, MISSING), {self.const(freeze(value))})"
            )

    def _places(self) -> None:
        """The tensors of the variables that the program changes."""
        for i, place in enumerate(self.c.places):
            self.add(f"p{i} = {self.const(place)}.read()")
            self._like(f"p{i}", f"b{i}", place.entry)

    def _sizes(self, array: str, meta: Any) -> None:
        """Binds the symbolic sizes of an argument that stand alone for the first time."""
        self.miss_if(f"{array} is None or {array}.ndim != {len(meta.shape)}")
        for d, n in enumerate(meta.shape):
            for s in n.symbols() if isinstance(n, Index) else ():
                if s.name not in self.sizes and n.same(of_symbol(s)):
                    self.sizes[s.name] = int(s.hint or 0)
                    self.add(f"{s.name} = {array}.shape[{d}]")
                    self.miss_if(f"{s.name} < {s.lo}")

    def _tuple(self, values: tuple) -> str:
        texts = [str(plain(v)) if isinstance(v, Index) else str(int(v)) for v in values]
        return f"({', '.join([*texts, ''])})"

    def _modes(self) -> None:
        if self.c.joint is not None:
            self.miss_if(f"{self.const(self.c.joint)}.wanted is not None")
        grad, inference, default, (autocast, cast_to) = self.c.mode
        extra = " or not STATE.inference" if inference else " or STATE.inference"
        self.miss_if(
            f"STATE.grad is not {grad}{extra} or MODES._default is not {self.const(default)} "
            f"or STATE.autocast is not {'None' if autocast is None else self.const(autocast)} "
            f"or STATE.autocast_dtype is not {self.const(cast_to)}"
        )

    def _facts(self) -> None:
        reads = self.c.reads
        self.names["revalidate"] = self._revalidate
        e = self.const(self.epoch)
        self.miss_if(f"EPOCH[0] != {e}[0] and not revalidate()")
        absent: dict[Any, list] = {}
        for check in reads.every_call:
            if check.frozen[1] is MISSING and isinstance(check.holder, dict):
                absent.setdefault(check.key, []).append(check.holder)
            else:
                self._check(check)
        for key, holders in absent.items():  # one test for all that lack a name
            self.miss_if(f"any(map(contains, {self.const(holders)}, repeat({self._key(key)})))")

    def _check(self, check: Any) -> None:
        kind, seen = check.frozen[0], check.frozen[1]
        holder = self.const(check.holder) if check.holder is not None else ""
        if isinstance(check.holder, dict):
            got = f"{holder}.get({self._key(check.key)}, MISSING)"
        elif check.key is None and hasattr(check.holder, "cell_contents"):
            got = f"{holder}.cell_contents"
        elif check.key == "__code__":
            got = f"{holder}.__code__"
        else:
            got = f"{self.const(check.read)}()"
        if kind == "is":
            self.miss_if(f"{got} is not {self.const(seen)}")
        elif kind in FIXED:
            self.add(f"v = {got}")
            self.miss_if(
                f"v is not {self.const(seen)} and not unchanged(v, {self.const(check.frozen)})"
            )
        else:
            self.miss_if(f"not unchanged({got}, {self.const(check.frozen)})")

    def _key(self, key: Any) -> str:
        return repr(key) if type(key) in (str, int) else self.const(key)

    def _revalidate(self) -> bool:
        """The epoch moved: are the facts about modules still true?"""
        if all(c.holds() for c in self.c.reads.module_state):
            self.epoch[0] = observe.epoch[0]
            return True
        return False

    def _numbers(self) -> None:
        c = self.c
        if not c.scalar_leaves:
            return
        parts = []
        for kind, what, of in c.scalar_leaves:
            if kind == "arg":
                parts.append(f"x{what}")
            elif kind == "size":
                parts.append(str(what))
            else:
                mapping, key = what
                name = f"n{len(parts)}"
                self.add(
                    f"{name} = {self.const(mapping)}.get({self.const(key)})"
                    if isinstance(mapping, dict)
                    else f"{name} = {self.const(mapping)}[{self.const(key)}]"
                )
                self.miss_if(f"type({name}) is not {self.const(of)}")
                parts.append(name)
        self.add(f"s = ({', '.join(parts)},)")
        for text, (outcome, _) in c.scalar_guards.items():
            value = self.const(evaluator([text]))
            self.miss_if(f"not same({value}(s)[0], {self.const(outcome)})")

    def ref(self, source: Source) -> str:
        """The expression of the tensor that a source names."""
        if source.kind == "arg":
            return f"x{source.ref}"
        if source.kind == "place":
            return f"p{source.ref}"
        if source.kind == "base":
            return f"x{source.ref}._base"
        if source.kind == "grad":
            return f"{self.ref(self._of(source.ref))}._grad"
        t = source.ref
        name = self.held.get(id(t))
        if name is None:
            name = self.held[id(t)] = self.const(t, "h")
        return name

    def _of(self, t: Tensor) -> Source:
        for i, x in enumerate(self.c.leaves):
            if x is t:
                return Source("arg", i)
        for i, place in enumerate(self.c.places):
            if place.entry is t:
                return Source("place", i)
        return Source("held", t)

    def _inputs(self) -> None:
        c = self.c
        parts: list[str] = []
        held: list[tuple] = []
        for source, entry in c.grad_guards:
            g = self.ref(source) + "._grad"
            self.miss_if(f"{g} is {'not ' if entry is None else ''}None")
        for i, source in enumerate(c.sources):
            if source.kind == "arg":
                parts.append(f"a{source.ref}")
            elif source.kind == "place":
                parts.append(f"b{source.ref}")
            elif source.kind == "const":
                parts.append(self.const(source.ref, "c"))
            elif source.kind == "held":
                held.append((i, source.ref))
                parts.append(f"H[{i}]")
            elif source.kind == "grad":
                self._grad_input(i, source)
                parts.append(f"g{i}")
            else:
                self._region_input(i, source)
                parts.append(f"r{i}")
        listed = {id(t) for _, t in held}
        for t in {
            id(v[0].ref): v[0].ref for v in self._mentioned() if v[0].kind == "held"
        }.values():
            if id(t) not in listed:
                held.append((-1, t))
        listed = {id(t) for _, t in held} | {id(x) for x in c.leaves}
        listed |= {id(p.entry) for p in c.places}
        seen = [(t, t._array, t._needs) for t in c.reads.tensors.values() if id(t) not in listed]
        if seen:  # their types were there to be read
            self.names["SEEN"], self.names["look"] = seen, _looker(seen)
            self.add("for t, a, needs in SEEN:")
            self.add("if t._array is not a or t._needs is not needs:", 2)
            self.add("if not look(): return MISS", 3)
            self.add("break", 3)
        self._held(held, parts)

    def _mentioned(self) -> list:
        c = self.c
        return [
            *[(s,) for s, _ in c.grads],
            *[(s,) for s, _ in c.needs],
            *[(s,) for f in (*c.results, *[w.form for w in c.writes]) for s in real_sources(f)],
        ]

    def _held(self, held: list[tuple], parts: list[str]) -> None:
        """Tensors that the program holds: their memory must be what it was, or fit as well."""
        if held:
            checks = [(t, t._array, t._needs) for _, t in held]
            slots = [(i, t) for i, t in held]
            table = [None] * len(parts)
            for i, t in held:
                if i >= 0:
                    table[i] = t._array
            self.names["CHECKS"], self.names["H"] = checks, table
            self.names["moved"] = _mover(checks, slots, table, self.fixed)
            self.add("for t, a, needs in CHECKS:")
            self.add("if t._array is not a or t._needs is not needs:", 2)
            self.add("if not moved(): return MISS", 3)
            self.add("break", 3)
        if parts and all(p.startswith("H[") for p in parts):
            self.add("arrays = H")
        elif sum(p.startswith("H[") for p in parts) > 4:
            self.add("arrays = H.copy()")
            for i, p in enumerate(parts):
                if not p.startswith("H["):
                    self.add(f"arrays[{i}] = {p}")
        else:
            self.add(f"arrays = [{', '.join(parts)}]")

    def _grad_input(self, i: int, source: Source) -> None:
        type = self.c.graph.inputs[i].type
        strides = tuple(s * type.dtype.itemsize for s in type.strides)
        self.add(f"g{i} = {self.ref(source)}._array")
        self.miss_if(
            f"g{i}.shape != {self._tuple(type.shape)} or g{i}.strides != {self._tuple(strides)}"
        )

    def _region_input(self, i: int, source: Source) -> None:
        before, n = source.window
        t = self.ref(source.ref)
        self.add(f"r{i} = region({t}, {before}, {n})")
        self.miss_if(f"r{i} is None")

    def _alias_guards(self) -> None:
        c = self.c
        for a, b in c.same_storage:
            self.miss_if(f"{self.ref(a)}._storage is not {self.ref(b)}._storage")
        for a, offset in c.offsets:
            self.miss_if(f"{self.ref(a)}._start() != {offset}")
        for a, b in c.same_window:
            x, y = self.ref(a), self.ref(b)
            self.miss_if(f"{x} is not {y} and address({x}._array) != address({y}._array)")
        for members in c.regions.values():
            merged = [s for s in c.sources if s.kind == "region"]
            if (
                (merged or c.exclusive)
                and len(members) > 1
                and any(s.kind in _LATE for s, _ in members)
            ):
                first, t0 = members[0]
                for other, t in members[1:]:
                    delta = address(t._array) - address(t0._array)
                    self.miss_if(
                        f"address({self.ref(other)}._array) - address({self.ref(first)}._array) "
                        f"!= {delta}"
                    )
        self._identities()
        if c.exclusive:
            self._exclusive()

    def _identities(self) -> None:
        """Arguments that were one object stay so; those whose views are returned stay views, or
        bases."""
        for i in {
            m.parent[1].ref
            for m in self.c.made
            if isinstance(m.parent, tuple) and m.parent[1].kind in ("arg", "base")
        }:
            self.miss_if(f"(x{i}._base is None) is not {self.c.leaves[i]._base is None}")
        first: dict[int, int] = {}
        held = self.c.reads.held()
        for i, x in enumerate(self.c.leaves):
            if isinstance(x, Tensor):
                if id(x) in first:
                    self.miss_if(f"x{i} is not x{first[id(x)]}")
                else:
                    first[id(x)] = i
                    if id(x) in held:  # a variable holds the very same tensor
                        self.miss_if(f"x{i} is not {self.const(x)}")

    def _exclusive(self) -> None:
        """Memory that is written lies apart from every other slot's memory."""
        c = self.c
        groups: list[list[str]] = []
        fixed, tensors = self.fixed
        late: list[str] = []
        for members in c.regions.values():
            names = [self.ref(s) for s, _ in members if s.kind in _LATE]
            if names:
                late.append(names[0])
                groups.append(names)
            else:
                tensors.extend(t for _, t in members)
        fixed.update(id(t._storage.root()) for t in tensors)
        if not late:
            return
        if len(late) == 1 and not fixed:
            return
        known = self.const(fixed)
        roots = [f"id({x}._storage.root())" for x in late]
        if len(late) == 1:
            self.miss_if(f"{roots[0]} in {known}")
        else:
            self.add(f"roots = {{{', '.join(roots)}}}")
            self.miss_if(f"len(roots) != {len(late)} or not roots.isdisjoint({known})")

    def _run(self) -> None:
        c = self.c
        scalars, rng = "()", "()"
        if c.scalar_texts:
            scalars = f"{self.const(evaluator(c.scalar_texts))}(s)"
        gs = [self.const(g, "rng") for g, _ in c.generators]
        if gs:
            rng = "(" + " ".join(f"({g}.seed_, {g}.offset)," for g in gs) + ")"
        if c.joint is not None:  # the backward needs them again
            self.add(f"sc, rg = {scalars}, {rng}")
            scalars, rng = "sc", "rg"
            if c.joint.copied:
                self.add(f"kept = {self.const(c.joint.before)}(arrays)")
        names = self.program.symbols if self.sizes else ()
        sizes = f", ({', '.join([*names, ''])})" if names else ""
        if not gs:
            self.add(f"outs = run(arrays, {scalars}, {rng}{sizes})")
            return
        if rng != "rg":
            self.add(f"rg = {rng}")
        # taken before the run, so that another thread's numbers are others
        blocks = [(g, plain(n)) for g, (_, n) in zip(gs, c.generators, strict=True)]
        for g, n in blocks:
            self.add(f"{g}.offset += {n}")
        self.add("try:")
        self.add(f"outs = run(arrays, {scalars}, rg{sizes})", 2)
        self.add("except BaseException:")
        for g, n in blocks:
            self.add(f"{g}.offset -= {n}", 2)
        self.add("raise", 2)

    # ---- after the run

    def _deliver(self) -> None:
        c = self.c
        for source, n in c.versions:
            self.add(f"{self.ref(source)}._storage.version += {n}")
        stores: dict[tuple, str] = {}
        for m in c.made:
            self._make(m, stores)
        if c.joint is not None:
            c.joint.write_entry(self)
        for source, flag in c.needs:
            self.add(f"{self.ref(source)}._needs = {flag}")
        for source, g in c.grads:
            value = "None" if g is None else self._result(g)
            self.add(f"{self.ref(source)}._grad = {value}")
        for w in c.writes:
            value = self._form(w.form)
            self.add(
                w.do.format(value) if isinstance(w.do, str) else self.const(w.do) + f"({value})"
            )
        parts = [self._form(r) for r in c.results]
        if isinstance(c.result_spec, pytree.Leaf):
            self.add(f"return {parts[0]}")
        elif c.result_spec.type in (tuple, list) and all(
            isinstance(s, pytree.Leaf) for s in c.result_spec.children
        ):
            inner = ", ".join(parts)
            self.add(
                f"return ({inner}{',' if len(parts) == 1 else ''})"
                if c.result_spec.type is tuple
                else f"return [{inner}]"
            )
        else:
            self.add(f"return unflatten([{', '.join(parts)}], {self.const(c.result_spec)})")

    def _form(self, form: Any) -> str:
        """The expression of a written value."""
        if isinstance(form, Made) or form[0] != "build":
            return self._result(form)
        _, kind, parts = form
        if kind not in (list, tuple, set):
            fields = ", ".join(f"{self.const(k)}: {self._form(v)}" for k, v in parts)
            fields = "{" + fields + "}"
            return fields if kind is dict else f"remade({self.const(kind)}, {fields})"
        inner = ", ".join(self._form(v) for v in parts)
        if kind is tuple:
            return f"({inner}{',' if len(parts) == 1 else ''})"
        return f"[{inner}]" if kind is list else f"set([{inner}])"

    def _result(self, r: Any) -> str:
        if isinstance(r, Made):
            return f"t{r.index}"
        kind, what = r
        if kind == "container":
            return what
        if kind == "real":
            return self.ref(what)
        if kind == "size":
            return str(what)
        if kind == "scalar":
            return f"{self.const(evaluator([what]))}(s)[0]"
        return self.const(what)

    def _make(self, m: Made, stores: dict) -> None:
        t = f"t{m.index}"
        base, k = m.base
        memory = f"outs[{k}]" if base == "out" else f"arrays[{k}]"
        if m.window is None:
            array = memory
        else:
            shape, strides, offset = m.window
            size = m.dtype.itemsize
            array = (
                f"window({memory}, {self._tuple(shape)}, "
                f"{self._tuple(tuple(s * size for s in strides))}, "
                f"{str(plain(offset * size))})"
            )
        self.add(f"{t} = new(Tensor)")
        self.add(
            f"{t}._array = {'o = ' if base == 'out' else ''}{array}"
            if m.window is None and base == "out"
            else f"{t}._array = {array}"
        )
        self.add(f"{t}.dtype = {self.const(m.dtype)}")
        key = (m.base, id(m.storage))
        if key in stores:
            storage = stores[key]
        elif base == "out":
            stores[key] = f"{t}._storage"
            storage = "Storage(o)" if m.window is None else f"Storage({memory})"
        else:
            storage = self._input_storage(m.storage, k)
            if not storage:  # .data: the same memory, other versions
                stores[key] = f"{t}._storage"
                storage = f"Storage({self.ref(self._slot_tensor(k))}._storage.value)"
        self.add(f"{t}._storage = {storage}")
        if base == "out" and m.storage.version and key in stores and stores[key] != storage:
            self.add(f"{t}._storage.version = {m.storage.version}")
        self.add(f"{t}._needs = False; {t}._fn = None")
        if m.parent is not None:
            parent = f"t{m.parent.index}" if isinstance(m.parent, Made) else self.ref(m.parent[1])
            self.add(f"{t}._base = {parent}; {t}._rebase_seen = {parent}._rebased")
        if self.c.mode[1] and base == "out":
            self.add(f"{t}._storage.flags |= {INFERENCE}")
        if m.entry is not None:
            name = m.entry[0]
            self.names["used_up"] = used_up
            fn = f"used_up({name!r}, {t})" if self.sizes else self.const(used_up(name, m.type))
            self.add(f"{t}._needs = True; {t}._fn = {fn}")

    def _input_storage(self, storage: Any, slot: int) -> str:
        """The expression of a storage that came with the inputs, that of `slot`'s own tensor if it
        can be: others may lie elsewhere on the next call. Empty for one made inside."""
        for source in [self._slot_tensor(i) for i in (slot, *range(len(self.c.sources)))]:
            t = self._tensor(source)
            if t is not None and t._storage is storage:
                return f"{self.ref(source)}._storage"
        for i, x in enumerate(self.c.leaves):
            if isinstance(x, Tensor) and x._storage is storage:
                return f"x{i}._storage"
        return ""

    def _tensor(self, source: Source) -> Any:
        """The tensor that a source named during capture; None for constants."""
        if source.kind == "arg":
            return self.c.leaves[source.ref]
        if source.kind == "place":
            return self.c.places[source.ref].entry
        return source.ref if source.kind == "held" else self._grad_of(source)

    def _grad_of(self, source: Source) -> Any:
        return source.ref._grad if source.kind == "grad" else None

    def _slot_tensor(self, slot: int) -> Source:
        source = self.c.sources[slot]
        return source.ref if source.kind == "region" else source


def used_up(name: str, t: Tensor | TensorType) -> Any:
    """The history of a result whose graph was freed by a backward inside the program."""
    from ...core import tape

    e = tape.entry_class(name)()
    e.op, e.edges, e.attrs, e.saved, e.versions, e.types = None, (), (), tape._FREED, None, None
    e.seq, e.origin, e.notes, e.pre_hooks, e.post_hooks = 0, None, None, None, None
    e.metas, e.out_types = (), ((t.shape, t.dtype),)
    return e


def real_sources(form: Any) -> list[Source]:
    """The real tensors that a written value names."""
    if isinstance(form, Made) or form[0] in ("constant", "scalar", "container", "size"):
        return []
    if form[0] == "real":
        return [form[1]]
    pairs = form[1] not in (list, tuple, set)
    parts = [v for _, v in form[2]] if pairs else form[2]
    return [s for part in parts for s in real_sources(part)]


_CLASS_FIELDS = frozenset(vars(Tensor))


def user_attributes(t: Tensor) -> list[tuple[str, Any]]:
    """What the user hung on a tensor, and its hooks."""
    return [
        (k, v)
        for k, v in t.__dict__.items()
        if k not in _CLASS_FIELDS or k in ("_hooks", "_post_accumulate_hooks")
    ]


def _flat_count(spec: Any) -> int:
    """How many arguments there are when all are positional leaves; -1 otherwise."""
    args, kwargs = spec.children
    if kwargs.children or not all(isinstance(c, pytree.Leaf) for c in args.children):
        return -1
    return len(args.children)


def window(a: np.ndarray, shape: tuple, strides: tuple, offset: int) -> np.ndarray:
    """A strided window of memory, offset in bytes from a's first element."""
    if offset == 0 and a.flags.c_contiguous:
        return np.ndarray(shape, a.dtype, a, 0, strides)
    from ...ops.movement import strided

    return strided(a, shape, strides, offset)


def region(t: Tensor, before: int, n: int) -> np.ndarray | None:
    """n elements of the memory that t belongs to, from `before` bytes before t's first element;
    None when there are not that many."""
    root = t._storage.root()
    start = address(t._array) - address(root) - before
    end = start + n * t.dtype.itemsize
    if not root.flags.c_contiguous or start < 0 or end > root.nbytes:
        return None
    return root.reshape(-1).view(np.uint8)[start:end].view(t.dtype.np)


def _looker(seen: list) -> Any:
    """Called when a tensor that is no input changed: accepts other memory of the same type."""
    types = [t.type_ for t, _, _ in seen]

    def look() -> bool:
        for at, ((t, _, needs), type) in enumerate(zip(seen, types, strict=True)):
            if t._needs is not needs or t._array is None or t.type_ != type:
                return False
            seen[at] = (t, t._array, needs)
        return True

    return look


def _mover(checks: list, slots: list, table: list, fixed: tuple) -> Any:
    """Called when a held tensor changed: accepts other memory of the same type."""
    types = [t.type_ for _, t in slots]

    def moved() -> bool:
        for at, ((slot, t), type, (_, _, needs)) in enumerate(
            zip(slots, types, checks, strict=True)
        ):
            if t._needs is not needs or t._array is None or t.type_ != type:
                return False
            checks[at] = (t, t._array, needs)
            if slot >= 0:
                table[slot] = t._array
        fixed[0].clear()
        fixed[0].update(id(t._storage.root()) for t in fixed[1])
        return len({id(t._storage.root()) for _, t in slots}) == roots

    roots = len({id(t._storage.root()) for _, t in slots})
    return moved
