"""Random programs under `-fsanitize=address,undefined`: programs and native library are built with
it in a process of their own, where every array has its red zones. Results are compared as
elsewhere, but a difference is only told of here: the other tests of random programs fail on it.

Half are float graphs with their backward, half programs of views and in-place ops. `pytest -m fuzz`
draws a twentieth of --fuzz-count, `pytest -m slow` runs 500. Needs gcc and its sanitizers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g1", "-O1"]

# Scratch memory of 10 doubles; the fault is one element beyond, after free, or a shift too far.
FAULTY = """
#include "gc_api.h"
GC_EXPORT int run(const gc_api *api, void **buffers, const int64_t *sizes, const double *scalars)
{
    double *x = api->alloc(10 * sizeof(double)), *in = buffers[0];
    (void)scalars;
    for (int64_t i = 0; i < 10; i++)
        x[i] = (double)i;
    if (sizes[0] == 1)
        x[sizes[1]] = 1;
    double y = sizes[0] == 2 ? in[sizes[1]] : sizes[0] == 3 ? (double)(1 << (sizes[1] + 22)) : 0;
    api->free(x);
    return (int)(y + (sizes[0] == 4 ? x[0] : 0));
}
"""


def sanitized_process():
    """Makes this process build everything with the sanitizers and use the system's allocator."""
    import numpy as np

    from graphc.native import build, cpu, library

    os.environ.pop("LD_PRELOAD", None)  # the compiler needs none
    run, load = build._run, cpu.load
    build._run = lambda command, what: run([command[0], *command[1:], *SANITIZERS], what)
    # from its file: reports then name lines
    cpu.load = lambda path, data=None, **more: load(path, **more)
    assert library.available()
    library.empty = lambda shape, dtype: np.empty(shape, dtype)


def faulty(kind):
    import numpy as np

    from graphc.native import build, cpu, library

    program = library.program(build.shared_object({"program.c": FAULTY}).path(build.LIBRARY))
    a = np.zeros(10)
    print(program(cpu.pointers([library.pointer(a)]), cpu.sizes([kind, 10]), cpu.scalars([0.0])))


def many(seed, count):
    sys.path[:0] = [str(HERE), str(HERE.parent / "capture")]
    import test_float_graphs as floats
    import test_mutation as mutation
    from programs import Program

    for at in range(0, count // 2, floats.PER_FILE):
        n = min(floats.PER_FILE, count // 2 - at)
        found = floats.check([Program(seed + at + i) for i in range(n)], ("c",))
        if found:
            print(f"float programs from seed {seed + at} differ: {found[:200]}", flush=True)
    group, at = [], 0
    wanted = count - count // 2
    while wanted:
        p = mutation.Program(seed + at)
        at += 1
        calls = range(mutation.CALLS)
        if all(mutation.outcome(p.function(), p, c)[0] == "done" for c in calls):
            group.append(p)
            wanted -= 1
        if len(group) == mutation.PER_FILE or not wanted:
            found = mutation.failure(mutation.Together(group), ("c",))
            if found:
                print(f"mutation programs {[p.seed for p in group]} differ: {found[:200]}")
            group = []
    from graphc.native import build

    print(f"{count} programs, {build.runs} compiler runs")


def runtimes():
    """The sanitizers' libraries, which a Python without them needs from the start."""
    try:
        found = [
            subprocess.run(
                ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
            ).stdout.strip()
            for name in ("libasan.so", "libubsan.so")
        ]
    except (OSError, subprocess.CalledProcessError):
        return []
    return found if all(map(os.path.isabs, found)) else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of reports and of a cache: the native library is built once."""
    return tmp_path_factory.mktemp("sanitized")


def start(folder, *arguments):
    """This file as a script under the sanitizers: (exit status, output, reports)."""
    if not runtimes():
        pytest.skip("gcc with its sanitizers is not here")
    reports = folder / "report"
    for path in folder.glob("report.*"):
        path.unlink()
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(runtimes()),
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(ROOT),
        "ASAN_OPTIONS": f"detect_leaks=0:use_sigaltstack=0:halt_on_error=1:log_path={reports}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={reports}",
        "GRAPHC_CACHE_DIR": str(folder / "cache"),
        "GRAPHC_CC": "gcc",
    }
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    found = "".join(p.read_text(errors="replace") for p in sorted(folder.glob("report.*")))
    return done.returncode, done.stdout, found + done.stderr


def check(folder, seed, count):
    status, out, reports = start(folder, "many", seed, count)
    print(out)
    assert status == 0 and f"{count} programs" in out, reports[:6000]
    assert "ERROR: AddressSanitizer" not in reports and "runtime error" not in reports, reports


@pytest.mark.fuzz
def test_faults_are_found(folder):
    """Beyond scratch memory, beyond an array, an undefined shift, freed memory."""
    assert start(folder, "faulty", 0)[0] == 0
    for kind, words in enumerate(
        ("use-after-poison", "heap-buffer-overflow", "shift exponent", "use-after-poison"), 1
    ):
        status, _, reports = start(folder, "faulty", kind)
        assert status != 0 and words in reports and "program.c" in reports, (kind, reports)


@pytest.mark.fuzz
def test_fresh(folder, fuzz_seed, fuzz_count):
    check(folder, fuzz_seed, max(fuzz_count // 20, 4))


@pytest.mark.slow
def test_500(folder):
    check(folder, 70_000, 500)


if __name__ == "__main__":
    sanitized_process()
    {"many": many, "faulty": faulty}[sys.argv[1]](*map(int, sys.argv[2:]))
