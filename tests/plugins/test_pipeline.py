import pytest


@pytest.fixture(scope="module")
def pipeline(load_plugin):
    return load_plugin("pipeline")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Four score\nand seven", "Four score"),
        ("\n  \n  Now we are engaged  \n", "Now we are engaged"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("a" * 58 + " " + "b" * 9, "a" * 58 + "…"),
        (" \n", "an empty text"),
        ("", "an empty text"),
    ],
)
def test_the_title_of_a_note_is_the_first_line_of_the_text(pipeline, text, title):
    assert pipeline.title_of(text) == title


def test_the_summary_has_the_figures_and_the_most_frequent_words(pipeline):
    statistics = {"words": 272, "sentences": 10, "reading_minutes": 1.1428}
    assert pipeline.summarize(statistics, {"that": 13, "the": 11}) == (
        "272 words in 10 sentences, 1.1 minutes to read\nthat 13, the 11"
    )
    assert pipeline.summarize({"words": 0, "sentences": 0, "reading_minutes": 0.0}, {}) == (
        "0 words in 0 sentences, 0.0 minutes to read"
    )
