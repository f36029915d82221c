"""Where time goes: takes a region of code, gives the operations that ran in it with their counts
and times, as a table and as a Chrome trace.

One event is an eager operation, the backward of one (its name with "Backward"), a run of a compiled
program, or a range that the user named. Invariant: what is profiled gives the results that it gives
unprofiled; times are wall-clock times of this thread on the CPU.
https://docs.pytorch.org/docs/stable/profiler.html
"""

from __future__ import annotations

import functools
import json
import os
import socket
import time
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from ..core.modes import STATE
from ..core.nonfinite import Watch
from ..core.tensor import Tensor


class ProfilerActivity(Enum):
    """What is profiled: the CPU; there is nothing else to look at."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class DeviceType(Enum):
    """Where an event ran."""

    CPU = 0
    CUDA = 1


class ProfilerAction(Enum):
    """What a step of a schedule does."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set:
    """{ProfilerActivity.CPU}."""
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
    """False: graphc measures by itself."""
    return False


def schedule(
    *,
    wait: int,
    warmup: int,
    active: int,
    repeat: int = 0,
    skip_first: int = 0,
    skip_first_wait: int = 0,
) -> Callable[[int], ProfilerAction]:
    """step -> action: skip_first steps of nothing, then cycles of wait, warmup and active steps,
    the last of which hands its trace over; repeat: how many cycles (0: without end)."""
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError(
            "Invalid profiler schedule arguments. Parameters wait, warmup, skip_first and repeat "
            "must be >= 0 and active must be > 0"
        )
    length = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        if skip_first_wait:
            step += wait
        if repeat and step // length >= repeat:
            return ProfilerAction.NONE
        at = step % length
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable:
    """An on_trace_ready that writes each trace as a file into dir_name."""

    def handle(prof: Any) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(os.path.join(dir_name, name))

    return handle


# ---------------------------------------------------------------- events


class FunctionEvent:
    """One event: name, start and end in microseconds, shapes of its inputs."""

    def __init__(self, name: str, start: int, end: int, children: int, shapes: Any, user: bool):
        self.name = self.key = name
        self.start_ns, self.end_ns, self.children_ns = start, end, children
        self.input_shapes = shapes
        self.is_user_annotation = user
        self.count = 1

    @property
    def cpu_time_total(self) -> float:
        """Microseconds from start to end."""
        return (self.end_ns - self.start_ns) / 1000

    cpu_time = cpu_time_total

    @property
    def self_cpu_time_total(self) -> float:
        """cpu_time_total without the events inside."""
        return (self.end_ns - self.start_ns - self.children_ns) / 1000

    def __repr__(self) -> str:
        return f"<FunctionEvent name={self.name} cpu_time={self.cpu_time_total:.3f}us>"


class FunctionEventAvg:
    """Events of one name together."""

    def __init__(self, key: str, shapes: Any = None):
        self.key, self.input_shapes = key, shapes
        self.count, self.cpu_time_total, self.self_cpu_time_total = 0, 0.0, 0.0
        self.is_user_annotation = False

    def add(self, other: Any) -> FunctionEventAvg:
        self.count += other.count
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        self.is_user_annotation |= other.is_user_annotation
        return self

    @property
    def cpu_time(self) -> float:
        """The mean in microseconds."""
        return self.cpu_time_total / self.count if self.count else 0.0

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={_time(self.self_cpu_time_total)} "
            f"cpu_time={_time(self.cpu_time)}>"
        )


def _time(us: float) -> str:
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


class EventList(list):
    """Events, or their averages."""

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds in all of them."""
        return sum(e.self_cpu_time_total for e in self)

    def key_averages(self, group_by_input_shapes: bool = False) -> EventList:
        """One entry per name (and shapes of the inputs)."""
        found: dict[Any, FunctionEventAvg] = {}
        for e in self:
            shapes = e.input_shapes if group_by_input_shapes else None
            key = (e.key, str(shapes))
            found.setdefault(key, FunctionEventAvg(e.key, shapes)).add(e)
        return EventList(found.values())

    def total_average(self) -> FunctionEventAvg:
        """All of them as one entry."""
        total = FunctionEventAvg("Total")
        for e in self:
            total.add(e)
        return total

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """The events as text, sorted by cpu_time_total, self_cpu_time_total, cpu_time or count."""
        rows = list(self)
        if sort_by is not None:
            field = sort_by.replace("cuda", "cpu").replace("device", "cpu")
            if not rows or hasattr(rows[0], field):
                rows.sort(key=lambda e: getattr(e, field), reverse=True)
        total = self.self_cpu_time_total or 1.0
        width = max([len(e.key) for e in rows] + [4])
        width = min(width, max_name_column_width)
        shapes = any(e.input_shapes is not None for e in rows)
        heads = ["Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls"]
        line = "-" * width + "  " + "  ".join(["-" * 12] * len(heads))
        out = [line, "Name".rjust(width) + "  " + "  ".join(h.rjust(12) for h in heads), line]
        if shapes:
            out[1] += "  Input Shapes"
        for e in rows[:row_limit]:
            cells = [
                f"{100 * e.self_cpu_time_total / total:.2f}%",
                _time(e.self_cpu_time_total),
                f"{100 * e.cpu_time_total / total:.2f}%",
                _time(e.cpu_time_total),
                _time(e.cpu_time),
                str(e.count),
            ]
            text = e.key[:width].rjust(width) + "  " + "  ".join(c.rjust(12) for c in cells)
            out.append(text + (f"  {e.input_shapes or ''}" if shapes else ""))
        out += [line, f"Self CPU time total: {_time(self.self_cpu_time_total)}", ""]
        return "\n".join(([header] if header else []) + out)

    def export_chrome_trace(self, path: str) -> None:
        """Writes the events as a Chrome trace; compressed where path ends in .gz."""
        events = [
            {
                "name": e.name,
                "ph": "X",
                "ts": e.start_ns / 1000,
                "dur": e.cpu_time_total,
                "tid": 0,
                "pid": os.getpid(),
                "cat": "user_annotation" if e.is_user_annotation else "cpu_op",
                "args": {} if e.input_shapes is None else {"Input Dims": e.input_shapes},
            }
            for e in self
        ]
        text = json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})
        if str(path).endswith(".gz"):
            import gzip

            with gzip.open(path, "wt") as g:
                g.write(text)
            return
        with open(path, "w") as f:
            f.write(text)

    def __str__(self) -> str:
        return self.table()


class _Timer(Watch):
    """The watch that notes when each operation ran."""

    def __init__(self, shapes: bool):
        super().__init__()
        self.shapes = shapes
        self.events: list[FunctionEvent] = []
        self.open: list[int] = []  # per range that is open: time of the events inside

    def note(
        self, name: str, start: int, inputs: Any = None, inside: int = 0, user: bool = False
    ) -> None:
        """An event from `start` to now."""
        end = time.perf_counter_ns()
        shapes = None
        if self.shapes and inputs is not None:
            shapes = [list(t.shape) if isinstance(t, Tensor) else [] for t in inputs]
        self.events.append(FunctionEvent(name, start, end, inside, shapes, user))
        if self.open:
            self.open[-1] += end - start

    def ran(self, op: Any, inputs: tuple, attrs: tuple, out: Any) -> None:
        self.note(op.name, self.since, inputs)

    def differentiated(self, entry: Any, grads: Any, results: Any) -> None:
        self.note(entry.name(), self.since, grads)

    def program(self, graph: Any, program: Any) -> Any:
        return _TimedProgram(self, program)


class _TimedProgram:
    """A compiled program whose runs are events."""

    def __init__(self, timer: _Timer, program: Any):
        self.timer, self.inner = timer, program

    def call(self, *args: Any) -> Any:
        start = time.perf_counter_ns()
        try:
            return self.inner.call(*args)
        finally:
            self.timer.note("compiled program", start)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class record_function:
    """A range with a name, as context manager or decorator: an event of the profile around it."""

    def __init__(self, name: str, args: str | None = None):
        self.name, self.args = name, args
        self.started: list[int] = []

    def __enter__(self) -> record_function:
        watch = STATE.watch
        if isinstance(watch, _Timer):
            watch.open.append(0)
        self.started.append(time.perf_counter_ns())
        return self

    def __exit__(self, *exc: Any) -> None:
        start, watch = self.started.pop(), STATE.watch
        if isinstance(watch, _Timer) and watch.open:
            watch.note(self.name, start, inside=watch.open.pop(), user=True)

    def __call__(self, fn: Callable) -> Callable:
        @functools.wraps(fn)
        def within(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return fn(*args, **kwargs)

        return within


class profile:
    """Profiles what runs inside, in this thread.

    activities: ProfilerActivity.CPU is all there is, others are passed over. schedule: what each
    step() starts (see `schedule`); on_trace_ready(profile) is called when a trace is complete.
    record_shapes: notes shapes. profile_memory, with_stack, with_flops and with_modules are
    accepted and note nothing.
    https://docs.pytorch.org/docs/stable/profiler.html#torch.profiler.profile"""

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
        custom_trace_id_callback: Callable[[], str] | None = None,
    ) -> None:
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.record_shapes, self.acc_events = record_shapes, acc_events
        self.step_num = 0
        self._timer = _Timer(record_shapes)
        self._before: Any = None
        self._on = False
        self._step: record_function | None = None

    def _action(self) -> ProfilerAction:
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(self.step_num)

    def start(self) -> None:
        """Begins, as entering does."""
        self._before = STATE.watch
        self._begin_step()

    def stop(self) -> None:
        """Ends, as leaving does; hands an unfinished trace over."""
        recording = self._on
        self._end_step()
        STATE.watch = self._before
        if recording and self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def _begin_step(self) -> None:
        recording = self._action() in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if recording and not self._on and not self.acc_events:
            self._timer = _Timer(self.record_shapes)
        self._on = recording
        STATE.watch = self._timer if recording else self._before
        if recording and self.schedule is not None:
            self._step = record_function(f"ProfilerStep#{self.step_num}")
            self._step.__enter__()

    def _end_step(self) -> None:
        if self._step is not None:
            self._step.__exit__()
            self._step = None

    def step(self) -> None:
        """Says that a step of the schedule is over."""
        self._end_step()
        save = self._on and self._action() is ProfilerAction.RECORD_AND_SAVE
        self.step_num += 1
        if save:
            STATE.watch = self._before
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)
            self._on = False
        self._begin_step()

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.stop()

    def events(self) -> EventList:
        """The events, in the order in which they ended."""
        return EventList(self._timer.events)

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
    ) -> EventList:
        """One entry per name (and shapes of the inputs)."""
        return self.events().key_averages(group_by_input_shape)

    def export_chrome_trace(self, path: str) -> None:
        """Writes the events as a Chrome trace; compressed where path ends in .gz."""
        self.events().export_chrome_trace(path)


__all__ = [
    "DeviceType",
    "ProfilerAction",
    "ProfilerActivity",
    "kineto_available",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]
