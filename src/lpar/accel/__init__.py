# SPDX-License-Identifier: GPL-2.0-only
"""Accelerators: the Vcpu/Exit protocol and what implements it."""

from __future__ import annotations

from typing import Any

from lpar.errors import ConfigError


def choose(name: str, progress: Any = None) -> Any:
    """The accelerator called ``name``: ``auto``, ``jit``, ``interp`` or ``kvm``.  Raises ConfigError."""
    if name in ("auto", "jit", "interp"):
        from lpar.accel.soft import SoftAccelerator

        return SoftAccelerator(progress, jit=name != "interp")
    raise ConfigError(f"no accelerator {name} here", hint="use --accel auto, jit or interp")
