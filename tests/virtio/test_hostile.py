# SPDX-License-Identifier: GPL-2.0-only
"""Every device against a guest that means harm; ``make fuzz-devices`` is the long form."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import struct
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from tests.virtio.hostile import EXAMPLES, PROGRAMS, Hostile, Step, Target

from lpar.backend.ninep import Export, messages
from lpar.backend.open_disk import open_disk
from lpar.backend.slirp import UserNetwork
from lpar.config.disk import parse_disk
from lpar.testing.virtio import LegacyDriver, VirtioDriver
from lpar.virtio.blk import IN, OUT, Blk
from lpar.virtio.console import Channel, Console
from lpar.virtio.device import Device
from lpar.virtio.net import Net
from lpar.virtio.ninep import NineP
from lpar.virtio.rng import Rng

MIB = 1 << 20
MEMORY_LIMIT = 512 * MIB  #: growth of this process


def rng_works(driver: VirtioDriver) -> None:
    assert driver.request(0, [], [10])[0] == 10


def blk_works(driver: VirtioDriver) -> None:
    data = os.urandom(512)
    assert driver.request(0, [struct.pack("<IIQ", OUT, 0, 5), data], [1])[1] == [b"\0"]
    assert driver.request(0, [struct.pack("<IIQ", IN, 0, 5)], [512, 1])[1] == [data, b"\0"]


def console_works(driver: VirtioDriver) -> None:
    heard.clear()
    driver.request(1, [b"hello ", b"there"], [])
    assert b"".join(heard)[-11:] == b"hello there"


def net_works(driver: VirtioDriver) -> None:
    """A frame out; what the network does with it is its own affair."""
    before = driver.device.counters["tx frames"]
    driver.request(1, [bytes(12), bytes(60)], [])
    assert driver.device.counters["tx frames"] == before + 1


def ninep_works(driver: VirtioDriver) -> None:
    request = messages.encode(messages.Kind.VERSION, 1, 8192, messages.VERSION)
    assert driver.request(0, [request], [100])[0] == 7 + 4 + 2 + 8


heard: list[bytes] = []


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    def disk() -> Device:
        path = tmp_path_factory.mktemp("disk") / "disk.img"
        path.write_bytes(bytes(MIB))
        return Blk(open_disk(parse_disk(str(path))), queues=2)

    def console() -> Device:
        return Console([Channel(heard.append, console=True), Channel(heard.append, name="second")])

    def ninep() -> Device:
        path = tmp_path_factory.mktemp("shared")
        (path / "file").write_text("content")
        return NineP(Export(str(path), mapped=True), "tag")

    found = (
        Target("net", lambda: Net(UserNetwork(), b"\x02\x15\x15\x15\x15\x15"), net_works),
        Target("9p", ninep, ninep_works),
        Target("rng", Rng, rng_works),
        Target("blk", disk, blk_works),
        Target("console", console, console_works),
    )
    return {target.name: target for target in found}


@contextlib.contextmanager
def watched(guest: Hostile, caplog: pytest.LogCaptureFixture) -> Iterator[Hostile]:
    """A guest to play with; in the end the device works, and no bug of ours was logged."""
    heard.clear()
    caplog.clear()
    try:
        yield guest
        guest.check()
    finally:
        guest.close()
    bugs = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not bugs, bugs[0].getMessage()


@pytest.mark.parametrize("interface", [VirtioDriver, LegacyDriver])
@pytest.mark.parametrize("name", ["rng", "blk", "console", "net", "9p"])
def test_hostile(
    targets: dict[str, Target], name: str, interface: type[VirtioDriver], caplog: pytest.LogCaptureFixture
) -> None:
    """No bug of ours, no hang, no access outside RAM, bounded memory; and it works afterwards."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(PROGRAMS)
    def play(program: list[Step]) -> None:
        with watched(Hostile(targets[name], interface), caplog) as guest:
            guest.play(program)

    play()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before < MEMORY_LIMIT


@pytest.mark.parametrize("name", ["rng", "blk", "console", "net", "9p"])
def test_two_hostile_cpus(targets: dict[str, Target], name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The same from two vCPUs at once: registers, rings and resets come in any order."""

    @settings(
        max_examples=EXAMPLES // 4, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(PROGRAMS, PROGRAMS)
    def play(first: list[Step], second: list[Step]) -> None:
        with watched(Hostile(targets[name]), caplog) as guest:
            _at_once(guest, first, second)

    play()


def _at_once(guest: Hostile, *programs: list[Step]) -> None:
    """Each in a thread of its own, which begin together and are switched often."""
    problems: list[Exception] = []
    begin = threading.Barrier(len(programs))

    def play(program: list[Step]) -> None:
        try:
            begin.wait()
            guest.play(program)
        except Exception as error:
            problems.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=play, args=(program,)) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    assert not problems, problems[0]


def test_many_chains_of_the_same_ram(targets: dict[str, Target]) -> None:
    """A thousand descriptors that all name the same megabytes: bounded work, bounded memory."""
    for name, index, flags in (("rng", 0, 2), ("console", 1, 0), ("net", 1, 0), ("9p", 0, 0)):
        guest = Hostile(targets[name])
        driver = guest.driver
        table = driver.buffer(16 * 1024)[0]
        for i in range(1024):
            driver.put_descriptor(table, i, (0, 4 * MIB, flags | (i < 1023), (i + 1) % 1024))
        ring = driver.rings[index]
        driver.put_descriptor(ring.desc, 0, (table, 16 * 1024, 4, 0))
        driver.make_available(ring, 0)
        driver.notify(ring.index)
        guest.check()
        guest.close()
