"""save and load: what comes back, sharing, atomicity, damage, hostile files, PyTorch in both
directions."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import graphc as torch
from graphc.serialization import LoadError


def roundtrip(x):
    f = io.BytesIO()
    torch.save(x, f)
    f.seek(0)
    return torch.load(f)


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "float32",
        "float64",
        "bfloat16",
        "int8",
        "uint8",
        "int16",
        "int32",
        "int64",
        "bool",
    ],
)
def test_every_dtype(dtype):
    x = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    y = roundtrip(x)
    assert y.dtype is x.dtype and torch.equal(x, y)


def test_containers_keep_their_types():
    x = {
        "a": [1, -5, 2.5, None, True, "text é", (1,), (1, 2, 3, 4), b"\x00\xff", 2**70],
        3: OrderedDict(k=()),
        "size": torch.Size([2, 0]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
    }
    y = roundtrip(x)
    assert y == x and type(y[3]) is OrderedDict and type(y["size"]) is torch.Size


def test_tensors_keep_sharing_strides_and_flags():
    a = torch.arange(12.0).reshape(3, 4)
    p = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    got = roundtrip(
        {"a": a, "column": a[:, 1], "t": a.t(), "p": p, "leaf": torch.ones(1, requires_grad=True)}
    )
    got["a"][0, 1] = 100
    assert (
        got["column"].tolist() == [100, 5, 9]
        and got["t"].stride() == (1, 4)
        and got["t"][1, 0] == 100
    )
    assert type(got["p"]) is torch.nn.Parameter and not got["p"].requires_grad
    assert got["leaf"].requires_grad


def test_training_state_resumes_exactly(tmp_path):
    def step(model, optimizer):
        optimizer.zero_grad()
        loss = model(torch.randn(4, 3)).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    def make():
        torch.manual_seed(1)
        model = torch.nn.Linear(3, 2)
        return model, torch.optim.Adam(model.parameters(), lr=0.1)

    model, optimizer = make()
    for _ in range(3):
        step(model, optimizer)
    torch.save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "rng": torch.get_rng_state(),
        },
        tmp_path / "state.pt",
    )
    ahead = [step(model, optimizer) for _ in range(3)]
    model, optimizer = make()
    state = torch.load(tmp_path / "state.pt")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    assert [step(model, optimizer) for _ in range(3)] == ahead


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"x": torch.ones(3)}, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match=r"cannot store the function at obj\['y'\]\[0\]"):
        torch.save({"x": torch.zeros(3), "y": [lambda: 0]}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.pt"]


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path):
    x = torch.arange(50.0)
    f = io.BytesIO()
    torch.save({"x": x, "n": 3}, f)
    raw = f.getvalue()
    for at in range(0, len(raw), 7):
        damaged = bytearray(raw)
        damaged[at] ^= 0x10
        try:
            got = torch.load(io.BytesIO(bytes(damaged)))
        except LoadError:
            continue
        assert got["n"] == 3 and torch.equal(got["x"], x)


def test_damaged_data_names_file_entry_and_place(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"x": torch.arange(50.0)}, path)
    raw = bytearray(path.read_bytes())
    at = raw.find(np.arange(50, dtype=np.float32).tobytes())
    raw[at + 40] ^= 1
    path.write_bytes(raw)
    with pytest.raises(
        LoadError,
        match=rf"m.pt: tensor obj\['x'\] \(record archive/data/0\) is "
        rf"damaged: .* 200 bytes at offset {at} ",
    ):
        torch.load(path)
    for cut in (10, len(raw) // 2, len(raw) - 5):
        path.write_bytes(raw[:cut])
        with pytest.raises(LoadError):
            torch.load(path)


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil_was_here",)


def test_no_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for protocol in range(2, 6):
        with zipfile.ZipFile("evil.pt", "w") as z:
            z.writestr("evil/data.pkl", pickle.dumps({"x": Evil()}, protocol))
            z.writestr("evil/version", "3\n")
        with pytest.raises(LoadError):
            torch.load("evil.pt")
    assert not os.path.exists("evil_was_here")


def test_kill_during_save_keeps_a_whole_file(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"x": torch.zeros(200_000)}, path)
    code = (
        f"import graphc as torch\nx = torch.ones(200_000)\nprint('go', flush=True)\n"
        f"while True: torch.save({{'x': x}}, {str(path)!r})"
    )
    for delay in (0.0, 0.003, 0.01):
        p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        p.stdout.readline()
        time.sleep(delay)
        p.send_signal(signal.SIGKILL)
        p.wait()
        assert torch.load(path)["x"].shape == (200_000,)


def test_pytorch_reads_ours_and_we_read_pytorch(tmp_path):
    reference = pytest.importorskip("torch")
    x = torch.randn(3, 4)
    torch.save({"x": x, "t": x.t(), "h": x.bfloat16(), "n": [1, "a", (2, 3)]}, tmp_path / "a.pt")
    got = reference.load(tmp_path / "a.pt", weights_only=True)
    assert np.array_equal(got["x"].numpy(), x.numpy()) and got["n"] == [1, "a", (2, 3)]
    assert got["t"].data_ptr() == got["x"].data_ptr()
    layer = reference.nn.Linear(3, 2)
    optimizer = reference.optim.Adam(layer.parameters())
    layer(reference.ones(1, 3)).sum().backward()
    optimizer.step()
    reference.save({"m": layer.state_dict(), "o": optimizer.state_dict()}, tmp_path / "b.pt")
    back = torch.load(tmp_path / "b.pt")
    assert np.array_equal(back["m"]["weight"].numpy(), layer.weight.detach().numpy())
    assert back["o"]["state"][0]["step"].item() == 1
