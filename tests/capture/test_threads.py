"""Compiled functions under threads, forks and recursion: eager mode's bits, one compilation per
specialisation, no deadlock, other random numbers for every thread."""

import os
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.core.modes import STATE
from graphc.native import library

ROOT = Path(__file__).resolve().parents[2]
needs_native = pytest.mark.skipif(not library.available(), reason="no native kernels")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


@pytest.fixture(autouse=True)
def switching():
    """Python switches threads very often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=["interpret", pytest.param("c", marks=needs_native)])
def backend(request):
    return request.param


def together(n, work):
    """work(i) in n threads that start at once; the results, or the first error."""
    barrier, results, errors = threading.Barrier(n), [None] * n, []

    def run(i):
        try:
            barrier.wait()
            results[i] = work(i)
        except BaseException:  # noqa: BLE001
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(300)
    assert not errors, errors[0]
    assert not any(t.is_alive() for t in threads), "deadlock"
    return results


def bits(t):
    return (tuple(t.shape), t.detach().numpy().tobytes())


def forked(work, timeout=120):
    """Runs `work` in a forked child; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
        finally:
            os._exit(2)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hangs"


# ---------------------------------------------------------------- threads


def test_8_threads_and_one_function(backend):
    """The first call, too: threads that come at once with the same kind of arguments compile
    once."""
    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3))
    xs = [graphc.randn(4 + i % 3, 6) for i in range(8)]

    def eager(x):
        x = x.detach().clone().requires_grad_()
        y = model(x)
        (g,) = graphc.autograd.grad(y.square().sum(), x)
        return bits(y), bits(g)

    wanted = [eager(x) for x in xs]
    compiled = graphc.compile(model, backend=backend)

    def work(i):
        for _ in range(10):
            x = xs[i].detach().clone().requires_grad_()
            y = compiled(x)
            (g,) = graphc.autograd.grad(y.square().sum(), x)
            assert (bits(y), bits(g)) == wanted[i]
        return True

    assert all(together(8, work))
    assert len(compiled.specialisations) <= 2 and not compiled.refused


def test_large_calls_run_at_once():
    """Arenas and outputs of calls in flight are their own."""
    compiled = graphc.compile(lambda x: ((x @ x.t()).tanh() @ x).softmax(-1), fullgraph=True)
    xs = [graphc.randn(300, 300) for _ in range(4)]
    wanted = [bits(compiled(x)) for x in xs]

    def work(i):
        return all(bits(compiled(xs[i])) == wanted[i] for _ in range(20))

    assert all(together(4, work))


def test_a_capture_sees_its_own_thread_only(backend):
    """Other threads compute eagerly meanwhile, with the same parameters, and are not captured."""
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    x = graphc.randn(5, 6)
    wanted = bits(model(x))
    inside, done = threading.Event(), threading.Event()

    def slow(x):
        y = model(x)
        inside.set()
        assert done.wait(60)
        return y * 1

    def other():
        assert inside.wait(60)
        try:
            assert STATE.tracer is None
            for _ in range(20):
                leaf = x.detach().clone().requires_grad_()
                y = model(leaf)
                assert type(y.detach().numpy()) is np.ndarray and bits(y) == wanted
                y.sum().backward(inputs=[leaf])
        finally:
            done.set()

    compiled = graphc.compile(slow, backend=backend)
    results = together(2, lambda i: compiled(x) if i == 0 else other())
    assert bits(results[0]) == wanted
    if compiled.specialisations:
        names = [n.op.name for n in compiled.specialisations[0].captured.graph.nodes]
        assert "clone" not in names and names.count("tanh") == 1


def test_threads_draw_different_numbers(backend):
    """A program takes its part of the random stream before it runs."""
    draw = graphc.compile(lambda x: x + graphc.rand(20_000), backend=backend, fullgraph=True)
    x = graphc.zeros(20_000)
    draw(x)
    start = graphc.default_generator.offset
    results = together(4, lambda i: [bits(draw(x)) for _ in range(20)])
    seen = [r for part in results for r in part]
    assert len(set(seen)) == len(seen)
    assert graphc.default_generator.offset == start + 80 * 5000


def test_a_failing_call_gives_its_numbers_back(backend):
    """The eager replay draws from where the call began."""

    def f(x, i):
        return (x + graphc.rand(4))[i]

    compiled = graphc.compile(f, backend=backend, fullgraph=True)
    x, good, bad = graphc.zeros(4), graphc.tensor([1, 2]), graphc.tensor([1, 9])
    offsets = []
    for fn in (f, compiled):
        graphc.manual_seed(3)
        fn(x, good)
        with pytest.raises(IndexError):
            fn(x, bad)
        offsets.append(graphc.default_generator.offset)
    assert offsets[0] == offsets[1]


@needs_native
def test_python_goes_on_during_native_code():
    """The GIL is released: another thread counts while one long call runs."""
    library.set_num_threads(1)
    compiled = graphc.compile(lambda x: (x @ x) @ x, fullgraph=True)
    x = graphc.randn(1200, 1200)
    compiled(x)
    ticks, stop = [], threading.Event()

    def count():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        while not ticks:
            time.sleep(0.001)
        began = time.perf_counter()
        compiled(x)
        ended = time.perf_counter()
    finally:
        stop.set()
        thread.join()
    # the call is one foreign call of tens of milliseconds, with Python around it of microseconds
    middle = [t for t in ticks if began + 0.1 * (ended - began) < t < ended - 0.1 * (ended - began)]
    assert ended - began > 0.01 and len(middle) >= 3


# ---------------------------------------------------------------- recursion


def test_recursion(backend):
    """A compiled function that calls itself, while it is captured and through eager code."""

    def power(x, n):
        return x if n == 0 else compiled(x, n - 1) * x

    compiled = graphc.compile(power, backend=backend)
    x = graphc.tensor([1.5, -2.0])
    assert compiled(x, 4).tolist() == [1.5**5, (-2.0) ** 5]

    def eager(x, n):  # refused: runs eagerly and comes back into compiled code
        return x if float(x.abs().sum()) > 1e6 or n == 0 else inner(again(x * 2, n - 1), n)

    inner = graphc.compile(lambda x, n: x + n, backend=backend)
    again = graphc.compile(eager, backend=backend)
    with pytest.warns(UserWarning, match="runs eagerly"):
        assert again(x, 3).tolist() == [1.5 * 8 + 6, -2.0 * 8 + 6]


def test_a_compiled_function_inside_hooks_and_user_functions(backend):
    twice = graphc.compile(lambda g: g * 2 + g.sin(), backend=backend)

    class Scaled(graphc.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return twice(x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return twice(g) * x

    def f(x):
        y = Scaled.apply(x.tanh())
        return (y * x).sum()

    compiled = graphc.compile(f, backend=backend)
    outcome = []
    for fn in (f, compiled):
        x = graphc.tensor([0.3, -1.2, 2.0]).requires_grad_()
        x.register_hook(lambda g: twice(g))
        fn(x).backward()
        outcome.append((bits(x.grad), bits(fn(x))))
    assert outcome[0] == outcome[1]


def test_a_call_inside_a_running_call():
    """An opaque operator that calls the same compiled function again: each call has its own
    arena."""
    compiled = graphc.compile(lambda x: (x @ x.t()).exp().sum(0) * 0.5, fullgraph=True)
    x = graphc.randn(40, 40) * 0.1
    wanted = bits(compiled(x))
    program = compiled.program
    if not hasattr(program, "_states"):
        pytest.skip("interpreted")
    held = [program._states.pop() for _ in range(len(program._states))]  # as in a call in flight
    assert bits(compiled(x)) == wanted
    program._states.extend(held)
    assert bits(compiled(x)) == wanted


# ---------------------------------------------------------------- fork


@needs_fork
@needs_native
def test_fork_while_threads_run_compiled_code():
    """The child is serial, computes the same bits and can compile; the parent goes on."""
    compiled = graphc.compile(lambda x: (x @ x.t()).tanh().sum(1), fullgraph=True)
    x = graphc.randn(400, 400)
    before = library.get_num_threads()
    library.set_num_threads(2)
    wanted, stop = bits(compiled(x)), threading.Event()

    def busy():
        while not stop.is_set():
            assert bits(compiled(x)) == wanted

    def child():
        fresh = graphc.compile(lambda x: (x * 3).sum(0), fullgraph=True)
        return (
            library.get_num_threads() == 1
            and bits(compiled(x)) == wanted
            and bits(fresh(x)) == bits((x * 3).sum(0))
        )

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        assert [forked(child) for _ in range(5)] == [0] * 5
        assert library.get_num_threads() == 2 and bits(compiled(x)) == wanted
    finally:
        stop.set()
        for t in threads:
            t.join()
        library.set_num_threads(before)


@needs_fork
def test_fork_while_a_thread_captures():
    """The child can capture: the lock of a thread that it does not have does not bind it."""
    inside, go_on = threading.Event(), threading.Event()

    def slow(x):
        inside.set()
        go_on.wait(60)
        return x * 2

    thread = threading.Thread(target=lambda: graphc.compile(slow)(graphc.ones(3)))
    thread.start()
    try:
        assert inside.wait(60)
        fresh = graphc.compile(lambda x: x * 3, fullgraph=True)
        assert forked(lambda: fresh(graphc.ones(2)).tolist() == [3.0, 3.0], 30) == 0
    finally:
        go_on.set()
        thread.join()


class Rows(graphc.utils.data.Dataset):
    """Items made by a compiled function, compiled before or after the fork."""

    def __init__(self, compiled):
        self.compiled = compiled

    def __len__(self):
        return 12

    def __getitem__(self, i):
        return self.compiled(graphc.arange(5, dtype=graphc.float32) + i)


@pytest.mark.parametrize("warm", [False, True])
def test_workers_use_compiled_functions(warm):
    def f(x):
        return (x * 0.5).sin().cumsum(0)

    compiled = graphc.compile(f, fullgraph=True)
    if warm:
        compiled(graphc.ones(5))
    loader = graphc.utils.data.DataLoader(Rows(compiled), batch_size=4, num_workers=2)
    found = [row for batch in loader for row in batch]
    wanted = [f(graphc.arange(5, dtype=graphc.float32) + i) for i in range(12)]
    assert list(map(bits, found)) == list(map(bits, wanted))


def test_a_script_that_ends_with_running_threads():
    """Leaving Python while daemon threads are in compiled calls does no harm."""
    script = """
import threading, graphc
f = graphc.compile(lambda x: (x @ x).sum(), fullgraph=True)
x = graphc.ones(200, 200)
f(x)
def loop():
    while True:
        f(x)
for _ in range(3):
    threading.Thread(target=loop, daemon=True).start()
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr
