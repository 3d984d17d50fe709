"""What `import pyhost` adds to a plugin's interpreter: resident memory and time.

Makes isolated own-GIL interpreters with the standard library's own module, without `site`, as pyhost makes its own, and
loads pyhost's plugin side in each from the same bundle as `host/owner.c` does. Prints the growth of the process's
resident memory per interpreter and the median time of the import; creation itself is printed beside them as the
baseline of the same run.

One thing is not counted as pyhost's. CPython's table of interned strings stands just below its next doubling in a
bare interpreter (3.13: 40 names more add 95 kB), so whatever is imported first pays for that. The bare interpreters
here have 200 names more before they are measured; --raw leaves them as they are.
"""

from __future__ import annotations

import argparse
import json
import marshal
import os
import subprocess
import sys
import time
from statistics import median

IMPORT = """
import marshal, sys, time
before = time.perf_counter()
with open({bundle!r}, "rb") as file:
    bundle = marshal.load(file)
bundle["path"] = sys.path[:]
exec(marshal.loads(bundle["bootstrap"]), {{"bundle": bundle}})
del bundle
seconds = time.perf_counter() - before
with open({report!r}, "a") as report:
    report.write(f"{{seconds}}\\n")
"""


def resident_bytes() -> int:
    """The process's resident set."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(count: int, bundle: str, report: str, *, raw: bool) -> dict[str, float]:
    """The figures, taken in this process, which must run without site (-S)."""
    import _interpreters

    names = "" if raw else "kept = [sys.intern(f'name_{i}') for i in range(200)]"
    import_code = IMPORT.format(bundle=bundle, report=report)
    warm_up = _interpreters.create("isolated")
    _interpreters.exec(warm_up, import_code)
    start = resident_bytes()
    created = time.perf_counter()
    interpreters = [_interpreters.create("isolated") for _ in range(count)]
    for interpreter in interpreters:
        # What a first import costs any interpreter is not pyhost's: the finders' own state, and opening a file.
        _interpreters.exec(interpreter, f"import sys; open({report!r}).close(); import __future__\n{names}")
    creation_seconds = (time.perf_counter() - created) / count
    bare = resident_bytes()
    for interpreter in interpreters:
        _interpreters.exec(interpreter, import_code)
    loaded = resident_bytes()
    with open(report) as lines:
        seconds = [float(line) for line in lines][1:]
    return {
        "interpreters": count,
        "bare_kB": (bare - start) / count / 1000,
        "pyhost_adds_kB": (loaded - bare) / count / 1000,
        "create_ms": creation_seconds * 1000,
        "pyhost_adds_ms": median(seconds) * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interpreters", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a line")
    parser.add_argument("--raw", action="store_true", help="count the table of interned strings, too")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        job = json.loads(options.inside)
        print(json.dumps(measure(options.interpreters, job["bundle"], job["report"], raw=options.raw)))
        return
    import tempfile

    from pyhost.bundle import guest_bundle

    with tempfile.NamedTemporaryFile() as report, tempfile.NamedTemporaryFile() as bundle:
        bundle.write(marshal.dumps(guest_bundle()))
        bundle.flush()
        job = json.dumps({"bundle": bundle.name, "report": report.name})
        command = [sys.executable, "-I", "-S", __file__, "--interpreters", str(options.interpreters), "--inside", job]
        command += ["--raw"] if options.raw else []
        figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(
        f"import pyhost adds {figures['pyhost_adds_kB']:.0f} kB and {figures['pyhost_adds_ms']:.2f} ms to a bare "
        f"interpreter of {figures['bare_kB']:.0f} kB, made in {figures['create_ms']:.1f} ms "
        f"({figures['interpreters']} interpreters, Python {sys.version.split()[0]})"
    )


if __name__ == "__main__":
    main()
