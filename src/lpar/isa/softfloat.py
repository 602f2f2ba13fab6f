# SPDX-License-Identifier: GPL-2.0-only
"""IEEE 754 arithmetic in the semantics language, on integers only (Book I, chapters 4 and 7).

A binary64 value is ``Bits`` of width 64, a binary32 one of width 32.  ``mode`` is the low word of the
FPSCR (width 32; RN, OE and UE count), plus ``ODD`` (round to odd) or ``AWAY`` (nearest, ties away).
``flags`` (width 32) are FPSCR bits in their places: OX UX ZX XX VXSNAN VXISI VXIDI VXZDZ VXIMZ VXVC
VXSQRT VXCVI, FR and FI.  NaNs propagate as on Power: the first of FRA, FRB, FRC that is one, quieted.

Families, all with ``(cpu, operands..., mode) -> (result, flags)``:

* ``f64_`` on binary64; ``r32_`` takes binary64, rounds once to single and gives it in binary64 format
  (fadds, xsaddsp); ``f32_`` on binary32 (xvaddsp).
* ``add sub mul div (a, b, mode)``, ``sqrt (b, mode)``, ``madd msub nmadd nmsub (a, c, b, mode)`` = a * c +/- b.
* ``f64_round_single(b, mode)`` (frsp), ``f64_to_f32(b, mode)`` (xscvdpsp), ``f32_to_f64(b)`` (xscvspdp).
* ``f64_to_{s32,u32,s64,u64}(b, mode)``: the result has the integer's width.  ``f32_to_...`` likewise.
  Truncation is ``toward_zero(mode)``.
* ``{s64,u64}_to_{f64,r32,f32}(x, mode)``; extend 32-bit integers first.
* ``f64_round_int(b, mode)``, ``f32_round_int(b, mode)``: XX, FI and FR say that it was inexact; mask them
  where the instruction does not report it.
* Without ``mode``: ``f64_compare(a, b) -> (cc, flags)``, cc of width 8 as LT=8 GT=4 EQ=2 UN=1, flags VXSNAN;
  ``f64_max f64_min (a, b)`` as xsmaxdp; the same with ``f32_``.
* ``widen(x)`` and ``narrow(x)`` convert as lfs and stfs do, without exceptions or quieting.
* ``f64_class(x)``, ``f32_class(x)``: FPRF of a value, width 32, in place in the FPSCR.

What to do with the flags is in ``lpar.isa.fpscr``.
"""

from __future__ import annotations
