# SPDX-License-Identifier: GPL-2.0-only
"""Kernels into guest memory: recognise the file, lay memory out, load, and say where to start.

``plan`` looks at the files and decides every address, so that the device tree can be built;
``load`` then puts everything in guest memory and returns the registers of the first vCPU.
"""

from lpar.boot.firmware import RTAS_STUB
from lpar.boot.kernel import KernelImage, Segment, open_kernel
from lpar.boot.layout import COMMAND_LINE_SIZE, FDT_MAX_SIZE, LMB_SIZE, RTAS_MAX_SIZE, BootLayout, plan
from lpar.boot.load import ENTRY_MSR, EntryState, load

__all__ = [
    "COMMAND_LINE_SIZE",
    "ENTRY_MSR",
    "FDT_MAX_SIZE",
    "LMB_SIZE",
    "RTAS_MAX_SIZE",
    "RTAS_STUB",
    "BootLayout",
    "EntryState",
    "KernelImage",
    "Segment",
    "load",
    "open_kernel",
    "plan",
]
