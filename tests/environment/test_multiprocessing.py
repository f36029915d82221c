"""torch.multiprocessing: Python's names, spawn() and its errors."""

import pytest

import graphc
import graphc.multiprocessing as mp


def _write(i, folder, scale):
    graphc.save({"x": graphc.ones(2) * i * scale}, f"{folder}/{i}.pt")


def _fail(i):
    if i == 1:
        raise ValueError("one fails")


def test_spawn(tmp_path):
    assert mp.spawn(_write, args=(str(tmp_path), 3), nprocs=2) is None
    assert graphc.load(tmp_path / "1.pt")["x"].tolist() == [3, 3]
    with pytest.raises(mp.ProcessRaisedException, match="ValueError: one fails") as info:
        mp.spawn(_fail, nprocs=2)
    assert info.value.error_index == 1


def test_names():
    assert mp.Process and mp.get_context("fork") and mp.cpu_count() >= 1
    mp.set_sharing_strategy("file_system")
    assert mp.get_sharing_strategy() == "file_system"
    mp.set_sharing_strategy("file_descriptor")
    assert "file_system" in mp.get_all_sharing_strategies()
    with pytest.raises(ValueError, match="unknown sharing strategy"):
        mp.set_sharing_strategy("x")
