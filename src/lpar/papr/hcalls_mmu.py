# SPDX-License-Identifier: GPL-2.0-only
"""Hypercalls of address translation: the hashed page table and the process table.

Sources: PAPR 14.5.4.1 "Page Frame Table"; H_REGISTER_PROC_TBL as Linux uses it
(arch/powerpc/include/asm/hvcall.h, PROC_TABLE_*); return codes checked against what Linux
asserts in arch/powerpc/platforms/pseries/lpar.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpar.papr import numbers as n
from lpar.papr.cpus import ProcessTable
from lpar.papr.hpt import (
    HPTE_R_C,
    HPTE_R_I,
    HPTE_R_M,
    HPTE_R_R,
    HPTE_R_RPN,
    HPTE_R_W,
    HPTE_R_WIMG,
    page_shift,
)
from lpar.papr.registry import Args, Result, hcall

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition


@hcall(n.H_ENTER, "hcall-pft")
def h_enter(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Put an entry into the page table: (flags, index, v, r) gives the index taken."""
    flags, index, v, r = a[1:5]
    table = p.hash_table()
    if table is None:
        return n.H_HARDWARE
    shift = page_shift(v, r)
    if not shift or not _storage_ok(p, r, shift) or not table.valid_index(index):
        return n.H_PARAMETER
    where = table.enter(index, v, r, bool(flags & n.H_EXACT))
    return (n.H_SUCCESS, where) if where >= 0 else where


def _storage_ok(p: Partition, r: int, shift: int) -> bool:
    """RAM is mapped cacheable and coherent (WIMG 0010), everything else cache-inhibited."""
    if r & HPTE_R_RPN & -(1 << shift) < p.memory.size:
        return r & HPTE_R_WIMG == HPTE_R_M
    return r & (HPTE_R_W | HPTE_R_I) == HPTE_R_I


@hcall(n.H_REMOVE, "hcall-pft")
def h_remove(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Take an entry out of the page table: (flags, index, avpn) gives its v and r."""
    table = p.hash_table()
    if table is None:
        return n.H_HARDWARE
    status, v, r = table.remove(a[2], a[3], a[1])
    return (status, v, r) if status == n.H_SUCCESS else status


@hcall(n.H_PROTECT, "hcall-pft")
def h_protect(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Change the protection bits of an entry: (flags with the bits, index, avpn)."""
    table = p.hash_table()
    return n.H_HARDWARE if table is None else table.protect(a[2], a[3], a[1])


@hcall(n.H_READ, "hcall-pft")
def h_read(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Read one entry, or with H_READ_4 four: (flags, index) gives v and r of each."""
    table = p.hash_table()
    if table is None:
        return n.H_HARDWARE
    index = a[2]
    if not table.valid_index(index):
        return n.H_PARAMETER
    if not a[1] & n.H_READ_4:
        return n.H_SUCCESS, *table.read(index)
    first = index & ~3
    words = [word for i in range(first, first + 4) for word in table.read(i)]
    return n.H_SUCCESS, *words


@hcall(n.H_CLEAR_MOD, "hcall-pft")
def h_clear_mod(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Clear the change bit of an entry: (flags, index) gives the old r."""
    return _clear(p, a[2], HPTE_R_C)


@hcall(n.H_CLEAR_REF, "hcall-pft")
def h_clear_ref(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Clear the reference bit of an entry: (flags, index) gives the old r."""
    return _clear(p, a[2], HPTE_R_R)


def _clear(p: Partition, index: int, bit: int) -> Result:
    table = p.hash_table()
    if table is None:
        return n.H_HARDWARE
    status, old = table.clear_bits(index, bit)
    return (status, old) if status == n.H_SUCCESS else status


@hcall(n.H_CLEAR_HPT)
def h_clear_hpt(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Empty the page table, as a kernel does before it starts another."""
    table = p.hash_table()
    if table is None:
        return n.H_HARDWARE
    table.clear()
    return n.H_SUCCESS


# H_BULK_REMOVE: up to four pairs (translation specifier high, low) in r4..r11
_BULK_TYPE = 3 << 62
_BULK_REQUEST = 1 << 62
_BULK_RESPONSE = 2 << 62
_BULK_FLAGS = 3 << 56
_BULK_INDEX = (1 << 56) - 1
_BULK_CODES = {n.H_SUCCESS: 0, n.H_NOT_FOUND: 1, n.H_PARAMETER: 2}


@hcall(n.H_BULK_REMOVE, "hcall-bulk")
def h_bulk_remove(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Remove up to four entries at once; each specifier comes back with its own code."""
    table = p.hash_table()
    if table is None:
        return n.H_HARDWARE
    out = list(a[1:9])
    for i in range(0, 8, 2):
        high = out[i]
        kind = high & _BULK_TYPE
        if kind == _BULK_TYPE:
            break
        if kind != _BULK_REQUEST:
            return n.H_PARAMETER, *out
        if high & _BULK_FLAGS == _BULK_FLAGS:
            out[i] = _bulk_response(high, n.H_PARAMETER, 0)
            return n.H_PARAMETER, *out
        status, _, r = table.remove(high & _BULK_INDEX, out[i + 1], (high & _BULK_FLAGS) >> 26)
        out[i] = _bulk_response(high, status, r)
        if status == n.H_PARAMETER:
            return n.H_PARAMETER, *out
    return n.H_SUCCESS, *out


def _bulk_response(high: int, status: int, r: int) -> int:
    """The specifier with its code (bits 2-3) and, of a removed entry, R and C (bits 4-5)."""
    code = _BULK_CODES[status] << 60
    return high & (_BULK_INDEX | _BULK_FLAGS) | _BULK_RESPONSE | code | (r & (HPTE_R_R | HPTE_R_C)) << 43


# H_REGISTER_PROC_TBL flags
_PROC_TABLE_MODIFY = 0x10
_PROC_TABLE_REGISTER = 0x08
_PROC_TABLE_RADIX = 0x04
_PROC_TABLE_SEGMENT_TABLE = 0x02
_PROC_TABLE_GTSE = 0x01
_PROC_TABLE_FLAGS = 0x1F


@hcall(n.H_REGISTER_PROC_TBL)
def h_register_proc_tbl(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Choose radix or hash translation: (flags, table, page size, log2(table size) - 12).

    Nobody negotiates before us, so "keep the registration" (flags 0, what Linux sends for hash
    with SLB on ISA 3.0) is also the choice of hash.
    """
    flags, table, page_size, size = a[1:5]
    radix = bool(flags & _PROC_TABLE_RADIX)
    gtse = bool(flags & _PROC_TABLE_GTSE)
    if flags & ~_PROC_TABLE_FLAGS or flags & _PROC_TABLE_SEGMENT_TABLE:
        return n.H_PARAMETER
    if not flags & _PROC_TABLE_MODIFY:
        return _keep_process_table(p, vcpu, radix, gtse)
    if not flags & _PROC_TABLE_REGISTER:
        p.set_process_table(vcpu, ProcessTable(0, 12, radix, gtse))
        return n.H_SUCCESS
    status = _check_radix_table(table, page_size) if radix else _check_slb_table(table, page_size)
    if status == n.H_SUCCESS and size > 24:
        status = n.H_P4
    if status == n.H_SUCCESS:
        p.set_process_table(vcpu, ProcessTable(table if radix else 0, size + 12, radix, gtse))
    return status


def _check_radix_table(table: int, page_size: int) -> int:
    if table & 0xFFF or table >> 60:
        return n.H_P2
    return n.H_P3 if page_size else n.H_SUCCESS


def _check_slb_table(table: int, page_size: int) -> int:
    if table >> 38:
        return n.H_P2
    return n.H_P3 if page_size & ~7 else n.H_SUCCESS


def _keep_process_table(p: Partition, vcpu: Vcpu, radix: bool, gtse: bool) -> Result:
    old = p.process_table
    if radix and not old.radix:
        return n.H_PARAMETER
    kept = old._replace(gtse=gtse) if radix else ProcessTable(0, 12, False, gtse)
    p.set_process_table(vcpu, kept)
    return n.H_SUCCESS
