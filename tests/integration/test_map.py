"""Host.map: one call for each item, many under way, results in order."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PATIENCE
from support.plugins import COMMON, HostMaker

from pyhost.errors import (
    ArgumentEncodingError,
    ArgumentsError,
    DeadlineExceededError,
    FunctionNotFoundError,
    PluginError,
    PluginNotFoundError,
    PluginUnavailableError,
)

WORKER = (
    COMMON
    + """
@pyhost.export
def square(number):
    if number < 0:
        raise ValueError(f"{number} is below zero")
    return number * number

@pyhost.export
def pair(first, second=2):
    return first, second

@pyhost.export
def nothing():
    pass

@pyhost.export
def hold_if_marked(item):
    barrier, value = item
    return hold(barrier, value) if barrier else value

@pyhost.export
def spin_if_told(number):
    while number < 0:
        pass
    return number

_seen = 0

@pyhost.export
def count(item):
    global _seen
    _seen += 1
    return item

@pyhost.export
def seen():
    return _seen

@pyhost.export
def relay(name, items):
    return [pyhost.call(name, item) for item in items]
"""
)


@pytest.fixture(scope="module", params=[1, 3], ids=["one interpreter", "three interpreters"])
def host(request, tmp_path_factory):
    maker = HostMaker(tmp_path_factory.mktemp("map") / "plugins")
    maker.write("worker", WORKER, interpreters=request.param)
    maker.write("wide", WORKER, interpreters=request.param, limits={"inbox": 5000})
    maker.write("narrow", WORKER, interpreters=request.param, limits={"inbox": 2})
    yield maker.start()
    maker.close()


class TestOrder:
    @pytest.mark.parametrize("count", [0, 1, 2, 3, 31, 32, 33, 1023, 1024, 1025, 5000])
    @pytest.mark.parametrize("plugin", ["worker", "narrow", "wide"])
    def test_results_come_in_the_order_of_the_items(self, host, plugin, count):
        assert list(host.map(f"{plugin}.square", range(count))) == [number * number for number in range(count)]

    @given(st.lists(st.integers(), max_size=200))
    @settings(deadline=None, max_examples=50)
    def test_any_items(self, host, items):
        assert list(host.map("worker.identity", items)) == items

    def test_every_item_is_one_call(self, host):
        before = sum(item.served for item in host.status("worker").interpreters)
        assert list(host.map("worker.count", range(500))) == list(range(500))
        assert sum(item.served for item in host.status("worker").interpreters) - before == 500

    def test_any_iterable(self, host):
        for items in ("abc", {"a": 1, "b": 2}, (item for item in "abc"), iter([1, 2]), range(3)):
            kept = list(items) if not hasattr(items, "__next__") else None
            results = list(host.map("worker.identity", items))
            assert results == (kept if kept is not None else results)
            assert len(results) in (2, 3)

    def test_an_item_is_one_argument(self, host):
        assert list(host.map("worker.pair", [(1, 2), [3]])) == [((1, 2), 2), ([3], 2)]

    def test_the_calls_spread_over_all_interpreters(self, host):
        before = [item.served for item in host.status("worker").interpreters]
        list(host.map("worker.square", range(2000)))
        after = [item.served for item in host.status("worker").interpreters]
        assert all(now > then for now, then in zip(after, before, strict=True))


class TestLaziness:
    def test_an_endless_iterable(self, host):
        results = host.map("worker.square", itertools.count())
        assert list(itertools.islice(results, 3000)) == [number * number for number in range(3000)]

    def test_it_does_not_run_far_ahead_of_who_takes_the_results(self, host):
        taken = 0

        def items():
            nonlocal taken
            for number in itertools.count():
                taken = number
                yield number

        results = host.map("wide.square", items())
        for _ in range(5000):
            next(results)
        assert taken <= 5000 + 1024

    def test_leaving_early_gives_up_what_is_under_way(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(worker=WORKER)
        results = host.map("worker.hold_if_marked", [(None, 0), (barrier.keys, 1), *((None, n) for n in range(2, 9))])
        assert next(results) == 0
        barrier.wait_arrived()
        del results
        barrier.open()
        assert list(host.map("worker.count", range(5))) == list(range(5))
        assert host.call("worker.seen") == 5
        assert sum(item.queued for item in host.status("worker").interpreters) == 0

    def test_the_iterable_is_let_go_of(self, host):
        closed = threading.Event()

        def items():
            try:
                yield from itertools.count()
            finally:
                closed.set()

        results = host.map("worker.square", items())
        assert next(results) == 0
        assert not closed.is_set()
        del results
        assert closed.wait(PATIENCE)

    def test_its_end_is_final(self, host):
        results = host.map("worker.square", [1])
        assert next(results) == 1
        for _ in range(3):
            with pytest.raises(StopIteration):
                next(results)

    def test_an_iterator_of_itself(self, host):
        results = host.map("worker.square", range(3))
        assert iter(results) is results
        assert [next(results), *results] == [0, 1, 4]


class TestFailures:
    def test_an_item_that_raises_does_so_in_its_turn_and_the_others_follow(self, host):
        results = host.map("worker.square", [1, -2, 3, -4, 5])
        assert next(results) == 1
        with pytest.raises(PluginError, match="ValueError: -2 is below zero"):
            next(results)
        assert next(results) == 9
        with pytest.raises(PluginError, match="ValueError: -4 is below zero"):
            next(results)
        assert list(results) == [25]

    def test_every_item_may_fail(self, host):
        results = host.map("worker.square", range(-300, 0))
        for number in range(-300, 0):
            with pytest.raises(PluginError, match=f"ValueError: {number} is below zero"):
                next(results)
        with pytest.raises(StopIteration):
            next(results)

    def test_an_item_that_cannot_cross_raises_in_its_turn_and_the_others_follow(self, host):
        results = host.map("worker.identity", [1, 2, lambda: 0, 4])
        assert [next(results), next(results)] == [1, 2]
        with pytest.raises(ArgumentEncodingError, match="worker.identity was not called: item: .*lambda"):
            next(results)
        assert list(results) == [4]

    def test_a_first_item_that_cannot_cross(self, host):
        def take_first():
            return next(host.map("worker.identity", [lambda: 0, 4]))

        with pytest.raises(ArgumentEncodingError, match="item: .*lambda"):
            take_first()

    def test_an_iterable_that_raises_does_so_after_the_items_before_it(self, host):
        def items():
            yield from range(100)
            raise LookupError("no more")

        results = host.map("worker.square", items())
        assert [next(results) for _ in range(100)] == [number * number for number in range(100)]
        with pytest.raises(LookupError, match="no more"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)

    def test_an_iterable_that_raises_at_once(self, host):
        def items():
            raise LookupError("none at all")
            yield

        def take_first():
            return next(host.map("worker.square", items()))

        with pytest.raises(LookupError, match="none at all"):
            take_first()

    def test_what_is_not_iterable(self, host):
        with pytest.raises(TypeError, match="'int' object is not iterable"):
            host.map("worker.square", 5)

    @pytest.mark.parametrize(
        ("name", "error"), [("shop.sell", PluginNotFoundError), ("worker.sell", FunctionNotFoundError)]
    )
    def test_an_unknown_function(self, host, name, error):
        def take_all():
            return list(host.map(name, [1]))

        with pytest.raises(error):
            take_all()

    def test_arguments_that_do_not_fit(self, host):
        with pytest.raises(ArgumentsError, match="takes 0 positional arguments but 1 was given"):
            list(host.map("worker.nothing", [1]))

    def test_a_plugin_that_goes_meanwhile(self, maker):
        host = maker.start(worker=WORKER)
        results = host.map("worker.square", itertools.count())
        assert next(results) == 0
        host.close()

        def take_rest():
            return sum(1 for _ in results)

        with pytest.raises((PluginUnavailableError, PluginNotFoundError)):
            take_rest()


class TestTimeouts:
    def test_bounds_each_call_from_its_start(self, host):
        results = host.map("worker.spin_if_told", [1, -1, 2, 3], timeout=0.1)
        assert next(results) == 1
        with pytest.raises(DeadlineExceededError):
            next(results)
        assert list(results) == [2, 3]

    def test_waiting_in_the_queue_does_not_count(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("worker", WORKER, limits={"deadline": "200ms"})
        host = maker.start()
        holding = host.submit("worker.hold", barrier.keys, timeout=PATIENCE)
        barrier.wait_arrived()
        results = host.map("worker.square", range(10))
        with pytest.raises(DeadlineExceededError):
            host.call("worker.square", 1)
        # Those of the map have waited as long by now.
        barrier.open()
        assert list(results) == [number * number for number in range(10)]
        holding.result(PATIENCE)


class TestCompany:
    def test_others_call_meanwhile(self, host):
        results = host.map("worker.square", range(3000))
        with ThreadPoolExecutor(4) as pool:
            others = pool.map(lambda number: host.call("worker.identity", number), range(1000))
            assert list(results) == [number * number for number in range(3000)]
            assert list(others) == list(range(1000))

    def test_several_maps_by_turns(self, host):
        maps = [host.map("worker.identity", range(start, start + 500)) for start in range(0, 2500, 500)]
        by_turns = list(zip(*maps, strict=True))
        assert by_turns == [tuple(range(index, index + 2500, 500)) for index in range(500)]

    def test_maps_of_several_threads(self, host):
        def many(start):
            return list(host.map("worker.square", range(start, start + 500)))

        with ThreadPoolExecutor(6) as pool:
            results = [item for result in pool.map(many, range(0, 3000, 500)) for item in result]
        assert results == [number * number for number in range(3000)]

    def test_a_full_inbox_makes_it_wait_not_fail(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("narrow", WORKER, limits={"inbox": 2})
        host = maker.start()
        holding = host.submit("narrow.hold", barrier.keys)
        barrier.wait_arrived()
        queued = [host.submit("narrow.identity", index) for index in range(2)]
        results = host.map("narrow.square", range(100))
        barrier.open()
        assert list(results) == [number * number for number in range(100)]
        assert [future.result(PATIENCE) for future in [holding, *queued]] == [None, 0, 1]

    def test_one_map_feeds_the_next(self, host):
        squares = host.map("worker.square", range(300))
        assert list(host.map("wide.identity", squares)) == [number * number for number in range(300)]

    def test_a_plugin_may_be_replaced_meanwhile(self, maker):
        host = maker.start(worker=WORKER)

        def items():
            for number in range(3000):
                if number in (500, 1500, 2500):
                    maker.write("worker", f"{WORKER}# {number}\n")
                    assert host.rescan().replaced == ("worker",)
                yield number

        assert list(host.map("worker.square", items())) == [number * number for number in range(3000)]


class TestMisuse:
    """In processes of their own: these once ended them."""

    def test_an_iterable_that_takes_from_its_own_map(self, run_program):
        outcome = run_program("""
            host = maker.start(plugin=COMMON)

            class Items:
                number = 0

                def __iter__(self):
                    return self

                def __next__(self):
                    self.number += 1
                    if self.number == 10:
                        try:
                            next(results)
                        except (RuntimeError, ValueError) as error:
                            print("refused")
                    if self.number > 20:
                        raise StopIteration
                    return self.number

            results = host.map("plugin.identity", Items())
            print(list(results) == list(range(1, 21)))

            def items():
                for number in range(20):
                    if number == 10:
                        try:
                            next(results)
                        except (RuntimeError, ValueError):
                            print("refused")
                    yield number

            results = host.map("plugin.identity", items())
            print(list(results) == list(range(20)))
            maker.close()
        """)
        assert (outcome.code, outcome.output) == (0, "refused\nTrue\nrefused\nTrue\n"), outcome.errors

    def test_several_threads_that_take_from_one_map(self, run_program):
        outcome = run_program("""
            import threading
            host = maker.start(plugin=COMMON)
            results = host.map("plugin.identity", range(20_000))
            taken, refused = [], 0
            lock = threading.Lock()

            def take():
                global refused
                while True:
                    try:
                        taken.append(next(results))
                    except StopIteration:
                        return
                    except (RuntimeError, ValueError):  # as a generator that is taken from by two
                        with lock:
                            refused += 1

            threads = [threading.Thread(target=take) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(sorted(taken) == list(range(20_000)))
            maker.close()
        """)
        assert (outcome.code, outcome.output) == (0, "True\n"), outcome.errors
