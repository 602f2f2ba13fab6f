# SPDX-License-Identifier: GPL-2.0-only
"""What a machine knows of an accelerator: the Vcpu and Exit protocol.

A vCPU is driven by one host thread that loops over ``exit = vcpu.run()`` and answers the
exit.  Both accelerators release the GIL while guest code runs.  The machine never knows
which accelerator is behind the protocol.

Thread rules: ``run``, register access and ``resume_at`` are for the vCPU's own thread, or for
any thread while the vCPU is not inside ``run``.  ``kick``, ``set_external_interrupt`` and
``raise_system_reset`` may be called from any thread at any time.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class ExitReason(enum.Enum):
    """Why ``Vcpu.run`` came back."""

    HCALL = "hcall"  #: ``sc 1`` in supervisor state: r3 is the number, r4.. the arguments
    MMIO_READ = "mmio_read"  #: load outside RAM: ``addr``, ``size``; answer with ``complete_mmio_read``
    MMIO_WRITE = "mmio_write"  #: store outside RAM: ``addr``, ``size``, ``value``
    KICKED = "kicked"  #: somebody called ``kick``
    HALTED = "halted"  #: the guest can never run again by itself (e.g. checkstop); see ``message``
    SHUTDOWN = "shutdown"  #: the accelerator itself saw the guest switch off
    RESET = "reset"  #: ... or ask for a reboot
    INTERNAL = "internal"  #: the engine gave up; ``message`` says why


class Exit(NamedTuple):
    """One exit of a vCPU.  ``addr`` is guest-physical, ``size`` in bytes (1, 2, 4, 8).

    MMIO values are integers as the guest's register holds them after a big-endian reading of
    the bytes on the bus: device models see ``value.to_bytes(size, "big")`` as the bytes in
    address order.  (A tuple: a frozen dataclass takes three times as long to make.)
    """

    reason: ExitReason
    addr: int = 0
    size: int = 0
    value: int = 0
    message: str = ""


class KernelInterrupts(Protocol):
    """An interrupt controller (XICS) inside the accelerator.  From any thread."""

    def add_source(self, number: int, level: bool) -> None:
        """A source, masked; ``level``: it stays asserted until its device is served."""

    def drive(self, number: int, level: bool) -> None:
        """Set the line of a level source."""

    def pulse(self, number: int) -> None:
        """Signal one edge."""

    def route(self, number: int, server: int, priority: int) -> None:
        """Send a source to a server; priority 0xff masks it."""

    def routing(self, number: int) -> tuple[int, int]:
        """(server, priority) of a source."""

    def take_rtas(self, name: str, token: int) -> bool:
        """Have the accelerator answer an RTAS call about sources; False if it cannot."""


PageSizes = tuple[tuple[int, int, tuple[tuple[int, int], ...]], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What an accelerator says of the processors it has made; None: as the model has it."""

    cpu: str  #: name of the model
    pvr: int | None = None
    timebase_hz: int | None = None
    mmu: str = "any"  #: what the guest may choose: ``any``, ``hash``, ``radix``
    slb_size: int | None = None
    segments_1t: bool = True
    page_sizes: PageSizes | None = None  #: (base shift, SLB encoding, ((shift, PTE encoding), ...))
    dec_bits: int | None = None
    characteristics: tuple[int, int] | None = None  #: of H_GET_CPU_CHARACTERISTICS; None: nothing to fear
    threads: int | None = None  #: of each core; None: as asked for
    hpt_order: int | None = None  #: of a hash table that the accelerator keeps


class Vcpu(Protocol):
    """A virtual CPU (one hardware thread).

    Registers are named as the Power ISA spells them, lower case: ``r0``..``r31``, ``pc`` (NIA),
    ``msr``, ``lr``, ``ctr``, ``cr`` (32 bits), ``xer``, ``lpcr``, ``sprg0``..``sprg3``, ``srr0``,
    ``srr1``, ``ciabr``, ``dawr0``, ``dawrx0``, ``pvr``, ``tb``, ``dec``, ``ptcr`` and so on.
    """

    index: int  #: the server number, 0-based (``ibm,ppc-interrupt-server#s``)

    def run(self) -> Exit:
        """Run guest code until something needs the machine."""

    def kick(self) -> None:
        """Make ``run`` (now or the next call) or ``wait`` return soon; sticky until then."""

    def get_reg(self, name: str) -> int:
        """Read a register as an unsigned integer.  Raises KeyError for unknown names."""

    def set_reg(self, name: str, value: int) -> None:
        """Write a register; value is truncated to its width."""

    def hcall_args(self) -> tuple[int, ...]:
        """(r3, r4, ... r12): the hypercall number and its up to nine arguments."""

    def hcall_return(self, status: int, *rets: int) -> None:
        """Put ``status`` (signed) in r3 and ``rets`` in r4...; the guest goes on after ``sc 1``."""

    def complete_mmio_read(self, value: int) -> None:
        """Answer an ``MMIO_READ`` exit; the load completes on the next ``run``."""

    def wait(self) -> None:
        """H_CEDE: sleep until an interrupt (external, decrementer, system reset, doorbell) is
        pending or ``kick``/``prod`` was called.  Costs no host CPU."""

    def prod(self) -> None:
        """H_PROD: end a ``wait`` of this vCPU, now or the next one."""

    def set_external_interrupt(self, level: bool) -> None:
        """Drive the external interrupt input (0x500).  Level: stays until lowered."""

    def raise_system_reset(self) -> None:
        """Deliver a system reset (0x100) as soon as possible."""

    def flush_tlb(self) -> None:
        """Forget all cached translations of this vCPU before its next guest instruction."""

    def set_process_table(self, base: int, log2_size: int, radix: bool, gtse: bool) -> None:
        """H_REGISTER_PROC_TBL: partition-scoped entry's process table (base is guest-real, size in
        bytes is 2**log2_size); sets LPCR[UPRT], LPCR[HR], LPCR[GTSE] as told and flushes."""

    def set_hash_table(self, order: int) -> None:
        """The partition's HPT: 2**order bytes, see ``Accelerator.hpt``."""


class NativeTerminal(Protocol):
    """A terminal whose hypercalls need not exit."""

    def set_input(self, waiting: bool) -> None:
        """Whether bytes wait that H_GET_TERM_CHAR would give."""

    def flush(self) -> bool:
        """Hand over what the guest has put so far; False if ``write`` did not take it."""

    def close(self) -> None:
        """Hand over the rest."""


class Natives(Protocol):
    """Hypercalls that an accelerator can answer without an exit, just as the partition would.

    It is a matter of speed only: an accelerator may have none, or leave single calls to the partition.
    """

    def answer(self, calls: Iterable[int]) -> None:
        """These hypercalls need not exit from now on (numbers it does not know are ignored)."""

    def table_lock(self) -> AbstractContextManager[object]:
        """What everybody holds who changes the hashed page table."""

    def terminal(self, unit: int, write: Callable[[bytes], bool]) -> NativeTerminal:
        """Take the output of the terminal at ``unit`` and hand it to ``write`` soon (False: not now)."""

    def set_yield_count(self, index: int, address: int, shared: bool) -> None:
        """vCPU ``index`` keeps its dispatch count at guest-real ``address`` (0: nowhere); it is to change
        around H_CEDE if the processors are ``shared``."""


#: one place in a guest: (process by PIDR, in problem state, pc, link register, frames' return addresses)
Stack = tuple[int, bool, int, int, tuple[int, ...]]


class Profile(Protocol):
    """Samples of a guest and of what runs it, under way until ``stop``."""

    @property
    def stacks(self) -> Mapping[Stack, int]:
        """How often each place was seen."""

    def stop(self) -> None:
        """Take no more samples; no vCPU is running."""

    def engine_seconds(self) -> Mapping[str, float]:
        """Seconds of the host's CPU time by what the accelerator did with them."""
