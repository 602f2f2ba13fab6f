# SPDX-License-Identifier: GPL-2.0-only
"""Random file operations as one script of bash, which a guest and the host both play.

Each line prints a status or a sum, so that two file systems can be compared step by step.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

OPERATIONS = 600
TOGETHER = 60  #: operations between two pauses
NAMES = ("a", "b", "c", "d/a", "d/b", "d/e/f", "d/e/g")
DIRECTORIES = ("d", "d/e", "x", "x/y")

HEAD = """\
umask 022
mkdir -p d/e
say() { echo "$1 $2"; }
sum() { [ -f "$1" ] && sha256sum < "$1" | cut -c 1-16 || echo none; }
pattern() { yes "$1" | head -c "$2"; }
"""
TAIL = """\
find . -mindepth 1 ! -name play.sh -printf '%p %y %m %l\\n' | sort
find . -type f ! -name play.sh | sort | xargs -r sha256sum
"""


def program(seed: int, count: int, pause: str = "") -> str:
    """The script: ``count`` operations, the same for the same seed; ``pause`` between some of them."""
    dice = random.Random(seed)
    lines = [f"{_operation(dice)} 2>/dev/null; say {number} $?\n" for number in range(count)]
    parts = ("".join(lines[at : at + TOGETHER]) for at in range(0, count, TOGETHER))
    return HEAD + f"{pause}\n".join(parts) + TAIL


def _operation(dice: random.Random) -> str:
    name, other = dice.choice(NAMES), dice.choice(NAMES)
    directory = dice.choice(DIRECTORIES)
    at, size = dice.randrange(200_000), dice.randrange(1, 70_000)
    data = f"pattern {dice.randrange(10**6)} {size}"
    into = f"{data} | dd of={name} conv=notrunc"
    part = f"dd if={name} bs=4096 skip={at} count={size} iflag=skip_bytes,count_bytes"
    return dice.choice(
        (
            f"{into} bs=4096 seek={at} oflag=seek_bytes",
            f"{into} bs=64k oflag=append",
            f"{data} > {name}",
            f"truncate -s {at} {name}",
            f"sum {name}",
            f"sum {name}",
            f"{part} | sha256sum | cut -c 1-16",
            f"mv {name} {other}",
            f"ln {name} {other}",
            f"ln -s {name} {other}",
            f"rm {name}",
            f"chmod {dice.choice(('600', '644', '755', '400'))} {name}",
            f"mkdir {directory}",
            f"rmdir {directory}",
            f"mv {directory} x",
            f"cp -a {name} {other}",
            f"ls -A {directory} | sort",
            f"stat -c '%s %a %h %F' {name}",
            f"exec 5> {name}; rm {name}; pattern 7 {size} >&5; exec 5>&-",
            f"sync {name}",
        )
    )


def play_on(folder: Path) -> bytes:
    """Play the script that is in ``folder`` on the host; what it prints."""
    words = ["bash", "play.sh"]
    return subprocess.run(words, cwd=folder, capture_output=True, check=True).stdout
