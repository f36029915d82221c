"""The C compiler: takes $GRAPHC_CC, $CC and PATH, gives a `Compiler` and the flags of every build.

Invariant: no process is spawned to find or identify a compiler; its identity is the path, size and
modification time of the program file. The numerics contract rests on `FLAGS`: no contraction, no
fast-math, at compile time and at link time alike.
"""

import os
import platform
import sys
from functools import cache
from typing import NamedTuple

from graphc.base.config import config

FLAGS = (
    "-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off",
    "-fwrapv", "-fPIC", "-fvisibility=hidden", "-pthread",
)  # fmt: skip
LINK_FLAGS = ("-shared", "-pthread")
# How to ask for this machine's instructions; the first one that the compiler accepts is taken.
NATIVE_FLAGS = (("-march=native",), ("-mcpu=native",), ())

INSTALL_HINT = (
    "install a C compiler (Debian/Ubuntu: apt install gcc; Fedora: dnf install gcc; "
    "macOS: xcode-select --install; anywhere: pip install ziglang)"
)


class Compiler(NamedTuple):
    """A C compiler: `command` starts it, `kind` is gcc, clang, zig, tcc or cc (unknown).

    `identity` changes when another compiler, or another version of it, takes its place.
    """

    command: tuple[str, ...]
    kind: str
    identity: str

    def __str__(self) -> str:
        return " ".join(self.command)


def find_compiler() -> Compiler | None:
    """The compiler to use, or None: $GRAPHC_CC, $CC, cc, gcc, clang, ziglang, then tcc.

    A $GRAPHC_CC that names no program raises FileNotFoundError; a $CC that does is passed over.
    """
    return _find(config.cc, os.environ.get("CC", ""), os.environ.get("PATH", ""))


@cache
def _find(graphc_cc: str, cc: str, path: str) -> Compiler | None:
    if graphc_cc:
        found = _from_command(graphc_cc, path)
        if found is None:
            raise FileNotFoundError(f"GRAPHC_CC={graphc_cc}: there is no such program")
        return found
    for command in (cc, "cc", "gcc", "clang"):
        found = _from_command(command, path)
        if found and found.kind != "tcc":
            return found
    return _ziglang() or _from_command("tcc", path)


def compiler_at(command: str) -> Compiler | None:
    """The compiler that `command` ("clang", "/opt/gcc-14/bin/gcc -m64") starts, if it exists."""
    return _from_command(command, os.environ.get("PATH", ""))


def _from_command(command: str, path: str) -> Compiler | None:
    import shlex
    from shutil import which

    words = shlex.split(command)
    if not words:
        return None
    program = which(words[0], path=path)
    if program is None:
        return None
    # `python -m ziglang cc` has the interpreter as its program: zig itself is what counts
    if "ziglang" in words:
        zig = _ziglang()
        return zig and Compiler((program, *words[1:]), "zig", zig.identity)
    kind = _kind(os.path.basename(os.path.realpath(program)), words[1:])
    return Compiler((program, *words[1:]), kind, _identity(program, words[1:]))


def _kind(name: str, arguments: list[str]) -> str:
    if name.startswith("zig") or "zig" in arguments:
        return "zig"
    for kind in ("clang", "gcc", "tcc"):
        if kind in name:
            return kind
    # Apple's cc is clang under a plain name
    return "clang" if sys.platform == "darwin" else "cc"


def _ziglang() -> Compiler | None:
    """The compiler in the `ziglang` package, found without importing it."""
    from importlib.util import find_spec

    spec = find_spec("ziglang")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        zig = os.path.join(folder, "zig.exe" if os.name == "nt" else "zig")
        if os.path.isfile(zig):
            return Compiler((zig, "cc"), "zig", _identity(zig, ["cc"]))
    return None


def _identity(program: str, arguments: list[str]) -> str:
    real = os.path.realpath(program)
    stat = os.stat(real)
    return " ".join([program, real, str(stat.st_size), str(stat.st_mtime_ns), *arguments])


def flags(compiler: Compiler) -> tuple[str, ...]:
    """The flags of every compilation, less the choice among `NATIVE_FLAGS`."""
    if compiler.kind == "tcc":  # knows no optimisation and warns about each flag
        return ("-fPIC",) if sys.platform != "win32" else ()
    if compiler.kind == "zig":  # its default traps on undefined behaviour, in debug fashion
        return (*FLAGS, "-fno-sanitize=undefined")
    return FLAGS


@cache
def cpu_identity() -> str:
    """What `-march=native` depends on: the machine type, CPU model and instruction sets."""
    parts = [sys.platform, platform.machine()]
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            first_core = file.read(16384).split("\n\n")[0]
        stable = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags",
                  "Features", "CPU implementer", "CPU part", "CPU variant", "isa")  # fmt: skip
        for line in first_core.splitlines():
            name, _, value = line.partition(":")
            if name.strip() in stable:
                parts.append(f"{name.strip()}={value.strip()}")
    except OSError:
        parts.append(platform.release() if hasattr(os, "uname") else platform.version())
    return "\n".join(parts)
