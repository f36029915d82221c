"""PyTorch's own sample inputs (OpInfo) under both libraries: an OpInfo in, one Outcome per sample
and kind of check out.

Kinds: forward (in every dtype of DTYPES, or COMPLEX, that the OpInfo has), strides (layout and
shared memory of those results), noncontig (the same samples made non-contiguous), grad and gradgrad
(float64), inplace, out, method, alias and error (the error's type and its text's first line).

Invariant: PyTorch decides. What it accepts must give its values, what it refuses must be refused
with its type of error; a call that graphc does not have counts as missing, never as skipped. Where
an OpInfo has more samples than `LIMITS` allows, they are drawn evenly from the list, so the same
samples run every time."""

from __future__ import annotations

import dataclasses
import functools
import random
import tomllib
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.testing._internal import common_methods_invocations as invocations
from torch.testing._internal.opinfo.core import BinaryUfuncInfo, SampleInput, UnaryUfuncInfo

import graphc

from . import compare
from .convert import NoTwin, Twins, array, dtype_name, is_tensor, tensors

HERE = Path(__file__).parent
DTYPES = (torch.float32, torch.float64, torch.int64, torch.bool)
COMPLEX = (torch.complex64, torch.complex128)
KINDS = (
    "forward",
    "strides",
    "noncontig",
    "grad",
    "gradgrad",
    "inplace",
    "out",
    "method",
    "alias",
    "error",
)
# samples per OpInfo, dtype and kind
LIMITS = {"forward": 60, "noncontig": 10, "grad": 24, "gradgrad": 12, "inplace": 10, "out": 8}
LIMITS |= {"method": 3, "alias": 2}
UNINITIALISED = ("empty", "empty_like", "new_empty", "new_empty_strided", "empty_strided")
# PyTorch 2.13's triangles write past the end of a transposed `out`
NO_TURNED_OUT = ("tril", "triu")
# which of equal elements an index names is not promised
UNSTABLE = ("sort", "argsort", "topk", "msort")
# A softmax of scores of up to several hundred multiplies their roundings, and which element that
# hits hardest is chance: over 40 draws of such samples graphc's largest error is 7.8 ULP on average
# and PyTorch's 8.3, and as many break the rule for the largest error in one direction (4) as in the
# other (3). Here the root mean squares are compared.
BY_RMS = ("nn.functional.scaled_dot_product_attention",)
RANDOM = ("normal", "uniform", "randn", "randn_like", "rand_like", "randint", "randint_like")
RANDOM += ("multinomial", "bernoulli", "nn.functional.dropout", "rand", "randperm")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One check of one sample. `said` is None for a pass, else what differs."""

    name: str
    kind: str
    dtype: str
    index: int
    said: str | None
    missing: bool = False


# ---- which OpInfos


@functools.cache
def name_table() -> dict[str, dict[str, list[str]]]:
    """names.toml: the public names by tier and kind."""
    return tomllib.loads((HERE / "names.toml").read_text(encoding="utf-8"))


@functools.cache
def names() -> dict[str, int]:
    """The tier of every name of names.toml."""
    return {
        name: int(tier.removeprefix("tier"))
        for tier, kinds in name_table().items()
        for listed in kinds.values()
        for name in listed
    }


def full_name(info: Any) -> str:
    return f"{info.name} {info.variant_test_name}".strip()


def tier_of(info: Any) -> int | None:
    """The best tier among the names that an OpInfo tests."""
    spelled = [info.name, *(a.name for a in info.aliases)]
    spelled += [f"Tensor.{n}" for n in spelled] + [f"Tensor.{n}_" for n in spelled]
    found = [names()[n] for n in spelled if n in names()]
    return min(found, default=None)


@functools.cache
def chosen() -> dict[str, Any]:
    """The OpInfos of tier 1 and 2, by full name."""
    return {full_name(o): o for o in invocations.op_db if tier_of(o) is not None}


def called_names() -> set[str]:
    """The names that the checks of the chosen OpInfos call: functions, methods, in-place forms."""
    found = set()
    for info in chosen().values():
        if not of_test_library(info.op):
            found.add(info.name)
        for a in (info, *info.aliases):
            if a is not info:
                found.add(a.name)
            for f in (a.method_variant, a.inplace_variant):
                if f is not None and not of_test_library(f):
                    found.add(f"Tensor.{f.__name__}")
    return found


# ---- the twin of a call


class Missing(Exception):
    """graphc has no such name."""


def lookup(path: str) -> Any:
    found: Any = graphc
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Missing(path) from None
    return found


def _with_seed(op: Callable, *args: Any, **kwargs: Any) -> Any:
    graphc.manual_seed(42)
    return op(*args, **kwargs)


def rebound(f: Any) -> Any:
    """A function of PyTorch's test library with graphc in place of torch."""
    if isinstance(f, functools.partial):
        return functools.partial(rebound(f.func), *f.args, **f.keywords)
    scope = {k: v for k, v in f.__globals__.items() if k in _names_of(f.__code__)}
    scope["torch"] = graphc
    scope["__builtins__"] = f.__globals__["__builtins__"]
    if "wrapper_set_seed" in scope:
        scope["wrapper_set_seed"] = _with_seed
    for k, v in scope.items():
        if isinstance(v, types.FunctionType) and v.__module__ == f.__module__:
            scope[k] = rebound(v)
    return types.FunctionType(f.__code__, scope, f.__name__, f.__defaults__, f.__closure__)


def _names_of(code: types.CodeType) -> set[str]:
    found = set(code.co_names)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            found |= _names_of(c)
    return found


def of_test_library(f: Any) -> bool:
    """Whether f is a wrapper that only PyTorch's test library has."""
    return isinstance(f, functools.partial) or (
        isinstance(f, types.FunctionType) and f.__module__.startswith("torch.testing")
    )


def twin(info: Any) -> Callable:
    """graphc's counterpart of OpInfo.op."""
    f = info.op
    if of_test_library(f):
        return rebound(f)
    if isinstance(f, (types.MethodDescriptorType, types.WrapperDescriptorType)):
        return lookup(f"Tensor.{f.__name__}")
    if getattr(f, "__module__", None) == "torch._tensor":
        return lookup(f"Tensor.{f.__name__}")
    return lookup(info.name)


# ---- calls


def attempt(f: Callable, *args: Any, **kwargs: Any) -> tuple[Any, BaseException | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return f(*args, **kwargs), None
        except Exception as e:
            return None, e


def first_line(e: BaseException) -> str:
    return (str(e).splitlines() or [""])[0].strip()


def is_missing(e: BaseException) -> bool:
    """Whether a call failed because graphc lacks the name."""
    if isinstance(e, Missing):
        return True
    text = str(e)
    return isinstance(e, AttributeError) and (
        "module 'graphc" in text or "'Tensor' object has no attribute" in text
    )


def errors(mine: BaseException | None, theirs: BaseException, *, text: bool) -> str | None:
    """What differs between graphc's error and PyTorch's."""
    if mine is None:
        return f"no error; PyTorch {type(theirs).__name__}: {first_line(theirs):.120}"
    if type(mine) is not type(theirs):
        return (
            f"{type(mine).__name__}: {first_line(mine):.100}; "
            f"PyTorch {type(theirs).__name__}: {first_line(theirs):.120}"
        )
    if text and first_line(mine) != first_line(theirs):
        return f"text {first_line(mine)!r}; PyTorch {first_line(theirs)!r}"
    return None


def failure(e: BaseException) -> str:
    return f"{type(e).__name__}: {first_line(e):.160}"


def call(sample: Any) -> tuple:
    return (sample.input, *sample.args)


def fresh(sample: Any, change: Callable | None = None) -> Any:
    """A copy of a sample, with the sharing of memory that the sample has."""
    got = sample.transform(change or (lambda t: t))
    return got


def wider(sample: Any) -> Any:
    """The sample with its low-precision tensors and dtypes in double precision."""
    up = {torch.float32: torch.float64, torch.complex64: torch.complex128}

    def change(x: Any) -> Any:
        if isinstance(x, torch.dtype):
            return up.get(x, x)
        return x.to(up[x.dtype]) if x.dtype in up else x

    return sample.transform(change)


def drawn(items: list, limit: int) -> list[tuple[int, Any]]:
    """At most `limit` of the items, evenly, with their places."""
    if len(items) <= limit:
        return list(enumerate(items))
    return [(i * len(items) // limit, items[i * len(items) // limit]) for i in range(limit)]


def w_like(got: Any, old: Any, new: torch.Tensor) -> Any:
    """got with the tensor `old` exchanged for a twin of `new`."""
    if got is old:
        return Twins()(new)
    return [w_like(x, old, new) for x in got] if isinstance(got, (list, tuple)) else got


def cotangents(ts: list, salt: int) -> list[np.ndarray]:
    rng = np.random.default_rng(salt)
    got = []
    for t in ts:
        c = rng.uniform(-1, 1, tuple(t.shape))
        if dtype_name(t.dtype).startswith("complex"):
            c = c + 1j * rng.uniform(-1, 1, tuple(t.shape))
        got.append(c)
    return got


class Run:
    """All checks of one OpInfo."""

    def __init__(self, info: Any) -> None:
        self.info = info
        self.name = full_name(info)
        self.outcomes: list[Outcome] = []
        self.random = info.name in RANDOM
        self.loose = info.name in UNINITIALISED or self.random
        self.normwise = not isinstance(info, (UnaryUfuncInfo, BinaryUfuncInfo))
        self.rms = info.name in BY_RMS
        self.twin: Any = None
        try:
            self.twin = twin(info)
        except Missing as e:
            self.twin = self._raise(e)

    @staticmethod
    def _raise(e: Exception) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            raise e

        return call

    def note(self, kind: str, dtype: Any, index: int, said: str | None, e: Any = None) -> None:
        missing = e is not None and is_missing(e)
        self.outcomes.append(Outcome(self.name, kind, dtype_name(dtype), index, said, missing))

    def samples(self, dtype: torch.dtype, requires_grad: bool = False) -> list:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        return list(self.info.sample_inputs("cpu", dtype, requires_grad=requires_grad))

    def all(self, dtypes: tuple = DTYPES) -> list[Outcome]:
        for dtype in dtypes:
            if dtype not in self.info.supported_dtypes("cpu"):
                continue
            samples = self.samples(dtype)
            for i, s in drawn(samples, LIMITS["forward"]):
                self.forward("forward", dtype, i, s)
            for i, s in drawn(samples, LIMITS["noncontig"]):
                if any(t.numel() > 1 for t in tensors([s.input, s.args, s.kwargs])):
                    self.forward("noncontig", dtype, i, s.noncontiguous())
            self.variants(dtype, samples)
        double = [torch.float64] if torch.float64 in dtypes else []
        if self.info.supports_autograd and not self.loose and double:
            for dtype in double:
                if dtype in self.info.supported_dtypes("cpu"):
                    second = self.info.supports_gradgrad
                    samples = self.samples(dtype, requires_grad=True)
                    chosen2 = {i for i, _ in drawn(samples, LIMITS["gradgrad"])} if second else {}
                    chosen1 = {i for i, _ in drawn(samples, LIMITS["grad"])}
                    for i in sorted({*chosen1, *chosen2}):
                        self.gradients(dtype, i, samples[i], i in chosen2)
        self.errors()
        return self.outcomes

    # ---- one sample

    def both(
        self, theirs: Callable, mine: Callable, sample: Any
    ) -> tuple[Any, Any, Any, Any, Any, Any]:
        """The call under both libraries on copies of the sample."""
        t = sample
        give = Twins()
        args, kwargs = give(call(t)), give(t.kwargs)
        torch.manual_seed(0)
        want, refused = attempt(theirs, *call(t), **t.kwargs)
        got, raised = attempt(mine, *args, **kwargs)
        return got, raised, want, refused, tensors([args, kwargs]), tensors([call(t), t.kwargs])

    def forward(self, kind: str, dtype: Any, i: int, s: Any) -> None:
        got, raised, want, refused, mine, theirs = self.both(self.info.op, self.twin, s)
        if refused is not None:  # a sample that PyTorch itself refuses
            self.note(kind, dtype, i, errors(raised, refused, text=False), raised)
            return
        if raised is not None:
            self.note(kind, dtype, i, failure(raised), raised)
            return
        if self.loose or self.is_random(s, want):
            self.note(kind, dtype, i, compare.shapes(got, want))
        else:
            exact = None
            got = self.settled_indices(s, got, want)
            if dtype in (torch.float32, torch.complex64):
                w = wider(s)
                exact, _ = attempt(self.info.op, *call(w), **w.kwargs)
            self.note(kind, dtype, i, self.compared(got, want, exact))
        if compare.shapes(got, want) is None:
            said = compare.strides(tensors(got), tensors(want), mine, theirs)
            self.note("strides", dtype, i, said)

    def compared(self, got: Any, want: Any, exact: Any) -> str | None:
        return compare.values(got, want, exact, normwise=self.normwise, rms=self.rms)

    def settled_indices(self, s: Any, got: Any, want: Any) -> Any:
        """got, with PyTorch's indices where its own name equal elements."""
        pairs = list(zip(tensors(got), tensors(want)))
        if self.info.name not in UNSTABLE or s.kwargs.get("stable") or not pairs:
            return got
        g, w = pairs[-1]
        if g.shape != w.shape or not isinstance(s.input, torch.Tensor) or g.dtype != graphc.int64:
            return got
        at = 1 if self.info.name == "topk" else 0
        dim = s.kwargs.get("dim", s.args[at] if len(s.args) > at else -1)
        if type(dim) is not int:
            return got
        own = torch.from_numpy(array(g))
        x = s.input.detach()
        if x.ndim and own.numel():
            if not 0 <= int(own.min()) <= int(own.max()) < x.shape[dim]:
                return got
            a, b = x.gather(dim, own), x.gather(dim, w)
            same = bool(((a == b) | ((a != a) & (b != b))).all())
            distinct = all(
                len(set(row)) == len(row)
                for row in own.movedim(dim, -1).reshape(-1, own.shape[dim]).tolist()
            )
            if same and distinct:
                return w_like(got, g, w)
        return got

    def is_random(self, s: Any, want: Any) -> bool:
        return bool(s.kwargs.get("dropout_p")) or (
            self.info.name == "nn.functional.dropout" and s.kwargs.get("training", True)
        )

    def gradients(self, dtype: Any, i: int, s: Any, second: bool) -> None:
        if self.is_random(s, None):
            return
        give = Twins()
        args, kwargs = give(call(s)), give(s.kwargs)
        want, refused = attempt(self.info.op, *call(s), **s.kwargs)
        if refused is not None:
            return
        got, raised = attempt(self.twin, *args, **kwargs)
        theirs = [t for t in tensors([call(s), s.kwargs]) if t.requires_grad]
        mine = [give.tensor(t) for t in theirs]
        if not theirs:
            return
        if raised is not None:
            self.note("grad", dtype, i, failure(raised), raised)
            if second:
                self.note("gradgrad", dtype, i, failure(raised), raised)
            return
        if self.info.name.startswith("linalg."):
            want = s.output_process_fn_grad(want)
            got = rebound(s.output_process_fn_grad)(got)
        outs_t = [t for t in tensors(want) if t.requires_grad]
        outs_g = [t for t in tensors(got) if t.requires_grad]
        if len(outs_t) != len(outs_g):
            self.note("grad", dtype, i, f"{len(outs_g)} results with grad, PyTorch {len(outs_t)}")
            return
        if not outs_t:
            return
        cots = cotangents(outs_t, i)
        cot_t = [torch.from_numpy(np.asarray(c)).to(t.dtype) for c, t in zip(cots, outs_t)]
        cot_g = [graphc.from_numpy(np.asarray(c)).to(t.dtype) for c, t in zip(cots, outs_g)]
        for c in (*cot_t, *cot_g):
            c.requires_grad_(True)
        first = self.one_order("grad", dtype, i, (outs_t, theirs, cot_t), (outs_g, mine, cot_g))
        if not second or first is None:
            return
        live = [(t, g) for t, g in zip(*first) if t is not None and t.requires_grad]
        if not live:
            return
        lost = [t for t, g in live if g is None or not g.requires_grad]
        if lost:  # a gradient that is zero everywhere may say so by having no graph
            ones = [torch.ones_like(t) for t in lost]
            probe = torch.autograd.grad(
                lost, theirs + cot_t, ones, allow_unused=True, retain_graph=True
            )
            if any(p is not None and bool((p != 0).any()) for p in probe):
                self.note("gradgrad", dtype, i, "a gradient has no graph; PyTorch's has")
                return
            live = [(t, g) for t, g in live if g is not None and g.requires_grad]
        outs_t, outs_g = [t for t, _ in live], [g for _, g in live]
        cots = cotangents(outs_t, i + 1000)
        again_t = [torch.from_numpy(np.asarray(c)).to(t.dtype) for c, t in zip(cots, outs_t)]
        again_g = [graphc.from_numpy(np.asarray(c)).to(t.dtype) for c, t in zip(cots, outs_g)]
        self.one_order(
            "gradgrad", dtype, i,
            (outs_t, theirs + cot_t, again_t), (outs_g, mine + cot_g, again_g),
        )  # fmt: skip

    def one_order(
        self, kind: str, dtype: Any, i: int, pytorch: tuple, own: tuple
    ) -> tuple[Any, Any] | None:
        """Gradients of one order under both libraries, compared and noted."""
        keep = {"allow_unused": True, "create_graph": kind == "grad"}
        want, refused = attempt(torch.autograd.grad, *pytorch, **keep)
        if refused is not None:
            return None
        got, raised = attempt(graphc.autograd.grad, *own, **keep)
        if raised is not None:
            self.note(kind, dtype, i, failure(raised), raised)
            return None
        said = None
        for n, (g, w) in enumerate(zip(got, want)):
            if g is None and w is None:
                continue
            if w is None or g is None:  # no gradient and a gradient of zeros are the same
                there = g if w is None else w
                if bool((there != 0).any()):
                    said = f"gradient {n} is {'there' if w is None else 'None'}, PyTorch's is not"
                continue
            said = said or compare.values(g, w)
        self.note(kind, dtype, i, said)
        return want, got

    # ---- in-place, out=, method, aliases

    def variants(self, dtype: Any, samples: list) -> None:
        info = self.info
        if info.inplace_variant is not None:
            leaf = getattr(info.inplace_variant, "__name__", "")
            for i, s in drawn(samples, LIMITS["inplace"]):
                if isinstance(s.input, torch.Tensor):
                    self.inplace("inplace", dtype, i, s, info.inplace_variant, leaf)
        if info.supports_out:
            for i, s in drawn(samples, LIMITS["out"]):
                self.out(dtype, i, s)
        method = info.method_variant
        if method is not None and info.name != "__getitem__":
            leaf = getattr(method, "__name__", info.name)
            for i, s in drawn(samples, LIMITS["method"]):
                if isinstance(s.input, torch.Tensor):
                    self.variant("method", dtype, i, s, method, f"Tensor.{leaf}")
        for alias in info.aliases:
            for i, s in drawn(samples, LIMITS["alias"]):
                self.variant("alias", dtype, i, s, alias.op, alias.name)
                if alias.method_variant is not None and isinstance(s.input, torch.Tensor):
                    path = f"Tensor.{alias.method_variant.__name__}"
                    self.variant("alias", dtype, i, s, alias.method_variant, path)
                if alias.inplace_variant is not None and isinstance(s.input, torch.Tensor):
                    leaf = alias.inplace_variant.__name__
                    self.inplace("alias", dtype, i, s, alias.inplace_variant, leaf)

    def variant(self, kind: str, dtype: Any, i: int, s: Any, theirs: Any, path: str) -> None:
        try:
            mine = rebound(theirs) if of_test_library(theirs) else lookup(path)
        except Missing as e:
            self.note(kind, dtype, i, failure(e), e)
            return
        got, raised, want, refused, _, _ = self.both(theirs, mine, s)
        self.settle(kind, dtype, i, s, got, raised, want, refused)

    def settle(
        self, kind: str, dtype: Any, i: int, s: Any, got: Any, raised: Any, want: Any, refused: Any
    ) -> None:
        if refused is not None:
            self.note(kind, dtype, i, errors(raised, refused, text=False), raised)
        elif raised is not None:
            self.note(kind, dtype, i, failure(raised), raised)
        elif self.loose or self.is_random(s, want):
            self.note(kind, dtype, i, compare.shapes(got, want))
        else:
            exact = None
            got = self.settled_indices(s, got, want)
            if dtype in (torch.float32, torch.complex64):
                w = wider(s)
                exact, _ = attempt(self.info.op, *call(w), **w.kwargs)
            self.note(kind, dtype, i, self.compared(got, want, exact))

    def inplace(self, kind: str, dtype: Any, i: int, s: Any, theirs: Any, leaf: str) -> None:
        t = s.transform(lambda x: x.clone() if isinstance(x, torch.Tensor) else x)
        give = Twins()
        args, kwargs = give(call(t)), give(t.kwargs)
        want, refused = attempt(theirs, *call(t), **t.kwargs)
        try:
            mine = rebound(theirs) if of_test_library(theirs) else lookup(f"Tensor.{leaf}")
        except Missing as e:
            self.note(kind, dtype, i, failure(e), e)
            return
        got, raised = attempt(mine, *args, **kwargs)
        if refused is None and raised is None and got is not args[0]:
            self.note(kind, dtype, i, "does not return the tensor itself")
            return
        self.settle(kind, dtype, i, s, got, raised, want, refused)

    def out(self, dtype: Any, i: int, s: Any) -> None:
        """out= of the result's shape, of other strides, empty (it is resized) and of a dtype that
        may not hold the result."""
        if "out" in s.kwargs:
            return
        want, refused = attempt(self.info.op, *call(s), **s.kwargs)
        results = tensors(want)
        if refused is not None or not results:
            return
        single = isinstance(want, torch.Tensor)

        def filled(shape: Any, dt: Any) -> torch.Tensor:
            return torch.empty(shape, dtype=dt).fill_(1)

        def turned(t: torch.Tensor) -> torch.Tensor:
            shape = tuple(reversed(t.shape))
            return filled(shape, t.dtype).permute(tuple(reversed(range(t.ndim))))

        forms: list[tuple[str, list]] = [
            ("same", [filled(t.shape, t.dtype) for t in results]),
            ("empty", [filled((0,), t.dtype) for t in results]),
        ]
        if self.info.name not in NO_TURNED_OUT:
            forms.append(("turned", [turned(t) for t in results]))
        if i == 0 or len(results) == 1:
            other = [torch.bool if t.dtype != torch.bool else torch.float32 for t in results]
            forms.append(("other dtype", [filled(t.shape, d) for t, d in zip(results, other)]))
        for form, outs in forms:
            give = Twins()
            args, kwargs = give(call(s)), give(s.kwargs)
            outs_g = [give(t) for t in outs]
            out_t: Any = outs[0] if single else tuple(outs)
            out_g: Any = outs_g[0] if single else tuple(outs_g)
            torch.manual_seed(0)
            done, no = attempt(self.info.op, *call(s), **s.kwargs, out=out_t)
            got, raised = attempt(self.twin, *args, **kwargs, out=out_g)
            said = None
            if no is not None and form != "other dtype":
                continue  # PyTorch's own limit of layout, not a rule
            if no is not None:
                said = errors(raised, no, text=False)
            elif raised is not None:
                said = failure(raised)
            else:
                flat = tensors(got)
                outs_c = tensors(self.settled_indices(s, outs_g, outs))
                if any(a is not b for a, b in zip(flat, outs_g)):
                    said = "does not return out itself"
                elif self.loose:
                    said = compare.shapes(outs_g, outs)
                else:
                    exact = None
                    if dtype in (torch.float32, torch.complex64):
                        w = wider(s)
                        exact, _ = attempt(self.info.op, *call(w), **w.kwargs)
                    said = compare.values(outs_c, outs, tensors(exact), normwise=self.normwise)
                said = said or compare.strides(outs_g, outs, [], [])
            self.note("out", dtype, i, f"out ({form}): {said}" if said else None, raised)

    # ---- what PyTorch refuses

    def errors(self) -> None:
        if self.info.error_inputs_func is None:
            return
        torch.manual_seed(0)
        for i, wrong in enumerate(self.info.error_inputs("cpu")):
            s = wrong.sample_input
            give = Twins()
            try:
                args, kwargs = give(call(s)), give(s.kwargs)
            except NoTwin:  # about what cannot be made here in the first place
                continue
            _, refused = attempt(self.info.op, *call(s), **s.kwargs)
            if refused is None:
                continue
            _, raised = attempt(self.twin, *args, **kwargs)
            self.note("error", "any", i, errors(raised, refused, text=True), raised)


def run(name: str, dtypes: tuple = DTYPES) -> list[Outcome]:
    """Every check of one OpInfo; of one that has complex samples alone, those."""
    info = chosen()[name]
    if not set(dtypes) & set(info.supported_dtypes("cpu")):
        dtypes = COMPLEX
    return Run(info).all(dtypes)


def has_samples(name: str) -> bool:
    """Whether PyTorch has samples for the CPU at all."""
    run = Run(chosen()[name])
    return any(run.samples(d) for d in DTYPES + COMPLEX if d in run.info.supported_dtypes("cpu"))


def table(outcomes: list[Outcome]) -> Iterator[tuple[str, dict[str, tuple[int, int, int]]]]:
    """Per OpInfo: for each kind (passed, failed, missing)."""
    per: dict[str, dict[str, list[int]]] = {}
    for o in outcomes:
        cell = per.setdefault(o.name, {}).setdefault(o.kind, [0, 0, 0])
        cell[2 if o.missing else 0 if o.said is None else 1] += 1
    for name, kinds in per.items():
        yield name, {k: tuple(v) for k, v in kinds.items()}  # type: ignore[misc]


__all__ = ["KINDS", "Outcome", "SampleInput", "chosen", "is_tensor", "run", "table"]
