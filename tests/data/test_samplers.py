"""Datasets, samplers and collation on their own."""

from collections import Counter, OrderedDict, UserDict

import numpy as np
import pytest

import graphc
from graphc.utils import data as D


def test_samplers_visit_what_they_should():
    source = range(10)
    assert list(D.SequentialSampler(source)) == list(source)
    graphc.manual_seed(0)
    passes = [list(D.RandomSampler(source)) for _ in range(3)]
    assert all(sorted(p) == list(source) for p in passes) and passes[0] != passes[1] != passes[2]
    graphc.manual_seed(0)
    assert list(D.RandomSampler(source)) == passes[0]
    more = list(D.RandomSampler(source, num_samples=25))
    assert len(more) == 25 and sorted(more[:10]) == sorted(more[10:20]) == list(source)
    drawn = Counter(D.RandomSampler(source, replacement=True, num_samples=20000))
    # 2000 expected each, standard deviation 42: six of them
    assert all(abs(drawn[i] - 2000) < 256 for i in source)
    g = graphc.Generator()
    s = D.SubsetRandomSampler([3, 5, 8], generator=g.manual_seed(2))
    first = list(s)
    assert sorted(first) == [3, 5, 8] and len(s) == 3
    g.manual_seed(2)
    assert list(s) == first
    w = Counter(D.WeightedRandomSampler([0.0, 1.0, 3.0], 8000))
    assert w[0] == 0 and abs(w[2] - 6000) < 6 * 39  # binomial, standard deviation 38.7
    assert sorted(D.WeightedRandomSampler([1, 2, 3], 3, replacement=False)) == [0, 1, 2]
    assert list(D.BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(D.BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert len(D.BatchSampler(range(5), 2, False)) == 3


def test_sampler_errors():
    with pytest.raises(
        ValueError, match="num_samples should be a positive integer value, but got num_samples=0"
    ):
        D.RandomSampler([])
    with pytest.raises(TypeError, match="replacement should be a boolean value"):
        D.RandomSampler([1], replacement=1)
    with pytest.raises(ValueError, match="weights should be a 1d sequence"):
        D.WeightedRandomSampler([[1.0]], 1)
    with pytest.raises(ValueError, match="batch_size should be a positive integer value"):
        D.BatchSampler([1], True, False)
    with pytest.raises(ValueError, match="drop_last should be a boolean value"):
        D.BatchSampler([1], 1, 0)


def test_random_split():
    parts = D.random_split(range(10), [3, 7], generator=graphc.Generator().manual_seed(42))
    again = D.random_split(range(10), [3, 7], generator=graphc.Generator().manual_seed(42))
    assert [p.indices for p in parts] == [p.indices for p in again]
    assert sorted(x for p in parts for x in (p[i] for i in range(len(p)))) == list(range(10))
    assert [len(p) for p in D.random_split(range(11), [0.3, 0.3, 0.4])] == [4, 3, 4]
    with pytest.raises(
        ValueError, match="Sum of input lengths does not equal the length of the input dataset!"
    ):
        D.random_split(range(10), [3, 3])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        D.random_split(range(2), [0.9, 0.1])


def test_datasets():
    a = D.TensorDataset(graphc.arange(3), graphc.arange(6).view(3, 2))
    assert len(a) == 3 and a[1][1].tolist() == [2, 3] and a[-1][0].item() == 2
    b = a + D.TensorDataset(graphc.arange(2) + 10, graphc.zeros(2, 2))
    assert type(b) is D.ConcatDataset and len(b) == 5
    assert [b[i][0].item() for i in (0, 2, 3, 4, -1, -5)] == [0, 2, 10, 11, 11, 0]
    with pytest.raises(
        ValueError, match="absolute value of index should not exceed dataset length"
    ):
        b[-6]
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        D.TensorDataset(graphc.zeros(2), graphc.zeros(3))
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        D.ConcatDataset([])
    assert D.StackDataset([1, 2], "ab")[1] == (2, "b")
    assert D.StackDataset(x=[1, 2], y="ab")[0] == {"x": 1, "y": "a"}
    with pytest.raises(ValueError, match="Size mismatch between datasets"):
        D.StackDataset([1], "ab")
    s = D.Subset("abcdef", [5, 0])
    assert len(s) == 2 and s[0] == "f" and s.__getitems__([0, 1]) == ["f", "a"]

    class Count(D.IterableDataset):
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            return iter(range(self.n))

        def __len__(self):
            return self.n

    chain = Count(2) + Count(3)
    assert list(chain) == [0, 1, 0, 1, 2] and len(chain) == 5
    with pytest.raises(NotImplementedError, match="should implement __getitem__"):
        D.Dataset()[0]
    assert D.Dataset[int] is not None  # usable in annotations


def test_default_collate():
    c = D.default_collate
    assert c([1.5, 2.5]).dtype is graphc.float64 and c([1, 2]).dtype is graphc.int64
    assert (
        c([True, False]).dtype is graphc.bool
        and c(["a", "b"]) == ["a", "b"]
        and c([b"a"]) == [b"a"]
    )
    assert c([np.float32(1), np.float32(2)]).dtype is graphc.float32
    assert c([np.ones(2, np.int16)] * 3).dtype is graphc.int16 and c([np.ones(2)] * 3).shape == (
        3,
        2,
    )
    assert c([graphc.tensor(1.0), graphc.tensor(2.0)]).tolist() == [1, 2]
    assert c([(1, "a"), (2, "b")])[1] == ("a", "b") and type(c([(1, 2)])) is list
    assert type(c([OrderedDict(a=1)])) is OrderedDict and c([UserDict(a=1), UserDict(a=2)])[
        "a"
    ].tolist() == [1, 2]
    assert c([[1, [2]], [3, [4]]])[1][0].tolist() == [2, 4]
    assert c([graphc.zeros(0, 3)] * 2).shape == (2, 0, 3)
    t = graphc.ones(2, 3)
    assert not np.shares_memory(c([t]).numpy(), t.numpy())
    assert c([graphc.ones(3, 2).t(), t]).tolist() == graphc.ones(2, 2, 3).tolist()
    for bad in (None, object(), {1}):
        with pytest.raises(
            TypeError,
            match="default_collate: batch must contain tensors, numpy arrays, numbers, "
            "dicts or lists; found <class",
        ):
            c([bad])
    with pytest.raises(TypeError, match="found <U1"):
        c([np.array(["a"])])
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        c([[1, 2], [3]])
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        c([graphc.ones(2), graphc.ones(3)])


def test_default_convert():
    c = D.default_convert
    out = c({"a": np.ones(2, np.float32), "b": (np.int64(3), "x"), "n": 4})
    assert (
        out["a"].dtype is graphc.float32
        and out["b"][0].item() == 3
        and out["b"][1] == "x"
        and out["n"] == 4
    )
    assert c(np.array(["a"])).dtype.kind == "U"
