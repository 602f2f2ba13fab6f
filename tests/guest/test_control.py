# SPDX-License-Identifier: GPL-2.0-only
"""Keys that stop, show and interrupt a running guest; the same under every accelerator."""

from __future__ import annotations

import re

import pytest
from tests.guest.conftest import Boot


@pytest.mark.parametrize("cpus", [1, 2])
def test_pause_dump_and_nmi(boot: Boot, cpus: int) -> None:
    """A guest that was paused goes on; its dump has Linux's addresses; an NMI is Linux's last word."""
    shell = boot("-c", str(cpus), terminal=True).ready()
    session = shell.session
    session.send_bytes(b"\x01p")
    session.send("echo '<'went on'>'")
    session.send_bytes(b"\x01d\x01p")
    session.expect("<went on>")
    assert shell.run("echo all is well") == "all is well"
    session.send_bytes(b"\x01n")
    session.expect("System Reset")
    session.send_bytes(b"\x01x")
    session.wait()
    for index in range(cpus):
        assert re.search(rf"^vCPU {index}:\n   +pc c0000000\w+", session.stderr, re.M), session.stderr
    assert re.search(r"^ > c000000\w+  \w{8}  [a-z]", session.stderr, re.M)
    assert re.search(r"^   c000000\w+  returns to c000000", session.stderr, re.M)
    assert "lpar: the guest is paused; Ctrl-a p lets it go on\nvCPU 0:" in session.stderr


def test_processors_stop_and_start(boot: Boot) -> None:
    """stop-self and start-cpu of a running guest, twice; work goes on meanwhile."""
    shell = boot("-c", "2").ready()
    online = "/sys/devices/system/cpu/online"
    for _ in range(2):
        shell.run("echo 0 > /sys/devices/system/cpu/cpu1/online")
        assert shell.run(f"seq 5000 | md5sum | cut -c 1-4; cat {online}").split()[1] == "0"
        shell.run("echo 1 > /sys/devices/system/cpu/cpu1/online")
        assert shell.run(f"cat {online}; (seq 5000 & seq 5000) | wc -l").split() == ["0-1", "10000"]
    assert shell.power_off() == 0
