# SPDX-License-Identifier: GPL-2.0-only
"""Handlers from instruction definitions: variants, tracing, and the decode table.

A definition becomes one handler for each combination of its static fields' values (and of ``RA0`` zero or
not), each in up to three flavours: ``f`` fast, ``n`` fast with a branch inside the page, ``s`` slow (any
mode).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lpar.cpu.handler_cpu import HANDLER_ARGS, HandlerCpu
from lpar.cpu.ir import Function, IrBits, Module, constant
from lpar.cpu.native_decode import MASK_KIND
from lpar.cpu.staging import Done
from lpar.isa.fields import Field, Kind
from lpar.isa.registry import INSTRUCTIONS, Instruction

#: primary opcodes -> decode kind (native_decode.is_near): I-form and B-form branches, which may stay in their
#: page; rlwinm, whose mask may wrap around
RELATIVE = {18: 1, 16: 2}
MASKED = {21: MASK_KIND}
ISA_LEVEL = {"2.07": 207, "3.0": 300, "3.1": 310}


@dataclass(slots=True)
class Variant:
    """One (definition, static values) pair: what it matches and its handlers' symbols.

    ``mask`` and ``value`` are of the word, for a prefixed instruction of ``prefix << 32 | suffix``.
    """

    instruction: Instruction
    statics: dict[str, int]
    mask: int
    value: int
    name: str
    kind: int
    isa: int
    fast: str = ""
    near: str = ""
    slow: str = ""


def _choices(f: Field, definition: Instruction) -> list[int | None]:
    if f.name == "RA0":
        return [0] if definition.mask & f.mask == f.mask else [0, None]
    if f.name in definition.static_values:
        return list(definition.static_values[f.name])
    return list(range(1 << f.width))


def variants(index: int, definition: Instruction) -> Iterator[Variant]:
    """All variants of the definition numbered ``index``."""
    fields = [f for f in definition.fields if f.kind is Kind.STATIC or f.name == "RA0"]
    for combo in itertools.product(*(_choices(f, definition) for f in fields)):
        prefix_mask, prefix_value = definition.prefix or (0, 0)
        mask, value = prefix_mask << 32 | definition.mask, prefix_value << 32 | definition.value
        statics = {}
        for f, choice in zip(fields, combo, strict=True):
            if choice is None:
                continue
            statics[f.name] = choice
            mask |= f.mask
            value |= f.insert(choice)
        if value & definition.mask != definition.value:
            continue
        tail = "_".join(f"{n}{v}" for n, v in statics.items())
        name = f"h{index}_{tail}" if tail else f"h{index}"
        kind = (RELATIVE | MASKED).get(definition.value >> 26, 0) if not statics.get("AA") else 0
        yield Variant(definition, statics, mask, value, name, kind, ISA_LEVEL[definition.since])


def title(variant: Variant) -> str:
    """A name that stays when other instructions come and go: ``bc{l}{a} BOC=4 AA=0 LK=0``."""
    return " ".join([variant.instruction.name, *(f"{n}={v}" for n, v in variant.statics.items())])


def all_variants() -> list[Variant]:
    """The variants of every registered instruction."""
    return [v for i, d in enumerate(INSTRUCTIONS) for v in variants(i, d)]


def _dynamic(f: Function, field: Field, word: IrBits) -> IrBits:
    """A field's value from the instruction (prefix << 32 | suffix) at run time, 64 bits."""
    if len(field.ranges) == 1:
        first, last = field.ranges[0]
        width = last - first + 1
        if field.signed:
            value = (word << (32 + first)).sar(64 - width)
            return value << field.scale
        value = (word >> (31 - last)) & ((1 << width) - 1)
        return _numbered(value << field.scale, field)
    result = constant(f, 0, 64)
    for first, last in field.ranges:
        width = last - first + 1
        part = (word >> (31 - last)) & ((1 << width) - 1)
        result = (result << width) | part
    if field.signed:
        result = (result << (64 - field.width)).sar(64 - field.width)
    return _numbered(result << field.scale, field)


def _numbered(value: IrBits, field: Field) -> IrBits:
    """A register number that follows from the one in the word (``Field.plus``)."""
    return (value + field.plus) & ((1 << (field.width + field.scale)) - 1) if field.plus else value


def arguments(cpu: HandlerCpu, variant: Variant) -> list[Any]:
    """What a variant's body takes: static values, and the fields of the instruction word."""
    out: list[Any] = []
    word = cpu.instruction() if len(variant.statics) < len(variant.instruction.fields) else cpu.word
    for field in variant.instruction.fields:
        if field.name in variant.statics:
            out.append(variant.statics[field.name])
        else:
            out.append(_dynamic(cpu.f, field, word))
    return out


def trace(module: Module, variant: Variant, flavour: str, words: bool = True) -> HandlerCpu:
    """Define one handler; what it uses is in the ``cpu`` it was traced with."""
    name = f"{variant.name}{flavour}"
    f = Function(f"define ghccc void @{name}({HANDLER_ARGS}) nounwind", module)
    cpu = HandlerCpu(
        f,
        fast=flavour != "s",
        near=flavour == "n",
        slow_symbol=variant.name + "s",
        prefixed=variant.instruction.prefix is not None,
        words=words,
    )
    try:
        trace_body(cpu, variant)
    except Exception as error:
        raise type(error)(f"{variant.instruction.name} {variant.statics}: {error}") from error
    module.define("@" + name, f.text())
    return cpu


def trace_body(cpu: HandlerCpu, variant: Variant) -> None:
    """Trace an instruction from the check of its facilities to what follows it."""
    try:
        cpu.require(variant.instruction.needs)
        cpu.rt.call(variant.instruction.body, cpu, *arguments(cpu, variant))
        cpu.next()
    except Done:
        pass


def trace_variant(module: Module, slow: Module, variant: Variant) -> None:
    """Define all handlers of a variant, its slow twin in a module of its own, and note their symbols."""
    uses_mode = trace(module, variant, "f").mode_used
    variant.fast = variant.near = variant.slow = variant.name + "f"
    if variant.kind in RELATIVE.values():
        trace(module, variant, "n")
        variant.near = variant.name + "n"
    if uses_mode:
        trace(slow, variant, "s")
        variant.slow = variant.name + "s"


def trace_special(module: Module, name: str, body: Any, words: bool) -> set[str]:
    """Define a handler that belongs to no instruction; gives what it uses."""
    f = Function(f"define ghccc void @{name}({HANDLER_ARGS}) nounwind noinline", module)
    cpu = HandlerCpu(f, fast=False, near=False, slow_symbol=name, words=words)
    try:
        cpu.rt.call(body, cpu)
        raise AssertionError(f"{name} does not end")
    except Done:
        pass
    module.define("@" + name, f.text())
    return set(cpu.used)
