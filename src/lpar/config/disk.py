# SPDX-License-Identifier: GPL-2.0-only
"""What a disk is, as the user describes it: ``FILE[,ro][,overlay][,direct][,serial=S][,queues=N]``."""

from __future__ import annotations

from dataclasses import dataclass

from lpar.errors import ConfigError

FORMATS = ("auto", "raw")
MAX_QUEUES = 16
SERIAL_SIZE = 20  #: bytes that a guest can ask for
_HINT = "FILE[,ro][,overlay][,direct][,serial=TEXT][,queues=N][,format=raw]"
_SWITCHES = {"ro": "read_only", "overlay": "overlay", "direct": "direct"}


@dataclass(frozen=True, slots=True)
class DiskConfig:
    """One disk.  ``overlay`` keeps changes beside the image until the run ends."""

    path: str
    read_only: bool = False
    overlay: bool = False
    direct: bool = False
    serial: str = ""
    queues: int = 1
    format: str = "auto"


def parse_disk(text: str) -> DiskConfig:
    """Read what stands after ``-d``; a comma in the path is written twice.  Raises ConfigError."""
    path, *words = (part.replace("\0", ",") for part in text.replace(",,", "\0").split(","))
    if not path:
        raise ConfigError(f"disk {text!r} names no file", hint=_HINT)
    values: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and key in _SWITCHES:
            values[_SWITCHES[key]] = True
        elif equals and key in ("serial", "queues", "format"):
            values[key] = _number(value) if key == "queues" else value
        else:
            raise ConfigError(f"disk {path}: {word!r} is no option of a disk", hint=_HINT)
    return _check(DiskConfig(path, **values))  # type: ignore[arg-type]


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_QUEUES:
        raise ConfigError(f"queues={text}: 1 to {MAX_QUEUES} can be had")
    return int(text)


def _check(disk: DiskConfig) -> DiskConfig:
    if disk.format not in FORMATS:
        hint = "raw is; qemu-img convert -O raw IMAGE NEW turns others into it"
        raise ConfigError(f"disk {disk.path}: format {disk.format!r} is not known", hint=hint)
    if len(disk.serial.encode()) > SERIAL_SIZE:
        raise ConfigError(f"disk {disk.path}: a serial number has at most {SERIAL_SIZE} bytes")
    if disk.read_only and disk.overlay:
        raise ConfigError(f"disk {disk.path}: ro and overlay exclude each other", hint="give one of them")
    return disk
