# SPDX-License-Identifier: GPL-2.0-only
"""A case: instruction words and the problem state before them; and how ``driver.s`` lays a state out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

#: where the memory buffer of a case lies, and its size
BUFFER = 0x20000000
BUFFER_SIZE = 4096
#: where the instruction words of a case lie (so that branch targets can be given in LR and CTR)
CODE = 0x3000
CODE_WORDS = 64
NOP = 0x60000000

SIGNALS = {4: "SIGILL", 5: "SIGTRAP", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
XER_BITS = {"so": 31, "ov": 30, "ca": 29, "ov32": 19, "ca32": 18}
XER_FLAGS = sum(1 << n for n in XER_BITS.values())
BLOCK_SIZE = 1360  #: of a state as ``driver.s`` has it
_HEAD = "32Q10Q"  # gpr; cr xer lr ctr fpscr vscr tar signal nip spare
_SCALARS = ("cr", "xer", "lr", "ctr", "fpscr", "vscr", "tar")


@dataclass(slots=True)
class State:
    """Problem state before or after a case.

    ``vsr`` are 128-bit integers, element 0 most significant; VR n is ``vsr[32 + n]``, FPR n the upper
    half of ``vsr[n]``.  ``memory`` is the buffer at ``BUFFER`` (at most ``BUFFER_SIZE`` bytes), ``fault``
    the signal that Linux would send, "" for none.
    """

    gpr: list[int] = field(default_factory=lambda: [0] * 32)
    vsr: list[int] = field(default_factory=lambda: [0] * 64)
    cr: int = 0
    xer: int = 0
    lr: int = 0
    ctr: int = 0
    fpscr: int = 0
    vscr: int = 0
    tar: int = 0
    memory: bytes = b""
    fault: str = ""

    def __repr__(self) -> str:
        """Only what is not zero, as an expression that makes the state again."""
        parts = []
        for name in ("gpr", "vsr"):
            values = getattr(self, name)
            if any(values):
                shown = ", ".join(f"{n}: {v:#x}" for n, v in enumerate(values) if v)
                parts.append(f"{name}=registers({{{shown}}}, {len(values)})")
        parts += [f"{n}={getattr(self, n):#x}" for n in _SCALARS if getattr(self, n)]
        if self.memory:
            shown = self.memory.rstrip(b"\0").hex()
            parts.append(f"memory=bytes.fromhex({shown!r}).ljust({len(self.memory)}, bytes(1))")
        if self.fault:
            parts.append(f"fault={self.fault!r}")
        return f"State({', '.join(parts)})"


def registers(values: dict[int, int], count: int = 32) -> list[int]:
    """A register file that is zero except for ``values``."""
    return [values.get(n, 0) for n in range(count)]


@dataclass(slots=True)
class Case:
    """Instruction words (at ``CODE``) and the state before them."""

    words: Sequence[int]
    before: State
    name: str = ""

    def __repr__(self) -> str:
        words = ", ".join(f"{w:#010x}" for w in self.words)
        return f"Case(({words},), {self.before!r}, {self.name!r})"


def pack(state: State, order: str, size: int) -> bytes:
    """The state block of ``driver.s`` and a buffer of ``size`` bytes; ``order``: ``<`` or ``>``."""
    halves = [h for v in state.vsr for h in (v >> 64, v & 0xFFFFFFFFFFFFFFFF)]
    scalars = [getattr(state, n) for n in _SCALARS]
    block = struct.pack(f"{order}{_HEAD}128Q", *state.gpr, *scalars, 0, 0, 0, *halves)
    return block + state.memory.ljust(size, b"\0")


def unpack(data: bytes, order: str, size: int) -> State:
    """What :func:`pack` laid out, with the signal that ended the case; ``size`` bytes of the buffer."""
    head = struct.calcsize(order + _HEAD)
    values = struct.unpack_from(order + _HEAD, data)
    halves = struct.unpack_from(f"{order}128Q", data, head)
    vsr = [halves[n] << 64 | halves[n + 1] for n in range(0, 128, 2)]
    memory = data[head + 1024 :][:size]
    scalars = dict(zip(_SCALARS, values[32:], strict=False))
    return State(list(values[:32]), vsr, **scalars, memory=memory, fault=SIGNALS.get(values[39], ""))
