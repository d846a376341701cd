"""Vectors of pixels as a Numba type: explicit SIMD for the kernels that go through the dates of many pixels (ATBD 4.2.1).

A loop that adds a date to an array of sums loads and stores them all; a `Vector` stays in registers. LLVM splits it where those
are narrower, and nothing is reordered, or contracted but by `fused`: every machine computes the same bits. What is computed is
not here.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.caching import FunctionCache
from numba.core.cgutils import get_or_insert_function
from numba.core.datamodel import models
from numba.core.errors import TypingError
from numba.extending import intrinsic as untyped_intrinsic
from numba.extending import overload, register_jitable, register_model

intrinsic: Any = untyped_intrinsic
"""Without type: the functions that it makes are called without their typing context."""

STRIP = 64
"""Pixels that kernels take through time together: one register of 512 bits, or two of 256, with numbers of 8. Measured with
registers of 256 bits on 100 dates: half and twice as many take a quarter longer a pixel."""

AHEAD = 2 * STRIP
"""Pixels ahead of a strip that are prefetched: the dates of a strip lie far apart, each on a page of its own, where no processor
expects the next one. Measured with stacks of (time, y, x): one strip ahead comes too late, four or six are no better."""

LINE = 64
"""Bytes of a cache line, and of the widest register. A load across two lines takes twice as long."""

_ELEMENTS = {
    types.boolean: ir.IntType(1), types.uint8: ir.IntType(8), types.uint16: ir.IntType(16), types.uint32: ir.IntType(32),
    types.float32: ir.FloatType(), types.float64: ir.DoubleType(),
}  # fmt: skip
_INDEX = ir.IntType(32)


class Vector(types.Type):
    """Type of a vector of numbers, or of truth values, that lie in registers.

    Numbers of one type and count are added, subtracted, multiplied, divided and compared by the operators; unsigned integers wrap
    around, and also have ``&``, ``|``, ``^`` and ``>>``. A comparison with NaN is false except for ``!=``. `element` is bool,
    uint8, uint16, uint32, float32 or float64, `lanes` a power of two.
    """

    def __init__(self, element: types.Type, lanes: int) -> None:
        if element not in _ELEMENTS:
            raise TypingError(f"vectors hold unsigned integers up to 32 bits, floats or truth values, not {element}")
        self.element, self.lanes = element, lanes
        super().__init__(name=f"Vector({element}, {lanes})")

    @property
    def llvm(self) -> ir.VectorType:
        """The same type in LLVM."""
        return ir.VectorType(_ELEMENTS[self.element], self.lanes)

    @property
    def is_float(self) -> bool:
        """Whether it holds float32 or float64."""
        return isinstance(self.element, types.Float)

    def of(self, element: types.Type) -> Vector:
        """As many lanes of another type."""
        return Vector(element, self.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.llvm)


def kernel(function: Callable) -> Any:
    """Compile a function without the GIL, and keep its code on disk until any module with kernels changes.

    Numba itself keeps it until the function's own file changes, but compiled code holds what it calls in other modules too.
    """
    compiled: Any = njit(nogil=True)(function)
    compiled._cache = _Cache(function)
    return compiled


class _Cache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> tuple:
        return *super()._index_key(sig, codegen), _sources()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Compiled code, or None; what was kept by modules that have moved since is forgotten."""
        try:
            return super().load_overload(sig, target_context)
        except (ImportError, AttributeError):
            self.flush()
            return None


@cache
def _sources() -> str:
    """Hash of the modules with kernels."""
    texts = (path.read_bytes() for path in sorted(Path(__file__).parents[1].rglob("*.py")))
    return hashlib.sha256(b"".join(text for text in texts if b"kernel" in text)).hexdigest()


def widened(array: np.ndarray) -> np.ndarray:
    """The array as kernels take it: contiguous, aligned, writable, with zeros after its last axis up to `STRIP` pixels.

    Only what is not so is copied; compiling once more for read-only arrays would take longer.
    """
    missing = STRIP - array.shape[-1]
    if missing > 0:
        array = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)])
    return np.require(array, requirements=["C", "A", "W"])


@register_jitable
def scratch(count, dtype):
    """Array of `count` numbers, not initialised, that begins with a cache line; for use inside of kernels."""
    room = np.empty(count + LINE, dtype)
    skip = -room.ctypes.data % LINE // room.itemsize
    return room[skip : skip + count]


@intrinsic
def load(typingctx: Any, array: Any, index: Any, lanes: Any) -> Any:
    """`lanes` (a constant) numbers of a contiguous array from flat position `index`. Bounds are not checked."""
    vector = _vector_of(array, lanes)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = builder.load(_pointer(context, builder, array, args[0], args[1], vector))
        found.align = array.dtype.bitwidth // 8
        return found

    return vector(array, types.intp, lanes), build


@intrinsic
def prefetch(typingctx: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Ask for `lanes` (a constant) numbers from flat position `index`, which may lie outside of the array."""
    vector = _vector_of(array, lanes)
    byte, size = ir.IntType(8), array.dtype.bitwidth // 8
    kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), _INDEX, _INDEX, _INDEX])
    # To be read, into all caches, as data.
    how = [ir.Constant(_INDEX, n) for n in (0, 3, 1)]

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        call = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        for first in range(0, vector.lanes, LINE // size):
            place = builder.add(args[1], ir.Constant(args[1].type, first))
            builder.call(
                call, [builder.bitcast(_pointer(context, builder, array, args[0], place, vector), byte.as_pointer()), *how]
            )
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), build


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector into a contiguous array of its type from flat position `index`. Bounds are not checked."""
    _require(isinstance(array, types.Array) and array.layout == "C" and array.mutable, "vectors are stored in contiguous arrays")
    _require(isinstance(value, Vector) and array.dtype == value.element, f"cannot store {value} in {array}")

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, array, args[0], args[1], value)).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, value), build


@intrinsic
def spread(typingctx: Any, value: Any, lanes: Any) -> Any:
    """The number `value` in each of `lanes` (a constant)."""
    _require(isinstance(lanes, types.IntegerLiteral), "the number of lanes must be a constant")
    vector = Vector(types.unliteral(value), lanes.literal_value)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _repeated(builder, vector, args[0])

    return vector(vector.element, lanes), build


@intrinsic
def repeat(typingctx: Any, array: Any, index: Any, lanes: Any) -> Any:
    """The number at flat position `index` of a contiguous array in each of `lanes` (a constant). Bounds are not checked."""
    vector = _vector_of(array, lanes)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        return _repeated(builder, vector, builder.load(builder.gep(data, [args[1]])))

    return vector(array, types.intp, lanes), build


@intrinsic
def select(typingctx: Any, mask: Any, yes: Any, no: Any) -> Any:
    """The lanes of `yes` where `mask` is true, those of `no` elsewhere."""
    _require(isinstance(yes, Vector) and yes == no and mask == yes.of(types.boolean), f"cannot select {yes} or {no} by {mask}")

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return yes(mask, yes, no), build


@intrinsic
def convert(typingctx: Any, value: Any, kind: Any) -> Any:
    """The numbers as another type, ``convert(v, np.float32)``. Integers that do not fit lose their high bits."""
    vector = value.of(kind.dtype)
    _require(vector.is_float or not value.is_float, "floats are not turned into integers")
    wider = vector.element.bitwidth > value.element.bitwidth
    if vector.is_float and value.is_float:
        operation = "fpext" if wider else "fptrunc"
    else:
        operation = "uitofp" if vector.is_float else "zext" if wider else "trunc"

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0] if vector == value else getattr(builder, operation)(args[0], vector.llvm)

    return vector(value, kind), build


@intrinsic
def bits(typingctx: Any, value: Any) -> Any:
    """The bit patterns of float32 numbers, as uint32."""
    _require(isinstance(value, Vector) and value.element == types.float32, f"bits are those of float32, not of {value}")
    vector = value.of(types.uint32)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], vector.llvm)

    return vector(value), build


@intrinsic
def root(typingctx: Any, value: Any) -> Any:
    """Square roots of floats; NaN for negative numbers."""
    _require(isinstance(value, Vector) and value.is_float, f"roots are taken of floats, not of {value}")

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name = f"llvm.sqrt.v{value.lanes}f{value.element.bitwidth}"
        return builder.call(get_or_insert_function(builder.module, ir.FunctionType(value.llvm, [value.llvm]), name), args)

    return value(value), build


@intrinsic
def fused(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` of floats, rounded once: one instruction, and the same bits where a library has to do it."""
    _require(isinstance(a, Vector) and a.is_float and a == b == c, f"floats of one type are fused, not {a}, {b} and {c}")

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name = f"llvm.fma.v{a.lanes}f{a.element.bitwidth}"
        return builder.call(get_or_insert_function(builder.module, ir.FunctionType(a.llvm, [a.llvm] * 3), name), args)

    return a(a, b, c), build


@intrinsic
def pairs(typingctx: Any, value: Any) -> Any:
    """Two neighbouring numbers of 8 bits as one of 16, the first of them the lower half."""
    _require(isinstance(value, Vector) and value.element == types.uint8, f"pairs are those of uint8, not of {value}")
    vector = Vector(types.uint16, value.lanes // 2)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], vector.llvm)

    return vector(value), build


@intrinsic
def interleave(typingctx: Any, a: Any, b: Any) -> Any:
    """The first number of `a`, the first of `b`, the second of `a` ... in one vector."""
    _require(isinstance(a, Vector) and a == b, f"cannot interleave {a} and {b}")
    vector = Vector(a.element, 2 * a.lanes)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        order = [i // 2 + i % 2 * a.lanes for i in range(vector.lanes)]
        return builder.shuffle_vector(*args, ir.Constant(ir.VectorType(_INDEX, vector.lanes), order))

    return vector(a, b), build


def _reduction(name: str, doc: str) -> Any:
    def typed(typingctx: Any, value: Any) -> Any:
        _require(isinstance(value, Vector) and not value.is_float, f"{value} is not a vector of unsigned integers")
        number = _ELEMENTS[value.element]

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            full = f"llvm.vector.reduce.{name}.v{value.lanes}i{number.width}"
            return builder.call(get_or_insert_function(builder.module, ir.FunctionType(number, [value.llvm]), full), args)

        return value.element(value), build

    typed.__doc__ = doc
    return intrinsic(typed)


smallest = _reduction("umin", "The smallest of the numbers in a vector of unsigned integers.")
largest = _reduction("umax", "The largest of the numbers in a vector of unsigned integers; of a mask, whether any is true.")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise TypingError(message)


def _vector_of(array: Any, lanes: Any) -> Vector:
    _require(isinstance(lanes, types.IntegerLiteral), "the number of lanes must be a constant")
    _require(isinstance(array, types.Array) and array.layout == "C", "vectors are loaded from contiguous arrays")
    return Vector(array.dtype, lanes.literal_value)


def _repeated(builder: Any, vector: Vector, number: Any) -> Any:
    nothing = ir.Constant(vector.llvm, ir.Undefined)
    first = ir.Constant(ir.VectorType(_INDEX, vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(builder.insert_element(nothing, number, ir.Constant(_INDEX, 0)), nothing, first)


def _pointer(context: Any, builder: Any, kind: types.Array, array: Any, index: Any, vector: Vector) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.llvm.as_pointer())


def _arithmetic(integer: str, floating: str) -> Any:
    @intrinsic
    def operation(typingctx: Any, a: Any, b: Any) -> Any:
        name = floating if a.is_float else integer
        _require(bool(name), f"{a} has no such operator")

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args)

        return a(a, b), build

    return operation


def _comparison(sign: str) -> Any:
    @intrinsic
    def operation(typingctx: Any, a: Any, b: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            if a.is_float:
                # Of unequal numbers one may be NaN; otherwise NaN compares false.
                return (builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered)(sign, *args)
            return builder.icmp_unsigned(sign, *args)

        return a.of(types.boolean)(a, b), build

    return operation


def _declare(function: Callable, operation: Any) -> None:
    @overload(function, strict=False)
    def vectors(a: Any, b: Any) -> Any:
        return (lambda a, b: operation(a, b)) if isinstance(a, Vector) and a == b else None


for _function, _integer, _floating in (
    (operator.add, "add", "fadd"), (operator.sub, "sub", "fsub"), (operator.mul, "mul", "fmul"), (operator.truediv, "", "fdiv"),
    (operator.and_, "and_", ""), (operator.or_, "or_", ""), (operator.xor, "xor", ""), (operator.rshift, "lshr", ""),
):  # fmt: skip
    _declare(_function, _arithmetic(_integer, _floating))
for _function, _sign in (
    (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="), (operator.eq, "=="), (operator.ne, "!="),
):  # fmt: skip
    _declare(_function, _comparison(_sign))
