# SPDX-License-Identifier: GPL-2.0-only
"""RTAS calls that start and stop processors.

Source: PAPR 7.3.8 "Managing Multiple Processors" (start-cpu, stop-self, query-cpu-stopped-state)
and 7.3.14 "ibm,nmi-register, ibm,nmi-interlock".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpar.papr import numbers as n
from lpar.papr.registry import Args, Result, rtas

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition

#: LPCR fields a started processor takes over from the one that starts it
_LPCR_INHERITED = n.LPCR_ILE | n.LPCR_AIL | n.LPCR_HR | n.LPCR_UPRT | n.LPCR_GTSE


@rtas("query-cpu-stopped-state", nargs=1, nret=2)
def rtas_query_cpu_stopped_state(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """State of a processor: (processor) gives 0 stopped, 1 stopping, 2 running."""
    if a[0] >= len(p.processors):
        return n.RTAS_PARAM_ERROR
    return n.RTAS_SUCCESS, p.cpu_state(a[0])


@rtas("start-cpu", nargs=3)
def rtas_start_cpu(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Start a stopped processor: (processor, start address, value for r3)."""
    index, start, r3 = a
    if index >= len(p.processors):
        return n.RTAS_PARAM_ERROR
    if p.cpu_state(index) != n.CPU_STOPPED:
        return n.RTAS_HW_ERROR
    target = p.vcpus[index]
    inherited = vcpu.get_reg("lpcr") & _LPCR_INHERITED
    target.set_reg("lpcr", target.get_reg("lpcr") & ~_LPCR_INHERITED | inherited)
    target.set_reg("msr", n.MSR_SF | n.MSR_ME)
    target.set_reg("pc", start)
    target.set_reg("r3", r3)
    target.flush_tlb()
    p.start_processor(index)
    return n.RTAS_SUCCESS


@rtas("stop-self", nargs=0, nret=(0, 1))
def rtas_stop_self(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Stop the calling processor; it does not return until start-cpu."""
    p.processors[vcpu.index].stopping = True
    return n.RTAS_SUCCESS


@rtas("ibm,nmi-register", nargs=2)
def rtas_nmi_register(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Where system reset and machine check go: (system reset address, machine check address)."""
    system_reset, machine_check = a
    if not p.memory.contains(system_reset, 4) or not p.memory.contains(machine_check, 4):
        return n.RTAS_PARAM_ERROR
    p.fwnmi_system_reset = system_reset
    p.fwnmi_machine_check = machine_check
    return n.RTAS_SUCCESS


@rtas("ibm,nmi-interlock", nargs=0)
def rtas_nmi_interlock(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """The guest has copied the error log of its machine check: we never deliver one."""
    return n.RTAS_PARAM_ERROR if p.fwnmi_machine_check is None else n.RTAS_SUCCESS
