# SPDX-License-Identifier: GPL-2.0-only
"""Hashed page table translation (Power ISA 2.07 Book III-S, 5.7.6 to 5.7.9, and 3.0B Book III), native.

A segment is found in the software-managed SLB, a page by its hash in the primary and the secondary group
(PTEG) of the partition's table, which lies in host memory outside the guest's reach.  Entries have the
format of ISA 2.07 on every model (see ``lpar.papr.hpt``).  Page size encodings are those of
``ibm,segment-page-sizes``; fault bits are those of POWER8 and POWER9.

Rules of this file:
* The table changes by hypercalls while we walk it: an entry's first doubleword is read first.  Who takes an
  entry down clears it, then waits in ``native_tlb.flush_hpte`` for walks under way.
* R and C are set by an atomic "or": the hypervisor reads them after that wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lpar.cpu.native_mmu import (
    DSISR_KEY,
    DSISR_NOPTE,
    DSISR_PROT,
    FETCH,
    LOAD,
    MSR_PR,
    SRR1_NOEXEC,
    STORE,
    R,
    W,
    X,
    segment_fault,
    storage_fault,
)
from lpar.cpu.native_tlb import SLB_SIZE_1T, slb_index, virtual_hash
from lpar.isa.routine import routine
from lpar.isa.values import select

SLB_KS, SLB_KP, SLB_N = 0x800, 0x400, 0x200
SLB_PAGE_SIZE = 0x130  #: L and LP
SLB_PTEM = 0xFFFFFFFFFFFFF000  #: B and VSID
HPTE_V, HPTE_V_H = 0x1, 0x2
HPTE_V_L = 0x4
HPTE_V_COMPARE = 0xFFFFFFFFFFFFFF80 | HPTE_V_H | HPTE_V  #: B, AVPN, H, V
HPTE_AVPN_EA = 0x3FFFFFFFFFFFFF80
HPTE_R, HPTE_C, HPTE_G, HPTE_N = 0x100, 0x80, 0x8, 0x4
HPTE_RPN = 0x0FFFFFFFFFFFF000
GROUP_BYTES, ENTRY_BYTES = 128, 16


def choose(cpu: Any, choices: Sequence[tuple[Any, int]]) -> Any:
    """The value of the first true condition, or 0."""
    value = cpu.const(0)
    for condition, result in reversed(choices):
        value = select(condition, cpu.const(result), value)
    return value


def base_page_shift(cpu: Any, vsid: Any) -> Any:
    """log2 of a segment's base page size by L and LP of its VSID doubleword; 0: reserved."""
    size = vsid & SLB_PAGE_SIZE
    return choose(cpu, ((size == 0, 12), (size == 0x110, 16), (size == 0x100, 24), (size == 0x120, 34)))


def actual_page_shift(cpu: Any, base: Any, v: Any, r: Any) -> Any:
    """log2 of an entry's page size within a segment of base page size ``base``; 0: not a page of it."""
    large = (v & HPTE_V_L) != 0
    lp4, lp8 = (r >> 12) & 0xF, (r >> 12) & 0xFF
    in_4k, in_64k = large & (base == 12), large & (base == 16)
    choices = (
        (~large & (base == 12), 12),
        (in_4k & (lp4 == 0x7), 16),
        (in_4k & (lp8 == 0x38), 24),
        (in_64k & (lp4 == 0x1), 16),
        (in_64k & (lp8 == 0x8), 24),
        (large & (base == 24) & (lp8 == 0), 24),
        (large & (base == 34) & (lp8 == 3), 34),
    )
    return choose(cpu, choices)


@routine(args=(64, 64, 64), returns=(64, 64))
def search_group(cpu: Any, number: Any, want: Any, base: Any) -> Any:
    """The entry in group ``number`` with ``want`` in its first doubleword: (host address or 0, shift)."""
    entry = cpu.hpt_base + (number & cpu.hpt_mask) * GROUP_BYTES
    end = entry + GROUP_BYTES
    while entry < end:
        v = cpu.raw_load(entry, 64, 8).bswap()
        if ((v ^ want) & HPTE_V_COMPARE) == 0:
            cpu.fence("lwsync")
            shift = actual_page_shift(cpu, base, v, cpu.raw_load(entry + 8, 64, 8).bswap())
            if shift != 0:
                return entry, shift
        entry = entry + ENTRY_BYTES
    return cpu.const(0), cpu.const(0)


@routine(args=(64, 64), returns=(64, 64))
def find_hpte(cpu: Any, ea: Any, vsid: Any) -> Any:
    """The page table entry of ``ea`` in the segment ``vsid``: (host address or 0, log2 of the page size)."""
    base = base_page_shift(cpu, vsid)
    if (base == 0) | (cpu.hpt_base == 0):
        return cpu.const(0), cpu.const(0)
    offset_mask = select((vsid >> 62) == SLB_SIZE_1T, cpu.const((1 << 40) - 1), (1 << 28) - 1)
    page = (ea & offset_mask) >> base
    number = virtual_hash(vsid) ^ page
    want = (vsid & SLB_PTEM) | ((page << base) >> 16 & HPTE_AVPN_EA) | HPTE_V
    entry, shift = search_group(cpu, number, want, base)
    if entry == 0:
        entry, shift = search_group(cpu, ~number, want | HPTE_V_H, base)
    return entry, shift


def protection(cpu: Any, vsid: Any, r: Any) -> Any:
    """R, W, X that Ks or Kp and pp give (2.07 Book III-S, 5.7.9.2): X goes with reading."""
    key = (vsid & select((cpu.msr & MSR_PR) != 0, cpu.const(SLB_KP), SLB_KS)) != 0
    pp = (r & 3) | (r >> 61 & 4)
    by_key = select(pp == 2, cpu.const(R | W | X), select((pp == 1) | (pp == 3), cpu.const(R | X), 0))
    no_key = select(pp <= 2, cpu.const(R | W | X), select((pp == 3) | (pp == 6), cpu.const(R | X), 0))
    return select(key, by_key, no_key)


def class_key(cpu: Any, r: Any) -> Any:
    """R, W, X that AMR and IAMR leave to the page's virtual page class key (5.7.9.1)."""
    key = (r >> 57 & 0x18) | (r >> 9 & 7)
    shift = 62 - key * 2
    amr, iamr = cpu.amr >> shift, cpu.iamr >> shift
    data = select((amr & 2) != 0, cpu.const(0), W) | select((amr & 1) != 0, cpu.const(0), R)
    return data | select((iamr & 1) != 0, cpu.const(0), X)


def protection_fault(cpu: Any, access: int, ea: Any, executable: Any, allowed: Any, by_class: Any) -> None:
    """The storage interrupt for an access that one of the three protections forbids."""
    need = (R, W, X)[access]
    refused, key = cpu.const(DSISR_PROT), cpu.const(DSISR_KEY)
    cause = select((allowed & need) == 0, refused, 0) | select((by_class & need) == 0, key, 0)
    if access == FETCH:
        cause = select(executable, cause, (cause & DSISR_KEY) | SRR1_NOEXEC)
    storage_fault(cpu, access, ea, cause)


def _translate_hash(cpu: Any, ea: Any, access: int) -> Any:
    index = slb_index(cpu, ea)
    if index >= 32:
        segment_fault(cpu, access, ea)
        return cpu.const(0), cpu.const(0)
    vsid = cpu.slb_vsid[index]
    if access == FETCH and (vsid & SLB_N) != 0:
        storage_fault(cpu, access, ea, cpu.const(SRR1_NOEXEC))
        return cpu.const(0), cpu.const(0)
    entry, shift = find_hpte(cpu, ea, vsid)
    if entry == 0:
        storage_fault(cpu, access, ea, cpu.const(DSISR_NOPTE))
        return cpu.const(0), cpu.const(0)
    r = cpu.raw_load(entry + 8, 64, 8).bswap()
    executable = (r & (HPTE_N | HPTE_G)) == 0
    allowed, by_class = protection(cpu, vsid, r), class_key(cpu, r)
    prot = allowed & by_class & select(executable, cpu.const(R | W | X), R | W)
    if (prot & (R, W, X)[access]) == 0:
        protection_fault(cpu, access, ea, executable, allowed, by_class)
        return cpu.const(0), cpu.const(0)
    wanted = HPTE_R | (HPTE_C if access == STORE else 0)
    if (r & wanted) != wanted:
        cpu.raw_atomic("or", entry + 8, cpu.const(wanted).bswap())
    if access != STORE:
        prot = select((r & HPTE_C) != 0, prot, prot & (R | X))
    low = (cpu.const(1) << shift) - 1
    return (r & HPTE_RPN & ~low) | (ea & low), prot


@routine(args=(64,), returns=(64, 64))
def hash_load(cpu: Any, ea: Any) -> Any:
    """Hash translation for a load."""
    return _translate_hash(cpu, ea, LOAD)


@routine(args=(64,), returns=(64, 64))
def hash_store(cpu: Any, ea: Any) -> Any:
    """Hash translation for a store."""
    return _translate_hash(cpu, ea, STORE)


@routine(args=(64,), returns=(64, 64))
def hash_fetch(cpu: Any, ea: Any) -> Any:
    """Hash translation for an instruction fetch."""
    return _translate_hash(cpu, ea, FETCH)


HASH = (hash_load, hash_store, hash_fetch)
