# SPDX-License-Identifier: GPL-2.0-only
"""Compares an instruction with SoftFloat: the target, every FPSCR bit that it defines, the CR field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tests.isa.testfloat import reference as ref
from tests.isa.testfloat.guest import Guest
from tests.isa.testfloat.operands import Array
from tests.isa.testfloat.operations import (
    FORMATS,
    QUAD,
    VECTOR,
    Operation,
    class_bits,
    converted_nan,
    image,
    is_nan,
    is_signalling,
    negated,
    quiet_bit,
)

MODES = (ref.NEAREST, ref.ZERO, ref.UP, ref.DOWN)  #: by FPSCR[RN]
FX, VX, OX, UX, ZX, XX, VXSNAN = 1 << 31, 1 << 29, 1 << 28, 1 << 27, 1 << 26, 1 << 25, 1 << 24
VXVC, VXCVI = 1 << 19, 1 << 8
FR, FI, FPRF = 1 << 18, 1 << 17, 0x1F000
#: what an invalid operation may be besides that of a signalling NaN
CAUSES = {"add": 1 << 23, "sub": 1 << 23, "mul": 1 << 20, "div": 1 << 22 | 1 << 21, "sqrt": 1 << 9,
          "mulAdd": 1 << 23 | 1 << 20}  # fmt: skip
VX_ALL = VXSNAN | VXVC | VXCVI | sum({1 << 23, 1 << 22, 1 << 21, 1 << 20, 1 << 9, 1 << 10})


@dataclass(slots=True)
class Expected:
    """What an operation gives in one rounding mode."""

    values: Array
    flags: Array  #: SoftFloat's
    upward: Array  #: whether rounding made the magnitude greater
    signalling: Array  #: whether an operand is a signalling NaN
    status: Array  #: the FPSCR's bits, but causes of invalid operations


def expect(op: Operation, operands: Sequence[Array], rn: int) -> Expected:
    """SoftFloat's results as Power has them."""
    mode = MODES[rn] if op.rounding is None else op.rounding
    given = list(operands)
    if op.negate_c:
        given[2] = negated(given[2], FORMATS[op.kinds[2]])
    values, flags = _run(op, given, ref.ZERO if op.odd else mode)
    if op.result == "b":  # a comparison does not round
        none = np.zeros(len(flags), dtype=bool)
        return Expected(values, flags, none, none, values[:, 0])
    truncated = values if op.odd or mode == ref.ZERO else _run(op, given, ref.ZERO)[0]
    inexact = (flags & ref.INEXACT).astype(bool)
    upward = inexact & (values != truncated).any(axis=1)
    if op.odd:
        odd = values.copy()
        odd[:, 0] |= inexact.astype(np.uint64)
        upward, values = (odd != values).any(axis=1), odd
    if op.negate:
        values = negated(values, FORMATS[op.result])
    signalling = np.zeros(len(flags), dtype=bool)
    for kind, operand in zip(op.kinds, operands, strict=True):
        if kind in FORMATS:
            signalling |= is_signalling(operand, FORMATS[kind])
    values = _nans(op, operands, values) if op.result in FORMATS else _saturated(op, operands, values, flags)
    return Expected(values, flags, upward, signalling, status(op, values, flags, upward))


def _run(op: Operation, operands: Sequence[Array], mode: int) -> tuple[Array, Array]:
    return ref.run(op.function, op.kinds, op.result, operands, mode, op.more.replace("MODE", str(mode)))


def _nans(op: Operation, operands: Sequence[Array], values: Array) -> Array:
    """NaN results: the first operand that is one (A, the addend, then the other factor), else the default."""
    target = FORMATS[op.result]
    if op.kinds[0] not in FORMATS:
        return values
    source = FORMATS[op.kinds[0]]
    default = ((2 * target.bias + 1) << 1 | 1) << target.fraction - 1
    plain = np.array([default & (1 << 64) - 1, default >> 64], dtype=np.uint64)
    made = np.where(is_nan(values, target)[:, None], plain, values)
    order = {1: (0,), 2: (0, 1), 3: (0, 2, 1)}[len(operands)]
    for n in reversed(order):
        which = is_nan(operands[n], source)
        if source is target:
            made[which] = (operands[n] | quiet_bit(source))[which]
        else:
            made[which] = converted_nan(operands[n][which], source, target)
    return made


def _saturated(op: Operation, operands: Sequence[Array], values: Array, flags: Array) -> Array:
    """Integers where the conversion is invalid: the nearest end; the least for NaNs."""
    size, signed = (32 if "32" in op.result else 64), not op.result.startswith("u")
    least, most = (1 << size - 1 if signed else 0), (1 << size - 1 if signed else 1 << size) - 1
    source = FORMATS[op.kinds[0]]
    sign = negative(operands[0], source.size) | is_nan(operands[0], source)
    end = np.where(sign, np.uint64(least), np.uint64(most))
    made = values.copy()
    made[:, 0] = np.where((flags & ref.INVALID).astype(bool), end, values[:, 0])
    return made


def negative(values: Array, size: int) -> Array:
    """The sign of each."""
    word, bit = (1, size - 65) if size == 128 else (0, size - 1)
    return (values[:, word] >> np.uint64(bit) & np.uint64(1)).astype(bool)


def status(op: Operation, values: Array, flags: Array, upward: Array) -> Array:
    """The FPSCR's bits of a scalar instruction; causes of invalid operations are judged apart."""
    flags = flags.astype(np.uint64)
    if op.silent:
        flags &= np.uint64(ref.INVALID)
    bits = np.zeros(len(flags), dtype=np.uint64)
    rows = ((ref.INEXACT, XX), (ref.UNDERFLOW, UX), (ref.OVERFLOW, OX), (ref.INFINITE, ZX), (ref.INVALID, VX))
    for flag, bit in rows:
        bits |= np.where(flags & np.uint64(flag), np.uint64(bit), np.uint64(0))
    bits |= np.where(bits, np.uint64(FX), np.uint64(0))
    inexact = (flags & np.uint64(ref.INEXACT)).astype(bool)
    bits |= np.where(inexact, np.uint64(FI), np.uint64(0))
    bits |= np.where(inexact & upward, np.uint64(FR), np.uint64(0))
    return bits | class_bits(values, FORMATS[op.result]) if op.result in FORMATS else bits


def defined(op: Operation, vector: bool) -> int:
    """The FPSCR bits that an instruction defines, but causes of invalid operations."""
    mask = FX | VX | OX | UX | ZX | XX
    if vector:
        return mask
    return mask | FI | FR | (FPRF if op.result in FORMATS else 0)


def causes_wrong(op: Operation, expected: Expected, fpscr: Array) -> Array:
    """Where the causes of an invalid operation are not what the operation and its operands allow."""
    invalid = (expected.flags & ref.INVALID).astype(bool)
    cause = CAUSES.get(op.function.split("_")[1], VXCVI if op.result not in FORMATS else 0)
    found = fpscr & np.uint64(VX_ALL)
    wrong = (found & np.uint64(VXSNAN)).astype(bool) != expected.signalling
    wrong |= found.astype(bool) != invalid
    wrong |= (found & np.uint64(VX_ALL & ~VXSNAN & ~cause)).astype(bool)
    return wrong | (invalid & ~expected.signalling & ~(found & np.uint64(cause)).astype(bool))


def differing(
    guest: Guest, op: Operation, line: str, how: str, operands: Sequence[Array], rn: int, expected: Expected
) -> Array:
    """The numbers of the cases in which an instruction is wrong."""
    if op.result == "b":
        return _compare_wrong(guest, op, line, how, operands, rn)
    target = 36 if how in (QUAD, "to quad") or (how == "from quad") else 4
    images = [image(o, kind, how) for o, kind in zip(operands, op.kinds, strict=True)]
    made, fpscr, _ = guest.run(line, images, rn, target)
    wanted = image(_shown(op, expected.values), op.result, how)
    wrong = _values_wrong(op, how, made, wanted)
    overflow = (expected.flags & ref.OVERFLOW).astype(bool)
    unlike = (fpscr ^ expected.status) & np.uint64(defined(op, how == VECTOR))
    wrong |= np.where(overflow, unlike & ~np.uint64(FR), unlike) != 0  # FR is undefined on overflow
    return np.flatnonzero(wrong | causes_wrong(op, expected, fpscr))


def _shown(op: Operation, values: Array) -> Array:
    """32-bit results of scalar conversions: signed ones of quads are extended."""
    if op.result == "i32" and op.kinds == ("f128",):
        made = values.copy()
        made[:, 0] = values[:, 0].astype(np.uint32).view(np.int32).astype(np.int64).view(np.uint64)
        return made
    return values


def _values_wrong(op: Operation, how: str, made: Array, wanted: Array) -> Array:
    if op.result in ("i32", "ui32") and how == "scalar":  # the other words are undefined
        low = np.uint64(0xFFFFFFFF)
        return (made[:, 1] & low) != (wanted[:, 1] & low)
    return (made != wanted).any(axis=1)


def _compare_wrong(
    guest: Guest, op: Operation, line: str, how: str, operands: Sequence[Array], rn: int
) -> Array:
    """CR field 6, FPCC, VXSNAN and VXVC."""
    fmt = FORMATS[op.kinds[0]]
    a, b = operands
    less = ref.run(op.function, op.kinds, "b", (a, b), 0)[0][:, 0]
    greater = ref.run(op.function, op.kinds, "b", (b, a), 0)[0][:, 0]
    equal = ref.run(f"{fmt.name}_eq", op.kinds, "b", (a, b), 0)[0][:, 0]
    nan = is_nan(a, fmt) | is_nan(b, fmt)
    code = less << np.uint64(3) | greater << np.uint64(2) | equal << np.uint64(1) | nan.astype(np.uint64)
    signalling = is_signalling(a, fmt) | is_signalling(b, fmt)
    ordered = line.split()[0][-3] == "o" or line.startswith("fcmpo")
    _, fpscr, cr = guest.run(line, [image(o, fmt.name, how) for o in operands], rn)
    bits = np.where(signalling, np.uint64(VXSNAN), np.uint64(0))
    bits |= np.where(nan & ordered, np.uint64(VXVC), np.uint64(0))
    bits |= np.where(bits != 0, np.uint64(FX | VX), np.uint64(0))
    bits |= code << np.uint64(12) | np.uint64(rn)
    return np.flatnonzero((cr >> np.uint64(4) & np.uint64(15) != code) | (fpscr != bits))
