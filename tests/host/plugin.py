"""What the C tests call in the interpreters that they start; plugins.h has the same functions in the same order."""

import pyhost

calls = 0


@pyhost.export
def add(left, right):
    return left + right


@pyhost.export
def count():
    global calls
    calls += 1
    return calls


@pyhost.export
def fail():
    raise ValueError("as asked")


@pyhost.export
def spin():
    while True:
        pass
