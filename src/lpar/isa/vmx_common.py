# SPDX-License-Identifier: GPL-2.0-only
"""What the vector instructions share (Book I, chapter 6): families of lane-wise instructions, VSCR, CR6.

A family is one function on elements, decorated with its mnemonics; each mnemonic gives the extended
opcode and the element width in bits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import concat, map_lanes, select, shuffle

VSCR_SAT = 1
VSCR_NJ = 1 << 16

Element = Callable[..., Any]


def define_lanewise(name: str, xo: int, width: int, fn: Element, since: str) -> None:
    """Register ``VRT = fn(VRA, VRB)`` on lanes of ``width`` bits; ``fn(VRB)`` if ``fn`` takes one."""
    if len(inspect.signature(fn).parameters) == 1:

        @instruction(name, 4, xo, form="VX", needs="VEC", since=since)
        def unary(cpu: Any, VRT: Any, VRB: Any) -> None:
            cpu.vr[VRT] = map_lanes(width, fn, cpu.vr[VRB])
    else:

        @instruction(name, 4, xo, form="VX", needs="VEC", since=since)
        def binary(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
            cpu.vr[VRT] = map_lanes(width, fn, cpu.vr[VRA], cpu.vr[VRB])


def lanewise(since: str = "2.07", /, **mnemonics: tuple[int, int]) -> Callable[[Element], Element]:
    """Register a family ``mnemonic=(xo, width)`` of VX-form instructions on one or two operands."""

    def register(fn: Element) -> Element:
        for name, (xo, width) in mnemonics.items():
            define_lanewise(name, xo, width, fn, since)
        return fn

    return register


def unary_selected(xo: int, since: str, **mnemonics: tuple[int, int]) -> Callable[[Element], Element]:
    """Register a family ``mnemonic=(eo, width)``: one operand, the RA field selects the operation."""

    def register(fn: Element) -> Element:
        for name, (eo, width) in mnemonics.items():
            _define_selected(name, xo, eo, width, fn, since)
        return fn

    return register


def _define_selected(name: str, xo: int, eo: int, width: int, fn: Element, since: str) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC", since=since, fixed={(11, 15): eo})
    def body(cpu: Any, VRT: Any, VRB: Any) -> None:
        cpu.vr[VRT] = map_lanes(width, fn, cpu.vr[VRB])


def saturating(plain: Element, **mnemonics: tuple[int, int]) -> Callable[[Element], Element]:
    """Register a family whose result sets VSCR[SAT] where it differs from ``plain``."""

    def register(fn: Element) -> Element:
        for name, (xo, width) in mnemonics.items():
            _define_saturating(name, xo, width, fn, plain)
        return fn

    return register


def _define_saturating(name: str, xo: int, width: int, fn: Element, plain: Element) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC")
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
        a, b = cpu.vr[VRA], cpu.vr[VRB]
        result = map_lanes(width, fn, a, b)
        set_sat(cpu, result ^ map_lanes(width, plain, a, b))
        cpu.vr[VRT] = result


def set_sat(cpu: Any, changed: Any) -> None:
    """Set VSCR[SAT] if ``changed``, the difference that saturation made, is not zero."""
    cpu.vscr = cpu.vscr | (changed != 0).zext(32)


def signed_clamp(x: Any, bits: int) -> Any:
    """``x`` saturated to a signed number of ``bits`` bits; the width stays."""
    top = (1 << (bits - 1)) - 1
    return select(x.sgt(top), top, select(x.slt(~top), ~top, x))


def unsigned_clamp(x: Any, bits: int) -> Any:
    """Unsigned ``x`` saturated to ``bits`` bits; the width stays."""
    top = (1 << bits) - 1
    return select(x > top, top, x)


def signed_to_unsigned_clamp(x: Any, bits: int) -> Any:
    """Signed ``x`` saturated to an unsigned number of ``bits`` bits; the width stays."""
    top = (1 << bits) - 1
    return select(x.slt(0), 0, select(x.sgt(top), top, x))


def truth(x: Any) -> Any:
    """0 or 1 at the width of an element, from a comparison's operand difference ``x`` != 0."""
    return (x != 0).zext(x.w)


def splat(x: Any, size: int) -> Any:
    """The low ``size`` bytes of 64-bit ``x`` in every element."""
    return shuffle(x, bytes(range(8 - size, 8)) * (16 // size))


def pattern(*digits: str) -> bytes:
    """A byte-number pattern for ``shuffle`` from hexadecimal text."""
    return bytes.fromhex("".join(digits))


def set_cr6(cpu: Any, mask: Any) -> None:
    """CR6 from a comparison's result: LT all elements true, EQ all false."""
    cpu.cr[6] = concat(cpu.const(0, 4), mask == -1, cpu.const(0, 1), mask == 0, cpu.const(0, 1))


def byte_mask_to_bits(x: Any) -> Any:
    """The least significant bits of the 8 bytes of 64-bit ``x``, most significant byte first, in bits 7:0."""
    return ((x & 0x0101010101010101) * 0x0102040810204080) >> 56
