# SPDX-License-Identifier: GPL-2.0-only
"""From a description to a wired, running machine, and to its exit status."""

from lpar.machine.accelerator import Accelerator
from lpar.machine.machine import Machine, run_machine

__all__ = ["Accelerator", "Machine", "run_machine"]
