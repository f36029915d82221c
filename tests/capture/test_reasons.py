"""Why something is compiled again, in words: one golden text over the causes, with the name of the
argument or the line that read what changed."""

import re
import warnings

import pytest

import graphc
from graphc import nn
from graphc.base.errors import CaptureBreak

SCALE = 2
TABLE = [1, 2]


class Settings:
    k = 1

    def __init__(self):
        self.mode = "a"


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.drop = nn.Dropout(0.5)
        self.width = 2

    def forward(self, x):
        return self.drop(self.first(x)) * self.width


def with_default(x, k=2):
    return x * k


def ones(*shape, **more):
    return graphc.ones(*shape, **more)


def reason(fn, first, second, change=None, context=None):
    f = graphc.compile(fn, backend="interpret", fullgraph=True)
    f(*first)
    if change is not None:
        change()
    if context is None:
        f(*second)
    else:
        with context:
            f(*second)
    assert len(f.history) == 2, f.explain()
    return f.history[-1]


def text(golden_lines, name, *args, **more):
    golden_lines.append(f"{name}: {reason(*args, **more)}")


def test_causes(golden, monkeypatch):
    lines = []
    x = ones(2, 3)

    def scaled(x):
        return x * SCALE

    def summed(x):
        return x + sum(TABLE)

    settings, model, many, k = Settings(), Model(), Model(), 3

    def closed(x):
        return x * k

    def set_k():
        nonlocal k
        k = 4

    def configured(x):
        return x * settings.k if settings.mode == "a" else x

    def decided(x, limit):
        return x * limit if limit > 1 else x

    def added(x, y):
        return x.add_(y)

    def stepped(p):
        if p.grad is not None:
            return p * 2
        return p + 0

    def applied(x, pair, how="sum"):
        return getattr(x, how)() + pair[0]

    text(lines, "shape", scaled, [x], [ones(4, 3)])
    text(lines, "dtype", scaled, [x], [ones(2, 3, dtype=graphc.float64)])
    text(lines, "strides", scaled, [x], [ones(3, 2).t()])
    text(lines, "requires_grad", scaled, [x], [ones(2, 3).requires_grad_()])
    text(lines, "number", applied, [x, (1, 2)], [x, (3, 2)])
    text(lines, "text", applied, [x, (1,), "sum"], [x, (1,), "mean"])
    text(lines, "nesting", applied, [x, (1, 2)], [x, [1, 2, 3]])
    text(lines, "global", scaled, [x], [x], lambda: monkeypatch.setitem(globals(), "SCALE", 5))
    text(lines, "list", summed, [x], [x], lambda: TABLE.append(3))
    text(lines, "closure", closed, [x], [x], set_k)
    text(lines, "attribute", configured, [x], [x], lambda: setattr(settings, "mode", "b"))
    text(lines, "class", configured, [x], [x], lambda: setattr(Settings, "k", 2))
    text(lines, "default", with_default, [x], [x],
         lambda: setattr(with_default, "__defaults__", (5,)))  # fmt: skip
    text(lines, "module attribute", model, [x], [x], lambda: setattr(model, "width", 7))
    text(lines, "training", model, [x], [x], model.eval)
    text(lines, "module replaced", many, [x], [x], lambda: setattr(many, "drop", nn.Tanh()))
    text(lines, "decision", decided, [x, 2.0], [x, 0.5])
    text(lines, "grad mode", scaled, [x], [x], context=graphc.no_grad())
    text(lines, "inference mode", scaled, [x], [x], context=graphc.inference_mode())
    text(lines, "aliasing", added, [ones(3), ones(3)], [x[0], x[0]])
    p = nn.Parameter(ones(2))
    text(lines, "gradient", stepped, [p], [p], lambda: setattr(p, "grad", ones(2)))
    graphc.set_default_dtype(graphc.float64)
    try:
        text(lines, "default dtype", scaled, [x], [x],
             lambda: graphc.set_default_dtype(graphc.float32))  # fmt: skip
    finally:
        graphc.set_default_dtype(graphc.float32)
    says = (
        r"test_reasons\.py:\d+|: (x|y|p|pair|how|limit)\b|mode|default|Linear|arguments were|grad"
    )
    for line in lines:  # the user's line, or the argument's name
        assert re.search(says, line)
    golden("reasons.txt", re.sub(r"0x[0-9a-f]+", "0x", "\n".join(lines)))


def test_explain_names_what_is_read():
    f = graphc.compile(Model(), backend="interpret")
    f(ones(2, 3))
    said = f.explain()
    assert re.match(r"Model \(test_reasons\.py:\d+\): 1 program", said)
    assert "argument x: f32[2, 3]" in said
    assert re.search(r"Model\.width \(test_reasons\.py:\d+\)", said)


def test_warning_at_the_eighth():
    def many(x, n):
        return x * n

    f = graphc.compile(many, backend="interpret")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for n in range(10):
            f(ones(2), n)
    (told,) = [str(w.message) for w in seen]
    assert re.fullmatch(
        r"many \(test_reasons\.py:\d+\) has been compiled 8 times; last reason: n: was 6, now 7",
        told,
    )
    assert [w for w in seen if w.filename == __file__]


@pytest.mark.parametrize("make", [lambda k: lambda x: x * k, None])
def test_float_state_compiles_once(make):
    """Numbers that only arithmetic sees are read anew on every call."""
    model = Model().eval()
    cell = {"k": 1.0}
    if make is None:
        model.width = 1.5
        f, fn = graphc.compile(model, backend="interpret"), model
    else:
        k = 1.0

        def fn(x):
            return x * k + settings.k

        settings = Settings()
        f = graphc.compile(fn, backend="interpret")
    for i in range(10):
        value = i / 4
        if make is None:
            model.width = value
        else:
            k = settings.k = value
        assert f(ones(2, 3)).tolist() == fn(ones(2, 3)).tolist()
    assert cell and len(f.specialisations) == 1, f.explain()


# ---------------------------------------------------------------- PyTorch's other arguments


def test_recompile_limit():
    """Beyond it calls run eagerly, after one warning; those that a program serves stay compiled."""

    def scaled(x, kind):
        return x * 2 if kind == "twice" else x + len(kind)

    x = graphc.arange(3.0)
    compiled = graphc.compile(scaled, recompile_limit=1)
    for kind in ("twice", "a"):
        assert compiled(x, kind).tolist() == scaled(x, kind).tolist()
    with pytest.warns(UserWarning, match="recompiled 1 times"):
        assert compiled(x, "abc").tolist() == [3, 4, 5]
    assert compiled(x, "a").tolist() == [1, 2, 3] and len(compiled.specialisations) == 2
    strict = graphc.compile(scaled, recompile_limit=0, fullgraph=True)
    strict(x, "twice")
    with pytest.raises(CaptureBreak, match="recompile_limit") as info:
        strict(x, "a")
    assert info.value.kind == "limit"


def test_names_and_modes():
    """Backends by PyTorch's names; what cannot be had is an error."""

    def double(x):
        return x * 2

    x = graphc.ones(2)
    made = graphc.compile(double, name="my_step", backend="inductor", mode="max-autotune")
    assert made(x).tolist() == [2, 2] and made.source.startswith("/* my_step:")
    assert graphc.compile(double, backend="eager")(x).tolist() == [2, 2]
    for bad, error, text in (
        ({"backend": "tvm"}, RuntimeError, "Invalid backend: 'tvm'"),
        ({"mode": "fastest"}, RuntimeError, "Unrecognized mode=fastest"),
        ({"mode": "default", "options": {"skip": ["fold"]}}, RuntimeError, "mode or options"),
        ({"shapes_spec": ((2,),)}, ValueError, "shapes_spec"),
    ):
        with pytest.raises(error, match=text):
            graphc.compile(double, **bad)
