# SPDX-License-Identifier: GPL-2.0-only
"""XICS: interrupt presentation (one ICP per hardware thread) and interrupt sources.

Source: PAPR chapter 6 "Interrupt Controller" and 14.5.4.6 "Interrupt hypercalls".  Priorities: 0
is the most favoured, 0xff is masked.  A server takes an interrupt whose priority is lower in
number than its CPPR and than what it already presents; what it cannot take waits at the source
and is offered again when the server's CPPR goes up or an EOI arrives.

Rules of this file:

* one lock for the whole controller; ``set_external_interrupt`` is called with it held, so that
  the level a vCPU sees is the last one decided;
* a source waits in ``Server.waiting`` of the server it is routed to, exactly while it wants to be
  presented and is not;
* message (edge) sources remember one edge in ``pending``; level sources remember in ``sent`` that
  the guest has not yet ended (EOI) the last presentation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from lpar.errors import InternalError
from lpar.papr.numbers import IRQ_BASE, IRQ_IPI, PRIORITY_MASKED

XISR_MASK = 0xFFFFFF


class Server:
    """The presentation controller (ICP) of one hardware thread."""

    __slots__ = ("cppr", "mfrr", "output", "pending_priority", "waiting", "xisr")

    def __init__(self, output: Callable[[bool], None]) -> None:
        self.output = output  #: drives the vCPU's external interrupt
        self.cppr = 0
        self.mfrr = PRIORITY_MASKED
        self.xisr = 0
        self.pending_priority = PRIORITY_MASKED
        self.waiting: dict[int, Source] = {}


class Source:
    """One interrupt source.  ``set_level`` is for level sources, ``pulse`` for edges (messages)."""

    __slots__ = (
        "asserted",
        "level",
        "number",
        "pending",
        "priority",
        "saved_priority",
        "sent",
        "server",
        "xics",
    )

    def __init__(self, xics: Xics, number: int, level: bool) -> None:
        self.xics = xics
        self.number = number
        self.level = level
        self.server = 0
        self.priority = PRIORITY_MASKED
        self.saved_priority = PRIORITY_MASKED
        self.asserted = False
        self.sent = False
        self.pending = False

    def set_level(self, asserted: bool) -> None:
        """Drive the line of a level source.  On an edge source, a rise is an edge."""
        with self.xics.lock:
            rose = asserted and not self.asserted
            self.asserted = asserted
            self.pending |= rose and not self.level
            self.xics.offer(self)

    def pulse(self) -> None:
        """Signal one edge (a message)."""
        with self.xics.lock:
            self.pending = True
            self.xics.offer(self)

    def wants(self) -> bool:
        """Whether this source is to be presented now."""
        if self.priority == PRIORITY_MASKED:
            return False
        return self.asserted and not self.sent if self.level else self.pending


class Xics:
    """The controller: servers by number, sources by interrupt number."""

    def __init__(self, outputs: Iterable[Callable[[bool], None]]) -> None:
        self.lock = threading.Lock()
        self.servers = [Server(output) for output in outputs]
        self.sources: dict[int, Source] = {}

    # -- sources ---------------------------------------------------------------------------

    def allocate(self, *, level: bool = False, number: int | None = None) -> Source:
        """A new source; the lowest free number from ``IRQ_BASE`` unless told."""
        return self.allocate_block(1, level=level, number=number)[0]

    def allocate_block(self, count: int, *, level: bool = False, number: int | None = None) -> list[Source]:
        """``count`` sources with consecutive numbers, as multiple messages need them."""
        with self.lock:
            first = self._free_run(count) if number is None else number
            wanted = range(first, first + count)
            if any(n in self.sources for n in wanted) or first < IRQ_BASE or wanted[-1] > XISR_MASK:
                raise InternalError(f"interrupt numbers {first:#x}..{wanted[-1]:#x} cannot be had")
            created = [Source(self, n, level) for n in wanted]
            self.sources.update(zip(wanted, created, strict=True))
            return created

    def free(self, source: Source) -> None:
        """Give the number of a source back; a presentation in flight ends at its EOI."""
        with self.lock:
            self.sources.pop(source.number, None)
            self.servers[source.server].waiting.pop(source.number, None)

    def _free_run(self, count: int) -> int:
        first = IRQ_BASE
        while taken := [n for n in range(first, first + count) if n in self.sources]:
            first = taken[-1] + 1
        return first

    # -- what the guest does ----------------------------------------------------------------

    def set_cppr(self, index: int, cppr: int) -> None:
        """H_CPPR: the priority below which server ``index`` takes interrupts."""
        with self.lock:
            icp = self.servers[index]
            icp.cppr = cppr
            if icp.xisr and icp.pending_priority >= cppr:
                self._withdraw(icp)
            elif not icp.xisr:
                self._resend(icp)

    def set_mfrr(self, index: int, mfrr: int) -> None:
        """H_IPI: an inter-processor interrupt of priority ``mfrr``; 0xff takes it back."""
        with self.lock:
            icp = self.servers[index]
            icp.mfrr = mfrr
            self._check_ipi(icp)

    def accept(self, index: int) -> int:
        """H_XIRR: take the presented interrupt; XIRR is the old CPPR << 24 | XISR (0: none)."""
        with self.lock:
            icp = self.servers[index]
            xirr = icp.cppr << 24 | icp.xisr
            if icp.xisr:
                icp.cppr = icp.pending_priority
                self._present(icp, 0, PRIORITY_MASKED)
            return xirr

    def end(self, index: int, xirr: int) -> bool:
        """H_EOI: end interrupt ``xirr & 0xffffff``, CPPR becomes ``xirr >> 24``.

        False if there is no such source.
        """
        with self.lock:
            icp = self.servers[index]
            icp.cppr = xirr >> 24 & 0xFF
            number = xirr & XISR_MASK
            if icp.xisr and icp.pending_priority >= icp.cppr:
                self._withdraw(icp)
            elif not icp.xisr:
                self._resend(icp)
            source = self.sources.get(number)
            if source is not None:  # after the others: it must not come before a more favoured one that waits
                source.sent = False
                self.offer(source)
            return source is not None or number in (0, IRQ_IPI)

    def poll(self, index: int) -> tuple[int, int]:
        """H_IPOLL: (XIRR, MFRR) of server ``index``, with no side effect."""
        with self.lock:
            icp = self.servers[index]
            return icp.cppr << 24 | icp.xisr, icp.mfrr

    def set_xive(self, source: Source, server: int, priority: int, saved: int) -> None:
        """Route ``source`` to ``server`` with ``priority``; 0xff masks it (ibm,set-xive)."""
        with self.lock:
            self.servers[source.server].waiting.pop(source.number, None)
            source.server, source.priority, source.saved_priority = server, priority, saved
            self.offer(source)

    # -- presentation, with the lock held ---------------------------------------------------

    def offer(self, source: Source | None) -> None:
        """Present ``source`` if it wants it and its server can take it; else let it wait.

        What it replaces is offered in turn: its route may have changed since it was presented.
        This ends, since each replacement makes what some server presents more favoured.
        """
        while source is not None:
            source = self._place(source)

    def _place(self, source: Source) -> Source | None:
        """One step of ``offer``: the source that lost its place, if any."""
        icp = self.servers[source.server]
        if not source.wants():
            icp.waiting.pop(source.number, None)
            return None
        if source.priority >= icp.cppr or (icp.xisr and source.priority >= icp.pending_priority):
            icp.waiting[source.number] = source
            return None
        icp.waiting.pop(source.number, None)
        source.pending = False
        source.sent = True
        return self._replace(icp, source.number, source.priority)

    def _check_ipi(self, icp: Server) -> None:
        if icp.mfrr < icp.cppr and (not icp.xisr or icp.mfrr < icp.pending_priority):
            self.offer(self._replace(icp, IRQ_IPI, icp.mfrr))

    def _resend(self, icp: Server) -> None:
        """Offer again all that waits for ``icp``, the most favoured first."""
        self._check_ipi(icp)
        if icp.waiting:
            for source in sorted(icp.waiting.values(), key=_by_priority):
                self.offer(source)

    def _replace(self, icp: Server, xisr: int, priority: int) -> Source | None:
        """Present ``xisr``; the source presented until now (itself: two edges become one)."""
        old = icp.xisr
        self._present(icp, xisr, priority)
        return self._taken_back(old) if old and old != xisr else None

    def _withdraw(self, icp: Server) -> None:
        """Give back what is presented: the CPPR no longer lets it through."""
        self.offer(self._replace(icp, 0, PRIORITY_MASKED))
        self._resend(icp)

    def _present(self, icp: Server, xisr: int, priority: int) -> None:
        if bool(icp.xisr) != bool(xisr):
            icp.output(bool(xisr))
        icp.xisr = xisr
        icp.pending_priority = priority

    def _taken_back(self, number: int) -> Source | None:
        """The source of an interrupt that was presented but not accepted; None for an IPI (MFRR)."""
        source = self.sources.get(number)
        if source is not None:
            source.sent = False
            source.pending = not source.level
        return source

    # -- state ------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Plain data: registers of each server, routing and latches of each source."""
        with self.lock:
            servers = [[s.cppr, s.mfrr, s.xisr, s.pending_priority] for s in self.servers]
            return {"servers": servers, "sources": [_save_source(s) for s in self.sources.values()]}

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back; sources that exist already keep their identity."""
        with self.lock:
            for icp, saved in zip(self.servers, data["servers"], strict=True):
                icp.cppr, icp.mfrr, icp.xisr, icp.pending_priority = saved
                icp.waiting.clear()
                icp.output(bool(icp.xisr))
            for row in data["sources"]:
                self._restore_source(row)

    def _restore_source(self, row: list[int]) -> None:
        number, level, server, priority, saved, asserted, sent, pending = row
        source = self.sources.get(number) or Source(self, number, bool(level))
        self.sources[number] = source
        source.server, source.priority, source.saved_priority = server, priority, saved
        source.asserted, source.sent, source.pending = bool(asserted), bool(sent), bool(pending)
        self.offer(source)


def _by_priority(source: Source) -> int:
    return source.priority


def _save_source(s: Source) -> list[int]:
    flags = (s.asserted, s.sent, s.pending)
    return [s.number, int(s.level), s.server, s.priority, s.saved_priority, *map(int, flags)]
