"""The native library: loading, calling, pointers, memory, threads, fork, and life without it."""

import gc
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

from graphc.native import build, library, toolchain

ROOT = Path(__file__).resolve().parents[2]
needs_native = pytest.mark.skipif(
    toolchain.find_compiler() is None or not library.config.native, reason="no C compiler"
)


def run(script, **environment):
    """A fresh process in the project's folder; an empty value unsets the variable."""
    values = {**os.environ, **environment}
    values = {name: value for name, value in values.items() if value != ""}
    return subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, env=values,
                          capture_output=True, text=True, check=False)  # fmt: skip


@needs_native
def test_functions_are_looked_up_once():
    assert library.available()
    first = library.fn("gc_get_num_threads", "int(void)")
    assert first is library.fn("gc_get_num_threads", "int(void)") and first() >= 1
    assert library.has("gc_alloc") and not library.has("gc_no_such_function")
    with pytest.raises(AttributeError, match="gc_no_such_function"):
        library.fn("gc_no_such_function", "void(void)")


@needs_native
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "i1", "i2", "i4", "i8", "?", "c8"])
def test_pointer_is_the_address_of_the_elements(dtype):
    from graphc.native.cpu import ffi

    base = np.zeros((4, 6), dtype)
    for array in (base, base[1:], base[0:0], base[2, 3:5], np.zeros((), dtype)):
        address = int(ffi().cast("intptr_t", library.pointer(array)))
        assert array.size == 0 or address == array.ctypes.data
    base.flags.writeable = False
    assert int(ffi().cast("intptr_t", library.pointer(base))) == base.ctypes.data
    for array in (base.T, base[:, 1], base[::2], base[::-1]):
        with pytest.raises((ValueError, BufferError)):
            library.pointer(array)


@needs_native
def test_pointer_of_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    from graphc.native.cpu import ffi

    array = np.arange(5).astype(ml_dtypes.bfloat16)
    assert ffi().buffer(library.pointer(array))[:] == array.tobytes()


@needs_native
def test_pointer_keeps_the_array_alive():
    from graphc.native.cpu import ffi

    held = library.pointer(np.full(100_000, 7.0))
    gc.collect()
    np.zeros(100_000)
    assert ffi().cast("double *", held)[99_999] == 7.0


@needs_native
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.bool_])
def test_empty(dtype):
    for shape in ((), (0,), (3, 5), (1 << 20,), (3, 700, 1000), (0, 1 << 30)):
        array = library.empty(shape, dtype)
        assert array.shape == shape and array.dtype == dtype
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        array[...] = 1
        assert array.size == 0 or array.min() == 1


@needs_native
def test_empty_of_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = library.empty((1 << 20,), ml_dtypes.bfloat16)
    array[...] = 3
    assert array.dtype == ml_dtypes.bfloat16 and float(array[-1]) == 3


@needs_native
def test_large_arrays_come_back_to_the_allocator():
    from graphc.native.cpu import ffi

    stats = library.fn("gc_alloc_stats", "void(int64_t *, int64_t *, int64_t *)")
    live = ffi().new("int64_t[3]")

    def bytes_live():
        gc.collect()
        stats(live, live + 1, live + 2)
        return live[0]

    before = bytes_live()
    array = library.empty((1 << 20,), np.float32)
    view = array[5:10]
    assert array.ctypes.data % 64 == 0
    assert bytes_live() >= before + array.nbytes
    del array
    assert bytes_live() > before  # the view keeps it
    del view
    assert bytes_live() == before


@needs_native
def test_threads():
    before = library.get_num_threads()
    try:
        library.set_num_threads(2)
        assert library.get_num_threads() == 2
        library.set_num_threads(1)
        assert library.get_num_threads() == 1
        with pytest.raises(RuntimeError, match="positive integer"):
            library.set_num_threads(0)
    finally:
        library.set_num_threads(before)


@needs_native
def test_number_of_threads_at_start():
    script = "from graphc.native import library; print(library.get_num_threads())"
    assert run(script, GRAPHC_NUM_THREADS="3").stdout.strip() == "3"
    if hasattr(os, "sched_setaffinity"):
        pinned = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n" + script
        assert run(pinned, GRAPHC_NUM_THREADS="").stdout.strip() == "1"


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_gives_a_serial_child():
    script = """
        import os
        from graphc.native import library
        library.set_num_threads(2)
        child = os.fork()
        if child == 0:
            os._exit(library.get_num_threads())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, library.get_num_threads())
    """
    done = run(script)
    assert done.stdout.split() == ["1", "2"], done.stderr


PROGRAM = """
#include "gc_api.h"
GC_EXPORT int run(const gc_api *api, void **buffers, const int64_t *sizes, const double *scalars)
{
    const float *a = buffers[0];
    float *out = buffers[1];
    for (int64_t i = 0; i < sizes[0]; i++)
        out[i] = a[i] * (float)scalars[0];
    return (int)(api->size_version >> 32);
}
"""


@needs_native
def test_a_program_is_called_with_the_table():
    from graphc.native import cpu

    program = library.program(build.shared_object({"program.c": PROGRAM}).path(build.LIBRARY))
    a, out = np.arange(10, dtype=np.float32), np.zeros(10, np.float32)
    buffers = cpu.pointers([library.pointer(a), library.pointer(out)])
    status = program(buffers, cpu.sizes([10]), cpu.scalars([2.5]))
    assert status == 1  # the version of the table
    np.testing.assert_array_equal(out, a * 2.5)
    assert program.run(library.api(), buffers, cpu.sizes([0]), cpu.scalars([0.0])) == 1


@needs_native
def test_a_warm_start_is_light():
    library.available()
    script = """
        import numpy, sys, time
        start = time.perf_counter()
        from graphc.native import library
        assert "_cffi_backend" not in sys.modules
        assert library.available()
        print((time.perf_counter() - start) * 1e3)
        heavy = ("networkx", "jinja2", "pycparser", "filelock", "subprocess")
        print(*(name for name in heavy if name in sys.modules))
    """
    done = run(script)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    milliseconds, heavy = done.stdout.split("\n")[:2]
    print(f"loading the library: {float(milliseconds):.0f} ms")
    assert heavy == ""


def test_switched_off():
    script = """
        import numpy as np
        from graphc.native import library
        print(library.available(), library.available(), library.get_num_threads())
        print(library.empty((1 << 20,), np.float32).shape, library.has("gc_alloc"))
        library.set_num_threads(2)
        try:
            library.fn("gc_alloc", "void *(int64_t)")
        except library.NativeBuildError as error:
            print("switched off" in str(error))
    """
    done = run(script, GRAPHC_NATIVE="0")
    assert done.stdout.split("\n")[:3] == ["False False 1", "(1048576,) False", "True"], done.stderr
    assert done.stderr.count("GRAPHC_NATIVE=0") == 1


def test_no_compiler(tmp_path):
    """One warning that says what to install; nothing else changes."""
    script = "from graphc.native import library; print(library.available(), library.available())"
    script = "import importlib.util as u; u.find_spec = lambda *a: None\n" + script  # no ziglang
    done = run(script, PATH=str(tmp_path), CC="", GRAPHC_CC="", GRAPHC_NATIVE="")
    assert done.stdout.strip() == "False False", done.stderr
    assert done.stderr.count("apt install gcc") == 1 and "numpy alone" in done.stderr


@needs_native
def test_a_compiler_that_fails(tmp_path):
    bad = tmp_path / "cc"
    bad.write_text("#!/bin/sh\necho 'cc: error: no headers here' >&2; exit 1\n")
    bad.chmod(0o755)
    script = "from graphc.native import library; print(library.available())"
    done = run(script, GRAPHC_CC=str(bad), GRAPHC_CACHE_DIR=str(tmp_path / "cache"))
    assert done.stdout.strip() == "False"
    assert "no headers here" in done.stderr and done.stderr.count("numpy alone") == 1


@needs_native
def test_available_within_this_process_warns_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert library.available()


@needs_native
def test_memory_outlives_what_the_interpreter_knows_of_the_library():
    """As at exit, where modules go before the last arrays."""
    done = run("""
        import gc
        import numpy as np
        from graphc.native import library
        a = library.empty((1 << 18,), np.dtype(np.float32))
        library._functions.clear()
        library._folders.clear()
        library._library = None
        gc.collect()
        del a
        print("freed")
    """)
    assert done.returncode == 0 and "freed" in done.stdout, done.stderr
