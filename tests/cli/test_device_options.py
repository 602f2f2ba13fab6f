# SPDX-License-Identifier: GPL-2.0-only
"""``-n`` and ``--9p``: what they take, and what they say to wrong input."""

from __future__ import annotations

import pytest

from lpar.backend.slirp import Addresses
from lpar.config.network import HostForward, NetworkConfig, mac_bytes, parse_network
from lpar.config.share import Share, check_shares, parse_share
from lpar.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("user", NetworkConfig()),
        ("mode=user", NetworkConfig()),
        ("none", NetworkConfig("none")),
        ("user,hostfwd=2222:22", NetworkConfig(hostfwd=(HostForward(False, "", 2222, "", 22),))),
        (
            "mode=user,hostfwd=udp:127.0.0.1:53:10.0.2.15:5353,hostfwd=tcp::80-:8080",
            NetworkConfig(
                hostfwd=(
                    HostForward(True, "127.0.0.1", 53, "10.0.2.15", 5353),
                    HostForward(False, "", 80, "", 8080),
                )
            ),
        ),
        ("tap,tapif=tap0,script=/etc/up", NetworkConfig("tap", tapif="tap0", script="/etc/up")),
        (
            "mode=tap,fd=3,guest_mac=02:00:00:AA:BB:01",
            NetworkConfig("tap", fd=3, guest_mac="02:00:00:aa:bb:01"),
        ),
        (
            "host_ip=192.168.33.1,guest_ip=192.168.33.15",
            NetworkConfig(host_ip="192.168.33.1", guest_ip="192.168.33.15"),
        ),
    ],
)
def test_networks(text: str, config: NetworkConfig) -> None:
    assert parse_network(text) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bridge", "unknown mode 'bridge'"),
        ("user,color=red", "unknown word 'color'"),
        ("user,hostfwd=22", "cannot be read"),
        ("user,hostfwd=0:22", "1 to 65535"),
        ("user,hostfwd=1:70000", "1 to 65535"),
        ("user,hostfwd=300.1.1.1:1:2", "300"),
        ("tap,hostfwd=1:2", "for mode=user"),
        ("user,tapif=tap0", "for mode=tap"),
        ("tap,tapif=a,fd=3", "both tapif and fd"),
        ("tap,fd=three", "no number"),
        ("user,guest_mac=02:00", "no MAC"),
        ("user,guest_mac=01:00:00:00:00:00", "multicast"),
        ("user,host_ip=1.2.3", "1.2.3"),
    ],
)
def test_wrong_networks(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_network(text)
    assert caught.value.hint


def test_each_card_has_its_own_address() -> None:
    assert mac_bytes(NetworkConfig(), 0) != mac_bytes(NetworkConfig(), 1)
    assert mac_bytes(NetworkConfig(guest_mac="02:00:00:00:00:09"), 5) == b"\x02\0\0\0\0\x09"


def test_addresses() -> None:
    assert Addresses().name_server() == "10.0.2.3"
    assert Addresses("10.0.2.3", "10.0.2.2").name_server() == "10.0.2.4"
    for guest, host in (("10.0.3.15", "10.0.2.2"), ("10.0.2.2", "10.0.2.2")):
        with pytest.raises(ConfigError, match="the guest cannot be"):
            Addresses(guest, host).network()


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("/home,home", Share("/home", "home")),
        ("/a,b,tag", Share("/a,b", "tag")),
        ("/a,tag,ro", Share("/a", "tag", read_only=True)),
        ("/a,tag,mapped,ro", Share("/a", "tag", True, True)),
        ("/a,ro", Share("/a", "ro")),
    ],
)
def test_shares(text: str, share: Share) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["/home", ",tag", "/home,", "/home," + "t" * 256])
def test_wrong_shares(text: str) -> None:
    with pytest.raises(ConfigError, match="tag") as caught:
        parse_share(text)
    assert caught.value.hint


def test_a_tag_twice() -> None:
    with pytest.raises(ConfigError, match="twice"):
        check_shares(("/a,t", "/b,t"))
