# SPDX-License-Identifier: GPL-2.0-only
"""Matrix-multiply assist (ISA 3.1 Book I, section 7.6.1.13 and 7.6.1.14).

Accumulator n is VSRs 4n to 4n + 3, row by row; whether it is primed makes no difference to what is in it.
A row is a routine: elements of X's row against the columns of Y.  Masks are fields of the prefixed forms, all
ones without a prefix; bit 0 of the ISA's masks is their most significant.  Floating point runs as if no
exception were enabled, writes its results, and then interrupts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa import softfloat as sf
from lpar.isa.fpscr import mode, record, trap
from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.values import concat, lanes, select

Row = Callable[..., Any]
ACCUMULATE, SATURATE = 1, 2  #: of ``how`` for integers
MUL, PP, PN, NP, NN = range(5)  #: ``how`` for floating point: the signs of product and accumulator
RN = 3
ALL = 0xF


# -- rows of integers ------------------------------------------------------------------------------


def elements(word: Any, width: int, mask: Any, signed: bool) -> list[Any]:
    """The elements of a word as 64 bits; 0 where the mask (width 8) has no bit for one."""
    parts = lanes(word, width)
    wide = [p.sext(64) if signed else p.zext(64) for p in parts]
    last = len(parts) - 1
    return [select(mask.bit(last - n), w, 0) for n, w in enumerate(wide)]


def integer_row(
    x: Any, y: Any, acc: Any, columns: Any, ranks: Any, how: Any, width: int, signed_y: bool
) -> Any:
    """Row of sums of products and whether one was saturated (width 8)."""
    xs = elements(x, width, ranks, True)
    cells, saturated = [], how & 0
    for j, (word, old) in enumerate(zip(lanes(y, 32), lanes(acc, 32), strict=True)):
        total = select((how & ACCUMULATE) != 0, old.sext(64), 0)
        for a, b in zip(xs, elements(word, width, ranks, signed_y), strict=True):
            total = total + a * b
        limited = select(total.slt(0), total & 0 | -(1 << 31), total & 0 | (1 << 31) - 1)
        over = (total != total.trunc(32).sext(64)) & ((how & SATURATE) != 0) & columns.bit(3 - j)
        cells.append(select(columns.bit(3 - j), select(over, limited, total).trunc(32), 0))
        saturated = saturated | over.zext(8)
    return concat(*cells), saturated


@routine(args=(32, 128, 128, 8, 8, 8), returns=(128, 8))
def mma_row_i4(cpu: Any, x: Any, y: Any, acc: Any, columns: Any, ranks: Any, how: Any) -> Any:
    """Signed by signed nibbles."""
    return integer_row(x, y, acc, columns, ranks, how, 4, True)


@routine(args=(32, 128, 128, 8, 8, 8), returns=(128, 8))
def mma_row_i8(cpu: Any, x: Any, y: Any, acc: Any, columns: Any, ranks: Any, how: Any) -> Any:
    """Signed by unsigned bytes."""
    return integer_row(x, y, acc, columns, ranks, how, 8, False)


@routine(args=(32, 128, 128, 8, 8, 8), returns=(128, 8))
def mma_row_i16(cpu: Any, x: Any, y: Any, acc: Any, columns: Any, ranks: Any, how: Any) -> Any:
    """Signed by signed halfwords."""
    return integer_row(x, y, acc, columns, ranks, how, 16, True)


# -- rows of floating point ------------------------------------------------------------------------


@routine(args=(32, 32, 32, 8, 32), returns=(32, 32))
def mma_cell_f32(cpu: Any, x: Any, y: Any, acc: Any, how: Any, mode: Any) -> Any:
    """One product of singles, accumulated as ``how`` says."""
    if how == MUL:
        return sf.f32_mul(cpu, x, y, mode)
    if how == PP:
        return sf.f32_madd(cpu, x, y, acc, mode)
    if how == PN:
        return sf.f32_msub(cpu, x, y, acc, mode)
    if how == NP:
        return sf.f32_nmsub(cpu, x, y, acc, mode)
    return sf.f32_nmadd(cpu, x, y, acc, mode)


@routine(args=(64, 64, 64, 8, 32), returns=(64, 32))
def mma_cell_f64(cpu: Any, x: Any, y: Any, acc: Any, how: Any, mode: Any) -> Any:
    """As :func:`mma_cell_f32` for doubles."""
    if how == MUL:
        return sf.f64_mul(cpu, x, y, mode)
    if how == PP:
        return sf.f64_madd(cpu, x, y, acc, mode)
    if how == PN:
        return sf.f64_msub(cpu, x, y, acc, mode)
    if how == NP:
        return sf.f64_nmsub(cpu, x, y, acc, mode)
    return sf.f64_nmadd(cpu, x, y, acc, mode)


def negated(x: Any, condition: Any) -> Any:
    """A single negated on request, unless it is a NaN."""
    number = (x & 0x7FFFFFFF) <= 0x7F800000
    return select(condition & number, x ^ 0x80000000, x)


@routine(args=(64, 64, 64, 64, 32, 8, 32), returns=(32, 32))
def mma_pair(cpu: Any, a: Any, b: Any, c: Any, d: Any, acc: Any, how: Any, mode: Any) -> Any:
    """``a * b + c * d`` (doubles that hold half-length numbers) as a single, accumulated as ``how`` says."""
    first, flags = sf.f64_mul(cpu, a, b, mode)
    both, more = sf.r32_madd(cpu, c, d, first, mode)
    total, flags = sf.narrow(both), flags | more
    if how == MUL:
        return total, flags
    total = negated(total, (how == NP) | (how == NN))
    total, more = sf.f32_add(cpu, total, negated(acc, (how == PN) | (how == NN)), mode)
    return total, flags | more


@routine(args=(16, 8), returns=(64, 32))
def mma_widen_half(cpu: Any, x: Any, present: Any) -> Any:
    """A half as a double; 0 if it is masked."""
    if present == 0:
        return cpu.const(0), cpu.const(0, 32)
    return sf.f16_to_f64(cpu, x)


@routine(args=(16, 8), returns=(64, 32))
def mma_widen_bfloat16(cpu: Any, x: Any, present: Any) -> Any:
    """A bfloat16 as a double; 0 if it is masked."""
    if present == 0:
        return cpu.const(0), cpu.const(0, 32)
    return sf.f32_to_f64(cpu, x.zext(32) << 16)


def cell_of_halves(cpu: Any, x: Any, y: Any, acc: Any, ranks: Any, how: Any, mode: Any, widen: Row) -> Any:
    """One cell of a rank-2 update."""
    first, second = ranks >> 1 & 1, ranks & 1
    a, flags = widen(cpu, x.bits(16, 16), first)
    b, more = widen(cpu, y.bits(16, 16), first)
    flags = flags | more
    c, more = widen(cpu, x.bits(0, 16), second)
    flags = flags | more
    d, more = widen(cpu, y.bits(0, 16), second)
    flags = flags | more
    result, more = mma_pair(cpu, a, b, c, d, acc, how, mode)
    return result, flags | more


@routine(args=(32, 32, 32, 8, 8, 32), returns=(32, 32))
def mma_cell_f16(cpu: Any, x: Any, y: Any, acc: Any, ranks: Any, how: Any, mode: Any) -> Any:
    """Two products of halves."""
    return cell_of_halves(cpu, x, y, acc, ranks, how, mode, mma_widen_half)


@routine(args=(32, 32, 32, 8, 8, 32), returns=(32, 32))
def mma_cell_bf16(cpu: Any, x: Any, y: Any, acc: Any, ranks: Any, how: Any, mode: Any) -> Any:
    """Two products of bfloat16 numbers."""
    return cell_of_halves(cpu, x, y, acc, ranks, how, mode, mma_widen_bfloat16)


def float_row(cpu: Any, cell: Row, width: int, x: Any, y: Any, acc: Any, columns: Any, rest: Any) -> Any:
    """A row of cells of ``width`` bits, and the flags of those not masked; ``rest``: how and mode."""
    last = 128 // width - 1
    cells, flags = [], cpu.const(0, 32)
    for j, (b, old) in enumerate(zip(lanes(y, width), lanes(acc, width), strict=True)):
        result, more = old & 0, flags & 0
        if columns.bit(last - j):
            result, more = cell(cpu, x, b, old, *rest)
        cells.append(result)
        flags = flags | more
    return concat(*cells), flags


@routine(args=(32, 128, 128, 8, 8, 8, 32), returns=(128, 32))
def mma_row_f32(cpu: Any, x: Any, y: Any, acc: Any, columns: Any, ranks: Any, how: Any, mode: Any) -> Any:
    """A row of singles."""
    return float_row(cpu, mma_cell_f32, 32, x, y, acc, columns, (how, mode))


@routine(args=(64, 128, 128, 8, 8, 8, 32), returns=(128, 32))
def mma_row_f64(cpu: Any, x: Any, y: Any, acc: Any, columns: Any, ranks: Any, how: Any, mode: Any) -> Any:
    """A row of doubles."""
    return float_row(cpu, mma_cell_f64, 64, x, y, acc, columns, (how, mode))


@routine(args=(32, 128, 128, 8, 8, 8, 32), returns=(128, 32))
def mma_row_f16(cpu: Any, x: Any, y: Any, acc: Any, columns: Any, ranks: Any, how: Any, mode: Any) -> Any:
    """A row of pairs of halves."""
    return float_row(cpu, mma_cell_f16, 32, x, y, acc, columns, (ranks, how, mode))


@routine(args=(32, 128, 128, 8, 8, 8, 32), returns=(128, 32))
def mma_row_bf16(cpu: Any, x: Any, y: Any, acc: Any, columns: Any, ranks: Any, how: Any, mode: Any) -> Any:
    """A row of pairs of bfloat16 numbers."""
    return float_row(cpu, mma_cell_bf16, 32, x, y, acc, columns, (ranks, how, mode))


# -- whole updates ---------------------------------------------------------------------------------


def columns_of(XMSK: Any, YMSK: Any, n: int) -> Any:
    """The columns of row ``n`` that are not masked, width 8."""
    return select(XMSK.bit(3 - n), YMSK, 0).trunc(8)


def write(cpu: Any, AT: tuple[Any, ...], rows: list[Any]) -> None:
    """Put rows into the accumulator."""
    for n, row in enumerate(rows):
        cpu.vsr[AT[n]] = row


def integer_update(
    cpu: Any, AT: tuple[Any, ...], a: Any, b: Any, masks: tuple[Any, Any, Any], row: Row, how: int
) -> None:
    """An integer instruction; ``masks`` are XMSK, YMSK and PMSK."""
    xmsk, ymsk, pmsk = masks
    rows, saturated = [], cpu.const(0, 8)
    for n, x in enumerate(lanes(a, 32)):
        columns = columns_of(xmsk, ymsk, n)
        result, more = row(cpu, x, b, cpu.vsr[AT[n]], columns, pmsk.trunc(8), cpu.const(how, 8))
        rows.append(result)
        saturated = saturated | more
    write(cpu, AT, rows)
    if how & SATURATE:
        cpu.vscr = cpu.vscr | saturated.zext(32)


def float_update(
    cpu: Any, AT: tuple[Any, ...], xs: list[Any], b: Any, masks: tuple[Any, Any, Any], row: Row, how: int
) -> None:
    """A floating-point instruction on the rows ``xs``."""
    xmsk, ymsk, pmsk = masks
    rows, flags, rounding = [], cpu.const(0, 32), mode(cpu) & RN
    for n, x in enumerate(xs):
        columns = columns_of(xmsk, ymsk, n)
        old = cpu.vsr[AT[n]]
        result, more = row(cpu, x, b, old, columns, pmsk.trunc(8), cpu.const(how, 8), rounding)
        rows.append(result)
        flags = flags | more
    status = record(cpu, flags)
    write(cpu, AT, rows)
    trap(cpu, status)


# -- instructions: each with and without masks -----------------------------------------------------


def ones(cpu: Any) -> tuple[Any, Any, Any]:
    """Masks that mask nothing."""
    return cpu.const(ALL), cpu.const(ALL), cpu.const(0xFF)


def masks_of(MASKS: Any, ranks: int) -> tuple[Any, Any, Any]:
    """XMSK, YMSK and PMSK (of ``ranks`` bits) from the prefix."""
    return (MASKS >> 4) & ALL, MASKS & ALL, MASKS >> (16 - ranks)


def _integer(name: str, xo: int, row: Row, how: int, ranks: int) -> None:
    """``ranks``: how many products a cell is the sum of."""

    @instruction(name, 59, xo, form="XX3", needs="VSX", since="3.1")
    def plain(cpu: Any, AT0: Any, AT1: Any, AT2: Any, AT3: Any, XA: Any, XB: Any) -> None:
        integer_update(cpu, (AT0, AT1, AT2, AT3), cpu.vsr[XA], cpu.vsr[XB], ones(cpu), row, how)

    @instruction("pm" + name, 59, xo, form="XX3", prefix="MMIRR", needs="VSX", since="3.1")
    def masked(cpu: Any, AT0: Any, AT1: Any, AT2: Any, AT3: Any, XA: Any, XB: Any, MASKS: Any) -> None:
        masks = masks_of(MASKS, ranks)
        integer_update(cpu, (AT0, AT1, AT2, AT3), cpu.vsr[XA], cpu.vsr[XB], masks, row, how)


for _name, _xo, _row, _how, _ranks in (
    ("xvi8ger4pp", 2, mma_row_i8, ACCUMULATE, 4),
    ("xvi8ger4", 3, mma_row_i8, 0, 4),
    ("xvi8ger4spp", 99, mma_row_i8, ACCUMULATE | SATURATE, 4),
    ("xvi4ger8pp", 34, mma_row_i4, ACCUMULATE, 8),
    ("xvi4ger8", 35, mma_row_i4, 0, 8),
    ("xvi16ger2spp", 42, mma_row_i16, ACCUMULATE | SATURATE, 2),
    ("xvi16ger2s", 43, mma_row_i16, SATURATE, 2),
    ("xvi16ger2", 75, mma_row_i16, 0, 2),
    ("xvi16ger2pp", 107, mma_row_i16, ACCUMULATE, 2),
):
    _integer(_name, _xo, _row, _how, _ranks)


def _words(name: str, xo: int, row: Row, how: int, ranks: int) -> None:
    """Floating point in which a row of X is a word."""

    @instruction(name, 59, xo, form="XX3", needs="VSX", since="3.1")
    def plain(cpu: Any, AT0: Any, AT1: Any, AT2: Any, AT3: Any, XA: Any, XB: Any) -> None:
        xs = lanes(cpu.vsr[XA], 32)
        float_update(cpu, (AT0, AT1, AT2, AT3), xs, cpu.vsr[XB], ones(cpu), row, how)

    @instruction("pm" + name, 59, xo, form="XX3", prefix="MMIRR", needs="VSX", since="3.1")
    def masked(cpu: Any, AT0: Any, AT1: Any, AT2: Any, AT3: Any, XA: Any, XB: Any, MASKS: Any) -> None:
        xs = lanes(cpu.vsr[XA], 32)
        float_update(cpu, (AT0, AT1, AT2, AT3), xs, cpu.vsr[XB], masks_of(MASKS, ranks), row, how)


def _doubles(name: str, xo: int, how: int) -> None:
    """X is a pair of VSRs, YMSK has two bits."""

    @instruction(name, 59, xo, form="XX3", needs="VSX", since="3.1")
    def plain(cpu: Any, AT0: Any, AT1: Any, AT2: Any, AT3: Any, XAe: Any, XAo: Any, XB: Any) -> None:
        xs = [*lanes(cpu.vsr[XAe], 64), *lanes(cpu.vsr[XAo], 64)]
        float_update(cpu, (AT0, AT1, AT2, AT3), xs, cpu.vsr[XB], ones(cpu), mma_row_f64, how)

    @instruction("pm" + name, 59, xo, form="XX3", prefix="MMIRR", needs="VSX", since="3.1")
    def masked(
        cpu: Any, AT0: Any, AT1: Any, AT2: Any, AT3: Any, XAe: Any, XAo: Any, XB: Any, MASKS: Any
    ) -> None:
        xs = [*lanes(cpu.vsr[XAe], 64), *lanes(cpu.vsr[XAo], 64)]
        masks = ((MASKS >> 4) & ALL, (MASKS >> 2) & 3, cpu.const(0))
        float_update(cpu, (AT0, AT1, AT2, AT3), xs, cpu.vsr[XB], masks, mma_row_f64, how)


#: extended opcode of the product alone; those that accumulate follow from it
_OFFSETS = {"": (0, MUL), "pp": (-1, PP), "pn": (127, PN), "np": (63, NP), "nn": (191, NN)}
for _suffix, (_offset, _how) in _OFFSETS.items():
    _words("xvf16ger2" + _suffix, 19 + _offset, mma_row_f16, _how, 2)
    _words("xvf32ger" + _suffix, 27 + _offset, mma_row_f32, _how, 0)
    _words("xvbf16ger2" + _suffix, 51 + _offset, mma_row_bf16, _how, 2)
    _doubles("xvf64ger" + _suffix, 59 + _offset, _how)


# -- accumulators ----------------------------------------------------------------------------------


@instruction("xxmfacc", 31, 177, form="X", needs="VSX", since="3.1", fixed={(11, 15): 0})
def xxmfacc(cpu: Any) -> None:
    """The VSRs hold the accumulator already."""


@instruction("xxmtacc", 31, 177, form="X", needs="VSX", since="3.1", fixed={(11, 15): 1})
def xxmtacc(cpu: Any) -> None:
    """See ``xxmfacc``."""


@instruction("xxsetaccz", 31, 177, form="X", needs="VSX", since="3.1", fixed={(11, 15): 3})
def xxsetaccz(cpu: Any, AT0: Any, AT1: Any, AT2: Any, AT3: Any) -> None:
    write(cpu, (AT0, AT1, AT2, AT3), [cpu.const(0, 128)] * 4)
