"""Module: registration, attribute rules, state dicts, traversal, conversion, printing, copying.

The expected texts are PyTorch 2.13's; test_same_as_pytorch runs the same programs in both
libraries."""

import copy
import pickle
import re
import warnings
from collections import OrderedDict

import pytest

import graphc
from graphc import nn
from graphc.core import observe


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.blocks = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])
        self.register_buffer("scale", graphc.ones(1))
        self.register_buffer("cache", graphc.zeros(2), persistent=False)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x * self.scale


def raises(kind, text):
    return pytest.raises(kind, match="^" + re.escape(text) + r"(\nat .*)?$")  # the user's line


# ---------------------------------------------------------------- registration


def test_parameters_buffers_modules_are_found():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "first.weight",
        "first.bias",
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.weight",
        "blocks.1.bias",
    ]
    assert [n for n, _ in net.named_buffers()] == ["scale", "cache"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "blocks", "blocks.0", "blocks.1"]
    assert [n for n, _ in net.named_children()] == ["first", "blocks"]
    assert list(net.state_dict()) == [
        "scale",
        "first.weight",
        "first.bias",
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.weight",
        "blocks.1.bias",
    ]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == []
    assert [n for n, _ in net.first.named_parameters(prefix="p")] == ["p.weight", "p.bias"]


def test_shared_parameter_counts_once():
    net = nn.Module()
    net.a = nn.Linear(2, 2)
    net.b = nn.Linear(2, 2)
    net.b.weight = net.a.weight
    assert len(list(net.parameters())) == 3
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert list(net.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    net.c = net.a
    assert [n for n, _ in net.named_modules()] == ["", "a", "b"]
    assert [n for n, _ in net.named_modules(remove_duplicate=False)] == ["", "a", "b", "c"]
    assert len(list(net.children())) == 2


def test_attribute_rules():
    layer = nn.Linear(2, 2)
    with raises(
        TypeError,
        "cannot assign 'torch.FloatTensor' as parameter 'weight' "
        "(torch.nn.Parameter or None expected)",
    ):
        layer.weight = graphc.zeros(2, 2)
    layer.bias = None
    assert layer.bias is None and list(layer.state_dict()) == ["weight"]
    layer.bias = nn.Parameter(graphc.zeros(2))
    assert "bias" in layer._parameters

    net = Net()
    with raises(
        TypeError, "cannot assign 'int' as child module 'first' (torch.nn.Module or None expected)"
    ):
        net.first = 3
    with raises(
        TypeError,
        "cannot assign 'float' as buffer 'scale' (torch.nn.Buffer, torch.Tensor or None expected)",
    ):
        net.scale = 2.0
    net.scale = graphc.zeros(1)
    assert net._buffers["scale"] is net.scale
    net.plain = 5
    net.plain = nn.Linear(1, 1)
    assert "plain" not in net.__dict__ and "plain" in net._modules
    net.plain = nn.Parameter(graphc.zeros(1))
    assert "plain" in net._parameters and "plain" not in net._modules
    del net.plain, net.first, net.scale
    assert not hasattr(net, "plain") and "first" not in net._modules and "scale" not in net._buffers
    with raises(AttributeError, "'Net' object has no attribute 'nothing'"):
        _ = net.nothing
    with pytest.raises(AttributeError):
        del net.nothing


def test_before_init():
    class Early(nn.Module):
        def __init__(self, value):
            self.value = value

    for value, what in ((nn.Parameter(graphc.zeros(1)), "parameters"), (nn.ReLU(), "module")):
        with raises(AttributeError, f"cannot assign {what} before Module.__init__() call"):
            Early(value)
    early = Early(3)
    with raises(AttributeError, "cannot assign buffer before Module.__init__() call"):
        early.register_buffer("b", None)
    with raises(AttributeError, "cannot assign parameter before Module.__init__() call"):
        early.register_parameter("b", None)


def test_registration_errors():
    net = Net()
    for register, kind in ((net.register_buffer, "buffer"), (net.register_parameter, "parameter")):
        with raises(TypeError, f"{kind} name should be a string. Got int"):
            register(3, None)
        with raises(KeyError, repr(f'{kind} name can\'t contain "."')):
            register("a.b", None)
        with raises(KeyError, repr(f'{kind} name can\'t be empty string ""')):
            register("", None)
        with raises(KeyError, repr("attribute 'first' already exists")):
            register("first", None)
    with raises(KeyError, repr('module name can\'t contain ".", got: a.b')):
        net.add_module("a.b", nn.ReLU())
    with raises(TypeError, "int is not a Module subclass"):
        net.add_module("a", 3)
    with raises(
        TypeError,
        "cannot assign 'torch.FloatTensor' object to parameter 'p' "
        "(torch.nn.Parameter or None required)",
    ):
        net.register_parameter("p", graphc.zeros(1))
    with raises(
        TypeError, "cannot assign 'int' object to buffer 'b' (torch Tensor or None required)"
    ):
        net.register_buffer("b", 3)


def test_buffer_class():
    net = nn.Module()
    net.a = nn.Buffer(graphc.ones(2))
    net.b = nn.Buffer(graphc.ones(2), persistent=False)
    assert isinstance(net.a, nn.Buffer) and not isinstance(graphc.ones(1), nn.Buffer)
    assert list(net.state_dict()) == ["a"] and len(list(net.buffers())) == 2


def test_constructor_arguments():
    with raises(TypeError, "Module.__init__() got an unexpected keyword argument 'a'"):
        nn.Module(a=1)
    with raises(TypeError, "Tanh.__init__() takes 1 positional argument but 2 were given"):
        nn.Tanh(3)
    with raises(NotImplementedError, 'Module [Module] is missing the required "forward" function'):
        nn.Module()(1)


def test_parameter():
    base = graphc.ones(2, 2)
    p = nn.Parameter(base)
    assert p.requires_grad and p.is_leaf and isinstance(p, graphc.Tensor)
    assert type(p * 2) is graphc.Tensor and type(p.detach()) is graphc.Tensor
    base[0, 0] = 5.0
    assert p[0, 0].item() == 5.0
    text = "Parameter containing:\ntensor([0.], requires_grad=True)"
    assert repr(nn.Parameter(graphc.zeros(1))) == text
    assert nn.Parameter().shape == (0,)
    frozen = nn.Parameter(graphc.zeros(1), requires_grad=False)
    assert not frozen.requires_grad
    with pytest.raises(RuntimeError, match="Only Tensors of floating point"):
        nn.Parameter(graphc.tensor([1]))
    nn.Parameter(graphc.tensor([1]), requires_grad=False)
    p.tag = "kept"
    for other in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(other) is nn.Parameter and other.requires_grad and other.tolist() == p.tolist()
        assert other.data_ptr() != p.data_ptr()
    assert pickle.loads(pickle.dumps(p)).tag == "kept"
    tied = copy.deepcopy([p, p])
    assert tied[0] is tied[1]


# ---------------------------------------------------------------- paths


def test_paths():
    net = Net()
    assert net.get_submodule("") is net and net.get_submodule("blocks.1") is net.blocks[1]
    assert net.get_parameter("blocks.0.bias") is net.blocks[0].bias
    assert net.get_buffer("scale") is net.scale
    with raises(AttributeError, "Linear has no attribute `x`"):
        net.get_submodule("first.x")
    with raises(AttributeError, "`weight` is not an nn.Module"):
        net.get_submodule("first.weight")
    with raises(AttributeError, "`scale` is not an nn.Parameter"):
        net.get_parameter("scale")
    with raises(AttributeError, "`weight` is not a buffer"):
        net.get_buffer("first.weight")
    net.set_submodule("blocks.0", nn.Identity())
    assert isinstance(net.blocks[0], nn.Identity)
    net.set_submodule("extra", nn.Identity())
    with raises(AttributeError, "Net has no attribute `none`"):
        net.set_submodule("none", nn.Identity(), strict=True)
    with raises(ValueError, "Cannot set the submodule without a target name!"):
        net.set_submodule("", nn.Identity())


# ---------------------------------------------------------------- state dicts


def test_state_dict_shares_memory():
    net = Net()
    state = net.state_dict(prefix="n.")
    assert isinstance(state, OrderedDict)
    assert state._metadata["n.first"] == {"version": 1} and "n" in state._metadata
    assert not state["n.first.weight"].requires_grad
    state["n.first.weight"].fill_(3.0)
    assert net.first.weight[0, 0].item() == 3.0
    assert net.state_dict(keep_vars=True)["first.weight"] is net.first.weight


def test_load_state_dict():
    a, b = Net(), Net()
    before = list(b.parameters())
    result = b.load_state_dict(a.state_dict())
    assert repr(result) == str(result) == "<All keys matched successfully>"
    assert result.missing_keys == [] and result.unexpected_keys == []
    assert all(p is q for p, q in zip(b.parameters(), before, strict=True))
    assert all((p == q).all() for p, q in zip(a.parameters(), b.parameters(), strict=True))
    b.double()
    b.load_state_dict(a.state_dict())
    assert b.first.weight.dtype is graphc.float64  # the module's dtype stays


def test_load_state_dict_errors():
    layer = nn.Linear(2, 2)
    with raises(
        RuntimeError,
        "Error(s) in loading state_dict for Linear:\n\tMissing key(s) in "
        'state_dict: "bias". \n\tUnexpected key(s) in state_dict: "x". \n\tsize '
        "mismatch for weight: copying a param with shape torch.Size([3, 2]) from "
        "checkpoint, the shape in current model is torch.Size([2, 2]).",
    ):
        layer.load_state_dict({"weight": graphc.zeros(3, 2), "x": graphc.zeros(1)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        layer.load_state_dict({"weight": graphc.zeros(3, 2)}, strict=False)
    result = layer.load_state_dict({"y": graphc.zeros(1)}, strict=False)
    assert repr(result) == (
        "_IncompatibleKeys(missing_keys=['weight', 'bias'], unexpected_keys=['y'])"
    )
    with raises(TypeError, "Expected state_dict to be dict-like, got <class 'list'>."):
        layer.load_state_dict([])
    with pytest.raises(
        RuntimeError,
        match='While copying the parameter named "bias", expected '
        "torch.Tensor or Tensor-like object from checkpoint but "
        "received <class 'int'>",
    ):
        layer.load_state_dict({"weight": graphc.zeros(2, 2), "bias": 3})
    nested = nn.Sequential(nn.Linear(1, 1))
    with pytest.raises(
        RuntimeError, match=r'Unexpected key\(s\) in state_dict: "1.weight", "0.w.x"'
    ):
        nested.load_state_dict(
            {**nested.state_dict(), "0.w.x": graphc.zeros(1), "1.weight": graphc.zeros(1)}
        )


def test_load_state_dict_assign():
    layer = nn.Linear(2, 2)
    new = {"weight": graphc.zeros(2, 2, dtype=graphc.float64), "bias": graphc.zeros(2)}
    layer.bias.requires_grad_(False)
    layer.load_state_dict(new, assign=True)
    assert layer.weight.dtype is graphc.float64 and isinstance(layer.weight, nn.Parameter)
    assert layer.weight.requires_grad and not layer.bias.requires_grad
    assert layer.weight.data_ptr() == new["weight"].data_ptr()


def test_extra_state_and_hooks():
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    a, b = Counted(), Counted()
    a.count = 7
    seen = []
    a.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append("pre"))
    a.register_state_dict_post_hook(lambda m, state, prefix, meta: seen.append("post"))
    b.register_load_state_dict_pre_hook(lambda m, state, *rest: seen.append(m is b))
    handle = b.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    b.load_state_dict(a.state_dict())
    assert b.count == 7 and seen == ["pre", "post", True]
    b.load_state_dict({})
    handle.remove()
    with pytest.raises(RuntimeError, match='Missing key.*"_extra_state"'):
        b.load_state_dict({})


# ---------------------------------------------------------------- conversion and modes


def test_train_eval_apply():
    net = Net()
    assert net.training and net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    with raises(ValueError, "training mode is expected to be boolean"):
        net.train(1)
    order = []
    assert net.apply(lambda m: order.append(type(m).__name__)) is net
    assert order == ["Linear", "Linear", "Linear", "ModuleList", "Net"]


def test_dtype_conversion():
    net = Net()
    net.register_buffer("steps", graphc.tensor(3))
    weight = net.first.weight
    net(graphc.ones(1, 2)).sum().backward()
    grad = weight.grad
    assert net.double() is net and net.first.weight is weight
    assert weight.dtype is weight.grad.dtype is net.scale.dtype is graphc.float64
    assert weight.grad is grad and net.steps.dtype is graphc.int64
    for call, dtype in (
        (net.half, graphc.float16),
        (net.float, graphc.float32),
        (net.bfloat16, graphc.bfloat16),
    ):
        call()
        assert weight.dtype is dtype
    assert net.to(graphc.float64).first.weight.dtype is graphc.float64
    assert net.to(graphc.zeros(1)).first.weight.dtype is graphc.float32
    assert net.to("cpu", graphc.float16).first.weight.dtype is graphc.float16
    assert net.to(dtype=graphc.float32, device="cpu").cpu().first.weight.dtype is graphc.float32
    with raises(
        TypeError,
        "nn.Module.to only accepts floating point or complex dtypes, but got "
        "desired dtype=torch.int64",
    ):
        net.to(graphc.int64)
    with pytest.raises((RuntimeError, AssertionError)):
        net.cuda()
    with pytest.raises((RuntimeError, AssertionError)):
        net.to("cuda")


def test_grads():
    net = Net()
    net(graphc.ones(1, 2)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())


# ---------------------------------------------------------------- printing and copying


def test_repr():
    assert repr(nn.Module()) == "Module()"
    assert repr(Net()) == (
        "Net(\n  (first): Linear(in_features=2, out_features=3, bias=True)\n  (blocks): "
        "ModuleList(\n    (0-1): 2 x Linear(in_features=3, out_features=3, bias=True)\n  )\n)"
    )

    class Lines(nn.Module):
        def extra_repr(self):
            return "a\nb"

    assert repr(Lines()) == "Lines(\n  a\n  b\n)"


def test_deepcopy_and_pickle():
    net = Net()
    net.first.weight.requires_grad_(False)
    net.eval()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), copy.copy(net)):
        assert repr(other) == repr(net) and not other.training
        assert [p.requires_grad for p in other.parameters()] == [
            p.requires_grad for p in net.parameters()
        ]
        assert all(
            (p == q).all() for p, q in zip(other.parameters(), net.parameters(), strict=True)
        )
        x = graphc.ones(1, 2)
        assert other(x).tolist() == net(x).tolist()
        assert list(other.state_dict()) == list(net.state_dict())
    deep = copy.deepcopy(net)
    assert deep.first.weight is not net.first.weight
    hooked = []
    net.register_forward_hook(lambda m, args, out: hooked.append(1))
    copy.deepcopy(net)(x)
    assert hooked == [1]


def test_dir_and_iteration():
    net = nn.Sequential(nn.Linear(1, 1))
    names = dir(Net())
    assert "first" in names and "scale" in names and "forward" in names
    assert "0" not in dir(net)


# ---------------------------------------------------------------- changes are reported


def test_changes_move_the_epoch():
    net = Net()
    names = {"first", "scale", "weight", "training", "plain", "_forward_hooks", "0"}
    old = set(observe.watched)
    observe.watched.clear()
    observe.watch(names, net)
    try:
        handle = None

        def hook():
            nonlocal handle
            handle = net.register_forward_hook(lambda *a: None)

        actions = [
            lambda: setattr(net, "first", nn.Linear(2, 3)),
            net.eval,
            lambda: setattr(net, "plain", 1),
            lambda: setattr(net, "plain", 2),
            lambda: delattr(net, "plain"),
            lambda: net._buffers.update(scale=graphc.zeros(1)),
            lambda: net.first._parameters.__setitem__("weight", nn.Parameter(graphc.zeros(3, 2))),
            hook,
            lambda: handle.remove(),
            lambda: net._modules.pop("first"),
            lambda: net.blocks.__delitem__(0),
            lambda: net.blocks._modules.clear(),
            lambda: setattr(net, "_modules", {"first": nn.ReLU()}),
            lambda: net._modules.__setitem__("first", nn.Tanh()),
        ]
        for i, action in enumerate(actions):
            before = observe.epoch[0]
            action()
            assert observe.epoch[0] > before or i == 12, i
        before = observe.epoch[0]
        net.unwatched = 1
        assert observe.epoch[0] == before
    finally:
        observe.watched.clear()
        observe.watched.update(old)


def test_names_that_only_dead_programs_read_are_forgotten():
    class Reader:
        def __init__(self, names):
            self.names = names

    before = len(observe.watched)
    readers = [Reader({f"name_{i}", "kept"}) for i in range(300)]
    last = readers[-1]
    for reader in readers:
        observe.watch(reader.names, reader)
    assert {f"name_{i}" for i in range(300)} <= observe.watched  # all are alive
    del readers, reader
    for i in range(2000):
        x = Reader({f"other_{i}"})
        observe.watch(x.names, x)
    assert {"name_299", "kept", "other_1999"} <= observe.watched
    assert len(observe.watched) < before + 50
    epoch = observe.epoch[0]
    observe.changed(last, "name_299")
    assert observe.epoch[0] == epoch + 1
    observe.changed(last, "name_3")
    assert observe.epoch[0] == epoch + 1


def test_compile_method():
    """Module.compile changes calls, not results, and is no part of the state."""
    net = Net().eval()
    x = graphc.ones(2, 2)
    with graphc.no_grad():
        expected = net(x).tolist()
        net.compile()
        assert net._compiled_call_impl is not None
        assert net(x).tolist() == expected
    assert copy.deepcopy(net)._compiled_call_impl is None


# ---------------------------------------------------------------- the same programs in PyTorch

PROGRAMS = {
    "tied": lambda lib: [n for n, _ in tied(lib).named_parameters()],
    "dup": lambda lib: [n for n, _ in tied(lib).named_parameters(remove_duplicate=False)],
    "repr": lambda lib: repr(
        lib.nn.Sequential(
            lib.nn.Linear(2, 3, bias=False),
            lib.nn.Sequential(lib.nn.ReLU(inplace=True), lib.nn.Dropout(0.2)),
            lib.nn.ModuleDict(
                {"a": lib.nn.LayerNorm((2, 3)), "b": lib.nn.Embedding(3, 4, padding_idx=0)}
            ),
        )
    ),
    "metadata": lambda lib: [
        (k, dict(v))
        for k, v in lib.nn.Sequential(lib.nn.Linear(1, 1), lib.nn.BatchNorm1d(2))
        .state_dict()
        ._metadata.items()
    ],
    "wrong type": lambda lib: lib.nn.Linear(2, 2).load_state_dict({"weight": 3}),
    "wrong keys": lambda lib: lib.nn.Sequential(lib.nn.Linear(2, 2)).load_state_dict(
        {"0.weight": lib.zeros(2, 2), "1.a": lib.zeros(1), "b": lib.zeros(1)}
    ),
    "assign int": lambda lib: setattr(lib.nn.Linear(2, 2), "weight", 3),
    "non-leaf": lambda lib: lib.nn.Module().register_parameter(
        "p", as_parameter(lib, lib.ones(1, requires_grad=True) * 2)
    ),
    "to int": lambda lib: lib.nn.Linear(2, 2).to(lib.int32),
    "name": lambda lib: lib.nn.Linear(2, 2).register_buffer(3.5, None),
    "old call": lambda lib: list(lib.nn.Linear(2, 2).state_dict(OrderedDict(), "p.")),
    "pop": lambda lib: lib.nn.ModuleList([lib.nn.ReLU()])[3],
}


def tied(lib):
    net = lib.nn.Module()
    net.a = lib.nn.Linear(2, 2)
    net.b = lib.nn.ModuleDict({"x": net.a, "y": lib.nn.Linear(2, 2)})
    net.b["y"].weight = net.a.weight
    return net


def as_parameter(lib, t):
    t._is_param = True
    return t


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name):
    torch = pytest.importorskip("torch")
    results = []
    for lib in (graphc, torch):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                results.append(PROGRAMS[name](lib))
            except Exception as error:
                results.append((type(error).__name__, str(error)))
    assert results[0] == results[1]
