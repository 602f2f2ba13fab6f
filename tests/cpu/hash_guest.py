# SPDX-License-Identifier: GPL-2.0-only
"""A guest under hash translation: SLB and page table made by hand, one instruction at a time.

Addresses are hashed here as Power ISA 2.07 Book III-S, 5.7.7 words it, on Python integers, with virtual
addresses of 78 bits: not as the engine does it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lpar.accel.protocol import Exit, ExitReason
from lpar.accel.soft import SoftAccelerator, SoftVcpu
from lpar.host.memory import GuestMemory
from lpar.papr.hpt import HashTable

MIB = 1 << 20
RAM = 64 * MIB
ORDER = 18
GROUPS = 1 << (ORDER - 7)
CODE = 0x4000  #: real address of the instruction under test
VECTORS = range(0x100, 0x1000, 0x80)
SF, EE, PR, IR, DR, LE = 1 << 63, 1 << 15, 1 << 14, 1 << 5, 1 << 4, 1
LPCR_ILE = 1 << 25
SC1 = 0x44000022
LD_R3_R4, STD_R3_R4 = 0xE8640000, 0xF8640000
KS, KP, NOEXEC, CLASS = 0x800, 0x400, 0x200, 0x80
SLB_LLP = {12: 0x000, 16: 0x110, 24: 0x100, 34: 0x120}
#: (base page shift, actual page shift) -> LP; None: L is 0
LP: dict[tuple[int, int], int | None] = {
    (12, 12): None, (12, 16): 0x7, (12, 24): 0x38, (16, 16): 0x1, (16, 24): 0x8, (24, 24): 0x0, (34, 34): 0x3,
}  # fmt: skip


def slbmte(rs: int, rb: int) -> int:
    """slbmte RS,RB."""
    return 31 << 26 | rs << 21 | rb << 11 | 402 << 1


def slbie(rb: int) -> int:
    """slbie RB."""
    return 31 << 26 | rb << 11 | 434 << 1


def slbia(ih: int) -> int:
    """slbia IH."""
    return 31 << 26 | ih << 21 | 498 << 1


def slbfee(rt: int, rb: int) -> int:
    """slbfee. RT,RB."""
    return 31 << 26 | rt << 21 | rb << 11 | 979 << 1 | 1


@dataclass(frozen=True)
class Segment:
    """A segment at ``esid`` (an address in it), of 2**shift bytes, with SLB flags."""

    esid: int
    vsid: int
    shift: int = 28
    base: int = 12
    flags: int = 0

    @property
    def rs(self) -> int:
        """The second operand of slbmte."""
        field = self.vsid << (12 if self.shift == 28 else 24)
        return (self.shift == 40) << 62 | field | self.flags | SLB_LLP[self.base]

    def rb(self, index: int) -> int:
        """The first operand of slbmte."""
        return self.esid >> self.shift << self.shift | 1 << 27 | index

    def virtual(self, ea: int) -> int:
        """The 78-bit virtual address of ``ea``."""
        return self.vsid << self.shift | ea & (1 << self.shift) - 1

    def hash(self, ea: int) -> int:
        """The primary hash of ``ea``, 39 bits."""
        page = (ea & (1 << self.shift) - 1) >> self.base
        if self.shift == 28:
            return self.vsid & (1 << 39) - 1 ^ page
        return (self.vsid & (1 << 39) - 1) ^ (self.vsid << 25 & (1 << 39) - 1) ^ page


class HashGuest:
    """One or more vCPUs in little-endian mode, data relocation on, code in real mode unless it is fetched."""

    def __init__(self, model: str = "POWER9", vcpus: int = 1) -> None:
        self.memory = GuestMemory(RAM)
        self.accelerator = SoftAccelerator()
        self.vcpus = list(self.accelerator.create_vcpus(self.memory, vcpus, model))
        self.table = HashTable(self.accelerator.allocate_hpt(ORDER), ORDER, self.accelerator.flush_hpte)
        for vcpu in self.vcpus:
            vcpu.set_hash_table(ORDER)
            vcpu.set_reg("lpcr", LPCR_ILE)
        for vector in VECTORS:
            self.memory.write(vector, struct.pack("<I", SC1))

    def close(self) -> None:
        """End the engine's threads."""
        self.accelerator.close()
        self.memory.close()

    def clear(self) -> None:
        """As new: no segments, no pages."""
        self.table.clear()
        for vcpu in self.vcpus:
            for n in range(32):
                vcpu.thread.state.set("slb_esid", 0, n)
            vcpu.set_reg("amr", 0)
            vcpu.set_reg("iamr", 0)
            vcpu.flush_tlb()

    def run(self, word: int, msr: int = DR, vcpu: int = 0, pc: int = CODE, **registers: int) -> Exit:
        """One instruction at real address CODE; it ends behind it or at a vector (see ``vector``)."""
        self.memory.write(CODE, struct.pack("<2I", word, SC1))
        self.accelerator.memory_written(CODE, 8)
        cpu = self.vcpus[vcpu]
        for name, value in {"msr": SF | LE | msr, "pc": pc, "dsisr": 0, "dar": 0, **registers}.items():
            cpu.set_reg(name, value)
        exit = cpu.run()
        assert exit.reason in (ExitReason.HCALL, ExitReason.MMIO_READ, ExitReason.MMIO_WRITE)
        return exit

    def vector(self, vcpu: int = 0) -> int:
        """The interrupt that the last instruction took; 0: none (problem state ends in a system call)."""
        pc = self.vcpus[vcpu].get_reg("pc") - 4
        return pc if pc in VECTORS and pc != 0xC00 else 0

    def reg(self, name: str, vcpu: int = 0) -> int:
        """A register."""
        return self.vcpus[vcpu].get_reg(name)

    def segment(self, segment: Segment, index: int = 0, vcpu: int = 0) -> Segment:
        """slbmte."""
        self.run(slbmte(5, 6), r5=segment.rs, r6=segment.rb(index), vcpu=vcpu)
        assert self.vector(vcpu) == 0
        return segment

    def page(
        self,
        s: Segment,
        ea: int,
        real: int,
        *,
        shift: int = 0,
        flags: int = 2,
        secondary: bool = False,
        slot: int = 0,
    ) -> int:
        """Map ``ea``'s page, ``flags`` (pp, key, N, G, R, C) of its second doubleword: its index."""
        actual = shift or s.base
        lp = LP[s.base, actual]
        group = (~s.hash(ea) if secondary else s.hash(ea)) % GROUPS
        v = (s.shift == 40) << 62 | (s.virtual(ea) >> max(23, s.base) << max(23, s.base)) >> 16 | 1
        v |= (2 if secondary else 0) | (0 if lp is None else 4)
        r = real >> actual << actual | (lp or 0) << 12 | flags
        index = self.table.enter(group * 8 + slot, v, r, True)
        assert index >= 0
        return index

    def load(self, ea: int, vcpu: int = 0, msr: int = DR) -> int | None:
        """The doubleword at ``ea``; None after an interrupt."""
        self.run(LD_R3_R4, msr, vcpu, r3=0, r4=ea)
        return None if self.vector(vcpu) else self.reg("r3", vcpu)

    def store(self, ea: int, value: int, msr: int = DR) -> bool:
        """Store a doubleword; whether no interrupt came."""
        self.run(STD_R3_R4, msr, r3=value, r4=ea)
        return not self.vector()

    def fetch(self, ea: int, msr: int = 0) -> int:
        """Execute at ``ea``, which maps CODE: the interrupt or 0."""
        self.run(0x60000000, msr | IR, pc=ea)
        return self.vector()

    def put(self, real: int, value: int) -> None:
        """A little-endian doubleword into RAM."""
        self.memory.write(real, struct.pack("<Q", value))


def state_of(vcpu: SoftVcpu, name: str) -> int:
    """A counter or other scalar of the engine's state."""
    return vcpu.thread.state.get(name)
