"""What the C tests call in the interpreters that they start; plugins.h has the same functions in the same order."""

import _thread

import pyhost

calls = 0
fails_at_stop = False


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


@pyhost.export
def unsendable():
    return lambda: None


@pyhost.export
def fail_at_stop():
    global fails_at_stop
    fails_at_stop = True


@pyhost.export
def leave_a_thread():
    lock = _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(lock.acquire, ())


@pyhost.on_stop
def stop():
    if fails_at_stop:
        raise RuntimeError("as asked")
