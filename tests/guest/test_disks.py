# SPDX-License-Identifier: GPL-2.0-only
"""Linux's virtio-blk and ext4 on our disks; what a power cut leaves."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.guest.conftest import Boot
from tests.guest.test_machines import BROKEN

from lpar.testing.shell import Shell

MIB = 1 << 20
CUTS = int(os.environ.get("LPAR_POWER_CUTS", "2"))  #: ``make power-cuts`` does 50


def run(*words: str | Path) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def ext4(tmp_path: Path) -> Path:
    path = tmp_path / "ext4.img"
    path.touch()
    os.truncate(path, 64 * MIB)
    run("mkfs.ext4", "-q", "-F", path)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """An image of 16 MiB where the host has room for 1 MiB; None where we may not mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False)
    path = (folder if done.returncode == 0 else tmp_path) / "full.img"
    path.touch()
    os.truncate(path, 16 * MIB)
    yield path
    if done.returncode == 0:
        subprocess.run(["umount", "-l", folder], check=True)


def test_disks(linux: Boot, ext4: Path, small: Path, tmp_path: Path) -> None:
    """A file system, a read-only disk, an overlay, several queues, and a host without room."""
    before = os.urandom(MIB)
    for name in ("ro", "over"):
        (tmp_path / name).write_bytes(before)
    shell = linux(
        *("-d", f"{ext4},serial=lpar-test,queues=2", "-c", "2"),
        *("-d", f"{tmp_path}/ro,ro", "-d", f"{tmp_path}/over,overlay", "-d", str(small)),
    ).ready()
    assert shell.run("cat /sys/block/vda/serial") == "lpar-test"
    assert shell.run("ls /sys/block/vda/mq").split() == ["0", "1"]
    _file_system(shell)
    assert shell.run("cat /sys/block/vdb/ro") == "1"
    assert shell.run("md5sum < /dev/vdb") == shell.run("md5sum < /dev/vdc")
    shell.run("dd if=/dev/zero of=/dev/vdc bs=64k count=8 conv=fsync 2>/dev/null")
    assert shell.run("md5sum < /dev/vdb") != shell.run("md5sum < /dev/vdc")
    if small.parent.name == "small":
        status, output = shell.try_run("dd if=/dev/urandom of=/dev/vdd bs=64k count=100 conv=fsync")
        assert status != 0
        assert "Input/output error" in output
    shell.run("modprobe ext4; mount /dev/vda /mnt; md5sum -c /mnt/sums; umount /mnt")
    problems = BROKEN.search(shell.run("dmesg"))
    assert problems is None
    assert shell.power_off() == 0
    run("e2fsck", "-fn", ext4)
    assert (tmp_path / "over").read_bytes() == before


def _file_system(shell: Shell) -> None:
    """Files, memory dropped, discard; the same when mounted again."""
    shell.run("modprobe ext4; mount -o discard /dev/vda /mnt")
    shell.run("for n in 1 2 3 4 5 6; do dd if=/dev/urandom of=/mnt/f$n bs=700k count=$n 2>/dev/null; done")
    shell.run("md5sum /mnt/f* > /mnt/sums; rm /mnt/f1; sed -i /f1/d /mnt/sums; sync")
    shell.run("umount /mnt; echo 3 > /proc/sys/vm/drop_caches; mount /dev/vda /mnt")
    shell.run("md5sum -c /mnt/sums")
    shell.run("umount /mnt")


INIT = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char line[100] = "";
    FILE *file = fopen("/etc/said", "r+");
    if (!file || !fgets(line, sizeof line, file))
        return 1;
    printf("init of the root, process %d, with %s: %s\\n", getpid(), argc > 1 ? argv[1] : "nothing", line);
    fputs("and written", file);
    fclose(file);
    sync();
    reboot(RB_POWER_OFF);
}
"""


@pytest.mark.parametrize("name", ["/dev/vda", "LABEL=own"])
def test_a_root_of_ones_own(linux: Boot, tmp_path: Path, name: str) -> None:
    """``lpar boot linux`` mounts root= and goes on with the init there."""
    if not shutil.which("powerpc64le-linux-gnu-gcc"):
        pytest.skip("no cross compiler")
    root, image = tmp_path / "root", tmp_path / "root.img"
    for folder in ("sbin", "etc"):
        (root / folder).mkdir(parents=True)
    (root / "etc" / "said").write_text("root is here\n")
    (tmp_path / "init.c").write_text(INIT)
    run("powerpc64le-linux-gnu-gcc", "-static", "-o", root / "sbin" / "init", tmp_path / "init.c")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "own", "-d", root, image, "16m")
    session = linux("-d", str(image), "-p", f"root={name} rw").session
    session.expect(r"init of the root, process 1, with nothing: root is here", 240)
    assert session.wait() == 0
    run("e2fsck", "-fn", image)
    assert run("debugfs", "-R", "cat /etc/said", image) == "root is here\nand written"


LOAD = """\
(while :; do dd if=/dev/zero of=/mnt/big bs=64k count=150 2>/dev/null; rm /mnt/big; done) &
n=0; while :; do n=$((n+1)); printf '%-511d\\n' $n | \
dd of=/mnt/log bs=512 seek=$n conv=notrunc,fsync 2>/dev/null; echo fsynced $n; done"""


@pytest.mark.parametrize("cut", range(CUTS))
def test_power_cut(linux: Boot, ext4: Path, tmp_path: Path, cut: int) -> None:
    """kill -9 at a random moment of a write load: what was fsynced is there, the rest is consistent."""
    shell = linux("-d", str(ext4)).ready()
    shell.run("modprobe ext4; mount /dev/vda /mnt")
    shell.session.send(LOAD)
    shell.session.expect(r"fsynced \d+\r*\n")
    time.sleep(random.uniform(0, 1.5))
    shell.session.process.kill()
    shell.session.wait()
    told = shell.session.output.decode()
    last = max((int(n) for n in re.findall(r"fsynced (\d+)\r*\n", told)), default=1)
    subprocess.run(["e2fsck", "-E", "journal_only", "-y", ext4], check=False, capture_output=True)
    run("e2fsck", "-fn", ext4)
    run("debugfs", "-R", f"dump /log {tmp_path}/log", ext4)
    log = (tmp_path / "log").read_bytes()
    for n in range(1, last + 1):
        assert log[512 * n : 512 * (n + 1)] == b"%-511d\n" % n
