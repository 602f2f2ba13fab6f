# SPDX-License-Identifier: GPL-2.0-only
"""A fake /dev/kvm: knows every ioctl by its number as the headers have it, checks who is called with what
size, keeps the order, and lets a script play the guest.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Callable
from typing import Any

from lpar.host.kvm import abi

#: number -> name, what it is for; written out, not derived from the module under test
IOCTLS = {
    0x2000AE00: ("GET_API_VERSION", "system"),
    0x2000AE01: ("CREATE_VM", "system"),
    0x2000AE03: ("CHECK_EXTENSION", "system machine"),
    0x2000AE04: ("GET_VCPU_MMAP_SIZE", "system"),
    0x2000AE41: ("CREATE_VCPU", "machine"),
    0x8020AE46: ("SET_USER_MEMORY_REGION", "machine"),
    0x8008AE61: ("IRQ_LINE", "machine"),
    0x4250AEA6: ("PPC_GET_SMMU_INFO", "machine"),
    0xC004AEA7: ("PPC_ALLOCATE_HTAB", "machine"),
    0x8080AEAC: ("PPC_RTAS_DEFINE_TOKEN", "machine"),
    0x8010AEAF: ("PPC_CONFIGURE_V3_MMU", "machine"),
    0x4020AEB1: ("PPC_GET_CPU_CHAR", "machine"),
    0xC00CAEE0: ("CREATE_DEVICE", "machine"),
    0x8018AEE1: ("SET_DEVICE_ATTR", "device"),
    0x8018AEE2: ("GET_DEVICE_ATTR", "device"),
    0x2000AE80: ("RUN", "vcpu"),
    0x4188AE81: ("GET_REGS", "vcpu"),
    0x8188AE82: ("SET_REGS", "vcpu"),
    0x44D0AE83: ("GET_SREGS", "vcpu"),
    0x84D0AE84: ("SET_SREGS", "vcpu"),
    0x8004AE86: ("INTERRUPT", "vcpu"),
    0x8004AE8B: ("SET_SIGNAL_MASK", "vcpu"),
    0x8068AEA3: ("ENABLE_CAP", "machine vcpu"),
    0x8010AEAB: ("GET_ONE_REG", "vcpu"),
    0x8010AEAC: ("SET_ONE_REG", "vcpu"),
}
HV = {
    **dict.fromkeys((52, 53, 58, 68, 70, 78, 80, 91, 92, 104, 134, 136, 151), 1),
    9: 2,
    66: 2048,
    64: 1,
    135: 0,
}
PR = {**dict.fromkeys((53, 57, 58, 67, 68, 70, 78, 91, 104, 136, 151), 1), 9: 2, 66: 2048}
RUN_SIZE = 0x10000
POWER8, POWER9 = 0x004D0200, 0x004E1202
LPCR_LD = 1 << 17

Guest = Callable[["FakeVcpu"], int | None]


class FakeVcpu:
    """Registers and shared page of one vCPU.  ``guest`` plays: called by KVM_RUN, it fills the page."""

    def __init__(self, number: int, pvr: int) -> None:
        self.number = number
        self.page = mmap.mmap(-1, RUN_SIZE)
        self.regs = abi.Regs()
        self.sregs = abi.Sregs(pvr=pvr)
        self.one_regs: dict[int, int] = {}
        self.interrupts: list[int] = []
        self.capabilities: list[tuple[int, int, int]] = []
        self.hcall_needed = False

    def exit(self, reason: int, layout: str = "", *values: int) -> None:
        """What KVM_RUN leaves in the page."""
        struct.pack_into("=I", self.page, 8, reason)
        struct.pack_into("=" + layout, self.page, 32, *values)

    def hcall(self, number: int, *args: int) -> None:
        """Stop at a hypercall."""
        self.regs.gpr[3] = number
        self.regs.gpr[4 : 4 + len(args)] = args
        self.exit(abi.KVM_EXIT_PAPR_HCALL, "11Q", number, 0, *self.regs.gpr[4:13])
        self.hcall_needed = True

    def enter(self) -> None:
        """What the kernel does first: answers become registers."""
        if self.hcall_needed:
            ret, *args = struct.unpack_from("=10Q", self.page, 40)
            self.regs.gpr[3] = ret
            self.regs.gpr[4:13] = args
            self.hcall_needed = False


class FakeKernel:
    """Stands for ``lpar.host.kvm.device.Kernel``.  ``calls`` has (name, descriptor's kind) in order."""

    def __init__(self, capabilities: dict[int, int], *, pvr: int = POWER9) -> None:
        self.capabilities = capabilities
        self.pvr = pvr
        self.calls: list[str] = []
        self.refuse: dict[str, int] = {}  #: name of an ioctl -> errno
        self.open_error = 0
        self.api_version = 12
        self.fds: dict[int, str] = {}
        self.vcpus: dict[int, FakeVcpu] = {}
        self.memory: list[tuple[int, ...]] = []
        self.machine_capabilities: list[tuple[int, int, int]] = []
        self.mmu: list[tuple[int, int]] = []
        self.hash_orders: list[int] = []
        self.most_order = 46
        self.rtas: dict[str, int] = {}
        self.sources: dict[int, int] = {}
        self.lines: list[tuple[int, int]] = []
        self.guest: Guest | None = None
        self.page_sizes_real = True

    def open(self, path: str) -> int:
        assert path == "/dev/kvm"
        if self.open_error:
            raise OSError(self.open_error, os.strerror(self.open_error))
        return self._new("system")

    def _new(self, kind: str) -> int:
        fd = 100 + len(self.fds)
        self.fds[fd] = kind
        return fd

    def close(self, fd: int) -> None:
        assert self.fds[fd] != "closed"
        self.fds[fd] = "closed"

    def runner(self, fd: int, request: int) -> Callable[[], int]:
        def run() -> int:
            try:
                return self.ioctl(fd, request, 0)
            except OSError as err:
                return err.errno or errno.EIO

        return run

    def map(self, fd: int, size: int) -> mmap.mmap:
        assert self.fds[fd] == "vcpu" and size == RUN_SIZE
        return self.vcpus[fd].page

    def ioctl(self, fd: int, request: int, argument: Any = 0) -> int:
        assert request in IOCTLS, f"no ioctl has number {request:#x}"
        name, kinds = IOCTLS[request]
        assert self.fds[fd] in kinds.split(), f"{name} on a {self.fds[fd]}"
        self._check_size(name, request, argument)
        if name != "CHECK_EXTENSION":
            self.calls.append(name)
        if name in self.refuse:
            raise OSError(self.refuse[name], os.strerror(self.refuse[name]))
        handler = getattr(self, f"_{name.lower()}")
        result: int | None = handler(fd, argument)
        return result or 0

    def _check_size(self, name: str, request: int, argument: Any) -> None:
        size = request >> 16 & 0x1FFF
        if name == "SET_SIGNAL_MASK":
            assert (argument.len, ctypes.sizeof(argument)) == (8, 12)
        elif size:
            assert ctypes.sizeof(argument) == size, f"{name} wants {size} bytes"
        else:
            assert isinstance(argument, int), name

    # -- the system ----------------------------------------------------------------------
    def _get_api_version(self, fd: int, argument: int) -> int:
        return self.api_version

    def _create_vm(self, fd: int, argument: int) -> int:
        return self._new("machine")

    def _check_extension(self, fd: int, argument: int) -> int:
        return self.capabilities.get(argument, 0)

    def _get_vcpu_mmap_size(self, fd: int, argument: int) -> int:
        return RUN_SIZE

    # -- a machine -----------------------------------------------------------------------
    def _create_vcpu(self, fd: int, argument: int) -> int:
        new = self._new("vcpu")
        self.vcpus[new] = FakeVcpu(argument, self.pvr)
        return new

    def _set_user_memory_region(self, fd: int, region: abi.MemoryRegion) -> None:
        self.memory.append((region.slot, region.flags, region.guest_phys_addr, region.memory_size))

    def _irq_line(self, fd: int, line: abi.IrqLevel) -> None:
        self.lines.append((line.irq, line.level))

    def _ppc_get_smmu_info(self, fd: int, info: abi.SmmuInfo) -> None:
        info.flags = abi.KVM_PPC_1T_SEGMENTS | (abi.KVM_PPC_PAGE_SIZES_REAL if self.page_sizes_real else 0)
        info.slb_size = 32
        for at, (shift, slb_enc, encodings) in enumerate(
            [(12, 0, [(12, 0)]), (16, 0x110, [(16, 1)]), (24, 0x100, [(24, 0)])]
        ):
            info.sps[at].page_shift, info.sps[at].slb_enc = shift, slb_enc
            for to, encoding in zip(info.sps[at].enc, encodings, strict=False):
                to.page_shift, to.pte_enc = encoding

    def _ppc_allocate_htab(self, fd: int, order: ctypes.c_uint32) -> None:
        if order.value > self.most_order:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        self.hash_orders.append(order.value)

    def _ppc_rtas_define_token(self, fd: int, token: abi.RtasToken) -> None:
        self.rtas[token.name.decode()] = token.token

    def _ppc_configure_v3_mmu(self, fd: int, config: abi.MmuV3Config) -> None:
        radix = bool(config.flags & 1)
        if bool(config.process_table >> 63) != radix:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.mmu.append((config.flags, config.process_table))

    def _ppc_get_cpu_char(self, fd: int, told: abi.CpuChar) -> None:
        told.character, told.character_mask = 0xFF00, 0x0F00
        told.behaviour, told.behaviour_mask = 0x00FF, 0x000F

    def _create_device(self, fd: int, device: abi.CreateDevice) -> None:
        assert device.type == abi.KVM_DEV_TYPE_XICS
        device.fd = self._new("device")

    def _set_device_attr(self, fd: int, attr: abi.DeviceAttr) -> None:
        assert attr.group == abi.KVM_DEV_XICS_GRP_SOURCES
        self.sources[attr.attr] = ctypes.c_uint64.from_address(attr.addr).value

    def _get_device_attr(self, fd: int, attr: abi.DeviceAttr) -> None:
        ctypes.c_uint64.from_address(attr.addr).value = self.sources[attr.attr]

    # -- a vCPU --------------------------------------------------------------------------
    def _run(self, fd: int, argument: int) -> int:
        vcpu = self.vcpus[fd]
        vcpu.enter()
        if vcpu.page[1] or self.guest is None or self.guest(vcpu):
            vcpu.exit(abi.KVM_EXIT_INTR)
            raise OSError(errno.EINTR, os.strerror(errno.EINTR))
        return 0

    def _get_regs(self, fd: int, regs: abi.Regs) -> None:
        ctypes.pointer(regs)[0] = self.vcpus[fd].regs

    def _set_regs(self, fd: int, regs: abi.Regs) -> None:
        self.vcpus[fd].regs = abi.Regs.from_buffer_copy(regs)

    def _get_sregs(self, fd: int, sregs: abi.Sregs) -> None:
        ctypes.pointer(sregs)[0] = self.vcpus[fd].sregs

    def _set_sregs(self, fd: int, sregs: abi.Sregs) -> None:
        self.vcpus[fd].sregs = abi.Sregs.from_buffer_copy(sregs)

    def _interrupt(self, fd: int, interrupt: abi.Interrupt) -> None:
        self.vcpus[fd].interrupts.append(interrupt.irq)

    def _set_signal_mask(self, fd: int, mask: abi.SignalMask) -> None:
        return

    def _enable_cap(self, fd: int, request: abi.EnableCap) -> None:
        call = (request.cap, request.args[0], request.args[1])
        if self.fds[fd] == "vcpu":
            self.vcpus[fd].capabilities.append(call)
        else:
            self.machine_capabilities.append(call)

    def _get_one_reg(self, fd: int, reg: abi.OneReg) -> None:
        if reg.id & 0xFFFF == 0xC4:  # DAWR1: ISA 3.1 only
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        size = 4 if reg.id >> 52 & 0xF == 2 else 8
        ctypes.memmove(reg.addr, self.vcpus[fd].one_regs.get(reg.id, 0).to_bytes(size, "little"), size)

    def _set_one_reg(self, fd: int, reg: abi.OneReg) -> None:
        size = 4 if reg.id >> 52 & 0xF == 2 else 8
        self.vcpus[fd].one_regs[reg.id] = int.from_bytes(ctypes.string_at(reg.addr, size), "little")
