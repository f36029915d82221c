"""Recurrent layers: RNN, LSTM, GRU over whole sequences, and their cells for single steps.

Takes (T, B, input) or, with batch_first, (B, T, input), unbatched (T, input), or a PackedSequence.
Invariant: parameters have PyTorch's names and order (weight_ih_l0, weight_hh_l0, bias_ih_l0,
bias_hh_l0, weight_hr_l0, then ..._reverse, then layer 1), so state dicts interchange.
https://docs.pytorch.org/docs/stable/nn.html#recurrent-layers
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

from ...core.tensor import Tensor
from ...creation import empty, zeros
from ...ops import recurrent
from ...ops.gather import cat
from .. import functional as F
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module


def _uniform(module: Module, hidden_size: int) -> None:
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


class RNNBase(Module):
    """What RNN, LSTM and GRU share. mode is "LSTM", "GRU", "RNN_TANH" or "RNN_RELU"."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout = float(dropout) if isinstance(dropout, numbers.Real) else math.nan
        self.bidirectional, self.proj_size = bidirectional, proj_size
        _check_arguments(self, dropout)
        if mode not in recurrent.GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        gates = recurrent.GATES[mode] * hidden_size
        out = proj_size if proj_size > 0 else hidden_size
        directions = 2 if bidirectional else 1
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * directions
            for direction in range(directions):
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                shapes: dict[str, tuple] = {"weight_ih": (gates, width), "weight_hh": (gates, out)}
                if bias:
                    shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
                if proj_size > 0:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    setattr(
                        self, name + suffix, Parameter(empty(shape, device=device, dtype=dtype))
                    )
                self._all_weights.append([name + suffix for name in shapes])
        self.reset_parameters()

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def reset_parameters(self) -> None:
        """Draws all parameters anew from U(-1/sqrt(hidden), 1/sqrt(hidden))."""
        _uniform(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Does nothing: only cuDNN wants the parameters in one piece of memory."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    # ---- one call

    def forward(self, input: Any, hx: Any = None) -> tuple:
        """(output, h_n): output (T, B, directions * H) as the input is laid out, h_n
        (layers * directions, B, H); LSTM takes and gives (h, c) for h.

        hx: the first state, zeros when left out. https://docs.pytorch.org/docs/stable/nn.html"""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        kind = type(self).__name__
        if input.ndim not in (2, 3):
            word = " tensor" if self.mode.startswith("RNN") else ""
            raise ValueError(
                f"{kind}: Expected input to be 2D or 3D, got {input.ndim}D{word} instead"
            )
        batched = input.ndim == 3
        if hx is not None:
            hx = self._checked_rank(hx, batched)
        x = input if batched else input.unsqueeze(0 if self.batch_first else 1)
        if self.batch_first:
            x = x.transpose(0, 1)
        self._check_input(x)
        hx = self._state(hx, x.shape[1], x)
        out, state = self._layers(x, hx, None)
        if self.batch_first:
            out = out.transpose(0, 1)
        if not batched:
            out = out.squeeze(0 if self.batch_first else 1)
            state = tuple([s.squeeze(1) for s in state])
        return out, state if self.mode == "LSTM" else state[0]

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple:
        data, batch_sizes, order, back = input
        self._check_input(data)
        if hx is not None:
            hx = self.permute_hidden(hx, order)
        # batch_sizes never grow, so the first is the batch; it is a size, not a datum, of the state
        batch = hx[0].shape[1] if isinstance(hx, tuple) else hx.shape[1] if hx is not None else None
        if batch is None:
            batch = int(batch_sizes[0])
        hx = self._state(hx, batch, data)
        out, state = self._layers(data, hx, batch_sizes)
        found = state if self.mode == "LSTM" else state[0]
        return PackedSequence(out, batch_sizes, order, back), self.permute_hidden(found, back)

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The state with its batch in another order."""
        if permutation is None:
            return hx
        if isinstance(hx, tuple):
            return tuple([h.index_select(1, permutation) for h in hx])
        return hx.index_select(1, permutation)

    def _layers(self, x: Tensor, hx: tuple, batch_sizes: Any) -> tuple:
        """x through all layers: (output, the last states)."""
        directions = 2 if self.bidirectional else 1
        firsts = [h.unbind(0) for h in hx]
        lasts: list = [[] for _ in hx]
        for layer in range(self.num_layers):
            outs = []
            for direction in range(directions):
                k = layer * directions + direction
                out, *state = self._one(x, [f[k] for f in firsts], k, batch_sizes, bool(direction))
                outs.append(out)
                for kept, s in zip(lasts, state, strict=True):
                    kept.append(s.unsqueeze(0))
            x = outs[0] if directions == 1 else cat(outs, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, True)
        return x, tuple([cat(kept, 0) for kept in lasts])

    def _one(self, x: Tensor, state: list, k: int, batch_sizes: Any, reverse: bool) -> tuple:
        """One layer in one direction: (output, h) or (output, h, c)."""
        weights = [getattr(self, name) for name in self._all_weights[k]]
        w_ih, w_hh = weights[:2]
        b_ih, b_hh = weights[2:4] if self.bias else (None, None)
        if b_hh is not None and self.mode != "GRU":
            # GRU's is multiplied by the reset gate, the others' simply add up
            b_ih, b_hh = b_ih + b_hh, None
        gates = F.linear(x, w_ih, b_ih)
        h0, c0 = state if len(state) == 2 else (state[0], None)
        if self.proj_size > 0:
            sizes = None if batch_sizes is None else batch_sizes.tolist()
            return recurrent.unrolled(
                gates, w_hh, b_hh, h0, c0, sizes, self.mode, reverse, weights[-1]
            )
        out, h, c, _ = recurrent.recurrence(
            gates, w_hh, b_hh, h0, c0, batch_sizes, self.mode, reverse
        )
        return (out, h, c) if c0 is not None else (out, h)

    # ---- checks

    def _check_input(self, x: Tensor) -> None:
        weight = getattr(self, self._all_weights[0][0])
        if x.dtype is not weight.dtype:
            raise ValueError(
                f"RNN input dtype ({x.dtype}) does not match weight dtype ({weight.dtype}). "
                f"Convert input: input.to({weight.dtype}), or convert model: model.to({x.dtype})"
            )
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {x.shape[-1]}"
            )
        if x.shape[0] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")

    def _checked_rank(self, hx: Any, batched: bool) -> Any:
        want, word = (3, "batched 3-D") if batched else (2, "unbatched 2-D")
        if self.mode == "LSTM":
            if not (isinstance(hx, (tuple, list)) and len(hx) == 2):
                raise ValueError(
                    f"LSTM: expected hx to be a pair (h_0, c_0), got {type(hx).__name__}"
                )
            if hx[0].ndim != want or hx[1].ndim != want:
                raise RuntimeError(
                    f"For {word} input, hx and cx should also be {want}-D but got "
                    f"({hx[0].ndim}-D, {hx[1].ndim}-D) tensors"
                )
            return tuple(hx) if batched else tuple([h.unsqueeze(1) for h in hx])
        if hx.dim() != want:
            raise RuntimeError(
                f"For {word} input, hx should also be {want}-D but got {hx.ndim}-D tensor"
            )
        return hx if batched else hx.unsqueeze(1)

    def _state(self, hx: Any, batch: Any, x: Tensor) -> tuple:
        """(h_0,) or (h_0, c_0), checked; zeros for None."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        lstm = self.mode == "LSTM"
        sizes = [(count, batch, self.proj_size or self.hidden_size)]
        if lstm:
            sizes.append((count, batch, self.hidden_size))
        if hx is None:
            return tuple([zeros(s, dtype=x.dtype) for s in sizes])
        hx = tuple(hx) if lstm else (hx,)
        for i, (h, size) in enumerate(zip(hx, sizes, strict=True)):
            if tuple(h.shape) != size:
                word = f"hidden[{i}]" if lstm else "hidden"
                raise RuntimeError(f"Expected {word} size {tuple(size)}, got {list(h.shape)}")
            if h.dtype is not x.dtype:
                raise RuntimeError(
                    "Input and hidden tensors are not the same dtype, found input tensor with "
                    f"{x.dtype.title} and hidden tensor with {h.dtype.title}"
                )
        return hx


def _check_arguments(m: RNNBase, dropout: Any) -> None:
    if (
        not isinstance(dropout, numbers.Number)
        or isinstance(dropout, bool)
        or not 0 <= m.dropout <= 1
    ):
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability "
            "of an element being zeroed"
        )
    if m.dropout > 0 and m.num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so "
            "non-zero dropout expects num_layers greater than 1, but got "
            f"dropout={dropout} and num_layers={m.num_layers}",
            stacklevel=4,
        )
    for name, kind in (("batch_first", bool), ("input_size", int), ("hidden_size", int)):
        value = getattr(m, name)
        if not isinstance(value, kind):
            raise TypeError(
                f"{name} should be of type {kind.__name__}, got: {type(value).__name__}"
            )
    for name in ("input_size", "hidden_size", "num_layers"):
        if getattr(m, name) <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if m.proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if m.proj_size >= m.hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


class RNN(RNNBase):
    """h' = tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh), or relu. Elman 1990.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html"""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        _refuse(kwargs)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(
            "RNN_" + nonlinearity.upper(),
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory; gates in the order input, forget, cell, output.

    proj_size > 0 projects each h to that size. Hochreiter & Schmidhuber 1997, Sak et al. 2014.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html"""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class GRU(RNNBase):
    """Gated recurrent units; gates in the order reset, update, new. Cho et al. 2014.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html"""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        _refuse(kwargs)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )


def _refuse(kwargs: dict) -> None:
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
    if kwargs:
        raise TypeError(
            f"RNNBase.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'"
        )


# ---------------------------------------------------------------- cells


class RNNCellBase(Module):
    """What the cells share: weight_ih, weight_hh, bias_ih, bias_hh."""

    _mode = ""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        made = {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty((rows, input_size), **made))
        self.weight_hh = Parameter(empty((rows, hidden_size), **made))
        if bias:
            self.bias_ih = Parameter(empty(rows, **made))
            self.bias_hh = Parameter(empty(rows, **made))
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew from U(-1/sqrt(hidden), 1/sqrt(hidden))."""
        _uniform(self, self.hidden_size)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else text + f", nonlinearity={nonlinearity}"

    def _step(self, input: Tensor, hx: Any, mode: str) -> tuple:
        """(h', c') of one step, for (B, input) or (input)."""
        kind = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{kind}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        batched = input.ndim == 2
        x = input if batched else input.unsqueeze(0)
        lstm = mode == "LSTM"
        if hx is None:
            h = zeros((x.shape[0], self.hidden_size), dtype=x.dtype)
            states: tuple = (h, h) if lstm else (h,)
        else:
            states = tuple(hx) if lstm else (hx,)
            for i, s in enumerate(states):
                if s.ndim not in (1, 2):
                    word = f"hx[{i}]" if lstm else "hidden"
                    raise ValueError(
                        f"{kind}: Expected {word} to be 1D or 2D, got {s.ndim}D instead"
                    )
            if not batched:
                states = tuple([s.unsqueeze(0) for s in states])
        self._check_sizes(x, states)
        gi = F.linear(x, self.weight_ih, self.bias_ih)
        gh = F.linear(states[0], self.weight_hh, self.bias_hh)
        c = states[1] if lstm else None
        found: tuple = recurrent.cell(mode, gi, gh, states[0], c)
        return found if batched else tuple([None if s is None else s.squeeze(0) for s in found])

    def _check_sizes(self, x: Tensor, states: tuple) -> None:
        if x.shape[1] != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {x.shape[1]} expected {self.input_size}"
            )
        for i, s in enumerate(states):
            if s.shape[0] != x.shape[0]:
                raise RuntimeError(
                    f"Input batch size {x.shape[0]} doesn't match hidden{i} batch size {s.shape[0]}"
                )
            if s.shape[1] != self.hidden_size:
                raise RuntimeError(
                    f"hidden{i} has inconsistent hidden_size: got {s.shape[1]}, "
                    f"expected {self.hidden_size}"
                )


class RNNCell(RNNCellBase):
    """One step of RNN. https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html"""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(input, hx, "RNN_" + self.nonlinearity.upper())[0]


class LSTMCell(RNNCellBase):
    """One step of LSTM: (h', c').
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html"""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        return self._step(input, hx, "LSTM")


class GRUCell(RNNCellBase):
    """One step of GRU. https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html"""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, hx, "GRU")[0]
