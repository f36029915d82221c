"""Long chains and memory: backward is iterative, graphs are freed without the help of the
collector."""

from __future__ import annotations

import gc
import sys
import weakref

import graphc as torch


def _chain(n: int):
    x = torch.ones(2, requires_grad=True)
    y = x
    for _ in range(n):
        y = y + 1
    return x, y


def test_a_chain_of_100000_ops():
    x, y = _chain(100_000)
    node = weakref.ref(y.grad_fn)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    del y
    gc.collect()
    assert node() is None


def test_a_long_chain_that_is_never_differentiated_is_freed():
    # freeing a chain of 100,000 links must not use the interpreter's stack either
    limit = sys.getrecursionlimit()
    x, y = _chain(100_000)
    node = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert node() is None and sys.getrecursionlimit() == limit


def test_backward_frees_what_was_saved():
    x = torch.ones(3, requires_grad=True)
    big = torch.ones(3)
    saved = weakref.ref(big)
    y = (x * big).sum()
    del big
    assert saved() is not None
    y.backward()
    gc.collect()
    assert saved() is None


def test_no_garbage_is_left_for_the_collector():
    def step():
        x = torch.ones(3, requires_grad=True)
        y = ((x * 2).exp().reshape(3, 1) @ torch.ones(1, 3)).softmax(1) * 1
        y[0] = 0.0
        y.sum().backward()
        torch.autograd.grad((x**3).sum(), x)

    step()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(50):
            step()
        assert len(gc.get_objects()) - before < 100
    finally:
        gc.enable()


def test_a_long_chain_of_in_place_ops():
    x = torch.ones(4, requires_grad=True)
    y = x * 1
    for _ in range(3000):
        y[:2].mul_(1.0)
    y.sum().backward()
    assert x.grad.tolist() == [1.0] * 4


def test_gradients_accumulate_into_the_same_memory():
    x = torch.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    g, at = x.grad, x.grad.data_ptr()
    for _ in range(3):
        (x * 2).sum().backward()
    assert x.grad is g and g.data_ptr() == at and g.tolist() == [8.0, 8.0]


def test_the_gradient_of_a_sum_is_not_shared_between_leaves():
    # both leaves receive the same cotangent; writing one .grad must not change the other
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    (a + b).sum().backward()
    a.grad.add_(5)
    assert b.grad.tolist() == [1.0, 1.0]
    seed = torch.ones(2)
    c = torch.ones(2, requires_grad=True)
    (c + 0).backward(seed)
    c.grad.zero_()
    assert seed.tolist() == [1.0, 1.0]


def test_a_view_without_history_follows_its_base():
    # the base gets a history only after the view was taken
    x = torch.ones(2, requires_grad=True)
    base = torch.zeros(3)
    view = base[1:]
    base[1] = x[0] * 4
    y = (view * torch.tensor([1.0, 10.0])).sum()
    y.backward()
    assert x.grad.tolist() == [4.0, 0.0]
