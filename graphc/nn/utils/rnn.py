"""Sequences of different lengths: padded to one tensor, or packed step by step.

A PackedSequence holds the rows of step 0 of all sequences, longest first, then those of step 1, and
so on; `batch_sizes[t]` rows at step t. Invariant: packing and padding are single gathers, so
gradients go back to the right rows.
https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.PackedSequence.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.tensor import Tensor
from ...creation import as_tensor, from_numpy, full
from ...ops.gather import cat

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence_(NamedTuple):
    """The fields of a PackedSequence."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(PackedSequence_):
    """Packed sequences: data (rows, *), batch_sizes (steps) as int64 on the CPU, and the
    permutations between the user's order and the sorted one (None: the same).

    Made by pack_padded_sequence and pack_sequence, taken by recurrent layers."""

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be "
                "created manually. They should be instantiated by functions like pack_sequence "
                "and pack_padded_sequences in nn.utils.rnn. "
                "https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Tensor) -> PackedSequence:
        if data is self.data:
            return self
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """As Tensor.to, of `data`."""
        return self._with(self.data.to(*args, **kwargs))

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """On the CPU."""
        return self._with(self.data.cpu())

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """On a GPU; the errors of Tensor.cuda."""
        return self._with(self.data.cuda(*args, **kwargs))

    def pin_memory(self) -> PackedSequence:
        """As Tensor.pin_memory, of `data`."""
        return self._with(self.data.pin_memory())

    def double(self) -> PackedSequence:
        """As float64."""
        return self._with(self.data.double())

    def float(self) -> PackedSequence:
        """As float32."""
        return self._with(self.data.float())

    def half(self) -> PackedSequence:
        """As float16."""
        return self._with(self.data.half())

    def long(self) -> PackedSequence:
        """As int64."""
        return self._with(self.data.long())

    def int(self) -> PackedSequence:
        """As int32."""
        return self._with(self.data.int())

    def short(self) -> PackedSequence:
        """As int16."""
        return self._with(self.data.short())

    def char(self) -> PackedSequence:
        """As int8."""
        return self._with(self.data.char())

    def byte(self) -> PackedSequence:
        """As uint8."""
        return self._with(self.data.byte())

    @property
    def is_cuda(self) -> bool:
        """Whether `data` is on a GPU."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether `data` is in pinned memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """q with q[permutation[i]] = i; None for None."""
    if permutation is None:
        return None
    return permutation.argsort()


def _lengths(lengths: Any) -> list[Any]:
    if isinstance(lengths, Tensor):
        return lengths.tolist()
    return [n.item() if isinstance(n, Tensor) else n for n in lengths]


def _steps(counts: Sequence) -> np.ndarray:
    """batch_sizes of sequences of these lengths, longest first."""
    ends = np.sort(np.asarray(counts, np.int64))
    return len(ends) - np.searchsorted(ends, np.arange(ends[-1]), side="right")


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs (T, B, *), or (B, T, *) with batch_first, of sequences with these lengths (a list or an
    int64 tensor). With enforce_sorted they must come longest first; otherwise they are sorted, and
    the permutation is kept.

    RuntimeError for lengths that are not sorted, not positive, longer than T, or not B many.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html"""
    counts = _lengths(lengths)
    order = None
    if not enforce_sorted:
        # numpy's stable sort of the negated lengths: equal lengths keep their order
        at = np.argsort(-np.asarray(counts, np.int64), kind="stable")
        counts = [counts[i] for i in at]
        order = from_numpy(at)
        input = input.index_select(0 if batch_first else 1, order)
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    rows = input.transpose(0, 1) if batch_first else input
    steps, batch = rows.shape[:2]
    if len(counts) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} "
            f"(batch_size={batch})"
        )
    if any(n <= 0 for n in counts):
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if any(a < b for a, b in zip(counts, counts[1:], strict=False)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    if counts[0] > steps:
        raise RuntimeError(
            f"Expected all lengths to be at most the padded length {steps}, but got {counts[0]}"
        )
    sizes = _steps(counts)
    at = np.concatenate([t * int(batch) + np.arange(n) for t, n in enumerate(sizes)])
    data = rows.reshape(-1, *rows.shape[2:]).index_select(0, from_numpy(at))
    return PackedSequence(data, from_numpy(sizes), order, None)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(padded tensor, lengths): the inverse of pack_padded_sequence.

    total_length pads further; ValueError when it is below the longest length."""
    sizes = np.asarray(sequence.batch_sizes.tolist(), np.int64)
    steps, batch = len(sizes), int(sizes[0])
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, "
                f"but got total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    data = sequence.data
    counts = (sizes[:, None] > np.arange(batch)).sum(0)
    order = np.arange(batch)
    if sequence.unsorted_indices is not None:
        order = np.asarray(sequence.unsorted_indices.tolist(), np.int64)
    rows = len(data)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    at = np.full((steps, batch), rows, np.int64)
    for t, n in enumerate(sizes):
        at[t, :n] = starts[t] + np.arange(n)
    at = at[:, order]
    if batch_first:
        at = at.T
    filler = full((1, *data.shape[1:]), padding_value, dtype=data.dtype)
    padded = cat([data, filler], 0).index_select(
        0, from_numpy(np.ascontiguousarray(at.reshape(-1)))
    )
    return padded.view(*at.shape, *data.shape[1:]), from_numpy(counts[order])


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Stacks tensors (L_i, *) into (T, B, *), or (B, T, *) with batch_first, T the longest; the
    rest is padding_value, after each sequence or (padding_side "left") before it."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    xs = list(sequences.unbind(0) if isinstance(sequences, Tensor) else sequences)
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"Expected padding_side to be one of left or right, but got {padding_side}."
        )
    if not xs:
        raise RuntimeError("received an empty list of sequences")
    longest = max(x.shape[0] for x in xs)
    trailing = tuple(xs[0].shape[1:])
    for x in xs:
        for d, (a, b) in enumerate(zip(trailing, x.shape[1:], strict=False), 1):
            if a != b:
                raise RuntimeError(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                    f"non-singleton dimension {d}"
                )
    parts = []
    for x in xs:
        x = x.to(xs[0].dtype)
        if x.shape[0] < longest:
            filler = full((longest - x.shape[0], *trailing), padding_value, dtype=x.dtype)
            x = cat([filler, x] if padding_side == "left" else [x, filler], 0)
        parts.append(x.unsqueeze(0 if batch_first else 1))
    return cat(parts, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded tensor, each cut to its length: the inverse of pad_sequence."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [x[:n] for x, n in zip(rows.unbind(0), _lengths(lengths), strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs tensors (L_i, *)."""
    lengths = as_tensor([x.shape[0] for x in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The tensors that were packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
