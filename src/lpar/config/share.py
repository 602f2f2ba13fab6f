# SPDX-License-Identifier: GPL-2.0-only
"""``--9p FOLDER,TAG[,ro][,mapped]``: a folder of the host that the guest may mount."""

from __future__ import annotations

from dataclasses import dataclass

from lpar.errors import ConfigError

_HINT = "--9p takes FOLDER,TAG and then ro, mapped; the guest: mount -t 9p -o trans=virtio TAG /mnt"
MAX_TAG = 255


@dataclass(frozen=True, slots=True)
class Share:
    """A folder, the name it is mounted by, whether the guest may write, whether ids are mapped."""

    folder: str
    tag: str
    read_only: bool = False
    mapped: bool = False


def parse_share(text: str) -> Share:
    """Read the option.  A folder's name may have commas.  Raises ConfigError."""
    words = text.split(",")
    flags: set[str] = set()
    while len(words) > 2 and words[-1] in ("ro", "rw", "mapped"):
        flags.add(words.pop())
    if len(words) < 2:
        raise ConfigError(f"--9p {text}: no tag", hint=_HINT)
    folder, tag = ",".join(words[:-1]), words[-1]
    if not folder or not tag or len(tag.encode()) > MAX_TAG or "\0" in text:
        raise ConfigError(f"--9p {text}: no folder or no tag", hint=_HINT)
    return Share(folder, tag, "ro" in flags, "mapped" in flags)


def check_shares(texts: tuple[str, ...]) -> None:
    """Raise ConfigError for an option that cannot be, or a tag used twice."""
    tags = [parse_share(text).tag for text in texts]
    for tag in tags:
        if tags.count(tag) > 1:
            raise ConfigError(f"--9p: the tag {tag} is there twice", hint="give each folder its own")
