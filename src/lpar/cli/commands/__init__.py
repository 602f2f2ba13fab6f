# SPDX-License-Identifier: GPL-2.0-only
"""One module per command: its docstring's first line is the summary, ``run(args) -> status`` the command.

Only the module of the command that was asked for is imported, so that a start stays quick.
"""
