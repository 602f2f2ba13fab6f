# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.first [OPTIONS]``: adds what a boot runs to first.txt (LIST=common.txt).

The instructions listed there are compiled before a guest starts for the first time, the others while it runs.
The guest is ``lpar OPTIONS``; standard input goes to its shell:

    echo 'ls -lR /bin >/dev/null; poweroff -f' | python -m benchmarks.first boot debian --cpu POWER8
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from lpar.cli import main as cli
from lpar.cpu import build, builder, handlers
from lpar.cpu.decoder import Decoder
from lpar.cpu.engine import Engine
from lpar.cpu.native_code import RECORDS, STRIDE

LIST = Path(build.__file__).with_name(os.environ.get("LIST", "first.txt"))


def words(engine: Engine) -> set[int]:
    """The instruction words that the engine has decoded, in any mode."""
    found: set[int] = set()
    flags = engine.page_flags.map
    for page in range(engine.ram_size // 4096):
        if flags[page]:
            for region in engine.regions:
                at = region.address + page * STRIDE
                records = (ctypes.c_uint64 * (RECORDS // 8)).from_address(at)
                found |= {r & 0xFFFFFFFF for r in records if r}
    return found


def main() -> int:
    """Boot, collect, write the list."""
    close = Engine.close

    def collect(engine: Engine) -> None:
        builder.import_definitions()
        decode = Decoder(engine.model.isa)
        known = {handlers.title(v) for w in words(engine) if (v := decode(w)) is not None}
        known |= set(LIST.read_text().splitlines() if LIST.exists() else [])
        LIST.write_text("\n".join(sorted(known)) + "\n")
        print(f"{len(known)} variants in {LIST}", file=sys.stderr)
        close(engine)

    Engine.close = collect  # type: ignore[method-assign]
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
