# SPDX-License-Identifier: GPL-2.0-only
"""Who gets which guest-physical addresses.

From 0 up: the kernel where it wants to be, the initrd behind all the memory the kernel claims
(kvmtool's fixed 40 MiB lies in the BSS of today's kernels).  From the top of the first memory
block down: the device tree, and RTAS below it.  The first block is what Linux takes for its
real-mode area (RMA), and RTAS is entered in 32-bit real mode, so both stay in it and below 2 GiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lpar.boot.blob import Blob, open_blob
from lpar.boot.kernel import KernelImage, open_kernel
from lpar.errors import ConfigError
from lpar.host.memory import RAM_LIMIT
from lpar.units import GIB, MIB, human_size

COMMAND_LINE_SIZE = 2048  #: bytes with the NUL; Linux, arch/powerpc/include/uapi/asm/setup.h
FDT_MAX_SIZE = 1 * MIB  #: room for the device tree; 2,048 CPUs in cores of 8 threads need about a third
RTAS_MAX_SIZE = 64 << 10  #: room for RTAS: the stub and, for FWNMI, the error log behind it
LMB_SIZE = 1 * GIB  #: bytes of a logical memory block, and so of the first memory node
TOP = 2 * GIB  #: RTAS and device tree end here at the latest

_ALIGN = 64 << 10


@dataclass(frozen=True, slots=True)
class BootLayout:
    """The files and every address, in bytes.  ``initrd_size`` is 0 without an initrd.

    ``rtas_size`` is the area to reserve for RTAS, ``fdt_max`` the room for the device tree.
    """

    kernel: KernelImage
    params: str
    ram_size: int
    first_block: int
    rtas_addr: int
    rtas_size: int
    fdt_addr: int
    fdt_max: int
    initrd: Blob | None = None
    initrd_addr: int = 0
    initrd_size: int = 0

    @property
    def initrd_end(self) -> int:
        """First address behind the initrd (``linux,initrd-end``)."""
        return self.initrd_addr + self.initrd_size

    def describe(self) -> list[tuple[str, int, int]]:
        """(what, address, size) of everything that is loaded, lowest first."""
        parts = [("kernel", self.kernel.start, self.kernel.end - self.kernel.start)]
        if self.initrd:
            parts.append(("initrd", self.initrd_addr, self.initrd_size))
        parts += [("RTAS", self.rtas_addr, self.rtas_size), ("device tree", self.fdt_addr, self.fdt_max)]
        return sorted(parts, key=lambda part: part[1])


def plan(
    kernel: Path, initrd: Path | None, params: str, ram_size: int, *, first_block: int | None = None
) -> BootLayout:
    """Look at the files and lay memory out; nothing is loaded yet.

    ``ram_size`` and ``first_block`` (the size of the first memory node, ``LMB_SIZE`` or all RAM
    if not given) are bytes.  Raises ConfigError for files that cannot be used, for everything
    that does not fit or would overlap, and for a command line that is too long.
    """
    check_params(params)
    image = open_kernel(kernel)
    ramdisk = open_blob("initrd", initrd) if initrd is not None else image.initrd
    block = min(ram_size, first_block or LMB_SIZE)
    fdt_addr = (min(block, TOP) - FDT_MAX_SIZE) & -_ALIGN
    rtas_addr = fdt_addr - RTAS_MAX_SIZE
    _check_kernel(image, ramdisk, ram_size, rtas_addr, block)
    address = _place_initrd(image, ramdisk, ram_size, rtas_addr, block) if ramdisk else 0
    return BootLayout(
        kernel=image,
        params=params,
        ram_size=ram_size,
        first_block=block,
        rtas_addr=rtas_addr,
        rtas_size=RTAS_MAX_SIZE,
        fdt_addr=fdt_addr,
        fdt_max=FDT_MAX_SIZE,
        initrd=ramdisk,
        initrd_addr=address,
        initrd_size=ramdisk.size if ramdisk else 0,
    )


def check_params(params: str) -> None:
    """Raise ConfigError for a command line that Linux would cut, or that has a NUL inside."""
    size = len(params.encode(errors="surrogateescape")) + 1
    if size > COMMAND_LINE_SIZE:
        raise ConfigError(
            f"the kernel command line takes {size} bytes with its NUL, Linux takes {COMMAND_LINE_SIZE}",
            hint="shorten -p",
        )
    if "\0" in params:
        raise ConfigError("the kernel command line has a NUL inside", hint="take it out of -p")


def _check_kernel(
    image: KernelImage, ramdisk: Blob | None, ram_size: int, rtas_addr: int, block: int
) -> None:
    if image.end > ram_size or rtas_addr < 0:
        raise ConfigError(
            f"{image.blob.name} needs RAM up to {human_size(image.end)}, and firmware"
            f" {human_size(FDT_MAX_SIZE + RTAS_MAX_SIZE)}; there are {human_size(ram_size)}",
            hint=_more(image, ramdisk),
        )
    for segment in image.segments:
        if segment.end > rtas_addr and segment.address < block:
            raise ConfigError(
                f"{image.blob.name} overlaps RTAS and the device tree:"
                f" it takes {segment.address:#x} to {segment.end:#x}, they begin at {rtas_addr:#x}",
                hint=_more(image, ramdisk) if ram_size < LMB_SIZE else "link the kernel to other addresses",
            )


def _place_initrd(image: KernelImage, ramdisk: Blob, ram_size: int, rtas_addr: int, block: int) -> int:
    """Behind the kernel; or, if that is not enough, behind the first memory block."""
    if ramdisk.size > ram_size:
        raise ConfigError(
            f"{ramdisk.name} ({human_size(ramdisk.size)}) is larger than RAM ({human_size(ram_size)})",
            hint=_more(image, ramdisk),
        )
    behind = _align(image.end + image.bss)
    if behind + ramdisk.size <= rtas_addr:
        return behind
    above = _align(max(behind, block))
    if above + ramdisk.size <= ram_size:
        return above
    raise ConfigError(
        f"{ramdisk.name} ({human_size(ramdisk.size)}) does not fit in RAM ({human_size(ram_size)})"
        f" behind the kernel, which ends at {human_size(image.end + image.bss)}",
        hint=_more(image, ramdisk),
    )


def _more(image: KernelImage, ramdisk: Blob | None) -> str:
    """The hint: the next power of two in which everything fits one behind the other."""
    firmware, behind = FDT_MAX_SIZE + RTAS_MAX_SIZE, _align(ramdisk.size if ramdisk else 0)
    need = _align(image.end + image.bss) + behind + firmware
    if need > LMB_SIZE:  # the initrd then goes behind the first block
        need = max(need, LMB_SIZE + behind)
    power = 1 << (need - 1).bit_length()
    if power > RAM_LIMIT:
        return "is the kernel linked for physical addresses that a partition has?"
    return f"give at least -m {power >> 30}G" if power >= GIB else f"give at least -m {power >> 20}M"


def _align(address: int) -> int:
    return -(-address // _ALIGN) * _ALIGN
