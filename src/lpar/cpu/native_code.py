# SPDX-License-Identifier: GPL-2.0-only
"""Decoded instructions: records, their pages, and what writes to code do to them.

Each 4 KiB page of guest RAM has, in each of three mode regions, a fixed place for 1024 records of 8 bytes:
the instruction word (low half) and its handler's offset from the handler base (high half).  A zero record is
undecoded: offset 0 is the decoding handler.  The record behind the last one stays zero and leads to the next
page.
A prefixed instruction (ISA 3.1) has its handler and prefix in its first record and finds the suffix in the
low half of the next one, whose handler decodes it for who jumps there; it never crosses a page.

Rules of this file (why who runs or stores takes no lock):
* A record is one aligned doubleword: readers see it whole.
* A vCPU marks the page (``page_flags``) and takes away every write tag to it before it reads the word; it
  reads the word again after it stored the record.  A store to a marked page writes the word first and wipes
  the record after.  So a stale record cannot survive.  One vCPU at a time marks a page (``marking``): who
  decodes in it meanwhile waits, since a write tag may still be there.
* A page that was stored to often loses its mark before its records are wiped.  Whoever decodes meanwhile may
  store a record behind the wipe: it looks at the mark once more, and starts over without one.
* A unit (native_unit) covers up to UNIT instructions from a record on: a store wipes as many records before
  its own.
* A store to a suffix wipes the record in front of it too, and a handler that finds no suffix decodes again:
  with a suffix of zeros the only prefixed instruction is pnop, which looks at none.
* Page flags change by atomic operations only: the compiler's thread marks pages while vCPUs count stores.
* Page flags: 0 plain, else 1 + the number of stores seen since the page was marked; COMPILED is set besides
  while a record of the page may lead to a compiled region (``lpar.cpu.jit``): then a store wipes the whole
  page.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu import native_tlb, native_unit
from lpar.cpu.layout import (
    CTLB_ENTRIES,
    CTLB_ENTRY,
    REQ_QUIESCE,
    SLOTS,
    TLB_ENTRIES,
    TLB_ENTRY,
    TLB_MODES,
)
from lpar.cpu.native_decode import PREFIX_ENTRY, RECORD_BYTES, RECORD_STRIDE, find_entry, is_near
from lpar.cpu.native_mmu import FAULT_INTERRUPT, FETCH, X, storage_fault, translate
from lpar.cpu.native_shared import NEW_PAGES, is_marked, release_lock, shared_field, take_lock
from lpar.cpu.native_tlb import note_fill
from lpar.isa.routine import routine
from lpar.isa.values import select

RECORDS, STRIDE = RECORD_BYTES, RECORD_STRIDE
COMPILED = 0x80
FORGIVE = 32  #: stores to a code page before it is taken for data
NO_TAG = -1


@routine(args=(64, 64), returns=None)
def wipe_page(cpu: Any, page: Any, unmark: Any) -> None:
    """Forget all decoded instructions of RAM page number ``page``."""
    cpu.n_smc = cpu.n_smc + 1
    for region in range(3):
        cpu.clear(cpu.code_base[region] + page * STRIDE, RECORDS)
    if unmark != 0:
        cpu.raw_store(cpu.page_flags + page, cpu.const(0, 8))


def wipe_records(cpu: Any, records: Any, start: Any, end: Any) -> None:
    """Wipe a page's records from byte ``start`` to ``end``; those never written stay untouched memory."""
    at = start
    while at < end:
        if cpu.raw_load(records + at, 64, 8) != 0:
            cpu.raw_store(records + at, cpu.const(0), 8)
        at = at + 8


@routine(args=(64, 64), returns=None)
def stored_code(cpu: Any, real: Any, size: Any) -> None:
    """After a store of ``size`` bytes (within a page) to a marked page: wipe what it overwrote."""
    page = real >> 12
    cpu.memory_fence()
    flag_at = cpu.page_flags + page
    stores = cpu.raw_load(flag_at, 8)
    if (stores & COMPILED) != 0:
        cpu.raw_atomic("and", flag_at, cpu.const(~COMPILED & 0xFF, 8))
        wipe_page(cpu, page, cpu.const(0))
    elif stores >= FORGIVE:
        cpu.raw_cas(flag_at, stores, cpu.const(0, 8))
        wipe_page(cpu, page, cpu.const(0))
    else:
        cpu.raw_atomic("add", flag_at, cpu.const(1, 8))
        first = (real & 0xFFC) << 1
        end = ((real & 0xFFF) + size + 3 & ~3) << 1
        for region in range(3):
            before = 8 * (native_unit.UNIT - 1) if region == 0 else 8
            start = select(first < before, cpu.const(0), first - before)
            wipe_records(cpu, cpu.code_base[region] + page * STRIDE, start, end)


@routine(args=(64,), returns=None)
def mark_code(cpu: Any, page: Any) -> None:
    """Mark RAM page number ``page`` as holding decoded code and take away all write tags to it."""
    begin_marking(cpu, page)
    _, new = cpu.raw_cas(cpu.page_flags + page, cpu.const(0, 8), cpu.const(1, 8))
    if new:
        take_tags_away(cpu, page)
    release_lock(cpu, "marking")


@routine(args=(64,), returns=None)
def begin_marking(cpu: Any, page: Any) -> None:
    """Wait until nobody else marks a page; who does may wait for us, so we are outside guest code."""
    _, mine = cpu.raw_cas(shared_field(cpu, "marking"), cpu.const(0), page + 1)
    if ~mine:
        cpu.raw_atomic("xchg", cpu.state_address("in_guest"), cpu.const(0))
        take_lock(cpu, "marking", page + 1)
        cpu.raw_atomic("xchg", cpu.state_address("in_guest"), cpu.const(1))
        cpu.raw_atomic("or", cpu.state_address("exit_request"), cpu.const(REQ_QUIESCE))


@routine(args=(64,), returns=None)
def take_tags_away(cpu: Any, page: Any) -> None:
    """Take away all write tags to a page that has just been marked.

    Another vCPU that had one may be in the middle of a store: wait until it is not.
    """
    number = cpu.raw_atomic("add", shared_field(cpu, "new_pages"), cpu.const(1))
    cpu.raw_store(shared_field(cpu, "new_page") + (number & (NEW_PAGES - 1)) * 8, page + 1, 8)
    count = cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8)
    states = shared_field(cpu, "states")
    n = cpu.const(0)
    while n < count:
        other = cpu.raw_load(states + n * 8, 64, 8)
        entry = other + SLOTS["dtlb"].offset
        end = entry + TLB_MODES * TLB_ENTRIES * TLB_ENTRY
        had = cpu.const(0)
        while entry < end:
            if cpu.raw_load(entry + 24, 64, 8) == (page << 12):
                had = had | (cpu.raw_load(entry + 8, 64, 8) ^ NO_TAG)
                cpu.raw_store(entry + 8, cpu.const(NO_TAG), 8)
            entry = entry + TLB_ENTRY
        if (had != 0) & (other != cpu.own_address()):
            native_tlb.wait_for_poll(cpu, other)
            cpu.raw_atomic("or", cpu.state_address("exit_request"), cpu.const(REQ_QUIESCE))
        n = n + 1


def ctlb_entry(cpu: Any, pc: Any) -> Any:
    """The code TLB entry for ``pc``."""
    return cpu.state_address("ctlb") + ((pc >> 12) & (CTLB_ENTRIES - 1)) * CTLB_ENTRY


@routine(args=(64,), returns=64)
def code_fill(cpu: Any, pc: Any) -> Any:
    """Fill the code TLB for ``pc``; gives the page's records or 0 if the fetch faulted."""
    cpu.fault = 0
    generation = cpu.tlb_gen
    cpu.load_fence()
    real, prot = translate(cpu, pc, FETCH)
    if prot == 0:
        return cpu.const(0)
    if (prot & X) == 0:
        storage_fault(cpu, FETCH, pc, cpu.const(0x10000000))
        return cpu.const(0)
    if real >= cpu.ram_size:
        cpu.fault = FAULT_INTERRUPT
        cpu.exc_vector = 0x400
        cpu.exc_srr1 = 0x08000000
        return cpu.const(0)
    cpu.n_code_fill = cpu.n_code_fill + 1
    records = cpu.code_region + (real >> 12) * STRIDE
    entry = ctlb_entry(cpu, pc)
    note_fill(cpu, entry, pc)
    cpu.raw_store(entry, cpu.const(NO_TAG), 8)
    cpu.raw_store(entry + 8, records, 8)
    cpu.raw_store(entry + 16, real & ~0xFFF, 8)
    cpu.raw_store(entry + 24, (pc & ~0xFFF) - (records >> 1), 8)
    cpu.raw_store(entry, (pc & ~0xFFF) | cpu.mode_key, 8)
    if cpu.smp != 0:
        cpu.memory_fence()
        if cpu.tlb_gen != generation:
            cpu.raw_store(entry, cpu.const(NO_TAG), 8)
    return records


@routine(args=(64, 64), returns=64)
def find_handler(cpu: Any, word: Any, offset: Any) -> Any:
    """The handler offset (signed) for an instruction word at ``offset`` in its page."""
    entry = find_entry(cpu, word)
    if cpu.current_region != 0:
        return cpu.raw_load(entry + 16, 32, 4).sext(64)
    near = is_near(cpu, entry, word, offset)
    return select(near, cpu.raw_load(entry + 12, 32, 4), cpu.raw_load(entry + 8, 32, 4)).sext(64)


@routine(args=(64, 64), returns=64)
def find_prefixed(cpu: Any, prefix: Any, suffix: Any) -> Any:
    """The handler offset (signed) for a prefixed instruction."""
    table = cpu.prefix_table
    entry = table + cpu.raw_load(table + ((suffix >> 26) << 2), 32, 4).zext(64)
    whole = (prefix << 32) | suffix
    while ((whole & cpu.raw_load(entry, 64, 8)) != cpu.raw_load(entry + 8, 64, 8)) | (
        cpu.raw_load(entry + 24, 32, 4).zext(64) > cpu.isa
    ):
        entry = entry + PREFIX_ENTRY
    fast = cpu.current_region == 0
    return select(fast, cpu.raw_load(entry + 16, 32, 4), cpu.raw_load(entry + 20, 32, 4)).sext(64)


@routine(args=(64, 64, 64), returns=1)
def decode_prefixed(cpu: Any, record: Any, address: Any, prefix: Any) -> Any:
    """Fill the two records of a prefixed instruction; gives whether its suffix changed meanwhile."""
    if (record - cpu.code_region).urem(STRIDE) & 0x78 == 0x78:
        boundary = cpu.raw_load(cpu.prefix_table + 256, 32, 4).sext(64)
        cpu.raw_store(record, (boundary << 32) | prefix, 8)
        cpu.memory_fence()
        return cpu.const(0, 1)
    raw = cpu.raw_load(address + 4, 32, 4)
    suffix = select(cpu.le, raw, raw.bswap()).zext(64)
    cpu.raw_store(record + 8, suffix, 8)
    cpu.store_fence()
    cpu.raw_store(record, (find_prefixed(cpu, prefix, suffix) << 32) | prefix, 8)
    cpu.memory_fence()
    marked = is_marked(cpu, (address - cpu.ram_base) >> 12)
    return ~marked | (cpu.raw_load(address + 4, 32, 4) != raw)


@routine(args=(64,), returns=None)
def decode_record(cpu: Any, record: Any) -> None:
    """Decode the instruction of a record that is not its page's last."""
    at = record - cpu.code_region
    page = at.udiv(STRIDE)
    offset = (at - page * STRIDE) >> 1
    if ~is_marked(cpu, page):
        mark_code(cpu, page)
    address = cpu.ram_base + (page << 12) + offset
    again = cpu.const(1, 1)
    if (cpu.stencil_table != 0) & (cpu.current_region == 0):
        again = ~native_unit.decode_unit(cpu, record, address, offset)
    while again:
        if ~is_marked(cpu, page):
            mark_code(cpu, page)
        raw = cpu.raw_load(address, 32, 4)
        word = select(cpu.le, raw, raw.bswap()).zext(64)
        if ((word >> 26) == 1) & (cpu.isa >= 310):
            again = decode_prefixed(cpu, record, address, word)
        else:
            handler = find_handler(cpu, word, offset)
            cpu.raw_store(record, (handler << 32) | word, 8)
            cpu.memory_fence()
            again = cpu.const(0, 1)
        marked = is_marked(cpu, page)
        again = again | ~marked | (cpu.raw_load(address, 32, 4) != raw)
    cpu.n_decoded = cpu.n_decoded + 1


def is_last(cpu: Any, record: Any) -> Any:
    """Whether a record is the one behind its page's last instruction."""
    return (record - cpu.code_region).urem(STRIDE) == RECORDS


@routine(args=(64, 64, 64), returns=1)
def install(cpu: Any, record: Any, old: Any, new: Any) -> Any:
    """Replace a record if it still is ``old``."""
    _, done = cpu.raw_cas(record, old, new)
    return done


@routine(args=(64,), returns=1)
def mark_compiled(cpu: Any, page: Any) -> Any:
    """Note that stores to the page must wipe all of it; False if the page is no code page, or not yet.

    A plain page must not be marked: its write tags are out, so that stores to it go unnoticed.
    """
    flag_at = cpu.page_flags + page
    old = cpu.raw_load(flag_at, 8)
    done = cpu.const(0, 1)
    while (old != 0) & ~done:
        old, done = cpu.raw_cas(flag_at, old, old | COMPILED)
    return done & is_marked(cpu, page)
