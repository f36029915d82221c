"""Shared objects to callables through cffi's ABI mode: takes a file, gives functions and pointers.

The C back half of cffi (`_cffi_backend`) is used directly: it has its own parser of C types, so
neither pycparser nor a compiler is needed and loading takes a millisecond. Invariant: a function
lives no longer than the `Program` or library it came from; dropping that unloads the code.
"""

import itertools
import os
from functools import cache
from typing import Any

RUN = "int(*)(void *, void **, int64_t *, double *)"


@cache
def ffi() -> Any:
    """The one cffi.FFI of the process; the first call imports cffi."""
    import _cffi_backend

    return _cffi_backend.FFI()


_loads = itertools.count(1)


def load(path: str, data: bytes | None = None, shared: bool = False) -> Any:
    """The shared object at `path`; raises OSError if the dynamic loader refuses it. Objects loaded
    later find its functions if it is `shared`.

    `data` is its contents where they are known: they are loaded from memory then, so that whoever
    deletes or cuts the file meanwhile, or later while its code runs, does no harm."""
    import _cffi_backend

    flags = os.RTLD_NOW | (os.RTLD_GLOBAL if shared else os.RTLD_LOCAL)
    if shared:  # it stays to the end: what frees its memory may run after the interpreter let go
        flags |= getattr(os, "RTLD_NODELETE", 0)
    if data is not None and hasattr(os, "memfd_create"):
        try:
            fd = os.memfd_create("graphc-" + os.path.basename(os.path.dirname(path))[:40])
        except OSError:
            return _cffi_backend.load_library(path, flags)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            # the loader takes equal names for one library, and numbers of files come again
            detour = f"{next(_loads):b}".replace("0", "/").replace("1", "./")
            return _cffi_backend.load_library(f"/proc/self/fd/{detour}{fd}", flags)
        except OSError:  # no /proc, no room, or memory that must not be executed
            pass
        finally:
            os.close(fd)
    return _cffi_backend.load_library(path, flags)


def function(library: Any, name: str, signature: str) -> Any:
    """The function `name`; `signature` is its C type without a name: "void(int64_t, void *)".

    Raises AttributeError if the library has no such symbol.
    """
    result, bracket, arguments = signature.partition("(")
    if "(" not in arguments:  # a function type; cffi wants a pointer to one
        signature = f"{result}(*){bracket}{arguments}"
    return library.load_function(ffi().typeof(signature), name)


class Program:
    """A generated program: `program(buffers, sizes, scalars)` is one call of its entry point.

    `buffers` is a `void *[]`, `sizes` an `int64_t[]`, `scalars` a `double[]` (cffi data, see
    `pointers`, `sizes` and `scalars` below); the result is the program's status, 0 if all is well.
    `run` is the bare C function, which wants `api` first and lives as long as this object.
    """

    __slots__ = ("_library", "api", "run")

    def __init__(self, path: str, api: Any, data: bytes | None = None) -> None:
        self._library = load(path, data)
        self.api = api
        self.run = function(self._library, "run", RUN)

    def __call__(self, buffers: Any, sizes: Any, scalars: Any) -> int:
        return self.run(self.api, buffers, sizes, scalars)


def pointers(items: list[Any]) -> Any:
    """A `void *[]` of cffi pointers; it does not keep them alive."""
    return ffi().new("void *[]", items)


def sizes(values: list[int]) -> Any:
    """An `int64_t[]`."""
    return ffi().new("int64_t[]", values)


def scalars(values: list[float]) -> Any:
    """A `double[]`."""
    return ffi().new("double[]", values)
