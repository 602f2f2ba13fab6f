# SPDX-License-Identifier: GPL-2.0-only
"""Accelerators: the Vcpu/Exit protocol and what implements it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

from lpar.errors import ConfigError, HostError


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs the guest."""

    name: str  #: ``jit`` or ``interp``
    why: str = ""  #: lpar's reason; empty where the user chose

    def make(self, progress: Any = None) -> Any:
        """A new accelerator for one boot; ``progress`` (what, done, total) hears of its preparation."""
        from lpar.accel.soft import SoftAccelerator

        return SoftAccelerator(progress, jit=self.name == "jit")


def choose(name: str, progress: Any = None) -> Choice:
    """What ``--accel NAME`` is on this host: ``auto`` is compiled code where that can be had.

    Raises ConfigError for a name that is none, HostError where the host cannot do what was asked for.
    """
    if name == "interp":
        return Choice(name)
    if name not in ("auto", "jit"):
        raise ConfigError(f"no accelerator {name} here", hint="use --accel auto, jit or interp")
    from lpar.accel.soft import no_jit

    obstacle = no_jit(progress)
    if name == "auto":
        return Choice("interp", f"{_no_kvm()}; {obstacle}") if obstacle else Choice("jit", _no_kvm())
    if obstacle:
        raise HostError(f"--accel jit: {obstacle}", hint="use --accel interp or auto")
    return Choice(name)


def _no_kvm() -> str:
    """Why it is not the host's KVM."""
    machine = platform.machine()
    if machine.startswith("ppc64"):
        return "this host's KVM is not supported yet"
    return f"no KVM for POWER guests on {machine}"
