# SPDX-License-Identifier: GPL-2.0-only
"""``-n mode=user|tap|none,...``: a network card and what is behind it, in the reference's grammar."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from lpar.errors import ConfigError

MODES = ("user", "tap", "none")
_HINT = "for example -n user,hostfwd=2222:22 or -n tap,tapif=tap0 or -n none"
_FORWARD = re.compile(r"(?:(tcp|udp):)?(?:([\d.]*):)?(\d+)[:-](?:([\d.]*):)?(\d+)")
_PORTS = 65536


@dataclass(frozen=True, slots=True)
class HostForward:
    """A port of the host that leads to one of the guest; the default addresses are empty."""

    udp: bool
    address: str
    port: int
    guest: str
    guest_port: int


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """One card."""

    mode: str = "user"
    guest_ip: str | None = None
    host_ip: str | None = None
    guest_mac: str | None = None
    hostfwd: tuple[HostForward, ...] = field(default=())
    tapif: str = ""
    fd: int | None = None
    script: str | None = None
    downscript: str | None = None


def parse_network(text: str) -> NetworkConfig:
    """Read the option.  The mode's name may stand without ``mode=``.  Raises ConfigError."""
    config = NetworkConfig()
    for index, word in enumerate(text.split(",")):
        key, equals, value = word.partition("=")
        if not equals and index == 0:
            key, value = "mode", word
        read = _KEYS.get(key)
        if read is None:
            raise ConfigError(f"-n {text}: unknown word {key!r}", hint=f"known: mode, {', '.join(_KNOWN)}")
        if key == "hostfwd":
            config = replace(config, hostfwd=(*config.hostfwd, _forward(value)))
        else:
            config = replace(config, **{key: read(value)})
    return _checked(config, text)


def _checked(config: NetworkConfig, text: str) -> NetworkConfig:
    if config.hostfwd and config.mode != "user":
        raise ConfigError(f"-n {text}: hostfwd is for mode=user", hint=_HINT)
    if config.mode != "tap" and (config.tapif or config.fd is not None or config.script or config.downscript):
        raise ConfigError(f"-n {text}: tapif, fd and scripts are for mode=tap", hint=_HINT)
    if config.tapif and config.fd is not None:
        raise ConfigError(f"-n {text}: both tapif and fd", hint="a descriptor has its interface")
    return config


def _mode(value: str) -> str:
    if value not in MODES:
        raise ConfigError(f"-n: unknown mode {value!r}", hint=_HINT)
    return value


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError as err:
        raise ConfigError(f"-n: {err}", hint="for example host_ip=10.0.2.2") from None


def _mac(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", value):
        raise ConfigError(f"-n: {value!r} is no MAC address", hint="for example guest_mac=02:15:15:15:15:15")
    if int(value[:2], 16) & 1:
        raise ConfigError(f"-n: {value} is a multicast address", hint="the first byte must be even")
    return value.lower()


def mac_bytes(config: NetworkConfig, index: int) -> bytes:
    """The card's address: as given, or one for each card of the machine."""
    if config.guest_mac:
        return bytes.fromhex(config.guest_mac.replace(":", ""))
    return bytes([0x02, 0x15, 0x15, 0x15, 0x15, (0x15 + index) & 0xFF])


def _number(value: str) -> int:
    if not value.isdecimal():
        raise ConfigError(f"-n: {value!r} is no number of a descriptor", hint="for example fd=3")
    return int(value)


def _forward(value: str) -> HostForward:
    found = _FORWARD.fullmatch(value)
    hint = "hostfwd=[tcp:|udp:][ADDRESS:]PORT:GUEST-PORT, for example hostfwd=2222:22"
    if not found:
        raise ConfigError(f"-n: hostfwd={value} cannot be read", hint=hint)
    kind, address, port, guest, guest_port = found.groups()
    if not (0 < int(port) < _PORTS and 0 < int(guest_port) < _PORTS):
        raise ConfigError(f"-n: hostfwd={value}: a port is 1 to 65535", hint=hint)
    for each in (address, guest):
        if each:
            _address(each)
    return HostForward(kind == "udp", address or "", int(port), guest or "", int(guest_port))


def check_networks(texts: tuple[str, ...]) -> None:
    """Raise ConfigError for an option that cannot be."""
    for text in texts:
        parse_network(text)


_KEYS: dict[str, Callable[[str], Any]] = {
    "mode": _mode,
    "guest_ip": _address,
    "host_ip": _address,
    "guest_mac": _mac,
    "hostfwd": _forward,
    "tapif": str,
    "fd": _number,
    "script": str,
    "downscript": str,
}
_KNOWN = [key for key in _KEYS if key != "mode"]
