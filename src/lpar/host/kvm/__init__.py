# SPDX-License-Identifier: GPL-2.0-only
"""/dev/kvm: its ABI (``abi``) and the calls that the accelerator makes (``device``)."""
