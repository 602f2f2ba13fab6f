# SPDX-License-Identifier: GPL-2.0-only
"""Wrong input, end to end: one line, a hint, status 2, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lpar
from lpar.cli.main import main
from lpar.testing.elf import EM_386, EM_PPC, EM_X86_64, ElfFile, Load, elf

MIB = 1 << 20


def big_kernel() -> bytes:
    """A kernel that claims 40 MiB."""
    return ElfFile([Load(b"\x60\0\0\0", 0, memsz=40 * MIB)]).build()


def file(data: bytes) -> Callable[[Path], str]:
    def make(where: Path) -> str:
        path = where / "kernel"
        path.write_bytes(data)
        return str(path)

    return make


WRONG = {
    "missing": (lambda where: str(where / "none"), [], "No such file or directory"),
    "empty": (file(b""), [], "is empty"),
    "truncated": (file(elf(bytes(4096))[:200]), [], "truncated"),
    "x86": (file(elf(b"\x90" * 64, machine=EM_X86_64, big_endian=False)), [], "not for PPC64"),
    "i386": (file(elf(b"\x90" * 64, machine=EM_386, big_endian=False, bits=32)), [], "not for PPC64"),
    "32 bits": (file(elf(b"\x60\0\0\0" * 16, machine=EM_PPC, bits=32)), [], "32-bit PowerPC"),
    "directory": (str, [], "is a directory"),
    "device without end": (lambda where: "/dev/zero", [], "has no end"),
    "small RAM": (file(big_kernel()), ["-m", "16M"], "needs RAM up to 40.0 MiB"),
    "large initrd": (file(big_kernel()), ["-m", "64M", "-i", "{initrd}"], "is larger than RAM"),
    "no initrd": (file(big_kernel()), ["-i", "/nonexistent"], "No such file or directory"),
    "no disk": (file(big_kernel()), ["-m", "64M", "-d", "/nonexistent"], "No such file or directory"),
    "foreign disk": (file(big_kernel()), ["-m", "64M", "-d", "{disk}"], "is qcow2, not a raw image"),
    "long parameters": (file(big_kernel()), ["-p", "x" * 2048], "2049 bytes with its NUL"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, args, message = WRONG[case]
    initrd = tmp_path / "initrd"
    with initrd.open("wb") as hole:
        hole.truncate(65 * MIB)
    disk = tmp_path / "disk"
    disk.write_bytes(b"QFI\xfb".ljust(MIB, b"\0"))
    args = [arg.format(initrd=initrd, disk=disk) for arg in args]
    assert main(["run", "--name", "t", make(tmp_path), *args]) == 2
    echo, error, hint = capsys.readouterr().err.splitlines()
    assert echo.startswith("# lpar run -k ")
    assert error.startswith("lpar: error: ") and message in error
    assert hint.startswith("  hint: ")


def test_quiet_leaves_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-q", str(tmp_path)]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("lpar: error: ")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not read the file")
def test_unreadable(tmp_path: Path) -> None:
    """As nobody, of a file of root's."""
    kernel = tmp_path / "kernel"
    kernel.write_bytes(big_kernel())
    kernel.chmod(0o600)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o711)
    code = (
        "import os, sys; import lpar.cli.main as m, lpar.machine, lpar.cli.commands.run\n"
        f"os.setgid(65534); os.setuid(65534); sys.exit(m.main(['run', {str(kernel)!r}]))"
    )
    source = str(Path(lpar.__file__).parent.parent)
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env={"PYTHONPATH": source}, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Permission denied" in done.stderr.splitlines()[1]
    assert "Traceback" not in done.stderr
