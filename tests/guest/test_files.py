# SPDX-License-Identifier: GPL-2.0-only
"""Random operations on files against a model: ext4 on virtio-blk and 9p, by Linux's own code.

``exercise.c`` keeps what a file must have in memory and, over remounts, in a file elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.guest.conftest import Boot

from lpar.testing.shell import Shell

COUNT = int(os.environ.get("LPAR_FILE_OPERATIONS", "150"))  #: for each file and round
SEED = int(os.environ.get("LPAR_SEED", "1"))
ROUNDS = 3
FILES = 3  #: exercised at the same time
LIMIT = 600.0  #: seconds for a round
CROSS = "powerpc64le-linux-gnu-gcc"
#: What a slow host causes (a vCPU that waits for its engine to be built: stalls) is not looked for.
WRONG = re.compile(r"EXT4-fs (error|warning)|I/O error|Oops|Unrecoverable|segfault|9p.*error")
SOURCE = Path(__file__).with_name("exercise.c")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with the program for the guest."""
    if not shutil.which(CROSS):
        pytest.skip("no cross compiler")
    folder = tmp_path / "tools"
    folder.mkdir()
    subprocess.run([CROSS, "-O2", "-static", "-o", folder / "exercise", SOURCE], check=True)
    return folder


def test_random_operations(linux: Boot, tools: Path, tmp_path: Path) -> None:
    """A disk with two queues, the page cache dropped between rounds; and a folder."""
    image, shared = tmp_path / "ext4.img", tmp_path / "shared"
    shared.mkdir()
    image.touch()
    os.truncate(image, 64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    options = ["-d", f"{image},queues=2", "-c", "2", "--9p", f"{tools},tools", "--9p", f"{shared},shared"]
    shell = linux(*options).ready()
    shell.run("mkdir -p /t /s /m; mount -t 9p -o trans=virtio,version=9p2000.L tools /t; modprobe ext4")
    ext4 = "mount -o discard /dev/vda /m"
    ninep = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=mmap shared /m"
    for kind, mount in (("disk", ext4), ("folder", ninep)):
        for turn in range(ROUNDS):
            shell.run(f"{mount}; mkdir -p /t/{kind}")
            _exercise(shell, kind, SEED + turn)
            shell.run("umount /m; echo 3 > /proc/sys/vm/drop_caches")
    shell.run(ext4)
    for n in range(FILES):
        assert (shared / f"f{n}").read_bytes() == (tools / "folder" / f"{n}").read_bytes()
        shell.run(f"cmp /m/f{n} /t/disk/{n}")
    shell.run("umount /m")
    assert not WRONG.search(shell.run("dmesg"))
    assert shell.power_off() == 0
    subprocess.run(["e2fsck", "-fn", image], check=True, capture_output=True)


def _exercise(shell: Shell, kind: str, seed: int) -> None:
    """All files at once; the model of each is in the folder of tools."""
    each = f"/t/exercise /m/f$n /t/{kind}/$n $(({seed} * 100 + n)) {COUNT} || echo file $n differs"
    line = f"for n in $(seq 0 {FILES - 1}); do ({each}) & done; wait"
    printed = shell.run(line, LIMIT)
    assert "differs" not in printed, printed
    assert printed.count(f"{COUNT} operations") == FILES, printed
