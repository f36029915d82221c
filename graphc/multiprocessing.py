"""Python's multiprocessing under torch.multiprocessing's name, with spawn(). Tensors that go to
another process are copied: graphc has no shared memory for them.
https://docs.pytorch.org/docs/stable/multiprocessing.html"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterable
from multiprocessing import *  # noqa: F403
from typing import Any

_STRATEGIES = {"file_system", "file_descriptor"}
_strategy = ["file_descriptor"]


def get_all_sharing_strategies() -> set:
    """The names that set_sharing_strategy() takes."""
    return set(_STRATEGIES)


def get_sharing_strategy() -> str:
    """The setting of set_sharing_strategy()."""
    return _strategy[0]


def set_sharing_strategy(new_strategy: str) -> None:
    """Keeps the setting; tensors are copied either way. ValueError for unknown names."""
    if new_strategy not in _STRATEGIES:
        raise ValueError(f"unknown sharing strategy {new_strategy!r}")
    _strategy[0] = new_strategy


class ProcessException(Exception):  # noqa: N818  (PyTorch's name)
    """A process ended in another way than by returning."""

    def __init__(self, msg: str, error_index: int, pid: int):
        super().__init__(msg)
        self.msg, self.error_index, self.pid = msg, error_index, pid


class ProcessRaisedException(ProcessException):
    """A process raised; the message holds its traceback."""


class ProcessExitedException(ProcessException):
    """A process ended with another code than 0."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int):
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code


def _run(fn: Callable, i: int, args: tuple, errors: Any) -> None:
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass
    except Exception:
        errors.put((i, traceback.format_exc()))
        raise SystemExit(1) from None


class ProcessContext:
    """The processes that spawn() started."""

    def __init__(self, processes: list, errors: Any):
        self.processes, self._errors = processes, errors

    def pids(self) -> list:
        """Their process ids."""
        return [p.pid for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Waits for all of them (or for timeout seconds each); whether all have ended. Raises for
        one that failed, after ending the others."""
        for i, p in enumerate(self.processes):
            p.join(timeout)
            if p.exitcode in (None, 0):
                continue
            for other in self.processes:
                if other.is_alive():
                    other.terminate()
                    other.join(grace_period)
            if not self._errors.empty():
                at, text = self._errors.get()
                raise ProcessRaisedException(
                    f"\n\n-- Process {at} terminated with the following error:\n{text}",
                    at,
                    self.processes[at].pid,
                )
            raise ProcessExitedException(
                f"process {i} terminated with exit code {p.exitcode}", i, p.pid, p.exitcode
            )
        return all(p.exitcode == 0 for p in self.processes)


def start_processes(
    fn: Callable,
    args: Iterable = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Runs fn(i, *args) in nprocs processes. join: waits for them; else gives a ProcessContext."""
    context: Any = multiprocessing.get_context(start_method)
    errors = context.SimpleQueue()
    processes = [
        context.Process(target=_run, args=(fn, i, tuple(args), errors), daemon=daemon)
        for i in range(nprocs)
    ]
    for p in processes:
        p.start()
    started = ProcessContext(processes, errors)
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(
    fn: Callable,
    args: Iterable = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """start_processes() by Python's spawn."""
    return start_processes(fn, args, nprocs, join, daemon, start_method="spawn")
