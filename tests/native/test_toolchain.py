"""Finding a compiler: the order of the search, its identity, and what happens without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphc.native import toolchain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def programs(tmp_path):
    """`programs(*names)` makes a folder of fake programs and gives it as a PATH."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
        return str(tmp_path)

    return make


def test_order_of_the_search(programs, tmp_path):
    path = programs("clang")
    assert toolchain._find("", "", path).command == (str(tmp_path / "clang"),)
    programs("gcc")
    toolchain._find.cache_clear()
    assert toolchain._find("", "", path).kind == "gcc"
    programs("cc")
    toolchain._find.cache_clear()
    assert toolchain._find("", "", path).command == (str(tmp_path / "cc"),)
    assert toolchain._find("", "clang -m64", path).command == (str(tmp_path / "clang"), "-m64")
    assert toolchain._find("gcc", "clang", path).kind == "gcc"
    # $CC is set for other purposes too; GRAPHC_CC is meant for us and must not be ignored
    assert toolchain._find("", "no-such-cc", path).command == (str(tmp_path / "cc"),)
    with pytest.raises(FileNotFoundError, match="GRAPHC_CC=no-such-cc"):
        toolchain._find("no-such-cc", "", path)


def test_tcc_only_if_there_is_nothing_else(programs, monkeypatch):
    monkeypatch.setattr(toolchain, "_ziglang", lambda: None)
    path = programs("tcc")
    assert toolchain._find("", "", path).kind == "tcc"
    programs("clang")
    toolchain._find.cache_clear()
    assert toolchain._find("", "tcc", path).kind == "clang"
    assert toolchain._find("tcc", "", path).kind == "tcc"


def test_nothing_found(tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain, "_ziglang", lambda: None)
    assert toolchain._find("", "", str(tmp_path)) is None


def test_identity_follows_the_program_file(programs, tmp_path):
    path = programs("gcc-14")
    os.symlink("gcc-14", tmp_path / "cc")
    before = toolchain._find("", "", path)
    assert before.kind == "gcc"  # cc is a link to gcc
    (tmp_path / "gcc-14").write_text("#!/bin/sh\n# a newer version\n")
    toolchain._find.cache_clear()
    assert toolchain._find("", "", path).identity != before.identity


def test_nothing_is_spawned():
    """Finding and identifying compiler and CPU starts no process."""
    script = (
        "import sys\n"
        "def hook(event, args):\n"
        "    assert event not in ('subprocess.Popen', 'os.system', 'os.posix_spawn', 'os.fork')\n"
        "sys.addaudithook(hook)\n"
        "from graphc.native import toolchain\n"
        "toolchain.find_compiler(); toolchain.cpu_identity()\n"
        "assert 'subprocess' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_flags_keep_the_numerics():
    """No fast-math and no contraction, at compile time and at link time."""
    for kind in ("gcc", "clang", "zig", "cc"):
        flags = toolchain.flags(toolchain.Compiler(("cc",), kind, ""))
        assert "-ffp-contract=off" in flags and "-fwrapv" in flags
        assert not any("fast" in flag or "associative" in flag for flag in flags)
    assert not any("fast" in flag for flag in toolchain.LINK_FLAGS)


def test_cpu_identity_is_stable_within_a_machine():
    first = toolchain.cpu_identity()
    toolchain.cpu_identity.cache_clear()
    assert toolchain.cpu_identity() == first and "MHz" not in first
