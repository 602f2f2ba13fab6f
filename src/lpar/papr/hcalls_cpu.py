# SPDX-License-Identifier: GPL-2.0-only
"""Hypercalls about processors: idling, waking, modes, debug registers, system reset.

Sources: PAPR 14.5.4.3 "Processor Register Hypervisor Resource Access", 14.11 "Shared Processor
LPAR", 14.5.4.12 "H_SET_MODE", 14.14.1 "H_JOIN"; Linux arch/powerpc/include/asm/hvcall.h.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lpar.papr import numbers as n
from lpar.papr.registry import Args, Result, hcall

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition

ALL_OTHERS = n.U64  #: H_CONFER, H_SIGNAL_SYS_RESET: -1
ALL_BUT_SELF = n.U64 - 1  #: H_SIGNAL_SYS_RESET: -2


@hcall(n.H_CEDE, "hcall-splpar")
def h_cede(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Sleep until an interrupt or H_PROD; external interrupts are enabled."""
    vcpu.set_reg("msr", vcpu.get_reg("msr") | n.MSR_EE)
    count = p.yielding(vcpu.index)
    vcpu.wait()
    p.resumed(vcpu.index, count)
    return n.H_SUCCESS


@hcall(n.H_PROD, "hcall-splpar")
def h_prod(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Wake a processor that ceded, conferred or joined: (processor)."""
    target = a[1]
    if target >= len(p.vcpus):
        return n.H_PARAMETER
    p.unjoin(target)
    p.vcpus[target].prod()
    return n.H_SUCCESS


@hcall(n.H_CONFER, "hcall-splpar")
def h_confer(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Give the time slice away: (processor or -1 for all, its dispatch count).

    To oneself it means to wait for H_PROD (an interrupt may end it early).
    """
    target, count = a[1], a[2]
    if target == vcpu.index:
        vcpu.wait()
        return n.H_SUCCESS
    if target != ALL_OTHERS:
        if target >= len(p.vcpus):
            return n.H_PARAMETER
        if p.yield_count(target) != count & 0xFFFFFFFF:
            return n.H_SUCCESS
    os.sched_yield()
    return n.H_SUCCESS


@hcall(n.H_JOIN, "hcall-join")
def h_join(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Wait for H_PROD with interrupts off; the last processor to join gets H_CONTINUE."""
    if vcpu.get_reg("msr") & n.MSR_EE:
        return n.H_BAD_MODE
    return p.join(vcpu.index)


@hcall(n.H_SIGNAL_SYS_RESET)
def h_signal_sys_reset(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """System reset interrupt: (processor, or -1 for all, -2 for all but the caller)."""
    target = a[1]
    if target in (ALL_OTHERS, ALL_BUT_SELF):
        for other in p.vcpus:
            if target == ALL_OTHERS or other.index != vcpu.index:
                p.system_reset(other.index)
        return n.H_SUCCESS
    if target >= len(p.vcpus):
        return n.H_PARAMETER
    p.system_reset(target)
    return n.H_SUCCESS


@hcall(n.H_SET_MODE, "hcall-set-mode")
def h_set_mode(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set a mode: (flags, resource, value 1, value 2): endian, AIL, CIABR, DAWR0, DAWR1."""
    flags, resource, value1, value2 = a[1:5]
    setter = _SET_MODE.get(resource)
    return n.H_P2 if setter is None else setter(p, vcpu, flags, value1, value2)


def _set_endian(p: Partition, vcpu: Vcpu, flags: int, value1: int, value2: int) -> int:
    if value1:
        return n.H_P3
    if value2:
        return n.H_P4
    if flags > 1:
        return n.H_UNSUPPORTED_FLAG
    p.set_lpcr(vcpu, n.LPCR_ILE if flags else 0, n.LPCR_ILE)
    return n.H_SUCCESS


def _set_address_translation_mode(p: Partition, vcpu: Vcpu, flags: int, value1: int, value2: int) -> int:
    """AIL: 0 (interrupts leave translation off) and 3 (0xc000000000004000); 2 as well up to ISA 3.0."""
    if value1:
        return n.H_P3
    if value2:
        return n.H_P4
    if flags not in (0, 2, 3):
        return n.H_UNSUPPORTED_FLAG
    wanted = flags << n.LPCR_AIL_SHIFT
    p.set_lpcr(vcpu, wanted, n.LPCR_AIL)
    took = vcpu.get_reg("lpcr") & n.LPCR_AIL == wanted  # KVM leaves out what the processor cannot do
    return n.H_SUCCESS if took else n.H_UNSUPPORTED_FLAG


def _set_ciabr(p: Partition, vcpu: Vcpu, flags: int, value1: int, value2: int) -> int:
    if flags:
        return n.H_UNSUPPORTED_FLAG
    if value1 & 3 == 3:  # match in hypervisor state
        return n.H_P3
    if value2:
        return n.H_P4
    vcpu.set_reg("ciabr", value1)
    return n.H_SUCCESS


def _set_dawr(vcpu: Vcpu, suffix: str, flags: int, value1: int, value2: int) -> int:
    if flags:
        return n.H_UNSUPPORTED_FLAG
    if value2 & 4:  # match in hypervisor state
        return n.H_P4
    vcpu.set_reg("dawr" + suffix, value1)
    vcpu.set_reg("dawrx" + suffix, value2)
    return n.H_SUCCESS


def _set_dawr0(p: Partition, vcpu: Vcpu, flags: int, value1: int, value2: int) -> int:
    return _set_dawr(vcpu, "0", flags, value1, value2)


def _set_dawr1(p: Partition, vcpu: Vcpu, flags: int, value1: int, value2: int) -> int:
    try:
        return _set_dawr(vcpu, "1", flags, value1, value2)
    except KeyError:  # ISA 3.1 only
        return n.H_P2


_SET_MODE = {
    n.SET_MODE_CIABR: _set_ciabr,
    n.SET_MODE_DAWR0: _set_dawr0,
    n.SET_MODE_ADDR_TRANS: _set_address_translation_mode,
    n.SET_MODE_ENDIAN: _set_endian,
    n.SET_MODE_DAWR1: _set_dawr1,
}


@hcall(n.H_SET_SPRG0, "hcall-sprg0")
def h_set_sprg0(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set SPRG0: (value)."""
    vcpu.set_reg("sprg0", a[1])
    return n.H_SUCCESS


# DAWRX: bits of Power ISA Book III 9.4; the low bits are privilege (user 1, kernel 2)
_DAWRX_WTI = 1 << 3
_DAWRX_WT = 1 << 4
_DAWRX_DR = 1 << 5
_DAWRX_DW = 1 << 6
_DABRX_HYPERVISOR = 4
_DABRX_BTI = 8


def _dabr_to_dawr(vcpu: Vcpu, dabr: int, dabrx: int) -> int:
    """A DABR breakpoint on a processor that has DAWR: same address, access kinds and privilege."""
    dawrx = dabrx & 3
    dawrx |= _DAWRX_DR if dabr & 1 else 0
    dawrx |= _DAWRX_DW if dabr & 2 else 0
    dawrx |= _DAWRX_WT if dabr & 4 else 0
    dawrx |= _DAWRX_WTI if dabrx & _DABRX_BTI else 0
    vcpu.set_reg("dawr0", dabr & ~7)
    vcpu.set_reg("dawrx0", dawrx)
    return n.H_SUCCESS


@hcall(n.H_SET_DABR, "hcall-dabr")
def h_set_dabr(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set the data address breakpoint: (DABR), for user and kernel accesses."""
    return _dabr_to_dawr(vcpu, a[1], 3)


@hcall(n.H_SET_XDABR, "hcall-xdabr")
def h_set_xdabr(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set the data address breakpoint with its extension: (DABR, DABRX)."""
    dabrx = a[2]
    if dabrx & ~0xF or dabrx & _DABRX_HYPERVISOR or not dabrx & 3:
        return n.H_PARAMETER
    return _dabr_to_dawr(vcpu, a[1], dabrx)


# H_GET_CPU_CHARACTERISTICS: bits of Linux arch/powerpc/include/asm/hvcall.h, H_CPU_*
_CHAR_BRANCH_HINTS_HONORED = 1 << 58
_CHAR_COUNT_CACHE_DISABLED = 1 << 56
_BEHAV_NO_L1D_FLUSH_ENTRY = 1 << 56
_BEHAV_NO_L1D_FLUSH_UACCESS = 1 << 55
_BEHAV_NO_STF_BARRIER = 1 << 54


@hcall(n.H_GET_CPU_CHARACTERISTICS)
def h_get_cpu_characteristics(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Which speculation safeguards the guest needs: what the host says, or none.

    An emulated processor has no L1 cache to flush and no branch predictor to poison; without this
    answer Linux flushes on every system call and context switch.
    """
    if p.cpu_characteristics is not None:
        return n.H_SUCCESS, *p.cpu_characteristics
    character = _CHAR_BRANCH_HINTS_HONORED | _CHAR_COUNT_CACHE_DISABLED
    behaviour = _BEHAV_NO_L1D_FLUSH_ENTRY | _BEHAV_NO_L1D_FLUSH_UACCESS | _BEHAV_NO_STF_BARRIER
    return n.H_SUCCESS, character, behaviour


@hcall(n.H_RANDOM)
def h_random(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """64 random bits."""
    return n.H_SUCCESS, int.from_bytes(p.entropy(8), "big")


@hcall(n.H_GET_PPP, "hcall-splpar")
def h_get_ppp(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Processor entitlement: every virtual processor is wholly ours, uncapped, weight 128."""
    count = len(p.vcpus)
    capacity = 100 * count  # hundredths of a processor
    weights = 0 << 48 | 128 << 40 | count << 16 | count
    return n.H_SUCCESS, capacity, 0, 0, weights, count << 48 | capacity << 24 | capacity


@hcall(n.H_PURR, "hcall-splpar")
def h_purr(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """The processor utilization register: time dispatched, which here is the timebase."""
    return n.H_SUCCESS, vcpu.get_reg("tb")


@hcall(n.H_HOME_NODE_ASSOCIATIVITY)
def h_home_node_associativity(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """The associativity list of a processor: (1, processor); all live in domain 0."""
    if a[1] != 1:
        return n.H_FUNCTION
    if a[2] >= len(p.vcpus):
        return n.H_P2
    end = 0xFFFFFFFF
    return n.H_SUCCESS, 0, 0, a[2] << 32 | end, n.U64, n.U64, n.U64
