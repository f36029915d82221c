"""numpy, DLPack and other sources of data: what shares memory, what is copied, which dtypes and
errors come out."""

import array

import numpy as np
import pytest

import graphc
from graphc.utils import dlpack

N = np.array([3.0, 4.0])


def test_numpys_functions_take_tensors():
    a = graphc.tensor([1.0, 2.0])
    for got, want in (
        (np.add(a, N), [4, 6]),
        (np.add(N, a), [4, 6]),
        (N * a, [3, 8]),
        (a * N, [3, 8]),
        (N - a, [2, 2]),
        (N / a, [3, 2]),
        (N**a, [3, 16]),
        (N @ a.double(), 11),
        (np.exp(graphc.zeros(2)), [1, 1]),
        (np.add.reduce(a), 3),
        (np.float64(2) * a, [2, 4]),
        (np.int64(2) + graphc.tensor([1]), [3]),
    ):
        assert isinstance(got, graphc.Tensor)
        assert got.tolist() == want
    assert (np.float64(2) * a).dtype is graphc.float32
    assert isinstance(np.concatenate([a, a]), np.ndarray) and np.allclose(a, [1, 2])
    assert (N < a).tolist() == [False, False] and (N == a).tolist() == [False, False]
    g = graphc.ones(2).requires_grad_()
    (N * g).sum().backward()
    assert g.grad.tolist() == [3, 4]
    with pytest.raises(RuntimeError, match="requires grad"):
        np.asarray(g)
    m = N.copy()
    m[graphc.tensor([1, 0])] = a
    assert m.tolist() == [2, 1] and N[graphc.tensor(1)] == 4


def test_arrays_of_tensors():
    a = graphc.tensor([1.0, 2.0])
    view = np.asarray(a)
    view[0] = 9
    assert a.tolist() == [9, 2] and np.asarray(a, dtype="f8").dtype == np.float64
    copy = np.array(a)
    copy[0] = 1
    assert a[0] == 9
    assert np.asarray(a, copy=False).base is not None
    with pytest.raises(ValueError, match="avoid copy"):
        np.asarray(a, dtype="f8", copy=False)


def test_every_kind_of_sequence_is_data():
    class Pair:
        def __len__(self):
            return 2

        def __getitem__(self, i):
            if i >= 2:
                raise IndexError
            return i * 1.5

    class Arrays:
        def __array__(self, dtype=None, copy=None):
            return np.array([1, 2], dtype or np.int32)

    class Interface:
        __array_interface__ = N.__array_interface__

    class Exporter:
        def __dlpack__(self, **options):
            return N.__dlpack__(**options)

        def __dlpack_device__(self):
            return N.__dlpack_device__()

    for data, dtype, want in (
        (range(3), "int64", [0, 1, 2]),
        (memoryview(b"ab"), "int64", [97, 98]),
        (bytearray(b"ab"), "int64", [97, 98]),
        (array.array("f", [1, 2]), "float32", [1, 2]),
        (Pair(), "float32", [0, 1.5]),
        ([Pair(), (1, 2)], "float32", [[0, 1.5], [1, 2]]),
        (Arrays(), "int32", [1, 2]),
        (Interface(), "float64", [3, 4]),
        (Exporter(), "float64", [3, 4]),
        ([np.float32(1), 2], "float32", [1, 2]),
        ([graphc.tensor(1), 2.5], "float32", [1, 2.5]),
        ([N, [1, 2]], "float64", [[3, 4], [1, 2]]),
    ):
        t = graphc.tensor(data)
        assert (str(t.dtype), t.tolist()) == (f"torch.{dtype}", want)
        assert graphc.as_tensor(data).tolist() == want
    for data, error, text in (
        ({1: 2}, RuntimeError, "Could not infer dtype of dict"),
        (b"ab", TypeError, "new(): invalid data type 'bytes'"),
        ("ab", TypeError, "new(): invalid data type 'str'"),
        ([[1, 2], [3]], ValueError, "expected sequence of length 2 at dim 1 (got 1)"),
        ([np.zeros(2), np.zeros(3)], ValueError, "expected sequence of length 2 at dim 1 (got 3)"),
        (None, RuntimeError, "Could not infer dtype of NoneType"),
        (np.array(["a"]), TypeError, "can't convert np.ndarray of type numpy.str_"),
    ):
        with pytest.raises(error) as e:
            graphc.tensor(data)
        assert text in str(e.value)


def test_lists_of_arrays_warn_once():
    from graphc import creation

    creation._told.clear()
    with pytest.warns(UserWarning, match="a list of numpy.ndarrays is extremely slow"):
        t = graphc.tensor([N, N])
    assert t.dtype is graphc.float64 and t.tolist() == [[3, 4], [3, 4]]
    fixed = N.copy()
    fixed.setflags(write=False)
    with pytest.warns(UserWarning, match="The given NumPy array is not writable"):
        graphc.from_numpy(fixed)


def test_dlpack_shares_memory_both_ways():
    n = np.arange(6.0).reshape(2, 3)
    t = graphc.from_dlpack(n.T)
    t[0, 0] = 7
    assert n[0, 0] == 7 and t.shape == (3, 2) and t.stride() == (1, 3)
    back = np.from_dlpack(t)
    assert back.__array_interface__["data"] == n.__array_interface__["data"]
    assert t.__dlpack_device__() == (dlpack.DLDeviceType.kDLCPU, 0)
    u = dlpack.from_dlpack(dlpack.to_dlpack(t))
    u.add_(1)
    assert n[0, 0] == 8 and graphc.from_dlpack(t, copy=True).data_ptr() != t.data_ptr()
    for x in (graphc.tensor(3.0), graphc.empty(0, 3), graphc.tensor([True]), graphc.arange(3)):
        assert graphc.from_dlpack(x).tolist() == x.tolist()
        assert np.from_dlpack(x).dtype == x.numpy().dtype
    b = graphc.ones(2, dtype=graphc.bfloat16)
    assert graphc.from_dlpack(b).data_ptr() == b.data_ptr()
    with pytest.raises(BufferError, match="requires? gradient"):
        graphc.ones(2).requires_grad_().__dlpack__()
    with pytest.raises(TypeError, match="expected an object with __dlpack__"):
        graphc.from_dlpack([1, 2])


def test_dlpack_with_pytorch():
    torch = pytest.importorskip("torch")
    a, b = torch.arange(6.0).reshape(2, 3).t(), graphc.arange(6.0).reshape(2, 3).t()
    mine, theirs = graphc.from_dlpack(a), torch.from_dlpack(b)
    mine.mul_(2)
    theirs.mul_(2)
    assert a.tolist() == mine.tolist() == b.tolist() == theirs.tolist()
    assert theirs.stride() == b.stride() == mine.stride()
    assert graphc.as_tensor(a).tolist() == a.tolist()
    assert graphc.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(a)).tolist() == a.tolist()
    assert torch.utils.dlpack.from_dlpack(graphc.to_dlpack(b)).tolist() == b.tolist()
