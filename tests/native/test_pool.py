"""The thread pool: every element once, nesting, concurrent callers, forks, float modes."""

import os
import subprocess
import sys
import threading
import time

import pytest

from graphc.native import build, cpu, library, toolchain

pytestmark = pytest.mark.skipif(not library.available(), reason="no native kernels")

# sizes: [what, n, grain]; buffers: counts per element, and a few results
PROGRAM = """
#include "gc_api.h"
#include <string.h>

typedef struct { const gc_api *api; int64_t *counts, grain, misaligned, bad_thread; } context;

static void count(void *ctx, int64_t begin, int64_t end, int thread)
{
    context *x = (context *)ctx;
    for (int64_t i = begin; i < end; i++)
        x->counts[i]++;
    if (begin % x->grain)
        x->misaligned = 1;
    if (thread < 0 || thread >= x->api->num_threads())
        x->bad_thread = 1;
}

static void nested(void *ctx, int64_t begin, int64_t end, int thread)
{
    context *x = (context *)ctx;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        context inner = *x;
        inner.counts += i * 100;
        x->api->parallel_for(100, 1, count, &inner);
    }
}

static void threads_seen(void *ctx, int64_t begin, int64_t end, int thread)
{
    volatile double sink = 1;
    for (int64_t i = begin; i < end; i++)
        for (int r = 0; r < 20000; r++)
            sink = sink * 1.0000001;
    ((context *)ctx)->counts[thread] = 1;
}

static void nothing(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)ctx, (void)begin, (void)end, (void)thread;
}

#if defined(__SSE__)
static void modes(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ((context *)ctx)->counts[i] = __builtin_ia32_stmxcsr() & 0x8040;
}
#endif

GC_EXPORT int run(const gc_api *api, void **buffers, const int64_t *s, const double *scalars)
{
    context x = {api, (int64_t *)buffers[0], s[2], 0, 0};
    (void)scalars;
    switch (s[0]) {
    case 0: api->parallel_for(s[1], s[2], count, &x); break;
    case 1: api->parallel_for(s[1], s[2], nested, &x); break;
    case 2: api->parallel_for(s[1], s[2], threads_seen, &x); break;
    case 3:
        for (int64_t i = 0; i < 20000; i++)
            api->parallel_for(s[1], s[2], nothing, &x);
        break;
#if defined(__SSE__)
    case 4: {
        unsigned before = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(before | 0x8040);
        api->parallel_for(s[1], s[2], modes, &x);
        x.misaligned = (__builtin_ia32_stmxcsr() & 0x8040) != 0x8040;
        __builtin_ia32_ldmxcsr(before);
        break;
    }
#endif
    }
    return x.misaligned || x.bad_thread;
}
"""


@pytest.fixture(scope="module")
def run():
    program = library.program(build.shared_object({"pool.c": PROGRAM}).path(build.LIBRARY))

    def call(what, n, grain=1, size=None):
        counts = cpu.ffi().new("int64_t[]", size or max(n, 1))
        status = program(cpu.pointers([counts]), cpu.sizes([what, n, grain]), cpu.scalars([]))
        assert status == 0
        return list(counts)

    return call


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = library.get_num_threads()
    library.set_num_threads(request.param)
    yield request.param
    library.set_num_threads(before)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 100, 4097])
@pytest.mark.parametrize("grain", [1, 3, 64, 10000])
def test_each_element_once_from_multiples_of_the_grain(run, threads, n, grain):
    for _ in range(20):
        assert run(0, n, grain)[:n] == [1] * n


def test_nested_regions_run_serially_and_completely(run, threads):
    assert run(1, 50, 1, size=5000) == [1] * 5000


def test_workers_take_part(run):
    before = library.get_num_threads()
    library.set_num_threads(2)
    try:
        for _ in range(200):  # the system may give the core to others for a while
            if sum(run(2, 64, 1)) == 2:
                break
        else:
            pytest.fail("a second thread never ran")
    finally:
        library.set_num_threads(before)


def test_number_of_threads():
    before = library.get_num_threads()
    default = library.fn("gc_default_num_threads", "int(void)")()
    assert 1 <= default <= (os.cpu_count() or 1)
    set_threads = library.fn("gc_set_num_threads", "int(int)")
    try:
        for count in (3, 1, 2, 7):
            assert set_threads(count) == 0 and library.get_num_threads() == count
        assert set_threads(0) == 0 and library.get_num_threads() == default
        assert set_threads(100000) == 0 and library.get_num_threads() < 1000
    finally:
        library.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_default_follows_the_affinity_mask():
    cpus = os.sched_getaffinity(0)
    default = library.fn("gc_default_num_threads", "int(void)")
    try:
        os.sched_setaffinity(0, {min(cpus)})
        assert default() == 1
    finally:
        os.sched_setaffinity(0, cpus)


def test_callers_from_several_python_threads(run, threads):
    failures = []

    def work():
        for n in (1, 50, 3000) * 30:
            if run(0, n, 7)[:n] != [1] * n:
                failures.append(n)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork(run, threads):
    """Parent and child go on, also with a caller in another thread at the moment of the fork."""
    stop = threading.Event()

    def work():
        while not stop.is_set():
            run(0, 1000, 7)

    caller = threading.Thread(target=work)
    caller.start()
    try:
        for _ in range(10):
            run(0, 1000, 7)
            child = os.fork()
            if child == 0:
                os._exit(0 if run(0, 1000, 7) == [1] * 1000 else 1)
            assert os.waitpid(child, 0)[1] == 0
            assert run(0, 1000, 7) == [1] * 1000
    finally:
        stop.set()
        caller.join()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux")
def test_stop_leaves_no_thread(run):
    before = library.get_num_threads()
    library.set_num_threads(4)
    try:
        run(0, 1000, 7)
        running = len(os.listdir("/proc/self/task"))
        library.fn("gc_pool_stop", "void(void)")()
        deadline = time.monotonic() + 5  # a joined thread's entry vanishes a moment later
        while len(os.listdir("/proc/self/task")) != running - 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(os.listdir("/proc/self/task")) == running - 3
        assert run(0, 1000, 7) == [1] * 1000
    finally:
        library.set_num_threads(before)


@pytest.mark.skipif("sse" not in toolchain.cpu_identity(), reason="needs an x86 CPU")
def test_bodies_run_in_the_ieee_float_environment(run, threads):
    """The caller's flush-to-zero is off in every body and back on afterwards."""
    for _ in range(20):
        assert run(4, 1000, 1) == [0] * 1000


def test_empty_region_is_cheap(run):
    """Warm regions back to back; the bound is loose because others share the cores."""
    before = library.get_num_threads()
    library.set_num_threads(2)
    try:
        best = min(_seconds(run) for _ in range(5)) / 20000
        assert best < 20e-6
    finally:
        library.set_num_threads(before)


def _seconds(run):
    start = time.perf_counter()
    run(3, 2, 1)
    return time.perf_counter() - start


def test_exit_while_workers_wait():
    """A process ends promptly whether its workers spin or sleep."""
    code = (
        "from graphc.native import library as l; import time, sys; l.available();"
        "l.set_num_threads(3); n = 1 << 20; import numpy as np; a = np.zeros((200, 200), 'f4');"
        "p = l.pointer(a); f = l.fn('gc_gemm_f32', 'int(int64_t, int64_t, int64_t, int64_t, void *,"
        " int64_t, int64_t, int64_t, void *, int64_t, int64_t, int64_t, void *, int64_t, int64_t,"
        " void *)'); c = np.empty((200, 200), 'f4'); from graphc.native.cpu import ffi;"
        "f(1, 200, 200, 200, p, 0, 200, 1, p, 0, 200, 1, l.pointer(c), 0, 200, ffi().NULL);"
        "time.sleep(float(sys.argv[1]))"
    )
    for pause in ("0", "0.05"):
        subprocess.run([sys.executable, "-c", code, pause], check=True, timeout=60)
