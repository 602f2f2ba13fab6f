# SPDX-License-Identifier: GPL-2.0-only
"""Descriptions that the tests of this directory share."""

from __future__ import annotations

import pytest

from lpar.papr.device_tree import Description, EventSource, Vty

RTAS_CALLS = (
    "display-character",
    "get-time-of-day",
    "set-time-of-day",
    "power-off",
    "system-reboot",
    "query-cpu-stopped-state",
    "start-cpu",
    "stop-self",
    "ibm,get-system-parameter",
    "ibm,set-xive",
    "ibm,get-xive",
    "ibm,int-off",
    "ibm,int-on",
    "check-exception",
    "event-scan",
    "nvram-fetch",
    "nvram-store",
    "ibm,os-term",
)


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
        rtas_tokens={name: 0x2000 + n for n, name in enumerate(RTAS_CALLS)},
        hypertas=("hcall-pft", "hcall-term", "hcall-splpar", "hcall-set-mode"),
        vtys=(Vty(irq=0x1000),),
        nvram_size=65536,
        random=True,
        event_sources=(EventSource("epow-events", 0x1001),),
        name="guest",
        uuid="8e9b8411-3914-47cf-b2d5-cf261c2e636d",
        rng_seed=bytes(range(32)),
    )
