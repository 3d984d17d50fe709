"""Calls: arguments, names, calls between plugins, full inboxes, futures and asyncio."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed, wait

import pytest
from support import PATIENCE
from support.plugins import COMMON

from pyhost.errors import (
    ArgumentEncodingError,
    ArgumentsError,
    CallCancelledError,
    DeadlineExceededError,
    FunctionNotFoundError,
    InboxFullError,
    PluginError,
    PluginNotFoundError,
)

SHAPES = (
    COMMON
    + """
@pyhost.export
def everything(*args, **kwargs):
    return args, kwargs

@pyhost.export
def nothing():
    return "nothing"

@pyhost.export
def keyword_only(*, first, second=2):
    return first, second

@pyhost.export
def positional_only(first, second=2, /):
    return first, second

@pyhost.export
def mixed(a, /, b, *c, d=4, **e):
    return a, b, c, d, e

@pyhost.export
def takes_what_call_takes(name, timeout, args, kwargs, self):
    return name, timeout, args, kwargs, self

@pyhost.export(name="with.dots")
def dotted():
    return "dots"

@pyhost.export(name="größe")
def size():
    return "size"

@pyhost.export(name="call")
def exported_as_call():
    return "call"

@pyhost.export(name="name")
def exported_as_name():
    return "name"

@pyhost.export(name="_host")
def exported_as_host():
    return "_host"

_seen = []

@pyhost.export
def note(item):
    _seen.append(item)

@pyhost.export
def seen():
    return list(_seen)

def not_exported():
    pass
"""
)


@pytest.fixture(scope="module")
def host(module_maker):
    return module_maker.start(shapes=SHAPES)


@pytest.fixture(scope="module", params=["call", "proxy", "handle", "submit", "acall", "invoke"])
def call(request, host):
    """Every way to call with positional and keyword arguments and wait for the result."""

    def through_loop(coroutine):
        return asyncio.run(coroutine)

    return {
        "call": lambda name, *args, **kwargs: host.call(f"shapes.{name}", *args, **kwargs),
        "proxy": lambda name, *args, **kwargs: getattr(host.plugin("shapes"), name)(*args, **kwargs),
        "handle": lambda name, *args, **kwargs: host.function(f"shapes.{name}").call(args, kwargs),
        "submit": lambda name, *args, **kwargs: host.submit(f"shapes.{name}", *args, **kwargs).result(PATIENCE),
        "acall": lambda name, *args, **kwargs: through_loop(host.acall(f"shapes.{name}", *args, **kwargs)),
        "invoke": lambda name, *args, **kwargs: through_loop(host.invoke(f"shapes.{name}", args, kwargs)),
    }[request.param]


class TestArguments:
    @pytest.mark.parametrize("count", range(21))
    def test_any_number_of_them(self, call, count):
        args = tuple(range(count))
        kwargs = {f"k{index}": index for index in range(count)}
        assert call("everything", *args) == (args, {})
        assert call("everything", **kwargs) == ((), kwargs)
        assert call("everything", *args, **kwargs) == (args, kwargs)

    def test_very_many(self, call):
        args = tuple(range(2000))
        kwargs = {f"k{index}": index for index in range(2000)}
        assert call("everything", *args, **kwargs) == (args, kwargs)

    def test_the_order_of_keywords_is_kept(self, call):
        assert list(call("everything", z=1, a=2, m=3)[1]) == ["z", "a", "m"]

    def test_every_kind(self, call):
        assert call("keyword_only", first=1) == (1, 2)
        assert call("keyword_only", second=1, first=2) == (2, 1)
        assert call("positional_only", 1) == (1, 2)
        assert call("positional_only", 1, 3) == (1, 3)
        assert call("mixed", 1, b=2) == (1, 2, (), 4, {})
        assert call("mixed", 1, 2, 3, 4, d=5, f=6, a=7) == (1, 2, (3, 4), 5, {"f": 6, "a": 7})

    def test_keywords_in_any_alphabet(self, call):
        assert call("everything", **{"größe": 1, "not a name": 2, "": 3, "\udc80": 4}) == (
            (),
            {"größe": 1, "not a name": 2, "": 3, "\udc80": 4},
        )

    @pytest.mark.parametrize(
        ("name", "args", "kwargs", "message"),
        [
            ("nothing", (1,), {}, "takes 0 positional arguments but 1 was given"),
            ("nothing", (), {"x": 1}, "got an unexpected keyword argument 'x'"),
            ("identity", (), {}, "missing 1 required positional argument: 'value'"),
            ("identity", (1,), {"value": 2}, "got multiple values for argument 'value'"),
            ("keyword_only", (1,), {}, "takes 0 positional arguments but 1 was given"),
            ("keyword_only", (), {}, "missing 1 required keyword-only argument: 'first'"),
            ("positional_only", (), {"first": 1}, "got some positional-only arguments passed as keyword"),
            ("mixed", (1,), {}, "missing 1 required positional argument: 'b'"),
        ],
    )
    def test_those_that_do_not_fit_are_refused_with_pythons_reason(self, call, name, args, kwargs, message):
        with pytest.raises(ArgumentsError, match=f"^arguments do not fit shapes.{name}: TypeError: {name}") as caught:
            call(name, *args, **kwargs)
        assert message in str(caught.value)
        assert caught.value.function == f"shapes.{name}"

    def test_names_that_the_caller_uses_itself_go_by_the_proxy_and_as_data(self, host):
        expected = ("n", 5, "a", "k", "s")
        kwargs = dict(zip(["name", "timeout", "args", "kwargs", "self"], expected, strict=True))
        assert host.plugin("shapes").takes_what_call_takes(**kwargs) == expected
        assert asyncio.run(host.invoke("shapes.takes_what_call_takes", (), kwargs)) == expected

    def test_keywords_that_are_no_text_are_refused(self, run_program):
        # In a process of its own: these once read memory as what it is not.
        outcome = run_program("""
            host = maker.start(plugin=COMMON)
            for key in (1, None, b"value", ("value",)):
                for value in (1, lambda: 0):
                    try:
                        host.function("plugin.identity").call((), {key: value})
                    except (TypeError, pyhost.ArgumentEncodingError) as error:
                        assert "keyword" in str(error), ascii(str(error))
                    else:
                        print("was called", key, value)
            print(host.call("plugin.identity", 1))
            maker.close()
        """)
        assert (outcome.code, outcome.output, outcome.errors) == (0, "1\n", "")

    def test_a_keyword_with_a_lone_surrogate_is_named_when_its_value_cannot_cross(self, run_program):
        # In a process of its own: this once ended it.
        outcome = run_program(r"""
            host = maker.start(plugin=COMMON)
            try:
                host.call("plugin.identity", **{"\udc80": lambda: 0})
            except pyhost.ArgumentEncodingError as error:
                print(ascii(str(error))[:60])
            maker.close()
        """)
        assert outcome.code == 0, outcome.errors
        assert "was not called" in outcome.output


class TestNames:
    @pytest.mark.parametrize("name", ["", ".", "shapes", "shapes.", ".identity", 5, None, b"shapes.identity"])
    def test_what_is_no_full_name_is_refused(self, host, name):
        with pytest.raises(ValueError, match='is not a function\'s full name; allowed: "plugin.function"'):
            host.call(name, 1)

    def test_an_unknown_plugin(self, host):
        with pytest.raises(PluginNotFoundError, match="^there is no plugin 'shop'$") as caught:
            host.call("shop.sell")
        assert (caught.value.function, caught.value.plugin) == ("shop.sell", "shop")

    @pytest.mark.parametrize("name", ["sell", "not_exported", "IDENTITY", "identity.x", "_seen", "\udc80"])
    def test_an_unknown_function(self, host, name):
        with pytest.raises((FunctionNotFoundError, UnicodeEncodeError)):
            host.call(f"shapes.{name}")

    def test_a_name_is_not_cut_short(self, host):
        with pytest.raises((FunctionNotFoundError, ValueError)):
            host.call("shapes.nothing\0more")
        with pytest.raises((PluginNotFoundError, ValueError)):
            host.call("shapes\0more.nothing")

    @pytest.mark.parametrize(
        ("name", "result"),
        [("with.dots", "dots"), ("größe", "size"), ("call", "call"), ("name", "name"), ("_host", "_host")],
    )
    def test_names_of_an_authors_choice(self, call, name, result):
        assert call(name) == result

    def test_a_name_that_comes_as_it_goes_leaves_nothing_behind(self, host):
        # A caller on the network can ask for any number of names that are not there.
        before = len(host._functions)
        for index in range(100):
            with pytest.raises(FunctionNotFoundError):
                host.call(f"shapes.missing_{index}")
        assert len(host._functions) <= before + 1

    def test_two_functions_of_one_name_fail_their_plugin(self, maker):
        host = maker.start(
            twice="""
            import pyhost

            @pyhost.export
            def count(): ...

            @pyhost.export(name="count")
            def other(): ...
            """
        )
        assert host.status("twice").reason == "ValueError: two functions are exported as 'count'"

    def test_one_function_under_two_names_is_one_function(self, maker):
        host = maker.start(once=COMMON + "\nalias = identity\n")
        assert sorted(item.description.name for item in host.status("once").functions) == ["hold", "identity"]

    def test_a_proxy_and_a_handle_say_what_they_are(self, host):
        assert repr(host.plugin("shapes")) == "<pyhost plugin 'shapes'>"
        assert repr(host.plugin("shapes").nothing) == "<pyhost function shapes.nothing>"
        assert host.function("shapes.nothing").name == "shapes.nothing"
        with pytest.raises(PluginNotFoundError):
            host.plugin("shop")
        with pytest.raises(AttributeError):
            host.plugin("shapes").__wrapped__  # noqa: B018


CALLABLES = """
import functools
import pyhost

class Shop:
    prices = {"tea": 3}

    def price(self, item, count=1):
        return self.prices[item] * count

    @classmethod
    def items(cls):
        return list(cls.prices)

    def __call__(self, item):
        return item in self.prices

def keep_name(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return "wrapped", function(*args, **kwargs)
    return wrapper

@keep_name
@pyhost.export
def inside(value):
    return value

@pyhost.export
@keep_name
def outside(value):
    return value

shop = Shop()
method = pyhost.export(shop.price)
class_method = pyhost.export(Shop.items)
instance = pyhost.export(name="sells")(shop)
partial = pyhost.export(name="binary")(functools.partial(int, base=2))
nameless = pyhost.export(name="double")(lambda number: 2 * number)
"""


@pytest.mark.parametrize(
    ("name", "args", "result"),
    [
        ("inside", (1,), ("wrapped", 1)),
        ("outside", (1,), ("wrapped", 1)),
        ("price", ("tea", 2), 6),
        ("items", (), ["tea"]),
        ("sells", ("tea",), True),
        ("binary", ("101",), 5),
        ("double", (4,), 8),
    ],
)
def test_anything_that_can_be_called_can_be_exported(maker, name, args, result):
    host = maker.start(callables=CALLABLES)
    assert host.status("callables").reason == ""
    assert host.call(f"callables.{name}", *args) == result


class TestTimeouts:
    @pytest.mark.parametrize("timeout", [0, -1, -0.5, float("nan")])
    def test_one_that_is_no_time_is_refused(self, host, timeout):
        for call in (
            lambda: host.call("shapes.nothing", timeout=timeout),
            lambda: host.submit("shapes.nothing", timeout=timeout),
            lambda: host.map("shapes.identity", [1], timeout=timeout),
            lambda: asyncio.run(host.acall("shapes.nothing", timeout=timeout)),
            lambda: asyncio.run(host.invoke("shapes.nothing", (), {}, timeout)),
        ):
            with pytest.raises(ValueError, match="^timeout is .*; allowed: a number of seconds above 0$"):
                call()

    def test_one_that_is_no_number_is_refused(self, host):
        with pytest.raises(TypeError, match="must be real number"):
            host.call("shapes.nothing", timeout="2s")

    @pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**9, 10, None])
    def test_one_can_be_long_or_none(self, host, timeout):
        assert host.call("shapes.nothing", timeout=timeout) == "nothing"


CALLER = (
    COMMON
    + """
@pyhost.export
def relay(name, *args, **kwargs):
    return pyhost.call(name, *args, **kwargs)

@pyhost.export
def catch(name, *args, timeout_of_call=None):
    try:
        return pyhost.call(name, *args, timeout=timeout_of_call)
    except pyhost.PyhostError as error:
        return type(error).__name__, str(error)

counted = 0

@pyhost.export
def count_after(barrier):
    global counted
    hold(barrier)
    counted += 1
    return counted

@pyhost.export
def cross(barrier, name):
    hold(barrier)
    return catch(name, 1, timeout_of_call=0.3)

@pyhost.export
def fail():
    raise LookupError("nothing here")
"""
)


class TestBetweenPlugins:
    def test_a_result_comes_back_through_all_of_them(self, maker):
        host = maker.start(a=CALLER, b=CALLER, c=CALLER)
        assert host.call("a.relay", "b.relay", "c.identity", {"x": (1, 2)}) == {"x": (1, 2)}

    def test_errors_are_raised_where_the_call_is_made(self, maker):
        host = maker.start(a=CALLER, b=CALLER)
        assert host.call("a.catch", "b.fail") == ("PluginError", "b.fail raised LookupError: nothing here")
        assert host.call("a.catch", "z.fail") == ("PluginNotFoundError", "there is no plugin 'z'")
        assert host.call("a.catch", "b.sell") == ("FunctionNotFoundError", "plugin 'b' exports no function 'sell'")
        assert host.call("a.catch", "b.fail", 1)[0] == "ArgumentsError"
        with pytest.raises(PluginError) as caught:
            host.call("a.relay", "b.fail")
        assert caught.value.type_name == "pyhost.errors.PluginError"
        assert "nothing here" in caught.value.traceback_text

    def test_a_call_that_would_wait_for_itself_is_refused(self, maker):
        host = maker.start(a=CALLER, b=CALLER, c=CALLER)
        name, message = host.call("a.catch", "a.identity", 1)
        assert name == "ReentrantCallError"
        assert "the call of a.identity would wait for the thread that makes it" in message
        assert host.call("a.relay", "b.catch", "a.identity", 1)[0] == "ReentrantCallError"
        assert host.call("a.relay", "b.relay", "c.catch", "a.identity", 1)[0] == "ReentrantCallError"
        with pytest.raises(PluginError, match="ReentrantCallError"):
            host.call("a.relay", "b.relay", "a.identity", 1)
        assert host.call("a.relay", "b.relay", "c.identity", 1) == 1

    def test_with_a_second_interpreter_it_goes_there(self, maker):
        maker.write("a", CALLER, interpreters=2)
        host = maker.start(b=CALLER)
        assert host.call("a.relay", "a.identity", 1) == 1
        assert host.call("a.relay", "b.relay", "a.identity", 2) == 2
        assert host.call("a.relay", "a.catch", "a.identity", 3)[0] == "ReentrantCallError"

    def test_calls_that_cross_each_other_do_not_wait_for_ever(self, maker, make_barrier):
        # a calls b while b calls a: each waits for the other's thread, until the deadline of one is over.
        barrier = make_barrier()
        host = maker.start(a=CALLER, b=CALLER)
        calls = [host.submit(f"{here}.cross", barrier.keys, f"{there}.identity") for here, there in ("ab", "ba")]
        barrier.wait_arrived(2)
        barrier.open(2)
        outcomes = [call.result(PATIENCE) for call in calls]
        assert ("DeadlineExceededError", "b.identity did not answer by its deadline") in outcomes or (
            "DeadlineExceededError",
            "a.identity did not answer by its deadline",
        ) in outcomes
        assert host.call("a.identity", 1) == host.call("b.identity", 1) == 1

    def test_the_deadline_of_a_call_bounds_the_calls_that_it_makes(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("b", COMMON, limits={"deadline": "1h"})
        host = maker.start(a=CALLER)
        with pytest.raises(DeadlineExceededError):
            host.call("a.relay", "b.hold", barrier.keys, timeout=0.3)
        # b stands at the barrier still, and its own deadline is an hour away: a waits for it no more.
        assert host.call("a.identity", 1) == 1

    def test_a_shorter_timeout_of_its_own_holds(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(a=CALLER, b=COMMON)
        assert host.call("a.catch", "b.hold", barrier.keys, timeout_of_call=0.1) == (
            "DeadlineExceededError",
            "b.hold did not answer by its deadline",
        )


class TestInboxes:
    def test_an_inbox_takes_as_many_calls_as_it_says(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("narrow", SHAPES, limits={"inbox": 3})
        host = maker.start()
        running = host.submit("narrow.hold", barrier.keys)
        barrier.wait_arrived()
        waiting = [host.submit("narrow.identity", index) for index in range(3)]
        assert [item.queued for item in host.status("narrow").interpreters] == [3]
        for refused in (
            lambda: host.call("narrow.identity", 4),
            lambda: host.submit("narrow.identity", 4),
            lambda: asyncio.run(host.acall("narrow.identity", 4)),
        ):
            with pytest.raises(
                InboxFullError, match="every inbox of plugin 'narrow' is full; try again, or raise limits.inbox"
            ):
                refused()
        assert host.status("narrow").function("identity").rejected == 3
        barrier.open()
        assert [future.result(PATIENCE) for future in [running, *waiting]] == [None, 0, 1, 2]
        assert host.call("narrow.identity", 4) == 4

    def test_every_interpreter_has_one(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("narrow", COMMON, interpreters=2, limits={"inbox": 1})
        host = maker.start()
        running = []
        for _ in range(2):
            running.append(host.submit("narrow.hold", barrier.keys))
            barrier.wait_arrived()
        waiting = [host.submit("narrow.identity", index) for index in range(2)]
        with pytest.raises(InboxFullError):
            host.submit("narrow.identity", 2)
        barrier.open(2)
        assert [future.result(PATIENCE) for future in [*running, *waiting]] == [None, None, 0, 1]

    def test_a_call_that_was_given_up_leaves_its_place_when_it_is_reached(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("narrow", SHAPES, limits={"inbox": 1})
        host = maker.start()
        running = host.submit("narrow.hold", barrier.keys)
        barrier.wait_arrived()
        waiting = host.submit("narrow.note", 1)
        assert waiting.cancel()
        with pytest.raises(InboxFullError):
            host.submit("narrow.note", 2)
        barrier.open()
        running.result(PATIENCE)
        while host.status("narrow").interpreters[0].queued:
            pass
        assert host.call("narrow.seen") == []


class TestInterpreters:
    def test_as_many_calls_run_at_once_as_there_are_interpreters(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("wide", COMMON, interpreters=4)
        host = maker.start()
        calls = [host.submit("wide.hold", barrier.keys, index) for index in range(4)]
        barrier.wait_arrived(4)
        assert [item.running for item in host.status("wide").interpreters] == [1] * 4
        barrier.open(4)
        assert [call.result(PATIENCE) for call in calls] == [0, 1, 2, 3]
        assert [item.served for item in host.status("wide").interpreters] == [1] * 4

    def test_calls_one_after_the_other_go_round(self, maker):
        maker.write("wide", COMMON, interpreters=3)
        host = maker.start()
        for index in range(30):
            host.call("wide.identity", index)
        assert sum(item.served for item in host.status("wide").interpreters) == 30
        assert all(item.served for item in host.status("wide").interpreters)

    def test_a_busy_one_is_passed_by(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("wide", COMMON, interpreters=2)
        host = maker.start()
        running = host.submit("wide.hold", barrier.keys)
        barrier.wait_arrived()
        for index in range(20):
            assert host.call("wide.identity", index) == index
        barrier.open()
        running.result(PATIENCE)

    def test_each_has_module_variables_of_its_own(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write(
            "wide",
            COMMON
            + "import _interpreters\nnumber = _interpreters.get_current()[0]\n@pyhost.export\ndef who(barrier):\n    hold(barrier)\n    return number\n",
            interpreters=3,
        )
        host = maker.start()
        calls = [host.submit("wide.who", barrier.keys) for _ in range(3)]
        barrier.wait_arrived(3)
        barrier.open(3)
        assert len({call.result(PATIENCE) for call in calls}) == 3


class TestFutures:
    def test_a_result_and_an_error(self, host):
        assert host.submit("shapes.identity", 5).result(PATIENCE) == 5
        with pytest.raises(ArgumentsError):
            host.submit("shapes.nothing", 1).result(PATIENCE)

    def test_what_prevents_a_call_is_raised_at_once(self, host):
        with pytest.raises(PluginNotFoundError):
            host.submit("shop.sell")
        with pytest.raises(ArgumentEncodingError):
            host.submit("shapes.identity", lambda: 0)

    def test_many_come_back_to_whom_they_belong(self, host):
        futures = {host.submit("shapes.identity", index): index for index in range(1000)}
        for future in as_completed(futures, PATIENCE):
            assert future.result() == futures[future]

    def test_one_that_waits_can_be_cancelled_and_never_runs(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(shapes=SHAPES)
        running = host.submit("shapes.hold", barrier.keys)
        barrier.wait_arrived()
        waiting = [host.submit("shapes.note", index) for index in range(10)]
        assert all(future.cancel() for future in waiting[::2])
        barrier.open()
        _done, not_done = wait(waiting, PATIENCE)
        assert not not_done
        assert all(future.cancelled() for future in waiting[::2])
        with pytest.raises(CancelledError):
            waiting[0].result()
        assert running.result(PATIENCE) is None
        assert host.call("shapes.seen") == [1, 3, 5, 7, 9]

    def test_one_that_runs_can_be_given_up(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(shapes=SHAPES)
        running = host.submit("shapes.hold", barrier.keys)
        barrier.wait_arrived()
        assert running.cancel()
        assert running.cancelled()
        barrier.open()
        assert host.call("shapes.identity", 1) == 1

    def test_one_that_is_done_cannot(self, host):
        future = host.submit("shapes.identity", 1)
        assert future.result(PATIENCE) == 1
        assert not future.cancel()
        assert future.result() == 1

    def test_callbacks_run_and_may_call(self, host):
        answers = []
        finished = threading.Event()

        def call_again(future):
            answers.append(future.result())
            answers.append(host.call("shapes.identity", "from the callback"))
            finished.set()

        host.submit("shapes.identity", 1).add_done_callback(call_again)
        assert finished.wait(PATIENCE)
        assert answers == [1, "from the callback"]

    def test_a_timeout_is_the_calls(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(shapes=SHAPES)
        running = host.submit("shapes.hold", barrier.keys)
        barrier.wait_arrived()
        with pytest.raises(DeadlineExceededError):
            host.submit("shapes.note", 1, timeout=0.05).result(PATIENCE)
        barrier.open()
        running.result(PATIENCE)
        assert host.call("shapes.seen") == []


class TestAsyncio:
    def test_a_result_and_an_error(self, host):
        async def main():
            assert await host.acall("shapes.identity", 5) == 5
            assert await host.invoke("shapes.everything", [1], {"timeout": 2}) == ((1,), {"timeout": 2})
            with pytest.raises(ArgumentsError):
                await host.acall("shapes.nothing", 1)
            with pytest.raises(PluginNotFoundError):
                await host.acall("shop.sell")

        asyncio.run(main())

    def test_ten_thousand_in_flight(self, maker, make_barrier):
        barrier = make_barrier()
        maker.write("wide", COMMON, limits={"inbox": 10_000})
        host = maker.start()

        async def main():
            running = asyncio.ensure_future(host.acall("wide.hold", barrier.keys))
            await asyncio.to_thread(barrier.wait_arrived)
            calls = [asyncio.ensure_future(host.acall("wide.identity", index)) for index in range(10_000)]
            await asyncio.sleep(0)
            assert host.status("wide").interpreters[0].queued == 10_000
            barrier.open()
            assert await asyncio.gather(*calls) == list(range(10_000))
            await running

        asyncio.run(main())

    def test_a_cancelled_call_never_runs(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(shapes=SHAPES)

        async def main():
            running = asyncio.ensure_future(host.acall("shapes.hold", barrier.keys))
            await asyncio.to_thread(barrier.wait_arrived)
            calls = [asyncio.ensure_future(host.acall("shapes.note", index)) for index in range(10)]
            await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            outcomes = asyncio.gather(*calls, return_exceptions=True)
            await asyncio.sleep(0)
            barrier.open()
            assert [type(outcome) for outcome in await outcomes] == [asyncio.CancelledError, type(None)] * 5
            await running

        asyncio.run(main())
        assert host.call("shapes.seen") == [1, 3, 5, 7, 9]

    def test_timeouts_of_asyncio_give_the_call_up(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(shapes=SHAPES)

        async def main():
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.05):
                    await host.acall("shapes.hold", barrier.keys)
            assert not isinstance(caught.value, DeadlineExceededError)
            with pytest.raises(DeadlineExceededError):
                await host.acall("shapes.hold", barrier.keys, timeout=0.05)
            barrier.open(2)
            assert await host.acall("shapes.identity", 1) == 1

        asyncio.run(main())

    def test_one_loop_after_the_other(self, host):
        for index in range(20):
            assert asyncio.run(host.acall("shapes.identity", index)) == index

    def test_loops_of_several_threads_at_once(self, host):
        async def many(start):
            return await asyncio.gather(*(host.acall("shapes.identity", start + index) for index in range(100)))

        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda start: asyncio.run(many(start)), range(0, 400, 100)))
        assert results == [list(range(start, start + 100)) for start in range(0, 400, 100)]

    def test_a_loop_that_ends_with_calls_under_way(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(shapes=SHAPES)

        async def leave():
            task = asyncio.ensure_future(host.acall("shapes.hold", barrier.keys))
            await asyncio.to_thread(barrier.wait_arrived)
            return task

        assert asyncio.run(leave()).cancelled()
        barrier.open()
        assert host.call("shapes.identity", 1) == 1

    def test_a_host_that_closes_answers_those_that_wait(self, maker, make_barrier):
        barrier = make_barrier()
        host = maker.start(shapes=SHAPES)

        async def main():
            calls = [asyncio.ensure_future(host.acall("shapes.hold", barrier.keys)) for _ in range(3)]
            await asyncio.to_thread(barrier.wait_arrived)
            closing = asyncio.ensure_future(asyncio.to_thread(host.close, 0.05))
            outcomes = await asyncio.gather(*calls[1:], return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [CallCancelledError] * 2
            barrier.open()
            await asyncio.gather(*calls[:1], closing, return_exceptions=True)

        asyncio.run(main())


def test_calls_from_many_threads_are_all_answered(host):
    def many(start):
        return [host.call("shapes.identity", index) for index in range(start, start + 200)]

    with ThreadPoolExecutor(8) as pool:
        results = [item for result in pool.map(many, range(0, 1600, 200)) for item in result]
    assert results == list(range(1600))


def test_counters_tell_what_became_of_calls(maker, make_barrier):
    barrier = make_barrier()
    host = maker.start(a=CALLER)
    for _ in range(3):
        host.call("a.identity", 1)
    with pytest.raises(ArgumentsError):
        host.call("a.identity")
    for _ in range(2):
        with pytest.raises(PluginError):
            host.call("a.fail")
    with pytest.raises(DeadlineExceededError):
        host.call("a.hold", barrier.keys, timeout=0.05)
    barrier.open()
    host.call("a.identity", 1)
    status = host.status("a")

    def counted(name):
        function = status.function(name)
        return function.calls, function.errors, function.timeouts, function.rejected

    assert counted("identity") == (4, 1, 0, 0)
    assert counted("fail") == (0, 2, 0, 0)
    assert counted("hold") == (0, 0, 1, 0)
    latency = status.function("identity").latency
    assert latency.count == 5
    assert 0 < latency.p50 <= latency.p99 <= latency.maximum <= latency.total
