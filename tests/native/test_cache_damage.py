"""The cache where things go wrong: many processes at once, damaged and vanishing entries, a full
disk, a folder that may not be written, killed builds. A miss or a clear message, never a crash or a
wrong result."""

import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

import graphc
from graphc.base.errors import CaptureBreak, NativeBuildError
from graphc.compiler import program
from graphc.native import build, cache, library, toolchain
from graphc.native.build import LIBRARY
from graphc.native.cache import DiskCache

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not library.available(), reason="no native kernels")
FILES = [LIBRARY, program.RECORD, program.SOURCE, "manifest"]

# Prints results and how often it ran the compiler.
SCRIPT = """
import sys, warnings
import graphc
from graphc.native import build
a = graphc.compile(lambda x: (x * 3 + 1).sum(), fullgraph=True)
b = graphc.compile(lambda x: x.exp().amax() - x.mean(), fullgraph=True)
x = graphc.arange(12, dtype=graphc.float32)
wanted = [float(x.mul(3).add(1).sum()), float(x.exp().amax() - x.mean())]
for _ in range(3):
    assert [float(a(x)), float(b(x))] == wanted
print(build.runs)
"""


def environment(folder, **more):
    return {**os.environ, "GRAPHC_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT),
            "GRAPHC_CHECK": "", **more}  # fmt: skip


def start(script, folder, **more):
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(folder, **more),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process):
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error[-3000:]
    return out, error


@pytest.fixture
def folder(tmp_path):
    """A cache folder that holds the native library and nothing else."""
    key = library.cache_key()
    shutil.copytree(cache.disk_cache().entries / key, tmp_path / "c" / "v1" / "entries" / key)
    return tmp_path / "c"


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache in this process."""
    made = DiskCache(tmp_path / "cache", 1 << 30)
    for module in (build, program):
        monkeypatch.setattr(module, "disk_cache", lambda: made)
    return made


def _scaled(constant):
    """A function with the constant in its code: one that it reads is a run-time number."""
    return eval(f"lambda x: (x * {constant}).cumsum(0)")


@pytest.fixture(autouse=True)
def _eager_kernels():
    """Those of cumsum are there before anything is broken: they are built when first used."""
    graphc.ones(2).cumsum(0)


def compiled(constant=2.5):
    """Compiles a function anew and runs it; how often the compiler ran for it."""
    before = build.runs
    f = graphc.compile(_scaled(constant), fullgraph=True)
    assert f(graphc.ones(4)).tolist() == [constant, 2 * constant, 3 * constant, 4 * constant]
    return build.runs - before


# ---------------------------------------------------------------- many processes


@pytest.mark.parametrize("count", [3, pytest.param(16, marks=pytest.mark.slow)])
def test_processes_compile_each_program_once(folder, count):
    running = [start(SCRIPT, folder) for _ in range(count)]
    assert sum(int(finish(process)[0]) for process in running) == 2


@pytest.mark.slow
def test_16_processes_on_an_empty_cache(tmp_path):
    """What every program needs of the native library is built once, too, file by file, and
    announced once."""
    running = [start(SCRIPT, tmp_path) for _ in range(16)]
    done = [finish(process) for process in running]
    files = len(list((ROOT / "runtime" / "src").glob("*.c")))
    assert sum(int(out) for out, _ in done) == files + 1 + 2
    assert sum("building native kernels" in error for _, error in done) == 1


def test_entries_break_while_processes_run(folder):
    """Someone deletes, cuts and overwrites files all the time, also those whose code is running."""
    script = """
import sys, graphc
for i in range(6):
    f = graphc.compile(lambda x: (x * (i % 3 + 0.5)).sum() + i % 3, fullgraph=True)
    x = graphc.ones(1000)
    for _ in range(20):
        assert float(f(x)) == 1000 * (i % 3 + 0.5) + i % 3
"""
    entries, rng = folder / "v1" / "entries", random.Random(0)
    running = [start(script, folder) for _ in range(3)]
    while any(process.poll() is None for process in running):
        for entry in list(entries.iterdir()):
            if entry.name == library.cache_key():  # takes too long to build
                continue
            try:
                paths = list(entry.iterdir())
            except OSError:  # a process has just deleted it
                continue
            for path in paths:
                try:
                    what = rng.random()
                    if what < 0.2:
                        os.truncate(path, path.stat().st_size // 2)
                    elif what < 0.3:
                        path.write_bytes(b"\x00" * path.stat().st_size)
                    elif what < 0.5:
                        path.unlink()
                except OSError:
                    pass
        time.sleep(0.002)
    for process in running:
        finish(process)


def test_a_killed_build_leaves_no_poison(folder, tmp_path):
    """The lock dies with its process; what it left is swept away later."""
    script = f"""
import time
from graphc.native import build
def hang(*args):
    open({str(tmp_path / "started")!r}, "w")
    time.sleep(1000)
build._run = hang
{SCRIPT}"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(folder),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    left = list((folder / "v1" / "tmp").iterdir())
    assert left
    began = time.monotonic()
    assert int(finish(start(SCRIPT, folder))[0]) == 2
    assert time.monotonic() - began < 60
    locks = folder / "v1" / "locks"
    for path in (*left, *locks.iterdir()):
        os.utime(path, (1, 1))
    DiskCache(folder / "v1", 1 << 30).put("k", {"x": b""})
    assert not list((folder / "v1" / "tmp").iterdir()) and not list(locks.iterdir())


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "deleted", "longer", "a folder"])
def test_every_file_of_an_entry(fresh, name, damage, monkeypatch):
    assert compiled() == 1 and compiled() == 0
    (entry,) = fresh.entries.iterdir()
    path = entry / name
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "flipped":
        path.write_bytes(data[:30] + bytes([data[30] ^ 4]) + data[31:])
    elif damage == "longer":
        path.write_bytes(data + b"\n0")
    else:
        path.unlink()
        if damage == "a folder":
            path.mkdir()
    assert compiled() == 1 and compiled() == 0
    assert len(list(fresh.entries.iterdir())) == 1 and not list(fresh.tmp.iterdir())


def test_an_entry_that_is_no_folder(fresh):
    assert compiled() == 1
    (entry,) = fresh.entries.iterdir()
    shutil.rmtree(entry)
    entry.write_text("")
    assert compiled() == 1


def test_the_cache_is_deleted_while_running(fresh):
    assert compiled() == 1
    shutil.rmtree(fresh.root)
    assert fresh.info()["entries"] == 0 and fresh.clear() == 0
    assert compiled() == 1 and compiled() == 0


def test_a_library_is_cut_after_it_was_loaded(fresh):
    """Its code is not read from the file."""
    f = graphc.compile(lambda x: (x * 0.5).exp().sum(), fullgraph=True)
    x = graphc.ones(100_000)
    wanted = float(f(x))
    (entry,) = fresh.entries.iterdir()
    os.truncate(entry / LIBRARY, 0)
    assert float(f(x)) == wanted


# ---------------------------------------------------------------- no room, no right to write


def refuse_under(monkeypatch, *folders):
    """Writing anything under the folders fails as on a full disk."""

    def full(path):
        if any(str(path).startswith(str(f)) for f in folders):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    for owner, name, at in (
        (Path, "write_bytes", 0),
        (Path, "write_text", 0),
        (Path, "mkdir", 0),
        (tempfile, "mkdtemp", -1),
    ):
        real = getattr(owner, name)

        def refusing(*args, real=real, at=at, **kwargs):
            full(args[0] if at == 0 else kwargs.get("dir") or tempfile.gettempdir())
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, refusing)


def test_a_full_disk(fresh, monkeypatch):
    """What is built is used, from elsewhere; bad entries are still misses."""
    assert compiled(1.5) == 1
    (entry,) = fresh.entries.iterdir()
    with monkeypatch.context() as m:
        refuse_under(m, fresh.root)
        assert compiled(1.5) == 0  # hits go on
        assert compiled(2.5) == 1 and compiled(2.5) == 1
        os.truncate(entry / LIBRARY, 10)
        assert compiled(1.5) == 1
    assert compiled(2.5) == 1 and compiled(2.5) == 0


def test_no_room_anywhere(fresh, monkeypatch):
    """Eager mode, with one warning that says why; `fullgraph` raises."""
    refuse_under(monkeypatch, fresh.root, tempfile.gettempdir())
    f = graphc.compile(lambda x: (x * 1.75).sum(0))
    with pytest.warns(UserWarning, match="No space left"):
        assert f(graphc.ones(2)).item() == 3.5
    with pytest.raises(CaptureBreak, match="No space left"):
        graphc.compile(lambda x: (x * 1.25).sum(0), fullgraph=True)(graphc.ones(2))


def test_no_room_for_kernels_that_are_built_later(fresh, monkeypatch):
    """Those of a folder in runtime/src: the op that wants them says so, and works once there is
    room."""
    monkeypatch.setattr(library, "_folders", {})
    monkeypatch.setattr(library, "_functions", {})
    with monkeypatch.context() as m:
        refuse_under(m, fresh.root, tempfile.gettempdir())
        with pytest.raises(NativeBuildError, match="gc_v_sin_f64: .*No space left"):
            library.fn("gc_v_sin_f64", "void(int64_t, void *, void *)")
    before = build.runs
    assert library.fn("gc_v_sin_f64", "void(int64_t, void *, void *)")
    assert build.runs == before + len(list((ROOT / "runtime" / "src" / "more").glob("*.c"))) + 1


def test_a_compiler_that_finds_no_room(fresh, tmp_path, monkeypatch):
    """Its complaint about the cache's disk is no complaint about the text."""
    real = toolchain.find_compiler()
    wrapper = tmp_path / "gcc"
    wrapper.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *{fresh.root}*) echo "ld: final link failed: No space left on device" >&2; '
        f'exit 1;; esac\nexec {" ".join(real.command)} "$@"\n'
    )
    wrapper.chmod(0o755)
    compiler = toolchain.compiler_at(str(wrapper))
    monkeypatch.setattr(build, "require_compiler", lambda: compiler)
    assert compiled(3.5) == 2


def mounted(folder, kilobytes):
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=700", "none", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="mounting is root's")
def test_a_really_full_disk(folder, tmp_path):
    """A disk with hardly room for a program, besides the native library."""
    small = tmp_path / "small"
    small.mkdir()
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) >> 10
    if not mounted(small, size + 20):
        pytest.skip("cannot mount here")
    try:
        shutil.copytree(folder / "v1", small / "v1")
        for _ in range(2):
            assert int(finish(start(SCRIPT, small))[0]) >= 2
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permissions of Unix")
def test_a_folder_that_may_not_be_written(tmp_path):
    """One warning that names the variable; what is built lasts for the process."""
    script = """
import graphc
f = graphc.compile(lambda x: x * 2.5, backend="interpret")
print(f(graphc.ones(2)).tolist())
from graphc.native.cache import disk_cache
disk_cache().put("k", {"x": b"1"})
print(disk_cache().get("k").files)
"""
    folder, root = tmp_path / "c", os.getuid() == 0
    folder.mkdir()
    if root and not mounted(folder, 100):  # root may write everywhere but there
        pytest.skip("cannot mount here")
    try:
        for part in ("entries", "tmp", "locks"):
            (folder / "v1" / part).mkdir(parents=True)
        if root:
            command = ["mount", "-o", "remount,ro", str(folder)]
            if subprocess.run(command, capture_output=True).returncode != 0:
                pytest.skip("cannot mount read-only here")
        for path in () if root else (*folder.glob("v1/*"), folder / "v1"):
            path.chmod(0o500)
        out, error = finish(start(script, folder, GRAPHC_NATIVE="0"))
    finally:
        for path in () if root else (folder / "v1", *folder.glob("v1/*")):
            path.chmod(0o700)
        if root:
            subprocess.run(["umount", str(folder)], check=True)
    assert out.splitlines() == ["[2.5, 2.5]", "{'x': b'1'}"]
    assert error.count("the cache folder cannot be used") == 1 and "GRAPHC_CACHE_DIR" in error


# ---------------------------------------------------------------- bounds


def test_programs_in_use_survive_eviction(tmp_path, monkeypatch):
    """A small bound holds while programs are built; those already loaded go on."""
    made = DiskCache(tmp_path / "cache", 60_000)
    for module in (build, program):
        monkeypatch.setattr(module, "disk_cache", lambda: made)

    def make(c):
        return graphc.compile(lambda x: (x * c).sum(0), fullgraph=True)

    fs = [make(c) for c in range(2, 9)]
    x = graphc.ones(10)
    for f in fs:
        f(x)
        assert made.info()["bytes"] <= 60_000
    assert 0 < made.info()["entries"] < len(fs)  # some had to go
    assert [float(f(x)) for f in fs] == [10.0 * c for c in range(2, 9)]
    before = build.runs
    make(8)(x)
    assert build.runs == before  # the youngest are there


def test_many_writers_keep_the_bound(tmp_path):
    made = [DiskCache(tmp_path / "cache", 100_000) for _ in range(4)]

    def write(which):
        for i in range(50):
            made[which].put(f"{which}-{i}", {"x": bytes(3000)})

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    made[0].put("last", {"x": b"1"})
    assert made[0].info()["bytes"] <= 100_000 + 4 * 3200 and made[0].info()["entries"] > 20


def test_storing_does_not_look_through_the_folder_every_time(tmp_path, monkeypatch):
    made, scans = DiskCache(tmp_path / "cache", 1 << 30), []
    real = DiskCache._scan
    monkeypatch.setattr(DiskCache, "_scan", lambda self: scans.append(1) or real(self))
    for i in range(50):
        made.put(f"k{i}", {"x": b"1"})
    assert len(scans) == 1
    made.put("large", {"x": bytes(1 << 24)})
    assert len(scans) == 2
