"""Whole programs: takes kernels in order, places and the arena layout, gives one C file.

Kernels with equal text are one function, called with other pointers; so are many kernels that
differ in numbers alone, which are parameters then. Neighbours of one function that touch different
memory run as one parallel region. Invariant: a status stops the program before any
input is written.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any

from ...base.resources import templates_dir
from ...ir.index import Index, as_index
from ...ir.loop import Buffer
from ..lower.kernel import Kernel
from .c import MARK, Printer, comment_text, filled

_NEGATIVE = re.compile(rf"(?<!\w)\(({MARK}(\d+){MARK})\)")  # literals in parentheses
# So many kernels that differ in numbers alone share a function; fewer keep the numbers in the text.
ALIKE = 8
GRAIN = 1 << 14  # elements of work in the smallest piece of a parallel region
PIECE = 20_000  # characters of kernels from which a program is compiled as several files
HEADERS = (
    "gc_api.h",
    "gc_basic.h",
    "gc_int.h",
    "gc_cast.h",
    "gc_math.h",
    "gc_reduce.h",
    "gc_philox.h",
)


@dataclass(slots=True)
class Function:
    """A printed kernel: `text` with the name NAME, its parameters in order, and the first name it
    got. uses: kernel -> (its buffers, names of those it writes)."""

    name: str
    text: str
    params: list
    sizes: list
    uses: dict = field(default_factory=dict)


@dataclass(slots=True)
class Source:
    """The C text, the same in pieces that are compiled side by side ([] for one file), what each
    kernel became, the messages of statuses, and the last slot of `sizes` that says which segment
    runs."""

    text: str
    pieces: list
    functions: dict
    messages: list
    segment_slot: int


@functools.cache
def _templates() -> Any:
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(templates_dir() / "c")),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
    )
    return env.get_template("kernel.c.j2"), env.get_template("program.c.j2")


class Writer:
    """Writes one program. `segments`: lists of kernels; `address`: buffer name -> C expression of
    its pointer inside `run`; `slots`: symbol name -> position in `sizes`."""

    def __init__(
        self,
        name: str,
        segments: list[list[Kernel]],
        address: dict[str, str],
        slots: dict[str, int],
        comments: dict[Kernel, list[str]],
        summary: list[str],
        arena: set[str],
        timed: bool = False,
    ):
        self.name, self.segments, self.address, self.slots = name, segments, address, slots
        self.comments, self.summary, self.arena = comments, summary, arena
        self.timed = timed
        self.steps: list[list[Kernel]] = []  # what each timed step runs
        self.messages: list[str] = []
        self.printed: dict[Kernel, tuple[Printer, str, Any]] = {}
        self.alike: dict[Any, list[list[str]]] = {}  # of kernels alike: their literals
        self.numbers: dict[Kernel, list[tuple[str, str]]] = {}  # literals that are parameters
        self.shared: dict[str, Function] = {}
        self.functions: dict[Kernel, Function] = {}
        self.order: list[tuple[Function, list[str], Kernel]] = []
        self.calls: dict[Kernel, str] = {}  # of those without a function: their step
        self.natives: dict[str, int] = {}  # functions of the library -> which they are

    def write(self) -> Source:
        for kernels in self.segments:
            for k in kernels:
                if k.form not in ("gemm", "call"):
                    self._print(k)
        lines = [self._segment(kernels) for kernels in self.segments]
        texts = []
        for _f, comment, k in self.order:
            texts.append(self.final(k, comment))
        pieces = []
        if sum(map(len, texts)) > PIECE and not self.timed:
            names = [f.name for f, _, _ in self.order]
            open_texts = [self._open(t, name) for t, name in zip(texts, names, strict=True)]
            heads = [h for t, name in zip(open_texts, names, strict=True) for h in _heads(t, name)]
            pieces = [self._render([], lines, heads)]
            pieces += [self._render(part, [], []) for part in _parts(open_texts)]
        text = self._render(texts, lines, [])
        return Source(text, pieces, self.functions, self.messages, len(self.slots))

    def _render(self, kernels: list[str], segments: list, declared: list[str]) -> str:
        _, program = _templates()
        return program.render(
            name=comment_text(self.name),
            summary=self.summary,
            headers=HEADERS,
            messages=[comment_text(m) for m in self.messages],
            kernels=kernels,
            declared=declared,
            segments=segments,
            segment_slot=len(self.slots),
            helpers=_helpers("\n".join(kernels or map(str, segments))),
            steps=len(self.steps),
            calls=bool(self.natives) and bool(segments),
        )

    def _open(self, text: str, name: str) -> str:
        """A kernel that other files may call."""
        return text.replace(f"static void {name}(", f"void {name}(").replace(
            f"static void {name}_all(", f"void {name}_all("
        )

    # ---------------------------------------------------------------- functions

    def _print(self, k: Kernel) -> None:
        """The kernel's lines, with marks for its literals: those of alike kernels are equal."""
        p = Printer(self.messages)
        p.block(k.body, 1)
        body = "\n".join(p.lines)
        params = tuple((b.dtype.ctype, written, name) for b, written, name in p.params.values())
        heaps = tuple(as_index(b.count).key for b in p.heaps)
        key = (k.form, params, heaps, _NEGATIVE.sub(r"\1", body))
        self.printed[k] = p, body, key
        if k.form == "rows":
            self.alike.setdefault(key, []).append([text for _, text in p.literals])

    def _varying(self, key: Any) -> list[int]:
        """Positions of the literals that are parameters of the function."""
        rows = self.alike.get(key, [])
        if len(rows) < ALIKE:
            return []
        return [i for i, texts in enumerate(zip(*rows, strict=True)) if len(set(texts)) > 1]

    def _function(self, k: Kernel) -> Function:
        p, body, key = self.printed[k]
        varying = self._varying(key)
        prologue, epilogue = [], []
        for s in p.sizes:
            prologue.append(f"const int64_t {s} = f->sizes[{self.slots[s]}];")
        for b in p.heaps:
            size = p.index(as_index(b.count) * b.dtype.itemsize, bare=True)
            prologue.append(f"{b.dtype.ctype} *{b.name} = f->api->alloc({size});")
            epilogue.append(f"f->api->free({b.name});")
        if p.heaps:
            names = " || ".join(f"!{b.name}" for b in p.heaps)
            frees = " ".join(f"f->api->free({b.name});" for b in p.heaps)
            prologue.append(f"if ({names}) {{ {frees} *f->status = -1; return; }}")
        params = [
            {"type": ("" if written else "const ") + b.dtype.ctype, "name": local, "restrict": True}
            for b, written, local in p.params.values()
        ]
        texts = [text for _, text in p.literals]
        for j, i in enumerate(varying):
            ctype = p.literals[i][0].ctype
            params.append({"type": f"const {ctype}", "name": f"number{j}", "restrict": True})
            self.numbers.setdefault(k, []).append((ctype, texts[i]))
            texts[i] = f"number{j}[0]"
        if varying:
            body = _NEGATIVE.sub(lambda m: m[1] if int(m[2]) in varying else m[0], body)
        what = {
            "form": k.form,
            "params": params,
            "prologue": prologue,
            "epilogue": epilogue,
            "body": filled(body, texts),
            "ctype": k.c.dtype.ctype if k.c else "",
        }
        function = self.shared.get(repr(what))
        if function is None:
            kernel, _ = _templates()
            text = kernel.render(name="NAME", comment=["COMMENT"], **what)
            function = self.shared[repr(what)] = Function(k.name, text, params, list(p.sizes))
            self.order.append((function, self.comments.get(k, [k.name]), k))
        self.functions[k] = function
        function.uses[k] = (
            [b for b, _, _ in p.params.values()],
            {b.name for b, written, _ in p.params.values() if written},
        )
        return function

    def final(self, k: Kernel, comment: list[str]) -> str:
        """The text of a kernel's function, with `comment` and the buffers that `k` calls it
        with."""
        f = self.functions[k]
        buffers, written = f.uses[k]
        numbers = self.numbers.get(k, [])
        params = [
            f"{p['name']} = {b.name}[{b.count}]{' (written)' if b.name in written else ''}"
            for p, b in zip(f.params[: len(buffers)], buffers, strict=True)
        ]
        params += [f"number{j} = {text}" for j, (_, text) in enumerate(numbers)]
        if params:
            comment = [*comment, f"  {', '.join(params)}"]
        if len(f.uses) > 1:
            comment = [
                *comment,
                f"  one function for {len(f.uses)} such kernels, each with its own buffers"
                + (" and numbers" if numbers else ""),
            ]
        safe = "\n * ".join(comment_text(c) for c in comment)
        return f.text.replace("NAME", f.name).replace("COMMENT", safe, 1)

    # ---------------------------------------------------------------- the body of run

    def _segment(self, kernels: list[Kernel]) -> list[str]:
        lines: list[str] = []
        sizes: dict[str, None] = {}
        for k in kernels:
            if k in self.printed:
                self._function(k)
        steps = self._batches(kernels)
        failed = False
        for batch in steps:
            step: list[str] = []
            if len(batch) > 1:
                step += self._launch_many(batch, sizes)
            elif batch[0].form == "rows":
                step += self._launch(batch[0], sizes)
            elif batch[0].form == "call":
                step += self._call(batch[0], sizes)
            else:
                step += self._product(batch[0], sizes)
            if batch[0] not in self.functions:
                self.calls[batch[0]] = "\n".join(line[2:] for line in step) + "\n"
            if failed and any(self._commits(k) for k in batch):
                lines.append("  if (status) return status;")
                failed = False
            lines += self._timed(step, batch) if self.timed else step
            failed = (
                failed
                or any(k.fallible or k.form != "rows" for k in batch)
                or any(
                    "status = -1" in self.functions[k].text for k in batch if k in self.functions
                )
            )
        used = " ".join(lines)
        head = [
            f"  const int64_t {s} = sizes[{self.slots[s]}];"
            for s in self.slots
            if s in sizes or _mentions(used, s)
        ]
        if "arena" in used:
            head.append(f"  char *const arena = buffers[{self.arena_slot}];")
        return head + lines

    arena_slot = 0

    def _timed(self, step: list[str], batch: list[Kernel]) -> list[str]:
        """The step with its time added to a counter."""
        self.steps.append(batch)
        i = len(self.steps) - 1
        return [f"  gcp_times[{i}] -= gcp_now();", *step, f"  gcp_times[{i}] += gcp_now();"]

    def _commits(self, k: Kernel) -> bool:
        f = self.functions.get(k)
        if f is None:
            return k.call is not None and any(b.name.startswith("in") for b in k.call.results)
        return any(b.startswith("in") for b in f.uses[k][1])

    def _batches(self, kernels: list[Kernel]) -> list[list[Kernel]]:
        """Neighbours with one function and separate memory, together."""
        out: list[list[Kernel]] = []
        for k in kernels:
            if out and k.form == "rows" and self._independent(out[-1], k):
                out[-1].append(k)
            else:
                out.append([k])
        return out

    def _independent(self, batch: list[Kernel], k: Kernel) -> bool:
        f = self.functions.get(k)
        if f is None or self.functions.get(batch[-1]) is not f:
            return False
        reads, writes = self._touches(k)
        if any(w in self.arena for w in writes):
            return False
        for other in batch:
            r, w = self._touches(other)
            if w & (reads | writes) or writes & r:
                return False
        return True

    def _touches(self, k: Kernel) -> tuple[set[str], set[str]]:
        buffers, written = self.functions[k].uses[k]
        return {b.name for b in buffers}, written

    def _pointer(self, b: Buffer, offset: Any = 0) -> str:
        return self.address[b.name]

    def _table(self, k: Kernel) -> str:
        buffers, _ = self.functions[k].uses[k]
        pointers = [self._pointer(b) for b in buffers]
        pointers += [f"(void *)(const {t}[]){{{text}}}" for t, text in self.numbers.get(k, [])]
        return ", ".join(pointers) or "0"

    def _launch(self, k: Kernel, sizes: dict) -> list[str]:
        f = self.functions[k]
        p = Printer([])
        n = p.index(as_index(k.extent), bare=True)
        sizes.update(p.sizes)
        grain = self._grain(k)
        out = [
            f"  {{ /* {k.name} */",
            f"    void *const p[] = {{{self._table(k)}}};",
            "    gcp_job job = {&f, p, 0};",
        ]
        if grain is None:
            out.append(f"    {f.name}(&job, 0, {n}, 0);")
        else:
            out.append(f"    api->parallel_for({n}, {grain}, {f.name}, &job);")
        return [*out, "  }"]

    def _grain(self, k: Kernel) -> int | None:
        """Rows per piece; None when all of it is one piece."""
        work, extent = as_index(k.work), as_index(k.extent)
        w = work.constant if work.constant is not None else (work.hint or 1)
        grain = max(1, GRAIN // max(w, 1))
        if extent.constant is not None and extent.constant <= grain:
            return None
        return grain

    def _launch_many(self, batch: list[Kernel], sizes: dict) -> list[str]:
        """One region over several sets of buffers."""
        f = self.functions[batch[0]]
        p = Printer([])
        out = [f"  {{ /* {', '.join(k.name for k in batch)} */"]
        for i, k in enumerate(batch):
            out.append(f"    void *const p{i}[] = {{{self._table(k)}}};")
        jobs = ", ".join(
            f"{{&f, p{i}, {p.index(as_index(k.extent), bare=True)}}}" for i, k in enumerate(batch)
        )
        sizes.update(p.sizes)
        out.append(f"    gcp_job jobs[] = {{{jobs}}};")
        grains = [self._grain(k) for k in batch]
        grain = min([g for g in grains if g is not None] or [GRAIN])
        total = sum((as_index(k.extent) for k in batch), as_index(0))
        n = p.index(as_index(total), bare=True)
        sizes.update(p.sizes)
        if f.name not in self._batched:
            self._batched.add(f.name)
            f.text += _BATCH
        c = total.constant
        if c is not None and c <= grain:
            out.append(f"    {f.name}_all(jobs, 0, {n}, 0);")
        else:
            out.append(f"    api->parallel_for({n}, {grain}, {f.name}_all, jobs);")
        return [*out, "  }"]

    @functools.cached_property
    def _batched(self) -> set[str]:
        return set()

    def _call(self, k: Kernel, sizes: dict) -> list[str]:
        call = k.call
        assert call is not None
        p = Printer([])

        def argument(x: tuple | None) -> str:
            if x is None:
                return "0"
            text = _cast_parens(self._pointer(x[0]))
            if as_index(x[1]).same(0):
                return text
            at = p.index(as_index(x[1]) * x[0].dtype.itemsize, bare=True)
            return f"(char *){text} + {at}"

        numbers = ", ".join(p.index(as_index(n), bare=True) for n in call.numbers) or "0"
        arguments = ", ".join(argument(x) for x in call.arguments) or "0"
        results = ", ".join(self._pointer(b) for b in call.results)
        sizes.update(p.sizes)
        at = self.natives.setdefault(call.function, len(self.natives))
        functions = f"((const gcp_native *)buffers[{self.arena_slot + 1}])"
        return [
            *self._head(k, call.function),
            f"    const int64_t numbers[] = {{{numbers}}};",
            f"    void *const in[] = {{{arguments}}};",
            f"    void *const out[] = {{{results}}};",
            f"    if ({functions}[{at}](numbers, in, out)) return -1;",
            "  }",
        ]

    def _head(self, k: Kernel, what: str) -> list[str]:
        """The beginning of a step, with the user's lines where no function carries them."""
        facts = [] if k in self.functions else self.comments.get(k, [])[1:]
        lines = [f"{k.name}: {what}", *[comment_text(f) for f in facts]]
        return ("  { /* " + "\n   * ".join(lines) + ("\n   */" if facts else " */")).split("\n")

    def _product(self, k: Kernel, sizes: dict) -> list[str]:
        g = k.gemm
        assert g is not None
        p = Printer([])

        def text(x: Any) -> str:
            return p.index(as_index(x), bare=True)

        def operand(x: tuple) -> str:
            buffer, strides, offset = x
            lead = list(strides) if len(strides) == 3 else [0, *strides]
            ctype = buffer.dtype.ctype
            at = f"(const {ctype} *){_cast_parens(self._pointer(buffer))}"
            if not as_index(offset).same(0):
                at += f" + {text(offset)}"
            return f"{at}, {', '.join(text(s) for s in lead)}"

        epilogue = k.form == "tile"
        c = f"({g.c.dtype.ctype} *){_cast_parens(self._pointer(g.c))}"
        what = f"[{text(g.batch)}] {text(g.m)} x {text(g.n)} x {text(g.k)}"
        out = self._head(k, what)
        last = ""
        if g.code in ("f32", "f64"):
            last = ", 0"
            if epilogue:
                f = self.functions[k]
                out += [
                    f"    void *const p[] = {{{self._table(k)}}};",
                    "    gcp_job job = {&f, p, 0};",
                    f"    const gc_epilogue_{g.code} epilogue = {{{f.name}, &job}};",
                ]
                last = ", &epilogue"
        out += [
            f"    if (api->gemm_{g.code}({text(g.batch)}, {text(g.m)}, {text(g.n)}, {text(g.k)},",
            f"                      {operand(g.a)},",
            f"                      {operand(g.b)},",
            f"                      {c}, {text(as_index(g.m) * g.n)}, {text(g.n)}{last})) return "
            f"-1;",
            "  }",
        ]
        sizes.update(p.sizes)
        return out


_BATCH = """/* The same over several jobs, one after the other in one count. */
static void NAME_all(void *ctx, int64_t begin, int64_t end, int thread) {
  const gcp_job *job = ctx;
  for (; begin < end; job++) {
    if (begin < job->n) NAME((void *)job, begin, gcp_min(end, job->n), thread);
    end -= job->n;
    begin = begin < job->n ? 0 : begin - job->n;
  }
}
"""


def _heads(text: str, name: str) -> list[str]:
    """Declarations of the functions of a kernel that its file shows."""
    found = re.findall(rf"^(void {name}(?:_all)?\([^)]*\)) {{$", text, re.M)
    return [f"{h};" for h in found]


def _parts(texts: list[str]) -> list[list[str]]:
    """Neighbouring kernels, about as much text in each part; as many as make a compiler's start
    worth it."""
    total = sum(map(len, texts))
    count = min(8, -(-total // PIECE))
    parts: list[list[str]] = [[] for _ in range(count)]
    at = 0
    for t in texts:
        parts[min(at * count // total, count - 1)].append(t)
        at += len(t)
    return [p for p in parts if p]


def _cast_parens(text: str) -> str:
    return text if text.replace("[", "").replace("]", "").isalnum() else f"({text})"


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _helpers(body: str) -> set[str]:
    """The template's helper functions that the kernels call."""
    used = {
        h
        for h in ("gcp_min", "gcp_max", "gcp_lane_rows", "gcp_words", "gcp_checked", "gcp_require")
        if h in body
    }
    return used | {"gcp_min"} if "gcp_lane_rows" in used else used


def pointer_of(index: Index | int) -> str:
    """An arena offset as text."""
    return Printer([]).index(as_index(index))
