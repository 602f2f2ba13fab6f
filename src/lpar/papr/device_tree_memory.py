# SPDX-License-Identifier: GPL-2.0-only
"""Memory in the partition's device tree.

Rules of this file:

* All RAM is in ``memory@`` nodes, which every guest reads, whatever its age.
* The first node is the real mode area: a hash guest keeps all early allocations, the RTAS
  buffer and its page tables inside it, so it ends where the first LMB would, at 1 GiB.
* ``/ibm,dynamic-reconfiguration-memory`` is there for ``ibm,lmb-size``: a radix guest maps RAM
  with pages no larger than that (Linux, radix_memory_block_size).  Its LMBs are all *reserved*,
  so nothing is described twice; there is at least one, since Linux looks at the last without
  asking whether there is any (drmem_lmb_memory_max).
"""

from __future__ import annotations

from lpar.fdt import Node, cells, string, u32, u64

GIB = 1 << 30
MAX_LMB_SIZE = GIB
MIN_LMB_SIZE = 16 << 20  #: bytes; Linux's memory section, the least it can add or remove

#: Flags of an LMB (PAPR, ``ibm,dynamic-memory``; Linux, asm/drmem.h).
LMB_DRC_INVALID = 0x20
LMB_AI_INVALID = 0x40
LMB_RESERVED = 0x80
NO_ASSOCIATIVITY = 0xFFFFFFFF


def lmb_size(ram_size: int) -> int:
    """Bytes of a logical memory block: the largest power of two in RAM, from 16 MiB to 1 GiB."""
    return max(MIN_LMB_SIZE, min(MAX_LMB_SIZE, 1 << (ram_size.bit_length() - 1)))


def first_block_size(ram_size: int) -> int:
    """Bytes of the first memory node, where RTAS and the device tree must lie."""
    return min(ram_size, MAX_LMB_SIZE)


def add_memory(root: Node, ram_size: int) -> None:
    """Add the memory nodes for ``ram_size`` bytes at address 0."""
    first = first_block_size(ram_size)
    _memory(root, 0, first)
    if ram_size > first:
        _memory(root, first, ram_size - first)
    _dynamic(root, ram_size)


def _memory(root: Node, base: int, size: int) -> None:
    root.add(f"memory@{base:x}", {"device_type": string("memory"), "reg": u64(base) + u64(size)})


def _dynamic(root: Node, ram_size: int) -> None:
    size = lmb_size(ram_size)
    flags = LMB_RESERVED | LMB_DRC_INVALID | LMB_AI_INVALID
    one_set = cells(ram_size // size) + u64(0) + cells(0, NO_ASSOCIATIVITY, flags)
    root.add(
        "ibm,dynamic-reconfiguration-memory",
        {
            "ibm,lmb-size": u64(size),
            "ibm,memory-flags-mask": u32(0xFF),
            "ibm,memory-preservation-time": u32(0),
            "ibm,dynamic-memory-v2": cells(1) + one_set,
        },
    )
