"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict: as PyTorch's, in both
libraries.

Each program runs in graphc and, where it is installed, in PyTorch; results or errors must agree.
The expected values stand beside the programs, so the test says something without PyTorch too."""

import copy
from collections import OrderedDict

import pytest

import graphc
from graphc import nn

try:
    import torch
except ImportError:
    torch = None
LIBRARIES = [graphc] if torch is None else [graphc, torch]


def layers(lib, n):
    return [lib.nn.Linear(i + 1, i + 1) for i in range(n)]


def names(module):
    return [(k, getattr(m, "in_features", None)) for k, m in module._modules.items()]


def build(lib, fn):
    out = fn(lib)
    return names(out) if isinstance(out, lib.nn.Module) else out


def del_item(lib, kind, index):
    m = kind(lib)
    del m[index]
    return m


def seq(lib):
    return lib.nn.Sequential(*layers(lib, 4))


def mlist(lib):
    return lib.nn.ModuleList(layers(lib, 4))


PROGRAMS = {
    "seq get": (lambda lib: [seq(lib)[i].in_features for i in (0, -1, 2)], [1, 4, 3]),
    "seq slice": (lambda lib: seq(lib)[1:3], [("1", 2), ("2", 3)]),
    "seq set": (
        lambda lib: _do(seq(lib), lambda m: m.__setitem__(-1, lib.nn.Linear(9, 9))),
        [("0", 1), ("1", 2), ("2", 3), ("3", 9)],
    ),
    "seq del": (lambda lib: del_item(lib, seq, 1), [("0", 1), ("1", 3), ("2", 4)]),
    "seq del slice": (lambda lib: del_item(lib, seq, slice(0, 2)), [("0", 3), ("1", 4)]),
    "seq pop": (lambda lib: seq(lib).pop(1).in_features, 2),
    "seq append": (lambda lib: lib.nn.Sequential().append(lib.nn.ReLU()), [("0", None)]),
    "seq insert": (
        lambda lib: seq(lib)[:2].insert(0, lib.nn.ReLU()),
        [("0", None), ("1", 1), ("2", 2)],
    ),
    "seq insert end": (
        lambda lib: seq(lib)[:2].insert(-1, lib.nn.ReLU()),
        [("0", 1), ("1", None), ("2", 2)],
    ),
    "seq insert far": (
        lambda lib: seq(lib).insert(7, lib.nn.ReLU()),
        ("IndexError", "Index out of range: 7"),
    ),
    "seq extend": (lambda lib: seq(lib)[:1].extend(layers(lib, 2)), [("0", 1), ("1", 1), ("2", 2)]),
    "seq add": (lambda lib: seq(lib)[:1] + seq(lib)[:1], [("0", 1), ("1", 1)]),
    "seq mul": (lambda lib: 2 * seq(lib)[:2], [("0", 1), ("1", 2), ("2", 1), ("3", 2)]),
    "seq imul": (
        lambda lib: _do(seq(lib)[:1], lambda m: m.__imul__(3)),
        [("0", 1), ("1", 1), ("2", 1)],
    ),
    "seq mul 0": (lambda lib: seq(lib) * 0 and None, None),
    "seq index": (lambda lib: seq(lib)[4], ("IndexError", "index 4 is out of range")),
    "seq dict": (
        lambda lib: lib.nn.Sequential(OrderedDict(a=lib.nn.ReLU(), b=lib.nn.Tanh())),
        [("a", None), ("b", None)],
    ),
    "seq wrong": (lambda lib: lib.nn.Sequential(3), ("TypeError", "int is not a Module subclass")),
    "seq len": (lambda lib: (len(seq(lib)), [m.in_features for m in seq(lib)]), (4, [1, 2, 3, 4])),
    "list get": (lambda lib: [mlist(lib)[i].in_features for i in (0, -1)], [1, 4]),
    "list slice": (lambda lib: mlist(lib)[1:3], [("0", 2), ("1", 3)]),
    "list del": (lambda lib: del_item(lib, mlist, -1), [("0", 1), ("1", 2), ("2", 3)]),
    "list del slice": (lambda lib: del_item(lib, mlist, slice(0, None, 2)), [("0", 2), ("1", 4)]),
    "list insert": (
        lambda lib: _do(mlist(lib)[:2], lambda m: m.insert(1, lib.nn.ReLU())),
        [("0", 1), ("1", None), ("2", 2)],
    ),
    "list add": (lambda lib: mlist(lib)[:1] + layers(lib, 1), [("0", 1), ("1", 1)]),
    "list iadd": (
        lambda lib: _do(mlist(lib)[:1], lambda m: m.__iadd__(layers(lib, 1))),
        [("0", 1), ("1", 1)],
    ),
    "list extend wrong": (
        lambda lib: mlist(lib).extend(3),
        ("TypeError", "ModuleList.extend should be called with an iterable, but got int"),
    ),
    "list index": (lambda lib: mlist(lib)[-5], ("IndexError", "index -5 is out of range")),
    "list call": (
        lambda lib: mlist(lib)(1),
        ("NotImplementedError", 'Module [ModuleList] is missing the required "forward" function'),
    ),
    "dict": (
        lambda lib: _do(
            lib.nn.ModuleDict({"b": lib.nn.ReLU(), "a": lib.nn.Tanh()}),
            lambda m: m.update([("c", lib.nn.Linear(5, 5))]),
        ),
        [("b", None), ("a", None), ("c", 5)],
    ),
    "dict views": (
        lambda lib: _views(lib.nn.ModuleDict({"a": lib.nn.ReLU()})),
        (["a"], ["a"], ["ReLU"], ["a"], 1, True, "ReLU", 0),
    ),
    "dict update wrong": (
        lambda lib: lib.nn.ModuleDict().update(3),
        (
            "TypeError",
            "ModuleDict.update should be called with an iterable of key/value pairs, but got int",
        ),
    ),
    "dict update pair": (
        lambda lib: lib.nn.ModuleDict([("a",)]),
        ("ValueError", "ModuleDict update sequence element #0 has length 1; 2 is required"),
    ),
    "plist": (lambda lib: _plist(lib), ([True, True, False], 3, 2, ["0", "1"])),
    "plist repr": (
        lambda lib: repr(lib.nn.ParameterList([lib.zeros(2, 3), "x"])),
        "ParameterList(\n    (0): Parameter containing: [torch.float32 of size 2x3]\n"
        "    (1): Object of type: str\n)",
    ),
    "plist index": (
        lambda lib: lib.nn.ParameterList()[0],
        ("IndexError", "index 0 is out of range"),
    ),
    "plist call": (
        lambda lib: lib.nn.ParameterList()(),
        ("RuntimeError", "ParameterList should not be called."),
    ),
    "pdict": (lambda lib: _pdict(lib), (["a", "b"], ["a", "b"], True, 5, ["a", "b", "c"], "c", 2)),
    "pdict repr": (
        lambda lib: repr(lib.nn.ParameterDict({"a": lib.zeros(2), "b": 3})),
        "ParameterDict(\n    (a): Parameter containing: [torch.FloatTensor of size 2]\n"
        "    (b): Object of type: int\n)",
    ),
    "pdict key": (
        lambda lib: lib.nn.ParameterDict({}).__getitem__(3),
        (
            "TypeError",
            "Index given to ParameterDict cannot be used as a key as it is not a string (type "
            "is 'int'). Open an issue on github if you need non-string keys.",
        ),
    ),
}


def _do(module, action):
    action(module)
    return module


def _views(m):
    shown = (
        list(m),
        list(m.keys()),
        [type(v).__name__ for v in m.values()],
        [k for k, _ in m.items()],
        len(m),
        "a" in m,
    )
    popped = type(m.pop("a")).__name__
    m.clear()
    return (*shown, popped, len(m))


def _plist(lib):
    p = lib.nn.ParameterList([lib.zeros(1)])
    p.append(lib.ones(1)).extend([3])
    return (
        [isinstance(x, lib.nn.Parameter) for x in p],
        len(p),
        len(p[1:]),
        [n for n, _ in p.named_parameters()],
    )


def _pdict(lib):
    p = lib.nn.ParameterDict({"b": lib.zeros(1), "a": lib.ones(1)})
    both = p | lib.nn.ParameterDict({"c": lib.zeros(2)})
    return (
        list(p),
        [n for n, _ in p.named_parameters()],
        isinstance(p["a"], lib.nn.Parameter),
        p.get("x", 5),
        list(both),
        both.popitem()[0],
        len(both),
    )


@pytest.mark.parametrize("lib", LIBRARIES, ids=lambda lib: lib.__name__)
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name, lib):
    fn, expected = PROGRAMS[name]
    if name == "seq mul 0":
        with pytest.raises(ValueError, match="Non-positive multiplication factor 0"):
            fn(lib)
        return
    try:
        got = build(lib, fn)
    except Exception as error:
        got = (type(error).__name__, str(error))
    assert got == expected


def test_sequential_runs_in_order():
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    x = graphc.ones(2, 3)
    assert net(x).tolist() == net[2](net[1](net[0](x))).tolist()
    assert nn.Sequential()(x) is x


def test_module_list_repr():
    same = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()] + [nn.Sequential(nn.Linear(1, 1))] * 2)
    assert repr(same) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n  (3-4): 2 x Sequential(\n"
        "    (0): Linear(in_features=1, out_features=1, bias=True)\n  )\n)"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_containers_copy():
    for m in (
        nn.ModuleList([nn.Linear(1, 1)]),
        nn.ParameterList([graphc.zeros(1)]),
        nn.ParameterDict({"a": graphc.zeros(1)}),
        nn.ModuleDict({"a": nn.Linear(1, 1)}),
    ):
        other = copy.deepcopy(m)
        assert repr(other) == repr(m) and len(other) == 1
        assert next(other.parameters()) is not next(m.parameters())
        assert list(other.state_dict()) == list(m.state_dict())
