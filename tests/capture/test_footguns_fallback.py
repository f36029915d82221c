"""A model that cannot be captured runs its own forward in Python with its modules compiled:
results, gradients, state and what a user can see of the modules are eager's."""

import copy
import io
import pickle
import sys
import timeit
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import graphc
from graphc import nn
from graphc.base.errors import CaptureBreak
from graphc.core.modes import STATE

sys.path.insert(0, str(Path(__file__).parent))
from scenarios import CASES, case, check, mlp, ramp  # noqa: E402

FIRST = len(CASES)


class Block(nn.Module):
    """Captured as a whole."""

    def __init__(self, n=3):
        super().__init__()
        self.norm, self.linear, self.drop = nn.LayerNorm(n), nn.Linear(n, n), nn.Dropout(0.5)

    def forward(self, x):
        return x + self.drop(self.linear(self.norm(x)).relu())


class Loud(nn.Module):
    """Reads a value: its own forward stays in Python."""

    def __init__(self, *inner):
        super().__init__()
        self.inner = nn.ModuleList(inner)

    def forward(self, x):
        for m in self.inner:
            x = m(x)
        if x.sum().item() > 1e9:  # refused
            x = x * 0
        return x


class Head(Loud):
    def forward(self, x):
        return super().forward(x).square().mean()


def parts(f):
    """{path: what serves it} of a compiled function that runs in parts."""
    return dict(f._parts.named())


def train(compile, see, model, optimizer, steps=3, shape=(4, 3)):
    f = compile(model)
    o = optimizer(model.parameters())
    for i in range(steps):
        o.zero_grad()
        loss = f(ramp(*shape, start=i) * 0.1)
        loss.backward()
        o.step()
        see(loss.detach(), model, o)
    model.eval()
    with graphc.no_grad():
        see(f(ramp(*shape)), model)
    model.train()
    see(f(ramp(*shape)).detach(), list(model.state_dict()))


@case(refused="")
def training(compile, see):
    graphc.manual_seed(0)
    m = Head(Block(), Block(), nn.Linear(3, 2))
    train(compile, see, m, lambda p: graphc.optim.AdamW(p, lr=0.1))


@case(refused="")
def training_through_two_levels(compile, see):
    graphc.manual_seed(0)
    m = Head(Loud(Block(), Loud(nn.BatchNorm1d(3))), nn.Sequential(nn.Linear(3, 2), nn.Tanh()))
    train(compile, see, m, lambda p: graphc.optim.SGD(p, lr=0.1, momentum=0.9))


@case(refused="")
def shared_child(compile, see):
    graphc.manual_seed(0)
    shared = Block()
    m = Head(shared, nn.Linear(3, 3), shared, shared)
    train(compile, see, m, lambda p: graphc.optim.SGD(p, lr=0.1))


@case(refused="")
def tied_weights_of_children(compile, see):
    graphc.manual_seed(0)
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight
    train(compile, see, Head(a, nn.ReLU(), b), lambda p: graphc.optim.SGD(p, lr=0.1))


@case(refused="")
def parameters_of_the_parent_and_of_children(compile, see):
    class M(Head):
        def __init__(self):
            super().__init__(nn.Linear(3, 3))
            self.scale = nn.Parameter(ramp(3))

        def forward(self, x):
            w = self.inner[0].weight
            return super().forward(x * self.scale) + (w * self.scale).sum()

    graphc.manual_seed(0)
    train(compile, see, M(), lambda p: graphc.optim.SGD(p, lr=0.01))


@case(refused="")
def children_in_different_modes(compile, see):
    graphc.manual_seed(0)
    a, b = nn.Dropout(0.5), nn.Dropout(0.5)
    m = Loud(a, b, a)
    f = compile(m)
    for mode in ((True, True), (False, True), (False, False), (True, False)):
        a.train(mode[0])
        b.train(mode[1])
        see(f(ramp(8)))


@case(refused="")
def other_methods_of_children(compile, see):
    class Coder(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(3, 5), nn.Linear(5, 3)

        def encode(self, x):
            return self.up(x).tanh()

        def decode(self, x):
            return self.down(x)

        def forward(self, x):
            return self.decode(self.encode(x))

    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.coder = Coder()

        def forward(self, x):
            z = self.coder.encode(x)
            print(float(z.sum()))
            y = self.coder.decode(z) + self.coder.forward(x)
            return y + self.coder(x)

    graphc.manual_seed(0)
    f = compile(M())
    for i in range(2):
        see(f(ramp(2, 3) + i))


@case(refused="")
def recursion_of_a_module(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x, depth):
            print(depth)
            x = self.linear(x)
            return x if depth == 0 else self(x, depth - 1) + x

    graphc.manual_seed(0)
    m = M()
    f = compile(m)
    for depth in (0, 2, 1, 2):
        y = f(ramp(2, 3), depth)
        y.sum().backward()
        see(y.detach(), m)


@case(refused="")
def hooks_of_children_and_parent(compile, see):
    graphc.manual_seed(0)
    m = Loud(nn.Linear(3, 3), Block())
    seen = []
    m.register_forward_pre_hook(lambda mod, args: seen.append(("pre", args[0])))
    m.register_forward_hook(lambda mod, args, out: out * 2)
    m.inner[0].register_forward_hook(lambda mod, args, out: seen.append(out.detach()))
    m.inner[0].register_full_backward_hook(lambda mod, gi, go: seen.append(go[0]))
    m.inner[1].linear.register_forward_hook(lambda mod, args, out: out + 1)
    f = compile(m)
    for _ in range(2):
        m.zero_grad()
        f(ramp(2, 3)).sum().backward()
        see(m, seen)


@case(refused="")
def children_replaced_added_and_removed(compile, see):
    graphc.manual_seed(0)
    m = Loud(nn.Linear(3, 3), nn.ReLU())
    f = compile(m)
    see(f(ramp(2, 3)))
    m.inner[0] = nn.Linear(3, 3)
    see(f(ramp(2, 3)))
    m.inner.append(Block().eval())
    see(f(ramp(2, 3)))
    del m.inner[0]
    see(f(ramp(2, 3)))
    m.inner[0].weight = nn.Parameter(ramp(3, 3)) if hasattr(m.inner[0], "weight") else None
    see(f(ramp(2, 3)))


@case(refused="")
def child_made_in_the_forward(compile, see):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = None

        def forward(self, x):
            if self.inner is None:
                self.inner = nn.Linear(x.shape[1], 2)
            return nn.Sequential(self.inner, nn.Tanh())(x)

    graphc.manual_seed(0)
    m = M()
    f = compile(m)
    for i in range(3):
        see(f(ramp(2, 3) + i), m)


@case(refused="")
def child_with_its_own_call(compile, see):
    class Twice(nn.Linear):
        def __call__(self, x):
            return super().__call__(x) * 2

    graphc.manual_seed(0)
    f = compile(Loud(Twice(3, 3), nn.Linear(3, 3)))
    for i in range(2):
        see(f(ramp(2, 3) + i))


@case(refused="")
def function_that_calls_modules(compile, see):
    graphc.manual_seed(0)
    encoder, head = mlp(), nn.Linear(2, 1)
    o = graphc.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)
    losses = []

    def step(x):
        o.zero_grad()
        loss = head(encoder(x)).square().mean()
        loss.backward()
        o.step()
        losses.append(loss.item())
        return loss.detach()

    f = compile(step)
    for i in range(3):
        see(f(ramp(4, 3) + i), losses, encoder, head)


@case(refused="")
def model_as_an_argument(compile, see):
    def step(model, x):
        y = model(x)
        print(float(y.sum()))
        return y

    f = compile(step)
    a, b = mlp(), nn.Linear(3, 1)
    for m in (a, b, a):
        see(f(m, ramp(2, 3)))


@case(refused="")
def error_in_a_child(compile, see):
    graphc.manual_seed(0)
    m = Loud(nn.BatchNorm1d(3), nn.Linear(3, 3))
    f = compile(m)
    see(f(ramp(2, 3)), m)
    m.inner.append(nn.Linear(4, 4))
    for _ in range(2):
        see.error(lambda: f(ramp(2, 3)))
        see(m)


@case(refused="")
def branch_of_the_parent(compile, see):
    class M(Loud):
        def forward(self, x):
            if x.sum() > 10:
                return self.inner[0](x)
            return self.inner[1](x)

    graphc.manual_seed(0)
    f = compile(M(nn.Linear(3, 3), Block().eval()))
    for i in (0, 5, 0, 5):
        see(f(ramp(2, 3) + i))


@pytest.mark.parametrize("name", list(CASES)[FIRST:])
def test_fallback(name):
    check(name)


# ---- what is compiled, and what is seen of it


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    assert STATE.stand_in is None


def test_children_are_compiled_and_the_parent_is_not():
    f = graphc.compile(Loud(Block(), Loud(nn.Linear(3, 3)), nn.ReLU()))
    f(ramp(2, 3))
    served = parts(f)
    assert set(served) == {"inner.0 (Block)", "inner.1 (Loud)", "inner.2 (ReLU)"}
    assert not f.specialisations and len(f.refused) == 1
    assert len(served["inner.0 (Block)"].specialisations) == 1
    assert not served["inner.1 (Loud)"].specialisations
    inner = parts(served["inner.1 (Loud)"])
    assert len(inner["inner.0 (Linear)"].specialisations) == 1
    for _ in range(3):
        f(ramp(2, 3))
    assert len(served["inner.0 (Block)"].specialisations) == 1
    text = f.explain()
    assert text.startswith("Loud (") and "0 program(s)\n  eager: " in text
    assert "inner.0 (Block): 1 program(s)" in text and "# refused" in text
    assert "    inner.0 (Linear): 1 program(s)" in text


def test_one_warning_per_line():
    blocks = [Loud(nn.Linear(3, 3)) for _ in range(4)]
    f = graphc.compile(Loud(*blocks))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for n in (2, 3, 2):
            f(ramp(n, 3))
    said = [str(w.message) for w in seen if "not compiled" in str(w.message)]
    assert len(said) == 1
    assert "# refused" in said[0] and "Fix: " in said[0] and ".item()" in said[0]


def test_the_warning_points_to_the_call_and_names_the_line():
    f = graphc.compile(Loud(nn.ReLU()))
    with pytest.warns(UserWarning) as seen:
        f(ramp(3))
    assert seen[0].filename == __file__


def test_fullgraph_raises():
    with pytest.raises(CaptureBreak, match="refused") as info:
        graphc.compile(Loud(Block()), fullgraph=True)(ramp(2, 3))
    assert info.value.kind == "value"


def test_the_modules_are_not_touched():
    m = Loud(Block(), Loud(nn.Linear(3, 3)))
    children = [(n, id(c), type(c), repr(c), sorted(vars(c))) for n, c in m.named_modules()]
    keys, text, fields = list(m.state_dict()), repr(m), list(vars(m))
    f = graphc.compile(m)
    f(ramp(2, 3))
    assert children == [(n, id(c), type(c), repr(c), sorted(vars(c))) for n, c in m.named_modules()]
    assert (keys, text, fields) == (list(m.state_dict()), repr(m), list(vars(m)))
    assert list(f.state_dict()) == keys


def test_copies_and_pickles_of_what_ran_in_parts():
    m = Loud(Loud(nn.Linear(3, 3)))
    f = graphc.compile(m)
    want = f(ramp(2, 3)).tolist()
    for g in (copy.deepcopy(f), copy.deepcopy(m), graphc.compile(copy.deepcopy(m))):
        assert g(ramp(2, 3)).tolist() == want
        assert all(p is not q for p, q in zip(g.parameters(), m.parameters(), strict=True))
    g = pickle.loads(pickle.dumps(graphc.compile(Loud(nn.ReLU()))))
    assert g(ramp(3)).tolist() == [1.0, 2.0, 3.0]


def test_a_print_in_the_parent_happens_on_every_call():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            print("called")
            return self.linear(x)

    f = graphc.compile(M())
    out = io.StringIO()
    with redirect_stdout(out):
        for _ in range(3):
            f(ramp(2, 3))
    assert out.getvalue() == "called\n" * 3
    assert len(parts(f)["linear (Linear)"].specialisations) == 1


def test_module_compile_in_place():
    m = Loud(Block().eval())
    want = m(ramp(2, 3)).tolist()
    m.compile()
    assert m(ramp(2, 3)).tolist() == want
    assert len(parts(m._compiled_call_impl)["inner.0 (Block)"].specialisations) == 1


def test_a_mode_that_is_captured_after_one_that_was_not():
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            if self.training:
                print("training")
            return self.linear(x)

    m = M()
    f = graphc.compile(m)
    f(ramp(2, 3))
    assert not f.specialisations
    m.eval()
    f(ramp(2, 3))
    assert len(f.specialisations) == 1


def test_modules_that_are_gone_are_forgotten():
    m = Loud(nn.Linear(3, 3))
    f = graphc.compile(m)
    f(ramp(2, 3))
    for _ in range(3):
        m.inner[0] = nn.Linear(3, 3)
        f(ramp(2, 3))
    assert len(f._parts.compiled) == 1


def test_calls_outside_cost_nothing_noticeable():
    m = nn.Identity()
    x = ramp(3)

    def each():
        return min(timeit.repeat(lambda: m(x), number=2000, repeat=7))

    plain = each()
    STATE.stand_in = lambda module: None
    try:
        asked = each()
    finally:
        STATE.stand_in = None
    # Asking calls one Python function; not asking must be cheaper than that.
    assert plain < asked
