# SPDX-License-Identifier: GPL-2.0-only
"""The cases of ``harness`` on the engine: real mode, one vCPU, interrupts caught at their vectors."""

from __future__ import annotations

import functools
import struct

from tests.isa.harness import BUFFER, CODE, CODE_WORDS, NOP, Case, State

from lpar.accel.protocol import ExitReason
from lpar.accel.soft import SoftAccelerator, SoftVcpu
from lpar.cpu.native_code import RECORDS, STRIDE
from lpar.host.memory import GuestMemory

SC1 = 0x44000022  #: sc 1: leaves the vCPU as a hypercall
MSR = 1 << 63 | 1 << 25 | 1 << 23 | 1 << 13  #: SF VEC VSX FP, real mode, privileged
MSR_LE, LPCR_ILE, SRR1_TRAP, SRR1_FP = 1, 1 << 25, 1 << 17, 1 << 20
VECTORS = {0x300: "SIGSEGV", 0x380: "SIGSEGV", 0x600: "SIGBUS", 0x700: "SIGILL"}


class Machine:
    """One vCPU of the engine with flat real-mode memory."""

    def __init__(self, cpu: str) -> None:
        self.memory = GuestMemory(BUFFER + (1 << 24) & ~0xFFFFFF)
        [self.vcpu] = SoftAccelerator().create_vcpus(self.memory, 1, cpu)

    def forget_code(self) -> None:
        """Wipe the decoded instructions of the case's page: the host wrote it behind the engine's back."""
        for region in self.vcpu.thread.engine.regions:
            at = (CODE >> 12) * STRIDE
            region.map[at : at + RECORDS] = bytes(RECORDS)

    def run(self, case: Case, little: bool) -> State:
        """The state after ``case``."""
        order = "<" if little else ">"
        words = [*case.words, *[NOP] * (CODE_WORDS - len(case.words)), SC1]
        self.memory.write(CODE, struct.pack(f"{order}{len(words)}I", *words))
        for vector in range(0x100, 0x1000, 0x80):
            self.memory.write(vector, struct.pack(order + "I", SC1))
        self.memory.write(BUFFER, case.before.memory)
        self.forget_code()
        load(self.vcpu, case.before, little)
        while True:
            leaving = self.vcpu.run()
            if leaving.reason is ExitReason.HCALL:
                break
            if leaving.reason is not ExitReason.KICKED:
                raise AssertionError(f"{leaving} in {case!r}")
        return save(self.vcpu, self.memory.read(BUFFER, len(case.before.memory)))


def load(vcpu: SoftVcpu, state: State, little: bool) -> None:
    """Put ``state`` into the vCPU, at the start of the case."""
    block = vcpu.thread.state
    for n, value in enumerate(state.gpr):
        block.set("gpr", value, n)
    for n, value in enumerate(state.vsr):
        block.set("vsr", value, n)
    for name in ("cr", "xer", "lr", "ctr", "fpscr", "vscr", "tar"):
        vcpu.set_reg(name, getattr(state, name))
    vcpu.set_reg("lpcr", vcpu.get_reg("lpcr") & ~LPCR_ILE | (LPCR_ILE if little else 0))
    vcpu.set_reg("msr", MSR | (MSR_LE if little else 0))
    vcpu.set_reg("pc", CODE)


def save(vcpu: SoftVcpu, memory: bytes) -> State:
    """The state after a case; an interrupt is told from the address of the hypercall."""
    block = vcpu.thread.state
    scalars = {name: vcpu.get_reg(name) for name in ("cr", "xer", "lr", "ctr", "fpscr", "vscr", "tar")}
    at = vcpu.get_reg("pc") & ~3
    vector = next((v for v in (at, at - 4) if v < CODE and v % 0x80 == 0), 0)
    fault = VECTORS.get(vector, f"vector {vector:#x}") if vector else ""
    if vector == 0x700:
        cause = vcpu.get_reg("srr1")
        fault = "SIGTRAP" if cause & SRR1_TRAP else "SIGFPE" if cause & SRR1_FP else "SIGILL"
    return State(
        [block.get("gpr", n) for n in range(32)],
        [block.get("vsr", n) for n in range(64)],
        **scalars,
        memory=memory,
        fault=fault,
    )


@functools.cache
def machine(cpu: str) -> Machine:
    """The one machine of this process for a CPU model."""
    return Machine(cpu)


def run_engine(case: Case, *, little: bool = True, cpu: str = "POWER10") -> State:
    """Run ``case`` on the engine."""
    return machine(cpu).run(case, little)
