from pathlib import Path

import pytest

# The Gettysburg Address as in the Bliss copy, which has 272 words. The figures are counted by hand, or with tr, sort
# and uniq where there are many.
GETTYSBURG = Path(__file__).with_name("data") / "gettysburg.txt"
GETTYSBURG_SYLLABLES = 367


@pytest.fixture(scope="module")
def wordcount(load_plugin):
    return load_plugin("wordcount")


@pytest.fixture(scope="module")
def gettysburg():
    return GETTYSBURG.read_text(encoding="utf-8")


def test_count_gives_the_most_frequent_words_first_and_ties_in_alphabetical_order(wordcount, gettysburg):
    assert list(wordcount.count(gettysburg, 12).items()) == [
        ("that", 13),
        ("the", 11),
        ("we", 10),
        ("here", 8),
        ("to", 8),
        ("a", 7),
        ("and", 6),
        ("can", 5),
        ("for", 5),
        ("have", 5),
        ("it", 5),
        ("nation", 5),
    ]


def test_count_gives_ten_words_unless_told_and_never_more_than_there_are(wordcount, gettysburg):
    assert len(wordcount.count(gettysburg)) == 10
    assert wordcount.count("b a b", 50) == {"b": 2, "a": 1}


@pytest.mark.parametrize("top", [0, -3])
def test_count_refuses_a_top_below_one(wordcount, top):
    with pytest.raises(ValueError, match=rf"^top is {top}; allowed: 1 or more$"):
        wordcount.count("a", top)


def test_statistics_of_a_known_text(wordcount, gettysburg):
    assert wordcount.statistics(gettysburg) == {
        "characters": 1476,
        "words": 272,
        "distinct_words": 138,
        "sentences": 10,
        "lines": 5,
        "average_word_length": 1149 / 272,
        "type_token_ratio": 138 / 272,
        "reading_minutes": 272 / 238,
    }


@pytest.mark.parametrize("text", ["", "--- ... !"])
def test_a_text_without_words_has_figures_of_zero(wordcount, text):
    figures = wordcount.statistics(text)
    assert figures.pop("characters") == len(text)
    assert figures.pop("lines") == len(text.splitlines())
    assert set(figures.values()) == {0}
    assert wordcount.count(text) == {}
    assert wordcount.words(text) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rock-n-roll, snake_case 'quoted'", ["rock", "n", "roll", "snake", "case", "quoted"]),
        ("Don't 'tis dogs' o'clock", ["don't", "tis", "dogs", "o'clock"]),
        ("l\u2019été naïve", ["l'été", "naïve"]),
        ("covid19 in 2020", ["covid19", "in", "2020"]),
        ("Привет, мир!", ["привет", "мир"]),
        ("हिन्दी का", ["हिन्दी", "का"]),  # vowel signs and the virama are marks, not letters
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # a non-joiner inside one Persian word
    ],
)
def test_words_of_many_scripts(wordcount, text, words):
    assert sorted(wordcount.count(text, 99)) == sorted(words)
    assert wordcount.words(text) == len(words)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Straße STRASSE", "strasse"),
        ("don't DON\u2019T", "don't"),
        ("\u00e9t\u00e9 e\u0301te\u0301", "\u00e9t\u00e9"),
        ("ΣΑΣ σας", "σασ"),
    ],
)
def test_two_spellings_of_one_word_count_as_one(wordcount, text, word):
    assert wordcount.count(text) == {word: 2}
    assert wordcount.statistics(text)["distinct_words"] == 1


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("no end", 1),
        ("One. Two", 2),
        ("It is 3.14, and pyhost.call is a name. Really?", 2),
        ("Wait... what?! Yes…", 3),
        ('He asked: "Why?" (Nobody knew.)', 2),
        ("これは本です。はい。", 2),
        ("." * 200_000 + "x", 1),  # would take minutes if every dot were tried as a start
    ],
)
def test_sentences(wordcount, text, sentences):
    assert wordcount.statistics(text)["sentences"] == sentences


def test_readability_of_a_sentence_worked_out_by_hand(wordcount):
    # 6 words, 1 sentence, 6 syllables
    assert wordcount.readability("The cat sat on the mat.") == pytest.approx(
        {
            "flesch_reading_ease": 206.835 - 1.015 * 6 - 84.6 * 1,
            "flesch_kincaid_grade": 0.39 * 6 + 11.8 * 1 - 15.59,
            "words_per_sentence": 6.0,
            "syllables_per_word": 1.0,
        }
    )


def test_readability_of_a_known_text_is_close_to_that_with_its_syllables_counted_by_hand(wordcount, gettysburg):
    figures = wordcount.readability(gettysburg)
    assert figures["words_per_sentence"] == 27.2
    assert figures["syllables_per_word"] == pytest.approx(GETTYSBURG_SYLLABLES / 272, rel=0.01)
    assert figures["flesch_reading_ease"] == pytest.approx(65.1, abs=0.5)
    assert figures["flesch_kincaid_grade"] == pytest.approx(10.9, abs=0.1)


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("the", 1),
        ("those", 1),
        ("lives", 1),
        ("rules", 1),
        ("liked", 1),
        ("called", 1),
        ("rhythm", 1),
        ("1863", 1),
        ("little", 2),
        ("tables", 2),
        ("struggled", 2),
        ("places", 2),
        ("wishes", 2),
        ("churches", 2),
        ("nobly", 2),
        ("LIBERTY", 3),
        ("dedicated", 4),
    ],
)
def test_syllables_are_told_from_the_spelling(wordcount, word, syllables):
    assert wordcount.readability(word)["syllables_per_word"] == syllables


def test_readability_refuses_a_text_without_words(wordcount):
    with pytest.raises(ValueError, match=r"^text has no words; readability needs at least one sentence of English$"):
        wordcount.readability(" ... ")
