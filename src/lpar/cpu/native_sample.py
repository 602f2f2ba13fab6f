# SPDX-License-Identifier: GPL-2.0-only
"""Samples for the compiled tier: where polls find a vCPU.

A region that runs has what sampling is for.  So its polls pass most samples by: a sample would leave it at
the head of some loop inside, which would be compiled once more in its own right.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu import native_code
from lpar.cpu.layout import REQ_SAMPLE
from lpar.isa.routine import routine

PASSED = 8  #: a power of two: at each such request a region leaves, so that code changed meanwhile is seen


def note_sample(cpu: Any) -> None:
    """Remember the record of ``pc``, if the code TLB knows it."""
    pc = cpu.pc
    entry = native_code.ctlb_entry(cpu, pc)
    if (cpu.current_region == 0) & (cpu.raw_load(entry, 64, 8) == ((pc & ~0xFFF) | cpu.mode_key)):
        n = cpu.n_samples
        cpu.samples[n & 63] = cpu.raw_load(entry + 8, 64, 8) + ((pc & 0xFFC) << 1)
        cpu.n_samples = n + 1


@routine(args=(), returns=1)
def may_stay(cpu: Any) -> Any:
    """At a poll in a region where something is requested: whether it is no more than a sample to pass by.

    A sample that comes with another request is passed by, too.
    """
    count = cpu.n_passed + 1
    cpu.n_passed = count
    stay = (count & (PASSED - 1)) != 0
    if stay:
        asked = cpu.raw_atomic("and", cpu.state_address("exit_request"), cpu.const(~REQ_SAMPLE))
        stay = (asked & ~REQ_SAMPLE) == 0
    return stay
