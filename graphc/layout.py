"""`torch.layout` and `torch.memory_format`: names of how tensors lie in memory. Every tensor of
graphc is strided; the others exist so that programs can ask."""

from __future__ import annotations


class _Name:
    """One of a few named constants; equal only to itself."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return "torch." + self.name

    def __reduce__(self) -> str:
        return self.name

    def __deepcopy__(self, memo: dict) -> _Name:
        return self


class layout(_Name):
    """How elements are stored: `graphc.strided` ..."""


class memory_format(_Name):
    """The order of the axes in memory: `graphc.contiguous_format` ..."""


strided, sparse_coo = layout("strided"), layout("sparse_coo")
sparse_csr, sparse_csc = layout("sparse_csr"), layout("sparse_csc")
sparse_bsr, sparse_bsc = layout("sparse_bsr"), layout("sparse_bsc")
jagged = layout("jagged")
contiguous_format, preserve_format = (
    memory_format("contiguous_format"),
    memory_format("preserve_format"),
)
channels_last, channels_last_3d = memory_format("channels_last"), memory_format("channels_last_3d")
legacy_contiguous_format = contiguous_format

NAMES = (
    "layout",
    "memory_format",
    "strided",
    "sparse_coo",
    "sparse_csr",
    "sparse_csc",
    "sparse_bsr",
    "sparse_bsc",
    "jagged",
    "contiguous_format",
    "preserve_format",
    "channels_last",
    "channels_last_3d",
    "legacy_contiguous_format",
)
