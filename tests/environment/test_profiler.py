"""Profiles: events, averages, tables, traces, schedules; and results that do not change."""

import json

import pytest

import graphc
from graphc.native import library
from graphc.profiler import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    tensorboard_trace_handler,
)


def _work():
    x = graphc.ones(20, 20, requires_grad=True)
    with record_function("forward"):
        y = (x @ x).relu().sum()
    y.backward()
    return x.grad


def test_events_and_averages(tmp_path):
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as prof:
        grad = _work()
        _work()
    assert (grad == _work()).all()
    found = {e.key: e for e in prof.key_averages()}
    assert found["forward"].count == 2 and found["relu"].count == 2
    assert found["MmBackward0"].count == 2 and found["sum"].count == 2
    forward = found["forward"]
    # what runs inside the range is in its total and not in its own time
    inner = found["matmul"].cpu_time_total + found["relu"].cpu_time_total
    inner += found["sum"].cpu_time_total
    assert forward.cpu_time_total >= inner > 0
    assert forward.self_cpu_time_total == pytest.approx(forward.cpu_time_total - inner, abs=0.1)
    assert forward.cpu_time == pytest.approx(forward.cpu_time_total / 2)
    table = prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=3)
    assert "Self CPU" in table and len(table.splitlines()) == 3 + 3 + 2
    shapes = prof.key_averages(group_by_input_shape=True)
    assert any(e.key == "relu" and e.input_shapes == [[20, 20]] for e in shapes)
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert len(trace) == len(prof.events()) and {e["ph"] for e in trace} == {"X"}
    assert prof.key_averages().total_average().count == len(trace)


def test_compiled_programs_are_events():
    if not library.available():
        pytest.skip("needs a C compiler")
    f = graphc.compile(lambda x: (x * 2).sum())
    f(graphc.ones(3))
    with profile() as prof:
        f(graphc.ones(3))
    assert [e.name for e in prof.events()].count("compiled program") == 1


def test_schedules(tmp_path):
    action = schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
    A = ProfilerAction
    cycle = [A.NONE, A.WARMUP, A.RECORD, A.RECORD_AND_SAVE]
    assert [action(i) for i in range(11)] == [A.NONE, *cycle, *cycle, A.NONE, A.NONE]
    ready = []
    with profile(
        schedule=schedule(wait=1, warmup=1, active=2, repeat=1),
        on_trace_ready=lambda p: ready.append(p.key_averages()),
    ) as prof:
        for _ in range(6):
            _work()
            prof.step()
    assert len(ready) == 1
    counts = {e.key: e.count for e in ready[0]}
    assert counts["relu"] == 2 and counts["ProfilerStep#2"] == 1
    with profile(on_trace_ready=tensorboard_trace_handler(str(tmp_path))):
        _work()
    assert len(list(tmp_path.glob("*.pt.trace.json"))) == 1
    with pytest.raises(AssertionError, match="Invalid profiler schedule arguments"):
        schedule(wait=-1, warmup=0, active=1)


def test_outside_a_profile_and_older_names():
    @record_function("named")
    def f(x):
        return x + 1

    assert f(1) == 2
    with graphc.autograd.profiler.profile(enabled=False) as prof:
        _work()
    assert not prof.events()
    with graphc.autograd.profiler.profile() as prof, graphc.autograd.profiler.record_function("x"):
        _work()
    assert "forward" in prof.table(sort_by="cpu_time_total") and prof.self_cpu_time_total > 0
