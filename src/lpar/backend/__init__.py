# SPDX-License-Identifier: GPL-2.0-only
"""What stands behind devices on the host's side: shared folders, networks, disks."""
