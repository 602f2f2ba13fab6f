# SPDX-License-Identifier: GPL-2.0-only
"""The instruction registry: one decorated function defines an instruction.

``@instruction("addi", 14)`` or ``@instruction("add{o}{.}", 31, 266, form="XO")``: the function's
parameters after ``cpu`` name its fields; its body is the semantics.  Everything else is derived:
decoder, interpreter handlers, disassembly, coverage table.

Forms give where the extended opcode sits; remaining bits that belong to no field and no opcode
are ignored unless ``reserved`` demands zeros.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lpar.isa.fields import FIELDS, Field, Kind

Body = Callable[..., None]

#: form -> bit range of the extended opcode in the word (Power ISA numbering, bit 0 first)
FORMS: dict[str, tuple[int, int] | None] = {
    "D": None,
    "B": None,
    "I": None,
    "SC": (30, 31),
    "DS": (30, 31),
    "DQ": (29, 31),
    "X": (21, 30),
    "XO": (22, 30),
    "XL": (21, 30),
    "XFX": (21, 30),
    "XFL": (21, 30),
    "A": (26, 30),
    "M": None,
    "MD": (27, 29),
    "MDS": (27, 30),
    "XS": (21, 29),
    "DX": (26, 30),
    "VX": (21, 31),
    "VA": (26, 31),
    "VC": (22, 31),
    "XX1": (21, 30),
    "XX2": (21, 29),
    "XX3": (21, 28),
    "XX3C": (22, 28),  # compare with record bit at 21
    "XX4": (26, 27),
    "Z22": (22, 30),
    "Z23": (23, 30),
    "DQP": (28, 31),
    "X32": (21, 31),  # X-form whose bit 31 is part of the opcode
    "EVX": (21, 31),
    "XFULL": (6, 31),
}


#: form of a prefixed instruction -> mask and value of its prefix word (Book I, section 1.6.3)
PREFIXES = {
    "8LS": (0xFF800000, 0x04000000),
    "8RR": (0xFFF00000, 0x05000000),
    "MLS": (0xFF800000, 0x06000000),
    "MRR": (0xFFF00000, 0x07000000),
    "MMIRR": (0xFFF00000, 0x07900000),
}


@dataclass(slots=True)
class Instruction:
    """One instruction: its opcode match, its fields, its semantics.

    ``mask`` and ``value`` are of the 32-bit word, for a prefixed instruction of its suffix; ``prefix`` has
    those of the prefix.  Fields are taken from ``prefix << 32 | suffix``: bit p of the prefix is their
    position p - 32.
    """

    name: str
    mask: int
    value: int
    fields: tuple[Field, ...]
    body: Body
    needs: tuple[str, ...] = ()
    since: str = "2.07"
    static_values: dict[str, tuple[int, ...]] = field(default_factory=dict)
    prefix: tuple[int, int] | None = None

    @property
    def static_fields(self) -> tuple[Field, ...]:
        """Fields of which each value gets a handler of its own."""
        return tuple(f for f in self.fields if f.kind is Kind.STATIC)

    def matches(self, word: int) -> bool:
        """Whether ``word`` (or prefix << 32 | suffix) is this instruction (static values included)."""
        mask, value = self.prefix or (0xFFFFFFFF, 0)
        if word & self.mask != self.value or word >> 32 & mask != value:
            return False
        return all(FIELDS[n].extract(word) in values for n, values in self.static_values.items())


INSTRUCTIONS: list[Instruction] = []


def _bits(first: int, last: int, value: int) -> tuple[int, int]:
    width = last - first + 1
    if value >> width:
        raise ValueError(f"{value} does not fit bits {first}:{last}")
    mask = ((1 << width) - 1) << (31 - last)
    return mask, value << (31 - last)


def instruction(
    name: str,
    opcd: int,
    xo: int | None = None,
    *,
    form: str = "D",
    needs: str = "",
    since: str = "2.07",
    fixed: dict[tuple[int, int], int] | None = None,
    static: Mapping[str, Iterable[int]] | None = None,
    prefix: str | None = None,
) -> Callable[[Body], Body]:
    """Register an instruction.

    ``name``: the mnemonic, ``{.}`` and ``{o}`` where Rc and OE extend it.  ``opcd``, ``xo``, ``form``:
    primary and extended opcode.  ``fixed``: further bits that must have a value, ``{(first, last): value}``.
    ``needs``: facilities that MSR must enable: any of FP VEC VSX PRIV HV (PRIV: privileged, HV:
    hypervisor privileged).  ``static``: for a static field the values for which this definition exists.
    ``since``: the first ISA version (2.07, 3.0, 3.1); older CPU models refuse it.  ``prefix``: a form of
    ``PREFIXES``; ``opcd``, ``xo``, ``form`` and ``fixed`` then describe the suffix.
    """

    def register(body: Body) -> Body:
        mask, value = _bits(0, 5, opcd)
        span = FORMS[form]
        parts = dict(fixed or {})
        if span is not None:
            if xo is None:
                raise ValueError(f"{name}: form {form} has an extended opcode")
            parts[span] = xo
        for (first, last), bits in parts.items():
            m, v = _bits(first, last, bits)
            mask, value = mask | m, value | v
        names = list(inspect.signature(body).parameters)[1:]
        fields = tuple(FIELDS[n] for n in names)
        static_values = {k: tuple(v) for k, v in (static or {}).items()}
        INSTRUCTIONS.append(
            Instruction(
                name,
                mask,
                value,
                fields,
                body,
                tuple(needs.split()),
                since,
                static_values,
                PREFIXES[prefix] if prefix else None,
            )
        )
        return body

    return register


def field_value(f: Field, word: int) -> Any:
    """What a body receives for ``f`` when ``word`` is known: Bits for immediates, else an int."""
    from lpar.isa.values import Bits

    raw = f.extract(word)
    return Bits(raw, 64) if f.kind is Kind.IMM else raw
