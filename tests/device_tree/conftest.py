# SPDX-License-Identifier: GPL-2.0-only
"""Descriptions that the tests of this directory share."""

from __future__ import annotations

import pytest

import lpar.papr.partition  # noqa: F401  (registers every call)
from lpar.papr.device_tree import Description, EventSource, Vty
from lpar.papr.registry import hypertas_functions, rtas_tokens


@pytest.fixture
def full() -> Description:
    """A description with every part that the tree can have."""
    return Description(
        ram_size=4 << 30,
        cpus=4,
        threads=1,
        bootargs="console=hvc0",
        initrd=(0x4000000, 0x4123456),
        rtas=(0x3F0_0000, 20),
        rtas_tokens=rtas_tokens(),
        hypertas=hypertas_functions(),
        vtys=(Vty(irq=0x1000),),
        nvram_size=65536,
        random=True,
        event_sources=(EventSource("epow-events", 0x1001),),
        name="guest",
        uuid="8e9b8411-3914-47cf-b2d5-cf261c2e636d",
        rng_seed=bytes(range(32)),
    )
