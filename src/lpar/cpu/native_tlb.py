# SPDX-License-Identifier: GPL-2.0-only
"""Translation invalidation: tlbie, tlbiel, PIDR, AMR and SLB changes, native.

A vCPU's TLBs hold translations for its current PIDR and PID 0 only, so an invalidation for another process
needs no work here.  On radix the address tells the two apart: PID 0 has the *upper half* (quadrant 3), PIDR
the *lower half* (quadrant 0).  What ends a process's translations leaves the upper half alone: a change of
PIDR, and an invalidation of a whole process.

Rules of this file (other vCPUs' TLBs):
* The invalidating vCPU raises the other's ``tlb_gen`` and wipes the other's entries itself; a fill that
  was under way notices the new generation and drops its entry.
* An access whose tag check has already passed may still be in flight: after the wipe, wait until the
  other vCPU passes a poll or is outside guest code (``in_guest`` 0).  While waiting we are outside, too,
  so two waiters do not wait for each other.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu.layout import (
    CTLB_ENTRIES,
    CTLB_ENTRY,
    FILL_LOG,
    NO_TAG,
    REQ_QUIESCE,
    SLOTS,
    TLB_ENTRIES,
    TLB_ENTRY,
    TLB_MODES,
)
from lpar.cpu.native_shared import shared_field
from lpar.isa.routine import routine
from lpar.isa.values import select

MODE_SIZE = TLB_ENTRIES * TLB_ENTRY
TLBIEL_SET = 0xFFF000
LPCR_HR = 1 << 20
LOWER, UPPER = 0, 1  #: halves of the address space, by the first bit
SPINS = 1000  #: polls of another vCPU before giving up the host CPU


def _at(state: Any, name: str) -> Any:
    return state + SLOTS[name].offset


@routine(args=(64,), returns=None)
def flush_state(cpu: Any, state: Any) -> None:
    """Wipe all translations of the vCPU whose state block is at ``state``."""
    _wipe_below(cpu, state, 0, NO_TAG)


@routine(args=(64,), returns=None)
def flush_lower(cpu: Any, state: Any) -> None:
    """Wipe the lower half's translations of the vCPU at ``state``; real mode's have no process."""
    _wipe_below(cpu, state, 1, 1 << 63)


def _wipe_below(cpu: Any, state: Any, first: int, end: int) -> None:
    """Wipe what a vCPU's TLBs, from number ``first`` on, have below the address ``end``.

    Only the tags: the vCPU may have checked one and be about to use what stands behind it.  What is not wiped
    is not written: the vCPU's host CPU keeps it in its cache.
    """
    cpu.raw_atomic("add", _at(state, "tlb_gen"), cpu.const(1))
    none = cpu.const(NO_TAG)
    entry = _at(state, "dtlb") + first * MODE_SIZE
    last = _at(state, "dtlb") + TLB_MODES * MODE_SIZE
    while entry < last:
        if (cpu.raw_load(entry, 64, 8) & cpu.raw_load(entry + 8, 64, 8)) < end:
            cpu.raw_store(entry, none, 8)
            cpu.raw_store(entry + 8, none, 8)
        entry = entry + TLB_ENTRY
    entry = _at(state, "ctlb")
    last = entry + CTLB_ENTRIES * CTLB_ENTRY
    while entry < last:
        if cpu.raw_load(entry, 64, 8) < end:
            cpu.raw_store(entry, none, 8)
        entry = entry + CTLB_ENTRY
    cpu.raw_atomic("add", _at(state, "n_flush"), cpu.const(1))


def note_fill(cpu: Any, entry: Any, ea: Any) -> None:
    """Remember that this vCPU fills the TLB entry at ``entry`` for ``ea``."""
    half = ea >> 63
    count = cpu.fill_count[half]
    if count < FILL_LOG:
        cpu.fill_log[half * FILL_LOG + count] = entry
        cpu.fill_count[half] = count + 1


def _wipe_logged(cpu: Any, half: int) -> Any:
    """Wipe what this vCPU filled of a half since the last time; False if the log was too short for it."""
    count = cpu.fill_count[half]
    cpu.fill_count[half] = cpu.const(0)
    if count < FILL_LOG:
        n = cpu.const(0)
        while n < count:
            entry = cpu.fill_log[n + half * FILL_LOG]
            cpu.raw_store(entry, ~cpu.const(0), 8)
            cpu.raw_store(entry + 8, ~cpu.const(0), 8)
            n = n + 1
    return count < FILL_LOG


@routine(args=(), returns=None)
def flush_own(cpu: Any) -> None:
    """``flush_state`` for the vCPU that runs this: only what it filled since the last, if that was little.

    Linux flushes all of the kernel's translations after each instruction that it patches, 34,000 at boot.
    """
    lower, upper = _wipe_logged(cpu, LOWER), _wipe_logged(cpu, UPPER)
    if lower & upper:
        cpu.n_flush = cpu.n_flush + 1
    else:
        flush_state(cpu, cpu.own_address())


@routine(args=(), returns=None)
def flush_own_lower(cpu: Any) -> None:
    """``flush_lower`` for the vCPU that runs this."""
    if _wipe_logged(cpu, LOWER):
        cpu.n_flush = cpu.n_flush + 1
    else:
        flush_lower(cpu, cpu.own_address())


@routine(args=(64, 64, 64), returns=None)
def flush_pages(cpu: Any, state: Any, ea: Any, count: Any) -> None:
    """Wipe the translations of ``count`` 4 KiB pages from ``ea`` on (at most TLB_ENTRIES) of one vCPU."""
    cpu.raw_atomic("add", _at(state, "tlb_gen"), cpu.const(1))
    none = ~cpu.const(0)
    page = ea >> 12
    n = cpu.const(0)
    while n < count:
        entry = _at(state, "dtlb") + ((page + n) & (TLB_ENTRIES - 1)) * TLB_ENTRY
        tag = (page + n) << 12
        for mode in range(TLB_MODES):
            at = entry + mode * MODE_SIZE
            if (cpu.raw_load(at, 64, 8) == tag) | (cpu.raw_load(at + 8, 64, 8) == tag):
                cpu.raw_store(at, none, 8)
                cpu.raw_store(at + 8, none, 8)
        code = _at(state, "ctlb") + ((page + n) & (CTLB_ENTRIES - 1)) * CTLB_ENTRY
        if (cpu.raw_load(code, 64, 8) & ~0xFFF) == tag:
            cpu.raw_store(code, none, 8)
        n = n + 1


@routine(args=(64,), returns=None)
def wait_for_poll(cpu: Any, state: Any) -> None:
    """From guest code: wait until the vCPU at ``state`` is not in the middle of a guest access."""
    cpu.raw_atomic("xchg", cpu.state_address("in_guest"), cpu.const(0))
    await_poll(cpu, state)
    cpu.raw_atomic("xchg", cpu.state_address("in_guest"), cpu.const(1))


@routine(args=(64,), returns=None)
def await_poll(cpu: Any, state: Any) -> None:
    """From outside guest code: wait until the vCPU at ``state`` is not in the middle of a guest access."""
    start = cpu.raw_atomic("or", _at(state, "polls"), cpu.const(0))
    if cpu.raw_load(_at(state, "in_guest"), 64, 8) != 0:
        cpu.raw_atomic("or", _at(state, "exit_request"), cpu.const(REQ_QUIESCE))
    spins = cpu.const(0)
    while (cpu.raw_atomic("or", _at(state, "in_guest"), cpu.const(0)) != 0) & (
        cpu.raw_atomic("or", _at(state, "polls"), cpu.const(0)) == start
    ):
        spins = spins + 1
        if spins > SPINS:
            cpu.libc("sched_yield")


@routine(args=(64, 64, 64), returns=None)
def invalidate_all_cpus(cpu: Any, pid: Any, ea: Any, count: Any) -> None:
    """Invalidate ``count`` pages from ``ea`` (0: everything) of process ``pid`` (-1: any) on all vCPUs."""
    total = cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8)
    own = cpu.own_address()
    n = cpu.const(0)
    while n < total:
        state = cpu.raw_load(shared_field(cpu, "states") + n * 8, 64, 8)
        if concerns(cpu, state, pid):
            if count != 0:
                flush_pages(cpu, state, ea, count)
            elif state == own:
                flush_process(cpu, pid)
            elif one_process(pid):
                flush_lower(cpu, state)
            else:
                flush_state(cpu, state)
            if state != own:
                cpu.memory_fence()  # who comes to guest code unseen finds its tags wiped
                if cpu.raw_load(_at(state, "in_guest"), 64, 8) != 0:
                    wait_for_poll(cpu, state)
        n = n + 1


def concerns(cpu: Any, state: Any, pid: Any) -> Any:
    """Whether the vCPU at ``state`` may hold translations of process ``pid``."""
    cpu.memory_fence()
    current = cpu.raw_load(_at(state, "pidr"), 64, 8)
    return (pid == -1) | (pid == 0) | (pid == current)


def one_process(pid: Any) -> Any:
    """Whether an invalidation of all that ``pid`` has ends at the upper half, which is PID 0's."""
    return (pid != -1) & (pid != 0)


def flush_process(cpu: Any, pid: Any) -> None:
    """Wipe all of this vCPU's translations of process ``pid``, its own or PID 0; -1: of any."""
    if one_process(pid):
        flush_own_lower(cpu)
    else:
        flush_own(cpu)


def _page_count(cpu: Any, ap: Any) -> Any:
    """4 KiB pages for an actual page size encoding; 0 for pages too large to wipe one by one."""
    return select(ap == 0, cpu.const(1), select(ap == 5, cpu.const(16), select(ap == 1, cpu.const(512), 0)))


@routine(args=(64, 64, 64, 64), returns=None)
def tlbie_radix(cpu: Any, rb: Any, rs: Any, ric: Any, everywhere: Any) -> None:
    """Radix tlbie (everywhere 1) and tlbiel (0): RIC 0 TLB, 1 page walk cache, 2 all, 3 one page's group.

    A tlbiel for more than a page names a congruence class (RB[SET]), and Linux goes through all of
    POWER9's 128: our entries are all in class 0.
    """
    scope = (rb >> 10) & 3
    pid = select(scope >= 2, ~cpu.const(0), rs >> 32)
    single = (scope == 0) & (ric != 2)
    count = select(single, _page_count(cpu, (rb >> 5) & 7), cpu.const(0))
    if ric != 1:
        if everywhere != 0:
            invalidate_all_cpus(cpu, pid, rb & ~0xFFF, count)
        elif count != 0:
            flush_pages(cpu, cpu.own_address(), rb & ~0xFFF, count)
        elif ((scope == 0) | ((rb & TLBIEL_SET) == 0)) and concerns(cpu, cpu.own_address(), pid):
            flush_process(cpu, pid)


@routine(args=(64,), returns=None)
def tlbie_hash(cpu: Any, everywhere: Any) -> None:
    """Hash tlbie and tlbiel: everything (guests invalidate through hypercalls; this is rare)."""
    if everywhere != 0:
        invalidate_all_cpus(cpu, ~cpu.const(0), cpu.const(0), cpu.const(0))
    else:
        flush_own(cpu)


@routine(args=(64,), returns=None)
def write_pidr(cpu: Any, value: Any) -> None:
    """mtspr PIDR."""
    if cpu.pidr != (value & 0xFFFFFFFF):
        cpu.pidr = value & 0xFFFFFFFF
        if (cpu.lpcr & LPCR_HR) != 0:
            flush_own_lower(cpu)
        else:
            flush_own(cpu)


@routine(args=(64,), returns=None)
def write_amr(cpu: Any, value: Any) -> None:
    """mtspr AMR: on radix it selects the supervisor TLB (see lp_enter), on hash it flushes."""
    if (cpu.lpcr & LPCR_HR) == 0 and cpu.amr != value:
        flush_own(cpu)
    cpu.amr = value


@routine(args=(64,), returns=None)
def write_iamr(cpu: Any, value: Any) -> None:
    """mtspr IAMR."""
    if cpu.iamr != value:
        cpu.iamr = value
        flush_own(cpu)


@routine(args=(64,), returns=None)
def set_request(cpu: Any, bits: Any) -> None:
    """Set bits of exit_request; for other threads."""
    cpu.raw_atomic("or", cpu.state_address("exit_request"), bits)


@routine(args=(64, 64), returns=None)
def change_pending(cpu: Any, clear: Any, bits: Any) -> None:
    """Clear and set bits of pending; for other threads."""
    cpu.raw_atomic("and", cpu.state_address("pending"), ~clear)
    cpu.raw_atomic("or", cpu.state_address("pending"), bits)


# -- segment lookaside buffer and hashed page table ------------------------------------------------
#
# Rules of this part:
# * A TLB entry exists only while the SLB entry does that it was made through: whatever takes that entry away
#   or changes it wipes the segment.  So a new SLB entry needs no wipe.
# * On hash, AMR's change wipes everything: of the supervisor TLBs only that of the present AMR has entries.
# * ``flush_hpte`` finds an HPTE's translations through the other vCPU's SLB, which that one may be changing.
#   With several vCPUs slbmte ends in a fence: an SLB entry that ``flush_hpte`` does not see yet belongs to
#   a vCPU that reads the table after the HPTE was cleared.

SLB_ENTRIES = 32
SLB_VALID = 0x08000000
SLB_ESID = 0xFFFFFFFFF0000000
SLB_CLASS = 0x80
SLB_SIZE_1T = 1  #: field B
PROBLEM = 5  #: number of problem state's TLB
LOW_BITS = 0x7FF  #: groups that a table needs at least, so that its index gives the page number's low bits


def segment_mask(cpu: Any, vsid: Any) -> Any:
    """The bits of an address that name its segment, by the segment's size."""
    return select((vsid >> 62) == SLB_SIZE_1T, cpu.const(0xFFFFFF0000000000), SLB_ESID)


def virtual_hash(vsid: Any) -> Any:
    """A segment's part of the hash (5.7.7.3), to be xored with the page number within the segment."""
    number = vsid & 0x3FFFFFFFFFFFF000
    large = number >> 24
    return select((vsid >> 62) == SLB_SIZE_1T, large ^ (large << 25), number >> 12)


@routine(args=(64,), returns=64)
def slb_index(cpu: Any, ea: Any) -> Any:
    """The number of the SLB entry that translates ``ea``, or 32."""
    n = cpu.const(0)
    while n < SLB_ENTRIES:
        esid = cpu.slb_esid[n]
        if ((esid & SLB_VALID) != 0) & (((esid ^ ea) & segment_mask(cpu, cpu.slb_vsid[n])) == 0):
            return n
        n = n + 1
    return n


@routine(args=(64, 64), returns=None)
def flush_range(cpu: Any, first: Any, last: Any) -> None:
    """Wipe this vCPU's hash translations of the addresses from ``first`` to ``last``."""
    data = cpu.state_address("dtlb")
    _wipe_data(cpu, data + (1 + (cpu.amr >> 62)) * MODE_SIZE, first, last - first)
    _wipe_data(cpu, data + PROBLEM * MODE_SIZE, first, last - first)
    _wipe_code(cpu, first, last - first)
    cpu.n_flush = cpu.n_flush + 1


@routine(args=(64, 64, 64), returns=None)
def _wipe_data(cpu: Any, table: Any, first: Any, length: Any) -> None:
    none = ~cpu.const(0)
    entry = table
    while entry < table + MODE_SIZE:
        if cpu.raw_load(entry, 64, 8) - first <= length:
            cpu.raw_store(entry, none, 8)
        if cpu.raw_load(entry + 8, 64, 8) - first <= length:
            cpu.raw_store(entry + 8, none, 8)
        entry = entry + TLB_ENTRY


@routine(args=(64, 64), returns=None)
def _wipe_code(cpu: Any, first: Any, length: Any) -> None:
    entry = cpu.state_address("ctlb")
    end = entry + CTLB_ENTRIES * CTLB_ENTRY
    while entry < end:
        if cpu.raw_load(entry, 64, 8) - first <= length:
            cpu.raw_store(entry, ~cpu.const(0), 8)
        entry = entry + CTLB_ENTRY


def _segment_end(cpu: Any, esid: Any, vsid: Any) -> Any:
    return esid | ~segment_mask(cpu, vsid)


@routine(args=(64, 64), returns=None)
def slb_write(cpu: Any, rs: Any, rb: Any) -> None:
    """slbmte: entry RB[52:63] (of 32) = ESID and V from RB, B, VSID and flags from RS."""
    index = rb & (SLB_ENTRIES - 1)
    old, old_vsid = cpu.slb_esid[index], cpu.slb_vsid[index]
    new = rb & (SLB_ESID | SLB_VALID)
    cpu.slb_esid[index] = new
    cpu.slb_vsid[index] = rs
    if cpu.smp != 0:
        cpu.memory_fence()
    if ((old & SLB_VALID) != 0) & ((old != new) | (old_vsid != rs)):
        start = old & segment_mask(cpu, old_vsid)
        flush_range(cpu, start, _segment_end(cpu, start, old_vsid))


@routine(args=(64,), returns=None)
def slb_invalidate(cpu: Any, rb: Any) -> None:
    """slbie: the entry whose segment RB is in."""
    index = slb_index(cpu, rb)
    if index < SLB_ENTRIES:
        vsid = cpu.slb_vsid[index]
        cpu.slb_esid[index] = cpu.slb_esid[index] & ~SLB_VALID
        start = rb & segment_mask(cpu, vsid)
        flush_range(cpu, start, _segment_end(cpu, start, vsid))


@routine(args=(64,), returns=None)
def slb_invalidate_all(cpu: Any, ih: Any) -> None:
    """slbia (3.0B Book III, 5.9.3.2): all entries but 0; since 3.0 IH 3: of class 1, 4: also 0, 7: none.

    Lookaside information never outlives its SLB entry here, so that other values of IH ask for nothing.
    """
    ih = select(cpu.isa >= 300, ih, 0)
    first, last = ~cpu.const(0), cpu.const(0)
    n = select((ih == 3) | (ih == 4), cpu.const(0), select(ih == 7, cpu.const(SLB_ENTRIES), 1))
    while n < SLB_ENTRIES:
        esid, vsid = cpu.slb_esid[n], cpu.slb_vsid[n]
        if ((esid & SLB_VALID) != 0) & ((ih != 3) | ((vsid & SLB_CLASS) != 0)):
            cpu.slb_esid[n] = esid & ~SLB_VALID
            start = esid & segment_mask(cpu, vsid)
            end = _segment_end(cpu, start, vsid)
            first, last = select(start < first, start, first), select(end > last, end, last)
        n = n + 1
    if first <= last:
        flush_range(cpu, first, last)


@routine(args=(64,), returns=(64, 1))
def slb_find(cpu: Any, rb: Any) -> Any:
    """slbfee.: (the VSID doubleword of the entry that RB's segment has, found)."""
    index = slb_index(cpu, rb)
    if index >= SLB_ENTRIES:
        return cpu.const(0), cpu.const(0, 1)
    return cpu.slb_vsid[index], cpu.const(1, 1)


@routine(args=(64, 64), returns=None)
def flush_hpte(cpu: Any, v: Any, index: Any) -> None:
    """Wipe what any vCPU has translated through HPTE ``index``, first doubleword ``v``; wait for its users.

    For the hypervisor's threads; ``cpu`` is any vCPU.  The entry's valid bit is clear already.
    """
    total = cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8)
    cpu.memory_fence()
    n = cpu.const(0)
    while n < total:
        state = cpu.raw_load(shared_field(cpu, "states") + n * 8, 64, 8)
        if flush_virtual(cpu, state, v, index) != 0:
            await_poll(cpu, state)
        n = n + 1


@routine(args=(), returns=None)
def flush_everything(cpu: Any) -> None:
    """Wipe all translations of all vCPUs and wait for their users; for the hypervisor's threads."""
    total = cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8)
    n = cpu.const(0)
    while n < total:
        state = cpu.raw_load(shared_field(cpu, "states") + n * 8, 64, 8)
        flush_state(cpu, state)
        await_poll(cpu, state)
        n = n + 1


@routine(args=(64, 64, 64), returns=64)
def flush_virtual(cpu: Any, state: Any, v: Any, index: Any) -> Any:
    """Wipe a page table entry's translations of the vCPU at ``state``: how many of its segments had it."""
    found = cpu.const(0)
    at = _at(state, "slb_esid")
    n = cpu.const(0)
    while n < SLB_ENTRIES:
        esid = cpu.raw_load(at, 64, 8)
        vsid = cpu.raw_load(at + (SLOTS["slb_vsid"].offset - SLOTS["slb_esid"].offset), 64, 8)
        within = ~segment_mask(cpu, vsid) >> 16
        if ((esid & SLB_VALID) != 0) & (((v ^ vsid) & ~(within | 0xFFF)) == 0):
            flush_mapping(cpu, state, esid & segment_mask(cpu, vsid), vsid, v, index)
            found = found + 1
        at = at + 8
        n = n + 1
    return found


@routine(args=(64, 64, 64, 64, 64), returns=None)
def flush_mapping(cpu: Any, state: Any, segment: Any, vsid: Any, v: Any, index: Any) -> None:
    """Wipe an HPTE's page in the segment at ``segment``: bits 12 to 22 of its address come from the hash."""
    large = (vsid & 0x100) != 0
    if (cpu.hpt_mask < LOW_BITS) | (large & ((vsid & 0x10) == 0)):
        flush_state(cpu, state)
    else:
        number = (index >> 3) ^ select((v & 2) != 0, ~cpu.const(0), 0) ^ virtual_hash(vsid)
        low = select(large, (number << 16) & 0x7F0000, (number << 12) & 0x7FF000)
        high = (v << 16) & ~segment_mask(cpu, vsid) & ~0x7FFFFF
        flush_pages(cpu, state, segment | high | low, select(large, cpu.const(16), 1))
