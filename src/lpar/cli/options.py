# SPDX-License-Identifier: GPL-2.0-only
"""The options that describe a machine, once: parser, help and the re-runnable line derive from OPTIONS."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from lpar.config import ACCELERATORS, CONSOLES, CPU_MODELS, TRANSPORTS, MachineConfig
from lpar.errors import ConfigError
from lpar.units import format_size, parse_size


@dataclass(frozen=True, slots=True)
class Option:
    """One option.  ``read`` turns its text into the field's value, ``show`` turns that back into text.

    No ``metavar`` means a switch; ``aliases`` are other tools' spellings, left out of the help.  Several
    of a ``many`` option are joined by a space; those of a ``repeat`` option make a tuple.
    """

    field: str
    flags: tuple[str, ...]
    help: str
    metavar: str | None = None
    read: Callable[[str], Any] = str
    show: Callable[[Any], str] = str
    aliases: tuple[str, ...] = ()
    many: bool = False
    repeat: bool = False


def _memory(text: str) -> int:
    return parse_size(text, what="-m")


def _cpus(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"-c: {text!r} is not a number of CPUs", hint="for example -c 2") from None


def _model(text: str) -> str:
    return text.lower() if text.lower() == "auto" else text.upper()


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--timeout: {text!r} is not a number of seconds") from None


def _of(names: tuple[str, ...]) -> str:
    return "|".join(names)


OPTIONS: tuple[Option, ...] = (
    Option("kernel", ("-k", "--kernel"), "kernel image; a bare argument is the same", "FILE"),
    Option("initrd", ("-i", "--initrd"), "initial RAM disk", "FILE", aliases=("--initramfs",)),
    Option(
        "params",
        ("-p", "--params"),
        "kernel command line; several are joined by a space",
        "TEXT",
        aliases=("--append", "--cmdline"),
        many=True,
    ),
    Option(
        "memory",
        ("-m", "--mem"),
        "RAM: K, M, G, T, or MiB when bare (1G)",
        "SIZE",
        _memory,
        format_size,
        ("--memory",),
    ),
    Option("cpus", ("-c", "--cpus"), "number of virtual CPUs (1)", "N", _cpus, aliases=("--smp",)),
    Option("cpu", ("--cpu",), f"CPU model: {_of(CPU_MODELS)} (auto)", "MODEL", _model),
    Option("accel", ("--accel",), f"what runs the guest: {_of(ACCELERATORS)} (auto)", "NAME"),
    Option(
        "irqchip", ("--irqchip",), "under KVM: interrupts in the kernel (auto) or in lpar (user)", "WHERE"
    ),
    Option("console", ("--console",), f"console: {_of(CONSOLES)} (hv)", "NAME"),
    Option("name", ("--name",), "name of the guest (guest-PID)", "NAME"),
    Option(
        "hugetlbfs",
        ("--hugetlbfs",),
        "take RAM from this hugetlbfs mount; 'default' is the one of 16M pages",
        "PATH",
    ),
    Option(
        "disks",
        ("-d", "--disk"),
        "disk: FILE[,ro][,overlay][,direct][,serial=TEXT][,queues=N]; several make vda, vdb, ...",
        "DISK",
        repeat=True,
    ),
    Option(
        "virtio_transport",
        ("--virtio-transport",),
        f"how the guest reaches virtio devices: {_of(TRANSPORTS)} (for drivers from before virtio 1.0)",
        "NAME",
    ),
    Option("rng", ("--rng",), "a source of random numbers (virtio)"),
    Option(
        "networks",
        ("-n", "--network"),
        "network card: [mode=]user|tap|none, then hostfwd=PORT:GUEST-PORT, guest_mac=MAC, guest_ip=IP,"
        " host_ip=IP, tapif=NAME, fd=N, script=FILE, downscript=FILE",
        "MODE,...",
        repeat=True,
    ),
    Option("no_dhcp", ("--no-dhcp",), "user network without DHCP"),
    Option(
        "shares",
        ("--9p",),
        "share a folder by virtio-9p; ro: read-only, mapped: owners and modes kept in attributes",
        "DIR,TAG[,ro][,mapped]",
        repeat=True,
    ),
    Option("dump_dtb", ("--dump-dtb",), "write the device tree to FILE", "FILE"),
    Option("dry_run", ("--dry-run",), "set all up, but do not run"),
    Option(
        "timeout", ("--timeout",), "end the run after S seconds with status 124", "S", _seconds, "{:g}".format
    ),
    Option("no_reboot", ("--no-reboot",), "end the run when the guest reboots"),
    Option("debug_hcall", ("--debug-hcall",), "show every hypercall on stderr"),
    Option("debug_rtas", ("--debug-rtas",), "show every RTAS call on stderr"),
    Option("debug_mmio", ("--debug-mmio",), "show every access outside RAM on stderr"),
    Option(
        "profile",
        ("--profile",),
        "write a profile of the guest: a flame graph (SVG) and a file for speedscope, in DIR/ or beside FILE",
        "PATH",
    ),
    Option("quiet", ("-q", "--quiet"), "nothing on stderr but errors"),
    Option("verbose", ("-v", "--verbose"), "more on stderr"),
)


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError in place of printing the usage."""
        raise ConfigError(message, hint=f"see: {self.prog} --help")


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    if option.field == "verbose":
        parser.add_argument(*option.flags, dest="verbose", action="count", help=option.help)
        return
    if option.metavar is None:
        parser.add_argument(
            *option.flags, dest=option.field, action="store_true", default=None, help=option.help
        )
        return
    action = "append" if option.many or option.repeat else "store"
    parser.add_argument(
        *option.flags, dest=option.field, metavar=option.metavar, action=action, help=option.help
    )
    if option.aliases:
        parser.add_argument(*option.aliases, dest=option.field, action=action, help=argparse.SUPPRESS)


def make_parser(command: str, description: str) -> Parser:
    """A parser for ``lpar <command>`` that knows all OPTIONS and a bare kernel argument."""
    parser = Parser(prog=f"lpar {command}", description=description, allow_abbrev=False)
    for option in OPTIONS:
        _add(parser, option)
    return parser


def _values(space: argparse.Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for option in OPTIONS:
        value = getattr(space, option.field)
        if value is None:
            continue
        values[option.field] = _value(option, value)
    return values


def _value(option: Option, given: Any) -> Any:
    if option.repeat:
        return tuple(option.read(text) for text in given)
    if option.many:
        given = " ".join(given)
    return option.read(given) if option.metavar else given


def config_from(space: argparse.Namespace, base: MachineConfig | None = None) -> MachineConfig:
    """The checked machine that the parsed arguments describe, over ``base``.

    Parameters of ``base`` come before those of the command line.  Raises ConfigError.
    """
    base = base or MachineConfig()
    values = _values(space)
    bare = getattr(space, "bare_kernel", None)
    if bare is not None:
        if "kernel" in values:
            raise ConfigError(
                f"two kernels: {values['kernel']} and {bare}", hint="give -k or a bare argument"
            )
        values["kernel"] = bare
    if base.params and values.get("params"):
        values["params"] = f"{base.params} {values['params']}"
    return dataclasses.replace(base, **values).validate()


def with_name(config: MachineConfig) -> MachineConfig:
    """Give a nameless machine the default name, ``guest-<pid>``."""
    return config if config.name else dataclasses.replace(config, name=f"guest-{os.getpid()}")


_ALWAYS = ("kernel", "memory", "cpus", "name")


def command_line(config: MachineConfig) -> str:
    """``lpar run ...``, quoted for the shell, that starts the same machine again."""
    words: list[str] = ["lpar", "run"]
    default = MachineConfig()
    for option in OPTIONS:
        value = getattr(config, option.field)
        if value is None or (value == getattr(default, option.field) and option.field not in _ALWAYS):
            continue
        words += _words(option, value)
    return shlex.join(words)


def _words(option: Option, value: Any) -> Sequence[str]:
    flag = option.flags[0]
    if option.metavar is None:
        return [flag] * int(value)
    if option.repeat:
        return [word for one in value for word in _one(option, option.show(one))]
    return _one(option, option.show(value))


def _one(option: Option, text: str) -> Sequence[str]:
    flag = option.flags[0]
    if not text.startswith("-"):
        return [flag, text]
    return [f"{option.flags[-1]}={text}"]
