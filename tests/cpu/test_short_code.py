# SPDX-License-Identifier: GPL-2.0-only
"""Stencils address general registers by one byte (lpar.cpu.short_code)."""

from __future__ import annotations

import platform
import struct

import pytest

from lpar.cpu import builder, compiler, handlers, stencil
from lpar.cpu.arena import SHT_RELA, read_sections
from lpar.cpu.holes import Node
from lpar.cpu.ir import Module
from lpar.cpu.short_code import shorten

FIELD: Node = ("and", 64, 64, ("lshr", 64, 64, ("word",), ("const", 21)), ("const", 31))
REGISTER: Node = ("add", 64, 64, ("mul", 64, 64, FIELD, ("const", 8)), ("const", (1 << 64) - 128))
HOLES = {"v0": REGISTER, "v1": FIELD, "v2": ("word",)}
R_X86_64_8 = 14


@pytest.mark.parametrize(
    ("line", "short", "behind"),
    [
        ("\tmovq\tv0(%r13), %rax", "\tmovq\t0(%r13), %rax", 1),
        ("\tmovl\t%ecx, v0+4(%r13)", "\tmovl\t%ecx, 0(%r13)", 1),
        ("\tmovq\t$v1, v0(%r13)", "\tmovq\t$v1, 0(%r13)", 5),
    ],
)
def test_short_addresses(line: str, short: str, behind: int) -> None:
    lines = list(shorten(line, HOLES))
    assert lines[0] == short
    assert f"-{behind}, R_X86_64_8, v0+" in lines[2]


@pytest.mark.parametrize(
    "line",
    [
        "\tmovq\tv2(%r13), %rax",  # anywhere
        "\tmovq\tv0+8(%r13), %rax",  # up to 128
        "\tcmpq\t$1, v0(%r13)",  # an immediate of unknown length behind it
        "\tvmovq\tv0(%r13), %xmm0",  # EVEX scales its displacements
        "\tmovq\tv0(%r13,%rcx), %rax",
        "\tmovq\t312(%r13), %rax",
    ],
)
def test_what_stays(line: str) -> None:
    assert list(shorten(line, HOLES)) == [line]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="stencils are for x86-64 hosts")
def test_assembled() -> None:
    """``add`` has three addresses of one byte: two loads and a store."""
    builder.import_definitions()
    add = next(v for v in handlers.all_variants() if handlers.title(v) == "add{o}{.} OE=0 Rc=0")
    module = Module("x86_64")
    stencil.trace_stencil(module, add, False)
    data = compiler.compile_module(module, compiler.Effort.STENCILS)
    kinds = [
        info & 0xFFFFFFFF
        for section in read_sections(data)
        if section.kind == SHT_RELA
        for _, info, _ in struct.iter_unpack("<QQq", data[section.offset : section.offset + section.size])
    ]
    assert kinds.count(R_X86_64_8) == 3
