"""Imports point down: base <- ir, native <- core <- ops <- user library | compiler <- facade.

Counts the imports inside functions as well. The two wings, the user library and the compiler, know
nothing of each other; ir and native neither; no module is part of a circle of imports.
"""

import ast
import sys
import textwrap
from pathlib import Path

import networkx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from imports import imports_of, modules  # noqa: E402

PACKAGE = Path(__file__).resolve().parents[2] / "graphc"

LEVELS = {"base": 1, "ir": 2, "native": 2, "core": 3, "ops": 4, "user": 5, "compiler": 5, "top": 6}
# Passes see graphs, code generation sees the loop IR, and both the data that describes a kernel;
# fusion also asks how a value is computed from those in memory. Neither sees capture or tensors.
LOWER = "graphc.compiler.lower."
COMPILER_ROOMS = {
    "passes": {"base", "ir", LOWER + "kernel", LOWER + "values"},
    "codegen": {"base", "ir", LOWER + "kernel"},
}


def room(module: str) -> str:
    """The room that a module of graphc belongs to."""
    parts = module.split(".")
    top = ("compile", "checks", "fallback", "__main__", "demo", "inspect_file", "_dynamo")
    if len(parts) == 1 or parts[1] in top:
        return "top"
    return parts[1] if parts[1] in LEVELS else "user"


def allowed(importer: str, imported: str) -> bool:
    """Whether the arrow points down, or stays within one room."""
    here, there = room(importer), room(imported)
    return here == there or LEVELS[there] < LEVELS[here]


@pytest.fixture(scope="module")
def edges():
    known = modules(PACKAGE)
    return [edge for name, path in known.items() for edge in imports_of(name, path, known)]


def test_imports_point_down(edges):
    bad = [
        f"{edge.importer}:{edge.line} imports {edge.imported}"
        for edge in edges
        if not allowed(edge.importer, edge.imported)
    ]
    assert not bad, "\n".join(["upward imports:", *bad])


def test_no_circles(edges):
    graph = networkx.DiGraph()
    for edge in edges:
        if not edge.typing_only:
            graph.add_edge(edge.importer, edge.imported)
    circles = [sorted(part) for part in networkx.strongly_connected_components(graph)]
    circles = [part for part in circles if len(part) > 1]
    lines = [
        f"{edge.importer}:{edge.line} imports {edge.imported}"
        for part in circles
        for edge in edges
        if edge.importer in part and edge.imported in part and not edge.typing_only
    ]
    assert not circles, "\n".join(["circular imports:", *lines])


def test_compiler_rooms_keep_to_themselves(edges):
    bad = []
    for edge in edges:
        parts, target = edge.importer.split("."), edge.imported.split(".")
        if len(parts) < 3 or parts[1] != "compiler" or parts[2] not in COMPILER_ROOMS:
            continue
        if target[1:2] == ["compiler"]:
            known = COMPILER_ROOMS[parts[2]]
            fine = target[2:3] == parts[2:3] or edge.imported in known
        else:
            fine = room(edge.imported) in COMPILER_ROOMS[parts[2]]
        if not fine:
            bad.append(f"{edge.importer}:{edge.line} imports {edge.imported}")
    assert not bad, "\n".join(bad)


def test_every_file_says_what_it_is():
    """Each file opens with a docstring."""
    bad = [
        name
        for name, path in modules(PACKAGE).items()
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not bad


def test_the_reader_sees_imports_inside_functions(tmp_path):
    """The test of the test: all spellings of an import are found and resolved."""
    package = tmp_path / "graphc"
    (package / "core").mkdir(parents=True)
    (package / "compile.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "core" / "__init__.py").write_text("")
    (package / "core" / "tape.py").write_text("")
    source = """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from graphc.core.tape import Entry
        def f():
            from .. import compile
            from . import tape
            from .tape import Entry
            import graphc.compile
            import importlib
            importlib.import_module("graphc.compile")
    """
    (package / "core" / "tensor.py").write_text(textwrap.dedent(source))
    known = modules(package)
    found = imports_of("graphc.core.tensor", known["graphc.core.tensor"], known)
    assert sorted((e.imported, e.line, e.typing_only) for e in found) == [
        ("graphc.compile", 6, False),
        ("graphc.compile", 9, False),
        ("graphc.compile", 11, False),
        ("graphc.core.tape", 4, True),
        ("graphc.core.tape", 7, False),
        ("graphc.core.tape", 8, False),
    ]
    assert not allowed("graphc.core.tensor", "graphc.compile")
    assert not allowed("graphc.nn", "graphc.compiler.passes")
    assert not allowed("graphc.ir.op", "graphc.native.build")
    assert allowed("graphc.compile", "graphc.nn")
