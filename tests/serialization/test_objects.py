"""Whole objects in files: modules and what Python can pickle, on request only; allowed names."""

import io
import zipfile
from collections import defaultdict

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.serialization import LoadError, add_safe_globals, clear_safe_globals, safe_globals


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.tied = self.body[0].weight
        self.register_buffer("narrow", graphc.ones(2, dtype=graphc.bfloat16))

    def forward(self, x):
        return self.body(x)


class Settings:
    def __init__(self, rate):
        self.rate = rate


def _file(obj):
    f = io.BytesIO()
    graphc.save(obj, f)
    return io.BytesIO(f.getvalue())


def test_modules():
    net = Net().eval()
    f = _file({"net": net, "epoch": 3})
    with pytest.raises(LoadError, match="load it with weights_only=False"):
        graphc.load(f)
    f.seek(0)
    got = graphc.load(f, weights_only=False)
    again, x = got["net"], graphc.ones(2, 3)
    assert type(again) is Net and got["epoch"] == 3 and not again.training
    assert (again(x) == net(x)).all() and again.tied is again.body[0].weight
    assert again.narrow.dtype is graphc.bfloat16 and isinstance(again.tied, nn.Parameter)
    assert all(p.requires_grad for p in again.parameters())
    records = zipfile.ZipFile(f).namelist()
    assert sum("data/" in name for name in records) == 8  # one per block of memory


def test_other_objects():
    shared = graphc.arange(6.0)
    obj = {
        "array": np.arange(3),
        "default": defaultdict(list, a=[1]),
        "settings": Settings(0.5),
        "function": Net.forward,
        "views": [shared, shared[2:]],
        "optimizer": graphc.optim.Adam([graphc.ones(2, requires_grad=True)]),
        "size": graphc.Size([1, 2]),
        "dtype": graphc.float16,
    }
    got = graphc.load(_file(obj), weights_only=False)
    assert got["array"].tolist() == [0, 1, 2] and got["default"]["b"] == []
    assert got["settings"].rate == 0.5 and got["function"] is Net.forward
    got["views"][0][2] = 9
    assert got["views"][1][0] == 9
    assert got["dtype"] is graphc.float16 and got["size"] == (1, 2)
    assert isinstance(got["optimizer"], graphc.optim.Adam)


def test_plain_files_need_no_request_and_stay_readable():
    f = _file({"w": graphc.ones(2)})
    assert graphc.load(f, weights_only=False)["w"].tolist() == [1, 1]
    assert b"graphc" not in zipfile.ZipFile(f).read("archive/data.pkl")


def test_allowed_names():
    f = _file([Settings(2), graphc.ones(2)])
    add_safe_globals([])
    with pytest.raises(LoadError, match="Settings, which is not among"):
        graphc.load(f)
    f.seek(0)
    with safe_globals([Settings]):
        got = graphc.load(f, weights_only=True)
        assert got[0].rate == 2 and got[1].tolist() == [1, 1]
        with pytest.raises(LoadError, match="Net, which is not among"):
            graphc.load(_file(Net()))
    f.seek(0)
    with pytest.raises(LoadError):
        graphc.load(f)
    add_safe_globals([Settings])
    f.seek(0)
    assert graphc.load(f)[0].rate == 2
    clear_safe_globals()
    assert graphc.serialization.get_safe_globals() == []


def test_modules_that_pytorch_saved():
    torch = pytest.importorskip("torch")
    f = io.BytesIO()
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())
    torch.save(net, f)
    f.seek(0)
    got = graphc.load(f, weights_only=False)
    assert isinstance(got, nn.Sequential)
    x = np.ones((2, 3), "float32")
    # a product of three terms
    np.testing.assert_allclose(
        got(graphc.from_numpy(x)).detach().numpy(), net(torch.from_numpy(x)).detach().numpy(),
        rtol=1e-6, atol=1e-6,
    )  # fmt: skip
