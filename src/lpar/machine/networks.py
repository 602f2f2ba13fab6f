# SPDX-License-Identifier: GPL-2.0-only
"""From ``-n`` to the network behind a card."""

from __future__ import annotations

from lpar.backend.network import Network
from lpar.backend.slirp import Addresses, Forward, UserNetwork
from lpar.backend.tap import TapNetwork
from lpar.config.network import NetworkConfig


def open_network(config: NetworkConfig, *, dhcp: bool = True) -> Network:
    """Raises ConfigError and HostError for a network that cannot be had."""
    if config.mode == "tap":
        return TapNetwork(
            config.tapif,
            fd=config.fd,
            host_ip=config.host_ip,
            script=config.script,
            downscript=config.downscript,
        )
    default = Addresses()
    addresses = Addresses(
        config.guest_ip or _beside(config.host_ip) or default.guest, config.host_ip or default.host, dhcp
    )
    forwards = [
        Forward(
            each.udp, each.address or "0.0.0.0", each.port, each.guest or addresses.guest, each.guest_port
        )
        for each in config.hostfwd
    ]
    return UserNetwork(addresses, forwards)


def _beside(host_ip: str | None) -> str | None:
    """A guest's address in the host's network."""
    return f"{host_ip.rpartition('.')[0]}.15" if host_ip else None
