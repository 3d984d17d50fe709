"""What the C tests of the public interface call."""

import threading

import pyhost

waiting = threading.Event()


@pyhost.export
def add(left, right=0):
    return left + right


@pyhost.export(direct=True)
def add_directly(left, right=0):
    return left + right


@pyhost.export
def echo(*args, **kwargs):
    return (args, kwargs)


@pyhost.export
def same(value):
    return value


@pyhost.export
def kind(value):
    return f"{type(value).__module__}.{type(value).__qualname__} {value!r}"


@pyhost.export
def total(view):
    return sum(view.cast("B").cast(view.format) if view.ndim > 1 else view)


@pyhost.export
def view(text):
    return memoryview(text.encode())


@pyhost.export
def fail(text):
    raise ValueError(text)


@pyhost.export
def spin():
    while True:
        pass


@pyhost.export(direct=True)
def spin_directly():
    while True:
        pass


@pyhost.export
def unsendable():
    return lambda: None


@pyhost.export
def strange():
    return complex(1, 2)


@pyhost.export
def ask(name, *args, **kwargs):
    return getattr(pyhost.host, name)(*args, **kwargs)


@pyhost.export(direct=True)
def ask_directly(name, *args, **kwargs):
    return getattr(pyhost.host, name)(*args, **kwargs)


@pyhost.export
def channel():
    return pyhost.Channel(1)


@pyhost.export
def double_all(numbers, doubled):
    count = 0
    for number in numbers:
        doubled.send(2 * number)
        count += 1
    doubled.close()
    return count
