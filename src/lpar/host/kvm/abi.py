# SPDX-License-Identifier: GPL-2.0-only
"""The KVM ABI of 64-bit powerpc: ioctl numbers, capabilities, structures.

Source: Linux include/uapi/linux/kvm.h and arch/powerpc/include/uapi/{asm/kvm.h,asm/ioctl.h}.
``tests/kvm/test_abi.py`` compiles a program against Debian's copy of these headers and compares every
number, size and offset here.

ioctl numbers are powerpc's (13 bits of size, direction in the top three), whatever runs this.
"""

from __future__ import annotations

import ctypes
from ctypes import Array, Structure, c_char, c_uint8, c_uint16, c_uint32, c_uint64
from typing import Any

API_VERSION = 12
KVMIO = 0xAE
_NONE, _READ, _WRITE = 1, 2, 4  # asm/ioctl.h


class RunHead(Structure):
    """``struct kvm_run`` up to its union."""

    _fields_ = (
        ("request_interrupt_window", c_uint8),
        ("immediate_exit", c_uint8),
        ("padding1", c_uint8 * 6),
        ("exit_reason", c_uint32),
        ("ready_for_interrupt_injection", c_uint8),
        ("if_flag", c_uint8),
        ("flags", c_uint16),
        ("cr8", c_uint64),
        ("apic_base", c_uint64),
    )


class PaprHcall(Structure):
    """``kvm_run.papr_hcall``: r3, the answer for r3, and r4 to r12 both ways."""

    _fields_ = (("nr", c_uint64), ("ret", c_uint64), ("args", c_uint64 * 9))


class Mmio(Structure):
    """``kvm_run.mmio``; ``data`` holds the bytes in address order."""

    _fields_ = (("phys_addr", c_uint64), ("data", c_uint8 * 8), ("len", c_uint32), ("is_write", c_uint8))


class Internal(Structure):
    """``kvm_run.internal``."""

    _fields_ = (("suberror", c_uint32), ("ndata", c_uint32), ("data", c_uint64 * 16))


class SystemEvent(Structure):
    """``kvm_run.system_event``."""

    _fields_ = (("type", c_uint32), ("ndata", c_uint32), ("data", c_uint64 * 16))


class Regs(Structure):
    """``struct kvm_regs``."""

    _fields_ = (
        *((name, c_uint64) for name in ["pc", "cr", "ctr", "lr", "xer", "msr", "srr0", "srr1", "pid"]),
        *((f"sprg{n}", c_uint64) for n in range(8)),
        ("gpr", c_uint64 * 32),
    )


class SlbEntry(Structure):
    """One entry of the SLB in ``struct kvm_sregs``."""

    _fields_ = (("slbe", c_uint64), ("slbv", c_uint64))


class Sregs(Structure):
    """``struct kvm_sregs`` with the server part of its union."""

    _fields_ = (
        ("pvr", c_uint32),
        ("pad0", c_uint32),
        ("sdr1", c_uint64),
        ("slb", SlbEntry * 64),
        ("ppc32", c_uint8 * 192),
    )


class OneReg(Structure):
    """``struct kvm_one_reg``."""

    _fields_ = (("id", c_uint64), ("addr", c_uint64))


class MemoryRegion(Structure):
    """``struct kvm_userspace_memory_region``."""

    _fields_ = (
        ("slot", c_uint32),
        ("flags", c_uint32),
        ("guest_phys_addr", c_uint64),
        ("memory_size", c_uint64),
        ("userspace_addr", c_uint64),
    )


class Interrupt(Structure):
    """``struct kvm_interrupt``."""

    _fields_ = (("irq", c_uint32),)


class IrqLevel(Structure):
    """``struct kvm_irq_level``."""

    _fields_ = (("irq", c_uint32), ("level", c_uint32))


class EnableCap(Structure):
    """``struct kvm_enable_cap``."""

    _fields_ = (("cap", c_uint32), ("flags", c_uint32), ("args", c_uint64 * 4), ("pad", c_uint8 * 64))


class PageEncoding(Structure):
    """``struct kvm_ppc_one_page_size``."""

    _fields_ = (("page_shift", c_uint32), ("pte_enc", c_uint32))


class SegmentPageSize(Structure):
    """``struct kvm_ppc_one_seg_page_size``."""

    _fields_ = (("page_shift", c_uint32), ("slb_enc", c_uint32), ("enc", PageEncoding * 8))


class SmmuInfo(Structure):
    """``struct kvm_ppc_smmu_info``."""

    _fields_ = (
        ("flags", c_uint64),
        ("slb_size", c_uint32),
        ("data_keys", c_uint16),
        ("instr_keys", c_uint16),
        ("sps", SegmentPageSize * 8),
    )


class MmuV3Config(Structure):
    """``struct kvm_ppc_mmuv3_cfg``; ``process_table`` is the second doubleword of a partition table entry."""

    _fields_ = (("flags", c_uint64), ("process_table", c_uint64))


class CpuChar(Structure):
    """``struct kvm_ppc_cpu_char``."""

    _fields_ = (
        ("character", c_uint64),
        ("behaviour", c_uint64),
        ("character_mask", c_uint64),
        ("behaviour_mask", c_uint64),
    )


class RtasToken(Structure):
    """``struct kvm_rtas_token_args``; token 0 takes a definition back."""

    _fields_ = (("name", c_char * 120), ("token", c_uint64))


class CreateDevice(Structure):
    """``struct kvm_create_device``."""

    _fields_ = (("type", c_uint32), ("fd", c_uint32), ("flags", c_uint32))


class DeviceAttr(Structure):
    """``struct kvm_device_attr``."""

    _fields_ = (("flags", c_uint32), ("group", c_uint32), ("attr", c_uint64), ("addr", c_uint64))


class SignalMask(Structure):
    """``struct kvm_signal_mask`` with the kernel's 64-bit signal set behind it."""

    _pack_ = 4
    _fields_ = (("len", c_uint32), ("sigset", c_uint64))


SIGNAL_MASK_SIZE = 4  #: the ioctl number counts the length alone
SIGSET_SIZE = 8  #: bytes of the kernel's signal set


def _number(direction: int, number: int, size: int) -> int:
    return direction << 29 | size << 16 | KVMIO << 8 | number


def _io(number: int) -> int:
    return _number(_NONE, number, 0)


def _ior(number: int, struct: type[Any]) -> int:
    return _number(_READ, number, ctypes.sizeof(struct))


def _iow(number: int, struct: type[Any]) -> int:
    return _number(_WRITE, number, ctypes.sizeof(struct))


def _iowr(number: int, struct: type[Any]) -> int:
    return _number(_READ | _WRITE, number, ctypes.sizeof(struct))


# ioctls of /dev/kvm
KVM_GET_API_VERSION = _io(0x00)
KVM_CREATE_VM = _io(0x01)
KVM_CHECK_EXTENSION = _io(0x03)
KVM_GET_VCPU_MMAP_SIZE = _io(0x04)
# of a machine
KVM_CREATE_VCPU = _io(0x41)
KVM_SET_USER_MEMORY_REGION = _iow(0x46, MemoryRegion)
KVM_IRQ_LINE = _iow(0x61, IrqLevel)
KVM_PPC_GET_SMMU_INFO = _ior(0xA6, SmmuInfo)
KVM_PPC_ALLOCATE_HTAB = _iowr(0xA7, c_uint32)
KVM_PPC_RTAS_DEFINE_TOKEN = _iow(0xAC, RtasToken)
KVM_PPC_CONFIGURE_V3_MMU = _iow(0xAF, MmuV3Config)
KVM_PPC_GET_CPU_CHAR = _ior(0xB1, CpuChar)
KVM_CREATE_DEVICE = _iowr(0xE0, CreateDevice)
# of a device
KVM_SET_DEVICE_ATTR = _iow(0xE1, DeviceAttr)
KVM_GET_DEVICE_ATTR = _iow(0xE2, DeviceAttr)
# of a vCPU (KVM_ENABLE_CAP: of a machine too)
KVM_RUN = _io(0x80)
KVM_GET_REGS = _ior(0x81, Regs)
KVM_SET_REGS = _iow(0x82, Regs)
KVM_GET_SREGS = _ior(0x83, Sregs)
KVM_SET_SREGS = _iow(0x84, Sregs)
KVM_INTERRUPT = _iow(0x86, Interrupt)
KVM_SET_SIGNAL_MASK = _number(_WRITE, 0x8B, SIGNAL_MASK_SIZE)
KVM_ENABLE_CAP = _iow(0xA3, EnableCap)
KVM_GET_ONE_REG = _iow(0xAB, OneReg)
KVM_SET_ONE_REG = _iow(0xAC, OneReg)

# Capabilities
KVM_CAP_NR_VCPUS = 9
KVM_CAP_PPC_UNSET_IRQ = 53
KVM_CAP_PPC_GET_PVINFO = 57  #: of the two flavours, PR alone has it
KVM_CAP_PPC_IRQ_LEVEL = 58
KVM_CAP_PPC_SMT = 64
KVM_CAP_PPC_RMA = 65
KVM_CAP_MAX_VCPUS = 66
KVM_CAP_PPC_HIOR = 67
KVM_CAP_PPC_PAPR = 68
KVM_CAP_ONE_REG = 70
KVM_CAP_PPC_GET_SMMU_INFO = 78
KVM_CAP_PPC_ALLOC_HTAB = 80
KVM_CAP_PPC_RTAS = 91
KVM_CAP_IRQ_XICS = 92
KVM_CAP_PPC_ENABLE_HCALL = 104
KVM_CAP_MAX_VCPU_ID = 128
KVM_CAP_PPC_MMU_RADIX = 134
KVM_CAP_PPC_MMU_HASH_V3 = 135
KVM_CAP_IMMEDIATE_EXIT = 136
KVM_CAP_PPC_GET_CPU_CHAR = 151

# KVM_CREATE_VM
KVM_VM_PPC_HV = 1
KVM_VM_PPC_PR = 2

# kvm_run.exit_reason
KVM_EXIT_UNKNOWN = 0
KVM_EXIT_DEBUG = 4
KVM_EXIT_HLT = 5
KVM_EXIT_MMIO = 6
KVM_EXIT_SHUTDOWN = 8
KVM_EXIT_FAIL_ENTRY = 9
KVM_EXIT_INTR = 10
KVM_EXIT_NMI = 16
KVM_EXIT_INTERNAL_ERROR = 17
KVM_EXIT_PAPR_HCALL = 19
KVM_EXIT_WATCHDOG = 21
KVM_EXIT_SYSTEM_EVENT = 24

KVM_SYSTEM_EVENT_SHUTDOWN = 1
KVM_SYSTEM_EVENT_RESET = 2
KVM_SYSTEM_EVENT_CRASH = 3

# KVM_INTERRUPT
KVM_INTERRUPT_SET = 0xFFFFFFFF
KVM_INTERRUPT_UNSET = 0xFFFFFFFE
KVM_INTERRUPT_SET_LEVEL = 0xFFFFFFFD

# KVM_PPC_GET_SMMU_INFO
KVM_PPC_PAGE_SIZES_REAL = 1  #: pages of the guest must be backed by pages of the host as large
KVM_PPC_1T_SEGMENTS = 2
KVM_PPC_NO_HASH = 4

# KVM_PPC_CONFIGURE_V3_MMU
KVM_PPC_MMUV3_RADIX = 1
KVM_PPC_MMUV3_GTSE = 2
PATB_GR = 1 << 63  #: guest radix; must be told in the entry too (Linux, asm/book3s/64/mmu.h)

# Devices
KVM_DEV_TYPE_XICS = 3
KVM_DEV_XICS_GRP_SOURCES = 1
KVM_XICS_PRIORITY_SHIFT = 32
KVM_XICS_LEVEL_SENSITIVE = 1 << 40
KVM_XICS_MASKED = 1 << 41
KVM_XICS_PENDING = 1 << 42

# Registers of KVM_GET_ONE_REG
_REG = 0x1000000000000000
_U32, _U64 = 0x0020000000000000, 0x0030000000000000
KVM_REG_PPC_HIOR = _REG | _U64 | 0x01
KVM_REG_PPC_ICP_STATE = _REG | _U64 | 0x8C
KVM_REG_PPC_TB_OFFSET = _REG | _U64 | 0x9C
KVM_REG_PPC_DAWR = _REG | _U64 | 0xAA
KVM_REG_PPC_DAWRX = _REG | _U64 | 0xAB
KVM_REG_PPC_CIABR = _REG | _U64 | 0xAC
KVM_REG_PPC_VRSAVE = _REG | _U32 | 0xB4
KVM_REG_PPC_LPCR_64 = _REG | _U64 | 0xB5
KVM_REG_PPC_ARCH_COMPAT = _REG | _U32 | 0xB7
KVM_REG_PPC_SPRG9 = _REG | _U64 | 0xBA
KVM_REG_PPC_DEC_EXPIRY = _REG | _U64 | 0xBE
KVM_REG_PPC_ONLINE = _REG | _U32 | 0xBF
KVM_REG_PPC_PTCR = _REG | _U64 | 0xC0
KVM_REG_PPC_DAWR1 = _REG | _U64 | 0xC4
KVM_REG_PPC_DAWRX1 = _REG | _U64 | 0xC5

#: our names of the registers that are read and written one at a time
ONE_REGS = {
    "hior": KVM_REG_PPC_HIOR,
    "dawr0": KVM_REG_PPC_DAWR,
    "dawrx0": KVM_REG_PPC_DAWRX,
    "dawr1": KVM_REG_PPC_DAWR1,
    "dawrx1": KVM_REG_PPC_DAWRX1,
    "ciabr": KVM_REG_PPC_CIABR,
    "vrsave": KVM_REG_PPC_VRSAVE,
    "lpcr": KVM_REG_PPC_LPCR_64,
    "arch_compat": KVM_REG_PPC_ARCH_COMPAT,
    "sprg9": KVM_REG_PPC_SPRG9,
    "dec_expiry": KVM_REG_PPC_DEC_EXPIRY,
    "online": KVM_REG_PPC_ONLINE,
    "ptcr": KVM_REG_PPC_PTCR,
    "tb_offset": KVM_REG_PPC_TB_OFFSET,
    "icp_state": KVM_REG_PPC_ICP_STATE,
}


def register_size(identifier: int) -> int:
    """Bytes of a register of ``KVM_GET_ONE_REG`` (KVM_REG_SIZE_MASK)."""
    return 1 << (identifier >> 52 & 0xF)


def bytes_of(array: Array[c_uint8], size: int) -> bytes:
    """The first ``size`` bytes of a field."""
    return bytes(array[:size])
