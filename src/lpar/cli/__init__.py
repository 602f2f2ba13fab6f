# SPDX-License-Identifier: GPL-2.0-only
"""The command line: one file per command under ``commands``, no logic beyond parse, call, print."""
