"""`compile` itself: what it takes and refuses, what it says, and what its rarer paths do."""

import functools
import heapq
import threading

import pytest

import graphc
from graphc.base.config import config
from graphc.compiler.interpret import InterpretedProgram


def double(x):
    return x * 2


def test_what_compile_takes():
    assert graphc.compile(double, disable=True) is double
    assert graphc.compile(disable=True)(double) is double
    once = graphc.compile(double)
    assert graphc.compile(once).fn is double
    with pytest.raises(TypeError, match="compile\\(\\) needs a function or a Module, not int"):
        graphc.compile(3)


def test_reset_forgets_all_programs():
    f, g = graphc.compile(double), graphc.compile(lambda x: x + 1)
    f(graphc.ones(2)), g(graphc.ones(2))
    assert f.specialisations and g.specialisations
    graphc.compiler.reset()
    assert not f.specialisations and not g.specialisations
    assert f(graphc.ones(2)).tolist() == [2, 2] and len(f.specialisations) == 1


def test_nothing_to_show_before_the_first_call():
    with pytest.raises(RuntimeError, match="nothing is compiled yet"):
        graphc.compile(double).graph


def test_captures_and_sizes_that_stay_constants_are_told(monkeypatch, capsys):
    monkeypatch.setattr(config, "debug", 1)

    @graphc.compile
    def table(x):
        return x + graphc.tensor(range(x.shape[0].bit_length()))[0] + x.shape[0]

    table(graphc.ones(3))
    assert "graphc: compiled table: first call" in capsys.readouterr().err
    assert table(graphc.ones(4)).tolist() == [5, 5, 5, 5]
    assert "graphc: sizes stay constants: " in capsys.readouterr().err


def test_the_first_call_may_stop_at_a_run_time_error():
    f = graphc.compile(lambda x, i: x.index_select(0, i) * 2, fullgraph=True)
    x = graphc.arange(4.0)
    with pytest.raises(IndexError) as eager:
        x.index_select(0, graphc.tensor([9]))
    with pytest.raises(IndexError) as e:
        f(x, graphc.tensor([9]))
    assert str(e.value) == str(eager.value)
    assert len(f.specialisations) == 1  # and the program serves calls that are right
    assert f(x, graphc.tensor([3])).tolist() == [6] and len(f.specialisations) == 1


def test_complex_programs_are_interpreted():
    f = graphc.compile(lambda x: x * (1 + 2j), fullgraph=True)
    assert f(graphc.ones(2)).tolist() == [1 + 2j, 1 + 2j]
    assert isinstance(f.program, InterpretedProgram)


def test_a_list_that_c_code_changes_is_changed_on_every_call():
    def run(compiled):
        heap = [3]

        def f(x):
            heapq.heappush(heap, len(heap))
            return x * len(heap)

        g = graphc.compile(f, fullgraph=True) if compiled else f
        return [g(graphc.ones(1)).item() for _ in range(4)], heap

    assert run(True) == run(False) == ([2, 3, 4, 5], [1, 3, 2, 3, 4])


def test_a_callable_without_code_has_no_line():
    f = graphc.compile(functools.partial(graphc.add, 2))
    assert f(graphc.ones(1)).item() == 3
    assert f.explain().startswith("partial: 1 program(s)")


def test_a_capture_does_not_wait_for_another_forever(monkeypatch):
    """A captured function may wait for a thread that wants to capture itself."""
    import sys

    module = sys.modules["graphc.compile"]
    monkeypatch.setattr(module, "_WAIT", 0.05)
    lock, release, held = module._CAPTURING[0], threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert graphc.compile(double)(graphc.ones(1)).item() == 2
    finally:
        release.set()
        thread.join()
    assert lock.acquire(blocking=False)
    lock.release()
