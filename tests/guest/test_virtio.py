# SPDX-License-Identifier: GPL-2.0-only
"""Linux's own drivers on our devices: found through the device tree, driven by MSI-X."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import struct
import termios
import time
from pathlib import Path

from tests.guest.conftest import Boot
from tests.guest.test_machines import BROKEN

from lpar.cli.kernels import Kernel
from lpar.testing.shell import BOOT_TIMEOUT


def test_rng(boot: Boot) -> None:
    """Random bytes come through the queue, one interrupt for each buffer."""
    shell = boot("--rng").ready()
    shell.run("modprobe virtio_pci; modprobe virtio-rng")
    assert shell.run("cat /sys/class/misc/hw_random/rng_current") == "virtio_rng.0"
    assert shell.run("dd if=/dev/hwrng bs=1024 count=64 2>/dev/null | wc -c") == "65536"
    sums = [shell.run("dd if=/dev/hwrng bs=64 count=1 2>/dev/null | md5sum") for _ in range(2)]
    assert sums[0] != sums[1]
    interrupts = shell.run("grep virtio0-input /proc/interrupts")
    assert "pSeries-PCI-MSI" in interrupts
    assert int(re.split(r"\s+", interrupts.strip())[1]) > 100
    assert shell.power_off() == 0


def test_debians_kernel_alone(linux: Boot, debian_kernel: Kernel) -> None:
    """The kernel package and lpar's initramfs: the driver of each device is loaded."""
    shell = linux("--rng").ready()
    assert shell.run("uname -r") == debian_kernel.version
    assert shell.run("cat /sys/class/misc/hw_random/rng_current") == "virtio_rng.0"
    assert not BROKEN.search(shell.run("dmesg"))
    assert shell.power_off() == 0


def test_drivers_from_before_virtio_1(linux: Boot, tmp_path: Path) -> None:
    """Every device by ports: Linux's legacy drivers find and use them."""
    disk = tmp_path / "disk"
    disk.write_bytes(os.urandom(1 << 20))
    (tmp_path / "file").write_text("shared")
    options = ["-d", str(disk), "-n", "user", "--9p", f"{tmp_path},tag", "--rng"]
    shell = linux(*options, "--virtio-transport", "pci-legacy").ready()
    assert shell.run("cut -c 33 /sys/bus/virtio/devices/*/features").split() == ["0"] * 4
    assert shell.run("md5sum < /dev/vda").split()[0] == _sum(disk)
    shell.run("dd if=/dev/hwrng of=/dev/vda bs=4096 count=4 conv=fsync 2>/dev/null")
    assert shell.run("md5sum < /dev/vda").split()[0] == _sum(disk)
    shell.run("ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ping -c 1 10.0.2.2")
    assert shell.run("mount -t 9p -o trans=virtio,version=9p2000.L tag /mnt; cat /mnt/file") == "shared"
    assert not BROKEN.search(shell.run("dmesg"))
    assert shell.power_off() == 0


def _sum(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_no_root_to_mount(linux: Boot) -> None:
    """A root= that is not there ends in a shell that says so."""
    shell = linux("-p", "root=/dev/vdz")
    shell.session.expect(r"lpar: cannot mount /dev/vdz", BOOT_TIMEOUT)
    shell.ready()
    assert shell.power_off() == 0


def test_virtio_console(linux: Boot) -> None:
    """A shell on a virtio port: its terminal has the host's size; much output arrives whole."""
    shell = linux("--console", "virtio", terminal=True)
    leader = shell.session._input
    _set_size(leader, 50, 132)
    shell.ready()
    assert shell.run("tty") == "/dev/hvc2"
    _set_size(leader, 33, 101)
    deadline = time.monotonic() + 120
    while (size := shell.run("stty size")) != "33 101" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert size == "33 101"
    lines = shell.run("seq 2000").split()
    assert lines == [str(n) for n in range(1, 2001)]
    assert shell.power_off() == 0


def _set_size(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_level_interrupts(linux: Boot) -> None:
    """A kernel without messages uses the line of the slot, shared or not."""
    shell = linux("--rng", "-p", "pci=nomsi").ready()
    assert shell.run("dd if=/dev/hwrng bs=1024 count=16 2>/dev/null | wc -c") == "16384"
    interrupts = shell.run("grep virtio /proc/interrupts")
    assert "Level" in interrupts and "MSI" not in interrupts
    assert not BROKEN.search(shell.run("dmesg"))
    assert shell.power_off() == 0
