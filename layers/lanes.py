"""Vectors of pixels as a Numba type: explicit SIMD for kernels that go through time for many pixels at once.

A loop over a strip of pixels that adds to an array loads and stores its sums at every date; a `Vector` stays in a register. LLVM
splits the vectors for processors with narrower registers, so that every machine computes the same bits.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import intrinsic, overload, register_model

_ELEMENTS = {
    "uint8": ir.IntType(8), "uint16": ir.IntType(16), "uint32": ir.IntType(32),
    "float32": ir.FloatType(), "float64": ir.DoubleType(), "bool": ir.IntType(1),
}  # fmt: skip


class Vector(types.Type):
    """A register of `lanes` numbers of a NumPy type, or of truth values."""

    def __init__(self, element: types.Type, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"Vector({element}, {lanes})")

    @property
    def ir(self) -> ir.VectorType:
        """In LLVM."""
        return ir.VectorType(_ELEMENTS[str(self.element)], self.lanes)

    @property
    def is_float(self) -> bool:
        """True for float32 and float64."""
        return isinstance(self.element, types.Float)

    def of(self, element: types.Type) -> Vector:
        """As many lanes of another type."""
        return Vector(element, self.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.ir)


def _pointer(context: Any, builder: Any, kind: types.Array, array: Any, index: Any, vector: Vector) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.ir.as_pointer())


@intrinsic
def load(typingctx: Any, array: Any, index: Any, lanes: Any) -> Any:
    """`lanes` (a constant) numbers of a contiguous array from flat position `index`. Nothing is checked."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    vector = Vector(array.dtype, lanes.literal_value)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, array, args[0], args[1], vector)
        found = builder.load(pointer)
        found.align = array.dtype.bitwidth // 8
        return found

    return vector(array, types.intp, lanes), build


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector into a contiguous array of its type from flat position `index`. Nothing is checked."""
    assert array.dtype == value.element

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, array, args[0], args[1], value)
        builder.store(args[2], pointer).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, value), build


@intrinsic
def spread(typingctx: Any, value: Any, lanes: Any) -> Any:
    """A number in every one of `lanes` (a constant)."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    vector = Vector(types.unliteral(value), lanes.literal_value)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(ir.Constant(vector.ir, ir.Undefined), args[0], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), [0] * vector.lanes)
        return builder.shuffle_vector(one, ir.Constant(vector.ir, ir.Undefined), zeros)

    return vector(vector.element, lanes), build


@intrinsic
def select(typingctx: Any, mask: Any, yes: Any, no: Any) -> Any:
    """Lanes of `yes` where `mask` is true, of `no` elsewhere."""
    assert yes == no

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return yes(mask, yes, no), build


@intrinsic
def convert(typingctx: Any, value: Any, kind: Any) -> Any:
    """The same numbers as another type, such as ``convert(v, np.float32)``; integers that do not fit lose their high bits."""
    vector = value.of(kind.dtype)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if value.is_float:
            wider = vector.element.bitwidth > value.element.bitwidth
            return (builder.fpext if wider else builder.fptrunc)(args[0], vector.ir)
        if vector.is_float:
            return builder.uitofp(args[0], vector.ir)
        if vector.element.bitwidth == value.element.bitwidth:
            return args[0]
        wider = vector.element.bitwidth > value.element.bitwidth
        return (builder.zext if wider else builder.trunc)(args[0], vector.ir)

    return vector(value, kind), build


@intrinsic
def bits(typingctx: Any, value: Any) -> Any:
    """The bit patterns of float32 as uint32."""
    vector = value.of(types.uint32)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], vector.ir)

    return vector(value), build


def _arithmetic(integer: str, floating: str) -> Any:
    @intrinsic
    def operation(typingctx: Any, a: Any, b: Any) -> Any:
        assert a == b

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, floating if a.is_float else integer)(*args)

        return a(a, b), build

    return operation


def _comparison(sign: str) -> Any:
    @intrinsic
    def operation(typingctx: Any, a: Any, b: Any) -> Any:
        assert a == b
        mask = a.of(types.boolean)

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            compare = builder.fcmp_ordered if a.is_float else builder.icmp_unsigned
            return compare(sign, *args)

        return mask(a, b), build

    return operation


def _declare(function: Any, operation: Any) -> None:
    @overload(function, strict=False)
    def vectors(a: Any, b: Any) -> Any:
        if isinstance(a, Vector) and a == b:
            return lambda a, b: operation(a, b)
        return None


for _function, _integer, _floating in (
    (operator.add, "add", "fadd"), (operator.sub, "sub", "fsub"), (operator.mul, "mul", "fmul"),
    (operator.truediv, "udiv", "fdiv"), (operator.and_, "and_", ""), (operator.or_, "or_", ""), (operator.xor, "xor", ""),
):  # fmt: skip
    _declare(_function, _arithmetic(_integer, _floating))
for _function, _sign in ((operator.lt, "<"), (operator.gt, ">"), (operator.ge, ">="), (operator.eq, "=="), (operator.ne, "!=")):
    _declare(_function, _comparison(_sign))
