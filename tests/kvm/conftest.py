# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures of the KVM tests: fakes of a POWER9 host with HV and of a POWER8 host with PR."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.kvm.fake_kvm import HV, POWER8, PR, FakeKernel

from lpar.accel import kvm
from lpar.host.memory import GuestMemory

RAM = 64 << 20


@pytest.fixture
def hv() -> FakeKernel:
    """Nested HV, as in the rig: radix alone."""
    return FakeKernel(dict(HV))


@pytest.fixture
def pr() -> FakeKernel:
    return FakeKernel(dict(PR), pvr=POWER8)


@pytest.fixture
def ram() -> Iterator[GuestMemory]:
    with GuestMemory(RAM) as memory:
        yield memory


Make = Callable[..., kvm.KvmAccelerator]


@pytest.fixture
def make(ram: GuestMemory) -> Iterator[Make]:
    """Makes an accelerator on a fake; closes it in the end."""
    made: list[kvm.KvmAccelerator] = []

    def start(
        kernel: FakeKernel, count: int = 1, cpu: str = "auto", threads: int = 1, **options: Any
    ) -> kvm.KvmAccelerator:
        made.append(kvm.KvmAccelerator(kernel, **options))  # type: ignore[arg-type]
        made[-1].create_vcpus(ram, count, cpu, threads)
        return made[-1]

    yield start
    for accelerator in made:
        accelerator.close()
