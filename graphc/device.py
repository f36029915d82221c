"""Devices: `device("cpu")` objects, and the one check that names what is missing for the others."""

from __future__ import annotations

from typing import Any


class device:
    """Where a tensor lives, as `torch.device`: type and index."""

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None):
        if isinstance(type, device):
            type, index = type.type, type.index
        name, _, number = str(type).partition(":")
        if name not in ("cpu", "cuda", "mps", "xpu", "meta"):
            raise RuntimeError(
                "Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, "
                "fpga, maia, xla, lazy, vulkan, mps, meta, hpu, mtia, privateuseone device type "
                f"at start of device string: {name}"
            )
        self.type = name
        self.index = int(number) if number else index

    def __repr__(self) -> str:
        at = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{at})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            other = device(other)
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple:
        return (device, (self.type, self.index))


CPU = device("cpu")


def check_device(d: Any) -> None:
    """RuntimeError, saying what is missing, for any device but the CPU."""
    if d is None or d is CPU:
        return
    kind = device(d).type
    if kind == "cuda":
        raise RuntimeError(
            'device "cuda": this version of graphc computes on the CPU only; '
            "graphc.cuda.is_available() is False"
        )
    if kind != "cpu":
        raise RuntimeError(f'device {kind!r} is not supported by graphc; use "cpu"')
