"""An error that the library raises says where in the user's program: also one raised by a check
before any operator runs, inside a module, or by a method."""

import inspect

import pytest

import graphc as torch
from graphc import nn

F = nn.functional


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = x * 2
        return self.conv(y)  # the line that an error names


class Own(nn.Module):
    def forward(self, x):
        raise ValueError("the user's own")


CALLS = {
    "operator": lambda: torch.ones(2) + torch.ones(3),
    "in place": lambda: torch.ones(2).add_(torch.ones(3)),
    "conv": lambda: F.conv2d(torch.ones(1, 2, 5, 5), torch.ones(3, 3, 3, 3)),
    "lstm": lambda: nn.LSTM(3, 4)(torch.ones(2, 2, 5)),
    "stack": lambda: torch.stack([torch.ones(2), torch.ones(3)]),
    "cat": lambda: torch.cat([]),
    "loss": lambda: F.cross_entropy(torch.ones(2, 3), torch.zeros(3, dtype=torch.int64)),
    "linalg": lambda: torch.linalg.inv(torch.ones(2, 3)),
    "index": lambda: torch.ones(2)[5],
    "write": lambda: torch.ones(2).__setitem__(5, 1),
    "view": lambda: torch.ones(2).view(3),
    "item": lambda: torch.ones(2).item(),
    "truth": lambda: bool(torch.ones(2)),
    "creation": lambda: torch.zeros(-1),
    "data": lambda: torch.tensor([[1], [1, 2]]),
    "kind": lambda: torch.atan2(1, torch.ones(2)),
    "backward": lambda: torch.ones(2).backward(),
}


def notes(call):
    with pytest.raises(Exception) as caught:
        call()
    return getattr(caught.value, "__notes__", [])


@pytest.mark.parametrize("name", CALLS)
def test_the_line_of_the_call(name):
    call = CALLS[name]
    lines, first = inspect.getsourcelines(call)
    assert notes(call) == [f"at {__file__}:{first}: {lines[0].strip()}"]


def test_the_line_inside_a_module():
    (note,) = notes(lambda: nn.Sequential(Net())(torch.ones(1, 2, 5, 5)))
    assert note.endswith("return self.conv(y)  # the line that an error names")


def test_errors_of_the_user_stay_as_they_are():
    assert notes(lambda: nn.Sequential(Own())(torch.ones(1))) == []
