# SPDX-License-Identifier: GPL-2.0-only
"""RTAS calls of PCI: configuration space, message interrupts.

Sources: PAPR 7.3.4.1 "Configuration space access", 7.3.10.5 "MSI support" (ibm,change-msi,
ibm,query-interrupt-source-number).  A configuration address is
``register[11:8] << 28 | bus << 16 | device-function << 8 | register[7:0]``.

Only bus 0 has functions.  Those without extended configuration space answer hardware error there,
as the reference does for every access to nothing: Linux reads that as all ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpar.papr import numbers as n
from lpar.papr.registry import Args, Result, rtas
from lpar.pci import Function
from lpar.pci.function import CONFIG_SIZE

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.partition import Partition
    from lpar.papr.phb import HostBridge

CHANGE_ANY, CHANGE_MSI, CHANGE_MSIX = 1, 3, 4  #: functions of ibm,change-msi
RESET = 2
TYPE_MSIX = 2
_NO_BUID = 0


def _bridge(p: Partition, buid: int) -> HostBridge | None:
    """The bridge of that identifier; the plain calls (0) have the first one."""
    if buid == _NO_BUID:
        return p.bridges[0] if p.bridges else None
    return next((bridge for bridge in p.bridges if bridge.buid == buid), None)


def _function(bridge: HostBridge | None, address: int) -> tuple[int, Function | None]:
    """(device-function number, the function there if any)."""
    devfn = address >> 8 & 0xFF
    if bridge is None or address >> 16 & 0xFF:
        return devfn, None
    return devfn, bridge.bus.functions.get(devfn)


def _place(p: Partition, buid: int, address: int, size: int) -> tuple[Function, int] | None:
    """The function and register of a configuration access; None for one that cannot be."""
    _, function = _function(_bridge(p, buid), address)
    register = address >> 20 & 0xF00 | address & 0xFF
    bad = size not in (1, 2, 4) or register % size or register + size > CONFIG_SIZE
    return None if function is None or bad else (function, register)


def _read(p: Partition, buid: int, address: int, size: int) -> Result:
    place = _place(p, buid, address, size)
    if place is None:
        return n.RTAS_HW_ERROR, 0xFFFFFFFF
    return n.RTAS_SUCCESS, place[0].config_read(place[1], size)


def _write(p: Partition, buid: int, address: int, size: int, value: int) -> Result:
    place = _place(p, buid, address, size)
    if place is None:
        return n.RTAS_HW_ERROR
    place[0].config_write(place[1], size, value)
    return n.RTAS_SUCCESS


@rtas("read-pci-config", nargs=2, nret=2)
def rtas_read_pci_config(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Read configuration space of the first bridge: (address, size) gives the value."""
    return _read(p, _NO_BUID, a[0], a[1])


@rtas("write-pci-config", nargs=3)
def rtas_write_pci_config(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Write configuration space of the first bridge: (address, size, value)."""
    return _write(p, _NO_BUID, a[0], a[1], a[2])


@rtas("ibm,read-pci-config", nargs=4, nret=2)
def rtas_ibm_read_pci_config(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Read configuration space: (address, BUID high, BUID low, size) gives the value."""
    return _read(p, a[1] << 32 | a[2], a[0], a[3])


@rtas("ibm,write-pci-config", nargs=5)
def rtas_ibm_write_pci_config(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Write configuration space: (address, BUID high, BUID low, size, value)."""
    return _write(p, a[1] << 32 | a[2], a[0], a[3], a[4])


@rtas("ibm,change-msi", nargs=6, nret=(3, 4))
def rtas_ibm_change_msi(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Give a function message interrupts: (address, BUID high, low, function, count, sequence).

    Count 0 takes them away.  Answers how many it has, the next sequence number, and their type.
    A request for more than can be had is answered with the number that can; the guest asks again.
    """
    bridge = _bridge(p, a[1] << 32 | a[2])
    devfn, function = _function(bridge, a[0])
    change, wanted, sequence = a[3:6]
    if bridge is None or function is None or change not in (CHANGE_ANY, RESET, CHANGE_MSI, CHANGE_MSIX):
        return n.RTAS_PARAM_ERROR
    if change == RESET or not wanted:
        bridge.take_messages(devfn)
        return n.RTAS_SUCCESS, 0, sequence + 1, 0
    if function.msix is None or change == CHANGE_MSI:
        return n.RTAS_HW_ERROR
    with bridge.lock:
        most = min(function.msix.count, bridge.spare_messages())
        if wanted <= most:
            bridge.give_messages(devfn, wanted)
    return n.RTAS_SUCCESS, min(wanted, most), sequence + 1, TYPE_MSIX


@rtas("ibm,query-interrupt-source-number", nargs=4, nret=3)
def rtas_ibm_query_interrupt_source_number(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Source of a message: (address, BUID high, low, vector) gives its number and 1, for an edge."""
    bridge = _bridge(p, a[1] << 32 | a[2])
    devfn, function = _function(bridge, a[0])
    if bridge is None or function is None:
        return n.RTAS_PARAM_ERROR
    messages = bridge.messages(devfn)
    if messages is None or a[3] >= len(messages.sources):
        return n.RTAS_HW_ERROR
    return n.RTAS_SUCCESS, messages.sources[a[3]].number, 1
