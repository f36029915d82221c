"""What code says to the compiler, torch.jit's names, torch._dynamo's."""

import warnings

import pytest

import graphc
from graphc import nn
from graphc.base.errors import CaptureBreak


def test_is_compiling():
    seen = []

    def f(x):
        return x * (2 if graphc.compiler.is_compiling() else 3)

    x = graphc.ones(2)
    assert f(x).tolist() == [3, 3] and graphc.compile(f)(x).tolist() == [2, 2]
    assert not graphc.compiler.is_compiling() and not graphc.compiler.is_exporting()
    assert not seen


def test_disable():
    @graphc.compiler.disable(reason="it prints")
    def inner(x):
        assert not graphc.compiler.is_compiling()
        return x + 1

    def f(x):
        return inner(x * 2)

    assert inner(graphc.ones(1)).item() == 2 and inner.__name__ == "inner"
    with pytest.raises(CaptureBreak, match=r"inner is marked with compiler.disable: it prints"):
        graphc.compile(f, fullgraph=True)(graphc.ones(1))
    with pytest.warns(UserWarning, match="runs eagerly"):
        assert graphc.compile(f)(graphc.ones(1)).item() == 3


def test_disabled_modules_stay_eager():
    class Probe(nn.Module):
        def forward(self, x):
            seen.append(graphc.compiler.is_compiling())
            return x

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = Probe(), graphc.compiler.disable(Probe()), Probe()

        @graphc.compiler.disable(recursive=recursive_default)
        def run(self, x):
            return self.c(x)

        def forward(self, x):
            return self.run(self.b(self.a(x)))

    seen: list = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = graphc.compile(Outer())
        compiled(graphc.ones(1))
        seen.clear()
        compiled(graphc.ones(2))
    # a is compiled by itself; b, and c inside the disabled method, run as they are
    assert seen.count(False) >= 2
    assert False in seen and seen[-1] is False


recursive_default = True


def test_reset_forgets_programs():
    compiled = graphc.compile(lambda x: x + 1)
    compiled(graphc.ones(2))
    assert len(compiled.specialisations) == 1
    graphc.compiler.reset()
    assert not compiled.specialisations
    assert compiled(graphc.ones(2)).tolist() == [2, 2] and len(compiled.specialisations) == 1
    module = graphc.compile(nn.Linear(2, 2))
    module(graphc.ones(1, 2))
    graphc._dynamo.reset()
    assert not module.specialisations


def test_other_names():
    f = graphc.compiler.allow_in_graph(graphc.compiler.assume_constant_result(abs))
    assert f is abs
    graphc.compiler.cudagraph_mark_step_begin()
    assert graphc.compiler.compile(lambda x: x + 1)(graphc.ones(1)).item() == 2
    assert "c" in graphc.compiler.list_backends()
    graphc._dynamo.config.suppress_errors = True
    found = graphc._dynamo.explain(lambda x: x + 1)(graphc.ones(2))
    assert found.graph_count == 1 and found.graph_break_count == 0 and "1 nodes" in str(found)
    with pytest.raises(CaptureBreak, match=r"graph_break\(\) was called"):
        graphc.compile(lambda x: (graphc._dynamo.graph_break(), x)[1], fullgraph=True)(
            graphc.ones(1)
        )
    graphc._dynamo.graph_break()


def test_jit():
    jit = graphc.jit
    assert jit.is_scripting() is False and jit.is_tracing() is False

    @jit.script
    def f(x: graphc.Tensor) -> graphc.Tensor:
        return x * 2 if x.sum() > 0 else x

    assert f(graphc.ones(2)).tolist() == [2, 2] and f(-graphc.ones(2)).tolist() == [-1, -1]
    layer = nn.Linear(2, 3).eval()
    assert jit.script(layer) is layer and jit.trace(layer, graphc.ones(1, 2)) is layer
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        jit.trace(layer, (graphc.ones(1, 5),))
    assert jit.freeze(layer) is layer
    with pytest.raises(RuntimeError, match="eval mode"):
        jit.freeze(nn.Linear(1, 1))

    class M(nn.Module):
        @jit.ignore
        def a(self):
            return 1

        @jit.unused
        def b(self):
            return 2

        @jit.export
        def c(self):
            return 3

        @jit.ignore(drop=True)
        def d(self):
            return 4

    m = M()
    assert (m.a(), m.b(), m.c(), m.d()) == (1, 2, 3, 4)
    assert jit.wait(jit.fork(lambda x: x + 1, 2)) == 3
    with pytest.raises(ZeroDivisionError):
        jit.fork(lambda: 1 / 0).wait()
    assert jit.isinstance([1, 2], list[int]) and not jit.isinstance([1, "a"], list[int])
    assert jit.isinstance({"a": 1}, dict[str, int]) and jit.isinstance(None, int | None)
    assert jit.annotate(list, []) == []
    for call in (lambda: jit.save(layer, "x"), lambda: jit.load("x")):
        with pytest.raises(RuntimeError, match="TorchScript programs"):
            call()
