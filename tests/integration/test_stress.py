"""Many interpreters, many threads, many calls: every answer right, none lost, and a clean end."""

from __future__ import annotations

from support.plugins import COMMON

COUNTER = (
    COMMON
    + """
@pyhost.export
def add(number):
    return NUMBER, number + NUMBER
"""
)


def test_a_hundred_interpreters_and_ten_thousand_calls(run_program):
    program = """
        import threading

        for index in range(50):
            maker.write(f"plugin_{index}", f"NUMBER = {index}\\n{COUNTER}", interpreters=2)
        host = maker.start()
        assert all(plugin.state == "running" for plugin in host.plugins()), [p.reason for p in host.plugins()]
        print(sum(len(plugin.interpreters) for plugin in host.plugins()), "interpreters")

        right = [0] * 8

        def work(thread):
            for number in range(thread, 10_000, 8):
                index = number % 50
                if host.call(f"plugin_{index}.add", number) == (index, number + index):
                    right[thread] += 1

        threads = [threading.Thread(target=work, args=[thread]) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(sum(right), "right")
        status = [plugin.function("add") for plugin in host.plugins()]
        print(sum(function.calls for function in status), "counted")
        print(sum(item.served for plugin in host.plugins() for item in plugin.interpreters), "served")
        host.close()
        print(_core.lost_count(), "lost")
    """
    outcome = run_program(program, COUNTER=COUNTER)
    assert outcome.output == "100 interpreters\n10000 right\n10000 counted\n10000 served\n0 lost\n", outcome.errors
    assert (outcome.code, outcome.errors) == (0, "")


def test_interpreters_that_come_and_go_while_others_work(maker):
    host = maker.start(steady=COMMON)
    results = host.map("steady.identity", range(20_000))
    taken = [next(results) for _ in range(1000)]
    for number in range(10):
        maker.write("passing", f"{COMMON}# {number}", interpreters=4)
        report = host.rescan()
        assert report.loaded + report.replaced == ("passing",)
        assert list(host.map("passing.identity", range(100))) == list(range(100))
        taken += [next(results) for _ in range(1000)]
    assert [*taken, *results] == list(range(20_000))
