"""PyTorch's backends, none of which graphc has: the modules answer that they are not available and
keep the settings that programs make. https://docs.pytorch.org/docs/stable/backends.html"""

from . import cpu, cuda, cudnn, mha, mkl, mkldnn, mps, nnpack, openmp, opt_einsum, quantized

__all__ = [
    "cpu",
    "cuda",
    "cudnn",
    "mha",
    "mkl",
    "mkldnn",
    "mps",
    "nnpack",
    "openmp",
    "opt_einsum",
    "quantized",
]
