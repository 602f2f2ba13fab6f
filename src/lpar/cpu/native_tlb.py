# SPDX-License-Identifier: GPL-2.0-only
"""Translation invalidation: tlbie, tlbiel, PIDR, AMR and SLB changes, native.

A vCPU's TLBs hold translations for its current PIDR and PID 0 only (they are flushed when PIDR
changes), so an invalidation for another process needs no work here.

Rules of this file (other vCPUs' TLBs):
* The invalidating vCPU raises the other's ``tlb_gen`` and wipes the other's entries itself; a fill that
  was under way notices the new generation and drops its entry.
* An access whose tag check has already passed may still be in flight: after the wipe, wait until the
  other vCPU passes a poll or is outside guest code (``in_guest`` 0).  While waiting we are outside, too, so two
  waiters do not wait for each other.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu.layout import CTLB_ENTRIES, CTLB_ENTRY, REQ_QUIESCE, SLOTS, TLB_ENTRIES, TLB_ENTRY, TLB_MODES
from lpar.cpu.native_shared import shared_field
from lpar.isa.routine import routine
from lpar.isa.values import select

MODE_SIZE = TLB_ENTRIES * TLB_ENTRY
SPINS = 1000  #: polls of another vCPU before giving up the host CPU


def _at(state: Any, name: str) -> Any:
    return state + SLOTS[name].offset


@routine(args=(64,), returns=None)
def flush_state(cpu: Any, state: Any) -> None:
    """Wipe all translations of the vCPU whose state block is at ``state``.

    Only the tags: the vCPU may have checked one and be about to use what stands behind it.
    """
    cpu.raw_atomic("add", _at(state, "tlb_gen"), cpu.const(1))
    none = ~cpu.const(0)
    entry = _at(state, "dtlb")
    end = entry + TLB_MODES * MODE_SIZE
    while entry < end:
        cpu.raw_store(entry, none, 8)
        cpu.raw_store(entry + 8, none, 8)
        entry = entry + TLB_ENTRY
    entry = _at(state, "ctlb")
    end = entry + CTLB_ENTRIES * CTLB_ENTRY
    while entry < end:
        cpu.raw_store(entry, none, 8)
        entry = entry + CTLB_ENTRY
    cpu.raw_atomic("add", _at(state, "n_flush"), cpu.const(1))


@routine(args=(64, 64, 64), returns=None)
def flush_pages(cpu: Any, state: Any, ea: Any, count: Any) -> None:
    """Wipe the translations of ``count`` 4 KiB pages from ``ea`` on (at most TLB_ENTRIES) of one vCPU."""
    cpu.raw_atomic("add", _at(state, "tlb_gen"), cpu.const(1))
    none = ~cpu.const(0)
    page = ea >> 12
    n = cpu.const(0)
    while n < count:
        entry = _at(state, "dtlb") + ((page + n) & (TLB_ENTRIES - 1)) * TLB_ENTRY
        for mode in range(TLB_MODES):
            cpu.raw_store(entry + mode * MODE_SIZE, none, 8)
            cpu.raw_store(entry + mode * MODE_SIZE + 8, none, 8)
        code = _at(state, "ctlb") + ((page + n) & (CTLB_ENTRIES - 1)) * CTLB_ENTRY
        cpu.raw_store(code, none, 8)
        n = n + 1


@routine(args=(64,), returns=None)
def wait_for_poll(cpu: Any, state: Any) -> None:
    """Wait until the vCPU at ``state`` is not in the middle of a guest access."""
    start = cpu.raw_load(_at(state, "polls"), 64, 8)
    cpu.raw_atomic("or", _at(state, "exit_request"), cpu.const(REQ_QUIESCE))
    cpu.raw_atomic("xchg", cpu.state_address("in_guest"), cpu.const(0))
    spins = cpu.const(0)
    while (cpu.raw_atomic("or", _at(state, "in_guest"), cpu.const(0)) != 0) & (
        cpu.raw_atomic("or", _at(state, "polls"), cpu.const(0)) == start
    ):
        spins = spins + 1
        if spins > SPINS:
            cpu.libc("sched_yield")
    cpu.raw_atomic("xchg", cpu.state_address("in_guest"), cpu.const(1))


@routine(args=(64, 64, 64), returns=None)
def invalidate_all_cpus(cpu: Any, pid: Any, ea: Any, count: Any) -> None:
    """Invalidate ``count`` pages from ``ea`` (count 0: everything) of process ``pid`` (-1: any) on all vCPUs."""
    total = cpu.raw_load(shared_field(cpu, "vcpus"), 64, 8)
    own = cpu.state_address("gpr")
    n = cpu.const(0)
    while n < total:
        state = cpu.raw_load(shared_field(cpu, "states") + n * 8, 64, 8)
        if concerns(cpu, state, pid):
            if count == 0:
                flush_state(cpu, state)
            else:
                flush_pages(cpu, state, ea, count)
            if state != own:
                if cpu.raw_load(_at(state, "in_guest"), 64, 8) != 0:
                    wait_for_poll(cpu, state)
        n = n + 1


def concerns(cpu: Any, state: Any, pid: Any) -> Any:
    """Whether the vCPU at ``state`` may hold translations of process ``pid``."""
    cpu.memory_fence()
    current = cpu.raw_load(_at(state, "pidr"), 64, 8)
    return (pid == -1) | (pid == 0) | (pid == current)


def _page_count(cpu: Any, ap: Any) -> Any:
    """4 KiB pages for an actual page size encoding; 0 for pages too large to wipe one by one."""
    return select(ap == 0, cpu.const(1), select(ap == 5, cpu.const(16), select(ap == 1, cpu.const(512), 0)))


@routine(args=(64, 64, 64, 64), returns=None)
def tlbie_radix(cpu: Any, rb: Any, rs: Any, ric: Any, everywhere: Any) -> None:
    """Radix tlbie (everywhere 1) and tlbiel (0): RIC 0 TLB, 1 page walk cache, 2 all, 3 one page's group."""
    scope = (rb >> 10) & 3
    pid = select(scope >= 2, ~cpu.const(0), rs >> 32)
    single = (scope == 0) & (ric != 2)
    count = select(single, _page_count(cpu, (rb >> 5) & 7), cpu.const(0))
    if ric != 1:
        if everywhere != 0:
            invalidate_all_cpus(cpu, pid, rb & ~0xFFF, count)
        elif count == 0:
            flush_state(cpu, cpu.state_address("gpr"))
        else:
            flush_pages(cpu, cpu.state_address("gpr"), rb & ~0xFFF, count)


@routine(args=(64,), returns=None)
def tlbie_hash(cpu: Any, everywhere: Any) -> None:
    """Hash tlbie and tlbiel: everything (guests invalidate through hypercalls; this is rare)."""
    if everywhere != 0:
        invalidate_all_cpus(cpu, ~cpu.const(0), cpu.const(0), cpu.const(0))
    else:
        flush_state(cpu, cpu.state_address("gpr"))


@routine(args=(64,), returns=None)
def write_pidr(cpu: Any, value: Any) -> None:
    """mtspr PIDR."""
    if cpu.pidr != (value & 0xFFFFFFFF):
        cpu.pidr = value & 0xFFFFFFFF
        flush_state(cpu, cpu.state_address("gpr"))


@routine(args=(64,), returns=None)
def write_amr(cpu: Any, value: Any) -> None:
    """mtspr AMR: on radix it selects the supervisor TLB (see lp_enter), on hash it flushes."""
    if (cpu.lpcr & (1 << 20)) == 0:
        if cpu.amr != value:
            flush_state(cpu, cpu.state_address("gpr"))
    cpu.amr = value


@routine(args=(64,), returns=None)
def write_iamr(cpu: Any, value: Any) -> None:
    """mtspr IAMR."""
    if cpu.iamr != value:
        cpu.iamr = value
        flush_state(cpu, cpu.state_address("gpr"))


@routine(args=(64,), returns=None)
def set_request(cpu: Any, bits: Any) -> None:
    """Set bits of exit_request; for other threads."""
    cpu.raw_atomic("or", cpu.state_address("exit_request"), bits)


@routine(args=(64, 64), returns=None)
def change_pending(cpu: Any, clear: Any, bits: Any) -> None:
    """Clear and set bits of pending; for other threads."""
    cpu.raw_atomic("and", cpu.state_address("pending"), ~clear)
    cpu.raw_atomic("or", cpu.state_address("pending"), bits)


# -- segment lookaside buffer (hash) ---------------------------------------------------------------

SLB_VALID = 0x08000000


@routine(args=(64, 64), returns=None)
def slb_write(cpu: Any, rs: Any, rb: Any) -> None:
    """slbmte: entry RB[52:63] (of 32) = ESID and V from RB, VSID and flags from RS."""
    index = rb & 31
    old = cpu.slb_esid[index]
    cpu.slb_esid[index] = rb & 0xFFFFFFFFF8000000
    cpu.slb_vsid[index] = rs
    if ((old & SLB_VALID) != 0) & ((old ^ rb) & 0xFFFFFFFFF8000000 != 0):
        flush_state(cpu, cpu.state_address("gpr"))
    elif (old & SLB_VALID) != 0:
        flush_state(cpu, cpu.state_address("gpr"))


@routine(args=(64,), returns=None)
def slb_invalidate(cpu: Any, rb: Any) -> None:
    """slbie: the entry whose ESID matches RB."""
    n = cpu.const(0)
    while n < 32:
        esid = cpu.slb_esid[n]
        big = (cpu.slb_vsid[n] >> 62) == 1
        mask = select(big, cpu.const(0xFFFFFF0000000000), 0xFFFFFFFFF0000000)
        if ((esid & SLB_VALID) != 0) & (((esid ^ rb) & mask) == 0):
            cpu.slb_esid[n] = cpu.const(0)
        n = n + 1
    flush_state(cpu, cpu.state_address("gpr"))


@routine(args=(64,), returns=None)
def slb_invalidate_all(cpu: Any, ih: Any) -> None:
    """slbia: all entries but 0 (IH 0, 1, 2, 6), class 1 ones (IH 3), all with entry 0 (IH 4, 7)."""
    n = cpu.const(0)
    while n < 32:
        keep = (n == 0) & (ih != 4) & (ih != 7)
        class1 = (cpu.slb_vsid[n] & 0x80) != 0
        keep = keep | ((ih == 3) & ~class1)
        cpu.slb_esid[n] = select(keep, cpu.slb_esid[n], cpu.slb_esid[n] & ~SLB_VALID)
        n = n + 1
    flush_state(cpu, cpu.state_address("gpr"))


@routine(args=(64,), returns=(64, 1))
def slb_find(cpu: Any, rb: Any) -> Any:
    """slbfee.: (the entry's VSID doubleword, found)."""
    n = cpu.const(0)
    value = cpu.const(0)
    found = cpu.const(0, 1)
    while n < 32:
        esid = cpu.slb_esid[n]
        big = (cpu.slb_vsid[n] >> 62) == 1
        mask = select(big, cpu.const(0xFFFFFF0000000000), 0xFFFFFFFFF0000000)
        hit = ((esid & SLB_VALID) != 0) & (((esid ^ rb) & mask) == 0)
        value = select(hit, cpu.slb_vsid[n], value)
        found = found | hit
        n = n + 1
    return value, found
