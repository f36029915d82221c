"""Eager semantics (dtypes, reductions, indexing, shapes, views, printing) word for word as PyTorch
2.13 prints them; the sessions were recorded there (see tests/sessions.py)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import graphc as torch

_spec = importlib.util.spec_from_file_location(
    "sessions", Path(__file__).parents[1] / "sessions.py"
)
sessions = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sessions)


@pytest.mark.parametrize("block", sessions.parameters(Path(__file__).parent / "sessions"))
def test_session(block):
    torch.set_default_dtype(torch.float32)
    sessions.check(block, torch)
