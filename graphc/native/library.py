"""The native library of eager kernels: takes `runtime/src/*.c`, gives functions, pointers, memory.

Built once per machine (a visible line on stderr), then loaded from the disk cache. Invariant:
whether native code is used is decided once, at the first question, and never changes within a
process; without it (no C compiler, GRAPHC_NATIVE=0, a failing build) there is one warning, and
`available()` is False for good.
"""

import os
import sys
import threading
import warnings
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.base.config import config
from graphc.base.errors import NativeBuildError
from graphc.native import cpu

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 1 << 20  # bytes from which memory comes from the caching allocator, in huge pages
_SECONDS_PER_KB = 0.08  # of C source on one core, for the announcement only

_library: Any = None  # None: not yet decided; False: no native code in this process
_functions: dict[str, Any] = {}
_lock = threading.RLock()


def available() -> bool:
    """Whether native kernels are used; the first call decides, builds and loads."""
    if _library is None:
        _start()
    return _library is not False


def fn(name: str, signature: str) -> Any:
    """The function `name` of the library as a cffi callable that releases the GIL.

    `signature` is its C type, "void(int64_t, void *, void *)"; it is read at the first request.
    Raises AttributeError if there is no such function, NativeBuildError without native code.
    """
    found = _functions.get(name)
    if found is None:
        if not available():
            raise NativeBuildError(f"{name}: native kernels are switched off in this process")
        found = _functions[name] = cpu.function(_library, name, signature)
    return found


def has(name: str) -> bool:
    """Whether the library has the function `name` (False without native code)."""
    try:
        return available() and bool(cpu.function(_library, name, "void(void)"))
    except AttributeError:
        return False


def pointer(array: np.ndarray) -> Any:
    """A pointer to the elements of a C-contiguous array, which it keeps alive.

    Fits every pointer parameter. Read-only and empty arrays are fine; raises ValueError or
    BufferError if the array is not C-contiguous.
    """
    try:
        return cpu.ffi().from_buffer(array)
    except (TypeError, ValueError):  # a dtype that has no buffer, as bfloat16 once had none
        if not array.flags.c_contiguous:
            raise
        return cpu.ffi().from_buffer(array.view(np.dtype(f"V{array.dtype.itemsize}")))


def address(array: np.ndarray) -> Any:
    """A pointer to the first element of an array of any layout. It does not keep the array
    alive."""
    if array.flags.c_contiguous:
        return pointer(array)
    if array.ndim == 2 and array.flags.f_contiguous:
        return pointer(array.T)
    return cpu.ffi().cast("void *", array.__array_interface__["data"][0])


def null() -> Any:
    """The null pointer."""
    return cpu.ffi().NULL


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of uninitialised elements.

    From 1 MB on the memory comes from the library's allocator: blocks are kept for reuse and lie
    in huge pages, so that a fresh result does not cost a page fault every 4 KiB.
    """
    count = prod(shape)
    if count < LARGE // 16:  # no element is wider than 16 bytes
        return np.empty(shape, dtype)
    dtype = np.dtype(dtype)
    nbytes = count * dtype.itemsize
    if nbytes < LARGE or not available():
        return np.empty(shape, dtype)
    ffi = cpu.ffi()
    free = fn("gc_free", "void(void *)")
    block = fn("gc_alloc", "void *(int64_t)")(nbytes)
    if not block:
        raise MemoryError(f"cannot allocate {nbytes} bytes")
    return np.ndarray(shape, dtype, buffer=ffi.buffer(ffi.gc(block, free, nbytes), nbytes))


def api() -> Any:
    """The `const gc_api *` that generated programs are called with."""
    found = _functions.get("api")
    if found is None:
        found = _functions["api"] = fn("gc_get_api", "void *(void)")()
    return found


def program(path: str, data: bytes | None = None) -> cpu.Program:
    """A generated program's shared object, loaded (from its contents, if given: see `cpu.load`) and
    bound to this library."""
    return cpu.Program(path, api(), data)


def get_num_threads() -> int:
    """Threads that native kernels use; 1 without native code."""
    return fn("gc_get_num_threads", "int(void)")() if available() else 1


def set_num_threads(count: int) -> None:
    """Sets the number of threads of native kernels (at least 1); no bit of a result depends on it.

    Raises RuntimeError for a count below 1 (PyTorch's message).
    """
    if count < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    if available():
        fn("gc_set_num_threads", "int(int)")(count)


def describe() -> dict[str, Any]:
    """Compiler, cache and threads, for `graphc.info()`; decides as `available()` does."""
    from graphc.native.cache import disk_cache
    from graphc.native.toolchain import find_compiler

    compiler = find_compiler()
    return {
        "native": available(),
        "compiler": str(compiler) if compiler else None,
        "threads": get_num_threads(),
        "cache": disk_cache().info() if compiler else None,
    }


def _start() -> None:
    global _library
    with _lock:
        if _library is not None:
            return
        loaded: Any = False
        if not config.native:
            from graphc.native.toolchain import INSTALL_HINT

            reason = f"GRAPHC_NATIVE=0; unset it and, if need be, {INSTALL_HINT}"
        else:
            try:
                loaded, reason = _load(), ""
            except (NativeBuildError, OSError) as error:
                reason = str(error)
        _library = loaded
    if loaded is False:
        warnings.warn(
            "graphc computes with numpy alone: slower, with no compiled kernels, and results may "
            f"differ in the last bits from those of native kernels. Reason: {reason}",
            stacklevel=3,
        )
        return
    if config.num_threads:
        fn("gc_set_num_threads", "int(int)")(config.num_threads)
    if hasattr(os, "register_at_fork"):
        # no lock may be held and no worker run across a fork; the child starts serial
        os.register_at_fork(
            before=fn("gc_pool_stop", "void(void)"),
            after_in_child=lambda: fn("gc_set_num_threads", "int(int)")(1),
        )


def _after_fork() -> None:
    """The thread that was building the library does not exist in the child."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def cache_key() -> str:
    """The library's key in the disk cache. Raises NativeBuildError without a compiler."""
    from graphc.base.resources import runtime_dir
    from graphc.native import build
    from graphc.native.cache import digest

    return digest("library", _sources_digest(runtime_dir()), build.fingerprint())


def _load() -> Any:
    # the build side stays unimported until a kernel is wanted
    from graphc.base.resources import runtime_dir
    from graphc.native import build

    compiler = build.require_compiler()
    key = cache_key()
    sources = sorted((runtime_dir() / "src").glob("*.c"))

    def compile_library(work: "Path") -> dict[str, bytes]:
        kilobytes = sum(map(build.weight, sources)) / 1024
        seconds = max(1, round(kilobytes * _SECONDS_PER_KB / min(build.cores(), len(sources))))
        print(
            f"graphc: building native kernels (once, ~{seconds} s) ...", file=sys.stderr, flush=True
        )
        build.compile_files(sources, work / build.LIBRARY, compiler=compiler)
        return {build.LIBRARY: (work / build.LIBRARY).read_bytes()}

    entry = build.cached(key, compile_library)
    return cpu.load(entry.path(build.LIBRARY), entry.files[build.LIBRARY])


def _sources_digest(root: "Path") -> str:
    """Content hash of all that the library is made of: sources, their headers and includes."""
    from graphc.native.cache import digest

    names = sorted(
        str(path.relative_to(root))
        for folder in ("include", "src")
        for path in (root / folder).iterdir()
        if path.suffix in (".c", ".h", ".inc")
    )
    return digest(*(part for name in names for part in (name, (root / name).read_bytes())))
