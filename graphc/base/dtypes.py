"""Element types: takes names, numpy dtypes or Python numbers; gives `DType` singletons and
PyTorch's promotion rules. Invariant: two equal dtypes are the same object."""

from __future__ import annotations

from typing import Any

import numpy as np

BOOL, INT, FLOAT, COMPLEX = range(4)


class DType:
    """One element type. `name` is PyTorch's (`float32`), `code` the short one of the runtime
    (`f32`), `ctype` the C type of one element in memory, `category` BOOL < INT < FLOAT <
    COMPLEX."""

    __slots__ = (
        "name",
        "code",
        "ctype",
        "itemsize",
        "category",
        "is_signed",
        "title",
        "_np",
        "is_floating_point",
        "is_complex",
        "order",
        "zero_dim",
    )

    def __init__(
        self,
        name: str,
        code: str,
        ctype: str,
        itemsize: int,
        category: int,
        title: str,
        order: int,
        signed: bool = True,
    ):
        self.name, self.code, self.ctype, self.itemsize = name, code, ctype, itemsize
        self.category, self.title, self.order, self.is_signed = category, title, order, signed
        self.is_floating_point = category == FLOAT
        self.is_complex = category == COMPLEX
        self._np: np.dtype | None = None
        self.zero_dim = (self,)  # marks "0-d tensor of this dtype" in promotion keys

    @property
    def np(self) -> np.dtype:
        """The numpy dtype (bfloat16 imports ml_dtypes on first use)."""
        if self._np is None:
            if self.name == "bfloat16":
                import ml_dtypes

                self._np = np.dtype(ml_dtypes.bfloat16)
                _FROM_NP[self._np] = self
            else:
                self._np = np.dtype(self.name)
        return self._np

    @property
    def is_half(self) -> bool:
        """float16 and bfloat16: stored in two bytes, computed in float32."""
        return self.category == FLOAT and self.itemsize == 2

    @property
    def compute(self) -> DType:
        """The dtype that arithmetic on this dtype runs in."""
        return float32 if self.is_half else self

    def to_real(self) -> DType:
        return {complex64: float32, complex128: float64}.get(self, self)

    def to_complex(self) -> DType:
        """The complex dtype of this precision (complex64 for half types, which have none here)."""
        if self.is_half:
            return complex64
        return {float32: complex64, float64: complex128}.get(self, self)

    def __repr__(self) -> str:
        return "torch." + self.name

    def __reduce__(self) -> tuple:
        return (dtype_named, (self.name,))

    def __deepcopy__(self, memo: dict) -> DType:
        return self

    __copy__ = __deepcopy__


bool_ = DType("bool", "b8", "uint8_t", 1, BOOL, "Bool", 0, signed=False)
uint8 = DType("uint8", "u8", "uint8_t", 1, INT, "Byte", 1, signed=False)
int8 = DType("int8", "i8", "int8_t", 1, INT, "Char", 2)
int16 = DType("int16", "i16", "int16_t", 2, INT, "Short", 3)
int32 = DType("int32", "i32", "int32_t", 4, INT, "Int", 4)
int64 = DType("int64", "i64", "int64_t", 8, INT, "Long", 5)
float16 = DType("float16", "f16", "uint16_t", 2, FLOAT, "Half", 6)
bfloat16 = DType("bfloat16", "bf16", "uint16_t", 2, FLOAT, "BFloat16", 7)
float32 = DType("float32", "f32", "float", 4, FLOAT, "Float", 8)
float64 = DType("float64", "f64", "double", 8, FLOAT, "Double", 9)
complex64 = DType("complex64", "c64", "float _Complex", 8, COMPLEX, "ComplexFloat", 10)
complex128 = DType("complex128", "c128", "double _Complex", 16, COMPLEX, "ComplexDouble", 11)

ALL = (
    bool_,
    uint8,
    int8,
    int16,
    int32,
    int64,
    float16,
    bfloat16,
    float32,
    float64,
    complex64,
    complex128,
)
REAL = ALL[:10]
_BY_NAME = {d.name: d for d in ALL}
_BY_CODE = {d.code: d for d in ALL}
_FROM_NP: dict[np.dtype, DType] = {np.dtype(d.name): d for d in ALL if d is not bfloat16}
for _d in ALL:
    if _d is not bfloat16:
        _d._np = np.dtype(_d.name)


def dtype_named(name: str) -> DType:
    """The dtype of that name, e.g. "float32"; ValueError when there is none."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ValueError(f"graphc has no dtype named {name!r}") from None


def dtype_coded(code: str) -> DType:
    """The dtype of a runtime code, e.g. "f32"."""
    return _BY_CODE[code]


def from_numpy_dtype(dt: Any) -> DType:
    """The DType of a numpy dtype. Raises PyTorch's TypeError for dtypes that have no
    counterpart."""
    found = _FROM_NP.get(dt)
    if found is None:
        dt = np.dtype(dt)
        found = _FROM_NP.get(dt.newbyteorder("="))
        if found is None and dt.name == "bfloat16":
            found = _FROM_NP[bfloat16.np]
        if found is None:
            raise TypeError(
                f"can't convert np.ndarray of type {dt.type.__module__}.{dt.type.__name__}. The "
                f"only "
                "supported types are: float64, float32, float16, complex64, complex128, int64, "
                "int32, "
                "int16, int8, uint8, and bool."
            )
    return found


_default = float32


def get_default_dtype() -> DType:
    return _default


def set_default_dtype(d: DType) -> None:
    """Sets what Python floats become. Only floating dtypes are accepted (TypeError otherwise)."""
    global _default
    if not isinstance(d, DType) or not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _default = d
    _RESULTS.clear()


def of_number(x: Any) -> DType:
    """The dtype that a Python number takes as a tensor by itself."""
    if isinstance(x, bool):
        return bool_
    if isinstance(x, int):
        return int64
    if isinstance(x, complex):
        return _default.to_complex() if _default.is_floating_point else complex64
    return _default


def c_name(d: DType) -> str:
    """The C++ type as PyTorch's newer errors spell it (`long int`)."""
    return {
        "int64": "long int",
        "int16": "short int",
        "float16": "c10::Half",
        "bfloat16": "c10::BFloat16",
        "float32": "float",
        "float64": "double",
        "int32": "int",
        "int8": "signed char",
        "uint8": "unsigned char",
        "complex64": "c10::complex<float>",
        "complex128": "c10::complex<double>",
        "bool": "bool",
    }.get(d.name, d.name)


_PROMOTED: dict[tuple[DType, DType], DType] = {}


def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest dtype that both convert to (PyTorch's lattice)."""
    a, b = type1, type2
    if a is b:
        return a
    key = (a, b)
    found = _PROMOTED.get(key)
    if found is None:
        found = _PROMOTED[key] = _promote(a, b)
    return found


def _promote(a: DType, b: DType) -> DType:
    if a.order > b.order:
        a, b = b, a
    if b.category == COMPLEX:
        if a is float64:
            return complex128
        return b
    if b.category == FLOAT:
        if (a, b) == (float16, bfloat16):
            return float32
        return b
    if a is uint8 and b is int8:
        return int16
    return b


_RESULTS: dict[tuple, DType] = {}


def result_of_keys(keys: tuple) -> DType:
    """Result dtype of an op over operands described by keys: a DType for a tensor with dimensions,
    `(DType,)` (DType.zero_dim) for a 0-d tensor, a Python number type for a scalar. Cached."""
    found = _RESULTS.get(keys)
    if found is None:
        found = _RESULTS[keys] = _result(keys)
    return found


def _result(keys: tuple) -> DType:
    dims: DType | None = None
    zeros: DType | None = None
    numbers: DType | None = None
    for k in keys:
        if isinstance(k, DType):
            dims = k if dims is None else promote_types(dims, k)
        elif isinstance(k, tuple):
            zeros = k[0] if zeros is None else promote_types(zeros, k[0])
        else:
            n = of_number(k())
            numbers = n if numbers is None else promote_types(numbers, n)
    out = dims
    for lower in (zeros, numbers):
        if lower is None:
            continue
        if out is None:
            out = lower
        elif lower.category > out.category:
            out = out.to_complex() if lower.category == COMPLEX and out.category == FLOAT else lower
            if lower.category == COMPLEX and out.category != COMPLEX:
                out = lower
    assert out is not None
    return out


def can_cast(from_: DType, to: DType) -> bool:
    """Whether an in-place result of `from_` may be written into a tensor of `to`."""
    if from_.category > to.category:
        return False
    return to is not bool_ or from_ is bool_


class finfo:
    """Limits of a floating dtype, as `torch.finfo`."""

    def __init__(self, type: DType | None = None):
        d = _default if type is None else type
        if d.category not in (FLOAT, COMPLEX):
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                f"'{d!r}'"
            )
        d = d.to_real()
        if d is bfloat16:
            import ml_dtypes

            i: Any = ml_dtypes.finfo(ml_dtypes.bfloat16)
        else:
            i = np.finfo(d.np)
        self.bits, self.dtype = d.itemsize * 8, d.name
        self.eps, self.max, self.min = float(i.eps), float(i.max), float(i.min)
        self.tiny = self.smallest_normal = float(i.tiny)
        self.resolution = float(i.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype, as `torch.iinfo`."""

    def __init__(self, type: DType):
        if type.category != INT:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                f"'{type!r}'"
            )
        i = np.iinfo(type.np)
        self.bits, self.dtype = type.itemsize * 8, type.name
        self.max, self.min = int(i.max), int(i.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
