# SPDX-License-Identifier: GPL-2.0-only
"""Relocations of arm64 objects: instructions as the Arm manual has them, and linked code that runs."""

from __future__ import annotations

import platform
import struct
import subprocess
from pathlib import Path

import llvmlite.binding as llvm
import pytest
from tests.cpu.arm64 import code_generator, emitted
from tests.isa.judge import installed

from lpar.cpu import relocate
from lpar.cpu.arena import lay_out
from lpar.cpu.linker import Image
from lpar.cpu.relocate import AARCH64, LoadError
from lpar.testing.elf import ElfFile, Load

START = 0x10000 + 64 + 56  #: where programs are loaded: in memory as in the file, behind two headers
IMAGE = 0x11000  #: where they have what was linked
PREL32, LO21, HI21, ADD, LDST8, JUMP26, CALL26, LDST16, LDST32, LDST64, LDST128 = (
    261, 274, 275, 277, 278, 282, 283, 284, 285, 286, 299,
)  # fmt: skip

#: type, instruction, its offset, the target's, what it becomes
CASES = [
    (CALL26, 0x94000000, 0x100, 0x108, 0x94000002),  # bl .+8
    (JUMP26, 0x14000000, 0x100, 0xFC, 0x17FFFFFF),  # b .-4
    (JUMP26, 0x14000000, 0, (1 << 27) - 4, 0x15FFFFFF),  # as far as it goes
    (LO21, 0x10000000, 0, 4, 0x10000020),  # adr x0, .+4
    (LO21, 0x10000000, 4, 1, 0x30FFFFE0),  # adr x0, .-3
    (HI21, 0x90000008, 0xFFC, 0x1000, 0xB0000008),  # adrp x8, .+1 page
    (HI21, 0x90000008, 0x1000, 0xFFF, 0xF0FFFFE8),  # adrp x8, .-1 page
    (ADD, 0x91000000, 0, 0x5010, 0x91004000),  # add x0, x0, #0x10
    (LDST8, 0x39400000, 0, 0x1FFF, 0x397FFC00),  # ldrb w0, [x0, #0xfff]
    (LDST16, 0x79400000, 0, 0x1FFE, 0x795FFC00),  # ldrh w0, [x0, #0xffe]
    (LDST32, 0xB9400000, 0, 0x8, 0xB9400800),  # ldr w0, [x0, #8]
    (LDST64, 0xF9400000, 0, 0x3008, 0xF9400400),  # ldr x0, [x0, #8]
    (LDST128, 0x3DC00100, 0, 0x20, 0x3DC00900),  # ldr q0, [x8, #0x20]
    (PREL32, 0, 0x10, 0x8, 0xFFFFFFF8),
]


@pytest.mark.parametrize(("kind", "before", "where", "target", "after"), CASES)
def test_instructions(kind: int, before: int, where: int, target: int, after: int) -> None:
    image = bytearray(0x1004)
    struct.pack_into("<I", image, where, before)
    relocate.patches(AARCH64)[kind](image, where, target)
    assert hex(struct.unpack_from("<I", image, where)[0]) == hex(after)
    struct.pack_into("<I", image, where, 0)
    assert not any(image)


@pytest.mark.parametrize(
    ("kind", "target"),
    [(CALL26, 1 << 27), (CALL26, -(1 << 27) - 4), (JUMP26, 2), (LO21, 1 << 20), (HI21, 1 << 32), (LDST64, 4)],
)
def test_out_of_reach(kind: int, target: int) -> None:
    with pytest.raises(LoadError):
        relocate.patches(AARCH64)[kind](bytearray(8), 0, target)


def test_a_machine_of_others() -> None:
    with pytest.raises(LoadError, match="machine 243"):
        relocate.patches(243)


@pytest.fixture(scope="module")
def machine() -> llvm.TargetMachine:
    """A code generator."""
    return code_generator()


def compiled(machine: llvm.TargetMachine, text: str) -> bytes:
    """An object file."""
    head = f'target triple = "{machine.triple}"\ntarget datalayout = "{machine.target_data}"\n'
    return emitted(machine, head + text)


def status(image: bytes, entry: int, argument: int, directory: Path) -> int:
    """The exit status of a program that ends with what the function at ``entry`` makes of its argument."""
    distance = (IMAGE + entry - (START + 4)) >> 2
    start = struct.pack(
        "<4I",
        0xD2800000 | argument << 5,  # mov x0, argument
        0x94000000 | distance & (1 << 26) - 1,  # bl
        0xD2800BA8,  # mov x8, 93: exit
        0xD4000001,  # svc 0
    )
    loads = [Load(start.ljust(IMAGE - START, b"\0") + image, START)]
    program = directory / "program"
    program.write_bytes(ElfFile(loads, entry=START, machine=AARCH64, big_endian=False).build())
    program.chmod(0o755)
    emulator = [] if platform.machine() == "aarch64" else [installed("qemu-aarch64-static")]
    return subprocess.run([*emulator, program], timeout=60).returncode


#: a call and a tail call of another object, a constant by its address and two by their low bits, a C function
CALLER = """
declare i64 @other(i64)
declare preserve_nonecc void @onward(ptr, i64)
declare i64 @getpid()
@table = private constant [4 x i16] [i16 3, i16 5, i16 7, i16 11]
define preserve_nonecc void @handler(ptr %s, i64 %x) nounwind {
  musttail call preserve_nonecc void @onward(ptr %s, i64 %x)
  ret void
}
define i64 @main(i64 %n) nounwind {
  %s = alloca [2 x i64], align 16
  store <2 x i64> <i64 1000, i64 17>, ptr %s, align 16
  %at = getelementptr i16, ptr @table, i64 %n
  %value = load i16, ptr %at
  %wide = zext i16 %value to i64
  %called = call i64 @other(i64 %wide)
  call preserve_nonecc void @handler(ptr %s, i64 %called)
  %second = getelementptr i64, ptr %s, i64 1
  %sum = load i64, ptr %second
  %pid = call i64 @getpid()
  %result = add i64 %sum, %pid
  ret i64 %result
}
"""
CALLED = """
@factor = private constant i64 9
define i64 @other(i64 %x) nounwind noinline {
  %f = load volatile i64, ptr @factor
  %y = mul i64 %x, %f
  ret i64 %y
}
define preserve_nonecc void @onward(ptr %s, i64 %x) nounwind {
  %second = getelementptr i64, ptr %s, i64 1
  %old = load i64, ptr %second
  %new = add i64 %old, %x
  store i64 %new, ptr %second
  ret void
}
"""
FOUR = "define i64 @four() nounwind {\n  ret i64 4\n}"


def test_linked_code_runs(machine: llvm.TargetMachine, tmp_path: Path) -> None:
    """Table, call, tail call, and a function of the C library: one of ours that gives 4 stands for it."""
    image = Image()
    image.add([compiled(machine, text) for text in (CALLER, CALLED, FOUR)])
    assert list(image.slots) == ["getpid"]
    code = bytearray(image.code)
    struct.pack_into("<Q", code, image.slots["getpid"], IMAGE + image.symbols["four"])
    for n, value in enumerate((3, 5, 7, 11)):
        assert status(bytes(code), image.symbols["main"], n, tmp_path) == 17 + 9 * value + 4


def test_a_region_runs(machine: llvm.TargetMachine, tmp_path: Path) -> None:
    """One function and its constants; it names nothing from outside."""
    text = """
@table = private constant [3 x i64] [i64 30, i64 31, i64 70]
define i64 @region(i64 %n) nounwind {
  %at = getelementptr i64, ptr @table, i64 %n
  %value = load i64, ptr %at
  ret i64 %value
}
"""
    image, start = lay_out(compiled(machine, text))
    assert [status(image, start, n, tmp_path) for n in range(3)] == [30, 31, 70]
    with pytest.raises(LoadError, match="from outside"):
        lay_out(compiled(machine, CALLER))
