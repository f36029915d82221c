"""Every environment variable that graphc reads, in one table, read once at import.

Takes `os.environ`, gives the `config` object; the fields of `Config` are the table: attribute,
variable, default, meaning. No other module reads a GRAPHC_ variable, and a value that cannot be
read raises `ValueError` with the variable's name. The attributes may be changed while running;
those marked "at start" count only until the native library is first used.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any


def _boolean(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("expected 0 or 1")


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isdecimal() and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"expected a whole number from {low} to {high}")

    return parse


def _variable(name: str, default: Any, parse: Callable[[str], Any], doc: str) -> Any:
    return field(default=default, metadata={"name": name, "parse": parse, "doc": doc})


@dataclass
class Config:
    """The settings of this process; `table()` lists them with their values."""

    debug: int = _variable(
        "GRAPHC_DEBUG", 0, _integer(0, 6),
        "what to print: 1 captures and recompiles with the reason, 2 kernels, and at exit their "
        "times, 3 the graph after each pass, 4 loop text, 5 source, 6 compiler command lines",
    )  # fmt: skip
    check: bool = _variable(
        "GRAPHC_CHECK", False, _boolean,
        "shadow mode: every compiled call also runs eagerly and the bits are compared",
    )  # fmt: skip
    native: bool = _variable(
        "GRAPHC_NATIVE", True, _boolean,
        "0 computes with numpy alone and compiles nothing (at start)",
    )  # fmt: skip
    num_threads: int = _variable(
        "GRAPHC_NUM_THREADS", 0, _integer(0, 4096),
        "threads of the native kernels (at start); 0 is one per core this process may use",
    )  # fmt: skip
    cc: str = _variable(
        "GRAPHC_CC", "", str,
        "C compiler command, with arguments if need be; before $CC, cc, gcc, clang, ziglang",
    )  # fmt: skip
    cache_dir: str = _variable(
        "GRAPHC_CACHE_DIR", "", str,
        "folder of built libraries and programs; the user's cache folder if empty (at start)",
    )  # fmt: skip
    cache_mb: int = _variable(
        "GRAPHC_CACHE_MB", 1024, _integer(1, 1 << 20),
        "size of that folder in MB; beyond it the entries unused for longest are deleted",
    )  # fmt: skip

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Config":
        """Settings from `environ`; an unset or empty variable keeps its default."""
        values = {}
        for entry in fields(cls):
            name = entry.metadata["name"]
            text = environ.get(name, "").strip()
            if text:
                try:
                    values[entry.name] = entry.metadata["parse"](text)
                except ValueError as error:
                    raise ValueError(f"environment variable {name}={text}: {error}") from None
        return cls(**values)

    def table(self) -> list[tuple[str, Any, Any, str]]:
        """Rows (variable, value now, default, meaning) for `graphc.info()` and the docs."""
        rows = []
        for entry in fields(self):
            name, doc = entry.metadata["name"], entry.metadata["doc"]
            rows.append((name, getattr(self, entry.name), entry.default, doc))
        return rows


config = Config.read(os.environ)
