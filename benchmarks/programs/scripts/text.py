# SPDX-License-Identifier: GPL-2.0-only
"""Strings, dictionaries, sorting, regular expressions: the words of this machine's own library."""

import re

with open("/data/text") as file:
    words = re.findall(r"[a-z_]{3,}", file.read(400000).lower())
count = {}
for word in words:
    count[word] = count.get(word, 0) + 1
for word, times in sorted(count.items(), key=lambda item: (-item[1], item[0]))[:40]:
    print(word, times)
print(len(words), len("".join(sorted(count, reverse=True))))
