# SPDX-License-Identifier: GPL-2.0-only
"""Hypercalls that read and write memory for the guest, and what caches would need.

Source: PAPR 14.5.4.2.2 "H_PAGE_INIT" and 14.5.4.4 "Hypervisor logical loads and stores".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpar.papr import numbers as n
from lpar.papr.registry import Args, Result, hcall

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition

_PAGE = 4096
_PAGE_INIT_FLAGS = n.H_ICACHE_SYNCHRONIZE | n.H_ICACHE_INVALIDATE | n.H_COPY_PAGE | n.H_ZERO_PAGE


@hcall(n.H_PAGE_INIT, "hcall-copy")
def h_page_init(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Zero or copy a 4 KiB page: (flags, destination, source)."""
    flags, destination, source = a[1:4]
    if flags & ~_PAGE_INIT_FLAGS or destination % _PAGE:
        return n.H_PARAMETER
    if flags & n.H_COPY_PAGE:
        if source % _PAGE:
            return n.H_PARAMETER
        p.write_memory(destination, p.memory.read(source, _PAGE))
    elif flags & n.H_ZERO_PAGE:
        p.write_memory(destination, bytes(_PAGE))
    elif not p.memory.contains(destination, _PAGE):
        return n.H_PARAMETER
    return n.H_SUCCESS


def _load(p: Partition, a: Args) -> Result:
    size, address = a[1], a[2]
    if size not in (1, 2, 4, 8):
        return n.H_PARAMETER
    if p.memory.contains(address, size):
        return n.H_SUCCESS, int.from_bytes(p.memory.read(address, size), "big")
    value = p.mmio_read(address, size)
    return n.H_PARAMETER if value is None else (n.H_SUCCESS, value)


def _store(p: Partition, a: Args) -> Result:
    size, address = a[1], a[2]
    if size not in (1, 2, 4, 8):
        return n.H_PARAMETER
    value = a[3] & (1 << 8 * size) - 1
    if p.memory.contains(address, size):
        p.write_memory(address, value.to_bytes(size, "big"))
        return n.H_SUCCESS
    return n.H_SUCCESS if p.mmio_write(address, size, value) else n.H_PARAMETER


@hcall(n.H_LOGICAL_CI_LOAD, "hcall-debug")
def h_logical_ci_load(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Load with caching inhibited: (size, address)."""
    return _load(p, a)


@hcall(n.H_LOGICAL_CI_STORE, "hcall-debug")
def h_logical_ci_store(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Store with caching inhibited: (size, address, value)."""
    return _store(p, a)


@hcall(n.H_LOGICAL_CACHE_LOAD, "hcall-debug")
def h_logical_cache_load(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Load: (size, address)."""
    return _load(p, a)


@hcall(n.H_LOGICAL_CACHE_STORE, "hcall-debug")
def h_logical_cache_store(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Store: (size, address, value)."""
    return _store(p, a)


@hcall(n.H_LOGICAL_ICBI, "hcall-debug")
def h_logical_icbi(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Invalidate an instruction cache block: stores are always seen, there is none."""
    return n.H_SUCCESS


@hcall(n.H_LOGICAL_DCBF, "hcall-debug")
def h_logical_dcbf(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Flush a data cache block: there is none."""
    return n.H_SUCCESS
