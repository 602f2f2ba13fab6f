# SPDX-License-Identifier: GPL-2.0-only
"""Wrong input to the real program, with the real kernel: one line and a hint, a status, no traceback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.guest.conftest import Boot

from lpar.cli.guests import Guest
from lpar.testing.elf import EM_386, EM_PPC, EM_X86_64, elf
from lpar.testing.shell import LPAR

MIB = 1 << 20
X86 = elf(b"\x90" * 64, machine=EM_X86_64, big_endian=False)
I386 = elf(b"\x90" * 64, machine=EM_386, big_endian=False, bits=32)
PPC32 = elf(b"\x60\0\0\0" * 16, machine=EM_PPC, bits=32)

#: name -> (words behind ``lpar run``, what the error line says, status)
CASES: dict[str, tuple[str, str, int]] = {
    "missing kernel": ("{where}/none", "No such file", 2),
    "missing initrd": ("{kernel} -i {where}/none", "No such file", 2),
    "empty kernel": ("{where}/empty", "is empty", 2),
    "truncated kernel": ("{where}/truncated", "truncated", 2),
    "x86 kernel": ("{where}/x86", "not for PPC64", 2),
    "i386 kernel": ("{where}/i386", "not for PPC64", 2),
    "32-bit kernel": ("{where}/ppc32", "32-bit", 2),
    "directory": ("{where}", "is a directory", 2),
    "initrd larger than RAM": ("{kernel} -m 256M -i {where}/large", "is larger than RAM", 2),
    "initrd that leaves no room": ("{kernel} -m 512M -i {where}/large", "RAM", 2),
    "16M": ("{kernel} -m 16M", "needs RAM", 2),
    "64T": ("{kernel} -m 64T", "too much", 2),
    "no memory": ("{kernel} -m 0", "memory", 2),
    "no size": ("{kernel} -m much", "size", 2),
    "0 CPUs": ("{kernel} -c 0", "0 CPUs", 2),
    "-1 CPUs": ("{kernel} -c -1", "CPUs", 2),
    "100000 CPUs": ("{kernel} -c 100000", "100000 CPUs", 2),
    "no number": ("{kernel} -c two", "not a number", 2),
    "unknown CPU": ("{kernel} --cpu POWER7", "unknown CPU model 'POWER7'", 2),
    "unknown accelerator": ("{kernel} --accel warp", "'warp'", 2),
    "unknown option": ("{kernel} --warp", "--warp", 2),
    "no kernel": ("", "no kernel", 2),
    "long parameters": ("{kernel} -p {long}", "2049 bytes", 2),
    "device tree to nowhere": ("{kernel} --dump-dtb {where}/no/tree --dry-run", "cannot write", 2),
    "no hugetlbfs": ("{kernel} --hugetlbfs {where}", "hugetlbfs", 2),
    "absent disk": ("{kernel} -d {where}/none", "No such file", 2),
    "empty disk": ("{kernel} -d {where}/empty", "is empty", 2),
    "truncated disk": ("{kernel} -d {where}/odd", "is truncated", 2),
    "qcow2 disk": ("{kernel} -d {where}/qcow2", "is qcow2, not a raw image", 2),
    "format=qcow2": ("{kernel} -d {where}/qcow2,format=qcow2", "'qcow2' is not known", 2),
    "an ELF file as disk": ("{kernel} -d {where}/x86", "is an ELF file, not a raw image", 2),
    "a directory as disk": ("{kernel} -d {where}", "Is a directory", 2),
    "a device that is no disk": ("{kernel} -d /dev/null", "neither a file nor a block device", 2),
    "disk option": ("{kernel} -d {where}/odd,fast", "'fast' is no option of a disk", 2),
    "absent folder": ("{kernel} --9p {where}/none,tag", "cannot share", 2),
    "folder without tag": ("{kernel} --9p {where}", "no tag", 2),
    "port taken": ("{kernel} -n user,hostfwd=127.0.0.1:{port}:22", "cannot listen on TCP port", 2),
    "unknown network": ("{kernel} -n bridge", "unknown mode 'bridge'", 2),
    "no such descriptor": ("{kernel} -n tap,fd=999", "descriptor 999 cannot be used", 2),
    "unknown transport": ("{kernel} --virtio-transport mmio", "unknown virtio transport 'mmio'", 2),
    "no such root": ("no-such-root -- true", "wants a root file system", 2),
}


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory, debian: Guest) -> Path:
    """A directory with broken kernels."""
    where = tmp_path_factory.mktemp("kernels")
    files = {"empty": b"", "x86": X86, "i386": I386, "ppc32": PPC32}
    files |= {"odd": bytes(1000), "qcow2": b"QFI\xfb" + bytes(1020)}
    files["truncated"] = debian.kernel.read_bytes()[: 20 * MIB]
    for name, data in files.items():
        (where / name).write_bytes(data)
    with (where / "large").open("wb") as hole:
        hole.truncate(500 * MIB)
    return where


def refused(words: list[str], env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run lpar; its status and error line.  It must say a hint and nothing but."""
    done = subprocess.run([*LPAR, *words], capture_output=True, text=True, timeout=60, env=env)
    assert "Traceback" not in done.stderr and not done.stdout
    lines = [line for line in done.stderr.splitlines() if not line.startswith("# lpar run")]
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("lpar: error: ") and lines[1].startswith("  hint: "), done.stderr
    return done.returncode, lines[0]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A port of the loopback that somebody listens to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, where: Path, port: int, debian: Guest) -> None:
    line, message, status = CASES[case]
    words = [w.format(where=where, kernel=debian.kernel, long="x" * 2048, port=port) for w in line.split()]
    got, error = refused(["run", *words])
    assert got == status
    assert message in error


def _can_drop_capabilities() -> bool:
    """util-linux has a setpriv that can; busybox has one that cannot."""
    found = shutil.which("setpriv")
    return found is not None and "busybox" not in os.path.realpath(found)


@pytest.mark.skipif(os.getuid() == 0 and not _can_drop_capabilities(), reason="root may read everything")
def test_unreadable(where: Path, debian: Guest) -> None:
    """A file without permission; as somebody else when we are root."""
    kernel = where / "unreadable"
    shutil.copyfile(where / "ppc32", kernel)
    kernel.chmod(0)
    command = [*LPAR, "run", str(kernel)]
    if os.getuid() == 0:
        # without the capabilities that override permissions, root is like anybody
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "Permission denied" in done.stderr and "hint: " in done.stderr


def test_an_image_in_use_and_a_folder_that_vanishes(linux: Boot, tmp_path: Path) -> None:
    """Another lpar may not have the image, but for reading what nobody writes; the guest lives on."""
    image, folder = tmp_path / "disk", tmp_path / "folder"
    image.write_bytes(bytes(MIB))
    folder.mkdir()
    (folder / "file").write_text("content")
    shell = linux("-d", str(image), "--9p", f"{folder},tag").ready()
    for option in ("", ",ro", ",overlay"):
        status, error = refused(["boot", "linux", "-d", f"{image}{option}"])
        assert (status, f"disk {image} is in use by another guest" in error) == (2, True)
    shell.run("mkdir -p /s; mount -t 9p -o trans=virtio,version=9p2000.L tag /s; cat /s/file")
    shutil.rmtree(folder)
    assert shell.try_run("cat /s/file 2>/dev/null")[0] == 1
    status, output = shell.try_run("touch /s/new")
    assert (status, "No such file or directory" in output) == (1, True)
    shell.run("dd if=/dev/zero of=/dev/vda bs=64k count=16 conv=fsync")
    assert shell.power_off() == 0


def test_cache_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, error = refused(["boot", "debian"], {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")})
    assert (status, "cannot use the cache" in error) == (1, True)


def test_broken_guest_in_the_cache(tmp_path: Path, debian: Guest) -> None:
    """It is noticed, said in one line, and fetched anew; where that is impossible, one line more says so."""
    copy = tmp_path / "lpar" / "guests" / debian.kernel.parent.name
    shutil.copytree(debian.kernel.parent, copy)
    with (copy / "vmlinux").open("r+b") as file:
        file.truncate(1000)
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path)}
    done = subprocess.run([*LPAR, "boot", "debian"], capture_output=True, text=True, timeout=60, env=env)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "vmlinux is broken; fetching the guest anew" in lines[0]
    assert lines[1].startswith("lpar: error: ") and lines[2].startswith("  hint: ") and len(lines) == 3
