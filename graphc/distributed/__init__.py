"""torch.distributed for one process: a group of this process alone, in which collectives are what
they are for one rank.

Invariant: a group of several processes is refused when it is asked for, so no program believes
that ranks exist which do not. https://docs.pytorch.org/docs/stable/distributed.html
"""

from __future__ import annotations

import os
import pickle
from enum import Enum
from typing import Any

from ..core.modes import no_grad
from ..core.tensor import Tensor

_NO_GROUP = (
    "Default process group has not been initialized, please make sure to call init_process_group."
)


class Backend(str):
    """The name of a backend."""

    UNDEFINED, GLOO, NCCL, UCC, MPI, XCCL = "undefined", "gloo", "nccl", "ucc", "mpi", "xccl"


class ReduceOp(Enum):
    """How values of several ranks become one."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


class ProcessGroup:
    """A group: this process alone, or (`members` empty) none that it belongs to."""

    def __init__(self, backend: str, members: tuple = (0,)):
        self.backend, self.members = backend, members

    def size(self) -> int:
        return len(self.members)

    def rank(self) -> int:
        return 0 if self.members else -1


class _Group:
    """`group.WORLD`: the default group, None before init_process_group()."""

    @property
    def WORLD(self) -> ProcessGroup | None:
        return _world[-1]

    @WORLD.setter
    def WORLD(self, value: ProcessGroup | None) -> None:
        _world[-1] = value


group = _Group()
_world: list[ProcessGroup | None] = [None]


class Work:
    """A collective that is done."""

    def is_completed(self) -> bool:
        return True

    def is_success(self) -> bool:
        return True

    def wait(self, timeout: Any = None) -> bool:
        return True


# ---------------------------------------------------------------- groups


def is_available() -> bool:
    """True: groups of one process can be made."""
    return True


def is_initialized() -> bool:
    """Whether init_process_group() was called."""
    return _world[-1] is not None


def is_nccl_available() -> bool:
    """False."""
    return False


def is_gloo_available() -> bool:
    """False: there is no transport between processes."""
    return False


def is_mpi_available() -> bool:
    """False."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether torchrun started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Makes the default group, of this process alone.

    world_size and rank, or the environment's WORLD_SIZE and RANK, must be 1 and 0. ValueError for
    missing ones and for a second call, RuntimeError for more processes: graphc joins none."""
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    given = {}
    for name, value in (("RANK", rank), ("WORLD_SIZE", world_size)):
        if value < 0:
            text = os.environ.get(name)
            if text is None:
                raise ValueError(
                    "Error initializing torch.distributed using env:// rendezvous: environment "
                    f"variable {name} expected, but not set"
                )
            value = int(text)
        given[name] = value
    if given["WORLD_SIZE"] != 1 or given["RANK"] != 0:
        raise RuntimeError(
            f"graphc runs in one process: a group with world_size {given['WORLD_SIZE']} and rank "
            f"{given['RANK']} cannot be joined; use world_size=1 and rank=0"
        )
    _world[-1] = ProcessGroup(str(backend or "gloo"))


def destroy_process_group(group: Any = None) -> None:
    """Ends the default group, or another one. AssertionError when there is none."""
    if group is None and not is_initialized():
        raise AssertionError("Process group cannot be None")
    if group is None or group is _world[-1]:
        _world[-1] = None


def _default(group: Any = None) -> ProcessGroup:
    found = _world[-1]
    if found is None:
        raise ValueError(_NO_GROUP)
    return group if isinstance(group, ProcessGroup) else found


def get_rank(group: Any = None) -> int:
    """0. ValueError without a group."""
    return _default(group).rank()


def get_world_size(group: Any = None) -> int:
    """1. ValueError without a group."""
    return _default(group).size() or -1


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The environment's LOCAL_RANK, else fallback_rank. RuntimeError without either."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is None:
        raise RuntimeError("LOCAL_RANK is not in the environment. Consider passing fallback_rank")
    return fallback_rank


def get_backend(group: Any = None) -> str:
    """The name that the group was made with. ValueError without a group."""
    return _default(group).backend


def new_group(
    ranks: Any = None,
    timeout: Any = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
) -> ProcessGroup:
    """A group of some ranks, of which there is one."""
    world = _default()
    members = (0,) if ranks is None else tuple(ranks)
    if any(r != 0 for r in members):
        raise ValueError(
            "the new group's world size should be less or equal to the world size set "
            "by init_process_group"
        )
    return ProcessGroup(backend or world.backend, members)


# ---------------------------------------------------------------- collectives of one rank


def _done(async_op: bool) -> Work | None:
    return Work() if async_op else None


def _rank_zero(what: str, rank: int | None) -> None:
    if rank not in (None, 0):
        raise RuntimeError(f"{what}: invalid root rank: {rank}")


def _copy(to: Any, value: Any, what: str) -> None:
    if tuple(to.shape) != tuple(value.shape):
        raise RuntimeError(
            f"{what}: invalid tensor size (expected {tuple(value.shape)}, got {tuple(to.shape)})"
        )
    with no_grad():
        to.copy_(value)


def _one(values: Any, what: str) -> Any:
    if len(values) != 1:
        raise ValueError(f"{what}: one rank takes a list of one, not of {len(values)}")
    return values[0]


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Returns at once: every rank is here."""
    _default(group)
    return _done(async_op)


def all_reduce(
    tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Leaves the tensor as it is: one rank's sum, mean or extreme is its own value."""
    _default(group)
    return _done(async_op)


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: Any = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """As all_reduce."""
    _default(group)
    _rank_zero("reduce", group_dst if dst is None else dst)
    return _done(async_op)


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Leaves the tensor as it is. RuntimeError for another rank than 0."""
    _default(group)
    _rank_zero("broadcast", group_src if src is None else src)
    return _done(async_op)


def all_gather(
    tensor_list: list, tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """tensor_list[0] = tensor."""
    _default(group)
    _copy(_one(tensor_list, "all_gather"), tensor, "all_gather")
    return _done(async_op)


def all_gather_into_tensor(
    output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False
) -> Work | None:
    """output_tensor = input_tensor, as one row or flat."""
    _default(group)
    _copy(output_tensor.view(input_tensor.shape), input_tensor, "all_gather_into_tensor")
    return _done(async_op)


def gather(
    tensor: Tensor,
    gather_list: list | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """gather_list[0] = tensor."""
    _default(group)
    _rank_zero("gather", group_dst if dst is None else dst)
    _copy(_one(gather_list or [], "gather"), tensor, "gather")
    return _done(async_op)


def scatter(
    tensor: Tensor,
    scatter_list: list | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """tensor = scatter_list[0]."""
    _default(group)
    _rank_zero("scatter", group_src if src is None else src)
    _copy(tensor, _one(scatter_list or [], "scatter"), "scatter")
    return _done(async_op)


def reduce_scatter(
    output: Tensor,
    input_list: list,
    op: Any = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """output = input_list[0]."""
    _default(group)
    _copy(output, _one(input_list, "reduce_scatter"), "reduce_scatter")
    return _done(async_op)


def reduce_scatter_tensor(
    output: Any, input: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """output = input."""
    _default(group)
    _copy(output, input.view(output.shape), "reduce_scatter_tensor")
    return _done(async_op)


def all_to_all(
    output_tensor_list: list,
    input_tensor_list: list,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """output_tensor_list[0] = input_tensor_list[0]."""
    _default(group)
    _copy(
        _one(output_tensor_list, "all_to_all"), _one(input_tensor_list, "all_to_all"), "all_to_all"
    )
    return _done(async_op)


def all_gather_object(object_list: list, obj: Any, group: Any = None) -> None:
    """object_list[0] = a copy of obj, through pickle as between processes."""
    _default(group)
    _one(object_list, "all_gather_object")
    object_list[0] = pickle.loads(pickle.dumps(obj))


def gather_object(
    obj: Any,
    object_gather_list: list | None = None,
    dst: int | None = None,
    group: Any = None,
    group_dst: int | None = None,
) -> None:
    """object_gather_list[0] = a copy of obj."""
    _rank_zero("gather_object", group_dst if dst is None else dst)
    all_gather_object(object_gather_list or [], obj, group)


def broadcast_object_list(
    object_list: list,
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """Leaves the list as it is."""
    _default(group)
    _rank_zero("broadcast_object_list", group_src if src is None else src)


def scatter_object_list(
    scatter_object_output_list: list,
    scatter_object_input_list: list | None = None,
    src: int | None = None,
    group: Any = None,
    group_src: int | None = None,
) -> None:
    """scatter_object_output_list[0] = scatter_object_input_list[0]."""
    _default(group)
    _rank_zero("scatter_object_list", group_src if src is None else src)
    scatter_object_output_list[0] = _one(scatter_object_input_list or [], "scatter_object_list")


def send(
    tensor: Tensor,
    dst: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> None:
    """ValueError: there is no other rank."""
    _default(group)
    raise ValueError(
        "Invalid destination rank: destination rank should not be the same as the rank of the "
        "current process."
    )


def recv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> int:
    """ValueError: there is no other rank."""
    _default(group)
    raise ValueError(
        "Invalid source rank: source rank should not be the same as the rank of the current "
        "process."
    )


__all__ = [
    "Backend",
    "ProcessGroup",
    "ReduceOp",
    "Work",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "all_to_all",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "destroy_process_group",
    "gather",
    "gather_object",
    "get_backend",
    "get_node_local_rank",
    "get_rank",
    "get_world_size",
    "group",
    "init_process_group",
    "is_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "new_group",
    "recv",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "scatter",
    "scatter_object_list",
    "send",
]
