# SPDX-License-Identifier: GPL-2.0-only
"""What a vCPU is at, for people: registers, the code around, the call chain on its stack.

Addresses are found in real mode, and in Linux's linear mapping (0xc..., whose low 60 bits are the
real address); a guest's other mappings are not walked.
"""

from __future__ import annotations

from collections.abc import Iterator

from lpar.accel.protocol import Vcpu
from lpar.errors import GuestError
from lpar.host.memory import GuestMemory
from lpar.papr.numbers import MSR_LE

BEFORE, AFTER = 4, 4  #: instructions shown before and behind the one that is next
FRAMES = 16
_REAL = (1 << 60) - 1
_SPECIAL = ("pc", "msr", "lr", "ctr", "xer", "cr", "srr0", "srr1", "sprg0", "sprg1", "sprg3", "lpcr", "pvr")


def registers(vcpu: Vcpu, memory: GuestMemory) -> str:
    """Several lines.  The vCPU must not be running."""
    values = {name: value for name in _SPECIAL if (value := _register(vcpu, name)) is not None}
    lines = [f"vCPU {vcpu.index}:"]
    lines += _table(values)
    lines += _table({f"r{n}": vcpu.get_reg(f"r{n}") for n in range(32)})
    order = "little" if values["msr"] & MSR_LE else "big"
    lines += ["code:", *_code(memory, values["pc"], order)]
    lines += ["stack:", *_stack(memory, vcpu.get_reg("r1"), order)]
    return "\n".join(lines)


def _register(vcpu: Vcpu, name: str) -> int | None:
    try:
        return vcpu.get_reg(name)
    except KeyError:
        return None


def _table(values: dict[str, int]) -> Iterator[str]:
    """Four registers in a line."""
    words = [f"{name:>5} {value:016x}" for name, value in values.items()]
    for at in range(0, len(words), 4):
        yield "  " + " ".join(words[at : at + 4])


def _read(memory: GuestMemory, address: int, size: int, order: str) -> int | None:
    try:
        data = memory.read(address & _REAL, size)
    except GuestError:
        return None
    return int.from_bytes(data, "little" if order == "little" else "big")


def _code(memory: GuestMemory, pc: int, order: str) -> Iterator[str]:
    from lpar.isa.disassemble import disassemble  # seldom needed, and the instructions are many

    for address in range(pc - 4 * BEFORE, pc + 4 * (AFTER + 1), 4):
        word = _read(memory, address, 4, order)
        if word is None:
            continue
        mark = ">" if address == pc else " "
        suffix = _read(memory, address + 4, 4, order)
        yield f" {mark} {address:016x}  {word:08x}  {disassemble(word, suffix)}"


def _stack(memory: GuestMemory, pointer: int, order: str) -> Iterator[str]:
    """The back chain (ELF ABI): at r1 the caller's frame, in that at 16 where it goes on."""
    for _ in range(FRAMES):
        caller = _read(memory, pointer, 8, order)
        if caller is None or caller <= pointer:
            return
        saved = _read(memory, caller + 16, 8, order)
        yield f"   {caller:016x}  returns to {saved or 0:016x}"
        pointer = caller
