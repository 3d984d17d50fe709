"""scripts/check_abi: libraries made of pyhost.h alone, as it is and with something changed, against what was promised."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = (ROOT / "host" / "pyhost.h").read_text()

pytestmark = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("cc", "abidw", "abidiff")),
    reason="not installed here: cc, or abigail-tools",
)


def check(folder: Path, header: str) -> tuple[int, str]:
    """The exit code and the words of the check, for a library with a body for each function of the header."""
    (folder / "pyhost.h").write_text(header)
    functions = re.findall(r"^PYHOST_API ([^;]*);", header, re.MULTILINE)
    bodies = "".join(f"{function} {{ __builtin_trap(); }}\n" for function in functions)
    source, library = folder / "header.c", folder / "libpyhost.so"
    source.write_text(f'#include "pyhost.h"\n{bodies}')
    version = f"-Wl,--version-script={ROOT / 'host' / 'libpyhost.map'}"
    command = ["cc", "-g", "-shared", "-fPIC", "-w", version, "-Wl,-soname,libpyhost.so", source, "-o", library]
    subprocess.run(command, check=True, timeout=60)
    ended = subprocess.run(
        [ROOT / "scripts" / "check_abi", library], capture_output=True, text=True, timeout=60, check=False
    )
    assert not ended.stderr
    return ended.returncode, ended.stdout


def changed(before: str, after: str) -> str:
    assert HEADER.count(before) == 1
    return HEADER.replace(before, after)


def test_the_header_has_the_abi_that_was_promised(tmp_path):
    code, words = check(tmp_path, HEADER)
    assert (code, words.splitlines()[0].partition(",")[0]) == (0, "the ABI is the one that was promised")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "pyhost_builder_int(pyhost_builder *builder, int64_t value)",
            "pyhost_builder_int(pyhost_builder *builder, int32_t value)",
            "pyhost_builder_int",
        ),
        ("PYHOST_API void pyhost_text_free(char *text);", "", "pyhost_text_free"),
        ("PYHOST_API bool pyhost_call_cancel(", "PYHOST_API int pyhost_call_cancel(", "pyhost_call_cancel"),
        ('X(FULL, 1, "', 'X(FULL, 101, "', "PYHOST_FULL"),
        ('    X(PICKLE, 19, "a pickled object")', '    X(MORE, 19, "more")', "PYHOST_KIND_PICKLE"),
        ("    uint32_t next_buffer;\n    uint32_t depth;", "    uint32_t depth;\n    uint32_t next_buffer;", "depth"),
        ("    uint8_t day;\n} pyhost_date;", "    uint8_t day;\n    int64_t era;\n} pyhost_date;", "era"),
        ("    int64_t processor_ns;\n} pyhost_function_account;", "} pyhost_function_account;", "processor_ns"),
        ("    int64_t total_ns;", "    int64_t early;\n    int64_t total_ns;", "early"),
        (
            "typedef void pyhost_release_function(void *context, void *data);",
            "typedef void pyhost_release_function(void *data);",
            "pyhost_release_function",
        ),
    ],
)
def test_what_breaks_programs_is_refused(tmp_path, before, after, said):
    code, words = check(tmp_path, changed(before, after))
    assert code == 1
    assert said in words
    assert "scripts/check_abi LIBPYHOST_SO --update" in words


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "PYHOST_API void pyhost_text_free(",
            "PYHOST_API int pyhost_text_more(void);\nPYHOST_API void pyhost_text_free(",
            "pyhost_text_more",
        ),
        (
            '    X(PICKLE, 19, "a pickled object")',
            '    X(PICKLE, 19, "a pickled object") X(MORE, 1000, "more")',
            "PYHOST_KIND_MORE",
        ),
        (
            "    int64_t processor_ns;\n} pyhost_function_account;",
            "    int64_t processor_ns;\n    int64_t more;\n} pyhost_function_account;",
            "",
        ),
    ],
)
def test_what_is_added_is_all_right(tmp_path, before, after, said):
    code, words = check(tmp_path, changed(before, after))
    assert code == 0
    assert words.startswith("the ABI is the one that was promised")
    assert said in words
