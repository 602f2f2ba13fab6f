# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU made of a dictionary, and a guest that issues hypercalls and RTAS calls through it.

``FakeVcpu`` keeps to ``lpar.accel.protocol.Vcpu``.  ``run`` plays a script of exits; everything
that a partition or machine does to it can be looked at afterwards.
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from typing import TYPE_CHECKING

from lpar.accel.protocol import Exit, ExitReason
from lpar.papr.numbers import KVMPPC_H_RTAS, MSR_ME, MSR_SF
from lpar.papr.registry import rtas_tokens

if TYPE_CHECKING:
    from lpar.papr.partition import Partition

_NAMES = (
    "pc msr lr ctr cr xer lpcr pvr tb dec ptcr ciabr dawr0 dawrx0 dawr1 dawrx1 "
    "sprg0 sprg1 sprg2 sprg3 srr0 srr1"
)
_REGISTERS = (*(f"r{i}" for i in range(32)), *_NAMES.split())
_U64 = (1 << 64) - 1
RTAS_BLOCK = 0x8000  #: where FakeGuest puts RTAS argument blocks


class FakeVcpu:
    """Registers in ``regs``, exits from ``script`` (then KICKED for ever), calls counted."""

    def __init__(self, index: int = 0, script: list[Exit] | None = None) -> None:
        self.index = index
        self.regs = dict.fromkeys(_REGISTERS, 0)
        self.regs["msr"] = MSR_SF | MSR_ME
        self.script = deque(script or ())
        self.external = False
        self.system_resets = 0
        self.flushes = 0
        self.waits = 0
        self.kicks = 0
        self.process_table: tuple[int, int, bool, bool] | None = None
        self.hpt_order: int | None = None
        self.mmio_answers: list[int] = []
        self._wake = threading.Event()

    def run(self) -> Exit:
        """The next exit of the script."""
        if self.script:
            return self.script.popleft()
        self._wake.clear()
        return Exit(ExitReason.KICKED)

    def kick(self) -> None:
        """Count, and end a wait."""
        self.kicks += 1
        self._wake.set()

    def get_reg(self, name: str) -> int:
        """A register; KeyError if there is none of that name."""
        return self.regs[name]

    def set_reg(self, name: str, value: int) -> None:
        """Set a register; KeyError if there is none of that name."""
        if name not in self.regs:
            raise KeyError(name)
        self.regs[name] = value & _U64

    def hcall_args(self) -> tuple[int, ...]:
        """r3..r12."""
        return tuple(self.regs[f"r{i}"] for i in range(3, 13))

    def hcall_return(self, status: int, *rets: int) -> None:
        """Status in r3, the rest from r4."""
        self.regs["r3"] = status & _U64
        for i, ret in enumerate(rets, 4):
            self.regs[f"r{i}"] = ret & _U64

    def complete_mmio_read(self, value: int) -> None:
        """Remember the answer."""
        self.mmio_answers.append(value)

    def wait(self) -> None:
        """Count; sleep only while nothing is pending and nobody prodded, and at most a second."""
        self.waits += 1
        if not self.external:
            self._wake.wait(1.0)
        self._wake.clear()

    def prod(self) -> None:
        """End a wait, now or the next one."""
        self._wake.set()

    def set_external_interrupt(self, level: bool) -> None:
        """Remember the level; a raised one ends a wait."""
        self.external = level
        if level:
            self._wake.set()

    def raise_system_reset(self) -> None:
        """Count."""
        self.system_resets += 1
        self._wake.set()

    def flush_tlb(self) -> None:
        """Count."""
        self.flushes += 1

    def set_process_table(self, base: int, log2_size: int, radix: bool, gtse: bool) -> None:
        """Remember."""
        self.process_table = (base, log2_size, radix, gtse)

    def set_hash_table(self, order: int) -> None:
        """Remember."""
        self.hpt_order = order


class FakeGuest:
    """The guest's side of the sPAPR interface: makes calls as its kernel would."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.tokens = rtas_tokens()

    def hcall(self, number: int, *args: int, cpu: int = 0) -> tuple[int, ...]:
        """Make a hypercall; (status, r4, ... r12), the status signed."""
        vcpu = self.partition.vcpus[cpu]
        for i, value in enumerate((number, *args), 3):
            vcpu.set_reg(f"r{i}", value)
        self.partition.handle_hcall(vcpu)
        status, *rets = (vcpu.get_reg(f"r{i}") for i in range(3, 13))
        return (status - (1 << 64) if status >> 63 else status, *rets)

    def rtas(self, name: str | int, *args: int, nret: int = 1, cpu: int = 0) -> tuple[int, ...]:
        """Make an RTAS call; its ``nret`` return words, the status (first) signed."""
        token = name if isinstance(name, int) else self.tokens[name]
        words = (token, len(args), nret, *(arg & 0xFFFFFFFF for arg in args))
        block = struct.pack(f">{len(words)}I", *words)
        self.partition.memory.write(RTAS_BLOCK, block + b"\xee" * 4 * nret)
        self.hcall(KVMPPC_H_RTAS, RTAS_BLOCK, cpu=cpu)
        rets = struct.unpack(f">{nret}I", self.partition.memory.read(RTAS_BLOCK + len(block), 4 * nret))
        return (rets[0] - (1 << 32) if rets and rets[0] >> 31 else rets[0] if rets else 0, *rets[1:])
