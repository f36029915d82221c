"""The DataLoader: the same batches for every number of workers, PyTorch's shapes and errors,
workers that fail, hang or die."""

import itertools
import os
import random
import signal
import time
from collections import namedtuple

import numpy as np
import pytest

import graphc
from graphc.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    get_worker_info,
)

Pair = namedtuple("Pair", "x y")


class Squares(Dataset):
    """Deterministic samples of several kinds."""

    def __init__(self, n=11):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return {
            "x": graphc.full((2, 3), float(i)),
            "y": i * i,
            "f": i / 2,
            "s": str(i),
            "p": Pair(i, [float(i)]),
        }


class Noisy(Dataset):
    """Draws from all three generators."""

    def __len__(self):
        return 23

    def __getitem__(self, i):
        return i, graphc.randn(3), random.random(), np.random.rand(), np.random.randn()


class Bad(Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 8

    def __getitem__(self, i):
        if i == 5:
            raise self.error
        return i


class Acts(Dataset):
    """Sample 4 does something to its own process."""

    def __init__(self, act):
        self.act = act

    def __len__(self):
        return 100

    def __getitem__(self, i):
        if i == 4:
            self.act()
        return i


class Stream(IterableDataset):
    def __init__(self, n=10):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        if info is None:
            return iter(range(self.n))
        return iter(range(info.id, self.n, info.num_workers))


def same(a, b):
    """Equal in type, structure and bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, graphc.Tensor):
        return (
            a.dtype is b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
        )
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def _epochs(dataset, workers, n=2, **options):
    graphc.manual_seed(3)
    random.seed(4)
    np.random.seed(5)
    loader = DataLoader(dataset, batch_size=4, num_workers=workers, **options)
    return [list(loader) for _ in range(n)] + [graphc.rand(2), random.random(), np.random.rand()]


@pytest.mark.parametrize(
    "dataset",
    [Squares(), Noisy(), TensorDataset(graphc.arange(22.0).view(11, 2))],
    ids=["squares", "noisy", "tensors"],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_do_not_depend_on_the_workers(dataset, shuffle):
    alone = _epochs(dataset, 0, shuffle=shuffle)
    assert same(alone, _epochs(dataset, 0, shuffle=shuffle))
    assert same(alone, _epochs(dataset, 1, shuffle=shuffle))
    assert same(alone, _epochs(dataset, 3, shuffle=shuffle))
    assert same(
        alone, _epochs(dataset, 2, shuffle=shuffle, persistent_workers=True, prefetch_factor=5)
    )


def test_noise_differs_between_batches_epochs_and_seeds():
    first, second = _epochs(Noisy(), 2)[:2]
    for column in range(1, 5):
        values = [b[column].tolist() for b in first + second]
        assert len({str(v) for v in values}) == len(values)
    graphc.manual_seed(99)
    other = list(DataLoader(Noisy(), batch_size=4))
    assert not same(first, other)


def test_the_programs_streams_stay_where_they_are():
    """Loading takes one seed from the default generator, and nothing from Python's or numpy's."""
    random.seed(1)
    want = random.random()
    np.random.seed(1)
    want_np = np.random.rand()
    for workers in (0, 2):
        random.seed(1)
        np.random.seed(1)
        list(DataLoader(Noisy(), num_workers=workers))
        assert random.random() == want and np.random.rand() == want_np


def _seed_numpy(worker):
    np.random.seed(worker)


def test_worker_init_fn_keeps_its_own_seeds():
    batches = list(DataLoader(Noisy(), batch_size=1, num_workers=1, worker_init_fn=_seed_numpy))
    np.random.seed(0)
    for b in batches:
        assert b[3].item() == np.random.rand()
        np.random.randn()


def test_whole_batches_are_what_collating_gives():
    x, y = graphc.randn(50, 3, 2), graphc.arange(50)
    data = TensorDataset(x, y)
    rows = Subset(Subset(data, range(40)), [5, 3, 39, 0, 0, 7])
    for dataset, sampler in ((data, None), (rows, None), (data, [9, -1, 4, 4, 0]), (rows, [2, 1])):
        fast = list(DataLoader(dataset, batch_size=4, sampler=sampler))
        slow = list(
            DataLoader(
                dataset,
                batch_size=4,
                sampler=sampler,
                collate_fn=lambda b: graphc.utils.data.default_collate(b),
            )
        )
        assert same(fast, slow)
        assert type(fast[0]) is list
        assert not np.shares_memory(fast[0][0].numpy(), x.numpy())
    with pytest.raises(IndexError, match="index 50 is out of bounds for dimension 0 with size 50"):
        list(DataLoader(data, sampler=[50]))
    assert type(next(iter(DataLoader(TensorDataset(x))))) is list
    big = TensorDataset(graphc.randn(3000, 200))  # batches in memory of the native allocator
    got = graphc.cat([b for (b,) in DataLoader(big, batch_size=1500)])
    assert same(got, big.tensors[0])
    order = graphc.randperm(3000)
    (got,) = next(iter(DataLoader(big, batch_size=3000, sampler=order.tolist())))
    assert same(got, big.tensors[0][order])


def test_gradients_flow_through_collation():
    x = graphc.ones(4, 2, requires_grad=True)
    (batch,) = next(iter(DataLoader(TensorDataset(x), batch_size=3)))
    batch.sum().backward()
    assert x.grad.tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]


def test_options():
    data = list(range(10))
    assert [b.tolist() for b in DataLoader(data, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [b.tolist() for b in DataLoader(data, 4, drop_last=True)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(DataLoader(data, 4)) == 3 and len(DataLoader(data, 4, drop_last=True)) == 2
    assert list(DataLoader(data, batch_size=None)) == data
    assert [type(x) for x in DataLoader([np.ones(2), 3, "a"], batch_size=None)] == [
        graphc.Tensor,
        int,
        str,
    ]
    batches = BatchSampler(SequentialSampler(data), 3, False)
    assert [b.tolist() for b in DataLoader(data, batch_sampler=batches)][-1] == [9]
    assert sorted(itertools.chain(*(b.tolist() for b in DataLoader(data, 3, shuffle=True)))) == data
    g = graphc.Generator()
    first = [b.tolist() for b in DataLoader(data, 3, shuffle=True, generator=g.manual_seed(1))]
    graphc.rand(7)
    assert first == [
        b.tolist() for b in DataLoader(data, 3, shuffle=True, generator=g.manual_seed(1))
    ]
    assert [b.tolist() for b in DataLoader(data, 5, collate_fn=lambda b: graphc.tensor(b) * 2)][
        0
    ] == [0, 2, 4, 6, 8]
    assert list(DataLoader(data, 5, pin_memory=True, num_workers=1, timeout=30))[1].tolist() == [
        5,
        6,
        7,
        8,
        9,
    ]
    loader = DataLoader(data, 5, sampler=RandomSampler(data, replacement=True, num_samples=12))
    assert sum(len(b) for b in loader) == 12


@pytest.mark.parametrize(
    "options,kind,text",
    [
        ({"num_workers": -1}, ValueError, "num_workers option should be non-negative"),
        ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
        (
            {"prefetch_factor": 2},
            ValueError,
            "prefetch_factor option could only be specified in multiprocessing",
        ),
        (
            {"persistent_workers": True},
            ValueError,
            "persistent_workers option needs num_workers > 0",
        ),
        (
            {"sampler": [1], "shuffle": True},
            ValueError,
            "sampler option is mutually exclusive with shuffle",
        ),
        (
            {"batch_sampler": [[1]], "batch_size": 2},
            ValueError,
            "batch_sampler option is mutually exclusive",
        ),
        (
            {"batch_size": None, "drop_last": True},
            ValueError,
            "batch_size=None option disables auto-batching",
        ),
        (
            {"batch_size": 0},
            ValueError,
            "batch_size should be a positive integer value, but got batch_size=0",
        ),
        (
            {"multiprocessing_context": "fork"},
            ValueError,
            "can only be used with multi-process loading",
        ),
        (
            {"multiprocessing_context": "x", "num_workers": 1},
            ValueError,
            "should specify a valid start method",
        ),
    ],
)
def test_option_errors(options, kind, text):
    with pytest.raises(kind, match=text):
        DataLoader([1, 2, 3], **options)


def test_fixed_after_construction():
    loader = DataLoader([1, 2])
    for name in (
        "batch_size",
        "batch_sampler",
        "sampler",
        "drop_last",
        "dataset",
        "persistent_workers",
    ):
        with pytest.raises(
            ValueError, match=f"{name} attribute should not be set after DataLoader is init"
        ):
            setattr(loader, name, 1)
    loader.timeout = 3


def test_iterable_datasets():
    assert [b.tolist() for b in DataLoader(Stream(), 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [b.tolist() for b in DataLoader(Stream(), 4, drop_last=True)][-1] == [4, 5, 6, 7]
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]
    for workers in (1, 2, 3):
        for persistent in (False, True):
            loader = DataLoader(Stream(), 2, num_workers=workers, persistent_workers=persistent)
            for _ in range(2):
                got = list(itertools.chain(*(b.tolist() for b in loader)))
                assert sorted(got) == list(range(10))
    two = [b.tolist() for b in DataLoader(Stream(), 2, num_workers=2)]
    assert two == [[0, 2], [1, 3], [4, 6], [5, 7], [8], [9]]
    uneven = [b.tolist() for b in DataLoader(Stream(9), 2, num_workers=2)]
    assert sorted(itertools.chain(*uneven)) == list(range(9))
    with pytest.raises(ValueError, match="expected unspecified shuffle option"):
        DataLoader(Stream(), shuffle=True)
    with pytest.raises(TypeError):
        len(DataLoader(Stream()))


def test_worker_info():
    assert get_worker_info() is None

    class Info(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            info = get_worker_info()
            return [info.id, info.num_workers, int(info.dataset is self), info.seed]

    got = list(DataLoader(Info(), num_workers=2))
    assert [[int(v) for v in b[:3]] for b in got] == [[0, 2, 1], [1, 2, 1]] * 2
    assert int(got[1][3]) == int(got[0][3]) + 1 and get_worker_info() is None


class _Odd(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


@pytest.mark.parametrize(
    "error,kind",
    [
        (ValueError("no such thing"), ValueError),
        (KeyError("k"), KeyError),
        (_Odd(1, 2), RuntimeError),
    ],
)
def test_errors_come_with_their_traceback(error, kind):
    loader = DataLoader(Bad(error), batch_size=2, num_workers=2)
    it = iter(loader)
    assert next(it).tolist() == [0, 1] and next(it).tolist() == [2, 3]
    with pytest.raises(kind) as caught:
        next(it)
    text = str(caught.value)
    assert f"Caught {type(error).__name__} in DataLoader worker process 0." in text
    assert "raise self.error" in text and os.path.basename(__file__) in text
    with pytest.raises(type(error)):  # in the main process it is simply raised
        list(DataLoader(Bad(error)))


def test_what_cannot_be_sent_is_an_error():
    with pytest.raises(Exception, match="sending a batch"):
        list(DataLoader([1, 2], num_workers=1, collate_fn=lambda b: lambda: b))


def test_a_failing_worker_init_fn():
    def init(worker):
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        list(DataLoader([1, 2], num_workers=2, worker_init_fn=init))


@pytest.mark.parametrize(
    "act,how",
    [
        (lambda: os._exit(3), "exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed by SIGKILL"),
    ],
)
def test_a_dead_worker_is_noticed_at_once(act, how):
    start = time.monotonic()
    with pytest.raises(
        RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly.*" + how
    ):
        list(DataLoader(Acts(act), batch_size=2, num_workers=2))
    assert time.monotonic() - start < 2


def test_another_worker_that_dies_is_noticed_too():
    def act():
        if get_worker_info().id == 0:
            os._exit(1)

    class Slow(Acts):
        def __getitem__(self, i):
            if get_worker_info().id == 1:
                time.sleep(30)
            return super().__getitem__(i)

    it = iter(DataLoader(Slow(act), num_workers=2))
    assert next(it).item() == 0
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="worker 0 ended with exit code 1"):
        next(it)
    assert time.monotonic() - start < 2


def test_a_hanging_worker_times_out():
    start = time.monotonic()
    with pytest.raises(
        RuntimeError, match=r"DataLoader timed out after 0.5 seconds: worker 0 .*batch 4"
    ):
        list(DataLoader(Acts(lambda: time.sleep(60)), num_workers=2, timeout=0.5))
    assert time.monotonic() - start < 3


def _children():
    me, found = os.getpid(), 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                found += f.read().rpartition(")")[2].split()[1] == str(me)
        except OSError:
            pass
    return found


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads /proc")
def test_no_process_is_left_behind():
    before = _children()
    list(DataLoader(Squares(), num_workers=2))
    it = iter(DataLoader(Squares(100), num_workers=2))
    next(it)
    del it  # given up half-way
    loader = DataLoader(Squares(100), num_workers=2, persistent_workers=True)
    next(iter(loader))
    list(itertools.islice(loader, 3))
    assert len(list(loader)) == 100
    assert _children() == before + 2
    del loader
    assert _children() == before


def test_large_batches_pass_unchanged():
    data = TensorDataset(graphc.randn(64, 10000))
    alone = list(DataLoader(data, batch_size=32))
    assert same(alone, list(DataLoader(data, batch_size=32, num_workers=2)))
    # samples themselves, which the dataset may overwrite later
    one = list(DataLoader(data, batch_size=None, num_workers=1))
    assert same(one[7][0], data[7][0])


def test_spawned_workers(tmp_path):
    """Spawned workers import the dataset, so it lives in a module of its own."""
    import subprocess
    import sys

    (tmp_path / "program.py").write_text("""
import graphc
from graphc.utils.data import DataLoader, Dataset

class Noise(Dataset):
    def __len__(self):
        return 6
    def __getitem__(self, i):
        return i, graphc.rand(2)

if __name__ == "__main__":
    graphc.manual_seed(7)
    here = [(i.tolist(), x.tolist()) for i, x in DataLoader(Noise(), batch_size=2)]
    graphc.manual_seed(7)
    there = DataLoader(Noise(), batch_size=2, num_workers=2, multiprocessing_context="spawn")
    assert here == [(i.tolist(), x.tolist()) for i, x in there]
    print("same")
""")
    root = os.path.dirname(os.path.dirname(graphc.__file__))
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": root},
        check=False,
    )
    assert done.stdout.strip() == "same", done.stderr


def test_like_pytorch():
    torch = pytest.importorskip("torch")

    def run(lib):
        class Data(lib.utils.data.Dataset):
            def __len__(self):
                return 7

            def __getitem__(self, i):
                return {
                    "a": lib.full((2,), float(i)),
                    "b": (i, float(i), str(i)),
                    "c": Pair(np.float32(i), i % 2 == 0),
                    "d": np.full((2,), i, np.int16),
                    "e": [i, {"f": i}],
                }

        out = []
        for kw in ({"batch_size": 3}, {"batch_size": None}, {"batch_size": 2, "drop_last": True}):
            out.append([_plain(b) for b in lib.utils.data.DataLoader(Data(), **kw)])
        return out

    def _plain(b):
        if hasattr(b, "tolist"):
            return str(b.dtype), b.tolist()
        if isinstance(b, dict):
            return {k: _plain(v) for k, v in b.items()}
        if isinstance(b, (list, tuple)):
            return type(b).__name__, [_plain(x) for x in b]
        return b

    assert run(graphc) == run(torch)


def test_a_new_pass_ends_the_old_one():
    loader = DataLoader(list(range(20)), num_workers=2, persistent_workers=True)
    old = iter(loader)
    assert next(old).item() == 0
    new = iter(loader)
    assert [next(new).item() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="another one over the same DataLoader"):
        next(old)
    assert [b.item() for b in loader] == list(range(20))
