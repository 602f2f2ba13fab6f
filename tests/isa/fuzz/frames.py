# SPDX-License-Identifier: GPL-2.0-only
"""States as bytes on every side that runs programs: the block of ``driver.s``, little-endian, and the buffer.

Sides: ``qemu`` (the judge), ``oracle``, and the tiers of ``tests.cpu.runner.TIERS``.  All give the same
bytes, or one of them is wrong: signal and the address of a fault are among them.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence

from tests.cpu.runner import FSCR, LE, MSR, PAGES, SC1, SF, TIERS, Cases, watchdog
from tests.isa import judge
from tests.isa.case import BLOCK_SIZE, BUFFER_SIZE, CODE, SIGNALS, XER_BITS, XER_FLAGS, pack, unpack
from tests.isa.harness import INTERRUPT_SIGNALS, load_oracle, save_oracle

from lpar.cpu import layout
from lpar.cpu.layout import SLOTS
from lpar.isa.oracle import Interrupt

MSR_FE = 1 << 11 | 1 << 8  #: FE0, FE1: Linux sets both
FPSCR_AT, SIGNAL_AT, NIP_AT = 36, 39, 40  #: doublewords of the block
UNJUDGED = 0x08070000  #: FPSCR bits UX, FR, FI and C
VXSNAN, VXIMZ = 0x01000000, 0x00100000
SIGSEGV = 11
_GPR, _VSR = SLOTS["gpr"].place, SLOTS["vsr"].place
_NUMBERS = {name: number for number, name in SIGNALS.items()}
_SCALARS = ("lr", "ctr", "fpscr", "vscr", "tar")


def swapped(frame: bytes) -> bytes:
    """A frame with its block in the other byte order."""
    block = array("Q", frame[:BLOCK_SIZE])
    block.byteswap()
    return block.tobytes() + frame[BLOCK_SIZE:]


def as_judged(frame: bytes) -> bytes:
    """A frame without the FPSCR bits that QEMU has otherwise (see ``program.CLEAR``).

    An access that faults in its second page may have been done in part: then only the fault is compared.
    """
    (fpscr,) = struct.unpack_from("<Q", frame, 8 * FPSCR_AT)
    fpscr &= ~VXSNAN if fpscr & VXIMZ else ~0  # inf * 0 + SNaN is both; QEMU has VXIMZ only
    masked = frame[: 8 * FPSCR_AT] + struct.pack("<Q", fpscr & ~UNJUDGED) + frame[8 * FPSCR_AT + 8 :]
    return masked[8 * 32 : 8 * 42] if frame[8 * SIGNAL_AT] == SIGSEGV else masked


Work = Sequence[tuple[Sequence[int], Sequence[bytes]]]  #: programs, each with its frames


def run_qemu(work: Work, *, little: bool) -> list[list[bytes]]:
    """What QEMU leaves."""
    given = work if little else [(words, [swapped(f) for f in frames]) for words, frames in work]
    results = judge.run_programs(given, BUFFER_SIZE, little=little)
    return results if little else [[swapped(f) for f in frames] for frames in results]


def run_oracle(words: Sequence[int], frame: bytes, *, little: bool, wide: bool = True) -> bytes:
    """What the oracle leaves."""
    size = len(frame) - BLOCK_SIZE
    cpu = load_oracle(unpack(frame, "<", size), little=little, wide=wide)
    cpu._memory = bytearray(frame[BLOCK_SIZE:].ljust(0x1000, b"\0"))
    cpu.msr = cpu.msr | MSR_FE
    fault, nip = "", 0
    try:
        while CODE <= cpu._pc < CODE + 4 * len(words):
            n = (cpu._pc - CODE) // 4
            cpu.execute(*words[n : n + (2 if words[n] >> 26 == 1 else 1)])
    except Interrupt as interrupt:
        fault, nip = INTERRUPT_SIGNALS.get(interrupt.kind, interrupt.kind), cpu._pc
    state = save_oracle(cpu, fault)
    state.memory = state.memory[:size]
    made = bytearray(pack(state, "<", size))
    struct.pack_into("<2Q", made, 8 * SIGNAL_AT, _NUMBERS.get(fault, 99 if fault else 0), nip)
    return bytes(made)


class Engine:
    """A bench for one tier (a name of ``TIERS``) and mode.  Raises ValueError where there is no such tier."""

    def __init__(self, tier: str, *, little: bool = True, wide: bool = True) -> None:
        self.name, self.tier, self.little = tier, TIERS[tier], little
        self.cases = Cases(tier="units" if self.tier.units else "interpreter")
        if not self.tier.start(self.cases.bench):
            raise ValueError(f"no tier {tier} here")
        self.msr = MSR | MSR_FE | SF * wide | LE * little
        self.cases._map_buffer(0x1000)
        self.installed = 0  #: programs that ran in the tier
        self.bench, self.state = self.cases.bench, self.cases.state

    def close(self) -> None:
        """Stop the engine."""
        self.bench.close()

    def run(self, words: Sequence[int], frames: Sequence[bytes]) -> list[bytes] | None:
        """What a program leaves of each frame; None if the tier takes nothing of it."""
        self.bench.put_code(CODE, [*words, *[SC1] * 8], little=self.little)
        with watchdog(self.bench):
            if self.name != "interpreter":  # it must have run before there is something to compile
                for frame in frames:
                    self._run(frame)
            if not self.tier.install(self.bench, CODE):
                return None
            self.installed += 1
            return [self._run(frame) for frame in frames]

    def _run(self, frame: bytes) -> bytes:
        size = len(frame) - BLOCK_SIZE
        self._load(frame)
        self.bench.engine.code.run(self.state.address, self.bench.engine.code.base)
        if self.state.get("exit_reason") != layout.EXIT_HCALL:
            raise RuntimeError(f"exit {self.state.get('exit_reason')} at {self.state.get('pc'):#x}")
        return self._save(size)

    def _load(self, frame: bytes) -> None:
        state, cases = self.state, self.cases
        state.bytes[: len(cases.template)] = cases.template
        block = array("Q", frame[:BLOCK_SIZE])
        state.bytes[_GPR : _GPR + 256] = frame[:256]
        vsr = block[42:]
        vsr[0::2], vsr[1::2] = vsr[1::2], vsr[0::2]
        state.bytes[_VSR : _VSR + 1024] = vsr.tobytes()
        self.bench.cpu.set_reg("cr", block[32])
        for name, shift in XER_BITS.items():
            state.set(name, block[33] >> shift & 1)
        state.set("xer_low", block[33] & 0xFFFFFFFF & ~XER_FLAGS)
        for n, name in enumerate(_SCALARS):
            state.set(name, block[34 + n])
        state.set("msr", self.msr)
        state.set("fscr", FSCR)
        state.set("pc", CODE)
        self.bench.memory.write(PAGES[0], frame[BLOCK_SIZE:].ljust(0x1000, b"\0"))

    def _save(self, size: int) -> bytes:
        state = self.state
        vsr = array("Q", state.bytes[_VSR : _VSR + 1024].tobytes())
        vsr[0::2], vsr[1::2] = vsr[1::2], vsr[0::2]
        xer = state.get("xer_low") | sum(state.get(n) << shift for n, shift in XER_BITS.items())
        signal = self.cases.fault()
        nip = state.get("srr0") if signal else 0
        scalars = [state.get(n) for n in _SCALARS]
        number = _NUMBERS.get(signal, 99 if signal else 0)
        middle = struct.pack("<10Q", self.bench.cpu.get_reg("cr"), xer, *scalars, number, nip, 0)
        memory = self.bench.memory.read(PAGES[0], size)
        return state.bytes[_GPR : _GPR + 256].tobytes() + middle + vsr.tobytes() + memory
