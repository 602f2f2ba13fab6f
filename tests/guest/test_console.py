# SPDX-License-Identifier: GPL-2.0-only
"""The console under load: nothing lost, nothing changed, nothing out of order, in both directions."""

from __future__ import annotations

import hashlib
import os
import random
import re

from lpar.testing.shell import PROMPT, Shell

SIZE = int(os.environ.get("LPAR_TEST_CONSOLE_BYTES", 1 << 20))  #: an emulated host needs 100 s for a mebibyte
#: Linux's hvc driver takes Ctrl-O on the console for SysRq and drops NUL after CR (hvc_console.c, hvc_vio.c).
TAKEN_BY_LINUX = {0x00, 0x0F}


def noise(count: int) -> bytes:
    """Bytes of all values that the guest's driver lets through; the same in every run."""
    allowed = bytes(set(range(256)) - TAKEN_BY_LINUX)
    return bytes(random.Random(2).choices(allowed, k=count))


def test_a_mebibyte_into_the_guest(shared: Shell) -> None:
    data = noise(SIZE)
    take = f"head -c {SIZE} > /run/in"
    shared.session.send(f"stty raw -echo; echo '<'go'>'; {take}; stty sane; echo '<'done'>'")
    shared.session.expect("<go>\r?\n")
    shared.session.send_bytes(data)
    shared.session.expect(r"<done>\r?\n")
    shared.session.expect(PROMPT)
    assert shared.run("sha256sum < /run/in; rm /run/in").split()[0] == hashlib.sha256(data).hexdigest()


def test_a_mebibyte_out_of_the_guest(shared: Shell) -> None:
    sum = shared.run(f"head -c {SIZE} /dev/urandom > /run/out; sha256sum < /run/out").split()[0]
    shared.session.send("stty raw; echo '<'go'>'; cat /run/out; stty sane; rm /run/out")
    shared.session.expect("<go>\n")
    assert hashlib.sha256(shared.session.read(SIZE)).hexdigest() == sum
    shared.session.expect(PROMPT)


def test_pasted_lines(shared: Shell) -> None:
    """Lines in cooked mode, faster than the guest reads them."""
    shared.session.send("stty -echo; cat > /run/pasted")
    shared.session.expect("pasted\r\n")
    shared.session.send_bytes(b"".join(b"line %05d\n" % n for n in range(1000)) + b"\x04")
    shared.session.expect(PROMPT)
    shared.run("stty echo")
    found = shared.run("wc -l < /run/pasted; sha256sum < /run/pasted; rm /run/pasted").split()
    wanted = hashlib.sha256(b"".join(b"line %05d\n" % n for n in range(1000))).hexdigest()
    assert found[:2] == ["1000", wanted]


def test_much_output_in_order(shared: Shell) -> None:
    assert shared.run("seq 1 5000").split("\n") == [str(n) for n in range(1, 5001)]


def test_terminal_facts(shared: Shell) -> None:
    """The shell's terminal is hvc0, a controlling one."""
    assert shared.run("tty") == "/dev/hvc0"
    assert re.search(r"\bhvc0\b", shared.run("cat /proc/consoles"))
