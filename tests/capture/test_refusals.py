"""What compile refuses is written down: every refusal in the source names a kind of the table
`REFUSALS`, the README's table is that one, and each kind is met by a program."""

import ast
import datetime
import os
import random
import re
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.base.errors import REFUSALS, CaptureBreak

ROOT = Path(__file__).parents[2]


def refusals():
    """(place, kind) of each statement that refuses; kind None when it is not a plain string."""
    for path in sorted((ROOT / "graphc").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            kinds = [k.value for k in node.keywords if k.arg == "kind"]
            if name == "CaptureBreak" or name.endswith(".CaptureBreak"):
                yield f"{path.name}:{node.lineno}", kinds[0] if kinds else None
            elif name.endswith("tracer.refuse"):
                yield f"{path.name}:{node.lineno}", node.args[2] if len(node.args) > 2 else None
            elif name == "self.refuse" and path.name == "record.py":
                starred = isinstance(node.args[1], ast.Starred)
                yield f"{path.name}:{node.lineno}", None if starred else node.args[1]


def test_every_refusal_names_a_kind_of_the_table():
    found = list(refusals())
    assert len(found) > 30
    passed_on = {"kind", "e.kind"}  # by the refuse() methods, and with a better line
    named = [
        (place, kind.value if isinstance(kind, ast.Constant) else ast.unparse(kind))
        for place, kind in found
        if kind is not None
    ]
    wrong = [x for x in named if x[1] not in REFUSALS and x[1] not in passed_on]
    assert not wrong, wrong
    missing = [place for place, kind in found if kind is None and not place.startswith("record.py")]
    assert not missing, missing


def test_kinds_that_the_recorder_passes_on():
    from graphc.compiler.capture import record

    assert {kind for kind, _ in record._MODULES.values()} <= REFUSALS.keys()
    tree = ast.parse(Path(record.__file__).read_text())
    effect = next(
        n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "_effect"
    )
    kinds = {
        t.elts[0].value for t in ast.walk(effect) if isinstance(t, ast.Tuple) and len(t.elts) == 2
        and isinstance(t.elts[0], ast.Constant)
    }  # fmt: skip
    kinds -= {"random", "numpy"} - REFUSALS.keys()
    assert {"io", "clock", "random", "environment", "iterator", "state"} <= kinds


def test_the_readme_lists_them():
    text = (ROOT / "README.md").read_text()
    section = text.partition("## What compiled code refuses")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| (.*) \|$", section, re.MULTILINE)
    assert dict(rows) == {"kind": "what", **REFUSALS}


class Lists(nn.Module):
    def __init__(self):
        super().__init__()
        self.history = {"loss": []}

    def forward(self, x):
        self.history["loss"].append(x.sum())
        return x


class Mark(graphc.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, g):
        SEEN.append(1)
        return g


SEEN: list = []
NUMBERS = iter([1.0, 2.0] * 50)
LARGE = list(range(100_001))
WEIGHT = graphc.ones(3)
POOL = ThreadPoolExecutor(1)


def set_data(x):
    WEIGHT.data = x * 2
    return x


def set_mode(x):
    graphc.set_grad_enabled(False)
    return x * 2


def starts_a_thread(x):
    t = threading.Thread(target=int)
    t.start()
    t.join()
    return x


def stores_a_module(x):
    set_mode.layer = nn.Identity()
    return x


def unshaped(x):
    x.unsqueeze_(0)
    return x


HISTORY = graphc.ones(3).requires_grad_() * 2

def writes_a_part(x):
    z = x * 1j
    z.imag.mul_(2)
    return z


PROGRAMS = [
    ("value", lambda x: x if x.sum() > 0 else -x),
    ("value", lambda x: x * x.max().item()),
    ("value", lambda x: x * len(x.tolist())),
    ("value", lambda x: (x, str(x))),
    ("shape", lambda x: x[x > 0]),
    ("io", lambda x: (print("x"), x)[1]),
    ("io", lambda x: (warnings.warn("x", stacklevel=1), x)[1]),
    ("clock", lambda x: x * float(time.time() > 0)),
    ("clock", lambda x: x * datetime.datetime.now().year),
    ("random", lambda x: x * random.random()),
    ("random", lambda x: x * float(np.random.rand())),
    ("random", lambda x: x[graphc.randperm(3)]),
    ("environment", lambda x: x * len(os.environ.get("HOME", ""))),
    ("environment", lambda x: x * len(os.getcwd())),
    ("iterator", lambda x: x * next(NUMBERS)),
    ("thread", starts_a_thread),
    ("thread", lambda x: x * POOL.submit(int).result()),
    ("state", Lists()),
    ("state", stores_a_module),
    ("state", lambda x: Mark.apply(x)),
    ("tensor", set_data),
    ("tensor", unshaped),
    ("mode", set_mode),
    ("history", lambda x: (HISTORY.sum().backward(), x)[1]),
    ("size", lambda x: x * LARGE[3]),
    ("complex", writes_a_part),
    ("disabled", lambda x: graphc.compiler.disable(abs)(x)),
]


@pytest.mark.parametrize("at", range(len(PROGRAMS)))
def test_the_kind_of_a_refusal(at):
    kind, fn = PROGRAMS[at]
    x = graphc.ones(3)
    if fn is PROGRAMS[19][1]:
        x.requires_grad_()
    try:
        with pytest.raises(CaptureBreak) as info:
            graphc.compile(fn, fullgraph=True)(x)
    finally:
        graphc.set_grad_enabled(True)
    assert info.value.kind == kind, info.value
    text = str(info.value).splitlines()
    assert text[0].startswith(info.value.origin.describe().split("\n")[0]), text
    assert len(text) <= 10
    assert text[-1].startswith("Fix: "), text


def test_memory_under_two_dtypes():
    raw = np.zeros(4, np.float32)
    a, b = graphc.from_numpy(raw), graphc.from_numpy(raw.view(np.int32))

    def g(x):
        a.add_(1)
        return x + b

    with pytest.raises(CaptureBreak) as info:
        graphc.compile(g, fullgraph=True)(graphc.ones(4))
    assert info.value.kind == "aliasing"


def test_every_kind_is_tested():
    tested = {kind for kind, _ in PROGRAMS}
    # internal: see test_errors.py; limit: test_reasons.py
    assert tested | {"aliasing", "internal", "limit"} == set(REFUSALS)
