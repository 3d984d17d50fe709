"""What the C tests call in the interpreters that they start; plugins.h has the same functions in the same order."""

import _thread
import posix

import pyhost

calls = 0
fails_at_stop = False
held = []


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


@pyhost.export
def hold(mebibytes):
    held.append(bytearray(mebibytes << 20))


@pyhost.export
def hold_objects(count):
    held.append([float(number) for number in range(count)])


@pyhost.export
def hold_in_thread(mebibytes):
    import threading

    thread = threading.Thread(target=hold, args=(mebibytes,))
    thread.start()
    thread.join()


@pyhost.export
def drop():
    held.clear()


@pyhost.export
def grow():
    pieces = []
    while True:
        pieces.append(bytearray(1 << 16))


@pyhost.export
def grow_and_recover():
    try:
        grow()
    except MemoryError:
        return True


@pyhost.export
def insist(times):
    pieces = []
    for _ in range(times):
        try:
            pieces.append(bytearray(1 << 16))
        except MemoryError:
            continue
    return len(pieces)


@pyhost.export
def read(descriptor):
    posix.read(descriptor, 1)


@pyhost.on_stop
def stop():
    if fails_at_stop:
        raise RuntimeError("as asked")
