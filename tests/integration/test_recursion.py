"""Recursion without an end, in Python and in C: a RecursionError, wherever the code runs and whatever its limit is."""

from __future__ import annotations

import pytest
from support.plugins import COMMON

PLUGIN = (
    COMMON
    + """
import functools
import json
import pickle
import re
import sys
import threading

def nested(make):
    value = make(None)
    for _ in range(100_000):
        value = make(value)
    return value

class Endless:
    def __getattr__(self, name):
        return getattr(self, name + "x")
    def __add__(self, other):
        return sum([self, self], self)
    def __format__(self, spec):
        return f"{self}"
    def __reduce__(self):
        return pickle.dumps(self)

def called():
    return called()

def sort(*rest):
    return sorted([1, 2], key=sort)

def substitute(*rest):
    return re.sub("a", substitute, "a")

def dump(*rest):
    return json.dumps(object(), default=dump)

def execute():
    exec("execute()", globals())

KINDS = {
    "a function": called,
    "getattr": lambda: Endless().value,
    "add": lambda: Endless() + Endless(),
    "format": lambda: format(Endless(), ""),
    "reduce": lambda: pickle.dumps(Endless()),
    "sorted": sort,
    "re.sub": substitute,
    "json's default": dump,
    "exec": execute,
    "repr": lambda: repr(nested(lambda value: [value])),
    "json.dumps": lambda: json.dumps(nested(lambda value: [value])),
    "json.loads": lambda: json.loads("[" * 100_000),
    "pickle": lambda: pickle.dumps(nested(lambda value: [value])),
    "comparison": lambda: nested(lambda value: (value,)) == nested(lambda value: (value,)),
    "copy": lambda: functools.reduce(lambda value, _: [value], range(100_000)).__repr__(),
    "a source": lambda: eval("-" * 100_000 + "1"),
}

@pyhost.export
def set_limit(limit):
    sys.setrecursionlimit(limit)

@pyhost.export
def run(kind):
    try:
        KINDS[kind]()
    except (RecursionError, MemoryError, SyntaxError) as error:
        return type(error).__name__
    return "no error"

direct = pyhost.export(name="direct", direct=True)(lambda kind: run(kind))

@pyhost.export
def in_thread(kind, stack_bytes):
    results = []
    threading.stack_size(stack_bytes)
    thread = threading.Thread(target=lambda: results.append(run(kind)))
    thread.start()
    thread.join()
    return results[0]

@pyhost.export
def deep():
    return nested(lambda value: [value])
"""
)
KINDS = [
    "a function", "getattr", "add", "format", "reduce", "sorted", "re.sub", "json's default", "exec", "repr",
    "json.dumps", "json.loads", "pickle", "comparison", "copy", "a source",
]  # fmt: skip

PROGRAM = """
import threading

host = maker.start(plugin=PLUGIN)
host.call("plugin.set_limit", LIMIT)
def run(name, *args):
    print(name, [host.call(name, kind, *args, timeout=60) for kind in KINDS], flush=True)

run("plugin.run")
run("plugin.direct")
run("plugin.in_thread", 65536)
threading.stack_size(256 * 1024)
thread = threading.Thread(target=run, args=["plugin.direct"])
thread.start()
thread.join()
print(host.call("plugin.identity", "serves on"))
"""


@pytest.mark.parametrize("limit", [1000, 10**9])
def test_it_ends_with_an_error_on_every_thread(run_program, limit):
    """The owner thread, the caller's for a direct call, the plugin's own, and a caller's with a small stack."""
    # A function that only calls itself takes no stack, only memory: without a limit there is no end to it.
    kinds = [kind for kind in KINDS if limit == 1000 or kind != "a function"]
    outcome = run_program(PROGRAM, PLUGIN=PLUGIN, KINDS=kinds, LIMIT=limit)
    assert outcome.code == 0, outcome.errors
    *lines, last = outcome.output.splitlines()
    assert last == "serves on"
    assert len(lines) == 4
    for line in lines:
        assert "no error" not in line


def test_a_function_that_only_calls_itself_ends_at_its_memory_limit(run_program):
    outcome = run_program(
        """
        maker.write("plugin", PLUGIN, limits={"memory": "64MiB"})
        host = maker.start()
        host.call("plugin.set_limit", 10**9)
        try:
            print(host.call("plugin.run", "a function", timeout=60))
        except pyhost.PyhostError as error:
            print("MemoryError")
        while True:
            try:
                print(host.call("plugin.identity", "serves on"))
                break
            except pyhost.MemoryLimitError:
                pass
        """,
        PLUGIN=PLUGIN,
    )
    assert outcome.code == 0, outcome.errors
    assert outcome.output.splitlines()[1] == "serves on"


def test_a_result_that_is_nested_too_deeply_is_refused(maker):
    host = maker.start(plugin=PLUGIN)
    with pytest.raises(ValueError, match="the result of plugin.deep cannot cross .*: nested deeper than 500 levels"):
        host.call("plugin.deep")
    assert host.call("plugin.identity", 1) == 1
