"""Text statistics: the words of a text, how often they come, how long it takes to read and how hard that is.

A word is a run of letters, digits and the marks that belong to them, with apostrophes inside it ("don't"); a hyphen
parts two words. Words are the same if they are so without regard to case and to the kind of apostrophe. Scripts that
do not part their words (Chinese, Japanese, Thai) count a run between spaces or punctuation as one word.
"""

import re
import unicodedata
from collections import Counter

import pyhost

WORDS_PER_MINUTE = 238
"""Silent reading of English non-fiction by adults: Brysbaert, "How many words do we read per minute?", Journal of
Memory and Language 109 (2019)."""

# Letters and digits, with them combining marks and the zero-width joiner and non-joiner, which shape the letters of one
# word; apostrophes (U+2019 is the typographic one) only between them.
_ASCII_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_LETTERS = r"[^\W_](?:[^\W_]|[\u200c\u200d{marks}])*"
_WORD = rf"{_LETTERS}(?:['\u2019]{_LETTERS})*"

# A full stop inside a number or a name ("3.14", "pyhost.call") ends nothing, so white space must follow, after closing
# quotation marks and brackets; the ideographic full stop, ! and ? end a sentence by themselves. The look-behind lets
# only the first of many stops start a match: without it a long row of dots would take quadratic time.
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]+[\"'\u201d\u2019»)\]]*(?:\s+|$)|[\u3002\uff01\uff1f]+")

# English: "e", "ed" and "es" are silent after a consonant ("those", "conceived", "lives"), but not after a consonant
# and l ("little", "struggled"), "ed" not after t or d ("dedicated"), "es" not after a hissing sound ("places").
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT_ENDING = re.compile(r"(?<=[^aeiouy])(?<![^aeiouyl]l)(?:e|(?<![td])ed|(?<![sxzcg])(?<![sc]h)es)$")


@pyhost.export
def count(text: str, top: int = 10) -> dict[str, int]:
    """How often the most frequent words come.

    At most ``top`` words, the most frequent first and equally frequent ones in alphabetical order.

    Raises ValueError if ``top`` is less than 1.
    """
    if top < 1:
        raise ValueError(f"top is {top}; allowed: 1 or more")
    frequencies = Counter(map(_fold, _words_of(text))).items()
    return dict(sorted(frequencies, key=lambda item: (-item[1], item[0]))[:top])


@pyhost.export
def statistics(text: str) -> dict[str, int | float]:
    """Figures on a text: its characters, words, distinct words, sentences and lines, and what follows from them.

    ``average_word_length`` is in letters and digits, ``type_token_ratio`` is distinct words by words, and
    ``reading_minutes`` is at 238 words a minute. A sentence ends with ".", "!", "?" or "…" before white space, so an
    abbreviation ("Mr. Lincoln") ends one too. Everything is 0 for an empty text.
    """
    found = _words_of(text)
    distinct = len(set(map(_fold, found)))
    letters = sum(character.isalnum() for word in found for character in word)
    return {
        "characters": len(text),
        "words": len(found),
        "distinct_words": distinct,
        "sentences": _count_sentences(text),
        "lines": len(text.splitlines()),
        "average_word_length": letters / len(found) if found else 0.0,
        "type_token_ratio": distinct / len(found) if found else 0.0,
        "reading_minutes": len(found) / WORDS_PER_MINUTE,
    }


@pyhost.export
def readability(text: str) -> dict[str, float]:
    """How easy an English text is to read.

    ``flesch_reading_ease`` is 206.835 - 1.015 * words/sentences - 84.6 * syllables/words: about 100 is very easy, 60
    plain, 30 hard (Flesch, "A new readability yardstick", Journal of Applied Psychology 32, 1948).
    ``flesch_kincaid_grade`` is 0.39 * words/sentences + 11.8 * syllables/words - 15.59: the years of school that it
    asks for (Kincaid et al., Research Branch Report 8-75, Naval Technical Training Command, 1975). Syllables are
    estimated from the spelling, so the figures are good for English only.

    Raises ValueError if the text has no words.
    """
    found = _words_of(text)
    if not found:
        raise ValueError("text has no words; readability needs at least one sentence of English")
    words_per_sentence = len(found) / _count_sentences(text)
    syllables_per_word = sum(map(_count_syllables, found)) / len(found)
    return {
        "flesch_reading_ease": 206.835 - 1.015 * words_per_sentence - 84.6 * syllables_per_word,
        "flesch_kincaid_grade": 0.39 * words_per_sentence + 11.8 * syllables_per_word - 15.59,
        "words_per_sentence": words_per_sentence,
        "syllables_per_word": syllables_per_word,
    }


@pyhost.export(direct=True)
def words(text: str) -> int:
    """The number of words; a direct function, as it is short enough to run on the caller's own thread."""
    return len(_words_of(text))


def _words_of(text: str) -> list[str]:
    r"""The words of a text in order, composed (NFC).

    ``\w`` leaves out combining marks, without which most Indian scripts would fall to pieces, and re has no class for
    them: the marks that this text has are put into the pattern.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text)
    text = unicodedata.normalize("NFC", text)
    marks = sorted(character for character in set(text) if unicodedata.category(character).startswith("M"))
    return re.findall(_WORD.replace("{marks}", "".join(marks)), text)


def _fold(word: str) -> str:
    """A word in the form in which it is compared."""
    return word.casefold().replace("\u2019", "'")


def _count_sentences(text: str) -> int:
    """The number of sentences; a last one without an end counts, one without a letter or digit does not."""
    return sum(any(map(str.isalnum, sentence)) for sentence in _SENTENCE_END.split(text))


def _count_syllables(word: str) -> int:
    """An estimate of an English word's syllables: its groups of vowels but for a silent ending; at least 1."""
    return max(1, len(_VOWELS.findall(_SILENT_ENDING.sub("", word.casefold()))))
