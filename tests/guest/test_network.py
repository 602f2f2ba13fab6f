# SPDX-License-Identifier: GPL-2.0-only
"""Linux's own driver on our network card, the host behind it."""

from __future__ import annotations

import hashlib
import http.server
import random
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.guest.conftest import Boot

SIZE = 20_000_000
UP = "modprobe virtio_pci; modprobe virtio_net; ip link set eth0 up; udhcpc -i eth0 -n -q -s /bin/true"
LISTENS = ":0007 [0-9A-F:]* 0A "  #: a socket at port 7, as /proc/net/tcp shows it
SCRIPT = "ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2"


class _Pages(http.server.BaseHTTPRequestHandler):
    """GET answers random bytes, PUT keeps what comes."""

    data = random.Random(4).randbytes(SIZE)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        self.wfile.write(self.data)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def pages() -> Iterator[int]:
    """The port of an HTTP server on the host's loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def _collect(server: socket.socket, into: list[bytes]) -> None:
    connection, _ = server.accept()
    with connection:
        while piece := connection.recv(1 << 20):
            into.append(piece)


def test_user_network(boot: Boot, pages: int) -> None:
    """DHCP, ping, 20 MB down and up by TCP, a forwarded port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    shell = boot("-n", f"user,hostfwd=127.0.0.1:{port}:7").ready()
    assert "lease of 10.0.2.15 obtained from 10.0.2.2" in shell.run(UP + " 2>&1")
    shell.run(SCRIPT)
    assert "1 packets received" in shell.run("ping -c 1 10.0.2.2")
    down = shell.run(f"wget -q -O - http://10.0.2.2:{pages}/ | sha256sum")
    assert down.split()[0] == hashlib.sha256(_Pages.data).hexdigest()
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_collect, args=(server, got))
        thread.start()
        shell.run(f"dd if=/dev/urandom of=/tmp/f bs=64k count={SIZE >> 16} 2>/dev/null")
        shell.run(f"nc 10.0.2.2 {server.getsockname()[1]} < /tmp/f")
        thread.join()
    assert shell.run("sha256sum < /tmp/f").split()[0] == hashlib.sha256(b"".join(got)).hexdigest()
    shell.run("(nc -l -p 7 < /proc/version &)")
    shell.run(f"until grep -qs '{LISTENS}' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done")
    with socket.create_connection(("127.0.0.1", port), 30) as peer:
        assert peer.recv(1000).startswith(b"Linux version")
    assert shell.power_off() == 0
