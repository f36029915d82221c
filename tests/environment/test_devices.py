"""Devices that are not there, backends, settings: what is asked is answered as by a PyTorch on the
CPU, what needs a device raises its errors."""

import importlib

import pytest

import graphc

NO_CUDA = "Torch not compiled with CUDA enabled"


def _outcome(f):
    try:
        return repr(f())
    except Exception as e:  # noqa: BLE001
        return f"{type(e).__name__}: {e}"


QUESTIONS = """is_available is_initialized device_count current_device synchronize empty_cache
max_memory_allocated memory_allocated memory_reserved max_memory_reserved memory_stats
get_device_name get_device_capability get_device_properties is_bf16_supported get_rng_state
get_rng_state_all init current_stream default_stream seed initial_seed seed_all ipc_collect
get_arch_list get_gencode_flags mem_get_info is_tf32_supported cudart Stream Event CUDAGraph
FloatTensor""".split()
CALLS = {
    "seed": lambda t: t.cuda.manual_seed(1),
    "seed_all": lambda t: t.cuda.manual_seed_all(1),
    "negative": lambda t: t.cuda.set_device(-1),
    "stream": lambda t: t.cuda.stream(None).__enter__(),
    "tensor": lambda t: t.zeros(1, device="cuda"),
    "to": lambda t: t.zeros(1).to("cuda:0"),
    "method": lambda t: t.zeros(1).cuda(),
    "module": lambda t: t.nn.Linear(1, 1).cuda(),
    "peer": lambda t: t.cuda.device_of(t.zeros(1)).__enter__(),
    "index": lambda t: t.device(0),
    "bad": lambda t: t.device("cpu", -2),
    "mps": lambda t: (t.backends.mps.is_available(), t.backends.mps.is_built()),
    "cudnn": lambda t: (t.backends.cudnn.is_available(), t.backends.cudnn.version()),
    "built": lambda t: t.backends.cuda.is_built(),
    "sdp": lambda t: (t.backends.cuda.flash_sdp_enabled(), t.backends.cuda.math_sdp_enabled()),
    "cpu": lambda t: (t.cpu.is_available(), t.cpu.device_count(), t.cpu.current_device()),
    "default": lambda t: t.get_default_device(),
    "isinstance": lambda t: isinstance(t.zeros(1), t.cuda.FloatTensor),
}


def test_cuda_is_not_there():
    assert graphc.cuda.is_available() is False and graphc.cuda.device_count() == 0
    for f in (graphc.cuda.synchronize, graphc.cuda.current_device, graphc.zeros(2).cuda):
        with pytest.raises(AssertionError, match=NO_CUDA):
            f()
    with pytest.raises(AssertionError, match=NO_CUDA):
        graphc.cuda.set_device(0)
    with pytest.raises(AssertionError, match=NO_CUDA), graphc.cuda.device(0):
        pass
    assert not isinstance(graphc.zeros(1), graphc.cuda.FloatTensor)
    with pytest.raises(RuntimeError, match="CPU only"):
        graphc.Generator("cuda")


def test_answers_are_pytorchs():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a PyTorch with CUDA answers otherwise")
    for name in QUESTIONS:
        mine, theirs = (_outcome(getattr(t.cuda, name)) for t in (graphc, torch))
        assert mine == theirs, name
    for name, f in CALLS.items():
        assert _outcome(lambda f=f: f(graphc)) == _outcome(lambda f=f: f(torch)), name


def test_settings_of_backends_are_kept():
    for path in ("cudnn", "cuda", "mps", "mkl", "mkldnn", "openmp", "opt_einsum", "quantized"):
        importlib.import_module(f"graphc.backends.{path}")
    cudnn = graphc.backends.cudnn
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, False, False)
    cudnn.benchmark = True
    with cudnn.flags(enabled=False, deterministic=True):
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (False, False, True)
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, True, False)
    assert cudnn.set_flags(_benchmark=False)[:2] == (True, True)
    assert cudnn.benchmark is False
    graphc.backends.cuda.matmul.allow_tf32 = True
    assert graphc.backends.cuda.matmul.allow_tf32
    graphc.backends.cuda.enable_flash_sdp(False)
    with graphc.backends.cuda.sdp_kernel(enable_flash=True, enable_math=False):
        assert graphc.backends.cuda.flash_sdp_enabled()
        assert not graphc.backends.cuda.math_sdp_enabled()
    assert not graphc.backends.cuda.flash_sdp_enabled()
    graphc.backends.cuda.enable_flash_sdp(True)


def test_default_device():
    assert graphc.get_default_device() == graphc.device("cpu")
    graphc.set_default_device("cuda")
    try:
        with pytest.raises(AssertionError, match=NO_CUDA):
            graphc.zeros(2)
        assert graphc.zeros(2, device="cpu").shape == (2,)
        with graphc.device("cpu"):
            assert graphc.ones(1).item() == 1
        with pytest.raises(AssertionError, match=NO_CUDA):
            graphc.rand(2)
    finally:
        graphc.set_default_device(None)

    @graphc.device("cuda")
    def f():
        return graphc.ones(1)

    with pytest.raises(AssertionError, match=NO_CUDA):
        f()
    assert graphc.ones(1).device.type == "cpu"


def test_deterministic_settings():
    graphc.use_deterministic_algorithms(True, warn_only=True)
    assert graphc.are_deterministic_algorithms_enabled()
    assert graphc.is_deterministic_algorithms_warn_only_enabled()
    assert graphc.get_deterministic_debug_mode() == 1
    graphc.set_deterministic_debug_mode("error")
    assert graphc.get_deterministic_debug_mode() == 2
    graphc.set_deterministic_debug_mode(0)
    assert not graphc.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="invalid value of debug_mode"):
        graphc.set_deterministic_debug_mode("x")
    assert graphc.get_float32_matmul_precision() == "highest"
    graphc.set_float32_matmul_precision("high")
    assert graphc.get_float32_matmul_precision() == "high"
    with pytest.warns(UserWarning, match="low is not one of"):
        graphc.set_float32_matmul_precision("low")
    graphc.set_float32_matmul_precision("highest")
    graphc.set_num_interop_threads(2)
    assert graphc.get_num_interop_threads() == 2


def test_checks():
    graphc._check(True)
    graphc._assert(graphc.tensor(True), "x")
    with pytest.raises(AssertionError, match="why"):
        graphc._assert(False, "why")
    for name, error in (
        ("_check", RuntimeError),
        ("_check_value", ValueError),
        ("_check_index", IndexError),
        ("_check_type", TypeError),
        ("_check_not_implemented", NotImplementedError),
    ):
        with pytest.raises(error, match="told so"):
            getattr(graphc, name)(False, lambda: "told so")
    with pytest.raises(RuntimeError, match="Expected cond to be True, but got False"):
        graphc._check(False)
    with pytest.raises(TypeError, match="message must be a callable"):
        graphc._check(False, "text")
    with pytest.raises(TypeError, match="cond must be a bool, but got a Tensor"):
        graphc._check(graphc.tensor(True))
    graphc._check_tensor_all(graphc.ones(2) > 0)
    with pytest.raises(RuntimeError):
        graphc._check_is_size(-1)
    assert graphc.typename(graphc.zeros(1)) == "torch.FloatTensor"
    assert graphc.typename(3) == "int"
