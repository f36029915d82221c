"""Calls of the native array kernels from tests, special values, other builds of the same sources.

`call(name, code, *arrays)` runs gc_v_<name>_<code>; `HeaderFunctions` compiles scalar functions of
the headers into plain loops, for those that have no array kernel.
"""

from pathlib import Path

import numpy as np

from graphc.base.resources import runtime_dir
from graphc.native import build, cpu, library, toolchain

DTYPE = {
    "f16": np.uint16,
    "bf16": np.uint16,
    "f32": np.float32,
    "f64": np.float64,
    "u8": np.uint8,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "b8": np.uint8,
}
C_TYPE = {
    "f16": "uint16_t",
    "bf16": "uint16_t",
    "f32": "float",
    "f64": "double",
    "u8": "uint8_t",
    "i8": "int8_t",
    "i16": "int16_t",
    "i32": "int32_t",
    "i64": "int64_t",
    "b8": "uint8_t",
}
SIGNATURE = {
    1: "void(int64_t, void *, void *)",
    2: "void(int64_t, void *, int64_t, void *, int64_t, void *)",
    3: "void(int64_t, void *, int64_t, void *, int64_t, void *, int64_t, void *)",
}
FAMILIES = [
    "math_exp_f32",
    "math_exp_f64",
    "math_trig_f32",
    "math_trig_f64",
    "math_special",
    "math_gamma",
    "basic_f32",
    "basic_f64",
    "casts",
    "ints",
    "random",
]


def call(name, code, *arrays, result=None, find=library.fn, out=None):
    """One element arrays broadcast (stride 0) against longer ones."""
    arrays = [np.ascontiguousarray(a, DTYPE[code]).reshape(-1) for a in arrays]
    n = max(a.size for a in arrays)
    if out is None:
        out = np.empty(n, DTYPE[result or code])
    f = find(f"gc_v_{name}_{code}", SIGNATURE[len(arrays)])
    if len(arrays) == 1:
        f(n, library.pointer(arrays[0]), library.pointer(out))
    else:
        args = []
        for a in arrays:
            args += [library.pointer(a), 0 if a.size == 1 else 1]
        f(n, *args, library.pointer(out))
    return out


def cast(x, source, target, find=library.fn):
    x = np.ascontiguousarray(x, DTYPE[source])
    out = np.empty(x.size, DTYPE[target])
    f = find(f"gc_v_cast_{source}_{target}", SIGNATURE[1])
    f(x.size, library.pointer(x), library.pointer(out))
    return out


def same_bits(a, b):
    """Equal raw bits, all NaN being one."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind != "f":
        return a.dtype == b.dtype and np.array_equal(a, b)
    u = np.uint32 if a.dtype == np.float32 else np.uint64
    return a.dtype == b.dtype and bool(
        np.all((a.view(u) == b.view(u)) | (np.isnan(a) & np.isnan(b)))
    )


def special(code):
    """Zeros, infinities, NaN, subnormals, the extremes, small integers and halves, both signs."""
    t = DTYPE[code]
    f = np.finfo(t)
    tiny = f.smallest_subnormal
    x = [
        0,
        tiny,
        3 * tiny,
        f.tiny - tiny,
        f.tiny,
        f.tiny * 1.5,
        f.eps,
        f.eps / 2,
        1 - f.epsneg,
        1,
        1 + f.eps,
        0.5,
        1.5,
        2,
        2.5,
        3,
        4,
        5,
        10,
        100,
        88.7,
        89,
        104,
        710,
        746,
        f.max / 2,
        f.max,
        np.inf,
        np.nan,
        2.0**f.nmant,
        2.0 ** (f.nmant + 1),
        2.0 ** (f.nmant + 1) - 1,
        2.0**31,
        2.0**63,
    ]
    x = np.array(x, t)
    return np.concatenate([x, -x])


def sweep(code, count=4, seed=0):
    """`count` random significands at every exponent, both signs, after the special values."""
    rng = np.random.default_rng(seed)
    f = np.finfo(DTYPE[code])
    u, m = (np.uint32, 23) if code == "f32" else (np.uint64, 52)
    exponents = np.repeat(np.arange(2 * f.maxexp - 1, dtype=u), count)
    bits = (exponents << u(m)) | rng.integers(0, 2**m, exponents.size, dtype=u)
    bits |= rng.integers(0, 2, exponents.size, dtype=u) << u(8 * DTYPE[code]().itemsize - 1)
    return np.concatenate([special(code), bits.view(DTYPE[code])])


def other_build(folder: Path, command: str, flags=("-O1",)):
    """The families built with another compiler and optimisation: the same role as library.fn."""
    compiler = toolchain.compiler_at(command)
    stub = folder / "serial.c"
    stub.write_text(
        '#include "gc_api.h"\nvoid gc_parallel_for(int64_t n, int64_t grain, gc_body body, '
        "void *ctx) { (void)grain; body(ctx, 0, n, 0); }\n"
    )
    src = runtime_dir() / "src"
    paths = [path for name in FAMILIES for path in src.rglob(f"{name}.c")]
    flags = (*flags, "-I", str(src))
    build.compile_files([*paths, stub], folder / "other.so", compiler=compiler, flags=flags)
    handle = cpu.load(str(folder / "other.so"))
    return lambda name, signature: cpu.function(handle, name, signature)


class HeaderFunctions:
    """Loops around scalar functions, compiled once: functions(name, code, *arrays). `wanted` lists
    (name, code, number of operands, code of the result)."""

    def __init__(self, folder: Path, wanted):
        text = [
            '#include "gc_math.h"',
            '#include "gc_cast.h"',
            '#include "gc_int.h"',
            '#include "gc_philox.h"',
            '#define OUT __attribute__((visibility("default")))',
        ]
        for name, code, count, result in wanted:
            args = ", ".join(f"const {C_TYPE[code]} *x{k}" for k in range(count))
            values = ", ".join(f"x{k}[i]" for k in range(count))
            text.append(
                f"OUT void t_{name}_{code}(int64_t n, {args}, {C_TYPE[result]} *out) {{ "
                f"for (int64_t i = 0; i < n; i++) out[i] = gc_{name}_{code}({values}); }}"
            )
        source = folder / "header_functions.c"
        source.write_text("\n".join(text))
        build.compile_files([source], folder / "header_functions.so", flags=["-O1"])
        self.handle = cpu.load(str(folder / "header_functions.so"))

    def __call__(self, name, code, *arrays, result=None):
        arrays = [np.ascontiguousarray(a, DTYPE[code]) for a in arrays]
        out = np.empty(arrays[0].size, DTYPE[result or code])
        signature = f"void(int64_t, {', '.join(['void *'] * (len(arrays) + 1))})"
        f = cpu.function(self.handle, f"t_{name}_{code}", signature)
        f(out.size, *map(library.pointer, (*arrays, out)))
        return out
