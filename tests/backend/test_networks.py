# SPDX-License-Identifier: GPL-2.0-only
"""User networking and tap, by a guest of a few frames."""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.backend.frames import (
    ACK,
    ARP,
    FIN,
    GUEST,
    HOST,
    ICMP,
    SYN,
    TCP,
    UDP,
    Card,
    checksum,
    ethernet,
    ipv4,
    is_ip,
    segment,
    tcp,
    udp,
)

from lpar.backend import libslirp
from lpar.backend.checksum import complete, ones_sum
from lpar.backend.network import F_GUEST_CSUM, HEADER_SIZE
from lpar.backend.slirp import Addresses, Forward, UserNetwork
from lpar.backend.tap import TapNetwork
from lpar.errors import ConfigError, LparError

Connect = Callable[..., Card]


@pytest.fixture
def connect() -> Iterator[Connect]:
    cards: list[Card] = []

    def start(
        *, features: int = 0, addresses: Addresses | None = None, forwards: tuple[Forward, ...] = ()
    ) -> Card:
        cards.append(Card(UserNetwork(addresses, forwards), features))
        return cards[-1]

    yield start
    for card in cards:
        card.close()


def _reference_sum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f">{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def test_checksum() -> None:
    dice = random.Random(1)
    for size in (0, 1, 2, 3, 8, 9, 10, 20, 21, 1459, 1460, 65535):
        for data in (dice.randbytes(size), bytes(size), b"\xff" * size):
            assert ones_sum(data) == _reference_sum(data), size


def test_a_checksum_outside_the_frame_is_left_alone() -> None:
    frame = bytes(range(60))
    for start, offset in ((60, 0), (0, 59), (0xFFFF, 0xFFFF), (58, 1)):
        header = struct.pack("<BBHHHHH", 1, 0, 0, 0, start, offset, 0)
        assert complete(frame, header) == frame
    assert complete(frame, struct.pack("<BBHHHHH", 1, 0, 0, 0, 58, 0, 0))[:58] == frame[:58]


def test_arp_and_ping(connect: Connect) -> None:
    card = connect()
    request = struct.pack(
        ">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, b"\x02\x15\x15\x15\x15\x15", GUEST, bytes(6), HOST
    )
    card.send(ethernet(ARP, request))
    assert card.wait(lambda f: f[12:14] == b"\x08\x06" and f[21] == 2)[28:32] == HOST
    _ping(card)
    assert card.wait(is_ip(ICMP))[34:36] == b"\0\0", "echo reply"


def test_dhcp(connect: Connect) -> None:
    card = connect(addresses=Addresses("192.168.33.15", "192.168.33.1"))
    offer = _discover(card)
    assert offer[16:20] == socket.inet_aton("192.168.33.15")
    assert socket.inet_aton("192.168.33.2") in offer[240:], "the name server"


def _discover(card: Card) -> bytes:
    _send_discover(card)
    return card.wait(is_ip(UDP))[42:]


def _send_discover(card: Card) -> None:
    bootp = (
        struct.pack(">BBBBIHH", 1, 1, 6, 0, 1234, 0, 0) + bytes(16) + b"\x02\x15\x15\x15\x15\x15" + bytes(202)
    )
    data = bootp + b"\x63\x82\x53\x63" + b"\x35\x01\x01\xff" + bytes(60)
    head = struct.pack(">HHHH", 68, 67, 8 + len(data), 0)
    card.send(ipv4(UDP, head + data, b"\xff" * 4, bytes(4)))


def _ping(card: Card) -> None:
    echo = struct.pack(">BBHHH", 8, 0, 0, 7, 1) + b"lpar" * 10
    card.send(ipv4(ICMP, echo[:2] + struct.pack(">H", checksum(echo)) + echo[4:]))


def test_no_dhcp(connect: Connect) -> None:
    """Of two questions only the second is answered."""
    card = connect(addresses=Addresses(dhcp=False))
    _send_discover(card)
    _ping(card)
    answer = card.wait(lambda frame: is_ip(UDP)(frame) or is_ip(ICMP)(frame))
    assert is_ip(ICMP)(answer)


def test_udp_to_the_hosts_loopback(connect: Connect) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        card = connect()
        card.send(udp(server.getsockname()[1], b"ping" * 1000))
        data, sender = server.recvfrom(65536)
        assert data == b"ping" * 1000
        server.sendto(b"pong", sender)
        assert card.wait(is_ip(UDP))[42:] == b"pong"


@pytest.mark.parametrize("partial", [False, True])
def test_tcp_both_ways(connect: Connect, partial: bool) -> None:
    """Whole and partial checksums; a segment far longer than a frame, as segmentation offload sends it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        card = connect(features=F_GUEST_CSUM)
        port = server.getsockname()[1]
        header = struct.pack("<BBHHHHH", int(partial), 0, 0, 0, 34, 16, 0)
        card.send(tcp(4000, port, 100, 0, SYN, partial=partial), header)
        seq, ack, flags, _ = segment(card.wait(is_ip(TCP)))
        assert (ack, flags) == (101, SYN | ACK)
        payload = os.urandom(40000)
        card.send(tcp(4000, port, 101, seq + 1, ACK, partial=partial), header)
        card.send(tcp(4000, port, 101, seq + 1, ACK, payload, partial=partial), header)
        peer, _ = server.accept()
        with peer:
            peer.settimeout(20)
            assert _receive(peer, len(payload)) == payload
            peer.sendall(b"answer")
            data = b""
            while not data:
                header_back, frame = card.frames.get(timeout=20)
                if is_ip(TCP)(frame):
                    data = segment(frame)[3]
            assert data == b"answer"
            assert header_back == b"\x02" + bytes(HEADER_SIZE - 1), "its checksum is known to be right"


def _receive(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := peer.recv(65536)):
        data += piece
    return data


def test_host_forwarding(connect: Connect) -> None:
    port = _free_port()
    card = connect(forwards=(Forward(False, "127.0.0.1", port, "10.0.2.15", 22),))
    errors: list[BaseException] = []

    def client() -> None:
        try:
            with socket.create_connection(("127.0.0.1", port), 20) as s:
                assert s.recv(100) == b"hello from the guest"
        except BaseException as err:
            errors.append(err)

    thread = threading.Thread(target=client)
    thread.start()
    frame = card.wait(is_ip(TCP))
    source, to = struct.unpack_from(">HH", frame, 34)
    seq, _, flags, _ = segment(frame)
    assert (to, flags) == (22, SYN)
    card.send(tcp(22, source, 500, seq + 1, SYN | ACK))
    card.wait(lambda f: is_ip(TCP)(f) and segment(f)[1] == 501)
    card.send(tcp(22, source, 501, seq + 1, ACK, b"hello from the guest"))
    thread.join(20)
    assert errors == []
    card.send(tcp(22, source, 521, seq + 1, FIN | ACK))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on TCP port {port}"):
            UserNetwork(None, [Forward(False, "127.0.0.1", port, "10.0.2.15", 22)])


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libslirp, "LIBRARY", "libnothing.so.0")
    with pytest.raises(ConfigError, match=r"no libnothing\.so\.0") as caught:
        UserNetwork()
    assert caught.value.hint and "apt-get install" in caught.value.hint


def test_a_second_machine_on_the_same_network(connect: Connect) -> None:
    """After a reboot the guest's new card finds the network as it was."""
    network = UserNetwork()
    first = Card(network)
    _discover(first)
    assert first.worker.stop()
    network.stop()
    card = Card(network)
    _discover(card)
    card.close()


def test_any_frames(connect: Connect) -> None:
    """A hostile guest's frames, headers and lengths: the network goes on."""
    card = connect(features=F_GUEST_CSUM)
    dice = random.Random(7)
    whole = [
        tcp(4000, 9, 1, 2, ACK, b"data"),
        udp(53, b"query"),
        udp(67, bytes(300)),
        tcp(4001, 9, 1, 0, SYN),
    ]
    for turn in range(int(os.environ.get("LPAR_FUZZ_EXAMPLES", "400"))):
        frame = bytearray(dice.choice(whole) if turn % 3 else dice.randbytes(dice.randrange(0, 2000)))
        for _ in range(dice.randrange(4)):
            if frame:
                frame[dice.randrange(len(frame))] = dice.randrange(256)
        cut = dice.randrange(len(frame) + 1) if turn % 5 == 0 else len(frame)
        card.send(bytes(frame[:cut]), dice.randbytes(HEADER_SIZE))
    card.send(bytes(70000))
    _discover(card)


# -- tap ------------------------------------------------------------------------------------


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def tap() -> Iterator[TapNetwork]:
    if os.geteuid() or not os.path.exists("/dev/net/tun") or not shutil.which("ip"):
        pytest.skip("a tap interface needs root, /dev/net/tun and ip")
    try:
        yield TapNetwork("lpartest0", host_ip="10.0.2.2")
    except LparError as err:
        pytest.skip(err.message)


def test_tap(tap: TapNetwork) -> None:
    """The host answers a ping through its own stack."""
    card = Card(tap)
    with pytest.raises(LparError, match="in use"):
        TapNetwork("lpartest0")
    echo = struct.pack(">BBHHH", 8, 0, 0, 7, 1) + b"lpar" * 10
    with open("/proc/sys/net/ipv6/conf/lpartest0/disable_ipv6", "w") as file:
        file.write("1")
    request = struct.pack(
        ">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, b"\x02\x15\x15\x15\x15\x15", GUEST, bytes(6), HOST
    )
    card.send(ethernet(ARP, request))
    mac = card.wait(lambda f: f[12:14] == b"\x08\x06" and f[21] == 2)[6:12]
    frame = ipv4(ICMP, echo[:2] + struct.pack(">H", checksum(echo)) + echo[4:])
    card.send(mac + frame[6:])
    assert card.wait(is_ip(ICMP))[34:36] == b"\0\0"
    card.close()


def test_a_descriptor_that_is_no_tap() -> None:
    with open(os.devnull) as file, pytest.raises(ConfigError, match="not of a tap"):
        TapNetwork(fd=file.fileno())
    with pytest.raises(ConfigError, match="cannot be used"):
        TapNetwork(fd=12345)
