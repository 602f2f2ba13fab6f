# SPDX-License-Identifier: GPL-2.0-only
"""The rig: an emulated POWER host with /dev/kvm, in which lpar runs guests on the host's KVM."""
