# SPDX-License-Identifier: GPL-2.0-only
"""The ``kvm`` accelerator: vCPUs of the host's KVM, HV or PR.

Nothing here needs a compiled package: it runs on a bare ppc64le Python.

HV uses the processor's hypervisor mode: radix on a radix host, hash with a table that the kernel keeps
(KVM_PPC_ALLOCATE_HTAB).  PR runs the guest in problem state, on hash only, with a table in our memory
whose address the kernel learns as SDR1; this part mirrors kvm__arch_init of kvmtool's powerpc/kvm.c.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lpar.accel.kvm_vcpu import KvmVcpu
from lpar.accel.kvm_xics import KvmXics
from lpar.accel.protocol import Facts, KernelInterrupts, PageSizes
from lpar.errors import ConfigError, HostError
from lpar.host.kvm import abi
from lpar.host.kvm.device import Kernel, Machine, System

TIMEBASE_HZ = 512_000_000
LPCR_LD = 1 << 17  #: large decrementer
MIN_ORDER = 18  #: of a hash page table
PR_MAX_ORDER = 24  #: what the reference always takes
#: models by the upper half of the PVR
MODELS = {0x4B: "POWER8", 0x4C: "POWER8", 0x4D: "POWER8", 0x4E: "POWER9", 0x80: "POWER10", 0x82: "POWER10"}
#: logical PVRs (PAPR): a newer processor behaves as an older one
LOGICAL_PVR = {"POWER8": 0x0F000004, "POWER9": 0x0F000005, "POWER10": 0x0F000006}
_AGE = list(LOGICAL_PVR)
REQUIRED = {
    abi.KVM_CAP_PPC_PAPR: "KVM_CAP_PPC_PAPR",
    abi.KVM_CAP_PPC_UNSET_IRQ: "KVM_CAP_PPC_UNSET_IRQ",
    abi.KVM_CAP_PPC_IRQ_LEVEL: "KVM_CAP_PPC_IRQ_LEVEL",
    abi.KVM_CAP_ONE_REG: "KVM_CAP_ONE_REG",
    abi.KVM_CAP_IMMEDIATE_EXIT: "KVM_CAP_IMMEDIATE_EXIT",
}
#: hypercalls that kernels can answer, but only when asked to: H_CLEAR_MOD, H_CLEAR_REF, H_PAGE_INIT,
#: H_LOGICAL_CI_LOAD and _STORE, H_RANDOM, H_SET_MODE (its parts that need no user space)
ENABLED_HCALLS = (0x10, 0x14, 0x2C, 0x3C, 0x40, 0x300, 0x31C)


class KvmAccelerator:
    """vCPUs on /dev/kvm.  ``kernel_irqs``: interrupts inside the kernel where it offers them.

    Raises HostError where KVM does not do what is needed.
    """

    def __init__(self, kernel: Kernel | None = None, *, kernel_irqs: bool = True, flavour: int = 0) -> None:
        self._system = _opened(kernel or Kernel())
        self._want_irqs = kernel_irqs
        self.machine: Machine = _tell("create a machine", self._system.create_machine, flavour)
        self.is_pr = bool(self.machine.has(abi.KVM_CAP_PPC_GET_PVINFO))
        self._check_capabilities()
        self.vcpus: list[KvmVcpu] = []
        self._facts = Facts("POWER9")
        self._hpt: mmap.mmap | None = None
        self._hpt_view: memoryview | None = None
        self._hpt_order = 0
        self._mmu: tuple[int, int, bool, bool] | None = None
        self._xics: KvmXics | None = None
        self._memory: Any = None
        self._threads = 1

    def _check_capabilities(self) -> None:
        for capability, name in REQUIRED.items():
            if not self.machine.has(capability):
                raise HostError(
                    f"this host's KVM has no {name}",
                    hint="use --accel auto, jit or interp, or a newer kernel",
                )
        if self.machine.has(abi.KVM_CAP_PPC_RMA) == 2:
            raise HostError(
                "this processor needs a contiguous real mode area for guests, which is not supported",
                hint="POWER7 and later need none",
            )

    # -- making the machine ------------------------------------------------------------------
    def create_vcpus(self, memory: Any, count: int, cpu: str, threads_per_core: int = 1) -> Sequence[KvmVcpu]:
        """``count`` vCPUs with the RAM ``memory``; ``cpu`` is a model or ``auto``.

        Raises HostError for what the host refuses, ConfigError for what it can never have.
        """
        self._memory = memory
        self._check_count(count)
        _tell(
            f"give the guest {memory.size >> 20} MiB of RAM",
            self.machine.set_memory, 0, 0, memory.size, memory.address,
        )  # fmt: skip
        self._threads = self._set_threads(threads_per_core)
        self.vcpus = [self._create_vcpu(index) for index in range(count)]
        self._facts = self._find_facts(cpu)
        if self.is_pr:
            self._set_up_pr()
        elif self._facts.mmu == "hash":
            self._allocate_hash_table()
            if self._is_isa_3():
                self.configure_mmu(0, 12, False, False)
        self._enable_hcalls()
        if self._want_irqs and self.machine.has(abi.KVM_CAP_IRQ_XICS):
            self._xics = _tell("make an interrupt controller", KvmXics, self.machine, self.vcpus)
        return self.vcpus

    def _set_threads(self, wanted: int) -> int:
        """Threads per core: ``wanted`` on POWER8, whose cores run one guest at a time, else 1.

        From POWER9 on each vCPU has a core of its own anyway, and the doorbells that the threads of a core
        would use are slow: each is an exit.
        """
        if wanted == 1 or self.machine.has(abi.KVM_CAP_PPC_SMT) <= 1:
            return 1
        _tell(f"run {wanted} threads per core", self.machine.enable, abi.KVM_CAP_PPC_SMT, wanted, 0)
        return wanted

    def _check_count(self, count: int) -> None:
        most = self.machine.has(abi.KVM_CAP_MAX_VCPUS) or self.machine.has(abi.KVM_CAP_NR_VCPUS) or 4
        if count > most:
            raise ConfigError(f"{count} CPUs are too many for this host's KVM", hint=f"-c {most} at most")

    def _create_vcpu(self, index: int) -> KvmVcpu:
        made = _tell(f"make vCPU {index}", self.machine.create_vcpu, index)
        vcpu = KvmVcpu(index, made, timebase_hz(), self.configure_mmu)
        _tell("run a partition (PAPR)", made.enable, abi.KVM_CAP_PPC_PAPR)
        return vcpu

    def _enable_hcalls(self) -> None:
        """Hypercalls in the kernel where it can; it refuses those that it does not know."""
        if self.is_pr or not self.machine.has(abi.KVM_CAP_PPC_ENABLE_HCALL):
            return
        for number in ENABLED_HCALLS:
            try:
                self.machine.enable(abi.KVM_CAP_PPC_ENABLE_HCALL, number, 1)
            except OSError:
                pass

    # -- what the processors are -------------------------------------------------------------
    def facts(self) -> Facts:
        """Of the vCPUs that were made."""
        return replace(self._facts, hpt_order=self._hpt_order or None)

    def _find_facts(self, cpu: str) -> Facts:
        pvr = int(self.vcpus[0].fd.sregs().pvr)
        host = MODELS.get(pvr >> 16)
        if host is None:
            raise HostError(f"KVM on a processor that lpar does not know (PVR {pvr:#x})")
        model = host if cpu == "auto" else cpu
        if model != host:
            pvr = self._be_compatible(model, host)
        slb_size, segments_1t, page_sizes = self._segments()
        return Facts(
            cpu=model,
            pvr=pvr,
            timebase_hz=timebase_hz(),
            mmu=self._mmu_choice(model),
            slb_size=slb_size,
            segments_1t=segments_1t,
            page_sizes=page_sizes,
            dec_bits=self._dec_bits(model),
            characteristics=self._characteristics(),
            threads=self._threads,
        )

    def _be_compatible(self, model: str, host: str) -> int:
        """Make an older processor of a newer one; its logical PVR."""
        if self.is_pr or model not in _AGE or _AGE.index(model) > _AGE.index(host):
            raise ConfigError(
                f"KVM on {host} cannot run a guest's {model}", hint=f"--cpu {host}, or --accel jit"
            )
        for vcpu in self.vcpus:
            _tell(f"run as {model}", vcpu.fd.set_one_reg, abi.KVM_REG_PPC_ARCH_COMPAT, LOGICAL_PVR[model])
        return LOGICAL_PVR[model]

    def _mmu_choice(self, model: str) -> str:
        """What the guest may choose.  Raises HostError if that is nothing."""
        radix = bool(self.machine.has(abi.KVM_CAP_PPC_MMU_RADIX)) and model != "POWER8"
        hash_too = self._hash_possible()
        if radix:
            return "any" if hash_too else "radix"
        if hash_too:
            return "hash"
        raise ConfigError(
            f"this host's KVM has only the radix MMU, which {model} has not",
            hint="--cpu POWER9, or --accel jit",
        )

    def _hash_possible(self) -> bool:
        """PR: always.  HV: on a hash host, or where the processor mixes both and is not nested."""
        if self.is_pr:
            return True
        return bool(
            self.machine.has(abi.KVM_CAP_PPC_ALLOC_HTAB)
            and (
                self.machine.has(abi.KVM_CAP_PPC_MMU_HASH_V3)
                or not self.machine.has(abi.KVM_CAP_PPC_MMU_RADIX)
            )
        )

    def _is_isa_3(self) -> bool:
        return MODELS[int(self.vcpus[0].fd.sregs().pvr) >> 16] != "POWER8"

    def _segments(self) -> tuple[int | None, bool, PageSizes | None]:
        """(SLB entries, 1 TiB segments, page sizes that the backing pages allow)."""
        if not self.machine.has(abi.KVM_CAP_PPC_GET_SMMU_INFO):
            return None, False, ((12, 0, ((12, 0),)),)
        info = _tell("say what its hash MMU has", self.machine.smmu_info)
        if info.flags & abi.KVM_PPC_NO_HASH or not info.sps[0].page_shift:
            return None, True, None
        largest = self._memory.page_shift if info.flags & abi.KVM_PPC_PAGE_SIZES_REAL else 64
        sizes = tuple(
            (base.page_shift, base.slb_enc, encodings)
            for base in info.sps
            if base.page_shift and (encodings := _encodings(base, largest))
        )
        return info.slb_size, bool(info.flags & abi.KVM_PPC_1T_SEGMENTS), sizes

    def _dec_bits(self, model: str) -> int:
        """56 where the large decrementer of ISA 3.0 can be had."""
        if model == "POWER8" or self.is_pr:
            return 32
        for vcpu in self.vcpus:
            lpcr = vcpu.get_reg("lpcr")
            vcpu.set_reg("lpcr", lpcr | LPCR_LD)
        return 56 if self.vcpus[0].get_reg("lpcr") & LPCR_LD else 32

    def _characteristics(self) -> tuple[int, int] | None:
        if not self.machine.has(abi.KVM_CAP_PPC_GET_CPU_CHAR):
            return 0, 1 << 63 | 1 << 62  # nothing known: favour security, flush the L1 cache
        return self.machine.cpu_characteristics()

    # -- translation -------------------------------------------------------------------------
    def allocate_hpt(self, order: int) -> memoryview | None:
        """PR: the table that the kernel and we share.  HV: None, the kernel keeps it."""
        return self._hpt_view

    def _set_up_pr(self) -> None:
        """Table, SDR1, PVR, HIOR (kvmtool: kvm__arch_init, kvm_cpu__setup_regs)."""
        self._hpt_order = min(_order_for(self._memory.size), PR_MAX_ORDER)
        address = self._aligned_table()
        for vcpu in self.vcpus:
            sregs = vcpu.fd.sregs()
            sregs.sdr1 = address | self._hpt_order - 18
            _tell("take its registers", vcpu.fd.set_sregs, sregs)
            _tell("take HIOR", vcpu.fd.set_one_reg, abi.KVM_REG_PPC_HIOR, 0)

    def _aligned_table(self) -> int:
        """Memory for a table at a multiple of its size."""
        size = 1 << self._hpt_order
        try:
            self._hpt = mmap.mmap(-1, 2 * size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as err:
            raise HostError(f"no memory for the guest's page table: {err.strerror}") from None
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._hpt))
        offset = -start % size
        self._hpt_view = memoryview(self._hpt)[offset : offset + size]
        return start + offset

    def _allocate_hash_table(self) -> None:
        """HV: as large as RAM asks for, or what the kernel can give."""
        order = _order_for(self._memory.size)
        while True:
            try:
                self._hpt_order = self.machine.allocate_hash_table(order)
                return
            except OSError as err:
                if order <= MIN_ORDER:
                    raise HostError(f"KVM has no memory for a page table: {err.strerror}") from None
                order -= 1

    def configure_mmu(self, base: int, log2_size: int, radix: bool, gtse: bool) -> None:
        """HV on ISA 3.0: the guest chose; the same again does nothing.  Raises HostError."""
        wanted = (base, log2_size, radix, gtse)
        if self.is_pr or not self._is_isa_3() or wanted == self._mmu:
            return
        if not radix and not self._hpt_order:
            self._allocate_hash_table()
        flags = (abi.KVM_PPC_MMUV3_RADIX if radix else 0) | (abi.KVM_PPC_MMUV3_GTSE if gtse else 0)
        entry = (abi.PATB_GR | base | log2_size - 12) if radix else 0
        _tell(f"translate by {'radix' if radix else 'hash'}", self.machine.configure_mmu, flags, entry)
        self._mmu = wanted

    def flush_hpte(self, v: int, r: int, index: int) -> None:
        """The kernel does that by itself."""

    def memory_written(self, address: int, length: int) -> None:
        """The kernel sees to instruction caches when it maps a page."""

    def start_profile(self) -> None:
        """Not here: the host's perf kvm does that."""

    # -- interrupts --------------------------------------------------------------------------
    def natives(self) -> None:
        """None: the kernel answers hypercalls of its own choice, without a word."""

    def kernel_interrupts(self) -> KernelInterrupts | None:
        """The controller inside the kernel, if there is one."""
        return self._xics

    def close(self) -> None:
        """Free what the kernel holds."""
        for vcpu in self.vcpus:
            vcpu.close()
        if self._xics is not None:
            self._xics.close()
        self.machine.close()
        self._system.close()


def _order_for(ram_size: int) -> int:
    """log2 of the bytes of a page table for RAM: 1/128 of it."""
    return max(MIN_ORDER, (ram_size >> 7).bit_length() - 1)


def _opened(kernel: Kernel) -> System:
    """/dev/kvm.  Raises HostError."""
    try:
        return System(kernel)
    except OSError as err:
        raise HostError(f"cannot open /dev/kvm: {err.strerror}", hint="see --accel auto") from None


def _tell(what: str, call: Any, *args: Any) -> Any:
    """``call(*args)``; an OSError becomes a HostError that says what KVM would not do."""
    try:
        return call(*args)
    except OSError as err:
        raise HostError(f"KVM does not {what}: {err.strerror}", hint=_HINTS.get(err.errno or 0)) from None


_HINTS = {
    12: "less memory (-m), or fewer CPUs (-c)",
    16: "another hypervisor may hold the processor's virtualization",
    22: "a newer kernel may; --accel jit needs none",
    28: "less memory (-m), or fewer CPUs (-c)",
}


def _encodings(base: abi.SegmentPageSize, largest: int) -> tuple[tuple[int, int], ...]:
    """Page sizes of a segment up to 2**``largest``; none for a base size above."""
    if base.page_shift > largest:
        return ()
    return tuple((e.page_shift, e.pte_enc) for e in base.enc if 0 < e.page_shift <= largest)


def timebase_hz() -> int:
    """The host's timebase, from /proc/cpuinfo; 512 MHz where it does not say."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("timebase"):
                return int(line.partition(":")[2])
    except (OSError, ValueError):
        pass
    return TIMEBASE_HZ
