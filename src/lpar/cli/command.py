# SPDX-License-Identifier: GPL-2.0-only
"""``lpar run ROOT -- CMD``: a command in a guest, with current folder, standard streams, own exit status.

The root's own ``/usr/lib/lpar/init`` mounts a share called ``lpar`` and runs the script there, which is
written for each run.  The current folder is at /host.  Where standard input and output are a terminal,
the command has the console as its terminal; else its streams are ports of a virtio console.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lpar import log
from lpar.cli.options import with_name
from lpar.cli.running import announced
from lpar.cli.streams import Streams
from lpar.config import MachineConfig
from lpar.config.network import parse_network

INIT = "/usr/lib/lpar/init"
CONTROL, HERE = "lpar", "here"
VANISHED = 255

#: What every root has as INIT: it hands over to the script of the run; ``lpar.sandbox``: root unchanged.
BOOTSTRAP = f"""\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lpar
mount -t 9p -o trans=virtio,version=9p2000.L,ro {CONTROL} /run/lpar || exec poweroff -ff
case " $(cat /proc/cmdline) " in
    *" lpar.sandbox "*)
        modprobe overlay
        mkdir -p /run/o
        mount -t tmpfs tmpfs /run/o
        mkdir /run/o/upper /run/o/work /run/o/root
        layers=lowerdir=/,upperdir=/run/o/upper,workdir=/run/o/work
        mount -t overlay -o $layers overlay /run/o/root || exec poweroff -ff
        for each in proc sys dev; do mount --rbind /$each /run/o/root/$each; done
        mkdir -p /run/o/root/run/lpar
        mount --move /run/lpar /run/o/root/run/lpar
        exec chroot /run/o/root sh /run/lpar/start ;;
esac
exec sh /run/lpar/start
"""

_START = """\
export HOME=/root USER=root LOGNAME=root
hostname {name} 2>/dev/null
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p /run/lock /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd
ip link set lo up
{network}
mkdir -p /host
mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=mmap {here} /host && cd /host
for port in /sys/class/virtio-ports/*; do
    read name < "$port/name" && ln -sf "/dev/${{port##*/}}" "/run/$name"
done 2>/dev/null
export TERM={term}
set -- {command}
{run}
status=$?
echo $status > /run/lpar.status
cd /
umount /host
sync
echo o > /proc/sysrq-trigger
while :; do sleep 1; done
"""
_PIPES = '"$@" < /run/lpar.stdin > /run/lpar.stdout 2> /run/lpar.stderr'
_TERMINAL = 'stty rows {rows} cols {columns} < /dev/hvc0\nsetsid -c -w "$@" < /dev/hvc0 > /dev/hvc0 2>&1'
_USER_NETWORK = """\
ip link set eth0 up
ip addr add {guest}/24 dev eth0
ip route add default via {host}"""


def run_command(config: MachineConfig, command: Sequence[str], *, sandbox: bool = False) -> int:
    """Run ``command`` in the machine ``config``; its exit status.

    255 when the guest ended before it, 124 after ``--timeout``.  Raises LparError.
    """
    config = with_name(config)
    log.set_level(quiet=config.quiet, verbose=config.verbose)
    terminal = os.isatty(0) and os.isatty(1)
    with _control(_script(config, command, terminal)) as folder, _console(terminal) as (input_fd, output_fd):
        streams = Streams()
        config = dataclasses.replace(
            config,
            shares=(*config.shares, f"{folder},{CONTROL},ro", f"{os.getcwd()},{HERE}"),
            params=f"{config.params} lpar.sandbox" if sandbox else config.params,
        )
        try:
            with announced(config):
                status = _run(config, streams, input_fd, output_fd)
        finally:
            streams.close()
    if status:
        return status
    if streams.status is None:
        log.error("the guest ended before its command did", "run it without -- to see its console")
        return VANISHED
    return streams.status


def _run(config: MachineConfig, streams: Streams, input_fd: int, output_fd: int) -> int:
    from lpar.host.tty import ensure_standard_fds
    from lpar.machine import Machine

    ensure_standard_fds()
    return Machine(config, input_fd=input_fd, output_fd=output_fd, devices=[streams.device]).run()


def _script(config: MachineConfig, command: Sequence[str], terminal: bool) -> str:
    columns, rows = os.get_terminal_size(1) if terminal else (80, 24)
    return _START.format(
        name=config.name,
        network=_network(config),
        here=HERE,
        term=shlex.quote(os.environ.get("TERM", "dumb") if terminal else "dumb"),
        command=shlex.join(command),
        run=_TERMINAL.format(rows=rows, columns=columns) if terminal else _PIPES,
    )


def _network(config: MachineConfig) -> str:
    """Set the first card up by hand, if its network is the user's: that is quicker than DHCP."""
    from lpar.backend.slirp import Addresses

    if not config.networks or parse_network(config.networks[0]).mode != "user":
        return ":"
    told, default = parse_network(config.networks[0]), Addresses()
    return _USER_NETWORK.format(guest=told.guest_ip or default.guest, host=told.host_ip or default.host)


@contextlib.contextmanager
def _control(script: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="lpar-command-") as folder:
        (Path(folder) / "start").write_text(script, errors="surrogateescape")
        yield folder


@contextlib.contextmanager
def _console(terminal: bool) -> Iterator[tuple[int, int]]:
    """The descriptors of the machine's console: ours on a terminal, else nobody's."""
    if terminal:
        yield 0, 1
        return
    fd = os.open(os.devnull, os.O_RDWR)
    try:
        yield fd, fd
    finally:
        os.close(fd)
