"""The native library of eager kernels: takes `runtime/src`, gives functions, pointers, memory.

Built once per machine (a visible line on stderr), then loaded from the disk cache: first what
every program needs, `runtime/src/*.c`, and each folder in there when one of its functions is first
asked for. gc_<folder>_* are the functions of the folder of that name; `more` holds the rest.
Invariant: whether native code is used is decided once, at the first question, and never changes
within a process; without it (no C compiler, GRAPHC_NATIVE=0, a failing build) there is one warning,
and `available()` is False for good.
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

# Bytes from which memory comes from the caching allocator: what malloc would map anew each time.
LARGE = 1 << 17
# Of the functions that programs call too: int gc_<...>(numbers, inputs, results), 0 or 1 when out
# of memory; `numbers` are int64_t, the others pointers to row-major memory, null for none.
CALL = "int(void *, void *, void *)"
_SECONDS_PER_KB = 0.06  # of C source on one core, for the announcement only

_REST = "more"  # the folder of the functions that no folder is named after

_library: Any = None  # None: not yet decided; False: no native code in this process
_folders: dict[str, Any] = {}  # libraries of the folders that were asked for
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
        found = _functions[name] = _find(name, signature)
    return found


def _find(name: str, signature: str) -> Any:
    own = name.split("_")[1]
    if not (_sources() / own).is_dir():
        try:
            return cpu.function(_library, name, signature)
        except AttributeError:
            own = _REST
    with _lock:
        if own not in _folders:
            try:
                _folders[own] = _load(own)
            except OSError as error:
                raise NativeBuildError(f"{name}: its kernels could not be built: {error}") from None
    return cpu.function(_folders[own], name, signature)


def has(name: str) -> bool:
    """Whether the library has the function `name` (False without native code)."""
    try:
        return available() and bool(_find(name, "void(void)"))
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

    From 128 KB on the memory comes from the library's allocator: blocks are kept for reuse, those
    above 1 MB in huge pages, so that a fresh result does not cost a page fault every 4 KiB.
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


def cache_key(folder: str = "") -> str:
    """The key in the disk cache of what every program needs, or of a folder. Raises
    NativeBuildError without a compiler."""
    from graphc.native import build
    from graphc.native.cache import digest

    return digest("library", folder, _sources_digest(_sources(), folder), build.fingerprint())


def _sources() -> "Path":
    from graphc.base.resources import runtime_dir

    return runtime_dir() / "src"


def _load(folder: str = "") -> Any:
    # the build side stays unimported until a kernel is wanted
    from graphc.native import build

    compiler = build.require_compiler()
    sources = sorted((_sources() / folder).glob("*.c"))

    def compile_library(work: "Path") -> dict[str, bytes]:
        kilobytes = sum(map(build.weight, sources)) / 1024
        seconds = max(1, round(kilobytes * _SECONDS_PER_KB / min(build.cores(), len(sources))))
        what = "native kernels" if not folder else f"more native kernels ({folder})"
        print(f"graphc: building {what} (once, ~{seconds} s) ...", file=sys.stderr, flush=True)
        flags = ("-I", str(_sources()))
        build.compile_files(sources, work / build.LIBRARY, compiler=compiler, flags=flags)
        return {build.LIBRARY: (work / build.LIBRARY).read_bytes()}

    entry = build.cached(cache_key(folder), compile_library)
    return cpu.load(entry.path(build.LIBRARY), entry.files[build.LIBRARY], shared=True)


def _sources_digest(root: "Path", folder: str) -> str:
    """Content hash of all that a library is made of: sources and what they may include."""
    from graphc.native.cache import digest

    places = [root.parent / "include", root, *([root / folder] if folder else [])]
    paths = [
        path
        for place in places
        for path in sorted(place.iterdir())
        if path.suffix in (".h", ".inc") or path.suffix == ".c" and place == places[-1]
    ]
    return digest(*(part for path in paths for part in (path.name, path.read_bytes())))
