# SPDX-License-Identifier: GPL-2.0-only
"""Address translation (Power ISA 3.0B Book III, chapter 5), native: radix and hash tree walks.

``translate`` gives (real address, permissions); permissions 0 means that it faulted and that ``fault``,
``exc_vector`` and the fault's registers are set.

Rules of this file:
* ``access`` is LOAD, STORE or FETCH (static).  Permissions are bits R, W, X; W is withheld while the page's
  Change bit is clear, so that the first store comes back here.
* Tables live in guest memory and may be garbage: every read of them is bounds-checked.
* The guest runs as a partition: its real addresses are ours, nothing is translated twice.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.routine import routine
from lpar.isa.values import select

LOAD, STORE, FETCH = 0, 1, 2
R, W, X = 1, 2, 4
FAULT_INTERRUPT, FAULT_MMIO = 1, 2

DSISR_NOPTE, DSISR_PROT, DSISR_STORE, DSISR_BADCONFIG = 0x40000000, 0x08000000, 0x02000000, 0x00080000
DSISR_KEY = 0x00200000
SRR1_NOEXEC = 0x10000000
MSR_PR, MSR_IR, MSR_DR = 1 << 14, 1 << 5, 1 << 4
LPCR_HR, LPCR_UPRT = 1 << 20, 1 << 22
REAL_MASK = (1 << 60) - 1

PTE_VALID, PTE_LEAF = 1 << 63, 1 << 62
PTE_R, PTE_C, PTE_PRIV, PTE_READ, PTE_RW, PTE_EXEC = 0x100, 0x80, 0x8, 0x4, 0x2, 0x1


def storage_fault(cpu: Any, access: int, ea: Any, cause: Any) -> None:
    """Set up a data or instruction storage interrupt; ``cause`` in DSISR's bits."""
    cpu.fault = FAULT_INTERRUPT
    if access == FETCH:
        cpu.exc_vector = 0x400
        cpu.exc_srr1 = cause
        return
    cpu.exc_vector = 0x300
    cpu.exc_srr1 = 0
    cpu.dar = ea
    cpu.dsisr = cause | (DSISR_STORE if access == STORE else 0)


def segment_fault(cpu: Any, access: int, ea: Any) -> None:
    """Set up a data or instruction segment interrupt."""
    cpu.fault = FAULT_INTERRUPT
    cpu.exc_srr1 = 0
    if access == FETCH:
        cpu.exc_vector = 0x480
        return
    cpu.exc_vector = 0x380
    cpu.dar = ea


@routine(args=(64,), returns=(64, 1))
def guest_u64(cpu: Any, real: Any) -> Any:
    """A big-endian doubleword of guest memory: (value, whether it exists)."""
    if (cpu.ram_size < 8) | (real > cpu.ram_size - 8):
        return cpu.const(0), cpu.const(0, 1)
    return cpu.raw_load(cpu.ram_base + real, 64).bswap(), cpu.const(1, 1)


def radix_permissions(cpu: Any, pte: Any, access: int) -> Any:
    """R, W, X of a leaf for the current privilege, AMR and IAMR."""
    eaa = select((pte & (PTE_READ | PTE_RW)) != 0, cpu.const(R), 0)
    eaa = eaa | select((pte & PTE_RW) != 0, cpu.const(W), 0)
    eaa = eaa | select((pte & PTE_EXEC) != 0, cpu.const(X), 0)
    problem = (cpu.msr & MSR_PR) != 0
    private = (pte & PTE_PRIV) != 0
    amr, iamr = cpu.amr >> 62, cpu.iamr >> 62
    allowed = select((amr & 2) != 0, cpu.const(0), W) | select((amr & 1) != 0, cpu.const(0), R)
    allowed = allowed | select((iamr & 1) != 0, cpu.const(0), X)
    supervisor = select(private, eaa, eaa & allowed)
    return select(problem, select(private, cpu.const(0), eaa), supervisor)


def _translate_radix(cpu: Any, ea: Any, access: int) -> Any:
    none = cpu.const(0), cpu.const(0)
    quadrant = ea >> 62
    if (quadrant == 1) | (quadrant == 2):
        segment_fault(cpu, access, ea)
        return none
    pid = select(quadrant == 3, cpu.const(0), cpu.pidr & 0xFFFFF)
    entry, ok = guest_u64(cpu, cpu.prtb_base + pid * 16)
    if ~ok | (pid * 16 >= cpu.prtb_size):
        storage_fault(cpu, access, ea, cpu.const(DSISR_NOPTE))
        return none
    size = ((entry >> 58) & 0x18 | (entry >> 5) & 7) + 31
    shift = size
    bits = entry & 0x1F
    base = entry & 0x0FFFFFFFFFFFFF00
    low = ea & 0x3FFFFFFFFFFFFFFF
    if (size > 62) | ((low >> (size & 63)) != 0):
        segment_fault(cpu, access, ea)
        return none
    pte = cpu.const(0)
    where = cpu.const(0)
    while (pte & PTE_LEAF) == 0:
        if (bits < 5) | (bits > 16) | (bits > shift):
            storage_fault(cpu, access, ea, cpu.const(DSISR_BADCONFIG))
            return cpu.const(0), cpu.const(0)
        index = (low >> (shift - bits)) & ((cpu.const(1) << bits) - 1)
        where = base + index * 8
        pte, ok = guest_u64(cpu, where)
        if ~ok | ((pte & PTE_VALID) == 0):
            storage_fault(cpu, access, ea, cpu.const(DSISR_NOPTE))
            return cpu.const(0), cpu.const(0)
        shift = shift - bits
        bits = pte & 0x1F
        base = pte & 0x0FFFFFFFFFFFFF00
    prot = radix_permissions(cpu, pte, access)
    if (prot & (R, W, X)[access]) == 0:
        storage_fault(cpu, access, ea, cpu.const(SRR1_NOEXEC if access == FETCH else DSISR_PROT))
        return none
    wanted = PTE_R | (PTE_C if access == STORE else 0)
    if (pte & wanted) != wanted:
        cpu.raw_atomic("or", cpu.ram_base + where, cpu.const(wanted).bswap())
    if access != STORE:
        prot = select((pte & PTE_C) != 0, prot, prot & (R | X))
    mask = (cpu.const(1) << shift) - 1
    real = (pte & 0x01FFFFFFFFFFF000 & ~mask) | (low & mask)
    return real, prot


@routine(args=(64,), returns=(64, 64))
def radix_load(cpu: Any, ea: Any) -> Any:
    """Radix translation for a load."""
    return _translate_radix(cpu, ea, LOAD)


@routine(args=(64,), returns=(64, 64))
def radix_store(cpu: Any, ea: Any) -> Any:
    """Radix translation for a store."""
    return _translate_radix(cpu, ea, STORE)


@routine(args=(64,), returns=(64, 64))
def radix_fetch(cpu: Any, ea: Any) -> Any:
    """Radix translation for an instruction fetch."""
    return _translate_radix(cpu, ea, FETCH)


RADIX = (radix_load, radix_store, radix_fetch)


def translate(cpu: Any, ea: Any, access: int) -> Any:
    """(real address, permissions) of an effective address in the current mode."""
    from lpar.cpu import native_hash

    relocate = MSR_IR if access == FETCH else MSR_DR
    if (cpu.msr & relocate) == 0:
        return ea & REAL_MASK, cpu.const(R | W | X)
    if (cpu.lpcr & LPCR_HR) != 0:
        return RADIX[access](cpu, ea)
    return native_hash.HASH[access](cpu, ea)
