"""Every tier-1 and tier-2 callable is called, with PyTorch's results: by OpInfo's samples
(test_opinfo.py), or by a program of names/*.txt (calls.py)."""

import importlib
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's test library needs it")

import graphc

from . import calls, modules, opinfo

pytestmark = pytest.mark.parity

CALLABLE = ("function", "method", "dunder", "module", "class", "optimizer", "scheduler")
CALLABLE += ("distribution",)

for _room in ("nn", "optim", "autograd", "utils.data", "optim.lr_scheduler"):
    importlib.import_module(f"graphc.{_room}")


def wanted() -> list[str]:
    """The callables of names.toml."""
    table = opinfo.name_table()
    return [n for kinds in table.values() for kind in CALLABLE for n in kinds.get(kind, ())]


PROGRAMS = [
    pytest.param(source, id=f"{path.stem}:{line}")
    for path in sorted((Path(__file__).parent / "names").glob("*.txt"))
    for line, source in calls.blocks(path)
]
recorder = calls.Recorder(graphc, wanted())
ran: list[str] = []


@pytest.mark.parametrize("source", PROGRAMS)
def test_program(source):
    ran.append(source)
    said = calls.difference(source, recorder)
    assert said is None, said


def test_every_name_is_called():
    if len(ran) < len(PROGRAMS):
        pytest.skip("only some of the programs ran")
    called = recorder.found | opinfo.called_names() | set(modules.chosen())
    left = sorted(set(wanted()) - called)
    assert not left, f"{len(left)} names are called by no parity test: {' '.join(left)}"
