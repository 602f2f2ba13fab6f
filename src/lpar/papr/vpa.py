# SPDX-License-Identifier: GPL-2.0-only
"""H_REGISTER_VPA: the areas a virtual processor shares with us.

Source: PAPR 14.11.3.2 "H_REGISTER_VPA" and the layout of the Virtual Processor Area (Linux
arch/powerpc/include/asm/lppaca.h).  Of the VPA we read the size and write "shared processor" and
the yield count; SLB shadow and dispatch trace log are registered, checked and left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpar.papr import numbers as n
from lpar.papr.registry import Args, Result, hcall

if TYPE_CHECKING:
    from lpar.accel.protocol import Vcpu
    from lpar.papr.cpus import Processor
    from lpar.papr.partition import Partition

VPA_SIZE = 0x4  #: u16, bytes of the area
VPA_SHARED = 0x9  #: u8, 2: the processor shares its core with others
VPA_YIELD_COUNT = 0x100  #: u32, odd while the processor does not run
VPA_MIN_SIZE = 640
VPA_ALIGN = 128
DTL_MIN_SIZE = 48
_PAGE = 4096


@hcall(n.H_REGISTER_VPA, "hcall-splpar")
def h_register_vpa(p: Partition, vcpu: Vcpu, a: Args) -> Result:
    """Register or drop a per-processor area: (function << 45, processor, address)."""
    flags, target, address = a[1:4]
    if target >= len(p.processors):
        return n.H_PARAMETER
    function = _FUNCTIONS.get(flags)
    if function is None:
        return n.H_PARAMETER
    status = function(p, p.processors[target], address)
    p.areas_changed(target)
    return status


def _crosses_page(address: int, size: int) -> bool:
    return address // _PAGE != (address + size - 1) // _PAGE


def _register_vpa(p: Partition, cpu: Processor, address: int) -> int:
    if not address:
        return n.H_HARDWARE
    if address % VPA_ALIGN:
        return n.H_PARAMETER
    size = p.memory.read_u16(address + VPA_SIZE)
    if size < VPA_MIN_SIZE or _crosses_page(address, size):
        return n.H_PARAMETER
    area = p.memory.view(address, size)
    area[VPA_SHARED] = area[VPA_SHARED] & ~2 | (2 if p.shared_processors else 0)
    cpu.vpa = address
    return n.H_SUCCESS


def _deregister_vpa(p: Partition, cpu: Processor, address: int) -> int:
    if cpu.slb_shadow or cpu.dtl:
        return n.H_RESOURCE
    cpu.vpa = 0
    return n.H_SUCCESS


def _register_slb_shadow(p: Partition, cpu: Processor, address: int) -> int:
    if not address:
        return n.H_HARDWARE
    size = p.memory.read_u32(address + 4)
    if size < 8 or _crosses_page(address, size):
        return n.H_PARAMETER
    if not cpu.vpa:
        return n.H_RESOURCE
    cpu.slb_shadow, cpu.slb_shadow_size = address, size
    return n.H_SUCCESS


def _deregister_slb_shadow(p: Partition, cpu: Processor, address: int) -> int:
    cpu.slb_shadow = cpu.slb_shadow_size = 0
    return n.H_SUCCESS


def _register_dtl(p: Partition, cpu: Processor, address: int) -> int:
    if not address:
        return n.H_HARDWARE
    size = p.memory.read_u32(address + 4)
    if size < DTL_MIN_SIZE:
        return n.H_PARAMETER
    if not cpu.vpa:
        return n.H_RESOURCE
    cpu.dtl, cpu.dtl_size = address, size
    return n.H_SUCCESS


def _deregister_dtl(p: Partition, cpu: Processor, address: int) -> int:
    cpu.dtl = cpu.dtl_size = 0
    return n.H_SUCCESS


_FUNCTIONS = {
    1 << 45: _register_vpa,
    2 << 45: _register_dtl,
    3 << 45: _register_slb_shadow,
    5 << 45: _deregister_vpa,
    6 << 45: _deregister_dtl,
    7 << 45: _deregister_slb_shadow,
}
