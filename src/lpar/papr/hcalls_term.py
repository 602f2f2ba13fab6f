# SPDX-License-Identifier: GPL-2.0-only
"""Hypercalls and RTAS calls of the virtual terminals.

Source: PAPR 14.5.4.7 "Console Hypervisor Calls", 7.3.4 "display-character"; put-term-char and
get-term-char are kvmtool's own RTAS calls (powerpc/spapr_hvcons.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpar.papr import numbers as n
from lpar.papr.registry import Args, Result, hcall, rtas
from lpar.papr.vty import TERM_CHARS

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition


@hcall(n.H_PUT_TERM_CHAR, "hcall-term")
def h_put_term_char(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Write to a terminal: (unit address, 0..16, bytes 0-7, bytes 8-15); H_BUSY: try again."""
    vty = p.vty(a[1])
    length = a[2]
    if vty is None or length > TERM_CHARS:
        return n.H_PARAMETER
    data = (a[3] << 64 | a[4]).to_bytes(TERM_CHARS, "big")[:length]
    return n.H_SUCCESS if not length or vty.write(data) else n.H_BUSY


@hcall(n.H_GET_TERM_CHAR, "hcall-term")
def h_get_term_char(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Read from a terminal: (unit address) gives length 0..16, bytes 0-7, bytes 8-15."""
    vty = p.vty(a[1])
    if vty is None:
        return n.H_PARAMETER
    data = vty.read()
    if not data:
        return n.H_SUCCESS, 0, 0, 0
    word = int.from_bytes(data.ljust(TERM_CHARS, b"\0"), "big")
    return n.H_SUCCESS, len(data), word >> 64, word & n.U64


@hcall(n.H_VIO_SIGNAL, "hcall-vio")
def h_vio_signal(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Enable (1) or disable (0) the interrupt of a virtual I/O device: (unit address, mode)."""
    vty = p.vtys_by_unit.get(a[1])
    if vty is None or a[2] > 1:
        return n.H_PARAMETER
    vty.interrupt_enabled = bool(a[2])
    return n.H_SUCCESS


@rtas("display-character", nargs=1)
def rtas_display_character(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Show one character on the console: (character)."""
    return _put(p, a[0])


@rtas("put-term-char", nargs=1)
def rtas_put_term_char(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Write one character to the console: (character)."""
    return _put(p, a[0])


@rtas("get-term-char", nargs=0, nret=2)
def rtas_get_term_char(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Read one character from the console; -2 if there is none."""
    vty = p.vty(0)
    data = vty.read(1) if vty else b""
    return (n.RTAS_SUCCESS, data[0]) if data else n.RTAS_BUSY


def _put(p: Partition, character: int) -> int:
    vty = p.vty(0)
    if vty is None:
        return n.RTAS_HW_ERROR
    return n.RTAS_SUCCESS if vty.write(bytes([character & 0xFF])) else n.RTAS_BUSY
