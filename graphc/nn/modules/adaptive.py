"""AdaptiveLogSoftmaxWithLoss: a softmax over many classes in clusters by frequency.

Frequent classes stand in the head; each cluster of rare ones is one class of the head and a smaller
softmax of its own. Invariant: predictions and losses are those of the full log-probabilities.
Source: Grave et al. 2017.
https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveLogSoftmaxWithLoss.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...core.tensor import Tensor
from ...ops import pointwise as pw
from ...ops.gather import cat, gather
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class _ASMoutput(NamedTuple):
    """Log-probability of each row's target, and the mean negative of them."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """(N, in_features) or (in_features) and class indices -> (log-probabilities, mean loss).

    cutoffs: where clusters begin; div_value: how much narrower each further cluster's projection
    is. ValueError for cutoffs that do not grow from 1 to n_classes - 1."""

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        made = {"device": device, "dtype": dtype}
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(set(cutoffs))
            or min(cutoffs) <= 0
            or max(cutoffs) > n_classes - 1
            or any(int(c) != c for c in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
                "order, where each value is between 1 and n_classes-1"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            width = int(in_features // div_value ** (i + 1))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **made),
                    Linear(width, size, bias=False, **made),
                )
            )

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        self.head.reset_parameters()
        for cluster in self.tail:
            for layer in cluster:  # type: ignore[attr-defined]
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        """(log-probability of each target, their negative mean)."""
        self._check(input_, target_)
        rows = input_ if input_.ndim == 2 else input_.unsqueeze(0)
        labels = target_ if target_.ndim == 1 else target_.unsqueeze(0)
        head = self.head(rows).log_softmax(1)
        frequent = labels < self.shortlist_size
        # the class or cluster that the head chooses; a cluster's own part is added below
        choice = labels
        parts = None
        for i, layer in enumerate(self.tail):
            low, high = self.cutoffs[i], self.cutoffs[i + 1]
            inside = (labels >= low) & (labels < high)
            choice = pw.where(inside, self.shortlist_size + i, choice)
            at = inside.nonzero().squeeze(1)
            if at.numel() == 0:
                continue
            within = layer(rows.index_select(0, at)).log_softmax(1)
            own = gather(within, (labels.index_select(0, at) - low).unsqueeze(1), 1).squeeze(1)
            if parts is None:
                parts = own.new_zeros(rows.shape[0])
            parts = parts.index_add(0, at, own)
        output = gather(head, choice.unsqueeze(1), 1).squeeze(1)
        if parts is not None:
            output = pw.where(frequent, output, output + parts)
        loss = (-output).mean()
        return _ASMoutput(output if input_.ndim == 2 else output.squeeze(0), loss)

    def _check(self, input: Tensor, target: Tensor) -> None:
        if target.ndim == 1:
            if input.shape[0] != target.shape[0]:
                raise RuntimeError(
                    "Input and target should have the same size in the batch dimension."
                )
            if input.ndim != 2:
                raise RuntimeError(
                    "1D target tensor expects 2D input tensors, but found inputs with size "
                    f"{input.shape}"
                )
        elif target.ndim == 0:
            if input.ndim != 1:
                raise RuntimeError(
                    "0D target tensor expects 1D input tensors, but found inputs with size "
                    f"{input.shape}"
                )
        else:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target.numel() and bool(((target < 0) | (target >= self.n_classes)).any()):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{target.min().item()}, {target.max().item()}] were found. "
            )

    def _get_full_log_prob(self, input: Tensor, head_output: Tensor) -> Tensor:
        head = head_output.log_softmax(1)
        parts = [head[:, : self.shortlist_size]]
        for i, layer in enumerate(self.tail):
            cluster = head[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(layer(input).log_softmax(1) + cluster)
        return cat(parts, 1)

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all classes, (N, n_classes)."""
        return self._get_full_log_prob(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row, (N): clusters are looked into only for rows whose
        head chooses one."""
        head = self.head(input)
        output = head.argmax(1)
        rare = output >= self.shortlist_size
        if not bool(rare.any()):
            return output
        if bool(rare.all()):
            return self._get_full_log_prob(input, head).argmax(1)
        at = rare.nonzero().squeeze(1)
        found = self._get_full_log_prob(input.index_select(0, at), head.index_select(0, at))
        return output.index_copy(0, at, found.argmax(1))
