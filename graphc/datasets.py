"""Real data that comes with graphc: takes the name of a split, gives tensors ready for training.

Invariant: a split is fixed; every call and every version gives the same data in the same order.
"""

import lzma
from pathlib import Path
from typing import Any

import numpy as np

DIGITS_CITATION = (
    "E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine "
    "Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0"
)


def digits(split: str | None = None, *, numpy: bool = False) -> tuple[Any, Any]:
    """Handwritten digits: `(images, labels)`, float32 of shape (N, 8, 8) in 0..1 and int64 (N,).

    `split` is "train" (1,442 images), "test" (355) or None for all 1,797: of every class each
    fifth image, counted in the order of the file, is in the test part. `numpy=True` gives ndarrays
    instead of tensors. Raises ValueError for another split.

    >>> dataset = graphc.utils.data.TensorDataset(*graphc.datasets.digits("train"))

    Source: the test part of the UCI data set; see `DIGITS_CITATION`.
    """
    if split not in (None, "train", "test"):
        raise ValueError(f'split must be "train", "test" or None, got {split!r}')
    images, labels = _read_digits()
    if split is not None:
        held_out = _every_fifth_of_a_class(labels)
        chosen = held_out if split == "test" else ~held_out
        images, labels = images[chosen], labels[chosen]
    pixels = images.astype(np.float32) / np.float32(16)
    classes = labels.astype(np.int64)
    if numpy:
        return pixels, classes
    from graphc.creation import from_numpy

    return from_numpy(pixels), from_numpy(classes)


ALICE_CITATION = (
    "Lewis Carroll (1865), Alice's Adventures in Wonderland, The Millennium Fulcrum Edition 2.9; "
    "in the public domain"
)


def alice(split: str | None = None) -> str:
    """The text of a novel for language models: 142,339 characters, 70 different ones, a paragraph
    per line.

    `split` is "train" (the first nine tenths), "validation" (the rest) or None for all. Raises
    ValueError for another split.

    Source: see `ALICE_CITATION`.
    """
    if split not in (None, "train", "validation"):
        raise ValueError(f'split must be "train", "validation" or None, got {split!r}')
    path = Path(__file__).parent / "_datasets" / "alice.txt.xz"
    text = lzma.decompress(path.read_bytes()).decode("ascii")
    end = len(text) * 9 // 10
    return text if split is None else text[:end] if split == "train" else text[end:]


def _read_digits() -> tuple[np.ndarray, np.ndarray]:
    path = Path(__file__).parent / "_datasets" / "digits.npz"
    with np.load(path, allow_pickle=False) as archive:
        return archive["images"], archive["labels"]


def _every_fifth_of_a_class(labels: np.ndarray) -> np.ndarray:
    chosen = np.zeros(len(labels), np.bool_)
    for label in range(10):
        chosen[np.flatnonzero(labels == label)[4::5]] = True
    return chosen
