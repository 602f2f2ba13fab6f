# SPDX-License-Identifier: GPL-2.0-only
"""CPU models: what POWER8, POWER9 and POWER10 say of themselves in the device tree.

Data only; no accelerator is known here.  A KVM host that supplies its own segment and page size
table (``KVM_PPC_GET_SMMU_INFO``) puts it in with ``dataclasses.replace(model, smmu=...)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

TIMEBASE_HZ = 512_000_000  #: ticks of the timebase per second (Power ISA Book II, chapter 6)


@dataclass(frozen=True, slots=True)
class PageEncoding:
    """One actual page size inside a segment: log2 of its size, and its LP bits in the PTE."""

    page_shift: int
    pte_enc: int


@dataclass(frozen=True, slots=True)
class SegmentPageSize:
    """One base page size: log2 of its size, the SLB's L||LP as in bits 55 and 58:59, page sizes."""

    page_shift: int
    slb_enc: int
    encodings: tuple[PageEncoding, ...]


@dataclass(frozen=True, slots=True)
class SmmuInfo:
    """Server MMU: the facts of ``struct kvm_ppc_smmu_info`` (Linux, KVM API)."""

    slb_size: int
    segments_1t: bool
    page_sizes: tuple[SegmentPageSize, ...]

    def limited(self, max_page_shift: int) -> SmmuInfo:
        """The same without pages above ``2**max_page_shift`` bytes."""
        kept = (
            replace(size, encodings=tuple(e for e in size.encodings if e.page_shift <= max_page_shift))
            for size in self.page_sizes
            if size.page_shift <= max_page_shift
        )
        return replace(self, page_sizes=tuple(size for size in kept if size.encodings))


@dataclass(frozen=True, slots=True)
class Cache:
    """A first-level cache; sizes in bytes."""

    size: int
    ways: int
    line: int = 128

    @property
    def sets(self) -> int:
        """Number of congruence classes."""
        return self.size // (self.ways * self.line)


@dataclass(frozen=True, slots=True)
class CpuModel:
    """A processor as the partition sees it."""

    name: str  #: as in ``--cpu`` and in the node name ``PowerPC,NAME@...``
    isa: str  #: "2.07", "3.0" or "3.1"
    pvr: int
    dcache: Cache
    icache: Cache
    smmu: SmmuInfo
    max_threads: int = 8  #: SMT threads of a core
    timebase_hz: int = TIMEBASE_HZ
    clock_hz: int = 0xDDBAB200  #: nominal; guests only print it
    vmx: bool = True
    vsx: bool = True
    dfp: bool = True
    dec_bits: int = 32  #: width of the decrementer; above 32 the partition runs with LPCR[LD]=1
    radix_ap: tuple[tuple[int, int], ...] = ()  #: (log2 of page size, AP field); empty: no radix
    pid_bits: int = 0  #: width of PIDR that the radix MMU uses; 0: no process tables
    without: frozenset[str] = frozenset()  #: pa-features of the ISA level that are missing

    @property
    def has_radix(self) -> bool:
        """Whether the radix MMU exists (Power ISA 3.0 and later)."""
        return bool(self.radix_ap)


#: Base page sizes 4 KiB, 64 KiB and 16 MiB, with multiple page sizes per segment (Power ISA v2.07,
#: Book III-S, chapter 5).  16 GiB pages are left out: a guest cannot make one out of its RAM.
_SERVER_PAGE_SIZES = (
    SegmentPageSize(12, 0x000, (PageEncoding(12, 0), PageEncoding(16, 7), PageEncoding(24, 0x38))),
    SegmentPageSize(16, 0x110, (PageEncoding(16, 1), PageEncoding(24, 8))),
    SegmentPageSize(24, 0x100, (PageEncoding(24, 0),)),
)
_SMMU = SmmuInfo(slb_size=32, segments_1t=True, page_sizes=_SERVER_PAGE_SIZES)

#: 4 KiB, 64 KiB, 2 MiB, 1 GiB with their AP fields (Power ISA v3.0, Book III, chapter 5).
_RADIX_AP = ((12, 0), (16, 5), (21, 1), (30, 2))

_KIB = 1024

POWER8 = CpuModel(
    name="POWER8",
    isa="2.07",
    pvr=0x004D0200,
    dcache=Cache(64 * _KIB, ways=8),
    icache=Cache(32 * _KIB, ways=8),
    smmu=_SMMU,
)

POWER9 = CpuModel(
    name="POWER9",
    isa="3.0",
    pvr=0x004E1202,
    dcache=Cache(32 * _KIB, ways=8),
    icache=Cache(32 * _KIB, ways=8),
    smmu=_SMMU,
    dec_bits=56,
    radix_ap=_RADIX_AP,
    pid_bits=20,
)

POWER10 = CpuModel(
    name="POWER10",
    isa="3.1",
    pvr=0x00801200,
    dcache=Cache(32 * _KIB, ways=8),
    icache=Cache(48 * _KIB, ways=6),
    smmu=_SMMU,
    dec_bits=56,
    radix_ap=_RADIX_AP,
    pid_bits=20,
)

MODELS: Mapping[str, CpuModel] = {model.name: model for model in (POWER8, POWER9, POWER10)}
DEFAULT = POWER9


def smt_threads(cpus: int, model: CpuModel) -> int:
    """Threads per core for a number of vCPUs: the largest power of two that divides it, at most
    what the model has.

    Every core gets the same number, and a power of two: Linux takes the last core's number for
    all of them and stops on others (arch/powerpc/kernel/setup-common.c, smp_setup_cpu_maps).
    """
    return min(cpus & -cpus, model.max_threads)
