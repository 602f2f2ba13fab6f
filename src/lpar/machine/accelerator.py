# SPDX-License-Identifier: GPL-2.0-only
"""What the machine needs of an accelerator besides its vCPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lpar.accel.protocol import Facts, KernelInterrupts, Natives, Profile, Vcpu
from lpar.host.memory import GuestMemory


class Accelerator(Protocol):
    """Runs the vCPUs of one machine."""

    def create_vcpus(
        self, memory: GuestMemory, count: int, cpu: str, threads_per_core: int = 1
    ) -> Sequence[Vcpu]:
        """``count`` vCPUs of the CPU model named ``cpu`` (``auto``: the accelerator's choice), in reset
        state, server numbers 0 up.

        Each ``threads_per_core`` of them in turn are the threads of one core.
        """

    def facts(self) -> Facts:
        """What the vCPUs that were made are."""

    def kernel_interrupts(self) -> KernelInterrupts | None:
        """An interrupt controller of the accelerator's own; None: the partition's is used."""

    def allocate_hpt(self, order: int) -> memoryview | None:
        """A zeroed hash page table of 2**order bytes that the vCPUs walk; None if the host keeps it."""

    def flush_hpte(self, v: int, r: int, index: int) -> None:
        """A table entry (its doublewords and number; -1: all) was taken down: forget its translations.

        From any thread; no vCPU uses one any more when it returns.
        """

    def memory_written(self, address: int, length: int) -> None:
        """Guest memory was changed by us, not by a vCPU.  From any thread."""

    def start_profile(self) -> Profile | None:
        """Take samples of the running vCPUs from now on; None if that cannot be done."""

    def natives(self) -> Natives | None:
        """What answers hypercalls without an exit; None if nothing does.  Asked once there are vCPUs."""

    def close(self) -> None:
        """Free what the vCPUs use; none of them runs any more."""
