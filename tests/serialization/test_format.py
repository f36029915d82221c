"""The file format: layout, sharing, atomic writing, hostile and mutated files, PyTorch's files of
both kinds."""

import io
import os
import pickle
import random
import stat
import struct
import zipfile
import zlib
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest

import graphc
from graphc.serialization import LoadError, archive, files


def _bytes(obj):
    f = io.BytesIO()
    graphc.save(obj, f)
    return f.getvalue()


def _load(data, **options):
    return graphc.load(io.BytesIO(data), **options)


def _zip(records, prefix="x/"):
    f = io.BytesIO()
    archive.write(f.write, [(prefix + k, v) for k, v in records.items()])
    return f.getvalue()


def test_layout():
    """A plain zip file, stored, data at multiples of 64 bytes, the same bytes for the same
    object."""
    obj = {"a": graphc.arange(100), "b": graphc.ones(3)}
    data = _bytes(obj)
    assert data == _bytes(obj)
    z = zipfile.ZipFile(io.BytesIO(data))
    assert z.testzip() is None
    assert z.namelist() == [
        "archive/data.pkl",
        "archive/byteorder",
        "archive/data/0",
        "archive/data/1",
        "archive/version",
    ]
    assert z.read("archive/data/0") == obj["a"].numpy().tobytes()
    for i in z.infolist():
        n_name, n_extra = struct.unpack_from("<HH", data, i.header_offset + 26)
        assert i.compress_type == zipfile.ZIP_STORED
        assert (i.header_offset + 30 + n_name + n_extra) % 64 == 0


def test_only_what_is_covered_is_written_and_sharing_stays():
    big = graphc.zeros(100_000)
    data = _bytes({"a": big[10:20], "b": big[15:30:2], "again": big[10:20]})
    assert len(data) < 3000
    got = _load(data)
    got["a"][5] = 7
    assert got["b"][0] == 7 and got["again"][5] == 7
    one = graphc.ones(2)
    x, y = _load(_bytes([one, one]))
    assert x is y
    inner = [1]
    got = _load(_bytes({"p": inner, "q": inner}))
    assert got["p"] is got["q"]
    ring = {"name": 1}
    ring["self"] = [ring]
    got = _load(_bytes(ring))
    assert got["self"][0] is got
    t = graphc.ones(4)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        _bytes([t, t.view(graphc.int32)])


def test_values_and_types():
    obj = {
        "c": 1 - 2j,
        "set": {1, "a", (2, 3)},
        "frozen": frozenset({1}),
        "array": bytearray(b"\x00\xff"),
        "counter": Counter("aab"),
        "ints": [0, 255, 256, 65535, 65536, -1, 2**31, -(2**63), 10**700],
        "floats": [0.1, float("inf"), -0.0],
        "text": "\ud800é\n",
        "empty": [(), [], {}, set(), ""],
        None: True,
        2.5: "key",
        (1, ("x",)): 3,
        "dtype": graphc.bfloat16,
        "numpy": np.float32(0.1),
    }
    got = _load(_bytes(obj))
    assert got == obj and list(got) == list(obj)
    assert (
        type(got["counter"]) is Counter
        and str(got["floats"][2]) == "-0.0"
        and type(got["numpy"]) is float
    )
    state = OrderedDict(w=graphc.ones(1))
    state._metadata = OrderedDict({"": {"version": 1}})
    assert _load(_bytes(state))._metadata == {"": {"version": 1}}
    scalar, empty, wide = _load(
        _bytes([graphc.tensor(3), graphc.zeros(0, 3), graphc.ones(2, 1).expand(2, 5)])
    )
    assert (
        scalar.shape == ()
        and scalar.item() == 3
        and empty.shape == (0, 3)
        and wide.stride() == (1, 0)
    )
    many = _load(_bytes({f"layer{i}": [graphc.full((1,), i)] for i in range(400)}))
    assert all(many[f"layer{i}"][0].item() == i for i in range(400))


@pytest.mark.parametrize(
    "obj,text",
    [
        ({"m": [lambda: 0]}, r"cannot store the function at obj\['m'\]\[0\]"),
        ((x for x in "ab"), "cannot store the generator at obj"),
        (lambda: 0, "cannot store the function at obj"),
        (defaultdict(lambda: 0), r"dict\(\.\.\.\)"),
    ],
)
def test_what_cannot_be_stored_is_named(obj, text):
    with pytest.raises(TypeError, match=text):
        _bytes(obj)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        _bytes(deep)


# ---------------------------------------------------------------- writing in one step


def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.pt"
    graphc.save({"x": graphc.ones(1000)}, path)
    before = path.read_bytes()
    calls = []

    def full(fd, data):
        calls.append(1)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        os.write(fd, data)

    with monkeypatch.context() as m:
        m.setattr(files, "write_all", full)
        with pytest.raises(OSError, match="No space left"):
            graphc.save({"x": graphc.zeros(1000)}, path)
    for name in ("fsync", "replace"):
        with monkeypatch.context() as m:
            m.setattr(os, name, lambda *a: (_ for _ in ()).throw(OSError(5, "I/O error")))
            with pytest.raises(OSError, match="I/O error"):
                graphc.save({"x": graphc.zeros(1000)}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.pt"]


def test_links_modes_and_file_objects(tmp_path):
    real, link = tmp_path / "real.pt", tmp_path / "link.pt"
    graphc.save(1, real)
    os.chmod(real, 0o640)
    link.symlink_to(real)
    graphc.save(2, link)
    assert (
        link.is_symlink()
        and graphc.load(real) == 2
        and stat.S_IMODE(os.stat(real).st_mode) == 0o640
    )
    graphc.save(3, str(tmp_path / "text.pt"))
    graphc.save([4], os.fsencode(tmp_path / "raw.pt"))
    assert graphc.load(tmp_path / "text.pt") == 3 and graphc.load(
        os.fsencode(tmp_path / "raw.pt")
    ) == [4]
    with open(tmp_path / "open.pt", "w+b") as f:
        graphc.save(graphc.ones(2), f)
        f.seek(0)
        assert graphc.load(f).tolist() == [1, 1] and not f.closed
    graphc.save(graphc.ones(2), "/dev/null")
    with pytest.raises(FileNotFoundError):
        graphc.load(tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError):
        graphc.save(1, tmp_path / "no" / "folder.pt")
    with pytest.raises(EOFError):
        _load(b"")
    with pytest.raises(AttributeError, match="read, seek and tell"):
        graphc.load(3)


def test_mapping_and_locations(tmp_path):
    path = tmp_path / "m.pt"
    graphc.save({"x": graphc.arange(5000.0)}, path)
    before = path.read_bytes()
    x = graphc.load(path, mmap=True)["x"]
    x[0] = 9
    x.mul_(2)
    assert x[0] == 18 and x[4999] == 9998 and path.read_bytes() == before
    for where in (
        None,
        "cpu",
        graphc.device("cpu"),
        {"cuda:0": "cpu"},
        lambda storage, place: storage,
    ):
        graphc.load(path, map_location=where, weights_only=True)
    with pytest.raises(RuntimeError, match="computes on the CPU only"):
        graphc.load(path, map_location="cuda")
    with pytest.raises(ValueError, match="file name"):
        graphc.load(io.BytesIO(before), mmap=True)


def test_sixty_four_bit_fields():
    """Files past 4 GiB carry 64-bit fields; here every size does."""
    contents = {"data.pkl": pickle.dumps([1, 2], 2), "data/0": bytes(1000), "version": b"3\n"}
    f = io.BytesIO()
    archive.write(f.write, [("x/" + k, v) for k, v in contents.items()], big=1)
    z = zipfile.ZipFile(io.BytesIO(f.getvalue()))
    assert z.testzip() is None and z.read("x/data/0") == bytes(1000)
    assert _load(f.getvalue()) == [1, 2]
    torch = pytest.importorskip("torch")
    assert torch.load(io.BytesIO(f.getvalue()), weights_only=True) == [1, 2]


def test_native_crc():
    rng = random.Random(0)
    for n in (0, 1, 65535, 65536, 65543, 100_001, 1 << 20):
        data = rng.randbytes(n)
        for start in (0, 0xDEADBEEF):
            assert archive.crc32(data, start) == zlib.crc32(data, start)
            assert archive.crc32(memoryview(data)[3:], start) == zlib.crc32(data[3:], start)


# ---------------------------------------------------------------- damage

STATE = {
    "model": OrderedDict(
        weight=graphc.arange(12.0).view(3, 4), bias=graphc.ones(3, dtype=graphc.bfloat16)
    ),
    "step": 17,
    "names": ["a", "b"],
}


def _equal(a, b):
    if isinstance(a, graphc.Tensor):
        return isinstance(b, graphc.Tensor) and a.dtype is b.dtype and graphc.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(_equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("first", range(3))
def test_every_third_byte_flipped(first):
    data = bytearray(_bytes(STATE))
    seen = 0
    for at in range(first, len(data), 3):
        data[at] ^= 1 << (at % 8)
        try:
            assert _equal(_load(bytes(data)), STATE), f"byte {at} goes unnoticed"
        except LoadError:
            seen += 1
        data[at] ^= 1 << (at % 8)
    assert seen > 200


def test_every_length_cut():
    data = _bytes(STATE)
    for n in range(1, len(data), 7):
        with pytest.raises(LoadError):
            _load(data[:n])


def test_damage_is_named(tmp_path):
    path = tmp_path / "model.pt"
    graphc.save(STATE, path)
    data = bytearray(path.read_bytes())
    at = data.index(np.arange(12, dtype=np.float32).tobytes())
    data[at + 9] ^= 4
    path.write_bytes(data)
    for options in ({}, {"mmap": True}):
        with pytest.raises(LoadError) as caught:
            graphc.load(path, **options)
        text = str(caught.value)
        assert str(path) in text and "obj['model']['weight']" in text and f"at offset {at} " in text


@pytest.mark.parametrize(
    "data,text",
    [
        (b"PK\x03\x04 and nothing more", "end of the archive is missing"),
        (b"hello world", "opcode 0x68|neither|damaged"),
        (_zip({"other": b"1"}), "none of graphc or PyTorch"),
        (_zip({"data.pkl": b"\x80\x02N."}) + b"tail", "end of the archive is missing"),
        (_zip({"data.pkl": b"\x80\x02N"}), "ends without STOP"),
        (_zip({"data.pkl": b"\x80\x02\xff."}), "opcode 0xff"),
    ],
)
def test_other_files(data, text):
    with pytest.raises(LoadError, match=text):
        _load(data)


# ---------------------------------------------------------------- hostile files


class _Call:
    def __init__(self, fn, *args):
        self.call = fn, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "evil",
    [
        _Call(os.system, "true"),
        _Call(eval, "1"),
        _Call(getattr, "", "join"),
        _Call(print, 1),
        OrderedDict.fromkeys,
        _Call(__import__, "os"),
        zipfile.ZipFile,
        Exception("x"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_nothing_is_called(evil, protocol):
    with pytest.raises(LoadError, match="not among"):
        _load(_zip({"data.pkl": pickle.dumps({"a": evil}, protocol)}))


def _tensor_pickle(
    storage="torch\nFloatStorage", key="0", numel=4, offset=0, shape=(4,), strides=(1,)
):
    out = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagec"
        + storage.encode()
        + b"\n"
    )
    for value in (key, "cpu", numel):
        out += pickle.dumps(value, 2)[2:-1]
    out += b"tQ"
    for value in (offset, shape, strides, False):
        out += pickle.dumps(value, 2)[2:-1]
    return out + b"ccollections\nOrderedDict\n)RtR."


def test_tensors_outside_of_their_storage():
    good = {"data/0": np.arange(4, dtype=np.float32).tobytes()}
    assert _load(_zip({"data.pkl": _tensor_pickle(), **good})).tolist() == [0, 1, 2, 3]
    for bad in (
        {"offset": 1},
        {"shape": (5,)},
        {"strides": (2,)},
        {"offset": -1},
        {"strides": (-1,)},
        {"shape": (2, 2)},
        {"shape": (1 << 62,), "strides": (0,)},
        {"numel": 5},
        {"numel": -4},
        {"key": "1"},
        {"storage": "torch\nfloat32"},
        {"storage": "os\nsystem"},
        {"shape": (True,)},
        {"shape": (1 << 40, 1 << 40), "strides": (0, 0)},
    ):
        with pytest.raises(LoadError):
            _load(_zip({"data.pkl": _tensor_pickle(**bad), **good}))


def test_deep_nesting_is_an_error_or_a_value_never_a_crash():
    for body in (
        b"]" * 200_000,
        b"N" + b"\x85" * 200_000,
        b"}" + b"N" + b"\x85" * 200_000 + b"Ns",
        b"\x8f(N" + b"\x85" * 200_000 + b"\x90",
    ):
        try:
            _load(_zip({"data.pkl": b"\x80\x02" + body + b"."}))
        except LoadError:
            pass


@pytest.mark.parametrize("seed", range(4))
def test_mutated_pickles_give_values_or_clean_errors(seed):
    """Checksums made right again: the interpreter itself has to hold."""
    rng = random.Random(seed)
    z = zipfile.ZipFile(
        io.BytesIO(_bytes({**STATE, "set": {1}, "np": [1.5, b"x", 2j], "c": Counter("a")}))
    )
    records = {n.partition("/")[2]: z.read(n) for n in z.namelist()}
    original = records["data.pkl"]
    for _ in range(400):
        p = bytearray(original)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(p))
            kind = rng.randrange(4)
            if kind == 0:
                p[at] = rng.randrange(256)
            elif kind == 1:
                del p[at : at + rng.randrange(1, 9)]
            elif kind == 2:
                p[at:at] = rng.randbytes(rng.randrange(1, 5))
            else:
                other = rng.randrange(len(p))
                p[at:at] = p[other : other + rng.randrange(1, 30)]
            p = p or bytearray(b".")
        try:
            _load(_zip({**records, "data.pkl": bytes(p)}))
        except (LoadError, MemoryError):
            pass


# ---------------------------------------------------------------- PyTorch


def _torch_state(torch):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    base = torch.arange(20.0).reshape(4, 5)
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "views": [base, base[1], base.t()],
        "p": torch.nn.Parameter(torch.ones(2)),
        "half": base.half(),
        "bf": base.bfloat16(),
        "c": torch.ones(2, dtype=torch.complex64),
        "numbers": [np.float64(2.5), np.int32(3), np.arange(6, dtype=np.int16).reshape(2, 3)],
        "misc": {
            "size": base.shape,
            "dtype": torch.int8,
            "device": torch.device("cuda", 1),
            "b": b"\xff",
        },
    }


@pytest.mark.parametrize("new", [True, False])
def test_reads_pytorchs_files(new, tmp_path):
    torch = pytest.importorskip("torch")
    state = _torch_state(torch)
    torch.save(state, tmp_path / "t.pt", _use_new_zipfile_serialization=new)
    got = graphc.load(tmp_path / "t.pt")

    def same(a, b):
        if isinstance(a, torch.Tensor):
            assert (
                tuple(a.shape) == b.shape
                and a.stride() == b.stride()
                and str(a.dtype) == str(b.dtype)
            )
            assert a.requires_grad == b.requires_grad
            assert a.tolist() == b.tolist()
        elif isinstance(a, dict):
            assert list(a) == list(b)
            for k in a:
                same(a[k], b[k])
        elif isinstance(a, np.ndarray):
            assert np.array_equal(a, b) and a.dtype == b.dtype
        elif isinstance(a, (list, tuple)) and not isinstance(a, torch.Size):
            for x, y in zip(a, b, strict=True):
                same(x, y)
        else:
            assert str(a) == str(b)

    same(state, got)
    assert (
        type(got["p"]) is graphc.nn.Parameter and got["model"]._metadata == state["model"]._metadata
    )
    got["views"][0][1, 2] = -5
    assert got["views"][1][2] == -5 and got["views"][2][2, 1] == -5


def test_old_files_are_checked_too(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"x": torch.arange(50)}, tmp_path / "t.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "t.pt").read_bytes()
    for n in range(1, len(data), 11):
        with pytest.raises(LoadError):
            _load(data[:n])
    rng = random.Random(1)
    for _ in range(200):
        p = bytearray(data)
        p[rng.randrange(len(p) - 400)] = rng.randrange(256)
        try:
            _load(bytes(p))
        except LoadError:
            pass


def test_pytorch_reads_ours(tmp_path):
    torch = pytest.importorskip("torch")
    model = graphc.nn.Linear(3, 2)
    optimizer = graphc.optim.Adam(model.parameters())
    model(graphc.ones(1, 3)).sum().backward()
    optimizer.step()
    base = graphc.arange(20.0).view(4, 5)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": graphc.get_rng_state(),
        "views": [base, base[1], base.t()],
        "p": graphc.nn.Parameter(graphc.ones(2), requires_grad=False),
        "misc": [
            1 + 2j,
            b"\xff",
            {1},
            bytearray(b"x"),
            Counter("ab"),
            graphc.float16,
            base.shape,
            "é",
            2**70,
        ],
    }
    graphc.save(state, tmp_path / "g.pt")
    for options in (
        {"weights_only": True},
        {"weights_only": False},
        {"weights_only": True, "mmap": True},
    ):
        got = torch.load(tmp_path / "g.pt", **options)
        assert got["views"][1].data_ptr() == got["views"][0][1].data_ptr() and got["views"][
            2
        ].stride() == (1, 5)
        assert type(got["p"]) is torch.nn.Parameter and not got["p"].requires_grad
        assert got["misc"] == [
            1 + 2j,
            b"\xff",
            {1},
            bytearray(b"x"),
            Counter("ab"),
            torch.float16,
            torch.Size([4, 5]),
            "é",
            2**70,
        ]
        torch.nn.Linear(3, 2).load_state_dict(got["model"])
        other = torch.nn.Linear(3, 2)
        torch.optim.Adam(other.parameters()).load_state_dict(got["optimizer"])
