# SPDX-License-Identifier: GPL-2.0-only
"""``lpar setup debian``: a Debian 12 root file system for ppc64el, without root and without another emulator.

Four stages, each of which goes on where it was stopped: packages are fetched into a cache, unpacked into
the folder, configured by dpkg in a guest that runs on the folder, and then, if asked for, made into a
disk image.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lpar import log
from lpar.backend.ninep.ids import Owner, store
from lpar.cli import apt, guests, kernels, unpack
from lpar.cli.command import BOOTSTRAP, INIT
from lpar.cli.image import make_image
from lpar.cli.options import command_line
from lpar.cli.roots import READY, Root, machine
from lpar.errors import HostError

ARCHITECTURE = "ppc64el"
PACKAGES = (
    "?essential",
    *("?and(?priority(required),?not(?name(^usrmerge$)))", "usr-is-merged", "apt", "systemd-sysv", "udev"),
    *("dbus", "kmod", "iproute2", "iputils-ping", "netbase", "procps", "less", "nano", "ca-certificates"),
)
CONFIGURE = "/var/lib/lpar/configure"
DONE = "lpar-setup: done"
TIMEOUT = 3600  #: seconds that the configuration may take

SCRIPT = f"""\
#!/bin/sh
# Written by lpar: configures the packages that the host has unpacked.
echo
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin LC_ALL=C HOME=/root TERM=dumb
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock
mount -t tmpfs -o mode=1777 tmpfs /tmp
ldconfig
if [ ! -e /var/lib/lpar/preinst-done ]; then
    for script in /var/lib/dpkg/info/*.preinst; do
        name=${{script##*/}}
        name=${{name%.preinst}}
        export DPKG_MAINTSCRIPT_PACKAGE=${{name%:*}} DPKG_MAINTSCRIPT_NAME=preinst
        export DPKG_MAINTSCRIPT_ARCH={ARCHITECTURE} DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1
        "$script" install || echo "lpar-setup: preinst of $name failed"
    done
    : > /var/lib/lpar/preinst-done
fi
if dpkg --configure -a --force-confdef; then
    passwd -q -d root
    rm -f /usr/sbin/policy-rc.d
    systemctl -q enable systemd-networkd
    depmod 2>/dev/null
    echo '{DONE}'
fi
sync
umount -a -t tmpfs 2>/dev/null
systemctl --force --force poweroff
"""
NETWORK = """\
[Match]
Type=ether

[Network]
DHCP=yes
IPv6AcceptRA=yes
"""


def set_up(root: Root, image_size: int | None) -> None:
    """Make ``root``, or go on making it; nothing to do when it is ready.  Raises HostError."""
    with guests.locked(root.where):
        if root.is_ready:
            log.info(f"{root.name} is set up already, in {root.where}")
            return
        try:
            root.where.mkdir(parents=True, exist_ok=True)
            _check_attributes(root.where)
            _all_stages(root, image_size)
        except OSError as err:
            raise HostError(f"cannot set up {root.where}: {err.strerror}", hint=_hint(err)) from None


def _hint(err: OSError) -> str:
    return "choose another place with XDG_DATA_HOME" if err.errno else "try again"


def _check_attributes(where: Path) -> None:
    """Mapped ids need user attributes.  Raises HostError where the file system has none."""
    try:
        store(str(where), Owner(0o40755, 0, 0, 0))
    except OSError:
        hint = "ext4, xfs and btrfs have them: choose another place with XDG_DATA_HOME"
        raise HostError(f"the file system of {where} has no user attributes", hint=hint) from None


def _all_stages(root: Root, image_size: int | None) -> None:
    stage = root.state().get("stage", "")
    if stage not in ("unpacked", "configured"):
        _unpack_all(root)
    if stage != "configured":
        _configure(root)
    if image_size is not None:
        make_image(root, image_size)
    root.set_state(stage=READY)
    log.info(f"{root.name} is ready; start it with: lpar run {root.name}")


def _unpack_all(root: Root) -> None:
    index = apt.Foreign(guests.cache_dir() / f"apt-{ARCHITECTURE}", ARCHITECTURE)
    debs = index.closure(PACKAGES)
    kernel = kernels.debian_kernel()
    root.set_state(stage="fetched", packages=[deb.name for deb in debs])
    unpack.prepare(root.folder)
    store(str(root.folder), Owner(0o40755, 0, 0, 0))
    controls = []
    for number, deb in enumerate(debs, 1):
        controls.append(unpack.unpack(deb, root.folder))
        log.progress(f"unpacking {len(debs)} packages", number, len(debs))
    _unpack_modules(kernel, root)
    _write_database(controls, root.folder)
    _write_settings(root, index.sources())
    root.set_state(stage="unpacked", kernel=kernel.version)


def _unpack_modules(kernel: kernels.Kernel, root: Root) -> None:
    """The kernel's modules, which dpkg need not know: lpar brings the kernel itself."""
    unpack.unpack_part(kernel.package, root.folder, "lib/modules")


def _write_database(controls: Sequence[unpack.Control], root: Path) -> None:
    entries = (unpack.status_entry(control, root) for control in controls)
    unpack.write_file(root, str(unpack.DPKG / "status"), "".join(entries))
    for name, text in unpack.triggers(list(controls)).items():
        unpack.write_file(root, str(unpack.DPKG / "triggers" / name), text)


def _write_settings(root: Root, sources: Sequence[str]) -> None:
    """What an installer would ask for."""
    for name, text in (
        ("etc/hostname", f"{root.name}\n"),
        ("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {root.name}\n::1 localhost ip6-localhost\n"),
        ("etc/fstab", "# the root comes from lpar\n"),
        ("etc/resolv.conf", "nameserver 10.0.2.3\n"),
        ("etc/apt/sources.list", "".join(f"{line}\n" for line in sources)),
        ("etc/systemd/network/80-lpar.network", NETWORK),
        ("etc/modprobe.d/lpar.conf", "# no wireless here\nalias net-pf-16-proto-16-family-nl80211 off\n"),
        ("etc/machine-id", ""),
    ):
        unpack.write_file(root.folder, name, text)
    unpack.write_file(root.folder, "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    unpack.write_file(root.folder, CONFIGURE[1:], SCRIPT, 0o755)
    unpack.write_file(root.folder, INIT[1:], BOOTSTRAP, 0o755)
    master = root.folder / "usr/share/base-passwd"
    for name in ("passwd", "group"):
        unpack.write_file(root.folder, f"etc/{name}", (master / f"{name}.master").read_text())


def _configure(root: Root) -> None:
    """Run dpkg in a guest on the folder.  Raises HostError with the guest's last lines."""
    words = shlex.split(command_line(machine(root, init=CONFIGURE, quiet=True)))[1:]
    command = [sys.executable, "-m", "lpar", *words, "--quiet", "--timeout", str(TIMEOUT)]
    total = len(root.state().get("packages", ())) or 1
    log.info(f"configuring {total} packages in a guest")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process, (root.where / "configure.log").open("w", buffering=1) as keep:
        said = _follow(process.stdout, keep, total)
    if said is not None:
        hint = f"see {root.where / 'configure.log'}; the same command goes on from there"
        raise HostError(f"the guest did not configure its packages: {said}", hint=hint)
    shutil.rmtree(root.folder / "var/lib/lpar", ignore_errors=True)
    root.set_state(stage="configured")


def _follow(output: IO[bytes], keep: IO[str], total: int) -> str | None:
    """Show how far the guest is; None if it says that it is done, else its last words."""
    words, done, finished = "nothing", 0, False
    for raw in output:
        line = raw.decode(errors="replace").rstrip()
        keep.write(line + "\n")
        if line and "rror" not in words:
            words = line
        if "Setting up " in line:
            done += 1
            log.progress("configuring", min(done, total - 1), total)
            log.debug(line)
        if line.endswith(DONE):  # the kernel's last words may stand before it
            finished = True
            log.progress("configuring", total, total)
    return None if finished else words.strip()
