# SPDX-License-Identifier: GPL-2.0-only
"""Put a laid-out kernel in guest memory, and say how the first vCPU starts.

Linux's entry without Open Firmware (arch/powerpc/kernel/head_64.S, "kexec style"): r3 is the
physical address of the device tree, r4 that of the kernel, r5 is 0; MMU and external interrupts
are off.  Every kernel is entered big-endian, as kvmtool's vCPU set-up does: a little-endian
Linux begins with instructions that read the same either way and switch (FIXUP_ENDIAN in
asm/ppc_asm.h); a little-endian program of one's own must do the same.  Other vCPUs do not run
until the guest calls RTAS start-cpu.
"""

from __future__ import annotations

from dataclasses import dataclass

from lpar.boot.firmware import RTAS_STUB
from lpar.boot.kernel import KernelImage
from lpar.boot.layout import BootLayout
from lpar.errors import ConfigError, InternalError
from lpar.host.memory import GuestMemory

MSR_SF = 1 << 63  #: 64-bit mode
MSR_ME = 1 << 12  #: machine check enable
ENTRY_MSR = MSR_SF | MSR_ME

_VECTORS_START = 0x100  # bytes below the first interrupt vector


@dataclass(frozen=True, slots=True)
class EntryState:
    """Registers of the first vCPU: ``pc``, ``msr`` and r0 to r31; all others are as after reset."""

    pc: int
    msr: int
    gprs: tuple[int, ...]


def load(memory: GuestMemory, layout: BootLayout, fdt: bytes) -> EntryState:
    """Clear RAM, as at power on, and load kernel, initrd, RTAS and device tree.

    Raises ConfigError if a file has changed since ``plan`` or the device tree has grown too large.
    """
    if memory.size != layout.ram_size:
        raise InternalError(f"layout for {layout.ram_size} bytes of RAM, guest has {memory.size}")
    if len(fdt) > layout.fdt_max:
        raise ConfigError(
            f"the device tree takes {len(fdt)} bytes, there is room for {layout.fdt_max}",
            hint="give the machine fewer CPUs or devices",
        )
    memory.clear()
    _load_kernel(memory, layout.kernel)
    if layout.initrd:
        layout.initrd.read_into(memory.view(layout.initrd_addr, layout.initrd_size), 0)
    memory.write(layout.rtas_addr, RTAS_STUB)
    memory.write(layout.fdt_addr, fdt)
    return EntryState(layout.kernel.entry, ENTRY_MSR, _gprs(layout))


def _load_kernel(memory: GuestMemory, kernel: KernelImage) -> None:
    for segment in kernel.segments:
        kernel.blob.read_into(memory.view(segment.address, segment.file_size), segment.offset)
    if kernel.relocatable:
        # A relocatable Linux moves itself to 0, but for its first 256 bytes: those are the loader's
        # (copy_and_flush in head_64.S starts at 0x100; kexec and prom_init do this, too).
        memory.write(0, memory.read(kernel.start, min(_VECTORS_START, kernel.end - kernel.start)))


def _gprs(layout: BootLayout) -> tuple[int, ...]:
    gprs = [0] * 32
    gprs[2] = layout.kernel.toc
    gprs[3] = layout.fdt_addr
    gprs[4] = layout.kernel.start
    return tuple(gprs)
