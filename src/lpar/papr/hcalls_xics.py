# SPDX-License-Identifier: GPL-2.0-only
"""Interrupt hypercalls of XICS, and the RTAS calls that route its sources.

Source: PAPR 14.5.4.6 "Interrupt Hypercalls" and 7.3.10 "ibm,get-xive ... ibm,int-on".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpar.papr import numbers as n
from lpar.papr.registry import Args, Result, hcall, rtas

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition


@hcall(n.H_EOI, "hcall-interrupt")
def h_eoi(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """End of interrupt: (XIRR)."""
    return n.H_SUCCESS if p.xics.end(vcpu.index, a[1] & 0xFFFFFFFF) else n.H_PARAMETER


@hcall(n.H_CPPR, "hcall-interrupt")
def h_cppr(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Set the current processor priority: (CPPR)."""
    p.xics.set_cppr(vcpu.index, a[1] & 0xFF)
    return n.H_SUCCESS


@hcall(n.H_IPI, "hcall-interrupt")
def h_ipi(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Interrupt another processor: (server, MFRR)."""
    if a[1] >= len(p.vcpus):
        return n.H_PARAMETER
    p.xics.set_mfrr(a[1], a[2] & 0xFF)
    return n.H_SUCCESS


@hcall(n.H_IPOLL, "hcall-interrupt")
def h_ipoll(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Look at the pending interrupt of a server: (server) gives XIRR and MFRR."""
    if a[1] >= len(p.vcpus):
        return n.H_PARAMETER
    return n.H_SUCCESS, *p.xics.poll(a[1])


@hcall(n.H_XIRR, "hcall-interrupt")
def h_xirr(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Accept the pending interrupt: gives XIRR."""
    return n.H_SUCCESS, p.xics.accept(vcpu.index)


@hcall(n.H_XIRR_X, "hcall-interrupt")
def h_xirr_x(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Accept the pending interrupt: gives XIRR and the timebase."""
    return n.H_SUCCESS, p.xics.accept(vcpu.index), vcpu.get_reg("tb")


@rtas("ibm,set-xive", nargs=3)
def rtas_set_xive(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Route an interrupt: (number, server, priority); priority 0xff masks it."""
    number, server, priority = a
    source = p.xics.sources.get(number)
    if source is None or server >= len(p.vcpus) or priority > n.PRIORITY_MASKED:
        return n.RTAS_PARAM_ERROR
    p.xics.set_xive(source, server, priority, priority)
    return n.RTAS_SUCCESS


@rtas("ibm,get-xive", nargs=1, nret=3)
def rtas_get_xive(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Where an interrupt goes: (number) gives server and priority."""
    source = p.xics.sources.get(a[0])
    if source is None:
        return n.RTAS_PARAM_ERROR
    return n.RTAS_SUCCESS, source.server, source.priority


@rtas("ibm,int-off", nargs=1)
def rtas_int_off(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Mask an interrupt and remember its priority: (number)."""
    source = p.xics.sources.get(a[0])
    if source is None:
        return n.RTAS_PARAM_ERROR
    saved = source.priority if source.priority != n.PRIORITY_MASKED else source.saved_priority
    p.xics.set_xive(source, source.server, n.PRIORITY_MASKED, saved)
    return n.RTAS_SUCCESS


@rtas("ibm,int-on", nargs=1)
def rtas_int_on(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Unmask an interrupt with the priority it had: (number)."""
    source = p.xics.sources.get(a[0])
    if source is None:
        return n.RTAS_PARAM_ERROR
    p.xics.set_xive(source, source.server, source.saved_priority, source.saved_priority)
    return n.RTAS_SUCCESS
