# SPDX-License-Identifier: GPL-2.0-only
"""The exception tree: every fault is classed by its owner.

* the guest's (:class:`GuestError`) is answered to the guest, or ends the run with status 255;
* the host's (:class:`HostError`) names the errno and what was tried;
* the user's (:class:`ConfigError`) carries a message and a ``hint:``;
* ours (:class:`InternalError`) says that it is a bug in lpar.
"""

from __future__ import annotations


class LparError(Exception):
    """Base of all errors that the command line reports in one line.

    ``hint`` is what the user can do about it; ``status`` the process exit status.
    """

    status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(LparError):
    """The user asked for something that cannot be: options, files, sizes."""

    status = 2


class HostError(LparError):
    """The host refused: a system call failed, memory cannot be had."""


class GuestError(LparError):
    """The guest did something that the machine cannot go on from."""

    status = 255


class InternalError(LparError):
    """A bug in lpar."""
