# SPDX-License-Identifier: GPL-2.0-only
"""The FPSCR: recording exceptions and finishing floating-point instructions (Book I, section 4.2.2).

* ``mode(cpu)``: what the routines of ``lpar.isa.softfloat`` take (width 32).
* ``record(cpu, flags) -> Bits`` of width 8: ORs the exception bits of ``flags`` (vector instructions give
  the OR of all lanes) into the FPSCR with FX, VX and FEX; leaves FR, FI and FPRF alone.
  ``WRITE`` is set in the result unless an enabled invalid operation or zero divide forbids writing the target;
  ``TRAP`` is set where an enabled exception must interrupt: call ``trap(cpu, status)`` after writing.
"""

from __future__ import annotations
