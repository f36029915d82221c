"""verify agrees with what is right, leaves everything as it was, and names planted faults: the
pass, the lowering, fusion, the memory plan, the capture, with the user's line and a program that
shows them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphc as torch
from graphc.base.config import config
from graphc.checks import VerifyError
from graphc.compiler.capture.tracer import Tracer
from graphc.compiler.lower.values import Values
from graphc.compiler.passes import memory, pipeline
from graphc.ir import op as table
from graphc.ir.graph import Node
from graphc.ir.loop import Apply
from graphc.native import build, library
from graphc.nn import functional as F

from . import wrong

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).name
LINES = Path(__file__).read_text().splitlines()


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A cache of its own: what is built with a planted fault stays out of the shared one."""
    library.available()  # from the shared cache
    monkeypatch.setattr(config, "cache_dir", str(tmp_path / "cache"))
    monkeypatch.setattr(pipeline, "PASSES", pipeline.PASSES)


def line_of(mark):
    found = [i + 1 for i, line in enumerate(LINES) if line.endswith(f"# at fault: {mark}")]
    assert len(found) == 1, mark
    return found[0]


def caught(fn, *args, **kwargs):
    with pytest.raises(VerifyError) as e:
        torch.verify(fn, *args, **kwargs)
    assert len(str(e.value).splitlines()) <= 15
    return e.value


# ---------------------------------------------------------------- what is right


def test_functions_agree_and_nothing_changes():
    def f(a, b):
        y = (a + b).tanh()
        b.mul_(2)
        return y.sum(), y[0], b

    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(4)
    before = a.detach().clone(), b.clone(), torch.get_rng_state(), b._version
    done = torch.verify(f, a, b)
    assert done and (done.outputs, done.updates, done.gradients) == (3, 1, 1)
    assert "3 outputs, 1 update, 1 gradient agree in bits" in str(done)
    assert torch.equal(before[0], a) and torch.equal(before[1], b) and b._version == before[3]
    assert torch.equal(before[2], torch.get_rng_state()) and a.grad is None


def test_a_training_step_agrees_and_nothing_changes():
    model = torch.nn.Sequential(
        torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(7)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    log = []

    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    x = torch.randn(6, 5)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fields = [dict(vars(m)) for m in model.modules()]
    done = torch.verify(step, x)
    assert done.gradients == 4 and done.updates == 4 + 3 + 12  # and statistics, moments, counts
    assert not optimizer.state and model[0].weight.grad is None and not log
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert fields == [dict(vars(m)) for m in model.modules()]
    step(x)
    kept = [t.clone() for s in optimizer.state.values() for t in s.values()]
    assert torch.verify(torch.compile(step), x).updates == 4 + 3 + 12
    assert all(map(torch.equal, kept, [t for s in optimizer.state.values() for t in s.values()]))


def test_a_gradient_of_a_leaf_that_is_not_contiguous():
    """What a compiled backward gives expanded becomes a .grad with memory of its own."""
    leaf = torch.zeros(5, 4).t().detach().requires_grad_()
    assert torch.verify(lambda x: x.sum(1), leaf).gradients == 1
    torch.compile(lambda x: x.sum(1), fullgraph=True)(leaf).backward(torch.ones(4))
    assert leaf.grad.stride() == (5, 1) and leaf.grad.add_(1).sum() == 40


def test_modules_agree_with_their_backward():
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Sigmoid())
    done = torch.verify(model, torch.randn(2, 4))
    assert (done.outputs, done.updates, done.gradients) == (1, 0, 2) and done.programs == 2
    compiled = torch.compile(model)
    assert torch.verify(compiled, torch.randn(2, 4)).gradients == 2
    assert "__annotations__" not in vars(model)


def test_what_is_not_captured_is_compared_with_its_fallback():
    def f(x):
        return x * 2 if x.sum() > 0 else x

    done = torch.verify(f, torch.ones(3))
    assert done and "bool(tensor)" in done.refused and "not compiled" in str(done)


def test_errors_of_the_function_are_raised():
    x = torch.ones(2, 3)
    with pytest.raises(RuntimeError, match="must match the size"):
        torch.verify(lambda x: x + x.t(), x)


def test_state_of_objects_containers_and_globals_is_put_back():
    class Counter:
        def __init__(self):
            self.steps, self.seen, self.total = 0, [], torch.zeros(3)

    counter, table_ = Counter(), {"a": torch.ones(3)}

    def f(x):
        counter.total += x
        table_["a"] = table_["a"] * 2
        return counter.total * table_["a"]

    kept = table_["a"]
    assert torch.verify(f, torch.ones(3), repro_dir=None)
    assert counter.total.tolist() == [0, 0, 0] and table_ == {"a": kept}


# ---------------------------------------------------------------- passes


def sums(a, b, c):
    x = a * 2
    y = (a + b) + c  # at fault: reassociate
    return x.tanh(), y.exp()


def zeros(a):
    return (a * 3 + 0.0).reciprocal()  # at fault: drop_zeros


def updates(a, b):
    a.add_(1)
    b.mul_(3)  # at fault: forget_updates
    return a + b


def alike(a):
    u = (a * 2).sin()
    v = (a * 3).sin()
    return (u - v).sum(0)  # at fault: merge_alike


def difference(a, b):
    return (a.tanh() - b.sum(0)) * 2  # at fault: swap_operands


def entry(a):
    a.mul_(2)  # at fault: old_value
    return a.clone()


def rectified(x):
    return F.relu(x).sum()  # at fault: mask_all


def products(a):
    return a * 2 * a  # at fault: stumble


def tensor(*shape, seed=0, grad=False):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return torch.tensor(values, requires_grad=grad)


PASSES = [
    (wrong.reassociate, sums, [tensor(4, 5, seed=i) for i in range(3)], 2),
    (wrong.drop_zeros, zeros, [torch.tensor([-0.0, 1.0])], 2),
    (wrong.forget_updates, updates, [tensor(4), tensor(4, seed=1)], 2),
    (wrong.merge_alike, alike, [tensor(4, 3)], 5),
    (wrong.swap_operands, difference, [tensor(3), tensor(4, 3, seed=1)], 2),
    (wrong.mask_all, rectified, [tensor(9, grad=True)], 2),
]


@pytest.mark.parametrize("function, fn, args, nodes", PASSES, ids=[p[0].__name__ for p in PASSES])
def test_a_wrong_pass_is_named(fresh, tmp_path, function, fn, args, nodes):
    wrong.plant(function)
    e = caught(fn, *args, repro_dir=tmp_path)
    assert (e.stage, e.name) == ("pass", function.__name__), e
    assert e.origin.line == line_of(function.__name__), e
    assert str(e).startswith(e.origin.describe())
    assert e.script.read_text().count("op.get(") <= nodes


@pytest.mark.parametrize("at", [0, 3, 5])
def test_the_pass_is_named_wherever_it_stands(fresh, at):
    wrong.plant(wrong.reassociate, at)
    e = caught(sums, *[tensor(4, 5, seed=i) for i in range(3)], repro_dir=None)
    assert (e.stage, e.name, e.script) == ("pass", "reassociate", None)


def test_the_pass_is_named_in_shadow_mode_too(fresh, monkeypatch):
    monkeypatch.setattr(config, "check", True)
    wrong.plant(wrong.reassociate)
    e = caught(sums, *[tensor(4, 5, seed=i) for i in range(3)], repro_dir=None)
    assert (e.stage, e.name) == ("pass", "reassociate")


def test_a_pass_that_raises_is_a_build_failure(fresh):
    wrong.plant(wrong.stumble)
    e = caught(products, tensor(3))
    assert e.stage == "build" and "IndexError: list index out of range" in str(e)


def test_a_pass_that_changes_nothing_is_fine(fresh):
    wrong.plant(wrong.empty)
    assert torch.verify(sums, *[tensor(4, 5, seed=i) for i in range(3)])


# ---------------------------------------------------------------- below the passes


def chain(a):
    y = a.exp() * 0.1
    z = y.tanh()  # at fault: lowering
    return (z + 1).sum(0)


def test_a_wrong_lowering_is_named(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(table.get("tanh"), "lower", lambda x: Apply("sigmoid", [x], x.dtype))
    e = caught(chain, tensor(4, 3), repro_dir=tmp_path)
    assert (e.stage, e.name) == ("lowering", "tanh"), e
    assert e.origin.line == line_of("lowering")
    assert e.script.read_text().count("op.get(") == 1


def flipped(a):
    b = a * 2
    return b.flip(0) + 1  # at fault: movement


def test_a_wrong_movement_is_named(fresh, monkeypatch):
    op = table.get("flip")
    right = op.lower
    monkeypatch.setattr(op, "lower", lambda ix, t, dims: [(i + 1) % n for i, n in zip(ix, t.shape)])
    e = caught(flipped, tensor(5), repro_dir=None)
    assert e.stage == "lowering" and "flip" in e.name, e
    assert e.origin.line == line_of("movement") and right is not op.lower


def fused(a, b, c):
    p = a * b
    return (p + c).sin()  # at fault: fusion


def test_a_wrong_fusion_is_told_from_a_wrong_lowering(fresh, monkeypatch):
    """Products are contracted into fused multiply-adds, which needs both in one kernel."""
    right = Values._pointwise

    def contracted(self, node, coords):
        e = right(self, node, coords)
        if isinstance(e, Apply) and e.fn == "add" and isinstance(e.args[0], Apply):
            m = e.args[0]
            if m.fn == "mul":
                return Apply("fma", [*m.args, e.args[1]], e.dtype)
        return e

    monkeypatch.setattr(Values, "_pointwise", contracted)
    e = caught(fused, *[tensor(40, seed=i) for i in range(3)], repro_dir=None)
    assert (e.stage, e.name) == ("fusion", "mul and add"), e
    assert e.origin.line == line_of("fusion")


def reversed_(a):
    a.copy_(a.flip(0) * 2)  # at fault: memory
    return None


def test_a_wrong_memory_plan_is_named(fresh, monkeypatch):
    monkeypatch.setattr(memory, "_not_in_place", lambda *a: "")
    e = caught(reversed_, tensor(6), repro_dir=None)
    assert e.stage == "memory", e
    assert e.origin.line == line_of("memory")


def test_a_wrong_stored_program_is_told(fresh, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(table.get("tanh"), "lower", lambda x: Apply("sigmoid", [x], x.dtype))
        m.setattr(config, "check", False)  # it would be noticed at once
        torch.compile(chain)(tensor(4, 3))
    e = caught(chain, tensor(4, 3), repro_dir=None)
    assert e.stage == "cache" and "cache clear" in str(e)


def test_a_wrong_c_compiler_is_told(fresh, monkeypatch):
    """Stands for one whose optimiser takes sin for tanh, and at -O1 does not."""
    right = build.shared_object

    def optimised(sources, *, flags=(), **more):
        if "-O1" not in flags:
            sources = {n: t.replace("gc_tanh_f32(", "gc_sin_f32(") for n, t in sources.items()}
        return right(sources, flags=flags, **more)

    monkeypatch.setattr(build, "shared_object", optimised)
    e = caught(chain, tensor(4, 3), repro_dir=None)
    assert (e.stage, e.name) == ("compiler", "tanh"), e
    assert e.origin.line == line_of("lowering") and "-O1" in str(e)


# ---------------------------------------------------------------- capture


def normed(x):
    return F.layer_norm(x, (4,)) * 2  # at fault: body


def test_a_composite_whose_body_is_not_its_kernel(fresh, monkeypatch):
    op = table.get("layer_norm")
    right = op.body
    monkeypatch.setattr(op, "body", lambda *a: tuple(t * 1.0001 for t in right(*a)))
    e = caught(normed, tensor(3, 4))
    assert e.stage == "capture" and "layer_norm" in e.name, e
    assert e.origin.line == line_of("body") and 'op.get("layer_norm")' in e.script.read_text()


def rows(x):
    y = x * 1
    y[0] = 5.0
    return y.sum(1)  # at fault: write


def test_a_write_that_capture_loses(fresh, monkeypatch):
    monkeypatch.setattr(Tracer, "_scatter", lambda self, cell, *a: cell.node)
    e = caught(rows, tensor(3, 4))
    assert (e.stage, e.origin.line) == ("capture", line_of("write")), e
    assert "result 0" in str(e)


def test_an_update_that_capture_doubles(fresh, monkeypatch):
    right = Tracer.write

    def twice(self, target, value):
        right(self, target, value + value)

    def grow(x):
        x.add_(1)
        return None

    monkeypatch.setattr(Tracer, "write", twice)
    e = caught(grow, tensor(3))
    assert e.stage == "capture" and "args[0]" in str(e)


# ---------------------------------------------------------------- the script


def test_the_script_shows_the_mismatch(fresh, tmp_path):
    wrong.plant(wrong.reassociate)
    args = [tensor(40, 50, seed=i) for i in range(3)]  # too many values to stand in the file
    script = caught(sums, *args, repro_dir=tmp_path / "folder").script
    assert script.with_suffix(".npz").exists()
    planted = (
        "import runpy, sys\n"
        "from graphc.compiler import program\n"
        "from graphc.native.cache import digest\n"
        "from tests.capture import wrong\n"
        "right = program.key_of  # what is built here is nobody else's\n"
        "program.key_of = lambda *a: digest(*sys.argv, right(*a))\n"
        "if sys.argv[2] == 'planted': wrong.plant(wrong.reassociate)\n"
        "runpy.run_path(sys.argv[1], run_name='__main__')"
    )

    def run(how):
        return subprocess.run(
            [sys.executable, "-c", planted, str(script), how],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    done = run("planted")
    assert done.returncode == 1 and "the pass reassociate is at fault" in done.stderr, done
    done = run("right")
    assert done.returncode == 0 and "agree in bits" in done.stdout, done


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int64", "bool", "uint8"])
def test_scripts_hold_every_dtype(tmp_path, dtype):
    from graphc.compiler.verify.script import write
    from graphc.compiler.verify.shrink import Case
    from graphc.ir.graph import Graph

    values = torch.tensor([[0.0, -0.0, 1.5], [float("inf"), float("nan"), 3.0]])
    x = (values if "float" in dtype else values.nan_to_num(0, 1, 0)).to(getattr(torch, dtype)).t()
    graph = Graph()
    graph.outputs = [graph.input(x.type_)]
    path = write(Case(graph, [x._array], (), ()), tmp_path / "s.py", "title")
    names = {"__file__": str(path), "__name__": "script"}
    exec(compile(path.read_text(), str(path), "exec"), names)
    got = names["in0"]
    assert got.dtype is x.dtype and got.stride() == x.stride()
    a, b = (np.asarray(t.double()._array) for t in (got, x))
    assert np.array_equal(a, b, equal_nan=True)
    assert np.array_equal(np.signbit(a[1]), np.signbit(b[1]))


# ---------------------------------------------------------------- switches


def test_passes_can_be_left_out_by_name():
    x = tensor(8)
    f = lambda x: (x.exp() + x.exp()).tanh().float().sum()
    want = f(x)
    for skip in (*[(name,) for name in pipeline.OPTIONAL], pipeline.OPTIONAL):
        compiled = torch.compile(f, fullgraph=True, options={"skip": skip})
        assert torch.equal(compiled(x), want)
    fused = torch.compile(f, fullgraph=True)
    fused(x)
    assert len(compiled.kernels) > len(fused.kernels) == 1
    with pytest.raises(ValueError, match="no pass 'inline' to leave out; there are drop_dead"):
        torch.compile(f, fullgraph=True, options={"skip": ["inline"]})(x)


def test_planted_passes_are_wrong():
    """The test of the tests: every planted pass changes its graph."""
    for function, fn, args, _ in PASSES:
        compiled = torch.compile(fn, fullgraph=True)
        out = compiled(*[a.detach().clone().requires_grad_(a.requires_grad) for a in args])
        graph = compiled.graph
        if compiled._last.captured.joint is not None:
            out.backward()
            graph = compiled._last.captured.joint.graph
        assert str(function(graph)) != str(graph), function
        assert all(isinstance(n, Node) for n in graph.nodes)
