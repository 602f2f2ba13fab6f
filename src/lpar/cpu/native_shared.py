# SPDX-License-Identifier: GPL-2.0-only
"""The block of state that all vCPUs of a machine share, and how native code finds it."""

from __future__ import annotations

from typing import Any

MAX_VCPUS = 2048
LOCK_SPINS = 100  #: tries for a lock before giving up the host CPU
#: name -> byte offset
SHARED: dict[str, int] = {
    "vcpus": 0,  # how many
    "next_wake": 8,  # timer thread: host ticks of its next wake-up
    "timer_fd": 16,  # eventfd
    "stop": 24,  # timer thread: non-zero ends it
    "hpt_lock": 32,  # whoever changes the hashed page table
    "new_pages": 40,  # how many pages were marked as code; new_page has the last NEW_PAGES of them, plus one
    "units_next": 48,  # the arena of units: host addresses of what is free and of its end
    "units_end": 56,
    "units_start": 64,
    "units_lock": 72,  # non-zero: somebody makes room
    "term_unit": 80,  # the console, see native_term
    "term_lock": 88,
    "term_head": 96,  # bytes put so far
    "term_tail": 104,  # bytes taken so far
    "term_idle": 112,  # non-zero: who takes them sleeps
    "term_fd": 120,  # eventfd that wakes it; 0: no console here
    "tick_requests": 128,  # what the timer asks for besides, where it asks for an interrupt
    "marking": 136,  # number of the page that somebody marks as code just now, plus one; 0: none
    "states": 192,  # MAX_VCPUS addresses of state blocks
    "new_page": 192 + 8 * MAX_VCPUS,
}
NEW_PAGES = 4096
TERM_RING = 4096  #: bytes of console output that wait
SHARED["term_ring"] = SHARED["new_page"] + 8 * NEW_PAGES
SHARED["term_input"] = SHARED["term_ring"] + TERM_RING  # non-zero: something was typed
SHARED_SIZE = SHARED["term_input"] + 64


def shared_field(cpu: Any, name: str) -> Any:
    """The host address of a shared field."""
    return cpu.shared + SHARED[name]


def take_lock(cpu: Any, name: str, holder: Any) -> None:
    """Wait until the lock in a shared field is free and put ``holder``, non-zero, there.

    Whoever holds it must not wait for us, unless we are outside guest code.
    """
    spins, mine = cpu.const(0), cpu.const(0, 1)
    while not mine:
        _, mine = cpu.raw_cas(shared_field(cpu, name), cpu.const(0), holder)
        spins = spins + 1
        if ~mine & (spins > LOCK_SPINS):
            cpu.libc("sched_yield")


def release_lock(cpu: Any, name: str) -> None:
    """Give a lock back."""
    cpu.raw_atomic("xchg", shared_field(cpu, name), cpu.const(0))


def is_marked(cpu: Any, page: Any) -> Any:
    """Whether RAM page number ``page`` is marked as code, and every write tag to it is gone (native_code).

    What is read behind this is what was there then, or later.
    """
    marked = cpu.raw_load(cpu.page_flags + page, 8) != 0
    cpu.load_fence()
    marked = marked & (cpu.raw_load(shared_field(cpu, "marking"), 64, 8) != page + 1)
    cpu.load_fence()
    return marked
