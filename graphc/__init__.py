"""graphc: PyTorch-style tensors and autograd on the CPU, with a compiler whose results are
eager's, bit for bit, and whose generated kernels can be read. Use it as `import graphc as
torch`."""

from __future__ import annotations

import importlib
import sys as _sys
import warnings as _warnings
from types import ModuleType as _ModuleType
from typing import Any

from . import algebra as _algebra
from . import complex_numbers as _complex_numbers
from . import functional as _functional
from . import layout as _layout
from . import legacy as _legacy
from . import linalg_names as _linalg_names
from . import methods as _methods  # noqa: F401  (gives Tensor its methods)
from . import ordering as _ordering
from . import pieces as _pieces
from . import settings as _settings
from . import special as _special
from . import spectral as _spectral
from . import statistics as _statistics
from . import tensor_facts as _tensor_facts
from .autograd import is_anomaly_enabled
from .base.dtypes import DType as dtype
from .base.dtypes import (
    bfloat16,
    can_cast,
    complex64,
    complex128,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from .base.dtypes import bool_ as bool
from .base.formats import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    memory_format,
    preserve_format,
)
from .core import observe as _observe
from .core import tensor as _tensor_room
from .core.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .core.rng import Generator, default_generator, initial_seed, manual_seed, seed
from .core.tensor import Size, Tensor
from .creation import (
    arange,
    as_tensor,
    asarray,
    empty,
    empty_like,
    eye,
    from_numpy,
    frombuffer,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .creation import (
    range_ as range,
)
from .device import device, get_default_device, set_default_device
from .printing import set_printoptions
from .state import get_num_threads, get_rng_state, info, set_num_threads, set_rng_state
from .version import __version__

# numpy warns where IEEE 754 simply gives inf or nan, as PyTorch does silently
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"graphc\..*")

float, double, half = float32, float64, float16
short, int, long = int16, int32, int64
cfloat, cdouble = complex64, complex128
legacy_contiguous_format = contiguous_format
for _name in _layout.NAMES:
    globals()[_name] = getattr(_layout, _name)
inf, nan, pi, e = (
    _functional.math.inf,
    _functional.math.nan,
    _functional.math.pi,
    _functional.math.e,
)
newaxis = None

_FUNCTIONS = (
    *_functional.UNARY,
    *_functional.BINARY,
    "absolute",
    "negative",
    "arcsin",
    "arccos",
    "arctan",
    "fix",
    "multiply",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "arctan2",
    "add",
    "sub",
    "rsub",
    "div",
    "pow",
    "float_power",
    "clamp",
    "clip",
    "clamp_min",
    "clamp_max",
    "round",
    "where",
    "lerp",
    "addcmul",
    "addcdiv",
    "masked_fill",
    "softmax",
    "log_softmax",
    "sum",
    "nansum",
    "mean",
    "prod",
    "var",
    "std",
    "var_mean",
    "std_mean",
    "max",
    "min",
    "amax",
    "amin",
    "aminmax",
    "argmax",
    "argmin",
    "any",
    "all",
    "logsumexp",
    "norm",
    "count_nonzero",
    "matmul",
    "mm",
    "bmm",
    "mv",
    "dot",
    "outer",
    "addmm",
    "baddbmm",
    "reshape",
    "transpose",
    "swapaxes",
    "swapdims",
    "permute",
    "movedim",
    "moveaxis",
    "t",
    "squeeze",
    "unsqueeze",
    "flatten",
    "ravel",
    "unflatten",
    "broadcast_to",
    "broadcast_tensors",
    "narrow",
    "select",
    "split",
    "chunk",
    "tensor_split",
    "unbind",
    "cat",
    "concat",
    "concatenate",
    "stack",
    "hstack",
    "vstack",
    "flip",
    "roll",
    "diagonal",
    "diag",
    "tril",
    "triu",
    "tile",
    "clone",
    "meshgrid",
    "gather",
    "index_select",
    "take_along_dim",
    "scatter",
    "scatter_add",
    "index_add",
    "nonzero",
    "masked_select",
    "is_tensor",
    "numel",
    "is_floating_point",
    "is_complex",
    "equal",
    "allclose",
    "isclose",
    "result_type",
    "bernoulli",
    "normal",
    "multinomial",
    "scalar_tensor",
    "detach",
    "fill_",
    "zero_",
)
for _name in _FUNCTIONS:
    globals()[_name] = getattr(_functional, _name)
for _room in (
    _ordering,
    _algebra,
    _complex_numbers,
    _pieces,
    _statistics,
    _special,
    _tensor_facts,
    _linalg_names,
    _spectral,
):
    for _name in _room.FUNCTIONS:
        globals()[_name] = getattr(_room, _name)
globals().update(_legacy.TYPES)
for _name in _settings.TOP:
    globals()[_name] = getattr(_settings, _name)
for _name in (
    "clamp_",
    "relu_",
    "exp_",
    "sigmoid_",
    "tanh_",
    "is_inference",
):
    globals()[_name] = getattr(Tensor, _name)
subtract, divide, true_divide = _functional.sub, _functional.div, _functional.div
ger = _functional.outer

# Heavier rooms load when they are first named.
_LAZY_MODULES = {
    "return_types",
    "nn",
    "optim",
    "utils",
    "autograd",
    "datasets",
    "linalg",
    "fft",
    "signal",
    "sparse",
    "func",
    "random",
    "testing",
    "cuda",
    "backends",
    "amp",
    "cpu",
    "jit",
    "compiler",
    "_dynamo",
    "distributed",
    "distributions",
    "hub",
    "overrides",
    "profiler",
    "serialization",
    "version",
    "multiprocessing",
}
_LAZY_NAMES = {
    **dict.fromkeys(
        ("cosine_similarity", "pairwise_distance", "kl_div", "prelu"), "nn.functional"
    ),
    "compile": "compile",
    "save": "serialization",
    "load": "serialization",
    "verify": "checks",
    "check_nan": "checks",
    "sparse_coo_tensor": "sparse",
    "spmm": "sparse",
    **dict.fromkeys(
        (
            "conv1d",
            "conv2d",
            "conv3d",
            "conv_tbc",
            "conv_transpose1d",
            "conv_transpose2d",
            "conv_transpose3d",
            "convolution",
        ),
        "nn.functional.conv",
    ),
    **dict.fromkeys(
        (
            "max_pool1d",
            "max_pool1d_with_indices",
            "max_pool2d",
            "max_pool3d",
            "avg_pool1d",
            "adaptive_avg_pool1d",
            "adaptive_max_pool1d",
        ),
        "nn.functional.pooling",
    ),
    **dict.fromkeys(("channel_shuffle", "pixel_shuffle", "pixel_unshuffle"), "nn.functional.shape"),
    **dict.fromkeys(
        ("affine_grid_generator", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d"),
        "nn.functional.resampling",
    ),
    **dict.fromkeys(("layer_norm", "rms_norm"), "nn.functional.normalization"),
    "vmap": "func",
    "from_dlpack": "interop",
    "to_dlpack": "interop",
    **dict.fromkeys(
        "autocast autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache "
        "get_autocast_cpu_dtype get_autocast_dtype get_autocast_gpu_dtype "
        "is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled "
        "set_autocast_cache_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled "
        "set_autocast_dtype set_autocast_enabled set_autocast_gpu_dtype".split(),
        "amp.autocast_mode",
    ),
    "GradScaler": "amp",
    "OutOfMemoryError": "cuda",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        try:
            return importlib.import_module("." + name, __name__)
        except ModuleNotFoundError as e:
            if e.name != f"{__name__}.{name}":
                raise
    if name in _LAZY_NAMES:
        module = importlib.import_module("." + _LAZY_NAMES[name], __name__)
        found = getattr(module, name, None)
        if found is not None:
            globals()[name] = found
            return found
    raise AttributeError(f"module 'graphc' has no attribute {name!r}")


def _subclassed(cls: type) -> None:
    importlib.import_module(".overrides", __name__).adopt(cls)


_tensor_room.subclassed.append(_subclassed)


def _compile(*args: Any, **kwargs: Any) -> Any:
    return __getattr__("compile")(*args, **kwargs)


class _Package(_ModuleType):
    """`graphc.compile` is the function, also after an import of the module of that name, which
    would replace it."""

    @property
    def compile(self) -> Any:
        return __getattr__("compile")

    @compile.setter
    def compile(self, module: Any) -> None:
        pass


_sys.modules[__name__].__class__ = _Package
def _reset() -> None:
    importlib.import_module(".compile", __name__).reset()


_observe.lent["compile"] = _compile  # for Module.compile, which is below the facade
_observe.lent["reset"] = _reset


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES, *_LAZY_NAMES})
