"""Small programs under both libraries: takes a text file of them, gives for each the difference of
its results and the public names that it called.

A program is a block of Python up to a blank line, `#` lines aside; `torch` is one of the libraries,
`r(*shape)` a tensor of fixed uniform numbers, `k(*shape)` one of fixed small integers, `err(f)` the
error that f raises, and the value of its last expression is compared. Names are recorded while the
program runs, by the objects that its attribute accesses, operators, subscripts and loops meet: so a
name counts only when a program really reached it.

Invariant: the recorder changes no result; both libraries run the same rewritten source."""

from __future__ import annotations

import ast
import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

import graphc

from . import compare
from .convert import is_tensor

# programs have no exact result to measure by: a handful of roundings apart is the same
CALL_ULPS = 8

BINARY = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
}
COMPARE = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
}
UNARY = {ast.USub: "neg", ast.Invert: "invert", ast.UAdd: "pos"}
BUILTINS = {
    "len": "len",
    "iter": "iter",
    "list": "iter",
    "float": "float",
    "int": "int",
    "complex": "complex",
    "bool": "bool",
    "abs": "abs",
    "repr": "repr",
    "str": "repr",
    "hash": "hash",
    "dir": "dir",
    "reversed": "reversed",
    "format": "format",
    "range": "index",
}


class _Recorded(ast.NodeTransformer):
    """Rewrites a program so that `_seen` is told of every object and member it uses."""

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        return self._told(node.value, node.attr, lambda v: ast.Attribute(v, node.attr, ast.Load()))

    def _told(self, value: Any, name: str, use: Callable) -> Any:
        return use(ast.Call(ast.Name("_seen", ast.Load()), [value, ast.Constant(name)], []))

    def _dunder(self, value: Any, name: str) -> Any:
        return ast.Call(ast.Name("_seen", ast.Load()), [value, ast.Constant(f"__{name}__")], [])

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        name = BINARY.get(type(node.op))
        if name:
            node.left = self._dunder(node.left, name)
            node.right = self._dunder(node.right, "r" + name)
        return node

    def visit_Compare(self, node: ast.Compare) -> Any:
        self.generic_visit(node)
        if isinstance(node.ops[0], (ast.In, ast.NotIn)):
            node.comparators[0] = self._dunder(node.comparators[0], "contains")
        elif type(node.ops[0]) in COMPARE:
            node.left = self._dunder(node.left, COMPARE[type(node.ops[0])])
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        self.generic_visit(node)
        if type(node.op) in UNARY:
            node.operand = self._dunder(node.operand, UNARY[type(node.op)])
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        told = copy.deepcopy(node.target)
        for n in ast.walk(told):
            if isinstance(getattr(n, "ctx", None), ast.Store):
                n.ctx = ast.Load()  # type: ignore[attr-defined]
        self.generic_visit(node)
        name = BINARY.get(type(node.op))
        return [ast.Expr(self._dunder(told, "i" + name)), node] if name else node

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        self.generic_visit(node)
        name = "getitem" if isinstance(node.ctx, ast.Load) else "setitem"
        node.value = self._dunder(node.value, name)
        return node

    def visit_For(self, node: ast.For) -> Any:
        self.generic_visit(node)
        node.iter = self._dunder(node.iter, "iter")
        return node

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        self.generic_visit(node)
        node.iter = self._dunder(node.iter, "iter")
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> Any:
        self.generic_visit(node)
        node.value = self._dunder(node.value, "format")
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in BUILTINS and node.args:
            node.args[0] = self._dunder(node.args[0], BUILTINS[node.func.id])
        elif isinstance(node.func, ast.Name) and node.func.id not in ("_seen", "super"):
            node.func = self._dunder(node.func, "call")
        return node


def class_paths(library: ModuleType, names: list[str]) -> dict[type, list[str]]:
    """The public classes among `names` and the owners of methods among them, by object."""
    paths: dict[type, list[str]] = {}
    for name in names:
        parts = name.split(".")
        for n in range(1, len(parts) + 1):
            found: Any = library
            for part in parts[:n]:
                found = getattr(found, part, None)
            if isinstance(found, type):
                path = ".".join(parts[:n])
                if path not in paths.setdefault(found, []):
                    paths[found].append(path)
    return paths


class Recorder:
    """Collects public names of one library."""

    def __init__(self, library: ModuleType, names: list[str]) -> None:
        self.library = library
        self.wanted = set(names)
        self.paths = class_paths(library, names)
        self.found: set[str] = set()

    def seen(self, x: Any, name: str) -> Any:
        if isinstance(x, ModuleType):
            path = x.__name__.partition(".")[2]
            self.found.add(f"{path}.{name}" if path else name)
        else:
            kind = x if isinstance(x, type) else type(x)
            for base in kind.__mro__:
                for path in self.paths.get(base, ()):
                    self.found.add(f"{path}.{name}")
                    if not isinstance(x, type) or name == "__call__":
                        self.found.add(path)
        return x


def blocks(path: Path) -> list[tuple[int, str]]:
    """(line, source) of the programs of a file."""
    out: list[tuple[int, str]] = []
    current: list[str] = []
    start = 0
    for i, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], 1):
        if line.startswith("#"):
            continue
        if line.strip():
            start = start if current else i
            current.append(line)
        elif current:
            out.append((start, "\n".join(current) + "\n"))
            current = []
    return out


def run(source: str, library: ModuleType, recorder: Recorder | None) -> Any:
    """The value of the program's last expression."""
    tree = ast.parse(source)
    if recorder is not None:
        tree = ast.fix_missing_locations(_Recorded().visit(tree))
    last = tree.body.pop()
    if not isinstance(last, ast.Expr):
        raise ValueError("a program ends with the expression that is compared")

    def r(*shape: int, seed: int = 0, dtype: str = "float32") -> Any:
        a = np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)
        return library.from_numpy(np.asarray(a))

    def k(*shape: int, seed: int = 0, high: int = 4) -> Any:
        return library.from_numpy(np.random.default_rng(seed).integers(0, high, shape))

    def err(f: Callable) -> tuple[str, str]:
        try:
            f()
        except Exception as e:
            return type(e).__name__, (str(e).splitlines() or [""])[0]
        return "no error", ""

    names = {"torch": library, "np": np, "r": r, "k": k, "err": err}
    names["_seen"] = recorder.seen if recorder is not None else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(tree, "<program>", "exec"), names)
        return eval(compile(ast.Expression(last.value), "<program>", "eval"), names)


def plain(x: Any) -> Any:
    """A result with the libraries' own objects as comparable ones."""
    if is_tensor(x) or x is None or isinstance(x, (bool, int, float, complex)):
        return x
    if isinstance(x, str):
        return x.replace("graphc", "torch")
    if isinstance(x, dict):
        return [(plain(k), plain(v)) for k, v in x.items()]
    if isinstance(x, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(x)) if x.dtype != object else x.tolist()
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    return repr(x).replace("graphc", "torch")


def difference(source: str, recorder: Recorder | None = None) -> str | None:
    """What differs between the two libraries' results, or None."""
    want = plain(run(source, torch, None))
    got = plain(run(source, graphc, recorder))
    return _differ(got, want)


def _differ(got: Any, want: Any) -> str | None:
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            return f"{got!r:.200}, PyTorch {want!r:.200}"
        for i, (g, w) in enumerate(zip(got, want)):
            said = _differ(g, w)
            if said:
                return f"[{i}] {said}"
        return None
    if is_tensor(want) and isinstance(got, torch.Tensor):  # from numpy arrays
        ok = got.dtype == want.dtype and got.shape == want.shape
        return None if ok and torch.allclose(got, want, equal_nan=True) else f"{got}, {want}"
    if want is None or isinstance(want, (str, bool, int)) and not isinstance(want, float):
        return None if type(got) is type(want) and got == want else f"{got!r}, PyTorch {want!r}"
    return compare.values(got, want, ulps=CALL_ULPS)
