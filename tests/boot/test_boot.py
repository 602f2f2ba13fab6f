# SPDX-License-Identifier: GPL-2.0-only
"""Layout and loading: who gets which addresses, what lands there, and every way it cannot fit."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpar.boot import COMMAND_LINE_SIZE, FDT_MAX_SIZE, RTAS_STUB, BootLayout, load, plan
from lpar.boot.layout import check_params
from lpar.errors import ConfigError, InternalError
from lpar.host.memory import GuestMemory
from lpar.testing.elf import ET_DYN, ElfFile, Load, elf, zimage

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
KERNELBASE = 0xC000000000000000
CODE = struct.pack(">I", 0x60000000) * 256
FDT = b"\xd0\x0d\xfe\xed" + bytes(60)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a kernel that takes 40 MiB (1 KiB of file), and an initrd of 100,000 bytes."""
    memsz = 40 * MIB
    kernel = ElfFile([Load(CODE, KERNELBASE, paddr=0, memsz=memsz)], entry=KERNELBASE).build()
    (tmp_path / "vmlinux").write_bytes(kernel)
    (tmp_path / "initrd").write_bytes(b"\x1f\x8b" + bytes(99_998))
    return tmp_path


def hole(path: Path, size: int) -> Path:
    """A file of ``size`` bytes that takes no space."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_addresses(files: Path) -> None:
    layout = plan(files / "vmlinux", files / "initrd", "console=hvc0", 2 * GIB)
    assert layout.describe() == [
        ("kernel", 0, 40 * MIB),
        ("initrd", 40 * MIB, 100_000),
        ("RTAS", GIB - MIB - 64 * KIB, 64 * KIB),
        ("device tree", GIB - MIB, MIB),
    ]
    assert layout.initrd_end == 40 * MIB + 100_000
    assert (layout.first_block, layout.params) == (GIB, "console=hvc0")


def test_all_ram_is_the_first_block_if_smaller(files: Path) -> None:
    layout = plan(files / "vmlinux", None, "", 512 * MIB)
    assert (layout.fdt_addr, layout.first_block) == (511 * MIB, 512 * MIB)
    assert (layout.initrd, layout.initrd_size) == (None, 0)


@pytest.mark.parametrize("block", [256 * MIB, 4 * GIB])
def test_first_block_of_the_machine(files: Path, block: int) -> None:
    layout = plan(files / "vmlinux", files / "initrd", "", 8 * GIB, first_block=block)
    assert layout.fdt_addr == min(block, 2 * GIB) - FDT_MAX_SIZE


def test_large_initrd_goes_behind_the_first_block(files: Path) -> None:
    layout = plan(files / "vmlinux", hole(files / "big", 1200 * MIB), "", 4 * GIB)
    assert layout.initrd_addr == GIB


def test_flat_kernel_keeps_room_for_its_bss(files: Path) -> None:
    (files / "flat").write_bytes(CODE)
    layout = plan(files / "flat", files / "initrd", "", 64 * MIB)
    assert layout.initrd_addr == 16 * MIB + 64 * KIB


def test_load(files: Path) -> None:
    layout = plan(files / "vmlinux", files / "initrd", "", 128 * MIB)
    with GuestMemory(128 * MIB) as memory:
        memory.fill(0, 128 * MIB // 64, 0xFF)  # what an earlier run left
        state = load(memory, layout, FDT)
        assert memory.read(0, len(CODE)) == CODE
        assert not any(memory.read(len(CODE), 2 * MIB))
        assert memory.read(layout.initrd_addr, 3) == b"\x1f\x8b\0"
        assert memory.read(layout.rtas_addr, 20) == RTAS_STUB
        assert memory.read(layout.fdt_addr, len(FDT)) == FDT
    assert (state.pc, state.msr) == (0, 0x8000000000001000)
    assert state.gprs == (0, 0, 0, layout.fdt_addr, *[0] * 28)


def test_load_et_dyn(tmp_path: Path) -> None:
    """At 4 MiB; r4 says so; and the first 256 bytes also at 0, where Linux does not copy them itself."""
    kernel = ElfFile([Load(CODE, KERNELBASE, paddr=0)], entry=KERNELBASE, e_type=ET_DYN).build()
    (tmp_path / "k").write_bytes(kernel)
    with GuestMemory(32 * MIB) as memory:
        state = load(memory, plan(tmp_path / "k", None, "", 32 * MIB), FDT)
        assert memory.read(4 * MIB, len(CODE)) == CODE
        assert memory.read(0, 0x108) == CODE[:0x100] + bytes(8)
    assert (state.pc, state.gprs[4]) == (4 * MIB, 4 * MIB)


def test_load_toc_of_a_function_descriptor(tmp_path: Path) -> None:
    loads = [Load(CODE, 0x10000), Load(struct.pack(">2Q", 0x10008, 0x28000), 0x20000, flags=6)]
    (tmp_path / "k").write_bytes(ElfFile(loads, entry=0x20000).build())
    with GuestMemory(32 * MIB) as memory:
        state = load(memory, plan(tmp_path / "k", None, "", 32 * MIB), FDT)
    assert (state.pc, state.gprs[2]) == (0x10008, 0x28000)


def test_attached_initrd_unless_one_is_given(files: Path) -> None:
    (files / "zImage").write_bytes(zimage(elf(CODE), b"attached"))
    attached = plan(files / "zImage", None, "", 64 * MIB)
    with GuestMemory(64 * MIB) as memory:
        load(memory, attached, FDT)
        assert memory.read(attached.initrd_addr, attached.initrd_size) == b"attached"
    assert plan(files / "zImage", files / "initrd", "", 64 * MIB).initrd_size == 100_000


def test_rtas_stub_is_the_reference_one() -> None:
    assert RTAS_STUB.hex() == "7c641b783c6000006063f000440000224e800020"


def refused(files: Path, ram: int, kernel: str = "vmlinux", initrd: str | None = "initrd") -> tuple[str, str]:
    """(message, hint) of the plan's error, the directory taken out."""
    with pytest.raises(ConfigError) as caught:
        plan(files / kernel, files / initrd if initrd else None, "", ram)
    assert "\n" not in caught.value.message
    return caught.value.message.replace(f"{files}/", ""), str(caught.value.hint)


def test_16m_is_too_small(files: Path) -> None:
    assert refused(files, 16 * MIB) == (
        "kernel vmlinux needs RAM up to 40.0 MiB, and firmware 1.1 MiB; there are 16.0 MiB",
        "give at least -m 64M",
    )


def test_ram_smaller_than_firmware(files: Path) -> None:
    (files / "tiny").write_bytes(elf(CODE))
    message, hint = refused(files, 512 * KIB, "tiny", None)
    assert message == "kernel tiny needs RAM up to 1.0 KiB, and firmware 1.1 MiB; there are 512.0 KiB"
    assert hint == "give at least -m 2M"


def test_kernel_overlaps_firmware(files: Path) -> None:
    message, hint = refused(files, 41 * MIB)
    assert message == (
        "kernel vmlinux overlaps RTAS and the device tree: it takes 0x0 to 0x2800000, they begin at 0x27f0000"
    )
    assert hint == "give at least -m 64M"


def test_program_linked_onto_firmware(files: Path) -> None:
    (files / "high").write_bytes(elf(CODE, GIB - 0x10000))
    message, hint = refused(files, 2 * GIB, "high")
    assert "it takes 0x3fff0000 to 0x3fff0400, they begin at 0x3fef0000" in message
    assert hint == "link the kernel to other addresses"


def test_initrd_larger_than_ram(files: Path) -> None:
    hole(files / "big", 300 * MIB)
    assert refused(files, 128 * MIB, initrd="big") == (
        "initrd big (300.0 MiB) is larger than RAM (128.0 MiB)",
        "give at least -m 512M",
    )


def test_initrd_does_not_fit(files: Path) -> None:
    hole(files / "big", 100 * MIB)
    assert refused(files, 128 * MIB, initrd="big") == (
        "initrd big (100.0 MiB) does not fit in RAM (128.0 MiB) behind the kernel, which ends at 40.0 MiB",
        "give at least -m 256M",
    )


def test_kernel_linked_beyond_any_ram(files: Path) -> None:
    (files / "far").write_bytes(elf(CODE, 1 << 50))
    message, hint = refused(files, GIB, "far")
    assert message.startswith("kernel far needs RAM up to 1.0 PiB")
    assert hint == "is the kernel linked for physical addresses that a partition has?"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "initrd {}: No such file or directory"),
        (Path.mkdir, "initrd {} is a directory"),
        (Path.touch, "initrd {} is empty"),
    ],
)
def test_wrong_initrd(files: Path, make: object, message: str) -> None:
    path = files / "other"
    assert callable(make)
    make(path)
    with pytest.raises(ConfigError) as caught:
        plan(files / "vmlinux", path, "", GIB)
    assert caught.value.message == message.format(path)
    assert caught.value.hint


def test_initrd_cut_between_plan_and_load(files: Path) -> None:
    layout = plan(files / "vmlinux", files / "initrd", "", 128 * MIB)
    (files / "initrd").write_bytes(b"short")
    with GuestMemory(128 * MIB) as memory, pytest.raises(ConfigError, match="changed while it was used"):
        load(memory, layout, FDT)


def test_command_line_length() -> None:
    check_params("x" * (COMMAND_LINE_SIZE - 1))
    with pytest.raises(ConfigError) as caught:
        check_params("x" * (COMMAND_LINE_SIZE - 2) + "é")
    assert caught.value.message == "the kernel command line takes 2049 bytes with its NUL, Linux takes 2048"
    with pytest.raises(ConfigError, match="NUL inside"):
        check_params("a\0b")


def test_too_long_command_line_is_refused_by_plan(files: Path) -> None:
    with pytest.raises(ConfigError, match="command line takes 2049 bytes"):
        plan(files / "vmlinux", None, "x" * 2048, GIB)


def test_device_tree_too_large(files: Path) -> None:
    layout = plan(files / "vmlinux", None, "", 128 * MIB)
    with GuestMemory(128 * MIB) as memory:
        with pytest.raises(ConfigError, match="device tree takes 1048577 bytes, there is room for 1048576"):
            load(memory, layout, bytes(FDT_MAX_SIZE + 1))
        load(memory, layout, bytes(FDT_MAX_SIZE))


def test_layout_of_another_machine(files: Path) -> None:
    layout = plan(files / "vmlinux", None, "", 128 * MIB)
    with GuestMemory(64 * MIB) as memory, pytest.raises(InternalError):
        load(memory, layout, FDT)


def check_disjoint(layout: BootLayout) -> None:
    """Nothing overlaps, everything is in RAM, firmware is in the first block and below 2 GiB."""
    parts = layout.describe()
    for (_, low, size), (_, high, _) in pairwise(parts):
        assert low + size <= high
    assert parts[-1][1] + parts[-1][2] <= layout.ram_size
    assert layout.fdt_addr + layout.fdt_max <= min(layout.first_block, 2 * GIB)
    assert layout.rtas_addr % 65536 == layout.fdt_addr % 65536 == layout.initrd_addr % 65536 == 0


@settings(deadline=None)
@given(
    ram=st.integers(1, 64).map(lambda n: n * 64 * MIB) | st.integers(1, 1 << 12).map(lambda n: n * 64 * KIB),
    kernel=st.integers(1, 200 * MIB),
    address=st.sampled_from([0, 0x100000, 256 * MIB, GIB, 2 * GIB]),
    initrd=st.none() | st.integers(1, 3 * GIB),
    block=st.none() | st.sampled_from([16 * MIB, 256 * MIB, GIB, 8 * GIB]),
)
def test_any_layout_is_sound_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    ram: int,
    kernel: int,
    address: int,
    initrd: int | None,
    block: int | None,
) -> None:
    base = tmp_path_factory.getbasetemp()
    (base / "k").write_bytes(ElfFile([Load(CODE[:4], address, memsz=kernel + 4)], entry=address).build())
    ramdisk = hole(base / "i", initrd) if initrd else None
    try:
        layout = plan(base / "k", ramdisk, "", ram, first_block=block)
    except ConfigError as error:
        assert error.hint
        need = error.hint.removeprefix("give at least -m ")
        if need != error.hint and block is None:  # what the hint says is enough
            size = int(need[:-1]) * (GIB if need.endswith("G") else MIB)
            assert size > ram
            check_disjoint(plan(base / "k", ramdisk, "", size))
    else:
        check_disjoint(layout)
