# SPDX-License-Identifier: GPL-2.0-only
"""What a machine is: frozen dataclasses, validation; CLI, JSON and API all produce one."""

from lpar.config.machine import (
    ACCELERATORS,
    CONSOLES,
    CPU_MODELS,
    MAX_CPUS,
    MAX_MEMORY,
    TRANSPORTS,
    MachineConfig,
)

__all__ = ["ACCELERATORS", "CONSOLES", "CPU_MODELS", "MAX_CPUS", "MAX_MEMORY", "TRANSPORTS", "MachineConfig"]
