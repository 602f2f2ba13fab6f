# SPDX-License-Identifier: GPL-2.0-only
"""A 9P2000.L file server without I/O of its own: messages in, messages out, over one shared folder."""

from lpar.backend.ninep.export import Export
from lpar.backend.ninep.server import Server

__all__ = ["Export", "Server"]
