"""The bundled digits: contents, split, types."""

import zlib

import numpy as np
import pytest

from graphc import datasets


def test_contents_are_the_published_ones():
    images, labels = datasets.digits(numpy=True)
    raw = np.rint(images * 16).astype(np.uint8)
    assert raw.shape == (1797, 8, 8) and labels.shape == (1797,)
    assert zlib.crc32(raw.tobytes()) == 4087501628
    assert zlib.crc32(labels.astype(np.uint8).tobytes()) == 4168075561
    # the first image of the file is a zero: its first rows as published
    assert raw[0, :2].tolist() == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]
    assert labels[:10].tolist() == list(range(10))


def test_the_split_is_stratified_and_complete():
    images, labels = datasets.digits(numpy=True)
    train, test = datasets.digits("train", numpy=True), datasets.digits("test", numpy=True)
    assert len(train[1]) == 1442 and len(test[1]) == 355
    for label in range(10):
        total = np.count_nonzero(labels == label)
        assert np.count_nonzero(test[1] == label) == total // 5
    both = np.concatenate([train[0], test[0]]).reshape(1797, -1)
    assert sorted(map(bytes, both)) == sorted(map(bytes, images.reshape(1797, -1)))


def test_types():
    images, labels = datasets.digits("test", numpy=True)
    assert images.dtype == np.float32 and labels.dtype == np.int64
    assert images.min() == 0 and images.max() == 1
    assert datasets.digits("test", numpy=True)[0] is not images  # a caller may write to it
    with pytest.raises(ValueError, match="split"):
        datasets.digits("validation")


def test_tensors():
    graphc = pytest.importorskip("graphc")
    images, labels = datasets.digits("test")
    assert images.dtype is graphc.float32 and labels.dtype is graphc.int64
    assert tuple(images.shape) == (355, 8, 8) and tuple(labels.shape) == (355,)


def test_alice():
    train, held_out = datasets.alice("train"), datasets.alice("validation")
    assert datasets.alice() == train + held_out
    assert len(train) == 9 * len(datasets.alice()) // 10
    assert train.startswith("CHAPTER I\nDown the Rabbit-Hole\nAlice was beginning to get very")
    assert len(set(train + held_out)) == 70 and set(held_out) <= set(train)
    with pytest.raises(ValueError, match="split"):
        datasets.alice("test")
