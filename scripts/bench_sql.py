"""bench_sql.py: SQL that calls a plugin's function for each row, beside Python's own sqlite3 module doing the same.

    uv run --no-editable python scripts/bench_sql.py [--rows 1000000] [--rounds 5]

One side is the stock sqlite3 shell with examples/sqlite loaded, which calls the plugin's function directly; the other a
Python program that gives the same function to its connection. Both start, sum up the function over all rows, check the
sum and end; what is printed is the whole time of each, and what each takes for no rows at all.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "sqlite"
SUM = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT sum({call}) FROM n;"
PROGRAM = """
import sqlite3, sys
sys.path.insert(0, {folder!r})
import text
connection = sqlite3.connect(":memory:")
connection.create_function("digits", 1, text.digits)
print(connection.execute({statement!r}).fetchone()[0])
"""


def build(folder: Path) -> Path:
    """The extension, compiled as docs/library.md says."""
    library = folder / "sqlite_pyhost.so"
    flags = subprocess.run(
        [sys.executable, "-P", "-m", "pyhost", "config", "--cflags", "--libs"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    source = EXAMPLE / "sqlite_pyhost.c"
    subprocess.run(["cc", "-O2", "-fPIC", "-shared", source, *flags, "-o", library], check=True)
    return library


def seconds(expected: int, *command: str | Path, given: str = "") -> float:
    """How long the command runs, which must print that number."""
    started = time.perf_counter()
    ended = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - started
    if ended.stdout.split() != [str(expected)]:
        sys.exit(f"bench_sql: {command[0]} said {ended.stdout!r} and {ended.stderr!r}; expected {expected}")
    return taken


def digits(rows: int) -> int:
    """The digits of 0, 1, ... rows together."""
    return sum(len(str(i)) for i in range(rows + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description="SQL over a plugin's function, beside Python's own sqlite3 module.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many times the function is called")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side runs, in turns")
    options = parser.parse_args()
    rows, rounds = options.rows, options.rounds
    if shutil.which("sqlite3") is None:
        sys.exit("bench_sql: there is no sqlite3 shell; install the package sqlite3")
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        load = f".load {library}\nSELECT pyhost_load('{EXAMPLE / 'plugins'}');\n"

        def run_shell(count: int) -> float:
            statement = SUM.format(rows=count, call="py('text.digits', i)")
            return seconds(digits(count), "sqlite3", ":memory:", given=load + statement)

        def run_module(count: int) -> float:
            statement = SUM.format(rows=count, call="digits(i)")
            program = PROGRAM.format(folder=str(EXAMPLE / "plugins"), statement=statement)
            return seconds(digits(count), sys.executable, "-P", "-c", program)

        measured = [(run_shell(rows), run_module(rows), run_shell(1), run_module(1)) for _ in range(rounds)]
    shell, module, shell_start, module_start = (statistics.median(column) for column in zip(*measured, strict=True))
    ratio = statistics.median(row[0] / row[1] for row in measured)
    print(f"{rows:,} rows   sqlite3 shell with pyhost {shell:.2f} s (of which starting {shell_start:.2f} s)", end="   ")
    print(f"Python's sqlite3 {module:.2f} s ({module_start:.2f} s)   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
