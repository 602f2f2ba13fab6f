# SPDX-License-Identifier: GPL-2.0-only
"""Linux's own driver on our network card, the host behind it."""

from __future__ import annotations

import hashlib
import http.server
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.guest.conftest import Boot
from tests.guest.test_machines import BROKEN

from lpar.cli.kernels import Kernel
from lpar.testing.console import Session
from lpar.testing.shell import LPAR, Shell

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


_SERVER = """
import hashlib, socket, sys, threading
data = open(sys.argv[1], "rb").read()
with socket.create_server(("192.168.77.1", 7000)) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    with connection:
        send = lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR))
        sender = threading.Thread(target=send)
        sender.start()
        got = hashlib.sha256()
        while piece := connection.recv(1 << 20):
            got.update(piece)
        sender.join()
print(got.hexdigest())
"""


def _may_make_taps() -> bool:
    """Whether a network name space of our own and a tap in it can be had."""
    words = ["unshare", "--net", "ip", "tuntap", "add", "dev", "lpar0", "mode", "tap"]
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def test_tap(debian_kernel: Kernel, tmp_path: Path) -> None:
    """A tap in a name space of its own: ping, 20 MB both ways at once in large segments, sums."""
    if not _may_make_taps():
        pytest.skip("no tap interface to be had here")
    data = random.Random(5).randbytes(SIZE)
    (tmp_path / "data").write_bytes(data)
    command = [*LPAR, "boot", "linux", "-n", "tap,host_ip=192.168.77.1", "--9p", f"{tmp_path},here,ro"]
    with Session(["unshare", "--net", *command]) as session:
        shell = Shell(session).ready()
        shell.run("ip link set eth0 up; ip addr add 192.168.77.15/24 dev eth0")
        shell.run("mkdir -p /s; mount -t 9p -o trans=virtio,version=9p2000.L here /s")
        assert "1 packets received" in shell.run("ping -c 1 -s 8000 192.168.77.1")
        inside = ["nsenter", "-t", str(session.process.pid), "-n"]
        program = [*inside, sys.executable, "-c", _SERVER, str(tmp_path / "data")]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            got = shell.run("nc 192.168.77.1 7000 < /s/data | sha256sum", 300)
            sent = server.stdout.readline().strip()
        assert got.split()[0] == sent == hashlib.sha256(data).hexdigest()
        agreed = shell.run("cat /sys/class/net/eth0/device/features")
        assert [agreed[bit] for bit in (0, 1, 7, 11)] == ["1"] * 4, "checksums and segments, both ways"
        assert not BROKEN.search(shell.run("dmesg"))
        assert shell.power_off() == 0
