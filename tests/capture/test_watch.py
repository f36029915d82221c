"""Watching frames: what a listener is told, that other tools are put back, and the translation of
sys.monitoring's events, on any version through a stand-in for that module."""

import cProfile
import sys
import threading
import types

import pytest

import graphc
from graphc.compiler.capture.watch import MonitoringWatch, ProfileWatch, fresh_count, watch


def inner(items):
    items.append(1)
    return len(items)


def outer(items):
    return inner(items) + 1


KINDS = ("call", "return", "c_call")  # others may be told and are passed over


def told(make):
    seen = []
    names = {"inner", "outer"}

    def listener(frame, kind, value):
        if kind in KINDS and frame is not None and frame.f_code.co_name in names:
            what = getattr(value, "__name__", value)
            seen.append((frame.f_code.co_name, kind, what))

    with make(listener):
        outer([])
    return seen


WANTED = [
    ("outer", "call", None),
    ("inner", "call", None),
    ("inner", "c_call", "append"),
    ("inner", "c_call", "len"),
    ("inner", "return", 1),
    ("outer", "return", 2),
]


def test_events():
    assert told(watch) == WANTED


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="sys.monitoring is used there")
def test_profilers_are_put_back():
    calls = []

    def own(frame, kind, value):
        calls.append(kind)

    sys.setprofile(own)
    try:
        with ProfileWatch(lambda *a: None):
            assert sys.getprofile() is not own
        assert sys.getprofile() is own
    finally:
        sys.setprofile(None)
    profile = cProfile.Profile()
    profile.enable()
    with ProfileWatch(lambda *a: None):
        pass
    outer([])
    profile.disable()
    assert any(getattr(e.code, "co_name", "") == "outer" for e in profile.getstats())


class Events:
    PY_START, PY_RESUME, PY_RETURN, PY_YIELD, CALL = 1, 2, 4, 8, 16


class Monitoring:
    """sys.monitoring as its documentation has it, driven by hand."""

    events = Events
    MISSING = object()

    def __init__(self, taken=()):
        self.tools = dict.fromkeys(taken, "another")
        self.callbacks, self.active = {}, {}

    def get_tool(self, tool):
        return self.tools.get(tool)

    def use_tool_id(self, tool, name):
        assert tool not in self.tools
        self.tools[tool] = name

    def free_tool_id(self, tool):
        del self.tools[tool]

    def register_callback(self, tool, event, callback):
        self.callbacks[tool, event] = callback

    def set_events(self, tool, events):
        self.active[tool] = events

    def fire(self, event, *args):
        for tool, events in self.active.items():
            if events & event:
                self.callbacks[tool, event](*args)


def test_monitoring_translated():
    m, items, seen = Monitoring(), [], []
    here = sys._getframe().f_code

    def listener(frame, kind, value):
        assert frame.f_code is here
        seen.append((kind, value))

    with MonitoringWatch(listener, m):
        m.fire(Events.PY_START, here, 0)
        m.fire(Events.CALL, here, 0, list.append, items)
        m.fire(Events.CALL, here, 0, len, items)
        m.fire(Events.CALL, here, 0, outer, items)  # a Python function: its start is told
        m.fire(Events.CALL, here, 0, dict.get, m.MISSING)
        m.fire(Events.PY_YIELD, here, 0, 5)
        m.fire(Events.PY_RESUME, here, 0)
        m.fire(Events.PY_RETURN, here, 0, 6)
    m.fire(Events.PY_RETURN, here, 0, 7)
    kinds = [k for k, _ in seen]
    assert kinds == ["call", "c_call", "c_call", "return", "call", "return"]
    bound = seen[1][1]
    assert isinstance(bound, types.BuiltinFunctionType) and bound.__self__ is items
    assert seen[2][1] is len and [v for k, v in seen if k == "return"] == [5, 6]
    assert not m.tools and not any(m.callbacks.values())


def test_monitoring_passes_over_other_threads():
    m, seen = Monitoring(), []
    here = sys._getframe().f_code
    with MonitoringWatch(lambda *event: seen.append(event), m):
        thread = threading.Thread(target=lambda: m.fire(Events.PY_START, here, 0))
        thread.start()
        thread.join()
    assert not seen


def test_monitoring_leaves_other_tools_alone():
    m = Monitoring(taken=(3, 4))
    with MonitoringWatch(lambda *event: None, m):
        assert m.tools[5] == "graphc capture" and m.tools[3] == "another"
    assert set(m.tools) == {3, 4}
    with pytest.raises(RuntimeError, match="sys.monitoring"):
        MonitoringWatch(lambda *event: None, Monitoring(taken=range(6))).__enter__()


def test_an_exception_reaches_the_code():
    class Stop(Exception):
        pass

    def listener(frame, kind, value):
        if kind == "c_call" and getattr(value, "__name__", "") == "append":
            raise Stop

    items = []
    with pytest.raises(Stop), watch(listener):
        inner(items)
    assert items == []


def test_fresh_objects_are_told_from_held_ones():
    held, seen = object(), []
    fresh = fresh_count()

    def make():
        return object()

    def give():
        return held

    def listener(frame, kind, value):
        if kind == "return" and frame.f_code.co_name in ("make", "give"):
            seen.append(sys.getrefcount(value) > fresh)

    with watch(listener):
        make()
        give()
    assert seen == [False, True]


def test_pytests_rewritten_asserts_lead_nowhere():
    """They call @pytest_ar, through which all that pytest has loaded could be reached."""

    def f(x):
        assert x.shape[0] == 3, "three rows"
        return x * 2

    assert any(name.startswith("@") for name in f.__code__.co_names)  # pytest did rewrite it
    compiled = graphc.compile(f, fullgraph=True)
    assert compiled(graphc.ones(3)).tolist() == [2, 2, 2]
    reads = compiled.specialisations[0].captured.reads
    assert len(reads.every_call) + len(reads.module_state) < 10
