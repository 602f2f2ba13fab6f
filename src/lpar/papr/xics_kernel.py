# SPDX-License-Identifier: GPL-2.0-only
"""XICS when the accelerator itself has one: sources are named here, presented there.

Interrupt hypercalls never reach us then, nor do the RTAS calls that the accelerator takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lpar.papr.numbers import PRIORITY_MASKED
from lpar.papr.registry import rtas_tokens
from lpar.papr.xics import Source, Xics

if TYPE_CHECKING:
    from lpar.accel.protocol import KernelInterrupts

RTAS_CALLS = ("ibm,set-xive", "ibm,get-xive", "ibm,int-off", "ibm,int-on")


def _nowhere(level: bool) -> None:
    """The output of a server whose interrupts we do not present."""


class KernelXics(Xics):
    """The controller of ``servers`` processors behind ``kernel``."""

    def __init__(self, kernel: KernelInterrupts, servers: int) -> None:
        super().__init__([_nowhere] * servers)
        self._kernel = kernel

    def take_rtas(self) -> None:
        """Hand the RTAS calls about sources over, once all tokens are known."""
        tokens = rtas_tokens()
        for name in RTAS_CALLS:
            self._kernel.take_rtas(name, tokens[name])

    def allocate_block(self, count: int, *, level: bool = False, number: int | None = None) -> list[Source]:
        """As Xics, and told to the accelerator."""
        created = super().allocate_block(count, level=level, number=number)
        for source in created:
            self._kernel.add_source(source.number, level)
        return created

    def free(self, source: Source) -> None:
        """The accelerator keeps the source, masked."""
        super().free(source)
        self._kernel.route(source.number, 0, PRIORITY_MASKED)

    def offer(self, source: Source | None) -> None:
        """A line or an edge changed: pass it on.  With the lock held."""
        if source is None:
            return
        if source.level:
            self._kernel.drive(source.number, source.asserted)
        elif source.pending:
            source.pending = False
            self._kernel.pulse(source.number)

    def set_xive(self, source: Source, server: int, priority: int, saved: int) -> None:
        """Route ``source``, where the accelerator did not take the RTAS call."""
        with self.lock:
            source.server, source.priority, source.saved_priority = server, priority, saved
            self._kernel.route(source.number, server, priority)

    def save(self) -> dict[str, Any]:
        """As Xics, with the routing that the guest set inside the accelerator."""
        for source in self.sources.values():
            source.server, source.priority = self._kernel.routing(source.number)
        return super().save()

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back, and route every source."""
        super().restore(data)
        for source in self.sources.values():
            self._kernel.route(source.number, source.server, source.priority)
