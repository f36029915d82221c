"""Generated text is C99 without a warning, under gcc and clang: the op table, random programs with
their backward, train steps, and what users' lines and settings bring into it.

The runtime's headers may be GNU C, so they count as system headers; the program's own text gets no
such pardon, which `test_the_check_can_fail` holds to."""

import importlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import graphc
from graphc import nn, optim
from graphc.base.config import config
from graphc.base.errors import Origin
from graphc.base.resources import runtime_dir
from graphc.compiler.codegen.c import comment_text
from graphc.compiler.driver import compile_graph
from graphc.compiler.interpret import InterpretedProgram
from graphc.ir.index import size
from graphc.native import toolchain
from tests.ops.harness import backward_cases, check_batch, forward_cases, variant_cases

from .graphs import Builder
from .random_graphs import Maker
from .test_inspect import small_step
from .test_programs import _symbolic

sys.path.insert(0, str(Path(__file__).parent.parent / "fuzz"))
import mutations  # noqa: E402
import programs  # noqa: E402

STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror"]
COMPILERS = [c for c in map(toolchain.compiler_at, ("gcc", "clang")) if c is not None]
ENDS = {d: (graphc.iinfo(d).min, graphc.iinfo(d).max)
        for d in (graphc.uint8, graphc.int8, graphc.int16, graphc.int32, graphc.int64)}  # fmt: skip
pytestmark = pytest.mark.skipif(not COMPILERS, reason="neither gcc nor clang")


def complaints(texts, tmp_path, flags=("-O1",)):
    """What the compilers say of the texts: (compiler, number, first lines), empty when nothing."""
    include = ["-isystem", str(runtime_dir() / "include"), "-march=native"]

    def one(job):
        compiler, i = job
        path = tmp_path / f"p{i}.c"
        command = [*compiler.command, *STRICT, *flags, *include, "-c", str(path), "-o", os.devnull]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        return (compiler.kind, i, done.stderr[:1500]) if done.returncode else None

    for i, text in enumerate(texts):
        (tmp_path / f"p{i}.c").write_text(text, encoding="utf-8")
    jobs = [(c, i) for c in COMPILERS for i in range(len(texts))]
    with ThreadPoolExecutor(2) as pool:
        return [found for found in pool.map(one, jobs) if found]


@pytest.fixture
def texts(monkeypatch):
    """The texts of all that `graphc.compile` builds while a test runs; the graphs themselves go
    through the interpreter."""
    found = []

    def build(graph, settings, name):
        if not graph.holds_complex():  # there is no generated code for those
            found.append(compile_graph(graph, name)[1])
        return InterpretedProgram(graph)

    monkeypatch.setattr(importlib.import_module("graphc.compile"), "build", build)
    return found


def run_floats(seeds):
    group = [programs.Program(seed) for seed in seeds]
    leaves = [p.inputs() for p in group]

    def fn(*leaves):
        return [p.step(*own) for p, own in zip(group, leaves, strict=True)]

    graphc.compile(fn, fullgraph=True)(*leaves)


def run_mutations(seeds):
    for seed in seeds:
        p = mutations.Program(seed)
        try:
            graphc.compile(p.function(), fullgraph=True)(*p.inputs(0)[1])
        except (RuntimeError, IndexError, NameError):  # an error of the program's own, or refused
            continue


def train_steps():
    model = nn.Sequential(nn.Linear(20, 33), nn.LayerNorm(33), nn.GELU(), nn.Linear(33, 10))
    x, y = graphc.randn(64, 20), graphc.randint(0, 10, (64,))
    for make in (
        lambda p: optim.AdamW(p, lr=1e-3),
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    ):
        opt = make(model.parameters())

        def step(x, y, opt=opt):
            opt.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            return loss

        graphc.compile(step, fullgraph=True)(x, y)
    graphc.compile(model, fullgraph=True)(x).sum().backward()


def test_a_sample_of_everything(texts, tmp_path):
    check_batch(forward_cases()[::12], "c")
    check_batch(backward_cases()[::12], "c", backward=True)
    check_batch(variant_cases()[::24], "c")
    run_floats(range(6))
    run_mutations(range(4))
    train_steps()
    assert len(texts) >= 10
    texts += [compile_graph(g)[1] for g in (_symbolic(size("s0", 64)).graph, Maker(7, 30).b.graph)]
    assert complaints(texts, tmp_path) == []


@pytest.mark.slow
def test_the_whole_table_and_200_random_programs(texts, tmp_path):
    """With the flags of real builds."""
    for cases, backward in (
        (forward_cases(), False),
        (backward_cases(), True),
        (variant_cases(), False),
    ):
        for at in range(0, len(cases), 100):
            check_batch(cases[at : at + 100], "c", backward=backward)
    for seed in range(0, 100, 10):
        run_floats(range(seed, seed + 10))
    run_mutations(range(100))
    assert len(texts) >= 100
    flags = [f for f in toolchain.FLAGS if not f.startswith("-std=")]
    assert complaints(texts, tmp_path, flags) == []


def test_comparisons_whose_outcome_is_known(texts, tmp_path):
    """Of integers with themselves and with the ends of their range; floats are compared (NaN)."""
    kinds = (graphc.uint8, graphc.int8, graphc.int16, graphc.int32, graphc.int64, graphc.bool)
    given = [graphc.tensor([0, 1, 1], dtype=d) for d in kinds] + [graphc.tensor([0.0, 1.0])]

    def compare(*given):
        out = [c(x, x) for x in given for c in (graphc.eq, graphc.ne, graphc.lt, graphc.ge)]
        for x in given[:-1]:
            low, high = (0, 1) if x.dtype is graphc.bool else ENDS[x.dtype]
            out += [x < low, x >= low, x > high, x <= high, x == high, x != low]
            out.append(graphc.where(x >= low, x, x & x))
        return out

    found = graphc.compile(compare, fullgraph=True)(*given)
    for a, b in zip(found, compare(*given), strict=True):
        assert a.tolist() == b.tolist()
    assert complaints(texts, tmp_path) == []


def test_timed_programs(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "debug", 2)
    text = compile_graph(small_step())[1]
    assert "clock_gettime" in text
    assert complaints([text], tmp_path) == []


def test_users_lines_in_comments(tmp_path, monkeypatch):
    """Whatever stands in a user's line or name, it stays inside the comment."""
    nasty = [
        "y = x + 1  # */ int broken; /* and /* again",
        "y = x + 1  # ends in \\",
        "y = x + '\u202e\u2066'  # ??/ NAME COMMENT",
    ]
    for i, line in enumerate(nasty):
        (tmp_path / f"u{i}.py").write_text(line + "\n", encoding="utf-8")
    b = Builder()
    x = b.input((5, 6))
    b.graph.outputs = [b("exp", x), b("sum", x, (1,), False), b("sum", b("neg", x), (0,), False)]
    for i, n in enumerate(b.graph.nodes):
        n.origin = Origin(str(tmp_path / f"u{i % 3}.py"), 1)
    text = compile_graph(b.graph, "*/ step /*")[1]
    assert "int broken" in text and "NAME COMMENT" in text
    assert complaints([text], tmp_path) == []


def test_comment_text():
    assert comment_text("a */ b /* c") == "a * / b / * c"
    assert comment_text("/*/ **/ //*") == "/ * / ** / // *"
    assert comment_text("tab\tnew\nline \\") == "tab new line "


def test_the_check_can_fail(tmp_path):
    """GNU C, a comment of C++ and an unused variable in a program's text are found."""
    text = compile_graph(small_step())[1]
    assert complaints([text], tmp_path) == []
    for more in (
        "static int gcp_f(int a) { return ({ a; }); }\nint gcp_g(void) { return gcp_f(1); }\n",
        "int gcp_f(void) { int unused; return 0; }\n",
        "int gcp_f(int a) { return typeof(a) == 1; }\n",
    ):
        assert len(complaints([text + more], tmp_path)) == len(COMPILERS)
