# SPDX-License-Identifier: GPL-2.0-only
"""Machines of different CPUs, MMUs and sizes; each boots to the shell and does some work."""

from __future__ import annotations

import re

import pytest
from tests.guest.conftest import Boot

from lpar.testing.shell import Shell, resident

GIB = 1 << 30

#: processes, pipes, files, sums; the same answer on every machine
WORK = "for n in $(seq 10); do seq 2000 | sort -r | sha256sum | cut -c 1-8; done | sort | uniq -c"
PARALLEL = (
    "for n in $(seq 6); do (seq 9999 | sort -n | md5sum > /run/p$n) & done; wait; cat /run/p? | uniq -c"
)
BROKEN = re.compile(r"BUG|Oops|WARNING|LOCKUP|soft lockup|\bstall|Unrecoverable|segfault|unhandled signal")


def check(shell: Shell, cpus: int, mmu: str) -> None:
    """The guest sees its machine right, works, and its kernel has nothing to complain of."""
    about = shell.run("cat /proc/cpuinfo")
    assert len(re.findall(r"^processor", about, re.M)) == cpus
    assert re.search(r"^MMU\s+: (\w+)", about, re.M)[1] == mmu  # type: ignore[index]
    all_of_them = f"0-{cpus - 1}" if cpus > 1 else "0"
    assert shell.run("cat /sys/devices/system/cpu/online") == all_of_them
    # what nproc counts (coreutils: sched_getaffinity); the installer has no nproc
    assert shell.run("grep Cpus_allowed_list /proc/self/status").split()[1] == all_of_them
    assert re.fullmatch(r"\s+10 \w{8}", shell.run(WORK))
    assert re.fullmatch(r"\s+6 \w{32}\s+-", shell.run(PARALLEL))
    assert not BROKEN.search(shell.run("dmesg"))


@pytest.mark.parametrize(
    ("args", "cpus", "mmu"),
    [
        pytest.param(["-c", "2"], 2, "Radix", id="2 CPUs"),
        pytest.param(["-c", "4"], 4, "Radix", id="4 CPUs"),
        pytest.param(["--cpu", "POWER10"], 1, "Radix", id="POWER10", marks=pytest.mark.engine),
        pytest.param(
            ["--cpu", "POWER10", "-c", "2"], 2, "Radix", id="POWER10, 2 CPUs", marks=pytest.mark.engine
        ),
        pytest.param(["-p", "disable_radix"], 1, "Hash", id="hash", marks=pytest.mark.engine),
        pytest.param(["--cpu", "POWER8"], 1, "Hash", id="POWER8", marks=pytest.mark.engine),
        pytest.param(
            ["--cpu", "POWER8", "-c", "2"], 2, "Hash", id="POWER8, 2 CPUs", marks=pytest.mark.engine
        ),
    ],
)
def test_machine(boot: Boot, args: list[str], cpus: int, mmu: str) -> None:
    shell = boot(*args).ready()
    check(shell, cpus, mmu)
    assert shell.power_off() == 0


def test_default_machine(shared: Shell) -> None:
    """Its kernel knows that a vCPU may have to wait, and does not take that for a lockup."""
    check(shared, 1, "Radix")
    assert shared.run("cat /proc/sys/kernel/nmi_watchdog") == "0"


@pytest.mark.parametrize(("size", "gib"), [("512M", 0.5), ("4G", 4.0), ("16G", 16.0)])
def test_memory(boot: Boot, size: str, gib: float) -> None:
    """The guest has all of it; the host gives what the guest touches, and then that."""
    shell = boot("-m", size).ready()
    total = int(shell.run("grep MemTotal /proc/meminfo").split()[1]) << 10
    assert (gib - 0.1) * 0.93 * GIB < total < gib * GIB
    before = resident(shell.session.process.pid)
    assert before < 0.45 * GIB
    touched = 128 << 20
    shell.run(f"dd if=/dev/zero of=/run/big bs=1048576 count={touched >> 20} 2>&1")
    grown = resident(shell.session.process.pid) - before
    assert 0.9 * touched < grown < 1.5 * touched
    assert shell.power_off() == 0
