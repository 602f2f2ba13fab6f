# SPDX-License-Identifier: GPL-2.0-only
"""A partition of four fake vCPUs with 1 MiB of RAM, and the guest that calls it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lpar.host.memory import GuestMemory
from lpar.papr.partition import Partition
from lpar.testing.fake_vcpu import FakeGuest, FakeVcpu

RAM = 1 << 20


@pytest.fixture
def vcpus() -> list[FakeVcpu]:
    return [FakeVcpu(i) for i in range(4)]


@pytest.fixture
def output() -> bytearray:
    return bytearray()


@pytest.fixture
def partition(vcpus: list[FakeVcpu], output: bytearray) -> Iterator[Partition]:
    with GuestMemory(RAM) as memory:
        partition = Partition(
            memory, vcpus, output.extend, allocate_hpt=lambda order: memoryview(bytearray(1 << order))
        )
        partition.shared_processors = False
        yield partition
        partition.shut_down()


@pytest.fixture
def guest(partition: Partition) -> FakeGuest:
    return FakeGuest(partition)
