"""Fourier transforms against their definition, numpy and finite differences; windows and
short-time transforms against their inverses."""

import math

import numpy as np
import pytest

import graphc as torch
from graphc.autograd import gradcheck, gradgradcheck

F = torch.fft
RNG = np.random.default_rng(0)
REAL = RNG.standard_normal((3, 4))
COMPLEX = REAL + 1j * RNG.standard_normal((3, 4))


def test_the_definition():
    x = COMPLEX[0]
    k = np.arange(4)
    want = (x * np.exp(-2j * np.pi * np.outer(k, k) / 4)).sum(1)
    assert np.allclose(F.fft(torch.tensor(x)).numpy(), want, rtol=1e-14)


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_numpy(name, norm):
    x = REAL if name in ("rfft", "ihfft") else COMPLEX
    for n in (None, 3, 7):
        got = getattr(F, name)(torch.tensor(x), n=n, norm=norm).numpy()
        assert np.allclose(got, getattr(np.fft, name)(x, n=n, norm=norm), rtol=1e-12, atol=1e-13)
    single = getattr(F, name)(torch.tensor(x).to(torch.float32 if x is REAL else torch.complex64))
    assert single.dtype in (torch.float32, torch.complex64)


CASES = {
    "fft": (lambda a: F.fft(a, 6), COMPLEX),
    "ifft": (lambda a: F.ifft(a, 3), COMPLEX),
    "rfft": (F.rfft, REAL),
    "rfft5": (lambda a: F.rfft(a, 5), REAL),
    "irfft": (F.irfft, COMPLEX),
    "irfft5": (lambda a: F.irfft(a, 5), COMPLEX),
    "hfft": (F.hfft, COMPLEX),
    "ihfft": (F.ihfft, REAL),
    "fft2": (lambda a: F.fft2(a, norm="ortho"), COMPLEX),
    "rfft2": (F.rfft2, REAL),
    "irfftn": (lambda a: F.irfftn(a, s=(2, 3)), COMPLEX),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    f, x = CASES[name]
    a = torch.tensor(x[:2]).requires_grad_()
    assert gradcheck(f, (a,))
    assert gradgradcheck(f, (a,))


def test_windows():
    for n in (2, 5, 8):
        t = 2 * np.pi * np.arange(n) / n
        assert np.allclose(torch.hann_window(n).numpy(), 0.5 - 0.5 * np.cos(t), atol=1e-7)
        for name in ("hamming", "hanning", "blackman", "bartlett"):
            mine = getattr(torch.signal.windows, name.replace("hanning", "hann"))(n)
            assert np.allclose(mine.numpy(), getattr(np, name)(n), atol=1e-7)
        wide = torch.kaiser_window(n, False, 5.0, dtype=torch.float64)
        assert np.allclose(wide.numpy(), np.kaiser(n, 5.0), rtol=1e-12)


def test_short_time_transforms_invert():
    x = torch.tensor(np.random.default_rng(1).standard_normal((2, 50)))
    w = torch.hann_window(12, dtype=torch.float64)
    for hop, normalized in ((3, False), (4, True)):
        z = torch.stft(x, 12, hop, window=w, normalized=normalized, return_complex=True)
        assert z.shape == (2, 7, 50 // hop + 1)
        y = torch.istft(z, 12, hop, window=w, normalized=normalized, length=50)
        assert np.allclose(y.numpy(), x.numpy(), atol=1e-12)
    a = x[0, :8].clone().requires_grad_()
    f = lambda a: torch.stft(a, 4, window=torch.ones(4).double(), return_complex=True)  # noqa: E731
    assert gradcheck(f, (a,))
    with pytest.raises(RuntimeError, match="window overlap add min: 1"):
        torch.istft(z, 12, 12, window=w)
    assert math.isclose(
        torch.signal.windows.gaussian(3, std=1.0)[0].item(), math.exp(-0.5), rel_tol=1e-6
    )
