# SPDX-License-Identifier: GPL-2.0-only
"""What the guest asks of the machine as a whole: the items of ``Partition.events``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PowerOff:
    """RTAS power-off: the guest is done."""


@dataclass(frozen=True, slots=True)
class Reboot:
    """RTAS system-reboot: start over."""


@dataclass(frozen=True, slots=True)
class Panic:
    """RTAS ibm,os-term: the operating system died; ``message`` is what it said."""

    message: str


Event = PowerOff | Reboot | Panic
