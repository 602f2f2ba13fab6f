# SPDX-License-Identifier: GPL-2.0-only
"""Atomic memory operations (ISA 3.0 Book II, section 4.5).

Functions 0 to 8 are single read-modify-writes; the others look at a second value and are made of a load and
reserve and a store conditional, thus end a reservation of the program.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import select

#: function code -> name of ``cpu.atomic``
LOAD_FUNCTIONS = ("add", "xor", "or", "and", "umax", "smax", "umin", "smin", "xchg")
STORE_FUNCTIONS = LOAD_FUNCTIONS[:8]
SWAP_NOT_EQUAL, INCREMENT_BOUNDED, INCREMENT_EQUAL, DECREMENT_BOUNDED, STORE_TWIN = 16, 24, 25, 28, 24
COUNTING = (INCREMENT_BOUNDED, INCREMENT_EQUAL, DECREMENT_BOUNDED)
Opcode = tuple[str, int, int]
BAD_FUNCTION = 1 << 18  #: DSISR: no such function code


@instruction("lwat", 31, 582, form="X", since="3.0", static={"FC": range(9)})
def lwat(cpu: Any, RT: Any, RT1: Any, RA: Any, FC: int) -> None:
    cpu.gpr[RT] = cpu.atomic(LOAD_FUNCTIONS[FC], cpu.gpr[RA], cpu.gpr[RT1].trunc(32)).zext(64)


@instruction("ldat", 31, 614, form="X", since="3.0", static={"FC": range(9)})
def ldat(cpu: Any, RT: Any, RT1: Any, RA: Any, FC: int) -> None:
    cpu.gpr[RT] = cpu.atomic(LOAD_FUNCTIONS[FC], cpu.gpr[RA], cpu.gpr[RT1])


@instruction("stwat", 31, 710, form="X", since="3.0", static={"FC": range(8)})
def stwat(cpu: Any, RS: Any, RA: Any, FC: int) -> None:
    cpu.atomic(STORE_FUNCTIONS[FC], cpu.gpr[RA], cpu.gpr[RS].trunc(32))


@instruction("stdat", 31, 742, form="X", since="3.0", static={"FC": range(8)})
def stdat(cpu: Any, RS: Any, RA: Any, FC: int) -> None:
    cpu.atomic(STORE_FUNCTIONS[FC], cpu.gpr[RA], cpu.gpr[RS])


# -- with a second value ---------------------------------------------------------------------------------


def swap_not_equal(cpu: Any, ea: Any, size: int, expected: Any, new: Any) -> Any:
    """Store ``new`` unless storage holds ``expected``; gives the old value."""
    old, stored = cpu.const(0, 8 * size), cpu.const(0, 1)
    while not stored:
        old = cpu.load_reserve(ea, size)
        stored = cpu.store_conditional(ea, select(old != expected, new, old))
    return old


def count(cpu: Any, ea: Any, size: int, FC: int) -> Any:
    """Add to storage as its neighbour permits; the old value, or the most negative where it does not."""
    neighbour = ea - size if FC == DECREMENT_BOUNDED else ea + size
    step = -1 if FC == DECREMENT_BOUNDED else 1
    old, stored, counts = cpu.const(0, 8 * size), cpu.const(0, 1), cpu.const(0, 1)
    while not stored:
        old = cpu.load_reserve(ea, size)
        bound = cpu.load(neighbour, size)
        counts = old == bound if FC == INCREMENT_EQUAL else old != bound
        stored = cpu.store_conditional(ea, select(counts, old + step, old))
    return select(counts, old, 1 << (8 * size - 1))


def store_twin(cpu: Any, ea: Any, size: int, value: Any) -> None:
    """Store into both of two neighbours if they are equal."""
    stored = cpu.const(0, 1)
    while not stored:
        old = cpu.load_reserve(ea, size)
        equal = old == cpu.load(ea + size, size)
        stored = cpu.store_conditional(ea, select(equal, value, old))
        if stored & equal:
            cpu.store(ea + size, value)


def _second_value(size: int, load: Opcode, store: Opcode) -> None:
    """What ``load`` and ``store`` (name, primary and extended opcode) do with operands of ``size`` bytes."""

    @instruction(*load, form="X", since="3.0", static={"FC": (SWAP_NOT_EQUAL,)})
    def swap(cpu: Any, RT: Any, RT1: Any, RT2: Any, RA: Any, FC: int) -> None:
        expected, new = cpu.gpr[RT1].trunc(8 * size), cpu.gpr[RT2].trunc(8 * size)
        cpu.gpr[RT] = swap_not_equal(cpu, cpu.gpr[RA], size, expected, new).zext(64)

    @instruction(*load, form="X", since="3.0", static={"FC": COUNTING})
    def counting(cpu: Any, RT: Any, RA: Any, FC: int) -> None:
        cpu.gpr[RT] = count(cpu, cpu.gpr[RA], size, FC).zext(64)

    @instruction(*store, form="X", since="3.0", static={"FC": (STORE_TWIN,)})
    def twin(cpu: Any, RS: Any, RA: Any, FC: int) -> None:
        store_twin(cpu, cpu.gpr[RA], size, cpu.gpr[RS].trunc(8 * size))

    for either in (load, store):
        _no_function(either)


def _no_function(name: Opcode) -> None:
    @instruction(*name, form="X", since="3.0")
    def no_such_function(cpu: Any, RA: Any) -> None:
        """The function codes without a definition of their own."""
        cpu.data_storage(cpu.gpr[RA], BAD_FUNCTION)


_second_value(4, ("lwat", 31, 582), ("stwat", 31, 710))
_second_value(8, ("ldat", 31, 614), ("stdat", 31, 742))
