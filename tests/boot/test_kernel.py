# SPDX-License-Identifier: GPL-2.0-only
"""Recognising kernels: every kind that runs, and one clear line for every kind that does not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lpar.boot.blob import BytesBlob
from lpar.boot.compressed import decompressed, find_format
from lpar.boot.elf import read_elf
from lpar.boot.kernel import KernelImage, Segment, _recognise, open_kernel
from lpar.errors import ConfigError
from lpar.testing.elf import EM_386, EM_PPC, EM_X86_64, ET_DYN, ET_REL, PF_RW, ElfFile, Load, elf, zimage

KERNELBASE = 0xC000000000000000
NOP = b"\x60\0\0\0"
CODE = NOP * 64
VMLINUX = ElfFile([Load(CODE, KERNELBASE, paddr=0, memsz=0x20000)], entry=KERNELBASE).build()


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
needs_binutils = pytest.mark.skipif(
    shutil.which("powerpc64-linux-gnu-ld") is None or shutil.which("powerpc64le-linux-gnu-ld") is None,
    reason="no binutils for powerpc64",
)
COMPRESSORS = [
    pytest.param("gzip", gzip.compress, id="gzip"),
    pytest.param("xz", lzma.compress, id="xz"),
    pytest.param("lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE), id="lzma"),
    pytest.param("bzip2", bz2.compress, id="bzip2"),
    pytest.param("zstd", zstd, id="zstd", marks=needs_zstd),
]


@pytest.fixture
def kernel(tmp_path: Path) -> Callable[[bytes], KernelImage]:
    """Writes the bytes to a file and opens it as a kernel."""

    def recognise(data: bytes) -> KernelImage:
        path = tmp_path / "vmlinux"
        path.write_bytes(data)
        return open_kernel(path)

    return recognise


def content(image: KernelImage) -> bytes:
    """File bytes of all segments."""
    return b"".join(image.blob.read(segment.offset, segment.file_size) for segment in image.segments)


Open = Callable[[bytes], KernelImage]


@pytest.mark.parametrize("big_endian", [True, False])
def test_et_exec_goes_to_its_physical_address(kernel: Open, big_endian: bool) -> None:
    load = Load(CODE, KERNELBASE + 0x10000, paddr=0x10000, memsz=0x20000)
    image = kernel(ElfFile([load], entry=KERNELBASE + 0x10010, big_endian=big_endian).build())
    assert image.kind == f"ELF64 {'big' if big_endian else 'little'}-endian ET_EXEC"
    assert image.segments == (Segment(0x10000, 0x20000, 120, len(CODE)),)
    assert (image.start, image.end, image.entry) == (0x10000, 0x30000, 0x10010)
    assert content(image) == CODE


def test_et_dyn_goes_to_4_mib(kernel: Open) -> None:
    loads = [Load(CODE, KERNELBASE, paddr=0), Load(NOP, KERNELBASE + 0x10000, paddr=0x10000)]
    image = kernel(ElfFile(loads, entry=KERNELBASE + 8, e_type=ET_DYN).build())
    assert [segment.address for segment in image.segments] == [0x400000, 0x410000]
    assert (image.entry, image.relocatable) == (0x400008, True)


def test_linear_map_in_physical_addresses_is_taken_out(kernel: Open) -> None:
    image = kernel(elf(CODE, KERNELBASE + 0x4000))
    assert (image.start, image.entry) == (0x4000, 0x4000)


def test_notes_and_empty_segments_are_not_loaded(kernel: Open) -> None:
    loads = [Load(b"note", 0x8000, p_type=4), Load(CODE, 0), Load(b"", 0x9000)]
    assert len(kernel(ElfFile(loads).build()).segments) == 1


def test_elfv1_function_descriptor(kernel: Open) -> None:
    descriptor = struct.pack(">3Q", 0x10004, 0x28000, 0)
    loads = [Load(CODE, 0x10000), Load(descriptor, 0x20000, flags=PF_RW)]
    image = kernel(ElfFile(loads, entry=0x20000, flags=1).build())
    assert (image.entry, image.toc) == (0x10004, 0x28000)


def test_elfv2_entry_is_never_a_descriptor(kernel: Open) -> None:
    image = kernel(ElfFile([Load(CODE, 0x10000, flags=PF_RW)], entry=0x10000, flags=2).build())
    assert (image.entry, image.toc) == (0x10000, 0)


@pytest.mark.parametrize(("name", "compress"), COMPRESSORS)
def test_compressed(kernel: Open, name: str, compress: Callable[[bytes], bytes]) -> None:
    image = kernel(compress(VMLINUX))
    assert image.kind == f"{name}-compressed ELF64 big-endian ET_EXEC"
    assert (image.end, content(image)) == (0x20000, CODE)


@pytest.mark.parametrize(("name", "compress"), COMPRESSORS)
@pytest.mark.parametrize("bits", [32, 64])
def test_zimage(kernel: Open, name: str, compress: Callable[[bytes], bytes], bits: int) -> None:
    image = kernel(zimage(compress(VMLINUX), bits=bits, big_endian=bits == 32))
    assert image.kind == f"zImage with {name}-compressed ELF64 big-endian ET_EXEC"
    assert (image.start, image.end, image.entry, content(image)) == (0, 0x20000, 0, CODE)
    assert image.initrd is None


def test_zimage_without_compression_and_with_initrd(kernel: Open) -> None:
    image = kernel(zimage(VMLINUX, b"the attached initrd"))
    assert image.kind == "zImage with ELF64 big-endian ET_EXEC"
    assert image.initrd is not None
    assert image.initrd.read(0, 100) == b"the attached initrd"
    assert image.initrd.read(4, 8) == b"attached"
    assert image.initrd.read(100, 8) == b""
    target = bytearray(4)
    image.initrd.read_into(memoryview(target), 15)
    assert target == b"itrd"
    with pytest.raises(ConfigError, match="truncated"):
        image.initrd.read_into(memoryview(target), 16)
    assert content(image) == CODE


@needs_zstd
@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, zstd])
def test_stripped_zimage(kernel: Open, compress: Callable[[bytes], bytes]) -> None:
    """No section table: the compressed stream is found by its magic, false ones are passed over."""
    junk = b"\x1f\x8b\x08 no stream" + gzip.compress(b"a config, no kernel") + b"\xfd7zXZ\0\x28\xb5\x2f\xfd"
    wrapper = elf(junk + compress(VMLINUX) + bytes(100), 0x4000000, bits=32, machine=EM_PPC)
    image = kernel(wrapper)
    assert content(image) == CODE
    assert image.kind.startswith("zImage with")


def test_what_follows_the_stream_is_ignored(kernel: Open) -> None:
    for compress in (gzip.compress, lzma.compress, bz2.compress):
        assert content(kernel(compress(VMLINUX) + struct.pack("<I", len(VMLINUX)) + b"~signature~")) == CODE


@needs_zstd
def test_what_follows_a_zstd_frame_is_ignored(kernel: Open) -> None:
    assert content(kernel(zstd(VMLINUX) + struct.pack("<I", len(VMLINUX)))) == CODE


def test_flat_binary_is_loaded_at_0(kernel: Open) -> None:
    image = kernel(CODE)
    assert image.kind == "flat binary"
    assert image.segments == (Segment(0, len(CODE), 0, len(CODE)),)
    assert image.entry == 0
    assert image.bss > 0
    assert kernel(gzip.compress(CODE)).kind == "gzip-compressed flat binary"


def test_kernel_from_a_pipe() -> None:
    ours, theirs = os.pipe()

    def feed() -> None:
        with os.fdopen(theirs, "wb") as pipe:
            pipe.write(VMLINUX + bytes(300_000))

    writer = threading.Thread(target=feed)
    writer.start()
    image = open_kernel(Path(f"/dev/fd/{ours}"))
    writer.join()
    os.close(ours)
    assert content(image) == CODE


@needs_binutils
@pytest.mark.parametrize("prefix", ["powerpc64-linux-gnu", "powerpc64le-linux-gnu"])
def test_what_binutils_links(tmp_path: Path, prefix: str) -> None:
    source, object_file, program = tmp_path / "t.s", tmp_path / "t.o", tmp_path / "t"
    source.write_text(".globl _start\nnop\n_start: li 3,42\nb .\n.data\n.quad 7\n.bss\n.space 5000\n")
    subprocess.run([f"{prefix}-as", "-o", object_file, source], check=True)
    subprocess.run([f"{prefix}-ld", "-Ttext=0x100000", "-N", "-o", program, object_file], check=True)
    image = open_kernel(program)
    assert (image.start, image.entry) == (0x100000, 0x100004)
    assert image.end >= 0x100000 + 12 + 8 + 5000
    elf_file = ELFFile(io.BytesIO(program.read_bytes()))
    assert [s.memory_size for s in image.segments] == [
        s["p_memsz"] for s in elf_file.iter_segments("PT_LOAD") if s["p_memsz"]
    ]


def test_our_builder_is_read_by_pyelftools() -> None:
    for bits in (32, 64):
        elf_file = ELFFile(io.BytesIO(zimage(b"kernel", b"initrd", bits=bits)))
        contents = {section.name: section.data() for section in elf_file.iter_sections()}
        assert contents[".kernel:vmlinux.strip"] == b"kernel"
        assert contents[".kernel:initrd"] == b"initrd"
        assert next(elf_file.iter_segments())["p_paddr"] == 0x4000000


# Wrong input: (bytes, message without the file's name).
CPIO = b"070701" + b"0" * 200
CUT = ElfFile([Load(CODE, 0)]).build()[:-20]
WRONG = {
    "empty": (b"", "kernel {} is empty"),
    "x86-64": (elf(CODE, machine=EM_X86_64, big_endian=False), "kernel {} is for x86-64, not for PPC64"),
    "i386": (elf(CODE, machine=EM_386, bits=32, big_endian=False), "kernel {} is for x86, not for PPC64"),
    "odd machine": (elf(CODE, machine=999), "kernel {} is for machine 999, not for PPC64"),
    "32-bit": (
        elf(CODE, machine=EM_PPC, bits=32),
        "kernel {} is a 32-bit PowerPC file, not a PPC64 kernel",
    ),
    "bzImage": (
        bytes(0x202) + b"HdrS" + bytes(100),
        "kernel {} is an x86 kernel (bzImage), not a PPC64 kernel",
    ),
    "EFI": (
        b"MZ" + bytes(600),
        "kernel {} is an EFI program, perhaps of another machine, not a PPC64 kernel",
    ),
    "initrd": (CPIO, "kernel {} is an initrd (cpio archive), not a PPC64 kernel"),
    "compressed initrd": (gzip.compress(CPIO), "kernel {} is an initrd (cpio archive), not a PPC64 kernel"),
    "dtb": (b"\xd0\x0d\xfe\xed" + bytes(60), "kernel {} is a device tree blob, not a PPC64 kernel"),
    "text": (b"#!/bin/sh\necho kernel\n", "kernel {} is a text file, not a PPC64 kernel"),
    "zeros": (bytes(4096), "kernel {} is no code (its first instruction is empty), not a PPC64 kernel"),
    "object": (elf(CODE, e_type=ET_REL), "kernel {} is an object file or module, not a kernel"),
    "core": (elf(CODE, e_type=4), "kernel {} is an ELF file of type 4, not a kernel"),
    "cut in a segment": (CUT, "kernel {} is truncated: a segment ends at byte 376 of 356"),
    "cut in the ident": (b"\x7fELF\x02\x02", "kernel {} is a damaged ELF file: bad identification"),
    "bad class": (b"\x7fELF\x07\x02" + bytes(60), "kernel {} is a damaged ELF file: bad identification"),
    "cut in the header": (CUT[:40], "kernel {} is a damaged ELF file: the file header is cut off"),
    "cut in the table": (
        CUT[:80],
        "kernel {} is a damaged ELF file: the program headers lie outside the file",
    ),
    "nothing to load": (
        ElfFile().build(),
        "kernel {} is a damaged ELF file: it has nothing to load",
    ),
    "more file than memory": (
        ElfFile([Load(CODE, 0, memsz=8)]).build(),
        "kernel {} is a damaged ELF file: a segment has 256 bytes in a memory of 8",
    ),
    "entry elsewhere": (
        elf(CODE, entry=0x5000),
        "kernel {} is a damaged ELF file: entry point 0x5000 is not in the kernel",
    ),
    "entry misaligned": (
        elf(CODE, entry=2),
        "kernel {} is a damaged ELF file: entry point 0x2 is not in the kernel",
    ),
    "segments overlap": (
        ElfFile([Load(CODE, 0), Load(CODE, 0x80)]).build(),
        "kernel {} is a damaged ELF file: segments overlap at 0x80",
    ),
    "cut gzip": (gzip.compress(VMLINUX)[:-20], "kernel {}: cannot decompress gzip: it is truncated"),
    "cut xz": (lzma.compress(VMLINUX)[:-40], "kernel {}: cannot decompress xz: it is truncated"),
    "cut bzip2": (bz2.compress(VMLINUX)[:-20], "kernel {}: cannot decompress bzip2: it is truncated"),
    "lz4": (b"\x02\x21\x4c\x18" + CODE, "kernel {} is compressed with lz4, which is not supported"),
    "onion": (
        gzip.compress(gzip.compress(gzip.compress(gzip.compress(CODE)))),
        "kernel {} is compressed over and over",
    ),
    "empty zImage": (
        zimage(b""),
        "kernel {} (.kernel:vmlinux.strip) is no code (its first instruction is empty), not a PPC64 kernel",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_file(tmp_path: Path, case: str) -> None:
    data, message = WRONG[case]
    path = tmp_path / "k"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        open_kernel(path)
    assert caught.value.message == message.format(path)
    assert caught.value.hint
    assert caught.value.status == 2


def test_damaged_stream_names_file_and_format(kernel: Open) -> None:
    damaged = bytearray(gzip.compress(os.urandom(3000)))
    damaged[200:300] = bytes(100)
    with pytest.raises(ConfigError, match=r"cannot decompress gzip: Error -3") as caught:
        kernel(bytes(damaged))
    assert "\n" not in caught.value.message


@needs_zstd
def test_damaged_zstd(kernel: Open) -> None:
    for damaged in (zstd(VMLINUX)[:-6], b"\x28\xb5\x2f\xfd" + b"\xff" * 40):
        with pytest.raises(ConfigError, match="cannot decompress zstd: ") as caught:
            kernel(damaged)
        assert "\n" not in caught.value.message


def test_zstd_without_the_program(kernel: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(ConfigError, match="there is no zstd program") as caught:
        kernel(b"\x28\xb5\x2f\xfd" + bytes(40))
    assert "apt-get install zstd" in str(caught.value.hint)


@pytest.mark.parametrize(("name", "compress"), COMPRESSORS)
def test_output_is_bounded(name: str, compress: Callable[[bytes], bytes]) -> None:
    blob = BytesBlob("kernel bomb", compress(bytes(3 << 20)))
    known = find_format(blob.read(0, 16))
    assert known is not None
    with pytest.raises(ConfigError, match=re.escape("kernel bomb decompresses to more than 1.0 MiB")):
        decompressed(blob, known, limit=1 << 20)
    assert decompressed(blob, known, limit=4 << 20).size == 3 << 20


def test_missing(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    with pytest.raises(ConfigError, match=re.escape(f"kernel {path}: No such file or directory")):
        open_kernel(path)


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"kernel {tmp_path} is a directory")):
        open_kernel(tmp_path)


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_bytes(VMLINUX)
    path.chmod(0)
    if os.geteuid() == 0:  # root may read it: let open say what it tells others

        def refuse(*args: object, **kwargs: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError, match=re.escape(f"kernel {path}: Permission denied")):
        open_kernel(path)


def test_endless_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpar.boot.blob.PIPE_LIMIT", 1 << 21)
    with pytest.raises(ConfigError, match="kernel /dev/zero has no end"):
        open_kernel(Path("/dev/zero"))


def test_file_replaced_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(VMLINUX)
    image = open_kernel(path)
    path.write_bytes(VMLINUX + b"longer")
    with pytest.raises(ConfigError, match="changed while it was used"):
        content(image)


def recognise_or_refuse(data: bytes) -> None:
    """Any bytes: a kernel whose parts make sense, or one line for the user."""
    try:
        image = _recognise(BytesBlob("kernel k", data), 4)
    except ConfigError as error:
        assert "\n" not in error.message
        assert error.hint
    else:
        assert all(image.start <= s.address < s.end <= image.end for s in image.segments)
        assert image.start <= image.entry < image.end
        content(image)


BASES = [VMLINUX, zimage(gzip.compress(VMLINUX), b"initrd"), zimage(VMLINUX, bits=64), gzip.compress(VMLINUX)]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_mutated_kernels(data: st.DataObject) -> None:
    """Bytes changed, mostly in headers, and the file cut: never anything but ConfigError."""
    blob = bytearray(data.draw(st.sampled_from(BASES)))
    spots = st.one_of(st.integers(0, 140), st.integers(0, len(blob) - 1))
    for _ in range(data.draw(st.integers(1, 6))):
        position = min(data.draw(spots), len(blob) - 1)
        blob[position] = data.draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    if data.draw(st.booleans()):
        del blob[data.draw(st.integers(0, len(blob))) :]
    recognise_or_refuse(bytes(blob))


@given(st.sampled_from([b"", b"\x7fELF", b"\x7fELF\2\2", b"\x7fELF\2\1", b"\x7fELF\1\2"]), st.binary())
def test_any_bytes(start: bytes, rest: bytes) -> None:
    recognise_or_refuse(start + rest)


def test_section_names_are_not_quadratic() -> None:
    """65,000 sections that share a name table of 1 MiB are looked through at once."""
    names = b"x" * (1 << 20)
    section = struct.pack(">2I4Q2I2Q", 0, 1, 0, 0, 64, len(names), 0, 0, 1, 0)
    header = bytearray(ElfFile().build())
    struct.pack_into(">Q", header, 40, 64 + len(names))
    struct.pack_into(">3H", header, 58, 64, 65000, 0)
    found = read_elf(BytesBlob("kernel k", bytes(header) + names + section * 65000))
    assert found.section(".kernel:vmlinux.strip") is None
