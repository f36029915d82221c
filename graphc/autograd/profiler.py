"""The older names of graphc.profiler."""

from __future__ import annotations

from typing import Any

from .. import profiler as _profiler
from ..profiler import EventList, FunctionEvent, FunctionEventAvg, record_function


class profile(_profiler.profile):
    """graphc.profiler.profile without a schedule; `enabled=False` profiles nothing."""

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
        experimental_config: Any = None,
        acc_events: bool = False,
        custom_trace_id_callback: Any = None,
    ) -> None:
        super().__init__(record_shapes=record_shapes)
        self.enabled = enabled

    def start(self) -> None:
        if self.enabled:
            super().start()

    def stop(self) -> None:
        if self.enabled:
            super().stop()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """The averages as text."""
        return self.key_averages().table(*args, **kwargs)

    def total_average(self) -> FunctionEventAvg:
        """All events as one entry."""
        return self.events().total_average()

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds in all events."""
        return self.events().self_cpu_time_total

    @property
    def function_events(self) -> EventList:
        """The events."""
        return self.events()


__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "profile", "record_function"]
