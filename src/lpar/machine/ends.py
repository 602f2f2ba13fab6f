# SPDX-License-Identifier: GPL-2.0-only
"""Why a run ended, and the exit status that says so."""

from __future__ import annotations

import signal
from dataclasses import dataclass

POWERED_OFF = 0
TIMED_OUT = 124
VANISHED = 255  #: panicked, or can never run again


@dataclass(frozen=True, slots=True)
class End:
    """The machine's own reason to end: exit status, and what to say at which severity."""

    status: int
    message: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Something of ours broke in a vCPU's thread; the main thread raises ``error``."""

    error: BaseException


def killed_by(number: signal.Signals) -> End:
    """A signal asked lpar to end: the status is what a shell reports for it."""
    return End(128 + number, f"ended by {number.name}")
