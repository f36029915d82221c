"""Worker processes: take index lists, give batches, some batches ahead of their use.

The main process hands batch i to worker i mod n and reads the answers in that order. A worker's
main thread fetches, a second thread sends. Invariant: every wait of the main process watches that
all workers live.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

from . import channel, collate
from .sampler import mix
from .streams import Streams, flavour, present

_CHECK = 0.5        # seconds between looks at whether all workers live


class WorkerInfo:
    """What get_worker_info() tells inside a worker: id, num_workers, seed, dataset."""

    def __init__(self, id: int, num_workers: int, seed: int, dataset: Any):
        self.id, self.num_workers, self.seed, self.dataset = id, num_workers, seed, dataset

    def __repr__(self) -> str:
        fields = ("id", "num_workers", "seed", "dataset")
        return f"WorkerInfo({', '.join(f'{k}={getattr(self, k)!r}' for k in fields)})"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Inside a DataLoader's worker: its id, the number of workers, its seed and its copy of the
    dataset. None in the main process.
    https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.get_worker_info"""
    return _info


class Fetcher:
    """fetch(indices) -> batch, in whichever process. StopIteration at the end of an iterable
    dataset."""

    def __init__(
        self, dataset: Any, iterable: bool, batched: bool, collate_fn: Callable, drop_last: bool
    ):
        self.dataset, self.iterable, self.batched = dataset, iterable, batched
        self.collate_fn, self.drop_last = collate_fn, drop_last
        self.several = getattr(dataset, "__getitems__", None) if batched and not iterable else None
        self.stream = iter(dataset) if iterable else None
        self.ended = False

    def __call__(self, index: Any) -> Any:
        if self.iterable:
            return self.collate_fn(self._next(index))
        if not self.batched:
            return self.collate_fn(self.dataset[index])
        if self.several:
            return self.collate_fn(self.several(index))
        dataset = self.dataset
        return self.collate_fn([dataset[i] for i in index])

    def _next(self, index: Any) -> Any:
        if self.ended:
            raise StopIteration
        if not self.batched:
            return next(self.stream)        # type: ignore[arg-type]
        samples = []
        for _ in index:
            try:
                samples.append(next(self.stream))       # type: ignore[arg-type]
            except StopIteration:
                self.ended = True
                break
        if not samples or self.drop_last and self.ended:
            raise StopIteration
        return samples


# ---------------------------------------------------------------- errors across processes

class _KeyText(str):
    """A KeyError's message that prints its line breaks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Failure:
    """An exception with its traceback as text, to be raised again in the main process."""

    def __init__(self, error: BaseException, where: str):
        self.kind: Any = type(error)
        self.name = type(error).__name__
        self.text = "".join(traceback.format_exception(error))
        self.where = where

    def portable(self) -> Failure:
        """self, with a type that the other process can import."""
        import pickle
        try:
            pickle.dumps(self.kind)
        except Exception:
            self.kind = RuntimeError
        return self

    def reraise(self) -> None:
        message = f"Caught {self.name} {self.where}.\nOriginal {self.text}"
        if self.kind is KeyError:
            raise KeyError(_KeyText(message))
        try:
            error = self.kind(message)
        except Exception:           # its constructor wants something else
            raise RuntimeError(message) from None
        raise error


# ---------------------------------------------------------------- in the worker

def run(sock: socket.socket, inherited: list, number: int, count: int, job: dict) -> None:
    """The life of a worker process: answers tasks until its socket closes."""
    global _info
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # the main process decides on Ctrl-C
    for other in inherited:
        other.close()
    gc.freeze()         # what was inherited is not scanned, so that its pages stay shared
    from ...native import library
    if job["spawned"] and library.available():
        library.set_num_threads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    out: SimpleQueue = SimpleQueue()
    sender = threading.Thread(target=_send_all, args=(sock, out), daemon=True)
    sender.start()
    reader = channel.Reader(sock)
    worker = _Worker(number, count, job)
    own = job["collate_fn"] is collate.default_collate
    while True:
        try:
            task = reader.receive(lambda: _readable(sock))
        except (EOFError, OSError):
            break
        answer = worker.answer(task)
        try:
            parts = channel.pack((task[1:3], answer), own)
        except Exception as e:
            failure = Failure(
                e, f"in DataLoader worker process {number}, sending a batch"
            ).portable()
            parts = channel.pack((task[1:3], failure), False)
        out.put(parts)
    os._exit(0)     # the parent's exit handlers are not ours to run


def _readable(sock: socket.socket) -> None:
    import select
    select.select([sock], [], [])


def _send_all(sock: socket.socket, out: Any) -> None:
    try:
        while True:
            channel.send(sock, out.get())
    except OSError:                 # the loader is gone
        os._exit(0)


def _leave_with_parent() -> None:
    from multiprocessing import parent_process
    from multiprocessing.connection import wait
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)


class _Worker:
    """Answers tasks ("start", epoch, 0, seed, flavours) and ("fetch", epoch, number, indices)."""

    def __init__(self, number: int, count: int, job: dict):
        self.number, self.count, self.job = number, count, job
        self.streams: Streams | None = None
        self.fetch: Fetcher | None = None
        self.failure: Failure | None = None
        self.started = False

    def answer(self, task: tuple) -> Any:
        """The batch, a Failure, or StopIteration itself at the end of the stream."""
        try:
            if task[0] == "start":
                self.failure = None
                self.start(task[3], task[4])
                return None
            if self.failure is not None:
                return self.failure
            if not self.job["iterable"]:
                self.streams.seed(task[2])      # type: ignore[union-attr]
            return self.fetch(task[3])          # type: ignore[misc]
        except StopIteration:
            if self.job["iterable"]:
                return StopIteration
            return Failure(sys.exc_info()[1], self.where()).portable()      # type: ignore[arg-type]
        except Exception as e:
            failure = Failure(e, self.where()).portable()
            if task[0] == "start":
                self.failure = failure
            return failure

    def where(self) -> str:
        return f"in DataLoader worker process {self.number}"

    def start(self, base_seed: int, flavours: tuple) -> None:
        global _info
        job = self.job
        seed = base_seed + self.number
        self.streams = Streams(base_seed, flavours)
        # a stream of samples belongs to one worker, a numbered batch to none
        first = mix(base_seed, self.number) if job["iterable"] and self.count > 1 else 0
        self.streams.seed(first)
        if not self.started:
            self.started = True
            _info = WorkerInfo(self.number, self.count, seed, job["dataset"])
            init = job["worker_init_fn"]
            if init is not None:
                before = present()
                init(self.number)
                after = present()
                self.spared = frozenset(k for k in before if before[k] != after[k])
            else:
                self.spared = frozenset()
        elif _info is not None:
            _info.seed = seed
        self.streams.spared = self.spared
        self.fetch = Fetcher(job["dataset"], job["iterable"], job["batched"], job["collate_fn"],
                             job["drop_last"])


# ---------------------------------------------------------------- in the main process

class Workers:
    """The workers of one loader: start them, ask them, notice when one is gone, end them."""

    def __init__(self, loader: Any):
        import multiprocessing
        import multiprocessing.connection  # before the fork: the workers need it at once
        self.persistent = loader.persistent_workers
        self.sampler, self.timeout = loader._index_sampler, loader.timeout
        self.ahead = max(loader.prefetch_factor, 1)
        self.iterable = loader._iterable
        self.epoch, self.closed = 0, False
        context = loader.multiprocessing_context or multiprocessing.get_context()
        spawned = context.get_start_method() != "fork"
        job = {
            "dataset": loader.dataset,
            "iterable": self.iterable,
            "batched": loader.batch_sampler is not None,
            "collate_fn": loader.collate_fn,
            "drop_last": loader.drop_last,
            "worker_init_fn": loader.worker_init_fn,
            "spawned": spawned,
        }
        self.socks: list[socket.socket] = []
        self.processes: list = []
        self.finalizer = weakref.finalize(self, _end, self.socks, self.processes)
        n = loader.num_workers
        for i in range(n):
            here, there = socket.socketpair()
            for end in (here, there):
                for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                    end.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
            self.socks.append(here)
            inherited = [] if spawned else list(self.socks)
            p = context.Process(target=run, args=(there, inherited, i, n, job), daemon=True)
            p.start()
            there.close()
            self.processes.append(p)
        self.readers = [channel.Reader(s) for s in self.socks]
        self.deadline = float("inf")
        self.waiting_for: tuple = ()

    def batches(self, base_seed: int) -> Iterator[Any]:
        """One pass over the dataset."""
        self.epoch += 1
        return self._pass(self.epoch, base_seed, flavour())

    def _pass(self, epoch: int, base_seed: int, flavours: tuple) -> Iterator[Any]:
        n = len(self.socks)
        try:
            for i in range(n):
                self._ask(i, ("start", epoch, -1, base_seed, flavours))
            indices = enumerate(self.sampler)
            asked: dict[int, Any] = {}          # batch number -> indices, in order
            owner: dict[int, int] = {}
            active = list(range(n))             # workers whose stream goes on
            turn = 0

            def ask_next() -> None:
                nonlocal turn
                if not active:
                    return
                try:
                    number, index = next(indices)
                except StopIteration:
                    return
                which = active[turn % len(active)]
                turn += 1
                asked[number], owner[number] = index, which
                self._ask(which, ("fetch", epoch, number, index))

            for _ in range(self.ahead * n):
                ask_next()
            while asked:
                if self.epoch != epoch:
                    raise RuntimeError(
                        "this iteration ended when another one over the same DataLoader with "
                        "persistent workers began"
                    )
                number = next(iter(asked))
                which = owner.pop(number)
                answer = self._answer(which, epoch, number, asked[number])
                del asked[number]
                if answer is StopIteration:
                    if which in active:
                        at = active.index(which)
                        active.remove(which)
                        turn = (
                            (turn - 1 if turn % (len(active) + 1) > at else turn) if active else 0
                        )
                    ask_next()
                    continue
                ask_next()
                if isinstance(answer, Failure):
                    answer.reraise()
                yield answer
        except Exception:
            self.close()
            raise
        finally:
            if not self.persistent:
                self.close()

    def _ask(self, which: int, task: tuple) -> None:
        try:
            channel.send(self.socks[which], channel.pack(task, False))
        except OSError:
            self._gone(which)

    def _answer(self, which: int, epoch: int, number: int, index: Any) -> Any:
        self.waiting_for = (which, number, index)
        self.deadline = time.monotonic() + self.timeout if self.timeout else float("inf")
        reader = self.readers[which]
        while True:
            try:
                (of, got), answer = reader.receive(self._watch)
            except (EOFError, ConnectionError):
                self._gone(which)
            if of == epoch and got == number:
                return answer
            if of == epoch and isinstance(answer, Failure):     # starting it failed
                answer.reraise()

    def _watch(self) -> None:
        """Waits until the worker in question has sent something; raises when that will not
        happen."""
        from multiprocessing.connection import wait
        which = self.waiting_for[0]
        sock = self.socks[which]
        while True:
            left = self.deadline - time.monotonic()
            if left <= 0:
                self._late()
            seen = wait([sock, *[p.sentinel for p in self.processes]], min(left, _CHECK))
            if sock in seen:
                return
            for i, p in enumerate(self.processes):
                if not p.is_alive() and not self.readers[which].ready():
                    self._gone(i)

    def _late(self) -> None:
        which, number, index = self.waiting_for
        raise RuntimeError(
            f"DataLoader timed out after {self.timeout} seconds: worker {which} (pid "
            f"{self.processes[which].pid}) has not delivered batch {number}{_brief(index)}"
        )

    def _gone(self, which: int) -> None:
        p = self.processes[which]
        p.join(1.0)
        code = p.exitcode
        how = (
            f"with exit code {code}"
            if code is None or code >= 0
            else f"killed by {_signal_name(-code)}"
        )
        hint = (" (is the machine out of memory?)" if code == -signal.SIGKILL else "")
        where = f", while batch {self.waiting_for[1]} was awaited" if self.waiting_for else ""
        raise RuntimeError(
            f"DataLoader worker (pid(s) {p.pid}) exited unexpectedly: worker {which} ended "
            f"{how}{hint}{where}"
        )

    def close(self) -> None:
        """Ends the workers."""
        self.closed = True
        self.finalizer()


def _brief(index: Any) -> str:
    text = repr(index)
    return "" if index is None else f" (indices {text if len(text) < 80 else text[:77] + '...'})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end(socks: list, processes: list) -> None:
    for s in socks:
        s.close()
    deadline = time.monotonic() + 2.0
    for p in processes:
        p.join(max(0.0, min(deadline - time.monotonic(), 0.2)))
        if p.is_alive():
            p.kill()                # it is fetching a batch that nobody waits for
            p.join(1.0)
    socks.clear()
    processes.clear()
