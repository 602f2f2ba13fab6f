# SPDX-License-Identifier: GPL-2.0-only
"""XICS inside the kernel (KVM_DEV_TYPE_XICS): it answers the interrupt hypercalls without us.

Source: Linux Documentation/virt/kvm/devices/xics.rst; states of a source in asm/kvm.h, KVM_XICS_*.
"""

from __future__ import annotations

from collections.abc import Sequence

from lpar.accel.kvm_vcpu import KvmVcpu
from lpar.host.kvm import abi
from lpar.host.kvm.device import Device, Machine

MASKED = 0xFF


class KvmXics:
    """The controller; connects every vCPU under its server number.  Raises OSError."""

    def __init__(self, machine: Machine, vcpus: Sequence[KvmVcpu]) -> None:
        self._machine = machine
        self._device: Device = machine.create_device(abi.KVM_DEV_TYPE_XICS)
        for vcpu in vcpus:
            vcpu.fd.enable(abi.KVM_CAP_IRQ_XICS, self._device.fd, vcpu.index)

    def add_source(self, number: int, level: bool) -> None:
        """A masked source."""
        state = MASKED << abi.KVM_XICS_PRIORITY_SHIFT | abi.KVM_XICS_MASKED
        self._set(number, state | (abi.KVM_XICS_LEVEL_SENSITIVE if level else 0))

    def drive(self, number: int, level: bool) -> None:
        """Set the line of a level source."""
        self._machine.set_line(number, level)

    def pulse(self, number: int) -> None:
        """Signal one edge."""
        self._machine.set_line(number, True)

    def route(self, number: int, server: int, priority: int) -> None:
        """Send a source to a server; what is pending stays pending."""
        kept = self._get(number) & (abi.KVM_XICS_LEVEL_SENSITIVE | abi.KVM_XICS_PENDING)
        masked = abi.KVM_XICS_MASKED if priority == MASKED else 0
        self._set(number, kept | masked | priority << abi.KVM_XICS_PRIORITY_SHIFT | server)

    def routing(self, number: int) -> tuple[int, int]:
        """(server, priority) of a source; a masked one says 0xff."""
        state = self._get(number)
        priority = state >> abi.KVM_XICS_PRIORITY_SHIFT & 0xFF
        return state & 0xFFFFFFFF, MASKED if state & abi.KVM_XICS_MASKED else priority

    def take_rtas(self, name: str, token: int) -> bool:
        """Have the kernel answer an RTAS call; False if it does not know it."""
        try:
            self._machine.define_rtas(name, token)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the device back."""
        self._device.close()

    def _get(self, number: int) -> int:
        return self._device.get_attr(abi.KVM_DEV_XICS_GRP_SOURCES, number)

    def _set(self, number: int, state: int) -> None:
        self._device.set_attr(abi.KVM_DEV_XICS_GRP_SOURCES, number, state)
