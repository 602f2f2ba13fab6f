# SPDX-License-Identifier: GPL-2.0-only
"""What the rig does on its own: ``python3 -m tests.kvm.rig.inside WHAT``, with WHAT ``test`` or ``boot``.

``test``: the KVM tests and the guests' tests on the real /dev/kvm, a race with QEMU's own KVM, and last a
boot to be seen.  ``boot`` is that last part alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from lpar.cli.guests import debian_installer
from lpar.testing.console import Session
from lpar.testing.shell import BOOT_TIMEOUT, LPAR, PROMPT

ROUNDS = 2
PYTEST = (sys.executable, "-m", "pytest")
SAY = ("uname -a", "grep -E '^(cpu|machine|MMU)' /proc/cpuinfo", "cat /sys/devices/system/cpu/online")
FAILURE = ("FAILED tests/", "ERROR tests/")  #: how pytest's lines about failures begin
MOST_AGAIN = 5  #: failed tests that are tried again: more are no accident
UNIT_TESTS = ("tests/kvm",)
GUEST_TESTS = (
    *("tests/guest/test_boot.py", "tests/guest/test_machines.py", "tests/guest/test_console.py"),
    *("tests/guest/test_ends.py", "tests/guest/test_control.py", "tests/guest/test_time.py"),
    *("tests/guest/test_wrong_input.py", "tests/guest/test_virtio.py"),
)
#: one of a kind is enough here: the emulated host is slow
NOT_AGAIN = (
    "not (4 and CPUs or test_memory and (512M or 16G)"
    " or test_ended_from_outside and (HUP or INT or keys-boot))"
)


def say(text: str) -> None:
    """One line of the rig's own."""
    print(f"rig: {text}", flush=True)


def tests(title: str, files: Sequence[str]) -> list[str]:
    """Run tests, one line for each; what to say of failures at the end, nothing when all passed.

    What failed is tried once more, by itself: the emulated host stands still for seconds when the machine
    beneath it is busy, and a console that one test left in disorder fails the next ones.
    """
    say(title)
    status, failed = _pytest(files)
    if not status:
        return []
    for line in failed:
        say(line)
    if not failed or len(failed) > MOST_AGAIN:
        return [f"{title}: pytest ended with status {status}", *failed]
    say("what failed, once more")
    status, again = _pytest([_name(line) for line in failed])
    return [f"the second time too: {line}" for line in again or failed] if status else []


def _pytest(tests: Sequence[str]) -> tuple[int, list[str]]:
    """Run pytest, showing what it prints; its status and its lines about what failed."""
    words = [*PYTEST, "-v", "-k", NOT_AGAIN, *tests]
    env = os.environ | {"COLUMNS": "160"}  # for the reasons in the lines about failures
    failed = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, errors="replace", env=env) as run:
        assert run.stdout is not None
        for line in run.stdout:
            print(line, end="", flush=True)
            if line.startswith(FAILURE):
                failed.append(line.rstrip())
    return run.returncode, failed


def _name(line: str) -> str:
    """The test that a line about a failure names: ``FAILED tests/a.py::test_b[c] - AssertionError``."""
    return line.split(" - ")[0].split(" ", 1)[1]


def qemu() -> list[str]:
    """QEMU with its own KVM on the same guest.  What the nested host cannot offer has to be said."""
    guest = debian_installer()
    caps = "cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"
    machine = ["-M", f"pseries,accel=kvm,ic-mode=xics,{caps}", "-cpu", "host", "-m", "1G"]
    nothing_else = ["-nodefaults", "-vga", "none", "-display", "none", "-serial", "stdio"]
    files = ["-kernel", str(guest.kernel), "-initrd", str(guest.shell_initrd), "-append", guest.params]
    return ["qemu-system-ppc64", *machine, *nothing_else, *files]


def lpar() -> list[str]:
    """lpar on the same files."""
    guest = debian_installer()
    return [*LPAR, "run", "-k", str(guest.kernel), "-i", str(guest.shell_initrd), "-p", guest.params]


def to_shell(command: Sequence[str]) -> float:
    """Seconds from the start of ``command`` to the guest's prompt."""
    begin = time.monotonic()
    with Session(command) as session:
        session.expect(PROMPT, BOOT_TIMEOUT)
        return time.monotonic() - begin


def race() -> None:
    """Time to the shell, ours beside QEMU's, in turn: shown, not judged."""
    best: dict[str, float] = {}
    for number in range(ROUNDS):
        for name, command in (("lpar", lpar()), ("qemu", qemu())):
            seconds = to_shell(command)
            best[name] = min(best.get(name, seconds), seconds)
            say(f"round {number + 1}: {name} to the shell in {seconds:.1f} s")
    ratio = best["lpar"] / best["qemu"]
    say(f"time to shell, best of {ROUNDS}: lpar {best['lpar']:.1f} s, QEMU {best['qemu']:.1f} s: {ratio:.2f}")


def boot(cpus: int = 1) -> bool:
    """Boot to a shell for all to see, type at it, power off."""
    say(f"lpar boot debian -c {cpus}")
    with Session([*LPAR, "boot", "debian", "-c", str(cpus)]) as session:
        session.expect(PROMPT, BOOT_TIMEOUT)
        for line in SAY:
            session.send(line)
            session.expect(PROMPT, BOOT_TIMEOUT)
        session.send("poweroff -f")
        status = session.wait(BOOT_TIMEOUT)
    print(session.stderr, end="")
    print(session.output.decode(errors="replace").replace("\r", ""), flush=True)
    say(f"the guest ended with status {status}")
    return status == 0


def _test() -> bool:
    failed = tests("tests of the KVM accelerator", UNIT_TESTS) + tests("tests of guests", GUEST_TESTS)
    race()
    booted = [boot(1), boot(2)]
    for line in failed:
        say(line)  # once more, where it is seen
    return all(booted) and not failed


WHAT: dict[str, Callable[[], bool]] = {"test": _test, "race": lambda: race() or True, "boot": boot}

if __name__ == "__main__":
    sys.exit(not WHAT[sys.argv[1]]())
