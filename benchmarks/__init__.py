# SPDX-License-Identifier: GPL-2.0-only
"""How fast lpar is, always beside qemu-system-ppc64 in the same run: ``make bench``."""
