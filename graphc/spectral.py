"""Windows and short-time Fourier transforms in the top-level namespace: hann_window ... stft,
istft. Written in ops over `graphc.fft`. Source:
https://pytorch.org/docs/stable/torch.html#spectral-ops"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from . import fft as fft_room
from . import functional
from .base import dtypes
from .base.dtypes import DType
from .core.tensor import Tensor
from .ops import complex_parts, movement
from .signal.windows import cosines, kaiser_values, made

# ---------------------------------------------------------------- windows


def _values(name: str, length: int, dtype: DType | None, values: Any) -> np.ndarray:
    if length < 0:
        raise RuntimeError(
            f"{name} requires non-negative window_length, got window_length={length}"
        )
    d = dtype or dtypes.get_default_dtype()
    if not (d.is_floating_point or d.is_complex):
        raise RuntimeError(
            f"{name} expects floating point dtypes, got: TensorOptions("
            f"dtype={dtypes.c_name(d)}, device=cpu, layout=Strided (default), "
            "requires_grad=false (default), pinned_memory=false, memory_format=(nullopt))"
        )
    return np.ones(length) if length < 2 else values()


def hann_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """0.5 - 0.5 cos t over one period; periodic=False repeats the first point at the end."""
    a = _values(
        "hann_window",
        window_length,
        dtype,
        lambda: cosines(window_length, not periodic, (0.5, 0.5)),
    )
    return made(a, dtype, device, requires_grad)


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """alpha - beta cos t over one period."""
    a = _values(
        "hamming_window",
        window_length,
        dtype,
        lambda: cosines(window_length, not periodic, (alpha, beta)),
    )
    return made(a, dtype, device, requires_grad)


def blackman_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """0.42 - 0.5 cos t + 0.08 cos 2t over one period."""
    a = _values(
        "blackman_window",
        window_length,
        dtype,
        lambda: np.maximum(cosines(window_length, not periodic, (0.42, 0.5, 0.08)), 0),
    )
    return made(a, dtype, device, requires_grad)


def bartlett_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """A triangle from 0 to 1 and back over one period."""

    def values() -> np.ndarray:
        n = window_length if periodic else window_length - 1
        return 1 - np.abs(2 * np.arange(window_length) / n - 1)

    return made(
        _values("bartlett_window", window_length, dtype, values), dtype, device, requires_grad
    )


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Kaiser's window of shape beta."""
    a = _values(
        "kaiser_window",
        window_length,
        dtype,
        lambda: kaiser_values(window_length, not periodic, float(beta)),
    )
    return made(a, dtype, device, requires_grad)


# ---------------------------------------------------------------- short-time transforms


def _describe(name: str, x: Tensor, **options: Any) -> str:
    def show(v: Any) -> str:
        if isinstance(v, Tensor):
            return f"torch.{v.dtype.title}Tensor{{{list(v.shape)}}}"
        return str(int(v)) if isinstance(v, bool) else str(v)

    listed = ", ".join(f"{k}={show(v)}" for k, v in options.items())
    kind = f"CPU{x.dtype.title}Type" if name == "istft" else f"torch.{x.dtype.title}Tensor"
    return f"{name}({kind}{list(x.shape)}, {listed}) : "


def _padded(x: Tensor, pad: int, mode: str) -> Tensor:
    """The last axis with `pad` more elements on both sides."""
    n = x.shape[-1]
    if mode == "constant":
        zero = x.new_zeros((*x.shape[:-1], pad))  # type: ignore[attr-defined]
        return functional.cat([zero, x, zero], -1)
    if mode == "replicate":
        sides = [x.narrow(-1, at, 1).expand((*x.shape[:-1], pad)) for at in (0, n - 1)]  # type: ignore
        return functional.cat([sides[0], x, sides[1]], -1)
    if mode == "circular":
        return functional.cat([x.narrow(-1, n - pad, pad), x, x.narrow(-1, 0, pad)], -1)  # type: ignore
    if mode != "reflect":
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if pad >= n:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but "
            f"got: padding ({pad}, {pad}) at dimension 2 of input {[1, *x.shape][-3:]}"
        )
    left = x.narrow(-1, 1, pad).flip(-1)  # type: ignore[attr-defined]
    right = x.narrow(-1, n - 1 - pad, pad).flip(-1)  # type: ignore[attr-defined]
    return functional.cat([left, x, right], -1)


def _centred(window: Tensor, n: int) -> Tensor:
    """window with zeros on both sides, n points long."""
    left = (n - window.shape[0]) // 2
    right = n - window.shape[0] - left
    return functional.cat(
        [window.new_zeros((left,)), window, window.new_zeros((right,))]  # type: ignore
    )


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """The Fourier transforms of windowed pieces of n_fft samples, hop_length apart:
    [..., samples] -> [..., frequencies, pieces]."""
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    if window is None:
        warnings.warn(
            "A window was not provided. A rectangular window will be applied,which is known to "
            "cause spectral leakage. Other windows such as torch.hann_window or "
            "torch.hamming_window are recommended to reduce spectral leakage.To suppress this "
            "warning and use a rectangular window, explicitly set `window=torch.ones(n_fft, "
            "device=<device>)`.",
            UserWarning,
            stacklevel=2,
        )
    if return_complex is None:
        if not (input.dtype.is_complex or window is not None and window.dtype.is_complex):
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will "
                "further require that return_complex=True in a future PyTorch release."
            )
        return_complex = True
    x = input
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false.")
    if center:
        if not 1 <= input.ndim <= 2:
            raise RuntimeError(
                _describe("stft", x, n_fft=n_fft) + "expected a 1D or 2D tensor, but got "
                f"{input.ndim}D tensor"
            )
        x = _padded(input, n_fft // 2, pad_mode)
    about = _describe(
        "stft",
        x,
        n_fft=n_fft,
        hop_length=hop,
        win_length=width,
        window=window,
        normalized=normalized,
        onesided=onesided,
        return_complex=return_complex,
        align_to_window=align_to_window,
    )
    if not (input.dtype.is_floating_point or input.dtype.is_complex):
        raise RuntimeError(about + "expected a tensor of floating point or complex values")
    if not 1 <= input.ndim <= 2:
        raise RuntimeError(about + "expected a 1D or 2D tensor")
    n = x.shape[-1]
    if not 0 < n_fft <= n:
        raise RuntimeError(about + f"expected 0 < n_fft < {n}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(about + f"expected hop_length > 0, but got hop_length={hop}")
    if not 0 < width <= n_fft:
        raise RuntimeError(about + f"expected 0 < win_length <= n_fft, but got win_length={width}")
    if window is not None and (window.ndim != 1 or window.shape[0] != width):
        raise RuntimeError(
            about + f"expected a 1D window tensor of size equal to win_length={width}, but got "
            f"window with size {list(window.shape)}"
        )
    pieces = x.unfold(-1, n_fft, hop)  # type: ignore[attr-defined]
    if window is not None or width < n_fft:
        w = window if window is not None else x.new_ones((width,))  # type: ignore[attr-defined]
        pieces = pieces * _centred(w, n_fft)
    whole = pieces.dtype.is_complex
    if onesided is None:
        onesided = not whole
    if onesided and whole:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    norm = "ortho" if normalized else None
    y = (fft_room.rfft if onesided else fft_room.fft)(pieces, norm=norm)
    y = movement.swap(y, -2, -1)
    return y if return_complex else complex_parts.view_as_real(y)


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The inverse of stft: pieces added where they overlap, divided by the windows' squares."""
    hop = n_fft // 4 if hop_length is None else hop_length
    width = n_fft if win_length is None else win_length
    about = _describe(
        "istft",
        input,
        n_fft=n_fft,
        hop_length=hop,
        win_length=width,
        window=window,
        center=center,
        normalized=normalized,
        onesided=onesided,
        length=length,
        return_complex=return_complex,
    )
    if not input.dtype.is_complex:
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    if input.numel() == 0:  # type: ignore[attr-defined]
        raise RuntimeError(about + "input tensor cannot be empty.")
    if input.ndim not in (2, 3):
        raise RuntimeError(
            about + "expected a tensor with 2 or 3 dimensions, but got " + str(input.ndim)
        )
    onesided = input.shape[-2] != n_fft if onesided is None else onesided
    want = n_fft // 2 + 1 if onesided else n_fft
    if input.shape[-2] != want:
        side = "n_fft / 2 + 1" if onesided else "n_fft"
        raise RuntimeError(
            about + f"expected the frequency dimension (3rd to the last) of the input tensor to "
            f"match {side} when onesided={onesided}, but got {input.shape[-2]}"
        )
    if not 0 < hop <= width:
        raise RuntimeError(about + "expected 0 < hop_length <= win_length")
    if not 0 < width <= n_fft:
        raise RuntimeError(about + "expected 0 < win_length <= n_fft")
    if window is not None and (window.ndim != 1 or window.shape[0] != width):
        raise RuntimeError(
            about + "Invalid window shape. window has to be 1D and length of `win_length`"
        )
    real = input.dtype.to_real()
    w = window if window is not None else input.real.new_ones((width,), dtype=real)  # type: ignore
    w = _centred(w, n_fft)
    z = input if input.ndim == 3 else input.unsqueeze(0)  # type: ignore[attr-defined]
    z = movement.swap(z, 1, 2)  # [batch, pieces, frequencies]
    norm = "ortho" if normalized else None
    if return_complex:
        y = fft_room.ifft(z, norm=norm)
    else:
        kept = z if onesided else functional.narrow(z, 2, 0, n_fft // 2 + 1)
        y = fft_room.irfft(kept, n_fft, norm=norm)
    batch, count = y.shape[:2]
    total = n_fft + hop * (count - 1)
    places = _places(count, n_fft, hop)

    def added(t: Tensor) -> Tensor:
        flat = t.reshape((t.shape[0], -1))  # type: ignore[attr-defined]
        zero = flat.new_zeros((t.shape[0], total))
        return functional.index_add(zero, 1, places, flat)

    signal = added(y * w)
    envelope = added((w * w).expand((1, count, n_fft)))  # type: ignore[attr-defined]
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - start if center else total
    stop = min(end, total)
    signal = functional.narrow(signal, 1, start, stop - start)
    envelope = functional.narrow(envelope, 1, start, stop - start)
    low = envelope.abs()._array  # type: ignore[attr-defined]
    if low is not None and low.size and float(low.min()) <= 1e-11:
        raise RuntimeError(about + "window overlap add min: 1")
    signal = signal / envelope
    if end > total:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded "
            "with zeros in the tail. Please check your center and hop_length settings.",
            UserWarning,
            stacklevel=2,
        )
        tail = signal.new_zeros((batch, end - total))  # type: ignore[attr-defined]
        signal = functional.cat([signal, tail], 1)
    return signal if input.ndim == 3 else signal.squeeze(0)  # type: ignore[attr-defined]


def _places(count: int, n_fft: int, hop: int) -> Tensor:
    from .creation import arange

    rows = arange(count).unsqueeze(1) * hop + arange(n_fft).unsqueeze(0)  # type: ignore
    return rows.reshape((-1,))


FUNCTIONS = (
    "hann_window",
    "hamming_window",
    "blackman_window",
    "bartlett_window",
    "kaiser_window",
    "stft",
    "istft",
)
METHODS = ("stft", "istft")
INPLACE = ()
