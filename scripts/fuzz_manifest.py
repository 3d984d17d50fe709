"""Manifests from anybody: whatever a plugin.toml holds, it is read, or refused with one sentence that names the file.

Atheris (libFuzzer for Python) starts from the repository's own manifests and keeps what reaches new code in pyhost and
in the reader of TOML. Beside bytes it changes lines as people write them: another key, another value, a value nested
deep, a number of thousands of digits. Each text is read as a plugin.toml and as the script comment of a .py file.

    uv run --group fuzz python scripts/fuzz_manifest.py [--seconds N] [--seed S]
    uv run --group fuzz python scripts/fuzz_manifest.py --input FILE

Exit code 1 when something does not hold, with the text in a file that ``--input`` takes; another one when a text takes
longer than a minute.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["tomllib", "pyhost.manifest", "pyhost.tables", "pyhost.dependencies"]):
    from pyhost import manifest
if TYPE_CHECKING:
    from pyhost.errors import ManifestError

ROOT = Path(__file__).resolve().parent.parent
MESSAGE_MOST = 600
"""Characters of a message beside the path in it."""
TIMEOUT = 60
"""Seconds for one text; they take less than a millisecond."""

KEYS = [
    *("plugin", "limits", "restart", "name", "version", "module", "interpreters", "dependencies", "inherit"),
    *("deadline", "grace", "inbox", "start", "memory", "policy", "intensity", "period", "max_calls", "limits.memory"),
    *("max_memory_growth", "plugin.name", "nmae", '""', '"\\u0000"', "'a.b'", "grüße", "a" * 300, "-", "1"),
]
VALUES = [
    *("true", "false", "0", "-1", "1", "257", "1_000", "0x1F", "0o17", "0b1", "1.5", "-0.0", "inf", "nan", "1e400"),
    *(f"0x{'f' * 5000}", "9" * 5000, str(1 << 64), '""', "''", '"x"', '"x.y"', '"class"', '"os"', '"2s"', '"250ms"'),
    *('"64MiB"', '"0B"', '"1e3s"', f'"{"9" * 400}h"', '"\\u0000"', '"\\n"', '"\\uD7FF"', '"ß"', '"\\u202e"'),
    *('"""\nx"""', "'''x\n'''", f'"{"a" * 300}"', '"on-failure"', "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z"),
    *("[]", '["a"]', '["a==1", "a==2"]', '["-e ../x"]', '["a @ file:///x"]', "[1]", "[[]]", "{}", "{a = 1}"),
    *(f"{'[' * 200}{']' * 200}", f"{'[' * 3000}{']' * 3000}", f"{'{a = ' * 300}1{'}' * 300}", '["a; os_name"]'),
]
GOOD = {
    "name": ['"x"', '"wordcount"', '"_-"'],
    "version": ['"1.0"', "'~'", '"""x"""'],
    "module": ['"x"', '"x.y"', '"ß"', f'"{"a" * 300}"'],
    "interpreters": ["1", "2", "0x100"],
    "dependencies": ["[]", '["a"]', '["-e ../x", "a==1; os_name == \'posix\'"]', '["a @ file:///x",]'],
    "inherit": ["true", "false"],
    "inbox": ["1", "1_000_000"],
    "memory": ['"1MiB"', "1048576", '"1 GiB"'],
    "policy": ['"always"', '"on-failure"', '"never"'],
    "intensity": ["0", "1000"],
    "max_calls": ["1", "9007199254740992"],
    **{key: ['"1ms"', "0.5", "1", '"8760h"', '"000.001 s"'] for key in ("deadline", "grace", "start", "period")},
}
LINE = re.compile(rb"^([ \t]*)([^=\n]+?)([ \t]*=[ \t]*)(.*)$", re.MULTILINE)


def other_key(text: bytes, chance: random.Random) -> bytes:
    found = list(LINE.finditer(text))
    if not found:
        return text
    line = chance.choice(found)
    return text[: line.start(2)] + chance.choice(KEYS).encode() + text[line.end(2) :]


def other_value(text: bytes, chance: random.Random) -> bytes:
    found = list(LINE.finditer(text))
    if not found:
        return text
    line = chance.choice(found)
    values = chance.choice([VALUES, GOOD.get(line[2].decode(errors="replace"), VALUES)])
    return text[: line.start(4)] + chance.choice(values).encode() + text[line.end(4) :]


def new_line(text: bytes, chance: random.Random) -> bytes:
    at = chance.choice([0, len(text), *(line.end() for line in LINE.finditer(text))])
    key, value = chance.choice(KEYS), chance.choice(VALUES)
    line = chance.choice([f"{key} = {value}", f"[{key}]", f"[[{key}]]", f"[{key}.{key}]", f"# {value}"])
    return text[:at] + f"\n{line}\n".encode() + text[at:]


def cut(text: bytes, chance: random.Random) -> bytes:
    start, end = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
    return text[:start] + text[end:]


def doubled(text: bytes, chance: random.Random) -> bytes:
    start, end = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
    return text[:end] + text[start:end] + text[end:]


CHANGES: list[Callable[[bytes, random.Random], bytes]] = [other_key, other_value, other_value, new_line, cut, doubled]


def change(text: bytes, max_size: int, seed: int) -> bytes:
    """Another text: two times of three by a line or a stretch of it, or else by libFuzzer's own changes of bytes."""
    chance = random.Random(seed)
    if chance.randrange(3) == 0:
        mutated: bytes = atheris.Mutate(text, max_size)
        return mutated
    return chance.choice(CHANGES)(text, chance)[:max_size]


class Reader:
    """A folder of plugins, a plugin.toml and a .py file, that are written anew for each text.

    It is in a folder that goes with the process.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self._whole = folder
        self._plugins = folder / "plugins"
        self._document = self._plugins / "plugin" / manifest.MANIFEST_NAME
        self._script = self._plugins / "single.py"
        self._document.parent.mkdir(parents=True)
        self._end = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        for name in ("x", *(seed.parent.name for seed in seeds())):
            (self._document.parent / f"{name}.py").touch()

    def read(self, text: bytes) -> None:
        """Read it, look whether all holds, and leave the process when that is not so, or when the time is over."""
        if time.monotonic() > self._end:
            self.leave()
        try:
            self._check(text)
        except BaseException:  # noqa: BLE001 - whatever it is, it was not promised
            traceback.print_exc()
            place = Path(tempfile.mkstemp(prefix="manifest-", suffix=".toml")[1])
            place.write_bytes(text)
            print(f"this text was not read as promised; again: scripts/fuzz_manifest.py --input {place}")
            self._exit(1)

    def leave(self) -> None:
        """Say what was done, and leave."""
        accepted, refused = self.counts["accepted"], self.counts["refused"]
        print(f"Done {accepted + refused} readings: {accepted} accepted, {refused} refused")
        self._exit(0)

    def _exit(self, code: int) -> None:
        """Without Python's own end: libFuzzer would take that for a crash."""
        shutil.rmtree(self._whole)
        sys.stdout.flush()
        os._exit(code)

    def _check(self, text: bytes) -> None:
        self._document.write_bytes(text)
        lines = text.replace(b"\r", b"\n").split(b"\n")
        self._script.write_bytes(b"\n".join([b"# /// script", *(b"# " + line for line in lines), b"# ///", b""]))
        found, refused = manifest.load_all(self._plugins)
        names = [*(each.name for each in found), *(name for name, *_ in refused)]
        assert len(names) == len(set(names)) == 2, "each plugin has a name, and none the other's"
        for each in found:
            self.counts["accepted"] += 1
            assert manifest.load(each.source) == each, "a manifest that is read again is equal"
            manifest.entry_file(each)
        for _, path, error in refused:
            self.counts["refused"] += 1
            check_message(path, error)


def check_message(path: Path, error: ManifestError) -> None:
    message = str(error)
    assert message.startswith((str(path), f"the script comment of {path}")), f"it names the file: {message!r}"
    assert message.isprintable(), f"it is one line that can be read: {message!r}"
    assert len(message) < len(str(path)) + MESSAGE_MOST, f"it is one sentence: {message!r}"


def seeds() -> list[Path]:
    return sorted(path for folder in ("plugins", "examples") for path in (ROOT / folder).rglob(manifest.MANIFEST_NAME))


def write_seeds(folder: Path) -> None:
    folder.mkdir()
    for number, seed in enumerate(seeds()):
        (folder / f"{number}.toml").write_bytes(seed.read_bytes())
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "manifest.md").read_text(), re.DOTALL)
    for number, block in enumerate(blocks):
        (folder / f"page-{number}.toml").write_text(block)
    (folder / "script.toml").write_text('dependencies = ["packaging==24.1"]\n')


def main() -> None:
    parser = argparse.ArgumentParser(description="Read manifests that anybody could have written.")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--input", type=Path, help="read this text once, and nothing else")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="manifests-"))
    reader = Reader(folder, options.seconds)
    if options.input is not None:
        reader.read(options.input.read_bytes())
        reader.leave()
    corpus = folder / "corpus"
    write_seeds(corpus)
    settings = [f"-seed={options.seed}", f"-timeout={TIMEOUT}", "-max_len=8192", f"-artifact_prefix={Path.cwd()}/"]
    atheris.Setup([sys.argv[0], *settings, str(corpus)], reader.read, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
