"""Building and caching: contents, races, damage, limits and error messages."""

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from graphc.base.errors import NativeBuildError
from graphc.native import build, cpu, toolchain
from graphc.native.build import LIBRARY
from graphc.native.cache import DiskCache, digest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(toolchain.find_compiler() is None, reason="no C compiler")

ANSWER = '__attribute__((visibility("default"))) int answer(void) { return %d; }\n'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache that the build uses instead of the user's."""
    fresh = DiskCache(tmp_path / "cache", 1 << 30)
    monkeypatch.setattr(build, "disk_cache", lambda: fresh)
    return fresh


def answer(entry):
    library = cpu.load(entry.path(LIBRARY))
    return cpu.function(library, "answer", "int(void)")()


def test_build_once_then_hit(cache):
    before = build.runs
    entry = build.shared_object({"a.c": ANSWER % 42}, extras={"record": b"{}"})
    assert answer(entry) == 42 and build.runs == before + 1
    again = build.shared_object({"a.c": ANSWER % 42}, extras={"record": b"{}"})
    assert build.runs == before + 1
    assert again.files["record"] == b"{}" and again.files["a.c"].decode() == ANSWER % 42
    assert answer(build.shared_object({"a.c": ANSWER % 43})) == 43
    assert build.runs == before + 2


def test_what_the_key_covers(monkeypatch):
    compiler = toolchain.find_compiler()
    first = build.fingerprint()
    assert first == build.fingerprint(compiler)
    assert first != build.fingerprint(compiler._replace(identity="another version"))
    monkeypatch.setattr(toolchain, "cpu_identity", lambda: "another CPU")
    assert build.fingerprint() != first
    monkeypatch.undo()
    monkeypatch.setattr(build, "headers_digest", lambda: "other headers")
    assert build.fingerprint() != first


def test_digest_has_boundaries():
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("a") == digest(b"a")


def test_several_files_become_one_library(cache, tmp_path):
    sources = []
    for i in range(5):
        path = tmp_path / f"part{i}.c"
        call = f"int part{i - 1}(void);" if i else ""
        body = f"part{i - 1}() + 1" if i else "1"
        path.write_text(f"{call} int part{i}(void) {{ return {body}; }}\n")
        sources.append(path)
    (tmp_path / "last.c").write_text(
        'int part4(void); __attribute__((visibility("default"))) int answer(void)'
        "{ return part4(); }\n"
    )
    build.compile_files([*sources, tmp_path / "last.c"], tmp_path / LIBRARY)
    assert cpu.function(cpu.load(str(tmp_path / LIBRARY)), "answer", "int(void)")() == 5


def test_errors_are_short_and_name_the_place(cache):
    bad = "".join(f"int f{i}(void) {{ return undeclared{i}; }}\n" for i in range(50))
    with pytest.raises(NativeBuildError) as caught:
        build.shared_object({"program.c": bad})
    lines = str(caught.value).splitlines()
    assert len(lines) <= 10 and "program.c" in lines[0]
    assert "undeclared0" in str(caught.value) and "undeclared49" in caught.value.output
    assert cache.info()["entries"] == 0 and not list(cache.tmp.iterdir())


def test_an_error_in_one_of_several_files(cache, tmp_path):
    (tmp_path / "good.c").write_text(ANSWER % 1)
    (tmp_path / "bad.c").write_text("int f(void) { return missing; }")
    with pytest.raises(NativeBuildError, match="bad.c"):
        build.compile_files([tmp_path / "good.c", tmp_path / "bad.c"], tmp_path / LIBRARY)


def test_a_compiler_without_march_native(tmp_path, monkeypatch):
    """Falls back to -mcpu=native and then to no tuning at all, and remembers that."""
    real = " ".join(toolchain.find_compiler().command)
    wrapper = tmp_path / "cc"
    wrapper.write_text(
        "#!/bin/sh\n"
        'for a in "$@"; do case $a in -march=*|-mcpu=*) '
        'echo "cc: error: unrecognized option $a" >&2; exit 1;; esac; done\n'
        f'exec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    compiler = toolchain.compiler_at(str(wrapper))
    (tmp_path / "a.c").write_text(ANSWER % 3)
    before = build.runs
    build.compile_files([tmp_path / "a.c"], tmp_path / "a.so", compiler=compiler)
    assert build.runs == before + 3
    build.compile_files([tmp_path / "a.c"], tmp_path / "b.so", compiler=compiler)
    assert build.runs == before + 4


def test_no_compiler_says_what_to_install(monkeypatch):
    monkeypatch.setattr(toolchain, "find_compiler", lambda: None)
    with pytest.raises(NativeBuildError, match="apt install gcc"):
        build.require_compiler()


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "delete manifest", "empty"])
def test_a_damaged_entry_is_a_miss(cache, damage):
    entry = build.shared_object({"a.c": ANSWER % 7})
    library, manifest = entry.folder / LIBRARY, entry.folder / "manifest"
    if damage == "truncate":
        library.write_bytes(library.read_bytes()[:-100])
    elif damage == "flip":
        data = bytearray(library.read_bytes())
        data[len(data) // 2] ^= 1
        library.write_bytes(data)
    elif damage == "delete":
        library.unlink()
    elif damage == "delete manifest":
        manifest.unlink()
    else:
        manifest.write_bytes(b"")
    before = build.runs
    assert answer(build.shared_object({"a.c": ANSWER % 7})) == 7
    assert build.runs == before + 1
    assert cache.info()["entries"] == 1


def test_every_flipped_bit_of_a_small_entry_is_seen(tmp_path):
    cache = DiskCache(tmp_path / "c", 1 << 20)
    for name in ("data", "manifest"):
        cache.put("k", {"data": b"payload"})
        size = (cache.entries / "k" / name).stat().st_size
        for position in range(size * 8):
            cache.put("k", {"data": b"payload"})
            path = cache.entries / "k" / name
            data = bytearray(path.read_bytes())
            data[position // 8] ^= 1 << position % 8
            path.write_bytes(data)
            entry = cache.get("k")
            assert entry is None or entry.files == {"data": b"payload"}


def test_put_and_get(tmp_path):
    cache = DiskCache(tmp_path / "c", 1 << 20)
    assert cache.get("k") is None
    assert cache.put("k", {"x": b"1"}).files == {"x": b"1"}
    assert cache.put("k", {"x": b"2"}).files == {"x": b"1"}  # the first one stays
    assert cache.get("k").path("x") == str(tmp_path / "c" / "entries" / "k" / "x")
    assert cache.clear() == 1 and cache.get("k") is None and cache.clear() == 0


def test_the_size_is_bounded_by_last_use(tmp_path):
    cache = DiskCache(tmp_path / "c", 10_000)
    for i in range(4):
        cache.put(f"k{i}", {"x": bytes(2000)})
        os.utime(cache.entries / f"k{i}" / "manifest", (1000 + i, 1000 + i))
    assert cache.get("k0") is not None  # used just now
    cache.put("k4", {"x": bytes(5000)})
    kept = {path.name for path in cache.entries.iterdir()}
    assert "k0" in kept and "k4" in kept and "k1" not in kept
    assert cache.info()["bytes"] <= 10_000


def test_the_folder_is_private(tmp_path):
    (tmp_path / "c").mkdir(mode=0o777)
    os.chmod(tmp_path / "c", 0o777)
    DiskCache(tmp_path / "c", 1000)
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o700


def test_threads_build_one_thing_once(cache):
    before = build.runs
    results = []

    def work():
        results.append(answer(build.shared_object({"a.c": ANSWER % 11})))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [11] * 8 and build.runs == before + 1


def test_processes_share_an_empty_cache(tmp_path):
    """Six processes at once: all right, one compiler run among them."""
    script = (
        "from graphc.native import build, cpu\n"
        f"entry = build.shared_object({{'a.c': {ANSWER % 5!r}}})\n"
        "f = cpu.function(lib := cpu.load(entry.path(build.LIBRARY)), 'answer', 'int(void)')\n"
        "print(f(), build.runs)\n"
    )
    environment = {**os.environ, "GRAPHC_CACHE_DIR": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment,
                         stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]  # fmt: skip
    outputs = [process.communicate()[0].split() for process in running]
    assert [output[0] for output in outputs] == ["5"] * 6
    assert sum(int(output[1]) for output in outputs) == 1


def test_a_dead_owner_leaves_no_lock(tmp_path):
    script = (
        "import os\n"
        "from graphc.native.cache import disk_cache\n"
        "with disk_cache().lock('k'):\n"
        "    os._exit(1)\n"
    )
    environment = {**os.environ, "GRAPHC_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=False)
    with DiskCache(tmp_path / "v1", 1000).lock("k"):
        pass


def test_random_deletion_while_running(tmp_path):
    """Entries vanish or break under a reader and a writer: never an error, never wrong bytes."""
    cache = DiskCache(tmp_path / "c", 1 << 20)
    stop = threading.Event()
    rng = random.Random(0)

    def vandal():
        while not stop.is_set():
            for folder in os.listdir(cache.entries):
                path = cache.entries / folder / rng.choice(["x", "manifest"])
                try:
                    if rng.random() < 0.5:
                        path.unlink()
                    else:
                        path.write_bytes(path.read_bytes()[:3])
                except OSError:
                    pass

    thread = threading.Thread(target=vandal)
    thread.start()
    try:
        for i in range(300):
            key = f"k{i % 7}"
            entry = cache.get(key)
            assert entry is None or entry.files == {"x": key.encode() * 10}
            if entry is None:
                try:
                    stored = cache.put(key, {"x": key.encode() * 10})
                except OSError:  # lost three times in a row to the vandal
                    continue
                assert stored.files == {"x": key.encode() * 10}
    finally:
        stop.set()
        thread.join()


def test_a_full_disk_does_not_stop_the_build(cache, monkeypatch):
    def refuse(key, files):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "put", refuse)
    entry = build.shared_object({"a.c": ANSWER % 9})
    assert answer(entry) == 9 and cache.root not in entry.folder.parents


def test_unusable_folder_falls_back(tmp_path):
    """A cache folder that is a file: one warning, and everything still works."""
    (tmp_path / "file").write_text("")
    script = (
        "from graphc.native import build\n"
        f"entry = build.shared_object({{'a.c': {ANSWER % 5!r}}})\n"
        "print(len(entry.files))\n"
    )
    environment = {**os.environ, "GRAPHC_CACHE_DIR": str(tmp_path / "file")}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stdout.strip() == "2"
    assert done.stderr.count("the cache folder cannot be used") == 1
