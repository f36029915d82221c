"""torch.distributed with one process: the group, collectives of one rank, samplers' shares."""

import pytest

import graphc
import graphc.distributed as dist

NO_GROUP = "Default process group has not been initialized"


@pytest.fixture()
def group():
    dist.init_process_group("gloo", world_size=1, rank=0)
    yield
    dist.destroy_process_group()


def test_without_a_group(monkeypatch):
    assert dist.is_available() and not dist.is_initialized() and dist.group.WORLD is None
    for f in (dist.get_rank, dist.get_world_size, dist.barrier, dist.get_backend):
        with pytest.raises(ValueError, match=NO_GROUP):
            f()
    with pytest.raises(ValueError, match="environment variable RANK expected, but not set"):
        monkeypatch.delenv("RANK", raising=False)
        dist.init_process_group("gloo")
    with pytest.raises(RuntimeError, match="graphc runs in one process"):
        dist.init_process_group("nccl", rank=0, world_size=2)
    assert not dist.is_nccl_available() and not dist.is_initialized()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    dist.init_process_group("nccl")
    assert dist.get_backend() == "nccl"
    dist.destroy_process_group()
    with pytest.raises(AssertionError, match="Process group cannot be None"):
        dist.destroy_process_group()


def test_collectives_of_one(group):
    assert (dist.get_rank(), dist.get_world_size(), dist.is_initialized()) == (0, 1, True)
    with pytest.raises(ValueError, match="initialize the default process group twice"):
        dist.init_process_group("gloo", world_size=1, rank=0)
    x = graphc.arange(3.0)
    for op in dist.ReduceOp:
        assert dist.all_reduce(x, op=op) is None
    assert dist.all_reduce(x, async_op=True).wait()
    dist.broadcast(x, 0)
    dist.reduce(x, dst=0)
    assert x.tolist() == [0, 1, 2]
    out = [graphc.zeros(3)]
    dist.all_gather(out, x)
    assert out[0].tolist() == [0, 1, 2]
    flat = graphc.zeros(3)
    dist.all_gather_into_tensor(flat, x)
    dist.reduce_scatter(flat, [x + 1])
    assert flat.tolist() == [1, 2, 3]
    dist.scatter(flat, [x])
    dist.gather(flat, out)
    assert out[0].tolist() == [0, 1, 2]
    objects = [None]
    dist.all_gather_object(objects, {"a": 1})
    assert objects == [{"a": 1}]
    dist.broadcast_object_list(objects, src=0)
    with pytest.raises(RuntimeError, match="invalid root rank: 1"):
        dist.broadcast(x, 1)
    with pytest.raises(RuntimeError, match="invalid tensor size"):
        dist.all_gather([graphc.zeros(2)], x)
    with pytest.raises(ValueError, match="Invalid destination rank"):
        dist.send(x, 0)
    assert dist.new_group([0]).size() == 1
    dist.barrier()


def test_distributed_sampler(group):
    data = list(range(10))
    S = graphc.utils.data.DistributedSampler
    assert list(S(data, shuffle=False)) == data
    shares = [list(S(data, 4, r, shuffle=False)) for r in range(4)]
    assert shares == [[0, 4, 8], [1, 5, 9], [2, 6, 0], [3, 7, 1]]
    shares = [list(S(data, 4, r, shuffle=False, drop_last=True)) for r in range(4)]
    assert shares == [[0, 4], [1, 5], [2, 6], [3, 7]]
    samplers = [S(data, 2, r, seed=3) for r in range(2)]
    assert sorted(sum(map(list, samplers), [])) == data and len(samplers[0]) == 5
    before = list(samplers[0])
    assert list(samplers[0]) == before
    samplers[0].set_epoch(1)
    assert list(samplers[0]) != before
    with pytest.raises(ValueError, match=r"Invalid rank 4, rank should be in the interval \[0, 3"):
        S(data, 4, 4)
    assert list(S([1], 3, 2, shuffle=False)) == [0]
    loader = graphc.utils.data.DataLoader(data, batch_size=5, sampler=samplers[1])
    assert len(list(loader)) == 1


def test_leftovers_of_utils_data():
    d = graphc.utils.data
    both = d.ConcatDataset([[1, 2], [3]])
    with pytest.warns(DeprecationWarning, match="renamed to cumulative_sizes"):
        assert both.cummulative_sizes == [2, 3]
    d.DataLoader([1], num_workers=0).check_worker_number_rationality()
    with pytest.warns(UserWarning, match="will create 4096 worker processes"):
        d.DataLoader([1], num_workers=4096).check_worker_number_rationality()
    hook = graphc.ones(1, requires_grad=True).register_hook(lambda g: g)
    assert isinstance(hook, graphc.utils.hooks.RemovableHandle)
