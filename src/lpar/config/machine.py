# SPDX-License-Identifier: GPL-2.0-only
"""What a machine is, as the user describes it: plain, frozen, checked data."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from lpar.config.disk import parse_disk
from lpar.config.network import check_networks
from lpar.config.share import check_shares
from lpar.errors import ConfigError
from lpar.units import GIB, TIB, format_size

CPU_MODELS = ("auto", "POWER8", "POWER9", "POWER10")
ACCELERATORS = ("auto", "kvm", "jit", "interp")
IRQCHIPS = ("auto", "user")
CONSOLES = ("hv", "virtio")
TRANSPORTS = ("pci", "pci-legacy")
MAX_CPUS = 2048
MAX_MEMORY = 63 * TIB  #: bytes; MMIO begins there (the reference's SPAPR memory map)
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """One machine.  ``memory`` in bytes, ``timeout`` in seconds; paths are kept as the user wrote them."""

    kernel: str | None = None
    initrd: str | None = None
    params: str = ""
    memory: int = GIB
    cpus: int = 1
    console: str = "hv"
    virtio_transport: str = "pci"
    name: str | None = None
    hugetlbfs: str | None = None
    rng: bool = False
    disks: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    no_dhcp: bool = False
    accel: str = "auto"
    irqchip: str = "auto"
    cpu: str = "auto"
    dump_dtb: str | None = None
    dry_run: bool = False
    timeout: float | None = None
    no_reboot: bool = False
    debug_hcall: bool = False
    debug_rtas: bool = False
    debug_mmio: bool = False
    profile: str | None = None
    quiet: bool = False
    verbose: int = 0

    def validate(self) -> MachineConfig:
        """Return self.  Raises ConfigError for the first thing that cannot be."""
        _check_kernel(self)
        _check_memory(self.memory)
        _check_cpus(self.cpus)
        _check_name(self.name)
        _check_timeout(self.timeout)
        _check_choice("CPU model", self.cpu, CPU_MODELS, "--cpu")
        _check_choice("accelerator", self.accel, ACCELERATORS, "--accel")
        _check_choice("interrupt controller", self.irqchip, IRQCHIPS, "--irqchip")
        _check_choice("console", self.console, CONSOLES, "--console")
        _check_choice("virtio transport", self.virtio_transport, TRANSPORTS, "--virtio-transport")
        _check_text("kernel parameters", self.params)
        for disk in self.disks:
            _check_text("disk", parse_disk(disk).path)
        check_shares(self.shares)
        check_networks(self.networks)
        return self

    def to_json(self) -> str:
        """All fields as one JSON object; ``from_json`` reads it back."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> MachineConfig:
        """Read what ``to_json`` wrote; absent fields have their defaults.

        Raises ConfigError for what is not JSON, unknown fields, wrong types and wrong values.
        """
        try:
            data = json.loads(text)
        except ValueError as err:
            raise ConfigError(f"machine description: not JSON: {err}") from None
        if not isinstance(data, dict):
            raise ConfigError("machine description: a JSON object is wanted")
        known = {field.name: str(field.type) for field in dataclasses.fields(cls)}
        for key, value in data.items():
            _check_type(key, value, known)
        return cls(**{key: _from_json(value) for key, value in data.items()}).validate()


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "bool": (bool,),
    "float | None": (int, float, type(None)),
    "tuple[str, ...]": (list, tuple),
}


def _from_json(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check_type(key: str, value: Any, known: dict[str, str]) -> None:
    if key not in known:
        raise ConfigError(f"machine description: unknown field {key!r}", hint=f"known: {', '.join(known)}")
    right = isinstance(value, _JSON_TYPES[known[key]]) and (known[key] == "bool") == isinstance(value, bool)
    if not right:
        raise ConfigError(f"machine description: {key} is {value!r}, not {known[key]}")


def _check_kernel(config: MachineConfig) -> None:
    if not config.kernel:
        raise ConfigError("no kernel", hint="give one with -k FILE, or try: lpar boot debian")
    _check_text("kernel", config.kernel)
    _check_text("initrd", config.initrd or "")


def _check_memory(memory: int) -> None:
    if memory <= 0:
        raise ConfigError("no memory", hint="for example -m 1G")
    if memory >= MAX_MEMORY:
        raise ConfigError(
            f"memory of {format_size(memory)} is too much",
            hint=f"below {format_size(MAX_MEMORY)}, where the guest's MMIO begins",
        )
    if memory % 65536:
        raise ConfigError(f"memory of {memory} bytes is not a multiple of 64K", hint="for example -m 1G")


def _check_cpus(cpus: int) -> None:
    if not 1 <= cpus <= MAX_CPUS:
        raise ConfigError(f"{cpus} CPUs cannot be had", hint=f"1 to {MAX_CPUS}, for example -c 2")


def _check_name(name: str | None) -> None:
    if name is None:
        return
    if (
        not name
        or len(name) > MAX_NAME
        or not all(c.isalnum() or c in "-_." for c in name)
        or name[0] in "-."
    ):
        raise ConfigError(
            f"name {name!r} cannot be used",
            hint=f"letters, digits, '-', '_' and '.', at most {MAX_NAME}, beginning with a letter or digit",
        )


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise ConfigError(f"timeout of {timeout:g} seconds cannot be", hint="a number above 0")


def _check_choice(what: str, value: str, known: tuple[str, ...], option: str) -> None:
    if value not in known:
        raise ConfigError(f"unknown {what} {value!r}", hint=f"{option} takes {', '.join(known)}")


def _check_text(what: str, text: str) -> None:
    if "\0" in text:
        raise ConfigError(f"{what}: a NUL character inside")
