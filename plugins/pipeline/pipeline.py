"""Work that other plugins do, put together: calls from one plugin to others, waiting and asynchronous.

It needs the plugins wordcount, notes and mandelbrot when it is called, not when it starts. What they raise comes
through as it is, with a note on what was being done.
"""

import asyncio

import pyhost
from pyhost.errors import CallError

LONGEST_TITLE = 60


@pyhost.export
def report(text: str) -> dict[str, int | dict[str, int | float]]:
    """Describe a text and keep the summary as a note.

    Returns ``{"statistics": as wordcount.statistics, "frequent": as wordcount.count, "note": the note's id}``.

    Raises CallError if wordcount or notes cannot be called, or raise.
    """
    doing = "counting its words"
    try:
        statistics = pyhost.call("wordcount.statistics", text)
        frequent = pyhost.call("wordcount.count", text)
        doing = "keeping the summary"
        note = pyhost.call("notes.add", title_of(text), summarize(statistics, frequent), tags=["report"])
    except CallError as error:
        error.add_note(f"while pipeline.report described a text of {len(text)} characters, {doing}")
        raise
    return {"statistics": statistics, "frequent": frequent, "note": note}


@pyhost.export
async def race(texts: list[str]) -> list[dict[str, int | float]]:
    """The statistics of many texts, all asked for at once; in the order of the texts.

    Raises the first CallError of wordcount.
    """

    async def statistics(number: int, text: str) -> dict[str, int | float]:
        try:
            return await pyhost.acall("wordcount.statistics", text)  # type: ignore[no-any-return]
        except CallError as error:
            error.add_note(f"while pipeline.race described text {number} of {len(texts)}")
            raise

    return await asyncio.gather(*(statistics(number, text) for number, text in enumerate(texts, 1)))


@pyhost.export
def poster(width: int = 640, height: int = 480) -> bytes:
    """A picture of the seahorse valley of the Mandelbrot set, ``width`` by ``height`` pixels, as a PNG file.

    Raises CallError if mandelbrot cannot be called, or raises.
    """
    try:
        return pyhost.call(  # type: ignore[no-any-return]
            "mandelbrot.render", width, height, center_x=-0.7436, center_y=0.1318, scale=0.012, iterations=300
        )
    except CallError as error:
        error.add_note(f"while pipeline.poster drew {width} by {height} pixels")
        raise


def title_of(text: str) -> str:
    """A title for the note on a text: its first line that is not blank, shortened."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "an empty text")
    return line if len(line) <= LONGEST_TITLE else line[: LONGEST_TITLE - 1].rstrip() + "…"


def summarize(statistics: dict[str, int | float], frequent: dict[str, int]) -> str:
    """The summary that is kept: a line of figures, and one of the most frequent words with their counts."""
    figures = (
        f"{statistics['words']} words in {statistics['sentences']} sentences,"
        f" {statistics['reading_minutes']:.1f} minutes to read"
    )
    if not frequent:
        return figures
    return figures + "\n" + ", ".join(f"{word} {times}" for word, times in frequent.items())
