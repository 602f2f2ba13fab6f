# SPDX-License-Identifier: GPL-2.0-only
"""Guest memory accesses off the fast path, and the data TLB.

Rules of this file:
* A fast access trusts a TLB entry's tag alone.  A tag exists only while its access needs no further look:
  a write tag means writable, Change bit set, and no decoded instruction in the page.
* A store to a page with decoded instructions comes here, stores, and wipes the records it hit
  (``native_code.stored_code``); the page loses its code mark after some stores, so that data pages recover.
* Who fills an entry reads ``tlb_gen`` before the walk and drops the entry if it changed: another vCPU's
  tlbie may have run in between (see ``native_tlb``).
"""

from __future__ import annotations

import functools
from typing import Any

from lpar.cpu import native_code
from lpar.cpu.layout import EXIT_MMIO_READ, EXIT_MMIO_WRITE, TLB_ENTRIES, TLB_ENTRY
from lpar.cpu.native_mmu import FAULT_MMIO, LOAD, STORE, R, W, translate
from lpar.cpu.native_tlb import note_fill
from lpar.cpu.native_watch import armed, watch, watched_page
from lpar.isa.routine import Routine, routine
from lpar.isa.values import select

PAGE = ~0xFFF
WIDEST = 16  #: bytes of an access, but for dcbz, whose block is aligned
NO_ADDEND = 1  #: addends are even


def tlb_entry(cpu: Any, ea: Any) -> Any:
    """The address of the entry that ``ea`` maps to in the current mode's TLB."""
    return cpu.tlb + ((ea >> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY


def _fill(cpu: Any, ea: Any, access: int) -> Any:
    """Translate, install an entry, and give the host address (0: faulted or not RAM)."""
    generation = cpu.tlb_gen
    cpu.load_fence()
    real, prot = translate(cpu, ea, access)
    if prot == 0:
        return cpu.const(0)
    if real >= cpu.ram_size:
        cpu.fault = FAULT_MMIO
        cpu.exit_addr = real
        return cpu.const(0)
    cpu.n_tlb_fill = cpu.n_tlb_fill + 1
    entry = tlb_entry(cpu, ea)
    note_fill(cpu, entry, ea)
    page = ea & PAGE
    addend = cpu.ram_base + (real & PAGE) - page
    flag_at = cpu.page_flags + (real >> 12)
    plain = cpu.raw_load(flag_at, 8) == 0
    none = ~cpu.const(0)
    cpu.raw_store(entry, none, 8)
    cpu.raw_store(entry + 8, none, 8)
    cpu.raw_store(entry + 16, addend, 8)
    cpu.raw_store(entry + 24, real & PAGE, 8)
    if armed(cpu) and watched_page(cpu, ea):
        return ea + addend
    cpu.raw_store(entry, select((prot & R) != 0, page, none), 8)
    cpu.raw_store(entry + 8, select(((prot & W) != 0) & plain, page, none), 8)
    if cpu.smp != 0:
        cpu.memory_fence()
        if cpu.tlb_gen != generation:
            cpu.raw_store(entry, none, 8)
            cpu.raw_store(entry + 8, none, 8)
        if cpu.raw_load(flag_at, 8) != 0:
            cpu.raw_store(entry + 8, none, 8)
    return ea + addend


@routine(args=(64,), returns=64)
def fill_load(cpu: Any, ea: Any) -> Any:
    """Fill the TLB for a load; the host address or 0."""
    return _fill(cpu, ea, LOAD)


@routine(args=(64,), returns=64)
def fill_store(cpu: Any, ea: Any) -> Any:
    """Fill the TLB for a store; the host address or 0."""
    return _fill(cpu, ea, STORE)


def host_address(cpu: Any, ea: Any, access: int, size: Any) -> Any:
    """The host address for an access of ``size`` bytes within one page, or 0."""
    entry = tlb_entry(cpu, ea)
    if cpu.raw_load(entry + (8 if access == STORE else 0), 64, 8) == (ea & PAGE):
        return ea + cpu.raw_load(entry + 16, 64, 8)
    host = fill_store(cpu, ea) if access == STORE else fill_load(cpu, ea)
    if ((host != 0) & armed(cpu)) and watch(cpu, ea, cpu.const(0) + size, cpu.const(access)):
        return cpu.const(0)
    return host


def truncate(cpu: Any, ea: Any) -> Any:
    """The effective address in 32-bit mode keeps its low half only."""
    return select(cpu.sf, ea, ea & 0xFFFFFFFF)


def in_order(cpu: Any, value: Any) -> Any:
    """Host (little-endian) order to the current mode's, or back."""
    return select(cpu.le, value, value.bswap())


def mmio_read(cpu: Any, ea: Any, width: int) -> Any:
    """A load outside RAM: consume the machine's answer, or ask for it by an exit; 16 bytes are refused."""
    if width > 64:
        alignment_fault(cpu, ea)
        return cpu.const(0, width)
    if (cpu.mmio_ready == 1) & (cpu.mmio_addr == cpu.exit_addr):
        cpu.mmio_ready = 0
        cpu.fault = 0
        value = cpu.mmio_value.trunc(width)
        return select(cpu.le, value.bswap(), value)
    cpu.mmio_addr = cpu.exit_addr
    cpu.exit_reason = EXIT_MMIO_READ
    cpu.exit_size = width // 8
    return cpu.const(0, width)


def mmio_write(cpu: Any, ea: Any, value: Any) -> None:
    """A store outside RAM: done if the machine took it, else an exit; 16 bytes are refused."""
    if value.w > 64:
        alignment_fault(cpu, ea)
    elif (cpu.mmio_ready == 2) & (cpu.mmio_addr == cpu.exit_addr):
        cpu.mmio_ready = 0
        cpu.fault = 0
    else:
        cpu.mmio_addr = cpu.exit_addr
        cpu.exit_reason = EXIT_MMIO_WRITE
        cpu.exit_size = value.w // 8
        cpu.exit_value = select(cpu.le, value.bswap(), value).zext(64)


@routine(args=(64,), returns=8)
def load_byte(cpu: Any, ea: Any) -> Any:
    """One byte."""
    cpu.fault = 0
    ea = truncate(cpu, ea)
    host = host_address(cpu, ea, LOAD, 1)
    if host != 0:
        return cpu.raw_load(host, 8)
    if cpu.fault == FAULT_MMIO:
        return mmio_read(cpu, ea, 8)
    return cpu.const(0, 8)


def _check_split(cpu: Any, ea: Any, size: int, access: int) -> None:
    """Both pages of an access that crosses one: there, or a fault; half a device: an alignment interrupt."""
    within = 0x1000 - (ea & 0xFFF)
    host_address(cpu, ea, access, within)
    if cpu.fault == 0:
        host_address(cpu, truncate(cpu, ea + within), access, size - within)
    if cpu.fault == FAULT_MMIO:
        alignment_fault(cpu, ea)


def _load_split(cpu: Any, ea: Any, width: int) -> Any:
    """A load that crosses a page: byte by byte; the first fault ends it."""
    _check_split(cpu, ea, width // 8, LOAD)
    if cpu.fault != 0:
        return cpu.const(0, width)
    value = cpu.const(0, width)
    n = cpu.const(0)
    while n < width // 8:
        byte = load_byte(cpu, ea + n)
        if cpu.fault != 0:
            return cpu.const(0, width)
        value = value | (byte.zext(width) << (n << 3).trunc(8).zext(width))
        n = n + 1
    return in_order(cpu, value)


def _load(cpu: Any, ea: Any, size: int) -> Any:
    cpu.fault = 0
    ea = truncate(cpu, ea)
    if (ea & 0xFFF) > 0x1000 - size:
        return _load_split(cpu, ea, 8 * size)
    host = host_address(cpu, ea, LOAD, size)
    if host != 0:
        return in_order(cpu, cpu.raw_load(host, 8 * size))
    if cpu.fault == FAULT_MMIO:
        return mmio_read(cpu, ea, 8 * size)
    return cpu.const(0, 8 * size)


def _make_load(size: int) -> Routine:
    def body(cpu: Any, ea: Any) -> Any:
        return _load(cpu, ea, size)

    body.__name__ = f"load{8 * size}"
    return routine(args=(64,), returns=8 * size)(body)


LOADS: dict[int, Any] = {1: load_byte, **{n: _make_load(n) for n in (2, 4, 8, 16)}}


@routine(args=(64, 64, 64), returns=None)
def store_host(cpu: Any, ea: Any, host: Any, size: Any) -> None:
    """After a store at ``host``: wipe decoded instructions that it overwrote."""
    real = host - cpu.ram_base
    if cpu.raw_load(cpu.page_flags + (real >> 12), 8) != 0:
        native_code.stored_code(cpu, real, size)


def _store_at(cpu: Any, ea: Any, host: Any, value: Any) -> None:
    cpu.raw_store(host, in_order(cpu, value))
    store_host(cpu, ea, host, cpu.const(value.w // 8))


@routine(args=(64, 8), returns=None)
def store_byte(cpu: Any, ea: Any, value: Any) -> None:
    """One byte."""
    cpu.fault = 0
    ea = truncate(cpu, ea)
    host = host_address(cpu, ea, STORE, 1)
    if host != 0:
        cpu.raw_store(host, value)
        store_host(cpu, ea, host, cpu.const(1))
    elif cpu.fault == FAULT_MMIO:
        mmio_write(cpu, ea, value)


def _store_split(cpu: Any, ea: Any, value: Any) -> None:
    """A store that crosses a page: both pages must be writable before the first byte is stored."""
    size = value.w // 8
    _check_split(cpu, ea, size, STORE)
    if cpu.fault == 0:
        ordered = in_order(cpu, value)
        n = cpu.const(0)
        while n < size:
            byte = (ordered >> (n << 3).trunc(8).zext(value.w)).trunc(8)
            store_byte(cpu, ea + n, byte)
            n = n + 1


def _store(cpu: Any, ea: Any, value: Any) -> None:
    cpu.fault = 0
    ea = truncate(cpu, ea)
    if (ea & 0xFFF) > 0x1000 - value.w // 8:
        _store_split(cpu, ea, value)
    else:
        host = host_address(cpu, ea, STORE, value.w // 8)
        if host != 0:
            _store_at(cpu, ea, host, value)
        elif cpu.fault == FAULT_MMIO:
            mmio_write(cpu, ea, value)


def _make_store(size: int) -> Routine:
    def body(cpu: Any, ea: Any, value: Any) -> None:
        _store(cpu, ea, value)

    body.__name__ = f"store{8 * size}"
    return routine(args=(64, 8 * size), returns=None)(body)


STORES: dict[int, Any] = {1: store_byte, **{n: _make_store(n) for n in (2, 4, 8, 16)}}


def alignment_fault(cpu: Any, ea: Any) -> None:
    """Set up an alignment interrupt."""
    cpu.fault = 1
    cpu.exc_vector = 0x600
    cpu.exc_srr1 = 0
    cpu.dar = ea
    cpu.dsisr = 0


def conditional_at(cpu: Any, host: Any, ea: Any, value: Any, size: int) -> Any:
    """Store conditional at a host address, value in host order: whether it was done."""
    held = (cpu.resv_addr == ea) & (cpu.resv_size == size)
    cpu.resv_addr = ~cpu.const(0)
    done = cpu.const(0, 1)
    if held:
        low = cpu.resv_lo
        if size == 16:
            expected = cpu.resv_hi.zext(128) << 64 | low.zext(128)
        else:
            expected = low.trunc(8 * size)
        _, done = cpu.raw_cas(host, expected, value)
    return done


def _conditional(cpu: Any, ea: Any, value: Any) -> Any:
    size = value.w // 8
    cpu.fault = 0
    ea = truncate(cpu, ea)
    if (ea & (size - 1)) != 0:
        alignment_fault(cpu, ea)
        return cpu.const(0, 1)
    host = host_address(cpu, ea, STORE, size)
    if host == 0:
        if cpu.fault == FAULT_MMIO:
            alignment_fault(cpu, ea)
        return cpu.const(0, 1)
    held = (cpu.resv_addr == ea) & (cpu.resv_size == size)
    cpu.resv_addr = ~cpu.const(0)
    done = cpu.const(0, 1)
    if held:
        low = cpu.resv_lo.zext(128) | (cpu.resv_hi.zext(128) << 64)
        expected = in_order(cpu, low.trunc(8 * size))
        _, done = cpu.raw_cas(host, expected, in_order(cpu, value))
        store_host(cpu, ea, host, cpu.const(size))
    return done


def _make_conditional(size: int) -> Routine:
    def body(cpu: Any, ea: Any, value: Any) -> Any:
        return _conditional(cpu, ea, value)

    body.__name__ = f"conditional{8 * size}"
    return routine(args=(64, 8 * size), returns=1)(body)


CONDITIONALS = {n: _make_conditional(n) for n in (1, 2, 4, 8, 16)}


def _make_aligned(size: int) -> Routine:
    load = LOADS[size]

    def body(cpu: Any, ea: Any) -> Any:
        if (ea & (size - 1)) != 0:
            alignment_fault(cpu, ea)
            return cpu.const(0, 8 * size)
        return load(cpu, ea)

    body.__name__ = f"load_aligned{8 * size}"
    return routine(args=(64,), returns=8 * size)(body)


ALIGNED = {n: _make_aligned(n) for n in (2, 4, 8, 16)} | {1: load_byte}


def load_aligned(size: int) -> Any:
    """The routine for an access that must be aligned."""
    return ALIGNED[size]


ATOMICS = ("add", "xor", "or", "and", "xchg", "umax", "smax", "umin", "smin")


def _combine(op: str, old: Any, value: Any) -> Any:
    if op in ("umax", "smax", "umin", "smin"):
        greater = old.sgt(value) if op[0] == "s" else old > value
        return select(greater, old, value) if op[1:] == "max" else select(greater, value, old)
    return {"add": old + value, "xor": old ^ value, "or": old | value, "and": old & value, "xchg": value}[op]


@functools.cache
def atomic_slow(op: str, size: int) -> Routine:
    """The routine of one atomic operation, for any mode."""
    width = 8 * size

    def body(cpu: Any, ea: Any, value: Any) -> Any:
        cpu.fault = 0
        ea = truncate(cpu, ea)
        if (ea & (size - 1)) != 0:
            alignment_fault(cpu, ea)
            return cpu.const(0, width)
        host = host_address(cpu, ea, STORE, size)
        if host == 0:
            if cpu.fault == FAULT_MMIO:
                alignment_fault(cpu, ea)
            return cpu.const(0, width)
        found = cpu.raw_load(host, width, size)
        done = cpu.const(0, 1)
        while not done:
            new = _combine(op, in_order(cpu, found), value)
            found, done = cpu.raw_cas(host, found, in_order(cpu, new))
        store_host(cpu, ea, host, cpu.const(size))
        return in_order(cpu, found)

    body.__name__ = f"atomic_{op}{width}"
    return routine(args=(64, width), returns=width)(body)


for _op in ATOMICS:
    for _size in (4, 8):
        atomic_slow(_op, _size)


@routine(args=(64, 64, 64, 64, 64), returns=(64, 64, 64))
def extend_range(cpu: Any, ea: Any, access: Any, start: Any, room: Any, addend: Any) -> Any:
    """What a region knows of memory (known_pages: start, room, addend), with the page of an access added.

    ``access``: the distance to its last byte, and above 8 bits the place of the tag in a TLB entry.  The
    addend is NO_ADDEND where the TLB does not have the page, and then the rest means nothing.
    """
    entry = tlb_entry(cpu, ea)
    page = cpu.raw_load(entry + (access >> 8), 64, 8)
    new = cpu.raw_load(entry + 16, 64, 8)
    size = cpu.const(1 << 12)
    below, above = page + size == start, page == start + room + (WIDEST - 1)
    inside = page - start < room
    same = (new == addend) & (below | above | inside)
    first = select(same & ~below, start, page)
    more = select(same, room + select(inside, cpu.const(0), size), size - (WIDEST - 1))
    return first, more, select(page == (ea + (access & 0xFF)) & PAGE, new, cpu.const(NO_ADDEND))


@routine(args=(64,), returns=None)
def dcbz_slow(cpu: Any, block: Any) -> None:
    """Zero 128 bytes."""
    cpu.fault = 0
    block = truncate(cpu, block)
    host = host_address(cpu, block, STORE, 128)
    if host != 0:
        cpu.clear_block(host)
        store_host(cpu, block, host, cpu.const(128))
    elif cpu.fault == FAULT_MMIO:
        alignment_fault(cpu, block)
