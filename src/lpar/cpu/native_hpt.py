# SPDX-License-Identifier: GPL-2.0-only
"""The page table hypercalls H_ENTER, H_REMOVE, H_PROTECT, H_BULK_REMOVE (PAPR 14.5.4.1), native.

The same as ``lpar.papr.hcalls_mmu`` with ``lpar.papr.hpt`` do for the rarer ones and for other accelerators;
the table's format, and the order in which an entry's doublewords are written, are described there.

Rules of this file:
* Who changes the table, here or in Python, holds ``hpt_lock`` of the shared block.
* The holder never needs Python's lock and is outside guest code, so that it always comes to an end.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu import native_tlb
from lpar.cpu.native_hash import choose
from lpar.cpu.native_shared import release_lock, take_lock
from lpar.isa.routine import routine
from lpar.isa.values import select

H_REMOVE, H_ENTER, H_PROTECT, H_BULK_REMOVE = 0x04, 0x08, 0x18, 0x124
CALLS = frozenset({H_REMOVE, H_ENTER, H_PROTECT, H_BULK_REMOVE})
SUCCESS, PARAMETER, PTEG_FULL, NOT_FOUND = 0, -4, -6, -7
FLAG_EXACT, FLAG_AVPN, FLAG_ANDCOND = 1 << 39, 1 << 31, 1 << 30
V_VALID, V_LARGE, V_AVPN, V_RESERVED = 1, 4, ~0x7F, 0x60
R_RPN, R_WIMG, R_W, R_I, R_M = 0x0FFFFFFFFFFFF000, 0x78, 0x40, 0x20, 0x10
R_REF_CHANGE = 0x180
R_PP0, R_KEY_HIGH, R_LOW = 1 << 63, 3 << 60, 0xE07  #: protection: PP0, upper key, lower key with N and PP
BULK_END, BULK_REQUEST, BULK_RESPONSE, BULK_FLAGS, BULK_INDEX = 3, 1 << 62, 2 << 62, 3 << 56, (1 << 56) - 1
ENTRY, GROUP = 16, 8


@routine(args=(), returns=None)
def hpt_acquire(cpu: Any) -> None:
    """Take the page table's lock; outside guest code."""
    take_lock(cpu, "hpt_lock", cpu.const(1))


@routine(args=(), returns=None)
def hpt_release(cpu: Any) -> None:
    """Give the page table's lock back."""
    release_lock(cpu, "hpt_lock")


def _entry(cpu: Any, index: Any) -> Any:
    """The host address of an entry that exists."""
    return cpu.hpt_base + index * ENTRY


def _exists(cpu: Any, index: Any) -> Any:
    return index < (cpu.hpt_mask + 1) * GROUP


def _read(cpu: Any, at: Any) -> Any:
    return cpu.raw_load(at, 64, 8).bswap()


def _write(cpu: Any, at: Any, value: Any) -> None:
    cpu.raw_store(at, value.bswap(), 8)


def _matches(v: Any, avpn: Any, flags: Any) -> Any:
    """Whether an entry is valid and the one that is meant."""
    other = ((flags & FLAG_AVPN) != 0) & ((v & V_AVPN) != avpn)
    spared = ((flags & FLAG_ANDCOND) != 0) & ((v & avpn) != 0)
    return ((v & V_VALID) != 0) & ~other & ~spared


@routine(args=(64, 64), returns=64)
def hpte_shift(cpu: Any, v: Any, r: Any) -> Any:
    """log2 of an entry's page size; 0 if the encoding is none of ours."""
    lp4, lp8 = (r >> 12) & 0xF, (r >> 12) & 0xFF
    sixteen_mib = (lp8 == 0x08) | (lp8 == 0x38) | (lp8 == 0)
    large = choose(cpu, (((lp4 == 1) | (lp4 == 7), 16), (sixteen_mib, 24), (lp8 == 3, 34)))
    return select((v & V_LARGE) != 0, large, 12)


@routine(args=(64, 64, 64), returns=1)
def may_enter(cpu: Any, index: Any, v: Any, r: Any) -> Any:
    """RAM is mapped cacheable and coherent, everything else cache-inhibited; the index exists."""
    shift = hpte_shift(cpu, v, r)
    within = (cpu.const(1) << shift) - 1
    is_ram = (r & R_RPN & ~within) < cpu.ram_size
    storage = select(is_ram, (r & R_WIMG) == R_M, (r & (R_W | R_I)) == R_I)
    return (shift != 0) & storage & _exists(cpu, index)


@routine(args=(64, 64), returns=(64, 64))
def free_slot(cpu: Any, index: Any, flags: Any) -> Any:
    """(Where an entry may go, whether there is room): ``index`` itself or a place in its group."""
    exact = (flags & FLAG_EXACT) != 0
    n = select(exact, index, index & ~(GROUP - 1))
    end = n + select(exact, cpu.const(1), GROUP)
    while n < end:
        if (_read(cpu, _entry(cpu, n)) & V_VALID) == 0:
            return n, cpu.const(1)
        n = n + 1
    return n, cpu.const(0)


@routine(args=(), returns=None)
def h_enter(cpu: Any) -> None:
    """H_ENTER: (flags, index, v, r) gives the index taken."""
    flags, index, v, r = cpu.gpr[4], cpu.gpr[5], cpu.gpr[6], cpu.gpr[7]
    if may_enter(cpu, index, v, r):
        hpt_acquire(cpu)
        where, room = free_slot(cpu, index, flags)
        if room != 0:
            at = _entry(cpu, where)
            _write(cpu, at + 8, r)
            cpu.fence("lwsync")
            _write(cpu, at, v & ~V_RESERVED)
        hpt_release(cpu)
        if room != 0:
            cpu.gpr[4] = where
        cpu.gpr[3] = select(room != 0, cpu.const(SUCCESS), PTEG_FULL)
    else:
        cpu.gpr[3] = cpu.const(PARAMETER)


@routine(args=(64, 64, 64), returns=(64, 64, 64))
def remove_hpte(cpu: Any, index: Any, avpn: Any, flags: Any) -> Any:
    """Take an entry out: (status, v, r) with R and C as translations left them."""
    if ~_exists(cpu, index):
        return cpu.const(PARAMETER), cpu.const(0), cpu.const(0)
    at = _entry(cpu, index)
    status, r = cpu.const(NOT_FOUND), cpu.const(0)
    hpt_acquire(cpu)
    v = _read(cpu, at)
    if _matches(v, avpn, flags):
        cpu.raw_store(at, cpu.const(0), 8)
        native_tlb.flush_hpte(cpu, v, index)
        r = _read(cpu, at + 8)
        cpu.raw_store(at + 8, cpu.const(0), 8)
        status = cpu.const(SUCCESS)
    hpt_release(cpu)
    return status, v, r


@routine(args=(), returns=None)
def h_remove(cpu: Any) -> None:
    """H_REMOVE: (flags, index, avpn) gives v and r."""
    status, v, r = remove_hpte(cpu, cpu.gpr[5], cpu.gpr[6], cpu.gpr[4])
    cpu.gpr[3] = status
    if status == SUCCESS:
        cpu.gpr[4] = v
        cpu.gpr[5] = r


@routine(args=(), returns=None)
def h_protect(cpu: Any) -> None:
    """H_PROTECT: (flags with the protection bits, index, avpn)."""
    flags, index, avpn = cpu.gpr[4], cpu.gpr[5], cpu.gpr[6]
    status = cpu.const(PARAMETER)
    if _exists(cpu, index):
        bits = ((flags << 55) & R_PP0) | ((flags << 48) & R_KEY_HIGH) | (flags & R_LOW)
        at = _entry(cpu, index)
        status = cpu.const(NOT_FOUND)
        hpt_acquire(cpu)
        v = _read(cpu, at)
        if _matches(v, avpn, flags & FLAG_AVPN):
            _write(cpu, at, v & ~V_VALID)
            native_tlb.flush_hpte(cpu, v, index)
            _write(cpu, at + 8, (_read(cpu, at + 8) & ~(R_PP0 | R_KEY_HIGH | R_LOW)) | bits)
            cpu.fence("lwsync")
            _write(cpu, at, v)
            status = cpu.const(SUCCESS)
        hpt_release(cpu)
    cpu.gpr[3] = status


@routine(args=(64, 64), returns=(64, 64))
def bulk_remove_one(cpu: Any, high: Any, avpn: Any) -> Any:
    """One pair of H_BULK_REMOVE: (the specifier that comes back, whether the call goes on)."""
    kept = (high & (BULK_INDEX | BULK_FLAGS)) | BULK_RESPONSE
    if (high & BULK_FLAGS) == BULK_FLAGS:
        return kept | (2 << 60), cpu.const(0)
    status, _, r = remove_hpte(cpu, high & BULK_INDEX, avpn, (high & BULK_FLAGS) >> 26)
    code = select(status == SUCCESS, cpu.const(0), select(status == NOT_FOUND, cpu.const(1), 2))
    changes = select(status == SUCCESS, (r & R_REF_CHANGE) << 43, 0)
    return kept | (code << 60) | changes, select(status == PARAMETER, cpu.const(0), 1)


@routine(args=(), returns=None)
def h_bulk_remove(cpu: Any) -> None:
    """H_BULK_REMOVE: up to four pairs (specifier, avpn) from r4 on."""
    n, status = cpu.const(4), cpu.const(SUCCESS)
    while n < 12:
        high = cpu.gpr[n]
        if (high >> 62) == BULK_END:
            n = cpu.const(12)
        elif (high >> 62) != 1:
            status, n = cpu.const(PARAMETER), cpu.const(12)
        else:
            answer, on = bulk_remove_one(cpu, high, cpu.gpr[n + 1])
            cpu.gpr[n] = answer
            status = select(on != 0, status, cpu.const(PARAMETER))
            n = select(on != 0, n + 2, cpu.const(12))
    cpu.gpr[3] = status
