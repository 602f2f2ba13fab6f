# SPDX-License-Identifier: GPL-2.0-only
"""Accelerators: the Vcpu/Exit protocol and what implements it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lpar.accel.kvm_probe import obstacle as no_kvm
from lpar.errors import ConfigError, HostError


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs the guest."""

    name: str  #: ``kvm``, ``jit`` or ``interp``
    why: str = ""  #: lpar's reason; empty where the user chose
    kernel_irqs: bool = True  #: interrupts inside the kernel, where KVM offers that

    def make(self, progress: Any = None) -> Any:
        """A new accelerator for one boot; ``progress`` (what, done, total) hears of its preparation."""
        if self.name == "kvm":
            from lpar.accel.kvm import KvmAccelerator

            return KvmAccelerator(kernel_irqs=self.kernel_irqs)
        from lpar.accel.soft import SoftAccelerator

        return SoftAccelerator(progress, jit=self.name == "jit")


def choose(name: str, progress: Any = None, *, irqchip: str = "auto") -> Choice:
    """What ``--accel NAME`` is on this host: ``auto`` is KVM, else compiled code, where that can be had.

    Raises ConfigError for a name that is none, HostError where the host cannot do what was asked for.
    """
    if name == "interp":
        return Choice(name)
    if name not in ("auto", "kvm", "jit"):
        raise ConfigError(f"no accelerator {name} here", hint="use --accel auto, kvm, jit or interp")
    against = "" if name == "jit" else no_kvm()
    if name == "kvm" and against:
        raise HostError(f"--accel kvm: {against}", hint="use --accel auto or jit")
    if name == "kvm" or (name == "auto" and not against):
        return Choice("kvm", "" if name == "kvm" else "this host has it", irqchip != "user")
    return _soft(name, against, progress)


def _soft(name: str, against: str, progress: Any) -> Choice:
    """Our engine; ``against`` is what speaks against KVM."""
    try:
        from lpar.accel.soft import no_jit

        problem = no_jit(progress)
    except ImportError as err:
        reason = f"{against}; no {err.name} for the CPU engine" if against else f"no {err.name} here"
        raise HostError(reason, hint="install llvmlite, or make KVM available") from None
    if name == "auto":
        return Choice("interp", f"{against}; {problem}") if problem else Choice("jit", against)
    if problem:
        raise HostError(f"--accel jit: {problem}", hint="use --accel interp or auto")
    return Choice(name)
