"""C text or files to a shared library: takes sources, gives a checked entry of the disk cache.

Invariant: the key is a hash of everything that decides the machine code (sources, headers, flags,
compiler identity, CPU), so a hit needs no compiler run and equal keys mean equal code. Several
files are compiled in parallel, one process each; an error is a `NativeBuildError` of at most ten
lines.
"""

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache as _once
from pathlib import Path

from graphc.base.config import config
from graphc.base.errors import NativeBuildError
from graphc.base.resources import runtime_dir
from graphc.native import toolchain
from graphc.native.cache import DiskCache, Entry, digest, disk_cache, private_entry
from graphc.native.toolchain import Compiler

LIBRARY = "library.so"  # the shared object's name in an entry
_TIMEOUT = 600.0
_accepted: dict[str, int] = {}  # compiler identity -> index of the NATIVE_FLAGS it takes
runs = 0  # compiler processes started by this process; tests read it


def require_compiler() -> Compiler:
    """The compiler, or NativeBuildError that says what to install."""
    compiler = toolchain.find_compiler()
    if compiler is None:
        raise NativeBuildError(f"no C compiler was found; {toolchain.INSTALL_HINT}")
    return compiler


@_once
def headers_digest() -> str:
    """Content hash of the runtime's headers, which generated programs include."""
    folder = runtime_dir() / "include"
    names = sorted(name for name in os.listdir(folder) if name.endswith(".h"))
    return digest(*(part for name in names for part in (name, (folder / name).read_bytes())))


def fingerprint(compiler: Compiler | None = None) -> str:
    """Hash of what decides machine code apart from the source: headers, flags, compiler, CPU."""
    compiler = compiler or require_compiler()
    flags = " ".join((*toolchain.flags(compiler), *toolchain.LINK_FLAGS))
    return digest(headers_digest(), flags, compiler.identity, toolchain.cpu_identity())


def shared_object(
    sources: Mapping[str, str],
    *,
    key: str | None = None,
    flags: Sequence[str] = (),
    extras: Mapping[str, bytes] | None = None,
    pieces: Sequence[str] = (),
    compiler: Compiler | None = None,
    store: bool = True,
) -> Entry:
    """The library built from `sources` (file name -> C text), from the cache where it is there;
    with store=False built anew, for this process alone.

    `entry.path(LIBRARY)` is the file to load; the sources and `extras` are stored beside it.
    `pieces`: the same in files to compile side by side, which are not stored.
    `key` stands in for the hash of the sources where the caller knows a cheaper one.
    Raises NativeBuildError if there is no compiler or it refuses the text.
    """
    compiler = compiler or require_compiler()
    if key is None:
        parts = [part for item in sorted(sources.items()) for part in item]
        key = digest(fingerprint(compiler), *flags, "", *parts)

    def build(work: Path) -> dict[str, bytes]:
        paths = []
        files = {f"piece{i}.c": text for i, text in enumerate(pieces)} or sources
        for name, text in files.items():
            path = work / name
            path.write_text(text, encoding="utf-8")
            paths.append(path)
        compile_files(paths, work / LIBRARY, compiler=compiler, flags=flags)
        stored = {name: text.encode() for name, text in sources.items()}
        return {LIBRARY: (work / LIBRARY).read_bytes(), **stored, **(extras or {})}

    if not store:
        with disk_cache().workspace() as work:
            return private_entry(build(work))
    return cached(key, build)


def cached(key: str, build: Callable[[Path], dict[str, bytes]]) -> Entry:
    """The entry of `key`; on a miss `build(work folder)` makes its files, in one process only."""
    cache = disk_cache()
    entry = cache.get(key)
    if entry is not None:
        return entry
    with cache.lock(key):
        entry = cache.get(key)  # another process may have built it while this one waited
        if entry is not None:
            return entry
        files = _built(cache, build)
        try:
            return cache.put(key, files)
        except OSError:  # the disk is full, say: what was built is used all the same
            return private_entry(files)


def _built(cache: DiskCache, build: Callable[[Path], dict[str, bytes]]) -> dict[str, bytes]:
    """What `build` makes, in the system's temporary folder where the cache's disk is full."""
    try:
        with cache.workspace() as work:
            return build(work)
    except NativeBuildError as error:
        if os.strerror(errno.ENOSPC) not in error.output:
            raise
    except OSError:
        pass
    import tempfile

    with tempfile.TemporaryDirectory(prefix="graphc-") as elsewhere:
        return build(Path(elsewhere))


def compile_files(
    paths: Sequence[Path],
    out: Path,
    *,
    compiler: Compiler | None = None,
    flags: Sequence[str] = (),
) -> None:
    """Compiles the C files (in parallel, those that take longest first) and links them."""
    compiler = compiler or require_compiler()
    base = [*compiler.command, *toolchain.flags(compiler), *flags]
    base += ["-I", str(runtime_dir() / "include")]
    if len(paths) == 1:
        command = [*base, *toolchain.LINK_FLAGS, str(paths[0]), "-o", str(out), "-lm"]
        _run_tuned(command, compiler, paths[0].name)
        return
    from concurrent.futures import ThreadPoolExecutor

    order = sorted(paths, key=weight, reverse=True)
    objects = {path: out.with_name(path.stem + ".o") for path in paths}
    jobs = min(len(paths), cores())
    with ThreadPoolExecutor(jobs) as pool:
        tasks = [
            pool.submit(
                _run_tuned, [*base, "-c", str(path), "-o", str(objects[path])], compiler, path.name
            )
            for path in order
        ]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    names = [str(objects[path]) for path in paths]
    _run([*compiler.command, *toolchain.LINK_FLAGS, *names, "-o", str(out), "-lm"], out.name)


def weight(path: Path) -> int:
    """About how long a file takes: its size, and that of the bodies it includes many times over."""
    text = path.read_text(encoding="utf-8", errors="replace")
    names = (line.split('"')[1] for line in text.splitlines() if line.startswith('#include "'))
    places = (path.parent, path.parent.parent)
    bodies = (place / name for name in names for place in places)
    return len(text) + sum(body.stat().st_size for body in bodies if body.is_file())


def cores() -> int:
    """The cores that this process may use: its affinity mask, capped by the cgroup's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count or 1, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        pass
    return count or 1


def _run_tuned(command: list[str], compiler: Compiler, what: str) -> None:
    """Runs the command with the first of NATIVE_FLAGS that this compiler accepts."""
    if compiler.kind == "tcc":
        return _run(command, what)
    index = _accepted.get(compiler.identity, 0)
    while True:
        tuning = toolchain.NATIVE_FLAGS[index]
        try:
            _run([*command, *tuning], what)
            _accepted[compiler.identity] = index
            return
        except NativeBuildError as error:
            refused = any(flag.split("=")[0].lstrip("-") in error.output for flag in tuning)
            if not refused or index + 1 == len(toolchain.NATIVE_FLAGS):
                raise
            index += 1


def _run(command: list[str], what: str) -> None:
    import subprocess

    global runs
    if config.debug >= 6:
        print("graphc:", " ".join(command), file=sys.stderr)
    runs += 1
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment,
            timeout=_TIMEOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NativeBuildError(f"the C compiler could not be run: {error}") from None
    if done.returncode != 0:
        output = done.stderr + done.stdout
        raise NativeBuildError(_summary(command, what, output, done.returncode), output)


def _summary(command: list[str], what: str, output: str, status: int) -> str:
    """At most ten lines: the headline, the errors (else the last lines), how to see the rest."""
    lines = [line for line in output.splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if "error" in line.lower()), None)
    shown = lines[first : first + 8] if first is not None else lines[-8:]
    head = f"{os.path.basename(command[0])} refused {what} (exit status {status}):"
    tail = ["GRAPHC_DEBUG=6 shows the command line"] if config.debug < 6 else []
    return "\n".join([head, *(line[:300] for line in shown), *tail])
