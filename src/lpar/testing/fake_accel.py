# SPDX-License-Identifier: GPL-2.0-only
"""An accelerator whose vCPUs run guests written in Python.

A guest program is a generator: it yields exits as a real guest would cause them, looks at memory
and registers in between, and uses ``cpu.hcall`` and ``cpu.rtas`` to talk to the partition::

    def guest(cpu: ScriptedVcpu) -> Program:
        yield from cpu.print(b"hello")
        yield from cpu.rtas("power-off", 0xFFFFFFFF, 0xFFFFFFFF)

A program that ends leaves its vCPU asleep.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Generator, Mapping

from lpar.accel.protocol import Exit, ExitReason, Facts, KernelInterrupts
from lpar.host.memory import GuestMemory
from lpar.papr.numbers import H_GET_TERM_CHAR, H_PUT_TERM_CHAR, KVMPPC_H_RTAS, VTY_BASE
from lpar.papr.registry import rtas_tokens
from lpar.testing.fake_vcpu import FakeVcpu

Program = Generator[Exit, None, None]
GuestProgram = Callable[["ScriptedVcpu"], Program]

_BLOCKS = 0x10000  #: where vCPU 0 puts RTAS argument blocks; the others behind it
_BLOCK_SIZE = 0x100


class ScriptedVcpu(FakeVcpu):
    """A vCPU that runs ``program``; ``memory`` is its guest's."""

    def __init__(self, index: int, memory: GuestMemory, program: GuestProgram) -> None:
        super().__init__(index)
        self.memory = memory
        self._program = program(self)
        self._kicked = threading.Event()

    def run(self) -> Exit:
        """The program's next exit; when it is over, sleep until kicked."""
        if self._kicked.is_set():
            self._kicked.clear()
            return Exit(ExitReason.KICKED)
        for exit in self._program:
            return exit
        self._kicked.wait()
        self._kicked.clear()
        return Exit(ExitReason.KICKED)

    def kick(self) -> None:
        """End ``run`` or ``wait``, now or the next one."""
        super().kick()
        self._kicked.set()

    def hcall(self, number: int, *args: int) -> Generator[Exit, None, tuple[int, ...]]:
        """Make a hypercall; (status, r4, ... r12), the status signed."""
        for i, value in enumerate((number, *args), 3):
            self.set_reg(f"r{i}", value)
        yield Exit(ExitReason.HCALL)
        status, *rets = (self.get_reg(f"r{i}") for i in range(3, 13))
        return (status - (1 << 64) if status >> 63 else status, *rets)

    def rtas(self, name: str, *args: int, nret: int = 1) -> Generator[Exit, None, tuple[int, ...]]:
        """Make an RTAS call; its ``nret`` unsigned return words."""
        block = _BLOCKS + self.index * _BLOCK_SIZE
        words = (rtas_tokens()[name], len(args), nret, *(arg & 0xFFFFFFFF for arg in args))
        self.memory.write(block, struct.pack(f">{len(words)}I", *words) + bytes(4 * nret))
        yield from self.hcall(KVMPPC_H_RTAS, block)
        return struct.unpack(f">{nret}I", self.memory.read(block + 4 * len(words), 4 * nret))

    def print(self, text: bytes) -> Generator[Exit, None, None]:
        """Write to the console, again as often as it is busy."""
        for at in range(0, len(text), 16):
            piece = text[at : at + 16]
            low, high = struct.unpack(">QQ", piece.ljust(16, b"\0"))
            while (yield from self.hcall(H_PUT_TERM_CHAR, VTY_BASE, len(piece), low, high))[0]:
                pass

    def read_console(self) -> Generator[Exit, None, bytes]:
        """What has been typed, up to 16 bytes; empty if nothing."""
        _, length, low, high, *_ = yield from self.hcall(H_GET_TERM_CHAR, VTY_BASE)
        return struct.pack(">QQ", low, high)[:length]


def idle(cpu: ScriptedVcpu) -> Program:
    """A program that does nothing."""
    yield from ()


class FakeAccelerator:
    """vCPUs that run ``programs`` by server number; those without one are idle.

    Like a real one it is made anew for each boot.
    """

    def __init__(self, programs: Mapping[int, GuestProgram]) -> None:
        self._programs = programs
        self.vcpus: list[ScriptedVcpu] = []
        self.closed = False

    def create_vcpus(
        self, memory: GuestMemory, count: int, cpu: str, threads_per_core: int = 1
    ) -> list[ScriptedVcpu]:
        """One scripted vCPU for each server number."""
        self.vcpus = [ScriptedVcpu(i, memory, self._programs.get(i, idle)) for i in range(count)]
        return self.vcpus

    def facts(self) -> Facts:
        """The default model."""
        return Facts("POWER9")

    def kernel_interrupts(self) -> KernelInterrupts | None:
        """None: the partition's controller is used."""
        return None

    def allocate_hpt(self, order: int) -> memoryview | None:
        """A table nobody walks."""
        return memoryview(bytearray(1 << order))

    def flush_hpte(self, v: int, r: int, index: int) -> None:
        """Nothing is translated here."""

    def memory_written(self, address: int, length: int) -> None:
        """Nothing is decoded here."""

    def start_profile(self) -> None:
        """Nothing runs here."""

    def natives(self) -> None:
        """Every hypercall is the partition's."""

    def close(self) -> None:
        """Remember."""
        self.closed = True
