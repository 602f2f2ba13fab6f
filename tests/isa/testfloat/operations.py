# SPDX-License-Identifier: GPL-2.0-only
"""What is tested: instructions, SoftFloat functions that they must agree with, how registers hold values.

An operand is in VSR 1, 2, 3 (VR 1, 2, 3 for quad precision); the third is also in the target, VSR or VR 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tests.isa.testfloat import reference as ref
from tests.isa.testfloat.operands import F16, F32, F64, F128, Array, Format, rows

FORMATS = {f.name: f for f in (F16, F32, F64, F128)}
SCALAR, VECTOR, QUAD = "scalar", "vector", "quad"


@dataclass(frozen=True, slots=True)
class Operation:
    """A computation of SoftFloat with instructions that do it.

    ``lines``: (instruction, how it holds values); ``negate_c``, ``negate``: of multiply-adds; ``odd``: rounds
    to odd; ``rounding``: the mode where it is not FPSCR[RN]; ``silent``: reports no inexact result.
    """

    function: str
    kinds: tuple[str, ...]
    result: str
    lines: tuple[tuple[str, str], ...]
    negate_c: bool = False
    negate: bool = False
    odd: bool = False
    rounding: int | None = None
    silent: bool = False
    more: str = ""

    @property
    def name(self) -> str:
        """The first instruction's mnemonic."""
        return self.lines[0][0].split()[0]


def arithmetic() -> list[Operation]:
    """add, sub, mul, div, sqrt in three formats."""
    made = []
    for name in ("add", "sub", "mul", "div"):
        for fmt, s, x in (("f64", "", "dp"), ("f32", "s", "sp")):
            lines = (
                (f"f{name}{s} 4,1,2", SCALAR), (f"xs{name}{x} 4,1,2", SCALAR), (f"xv{name}{x} 4,1,2", VECTOR),
            )  # fmt: skip
            made.append(Operation(f"{fmt}_{name}", (fmt, fmt), fmt, lines))
        made.append(Operation(f"f128_{name}", ("f128",) * 2, "f128", ((f"xs{name}qp 4,1,2", QUAD),)))
        made.append(
            Operation(f"f128_{name}", ("f128",) * 2, "f128", ((f"xs{name}qpo 4,1,2", QUAD),), odd=True)
        )
    for fmt, s, x in (("f64", "", "dp"), ("f32", "s", "sp")):
        lines = ((f"fsqrt{s} 4,1", SCALAR), (f"xssqrt{x} 4,1", SCALAR), (f"xvsqrt{x} 4,1", VECTOR))
        made.append(Operation(f"{fmt}_sqrt", (fmt,), fmt, lines))
    made.append(Operation("f128_sqrt", ("f128",), "f128", (("xssqrtqp 4,1", QUAD),)))
    made.append(Operation("f128_sqrt", ("f128",), "f128", (("xssqrtqpo 4,1", QUAD),), odd=True))
    return made


def multiply_adds() -> list[Operation]:
    """a * b + c and its three relatives in three formats."""
    made = []
    for name in ("madd", "msub", "nmadd", "nmsub"):
        signs = {"negate_c": name.endswith("sub"), "negate": name.startswith("n")}
        for fmt, s, x in (("f64", "", "dp"), ("f32", "s", "sp")):
            lines = (
                (f"f{name}{s} 4,1,2,3", SCALAR), (f"xs{name}a{x} 4,1,2", SCALAR),
                (f"xv{name}a{x} 4,1,2", VECTOR),
            )  # fmt: skip
            made.append(Operation(f"{fmt}_mulAdd", (fmt,) * 3, fmt, lines, **signs))
        for suffix in ("", "o"):
            lines = ((f"xs{name}qp{suffix} 4,1,2", QUAD),)
            made.append(Operation("f128_mulAdd", ("f128",) * 3, "f128", lines, odd=bool(suffix), **signs))
    return made


def conversions() -> list[Operation]:
    """Between formats."""
    rows = (
        ("f64", "f32", (("frsp 4,1", SCALAR), ("xsrsp 4,1", SCALAR))),
        ("f64", "f16", (("xscvdphp 4,1", SCALAR),)),
        ("f16", "f64", (("xscvhpdp 4,1", SCALAR),)),
        ("f32", "f16", (("xvcvsphp 4,1", VECTOR),)),
        ("f16", "f32", (("xvcvhpsp 4,1", VECTOR),)),
        ("f64", "f128", (("xscvdpqp 4,1", "to quad"),)),
        ("f128", "f64", (("xscvqpdp 4,1", "from quad"),)),
    )
    made = [Operation(f"{a}_to_{b}", (a,), b, lines) for a, b, lines in rows]
    made.append(Operation("f128_to_f64", ("f128",), "f64", (("xscvqpdpo 4,1", "from quad"),), odd=True))
    return made


def integers_to_float() -> list[Operation]:
    """From integers."""
    rows = (
        ("i64", "f64", (("fcfid 4,1", SCALAR), ("xscvsxddp 4,1", SCALAR), ("xvcvsxddp 4,1", VECTOR))),
        ("ui64", "f64", (("fcfidu 4,1", SCALAR), ("xscvuxddp 4,1", SCALAR), ("xvcvuxddp 4,1", VECTOR))),
        ("i64", "f32", (("fcfids 4,1", SCALAR), ("xscvsxdsp 4,1", SCALAR))),
        ("ui64", "f32", (("fcfidus 4,1", SCALAR), ("xscvuxdsp 4,1", SCALAR))),
        ("i32", "f32", (("xvcvsxwsp 4,1", VECTOR),)),
        ("ui32", "f32", (("xvcvuxwsp 4,1", VECTOR),)),
        ("i64", "f128", (("xscvsdqp 4,1", "to quad"),)),
        ("ui64", "f128", (("xscvudqp 4,1", "to quad"),)),
    )
    return [Operation(f"{a}_to_{b}", (a,), b, lines) for a, b, lines in rows]


def float_to_integers() -> list[Operation]:
    """To integers: by FPSCR[RN] and toward zero."""
    nearest = (
        ("f64", "i32", (("fctiw 4,1", SCALAR),)), ("f64", "ui32", (("fctiwu 4,1", SCALAR),)),
        ("f64", "i64", (("fctid 4,1", SCALAR),)), ("f64", "ui64", (("fctidu 4,1", SCALAR),)),
    )  # fmt: skip
    toward_zero = (
        ("f64", "i32", (("fctiwz 4,1", SCALAR), ("xscvdpsxws 4,1", SCALAR))),
        ("f64", "ui32", (("fctiwuz 4,1", SCALAR), ("xscvdpuxws 4,1", SCALAR))),
        ("f64", "i64", (("fctidz 4,1", SCALAR), ("xscvdpsxds 4,1", SCALAR), ("xvcvdpsxds 4,1", VECTOR))),
        ("f64", "ui64", (("fctiduz 4,1", SCALAR), ("xscvdpuxds 4,1", SCALAR), ("xvcvdpuxds 4,1", VECTOR))),
        ("f32", "i32", (("xvcvspsxws 4,1", VECTOR),)), ("f32", "ui32", (("xvcvspuxws 4,1", VECTOR),)),
        ("f128", "i64", (("xscvqpsdz 4,1", "from quad"),)),
        ("f128", "ui64", (("xscvqpudz 4,1", "from quad"),)),
        ("f128", "i32", (("xscvqpswz 4,1", "from quad"),)),
        ("f128", "ui32", (("xscvqpuwz 4,1", "from quad"),)),
    )  # fmt: skip
    made = []
    for rounding, table in ((None, nearest), (ref.ZERO, toward_zero)):
        for a, b, lines in table:
            made.append(Operation(f"{a}_to_{b}", (a,), b, lines, rounding=rounding, more="i8 MODE, i1 1"))
    return made


def roundings() -> list[Operation]:
    """To integral values."""
    made = []
    modes = (("n", "", ref.AWAY), ("z", "z", ref.ZERO), ("p", "p", ref.UP), ("m", "m", ref.DOWN))
    for letter, x, mode in modes:
        lines = ((f"fri{letter} 4,1", SCALAR), (f"xsrdpi{x} 4,1", SCALAR), (f"xvrdpi{x} 4,1", VECTOR))
        for fmt, some in (("f64", lines), ("f32", ((f"xvrspi{x} 4,1", VECTOR),))):
            made.append(_round(fmt, some, mode, silent=True))
    made.append(_round("f64", (("xsrdpic 4,1", SCALAR), ("xvrdpic 4,1", VECTOR)), None))
    made.append(_round("f32", (("xvrspic 4,1", VECTOR),), None))
    for line, mode in (
        ("0,4,1,0", ref.AWAY),
        ("1,4,1,0", ref.NEAREST),
        ("1,4,1,1", ref.ZERO),
        ("1,4,1,2", ref.UP),
        ("1,4,1,3", ref.DOWN),
    ):
        made.append(_round("f128", ((f"xsrqpi {line}", QUAD),), mode, silent=True))
        made.append(_round("f128", ((f"xsrqpix {line}", QUAD),), mode))
    made.append(_round("f128", (("xsrqpi 0,4,1,3", QUAD),), None, silent=True))
    made.append(_round("f128", (("xsrqpix 0,4,1,3", QUAD),), None))
    return made


def _round(
    fmt: str, lines: tuple[tuple[str, str], ...], mode: int | None, *, silent: bool = False
) -> Operation:
    return Operation(
        f"{fmt}_roundToInt", (fmt,), fmt, lines, rounding=mode, silent=silent, more="i8 MODE, i1 1"
    )


def comparisons() -> list[Operation]:
    """Unordered and ordered comparisons."""
    rows = (
        ("f64", ("fcmpu", "fcmpo", "xscmpudp", "xscmpodp"), SCALAR),
        ("f128", ("xscmpuqp", "xscmpoqp"), QUAD),
    )
    return [
        Operation(f"{fmt}_lt_quiet", (fmt, fmt), "b", tuple((f"{n} 6,1,2", how) for n in names))
        for fmt, names, how in rows
    ]


def all_operations() -> list[Operation]:
    """Everything, the quick ones first."""
    return [
        *conversions(), *integers_to_float(), *float_to_integers(), *roundings(), *comparisons(),
        *arithmetic(), *multiply_adds(),
    ]  # fmt: skip


# -- values in registers -----------------------------------------------------------------------------


def image(values: Array, kind: str, how: str) -> Array:
    """The VSR that holds each value."""
    low = values[:, 0]
    if kind == "f128":
        return values
    if how == VECTOR:
        return _both(low | low << np.uint64(32) if kind in ("f32", "i32", "ui32", "f16") else low)
    if kind == "f32":
        low = widened(low)
    return np.stack([np.zeros_like(low), low], axis=1)


def _both(doubleword: Array) -> Array:
    return np.stack([doubleword, doubleword], axis=1)


def widened(single: Array) -> Array:
    """Singles as doubles, NaNs with their bits."""
    with np.errstate(invalid="ignore"):
        wide = single.astype(np.uint32).view(np.float32).astype(np.float64).view(np.uint64)
    bits = single.astype(np.uint64)
    nan = (bits & np.uint64(0x80000000)) << np.uint64(32) | np.uint64(0x7FF << 52)
    nan |= (bits & np.uint64(0x7FFFFF)) << np.uint64(29)
    return np.where(is_nan(np.stack([bits, bits * 0], axis=1), F32), nan, wide)


# -- properties of values -----------------------------------------------------------------------------


def fields(values: Array, fmt: Format) -> tuple[Array, Array, Array]:
    """Sign (bool), exponent field, and whether the fraction is zero."""
    head = values[:, 1] if fmt.size == 128 else values[:, 0]
    shift = fmt.size - (64 if fmt.size == 128 else 0)
    width = fmt.size - fmt.fraction - 1
    sign = head >> np.uint64(shift - 1) & np.uint64(1)
    exponent = head >> np.uint64(shift - 1 - width) & np.uint64((1 << width) - 1)
    rest = head & np.uint64((1 << shift - 1 - width) - 1)
    return sign.astype(bool), exponent, (rest | (values[:, 0] if fmt.size == 128 else 0)) == 0


def is_nan(values: Array, fmt: Format) -> Array:
    """Whether each is a NaN."""
    _, exponent, zero = fields(values, fmt)
    return (exponent == 2 * fmt.bias + 1) & ~zero


def quiet_bit(fmt: Format) -> Array:
    """The bit that makes a NaN quiet, as a row."""
    bit = 1 << fmt.fraction - 1
    return np.array([bit & (1 << 64) - 1, bit >> 64], dtype=np.uint64)


def is_signalling(values: Array, fmt: Format) -> Array:
    """Whether each is a signalling NaN."""
    return is_nan(values, fmt) & ((values & quiet_bit(fmt)) == 0).all(axis=1)


def class_bits(values: Array, fmt: Format) -> Array:
    """FPSCR[FPRF] of each, in place."""
    sign, exponent, zero = fields(values, fmt)
    nan, infinite = is_nan(values, fmt), (exponent == 2 * fmt.bias + 1) & zero
    tiny, nothing = (exponent == 0) & ~zero, (exponent == 0) & zero
    code = np.where(sign, 0x08, 0x04)
    code = np.where(tiny, code | 0x10, code)
    code = np.where(infinite, code | 1, code)
    code = np.where(nothing, np.where(sign, 0x12, 0x02), code)
    return (np.where(nan, 0x11, code) << 12).astype(np.uint64)


def negated(values: Array, fmt: Format) -> Array:
    """Each with the other sign."""
    bit = 1 << fmt.size - 1
    return values ^ np.array([bit & (1 << 64) - 1, bit >> 64], dtype=np.uint64)


def converted_nan(values: Array, source: Format, target: Format) -> Array:
    """Quiet NaNs of ``source`` in ``target``: the payload's upper bits stay."""
    quiet = [int(v[1]) << 64 | int(v[0]) for v in values]
    made = []
    for x in quiet:
        fraction = x & (1 << source.fraction) - 1 | 1 << source.fraction - 1
        shift = target.fraction - source.fraction
        fraction = fraction << shift if shift >= 0 else fraction >> -shift
        made.append(
            (x >> source.size - 1) << target.size - 1 | (2 * target.bias + 1) << target.fraction | fraction
        )
    return rows(made) if made else values
