"""What the traced code writes into Python objects: takes the facts that it read (a `ReadSet`) and
the state that it left, gives writes that every call of the program does again.

One that no code reads is just written; a number is read anew on every call (`Sym`), so a counter
does not compile again; so is a tensor. Everything else is guarded as before, and written.

Invariant: outside of `install` and `restore` the user's objects are as they were before the
capture.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Iterator
from typing import Any

from ...base.errors import CaptureBreak
from ...core import observe
from ...core.tensor import Tensor
from ...ir.index import Index
from .contents import ADDING, CONTAINERS, Content, ItemCheck, Write, alike
from .facts import MISSING, Check, Fields, freeze, item_reader, thaw
from .forms import FIX, Forms
from .guards import ReadSet
from .kinds import internal_class
from .lift import Restart, Source
from .symbols import Sym, same_number
from .uses import assigned, fields_of, library_names, name_of, uses


class Place:
    """A variable that traced code writes: an entry of a dictionary, a closure's cell, an attribute.
    `owner` is the module that it belongs to, if it does."""

    __slots__ = ("what", "holder", "key", "owner", "entry", "name")

    def __init__(self, check: Check, owner: Any):
        self.what, self.holder, self.key = check.what, check.holder, check.key
        self.owner, self.entry = owner, check.frozen[1]
        self.name: str = check.name if isinstance(check, ItemCheck) else name_of(check)

    def read(self) -> Any:
        holder = self.holder
        if isinstance(holder, dict):
            return dict.get(holder, self.key, MISSING)
        if isinstance(holder, types.CellType):
            try:
                return holder.cell_contents
            except ValueError:
                return MISSING
        return getattr(holder, self.key, MISSING)

    def __getitem__(self, key: None) -> Any:
        """The entry code reads a place as it reads a mapping."""
        return self.read()

    def put(self, value: Any) -> None:
        """Changes the variable and tells nobody."""
        holder = self.holder
        if isinstance(holder, dict):
            if value is MISSING:
                dict.pop(holder, self.key, None)
            else:
                dict.__setitem__(holder, self.key, value)
        elif isinstance(holder, types.CellType):
            if value is MISSING:
                del holder.cell_contents
            else:
                holder.cell_contents = value
        elif value is MISSING:
            delattr(holder, self.key)
        else:
            setattr(holder, self.key, value)

    def write(self, value: Any) -> None:
        """What the user's assignment does."""
        if self.read() is not value:
            self.put(value)
            if self.owner is not None:
                observe.changed(self.owner, self.key)

    @property
    def mark(self) -> tuple:
        return id(self.holder), self.key


class Writes:
    """The written variables of one function, over the attempts to capture it."""

    def __init__(self, reads: ReadSet, arguments: dict[int, str]):
        self.reads = reads
        self.arguments = arguments  # id of a list or dict among the arguments -> its expression
        self._were: list[tuple[Any, Any]] = [
            (x, list(x) if isinstance(x, list) else dict(x))
            for i, x in reads.containers.items()
            if i in arguments
        ]
        self.places: dict[tuple, Place] = {}  # no longer facts
        self.numbers: list[Place] = []
        self.tensors: list[Place] = []
        self._contents: dict[int, Content] = {}  # by id: containers that are only written
        self._split: list[tuple] = []  # frozen dictionaries whose entries are facts of their own
        self._installed: dict[tuple, Any] = {}

    def install(self, tracer: Any) -> None:
        """Puts run-time numbers in, and makes the tensors inputs."""
        if self.reads.exact:  # the code looks at types: every number is a fact again
            for p in self.numbers:
                del self.places[p.mark]
                self.reads.every_call.append(
                    Check(p.what, p.read, p.holder, p.key, ("number", p.entry))
                )
            self.numbers = []
        for p in self.numbers:
            where = (p.holder, p.key) if isinstance(p.holder, dict) else (p, None)
            sym = tracer.leaf("item", ("place", *p.mark), where, p.entry)
            p.put(sym)
            self._installed[p.mark] = sym
        for i, p in enumerate(self.tensors):
            tracer.lifter.known[id(p.entry)] = Source("place", i)

    def restore(self) -> None:
        """Puts back what the traced code changed."""
        for p in self.places.values():
            if p.read() is not p.entry:
                p.put(p.entry)
        for content in self._contents.values():
            thaw(content.frozen)
        for frozen in self._split:
            thaw(frozen)
        for x, was in self._were:
            if isinstance(x, list):
                x[:] = was
            elif not alike(list(x.items()), list(was.items())):
                dict.clear(x)
                dict.update(x, was)
        for n in self.reads.numbers.values():
            if n.sym is not None and n.read() is not n.sym:
                n.write(n.sym)
            elif n.sym is None and not same_number(n.read(), n.value):
                n.write(n.value)
        for c in self._broken():
            c.restore()

    def _broken(self) -> list[Check]:
        """The facts that no longer hold; run-time numbers are none."""
        numbers = self.reads.numbers
        return [c for c in self.reads.changed() if (id(c.holder), c.key) not in numbers]

    # ---- after the code has run

    def found(self, delivery: Any, result: Any) -> list[Write]:
        """The writes of this run. Raises Restart when a variable has to be read anew on each
        call."""
        before = len(self.numbers) + len(self.tensors)
        forms = Forms(self.reads, delivery, result, self.arguments)
        new_marks: set[tuple] = set()
        contents: list[Content] = []
        out: list[Write] = []
        for check in self._changed():
            value = check.read()
            if value is check.frozen[1] and check.frozen[0] in CONTAINERS:
                if id(value) not in self._contents:
                    contents.append(self._content(check))
                continue
            with self._line_of(check):
                place = self._place(check)
                if place.mark not in new_marks and place.mark not in self.places:
                    new_marks.add(place.mark)
                    self._lift(place, check, value, delivery)
                    self._pin(place.holder)
                    form = forms.of(value, place.what)
                    out.append(Write(place.write, form, place.mark, [place.name]))
        if len(self.numbers) + len(self.tensors) > before:
            raise Restart
        unguarded = list(self._contents.values())
        for content in {id(c.frozen[1]): c for c in (*contents, *unguarded)}.values():
            with self._line_of(content):
                out += content.writes(forms)
        for n in self.reads.numbers.values():
            value = n.read()
            if value is n.sym:
                continue
            if type(value) is not Sym and n.sym is not None:
                # perhaps computed from the number itself: a frame that starts restores its cells
                self.reads.every_call.append(n.check())
            if not same_number(value, n.value):
                place = self._place(n.check())
                out.append(Write(place.write, forms.of(value, n.what), place.mark, [place.name]))
        for mark, place in self.places.items():
            if mark not in new_marks:
                value = place.read()
                if value is not self._installed.get(mark, place.entry):
                    out.append(Write(place.write, forms.of(value, place.what), mark, [place.name]))
        out += self._arguments(forms)
        self.forms = forms
        return sorted(out, key=_position)

    @contextlib.contextmanager
    def _line_of(self, x: Any) -> Iterator[None]:
        """A refusal inside speaks of the line that assigns the variable of x."""
        try:
            yield
        except CaptureBreak as e:
            key = getattr(x, "key", None)
            name = key if isinstance(key, str) else x.what.partition(" (outside")[0]
            name = name.removeprefix("global ").rpartition(".")[2]
            origin = next(filter(None, (assigned(c, name) for c in self.reads.codes)), None)
            raise CaptureBreak(e.what, e.fix, origin or e.origin, kind=e.kind) from None

    def after_backward(self, writes: list[Write], codes: list) -> None:
        """The backward has been traced, user's code (codes) included, on the state before the
        call: it runs later, so it may neither write nor see what the call writes."""
        changed = [c.what for c in self._broken()]
        changed += [p.what for p in self.places.values() if p.read() is not p.entry]
        if changed:
            raise CaptureBreak(
                f"code that runs in the backward changes {changed[0]}", FIX, kind="state"
            )
        for w in writes:
            if any(uses(code, name) for code in codes for name in w.names):
                raise CaptureBreak(
                    f"code that runs in the backward reads {w.names[0]}, which the forward changes",
                    "pass it through the forward (ctx.save_for_backward)",
                    kind="state",
                )

    def _changed(self) -> Iterator[Check]:
        """The facts that no longer hold; new attributes and the entries of a module's dictionaries
        one by one."""
        for check in self._broken():
            if check.frozen[0] in ("fields", "reference"):
                continue  # what lies in them is compared itself
            if check.read() is check.frozen[1] and self._by_entries(check):
                Content(check.what, check.frozen, []).check_inner()
                now, was = check.read(), {k: part[1] for k, part in check.frozen[2]}
                for key in (*was, *(k for k in now if k not in was)):
                    if now.get(key, MISSING) is not was.get(key, MISSING):
                        what = f"the entry {key!r} of {check.what}"
                        before = ("is", was.get(key, MISSING))
                        yield ItemCheck(what, item_reader(now, key), now, key, before, check)
            elif check.key is not None or isinstance(check.holder, types.CellType):
                yield check
            elif isinstance(check, Fields):
                where = check.what.removeprefix(_ATTRIBUTES)
                for key in [k for k in check.fields if k not in check.keys]:
                    holder: Any = check.fields if check.cls is None else check.cls
                    if (id(holder), key) not in self.places:
                        read = item_reader(check.fields, key)
                        yield Check(f"{where}.{key}", read, holder, key, ("is", MISSING))
            else:
                raise CaptureBreak(
                    "Python state changes while the function runs: " + check.difference(),
                    "change it outside of the compiled function",
                    kind="state",
                )

    def _by_entries(self, check: Check) -> bool:
        """Whether the entries of a changed dictionary are variables of their own."""
        now = check.frozen[1]
        if check.frozen[0] != "dict":
            return False
        if check.key in _DICTIONARIES:
            return True
        if type(now) is not dict:
            return False
        was = check.frozen[2]
        return (
            tuple(now) == tuple(k for k, _ in was)
            and not self._only(name_of(check), check, ("__setitem__", "[]"))
            and all(
                v is part[1] or type(part[1]) in (int, float) or isinstance(part[1], Tensor)
                for v, (_, part) in zip(now.values(), was, strict=True)
            )
        )

    def _place(self, check: Check) -> Place:
        modules = self.reads.modules.values()
        owner = next((m for m in modules if m.__dict__ is check.holder), None)
        if any(check.holder is m.__dict__.get(d) for m in modules for d in _DICTIONARIES):
            owner = check.holder
        if check.key in ("__code__", "__class__"):
            raise CaptureBreak(f"compiled code changes {check.what}", FIX, kind="state")
        return Place(check, owner)

    def _lift(self, place: Place, check: Check, value: Any, delivery: Any) -> None:
        """Whether the variable stays a fact, is read anew on each call, or is only written."""
        entry = place.entry
        if self._only_written(place):
            self._forget(place)
            return
        plain = place.owner is None or not internal_class(type(place.owner))
        if (
            type(entry) in (int, float)
            and plain
            and not self.reads.exact
            and isinstance(value, (int, float, Sym, Index))
        ):
            self.numbers.append(place)
            self._forget(place)
        elif (
            isinstance(entry, Tensor)
            and isinstance(value, Tensor)
            and not entry._needs
            and entry._fn is None
            and not value._needs
            and id(entry) not in delivery.tracer.lifter.known
            and not self._elsewhere(entry, place)
        ):
            self.tensors.append(place)
            self._forget(place)

    def _arguments(self, forms: Forms) -> Iterator[Write]:
        """What was done to lists and dicts among the arguments; their entries are guarded."""
        for x, was in self._were:
            path = self.arguments[id(x)]
            if isinstance(x, list):
                if not alike(x, was):
                    form = forms.of_list(x, path)
                    yield Write(f"{path}[:] = {{}}", form, (id(x), "content"), [])
            elif not alike(list(x.items()), list(was.items())):
                if list(x)[: len(was)] != list(was):
                    raise CaptureBreak(
                        f"compiled code takes entries out of {path}", FIX, kind="state"
                    )
                new = {k: v for k, v in x.items() if was.get(k, MISSING) is not v}
                form = forms.of_dict(new, path)
                yield Write(f"{path}.update({{}})", form, (id(x), "content"), [])

    def _only_written(self, place: Place) -> bool:
        """Whether no code reads the variable: neither the user's, nor the library's."""
        if isinstance(place.owner, dict) or place.name != name_of(place):
            return False  # an entry of a dictionary
        if not self._only(place.key, place, ()):
            return False
        owner = place.owner
        if isinstance(place.holder, type):
            return place.key not in library_names(place.holder)  # type: ignore[arg-type]
        if owner is None:
            owner = next((x for x in self.reads._alive if fields_of(x) is place.holder), None)
        return owner is None or place.key not in library_names(type(owner))  # type: ignore[arg-type]

    def _elsewhere(self, t: Tensor, place: Place) -> bool:
        """Whether another variable holds the same tensor."""
        return any(
            c.frozen[1] is t and (id(c.holder), c.key) != place.mark
            for c in (*self.reads.every_call, *self.reads.module_state)
        ) or any(p.entry is t for p in self.tensors)

    def _forget(self, place: Place) -> None:
        self.places[place.mark] = place
        reads = self.reads
        for checks in (reads.every_call, reads.module_state):
            checks[:] = [c for c in checks if (id(c.holder), c.key) != place.mark]
            for c in [c for c in checks if c.frozen[1] is place.holder and c.frozen[0] == "dict"]:
                self._split.append(c.frozen)  # one fact per entry instead
                entries: dict = c.frozen[1]
                seen = tuple(k for k, _ in c.frozen[2])
                checks.append(
                    Check(
                        f"the names in {c.what}",
                        functools.partial(tuple, entries),
                        frozen=freeze(seen),
                    )
                )
                for k, part in c.frozen[2]:
                    if k != place.key:
                        what = f"the entry {k!r} of {c.what}"
                        checks.append(Check(what, item_reader(entries, k), entries, k, part))
                c.frozen = ("is", entries)
        if isinstance(place.entry, Tensor) and not self._elsewhere(place.entry, place):
            reads.tensors.pop(id(place.entry), None)

    # ---- containers

    def _content(self, check: Check) -> Content:
        """What happened to the container of a variable. Where all code only adds to it, in ways
        that do not depend on what is in it, its content is no fact any more."""
        x = check.frozen[1]
        same = [c for c in (*self.reads.every_call, *self.reads.module_state) if c.frozen[1] is x]
        content = Content(check.what, check.frozen, [name_of(c) for c in same])
        self._pin(x)
        methods = ADDING.get(type(x), ())
        if content.added() is not None and all(self._only(c.key, c, methods) for c in same):
            content.guarded = False
            self._contents[id(x)] = content
            for c in same:
                c.frozen = ("is", x)
            if isinstance(x, dict):  # entries that are not written now may be some day
                for key, value, part in content.was():
                    if x.get(key, MISSING) is value:
                        what = f"the entry {key!r} of {check.what}"
                        part = freeze(value) if part is None else part
                        self.reads.every_call.append(Check(what, item_reader(x, key), x, key, part))
        return content

    def _pin(self, x: Any) -> None:
        """A container that is written has to be this very one, not one with the same content."""
        for checks in (self.reads.every_call, self.reads.module_state):
            same = [c for c in checks if c.frozen[1] is x and (c.holder is not None)]
            for c in same:
                if not any(o.frozen[0] == "is" and o.read is c.read for o in same):
                    checks.append(Check(c.what, c.read, c.holder, c.key, ("is", x)))

    def _only(self, name: Any, check: Check | Place, methods: tuple) -> bool:
        """Whether all code that runs uses the variable `name` for writing only, or for calls of
        these methods."""
        if not isinstance(name, (str, type(None))):
            return False
        name = name_of(check)
        return all(uses(code, name) <= set(methods) for code in self.reads.codes)


_ATTRIBUTES = "the number of attributes of "
_DICTIONARIES = ("_parameters", "_buffers", "_modules")


def _position(w: Write) -> int:
    """New entries of a dictionary are made in the order in which the code made them."""
    holder, key = getattr(getattr(w.do, "__self__", None), "holder", None), w.mark[1]
    return list(holder).index(key) if isinstance(holder, dict) and key in holder else -1
