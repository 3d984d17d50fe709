"""Text: patterns are sought and replaced in a long sequence, its parts are counted. Strings, lists and dicts grow."""

import re
from collections.abc import Iterator
from zlib import crc32

import pyhost

LINE = 60
"""Letters in a line."""

PATTERNS = ("agggtaaa|tttaccct", "[cgt]gggtaaa|tttaccc[acg]", "a[act]ggtaaa|tttacc[agt]t", "(?:ag|ct){3,}", "g.*?c")
CODES = {"tHa[Nt]": "<4>", "aND|caN|Ha[DS]|WaS": "<3>", "a[NSt]|BY": "<2>", "[ag]{4,}": "-", "t+": "T"}


@pyhost.export
def run(size: int) -> int:
    """Work on a sequence of ``size`` lines; a checksum of everything found."""
    text = "\n".join(lines(size))
    sequence = text.replace("\n", "")
    found = [len(re.findall(pattern, sequence)) for pattern in PATTERNS]
    short = sequence
    for pattern, code in CODES.items():
        short = re.sub(pattern, code, short)
    words = [reverse(line) for line in text.splitlines()]
    facts = [found, len(short), crc32(short.encode()), crc32("\n".join(words).encode())]
    facts += [count_parts(sequence, length) for length in (1, 2, 3, 4, 5, 6)]
    return crc32(repr(facts).encode())


def lines(count: int) -> Iterator[str]:
    """Letters as if by chance, the same ones every time."""
    state = 42
    for _ in range(count):
        line = []
        for _ in range(LINE):
            state = (state * 3_877 + 29_573) % 139_968
            line.append("acgt"[state * 4 // 139_968])
        yield "".join(line)


def reverse(line: str) -> str:
    """The other strand's letters, backwards."""
    return line.translate(COMPLEMENTS)[::-1]


COMPLEMENTS = str.maketrans("acgt", "tgca")


def count_parts(sequence: str, length: int) -> tuple[int, list[tuple[int, str]]]:
    """How many parts of that length differ, and the most frequent ones."""
    counts: dict[str, int] = {}
    for start in range(len(sequence) - length + 1):
        part = sequence[start : start + length]
        counts[part] = counts.get(part, 0) + 1
    ranked = sorted(((-count, part) for part, count in counts.items()))
    return len(counts), ranked[:5]
