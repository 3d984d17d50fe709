"""Callers that go away: the code that runs for them is interrupted, and the plugin serves others."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading

from support import PATIENCE
from support.plugins import COMMON, write_plugin

ENDLESS = (
    COMMON
    + """
interrupted = 0

@pyhost.export
def spin(barrier):
    global interrupted
    try:
        os.write(barrier[0], b".")
        while True:
            pass
    except BaseException:
        interrupted += 1
        raise

@pyhost.export
def spin_after(path):
    with open(path, "wb", buffering=0) as entered:
        entered.write(b".")
    while True:
        pass

@pyhost.export
def times_interrupted():
    return interrupted
"""
)
HOUR = 3600.0


def test_a_cancelled_future(maker, barrier):
    host = maker.start(endless=ENDLESS)
    future = host.submit("endless.spin", barrier.keys, timeout=HOUR)
    barrier.wait_arrived()
    assert future.cancel()
    assert host.call("endless.times_interrupted", timeout=PATIENCE) == 1


def test_a_cancelled_task(maker, barrier):
    host = maker.start(endless=ENDLESS)

    async def leave():
        call = asyncio.ensure_future(host.acall("endless.spin", barrier.keys, timeout=HOUR))
        await asyncio.to_thread(barrier.wait_arrived)
        call.cancel()
        return await host.acall("endless.times_interrupted", timeout=PATIENCE)

    assert asyncio.run(leave()) == 1


def test_an_interrupted_caller(run_program):
    outcome = run_program(
        """
        import signal, threading
        host = maker.start(endless=ENDLESS)
        barrier = Barrier()
        def interrupt():
            barrier.wait_arrived()
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            host.call("endless.spin", barrier.keys, timeout=3600.0)
        except KeyboardInterrupt:
            print("interrupted", host.call("endless.times_interrupted", timeout=60.0))
        maker.close()
        """,
        ENDLESS=ENDLESS,
    )
    assert (outcome.output, outcome.code) == ("interrupted 1\n", 0), outcome.errors


def test_calls_beside_it_go_on(maker, make_barrier):
    spinning, holding = make_barrier(), make_barrier()
    maker.write("endless", ENDLESS, interpreters=2)
    host = maker.start()
    spin = host.submit("endless.spin", spinning.keys, timeout=HOUR)
    hold = host.submit("endless.hold", holding.keys, "kept", timeout=HOUR)
    spinning.wait_arrived()
    holding.wait_arrived()
    spin.cancel()
    assert host.call("endless.identity", 1, timeout=PATIENCE) == 1
    holding.open()
    assert hold.result(PATIENCE) == "kept"


def test_one_that_ends_as_it_is_cancelled_hurts_nobody(maker):
    host = maker.start(endless=ENDLESS)
    for number in range(50):
        futures = [host.submit("endless.identity", number) for _ in range(8)]
        cancelled = threading.Thread(target=lambda own=futures: [future.cancel() for future in own[::2]])
        cancelled.start()
        assert [future.result(PATIENCE) for future in futures[1::2]] == [number] * 4
        cancelled.join()
    assert host.call("endless.times_interrupted") == 0


def test_an_http_client_that_hangs_up(tmp_path, start_server):
    write_plugin(tmp_path / "plugins", "endless", ENDLESS, limits={"deadline": "1h"})
    server = start_server(tmp_path / "plugins")
    fifo = tmp_path / "entered"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.socket))
        body = f'{{"path": "{fifo}"}}'
        client.sendall(
            f"POST /call/endless/spin_after HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        with fifo.open("rb") as entered:
            entered.read(1)
    with server.unix() as other:
        response = other.post("/call/endless/identity", json={"value": 1}, timeout=PATIENCE)
        assert response.json() == {"result": 1}
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
