# SPDX-License-Identifier: GPL-2.0-only
"""/dev/kvm as objects: the system, a machine, a vCPU, an in-kernel device.

``Kernel`` makes the system calls; tests put a fake in its place.  Errors are OSError here: who knows
what was wanted turns them into words (``lpar.accel.kvm``).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from typing import Any

from lpar.host.kvm import abi

PATH = "/dev/kvm"

Argument = Any  #: an int, or a ctypes object that is passed by address


class Kernel:
    """The real system calls.

    ioctl goes through ctypes: ``fcntl.ioctl`` copies buffers above 1 KiB only one way.  The third
    argument is declared as variadic by leaving it out of ``argtypes``: on powerpc a variadic callee
    stores its arguments where only a caller that knows leaves room.
    """

    def __init__(self) -> None:
        self._ioctl = ctypes.CDLL(None, use_errno=True).ioctl
        self._ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong]
        self._ioctl.restype = ctypes.c_int

    def open(self, path: str) -> int:
        """A descriptor of ``path``, for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def ioctl(self, fd: int, request: int, argument: Argument = 0) -> int:
        """The call's result.  Raises OSError; releases the GIL meanwhile."""
        passed = (
            ctypes.c_ulong(argument)
            if isinstance(argument, int)
            else ctypes.c_void_p(ctypes.addressof(argument))
        )
        result: int = self._ioctl(fd, request, passed)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def runner(self, fd: int, request: int) -> Callable[[], int]:
        """A function that makes this call without an argument: 0 or the error number."""
        call, nothing, error = self._ioctl, ctypes.c_ulong(0), ctypes.get_errno

        def run() -> int:
            return 0 if call(fd, request, nothing) >= 0 else error()

        return run

    def map(self, fd: int, size: int) -> mmap.mmap:
        """``size`` bytes of a descriptor, shared with the kernel."""
        return mmap.mmap(fd, size)


class _Handle:
    """A descriptor and the kernel behind it."""

    def __init__(self, kernel: Kernel, fd: int) -> None:
        self.kernel = kernel
        self.fd = fd

    def ioctl(self, request: int, argument: Argument = 0) -> int:
        """Raises OSError."""
        return self.kernel.ioctl(self.fd, request, argument)

    def close(self) -> None:
        """Give the descriptor back; again is no harm."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self.kernel.close(fd)

    def enable(self, capability: int, *args: int) -> None:
        """KVM_ENABLE_CAP, on a machine or a vCPU.  Raises OSError."""
        request = abi.EnableCap(cap=capability)
        request.args[: len(args)] = args
        self.ioctl(abi.KVM_ENABLE_CAP, request)

    def has(self, capability: int) -> int:
        """KVM_CHECK_EXTENSION: 0 where the capability is missing or unknown."""
        try:
            return self.ioctl(abi.KVM_CHECK_EXTENSION, capability)
        except OSError:
            return 0


class System(_Handle):
    """/dev/kvm itself.  Raises OSError when it cannot be opened."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, kernel.open(PATH))

    def api_version(self) -> int:
        """12 since 2007."""
        return self.ioctl(abi.KVM_GET_API_VERSION)

    def create_machine(self, flavour: int = 0) -> Machine:
        """A machine; ``flavour`` 0 is HV where there is HV, else PR.  Raises OSError."""
        fd = self.ioctl(abi.KVM_CREATE_VM, flavour)
        return Machine(self.kernel, fd, self.ioctl(abi.KVM_GET_VCPU_MMAP_SIZE))


class Machine(_Handle):
    """A machine of the kernel; ``run_size`` is what each vCPU shares with us, in bytes."""

    def __init__(self, kernel: Kernel, fd: int, run_size: int) -> None:
        super().__init__(kernel, fd)
        self.run_size = run_size

    def set_memory(self, slot: int, guest: int, size: int, host: int) -> None:
        """Put ``size`` bytes at host address ``host`` at guest-physical ``guest``."""
        region = abi.MemoryRegion(slot, 0, guest, size, host)
        self.ioctl(abi.KVM_SET_USER_MEMORY_REGION, region)

    def create_vcpu(self, identifier: int) -> Vcpu:
        """A vCPU; in a partition the identifier is the server number."""
        return Vcpu(self.kernel, self.ioctl(abi.KVM_CREATE_VCPU, identifier), self.run_size)

    def create_device(self, kind: int) -> Device:
        """An in-kernel device."""
        request = abi.CreateDevice(type=kind)
        self.ioctl(abi.KVM_CREATE_DEVICE, request)
        return Device(self.kernel, request.fd)

    def smmu_info(self) -> abi.SmmuInfo:
        """Segments and page sizes of the hash MMU."""
        info = abi.SmmuInfo()
        self.ioctl(abi.KVM_PPC_GET_SMMU_INFO, info)
        return info

    def allocate_hash_table(self, order: int) -> int:
        """HV: the kernel's own hash table; the order it really has."""
        got = ctypes.c_uint32(order)
        self.ioctl(abi.KVM_PPC_ALLOCATE_HTAB, got)
        return got.value

    def configure_mmu(self, flags: int, process_table: int) -> None:
        """HV on ISA 3.0: radix or hash, and the process table."""
        self.ioctl(abi.KVM_PPC_CONFIGURE_V3_MMU, abi.MmuV3Config(flags, process_table))

    def cpu_characteristics(self) -> tuple[int, int]:
        """(character, behaviour): what H_GET_CPU_CHARACTERISTICS answers."""
        told = abi.CpuChar()
        self.ioctl(abi.KVM_PPC_GET_CPU_CHAR, told)
        return told.character & told.character_mask, told.behaviour & told.behaviour_mask

    def define_rtas(self, name: str, token: int) -> None:
        """Let the kernel answer the RTAS call ``name`` under ``token``."""
        self.ioctl(abi.KVM_PPC_RTAS_DEFINE_TOKEN, abi.RtasToken(name.encode(), token))

    def set_line(self, number: int, level: bool) -> None:
        """Drive an interrupt source of the in-kernel controller.  From any thread."""
        self.ioctl(abi.KVM_IRQ_LINE, abi.IrqLevel(number, int(level)))


class Device(_Handle):
    """An in-kernel device."""

    def set_attr(self, group: int, attr: int, value: int) -> None:
        """Set a 64-bit attribute."""
        data = ctypes.c_uint64(value)
        self.ioctl(abi.KVM_SET_DEVICE_ATTR, abi.DeviceAttr(0, group, attr, ctypes.addressof(data)))

    def get_attr(self, group: int, attr: int) -> int:
        """Read a 64-bit attribute."""
        data = ctypes.c_uint64()
        self.ioctl(abi.KVM_GET_DEVICE_ATTR, abi.DeviceAttr(0, group, attr, ctypes.addressof(data)))
        return data.value


class Vcpu(_Handle):
    """A vCPU; ``page`` is the ``struct kvm_run`` it shares with us."""

    def __init__(self, kernel: Kernel, fd: int, run_size: int) -> None:
        super().__init__(kernel, fd)
        self.page = kernel.map(fd, run_size)
        self.enter = kernel.runner(fd, abi.KVM_RUN)  #: KVM_RUN: 0 or the error number
        union = ctypes.sizeof(abi.RunHead)
        self.run = abi.RunHead.from_buffer(self.page)
        self.hcall = abi.PaprHcall.from_buffer(self.page, union)
        self.mmio = abi.Mmio.from_buffer(self.page, union)
        self.internal = abi.Internal.from_buffer(self.page, union)
        self.event = abi.SystemEvent.from_buffer(self.page, union)

    def regs(self) -> abi.Regs:
        """The general registers."""
        regs = abi.Regs()
        self.ioctl(abi.KVM_GET_REGS, regs)
        return regs

    def set_regs(self, regs: abi.Regs) -> None:
        """Set the general registers."""
        self.ioctl(abi.KVM_SET_REGS, regs)

    def sregs(self) -> abi.Sregs:
        """PVR, SDR1, SLB."""
        sregs = abi.Sregs()
        self.ioctl(abi.KVM_GET_SREGS, sregs)
        return sregs

    def set_sregs(self, sregs: abi.Sregs) -> None:
        """Set PVR, SDR1, SLB."""
        self.ioctl(abi.KVM_SET_SREGS, sregs)

    def one_reg(self, identifier: int) -> int:
        """Read one register."""
        data = ctypes.c_uint64()
        self.ioctl(abi.KVM_GET_ONE_REG, abi.OneReg(identifier, ctypes.addressof(data)))
        return int.from_bytes(bytes(data)[: abi.register_size(identifier)], sys.byteorder)

    def set_one_reg(self, identifier: int, value: int) -> None:
        """Write one register."""
        size = abi.register_size(identifier)
        data = (ctypes.c_uint8 * size).from_buffer_copy(
            (value & (1 << 8 * size) - 1).to_bytes(size, sys.byteorder)
        )
        self.ioctl(abi.KVM_SET_ONE_REG, abi.OneReg(identifier, ctypes.addressof(data)))

    def interrupt(self, level: int) -> None:
        """KVM_INTERRUPT with one of KVM_INTERRUPT_*.  From any thread, also while it runs."""
        self.ioctl(abi.KVM_INTERRUPT, abi.Interrupt(level))

    def set_signal_mask(self, blocked: int) -> None:
        """The signals (bit n - 1 for signal n) that are blocked while the guest runs."""
        self.ioctl(abi.KVM_SET_SIGNAL_MASK, abi.SignalMask(abi.SIGSET_SIZE, blocked))
