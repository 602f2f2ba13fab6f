# SPDX-License-Identifier: GPL-2.0-only
"""``python -m lpar``."""

from lpar.cli.main import entry

if __name__ == "__main__":
    entry()
