# SPDX-License-Identifier: GPL-2.0-only
"""Linux's own 9p client on our server: three folders, one passed, one read-only, one mapped."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from tests.guest.conftest import Boot

from lpar.backend.ninep.ids import stored

MOUNT = "mount -t 9p -o trans=virtio,version=9p2000.L"


def test_shared_folders(linux: Boot, tmp_path: Path) -> None:
    """Data both ways, names, links, modes, owners, devices, locks; nothing outside."""
    for name in ("passed", "fixed", "mapped", "outside"):
        (tmp_path / name).mkdir()
    data = os.urandom(3_000_000)
    (tmp_path / "fixed" / "data").write_bytes(data)
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "passed" / "away").symlink_to("../outside/secret")
    options = [f"{tmp_path}/passed,p", f"{tmp_path}/fixed,f,ro", f"{tmp_path}/mapped,m,mapped"]
    shell = linux(*(word for option in options for word in ("--9p", option))).ready()
    for tag, more in (("p", ""), ("f", ",msize=1048576"), ("m", ",cache=loose")):
        shell.run(f"mkdir -p /{tag} && {MOUNT}{more} {tag} /{tag}")

    assert shell.run("sha256sum < /f/data").split()[0] == hashlib.sha256(data).hexdigest()
    assert shell.try_run("touch /f/new 2>/dev/null")[0] == 1
    assert shell.try_run("cat /p/away 2>/dev/null") == (1, ""), "a link means the guest's own files"
    assert shell.try_run("ls /p/.. | grep outside")[0] == 1

    shell.run("dd if=/dev/urandom of=/p/big bs=64k count=100 2>/dev/null; mkdir /p/d; mv /p/big /p/d/moved")
    written = (tmp_path / "passed" / "d" / "moved").read_bytes()
    assert shell.run("sha256sum < /p/d/moved").split()[0] == hashlib.sha256(written).hexdigest()
    assert len(written) == 100 << 16
    shell.run("for n in $(seq 300); do echo $n > /p/d/$n; done; rm /p/d/1??")
    assert shell.run("ls /p/d | wc -l") == "201"
    assert shell.run("echo one > /p/log; echo two >> /p/log; ln /p/log /p/hard; cat /p/hard") == "one\ntwo"

    shell.run(
        "echo x > /m/file; chown 1234:55 /m/file; chmod 4711 /m/file; mknod /m/null c 1 3; ln -s file /m/link"
    )
    assert shell.run("stat -c '%u %g %a' /m/file") == "1234 55 4711"
    assert shell.run("echo gone > /m/null; stat -c '%F %t %T' /m/null") == "character special file 1 3"
    told = stored(str(tmp_path / "mapped" / "file"))
    assert told is not None
    assert (told.uid, told.gid, stat.S_IMODE(told.mode)) == (1234, 55, 0o4711)
    assert stat.S_ISREG((tmp_path / "mapped" / "null").stat().st_mode)
    assert (tmp_path / "mapped" / "null").stat().st_size == 0

    assert shell.run("umount /p; umount /m; umount /f; dmesg | grep -c 9p.*[Ee]rror; true") == "0"
    assert shell.power_off() == 0
