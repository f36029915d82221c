"""The caching allocator: alignment, reuse, accounting, trimming, threads, forks."""

import os
import threading

import pytest

import graphc
from graphc.native import cpu, library

pytestmark = pytest.mark.skipif(not library.available(), reason="no native kernels")

MB = 1 << 20


def alloc(nbytes):
    return library.fn("gc_alloc", "void *(int64_t)")(nbytes)


def free(block):
    library.fn("gc_free", "void(void *)")(block)


def trim():
    library.fn("gc_alloc_trim", "void(void)")()


def set_cache_limit(nbytes):
    library.fn("gc_alloc_set_cache_limit", "void(int64_t)")(nbytes)


def stats():
    """(live, reserved, peak) in bytes."""
    out = cpu.ffi().new("int64_t[3]")
    signature = "void(int64_t *, int64_t *, int64_t *)"
    library.fn("gc_alloc_stats", signature)(out, out + 1, out + 2)
    return list(out)


def address(block):
    return int(cpu.ffi().cast("uintptr_t", block))


SIZES = [0, 1, 63, 64, 65, 200, 513, 4096, 5000, 100_000, MB - 1, MB, MB + 1, 2 * MB, 3 * MB]
SIZES += [2 * MB + 1, 17 * MB, 64 * MB]


@pytest.mark.parametrize("nbytes", SIZES)
def test_aligned_and_writable_to_the_last_byte(nbytes):
    block = alloc(nbytes)
    assert address(block) % 64 == 0
    if nbytes > MB:  # huge pages
        assert address(block) % (2 * MB) == 0
    memory = cpu.ffi().buffer(block, nbytes)
    if nbytes:
        memory[0] = memory[nbytes - 1] = b"x"
    free(block)


def test_blocks_do_not_overlap():
    blocks = [(n, alloc(n)) for n in SIZES if n <= 3 * MB for _ in range(3)]
    spans = sorted((address(b), address(b) + n) for n, b in blocks)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    for i, (n, block) in enumerate(blocks):
        cpu.ffi().memmove(block, bytes([i]) * n, n)
    for i, (n, block) in enumerate(blocks):
        assert bytes(cpu.ffi().buffer(block, n)) == bytes([i]) * n
        free(block)


@pytest.mark.parametrize("nbytes", [100, 10_000, 5 * MB])
def test_freed_blocks_are_reused(nbytes):
    first = alloc(nbytes)
    where = address(first)
    free(first)
    again = alloc(nbytes)
    assert address(again) == where
    free(again)


@pytest.mark.parametrize("nbytes", [1, 100, 700, 33_000, MB, MB + 1, 9 * MB, 100 * MB])
def test_accounting(nbytes):
    """Live rises by the size class: at most a quarter more, in units of 64 bytes or 2 MB."""
    trim()
    live, reserved, _ = stats()
    block = alloc(nbytes)
    now_live, now_reserved, peak = stats()
    size = now_live - live
    unit = 64 if nbytes <= MB else 2 * MB
    assert nbytes <= size <= max(-(-nbytes // unit) * unit, nbytes * 1.25 + unit)
    assert now_reserved - reserved == size and peak >= now_live
    free(block)
    assert stats()[:2] == [live, now_reserved]
    trim()
    assert stats()[:2] == [live, reserved]


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="reads Linux's /proc")
@pytest.mark.parametrize("nbytes", [1 << 16, 300_000, MB])
def test_middling_blocks_leave_no_holes_in_the_heap(nbytes):
    """Each is a mapping that ends with it: nothing else keeps the memory when it is trimmed."""

    def mapped(at):
        with open("/proc/self/maps", encoding="utf-8") as file:
            spans = [line.split(None, 1)[0].split("-") for line in file]
        return any(int(a, 16) <= at < int(b, 16) for a, b in spans)

    trim()
    block = alloc(nbytes)
    where = address(block)
    assert mapped(where) and mapped(where + nbytes - 1)
    free(block)
    trim()
    assert not mapped(where) and not mapped(where + nbytes - 1)


def test_large_results_of_numpy_are_blocks_too():
    x, y = graphc.ones(600, 600), graphc.ones(600, 1)
    row = graphc.ones(1, 500_000)
    for make, strides in [
        (lambda: x + x, (600, 1)),
        (lambda: 2 * x, (600, 1)),
        (lambda: x + y, (600, 1)),
        (lambda: x.t() * x.t(), (1, 600)),
        (lambda: row + 1, (500_000, 1)),
        (lambda: x > y, (600, 1)),
    ]:
        before = stats()[0]
        found = make()
        # bools are a third of a megabyte, in a block all the same
        assert stats()[0] - before >= found.numel() * found.element_size()
        assert found.stride() == strides
        del found
        assert stats()[0] == before


def test_cache_is_bounded():
    trim()
    live, reserved, _ = stats()
    try:
        set_cache_limit(8 * MB)
        blocks = [alloc(4 * MB) for _ in range(6)]
        for block in blocks:
            free(block)
        assert stats()[0] == live and stats()[1] - live <= 8 * MB
        set_cache_limit(0)
        assert stats()[1] == live
    finally:
        set_cache_limit(-1)


def test_impossible_requests_give_null():
    for nbytes in (-1, 1 << 62, (1 << 45)):
        assert not alloc(nbytes)
    free(cpu.ffi().NULL)


def test_threads():
    live = stats()[0]
    failures = []

    def work(seed):
        blocks = []
        for i in range(400):
            n = (seed * 7919 + i * 104729) % 70_000 + 8
            block = alloc(n)
            cpu.ffi().memmove(block, bytes([seed, i % 256]) * 4, 8)
            blocks.append((block, bytes([seed, i % 256]) * 4))
            if len(blocks) > 20:
                block, mark = blocks.pop(i % 20)
                if bytes(cpu.ffi().buffer(block, 8)) != mark:
                    failures.append(seed)
                free(block)
        for block, _ in blocks:
            free(block)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures and stats()[0] == live


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_while_another_thread_allocates():
    stop = threading.Event()

    def work():
        while not stop.is_set():
            free(alloc(3000))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                free(alloc(3000))
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        worker.join()
