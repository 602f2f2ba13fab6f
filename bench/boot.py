# SPDX-License-Identifier: GPL-2.0-only
"""Time from the command to the guest's shell prompt, lpar beside qemu-system-ppc64.

``python -m bench.boot [--rounds N] [--cpus N] [--memory SIZE] [--params TEXT]`` runs both in turn on the
same kernel and initrd, and prints each time, the medians and their ratio (below 1: lpar is faster).
The last line alone is the result, for scripts: ``ratio 1.23``.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from lpar.cli.guests import Guest, debian_installer

PROMPT = b"~ # "
LIMIT = 300.0  #: seconds that a guest has to reach its prompt


def time_to_prompt(command: Sequence[str]) -> float:
    """Run ``command`` until its output has PROMPT; the seconds it took.  Raises RuntimeError."""
    begin = time.perf_counter()
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    assert process.stdin is not None and process.stdout is not None
    try:
        _read_until_prompt(process.stdout.fileno(), begin + LIMIT)
        return time.perf_counter() - begin
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _read_until_prompt(fd: int, deadline: float) -> None:
    seen = b""
    while PROMPT not in seen:
        left = deadline - time.perf_counter()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise RuntimeError(f"no prompt within {LIMIT:g} s; last output:\n{_tail(seen)}")
        data = os.read(fd, 65536)
        if not data:
            raise RuntimeError(f"ended before the prompt; last output:\n{_tail(seen)}")
        seen = (seen + data)[-4096:]


def _tail(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").splitlines()[-5:])


def commands(guest: Guest, options: argparse.Namespace) -> dict[str, list[str]]:
    """The command of each contender, for the same machine."""
    params = f"{guest.params} {options.params}".strip()
    files = [str(guest.kernel), str(guest.shell_initrd)]
    lpar = [sys.executable, "-m", "lpar", "run", "-k", files[0], "-i", files[1], "-p", params]
    lpar += ["-m", options.memory, "-c", str(options.cpus), *options.lpar.split()]
    qemu = [shutil.which("qemu-system-ppc64") or "qemu-system-ppc64", "-M", "pseries", "-cpu", "POWER9"]
    qemu += ["-nodefaults", "-vga", "none", "-display", "none", "-serial", "stdio", "-m", options.memory]
    qemu += ["-smp", str(options.cpus), "-kernel", files[0], "-initrd", files[1], "-append", params]
    return {"lpar": lpar, "qemu": qemu}


def measure(options: argparse.Namespace) -> float:
    """Print the table; the ratio of the medians."""
    contenders = commands(debian_installer(), options)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    print("seconds from the command to the shell prompt")
    print(f"warm-up  lpar {time_to_prompt(contenders['lpar']):7.2f}")
    for number in range(1, options.rounds + 1):
        for name, command in contenders.items():
            times[name].append(time_to_prompt(command))
        print(
            f"round {number}  " + "  ".join(f"{name} {times[name][-1]:7.2f}" for name in contenders),
            flush=True,
        )
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("median   " + "  ".join(f"{name} {value:7.2f}" for name, value in medians.items()))
    return medians["lpar"] / medians["qemu"]


def main() -> int:
    """The command line; the status is 1 when a guest does not come up."""
    parser = argparse.ArgumentParser(prog="python -m bench.boot")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--params", default="", help="more kernel parameters, for both")
    parser.add_argument("--lpar", default="", help="more options for lpar run")
    try:
        print(f"ratio {measure(parser.parse_args()):.2f}")
    except (RuntimeError, OSError) as err:
        print(f"bench: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
