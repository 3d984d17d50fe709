"""JSON there and back: long strings, lists that grow, dicts of many keys. Many allocations over 512 bytes."""

import json
from typing import Any
from zlib import crc32

import pyhost

RECORDS = 40
"""Records in a document."""

WORDS = (
    *("lorem", "ipsum", "dolor", "sit", "amet", "consectetur"),
    *("adipiscing", "elit", "sed", "do", "eiusmod", "tempor"),
)


@pyhost.export
def run(size: int) -> int:
    """Write and read ``size`` documents; a checksum of their text."""
    checksum = 0
    for number in range(size):
        document = make_document(number)
        text = json.dumps(document, indent=None if number % 4 else 1)
        if json.loads(text) != document:
            raise ValueError(f"document {number} was read other than written")
        checksum = crc32(text.encode(), checksum)
    return checksum


def make_document(number: int) -> dict[str, Any]:
    """A page of a shop's catalogue, say."""
    return {
        "page": number,
        "next": f"/items?page={number + 1}",
        "items": [make_record(number * RECORDS + index) for index in range(RECORDS)],
    }


def make_record(number: int) -> dict[str, Any]:
    """A record with more keys than a dict of 512 bytes has room for, and a text that is longer."""
    fields: dict[str, Any] = {f"{word}_{number % 3}": number * index / 7 for index, word in enumerate(WORDS)}
    fields |= {f"{word}_count": number + index for index, word in enumerate(WORDS)}
    fields["text"] = " ".join(WORDS[(number + index) % len(WORDS)] for index in range(100))
    fields["tags"] = [WORDS[(number * index) % len(WORDS)] for index in range(number % 9)]
    fields["price"] = {"amount": number / 8, "currency": None if number % 5 else "EUR", "taxed": number % 2 == 0}
    return fields
