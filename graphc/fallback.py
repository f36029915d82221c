"""What runs where a function cannot be captured: takes the modules that it can reach, gives a run
of the function in plain Python in which calls of those modules are compiled.

A module that cannot be captured either does the same with the modules below it. Invariant: the
user's modules are not touched; the compiled versions are found through `STATE.stand_in` while the
function runs, and only by calls that plain Python would make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .compiler.capture.kinds import is_module, walk_modules
from .core import observe
from .core.modes import STATE


class Parts:
    """The compiled versions of the modules that one eager function calls, made when they are
    called. make: module -> a compiled callable."""

    def __init__(self, make: Callable[[Any], Any]):
        self.make = make
        self.roots: list = []
        self.compiled: dict[int, Any] = {}  # id(module) -> what serves its calls
        self._reachable: dict[int, Any] = {}
        self._epoch = -1

    def reach(self, modules: Iterable) -> None:
        """Adds modules that the function reaches; those below them count, too."""
        for m in modules:
            if id(m) not in self._reachable:
                self.roots.append(m)
                self._reachable.update((id(x), x) for x in walk_modules(m))

    def run(self, fn: Callable, args: tuple, kwargs: dict) -> Any:
        """fn(*args, **kwargs), with compiled modules inside it."""
        entering = fn if is_module(fn) else None

        def stand_in(module: Any) -> Any:
            nonlocal entering
            if module is entering:  # the call that is to run in Python; a recursive one is not
                entering = None
                return None
            return self.of(module)

        with standing_in(stand_in):
            return fn(*args, **kwargs)

    def of(self, module: Any) -> Any:
        """What serves calls of module: None when it is to run as it is."""
        if id(module) not in self._reachable and observe.epoch[0] != self._epoch:
            self._look_again()
        if id(module) not in self._reachable:  # made by the function itself, perhaps for one call
            return None
        if id(module) not in self.compiled:
            self.compiled[id(module)] = self.make(module)
        return self.compiled[id(module)]

    def _look_again(self) -> None:
        """Modules were added, replaced or removed: forgets those that are gone."""
        self._epoch = observe.epoch[0]
        self._reachable = {id(m): m for root in self.roots for m in walk_modules(root)}
        self.compiled = {k: v for k, v in self.compiled.items() if k in self._reachable}

    def named(self) -> list[tuple[str, Any]]:
        """(path from a root, what serves it) of the modules that were called."""
        found: list[tuple[str, Any]] = []
        for root in self.roots:
            for name, m in root.named_modules():
                made = self.compiled.get(id(m))
                if made is not None and all(made is not other for _, other in found):
                    found.append((f"{name or 'itself'} ({type(m).__name__})", made))
        return found


class standing_in:
    """`with standing_in(f):` calls of modules in this thread ask f first; None: nobody is asked."""

    __slots__ = ("now", "before")

    def __init__(self, f: Callable[[Any], Any] | None):
        self.now = f

    def __enter__(self) -> None:
        self.before, STATE.stand_in = STATE.stand_in, self.now

    def __exit__(self, *exc: Any) -> None:
        STATE.stand_in = self.before
