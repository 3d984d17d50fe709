// A program for tests/integration/test_library.py: everything of pyhost.hpp once, against the installed package.
#include <iostream>
#include <thread>

#include <pyhost.hpp>

#undef NDEBUG
#include <cassert>

namespace {

using namespace std::chrono_literals;

// What goes on has one owner; what does not change is copied as values are, and neither throws when it is moved.
template <class T> constexpr bool is_moved_only = !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
template <class T>
constexpr bool is_copied = std::is_copy_constructible_v<T> && std::is_copy_assignable_v<T> &&
                           std::is_nothrow_move_assignable_v<T>;
static_assert(is_moved_only<pyhost::Runtime> && std::is_nothrow_move_constructible_v<pyhost::Runtime>);
static_assert(is_moved_only<pyhost::Call> && std::is_nothrow_move_constructible_v<pyhost::Call>);
static_assert(std::is_nothrow_move_assignable_v<pyhost::Call>);
static_assert(is_copied<pyhost::Function> && std::is_nothrow_move_constructible_v<pyhost::Function>);
static_assert(is_copied<pyhost::Value> && std::is_nothrow_move_constructible_v<pyhost::Value>);
static_assert(is_copied<pyhost::Channel> && std::is_nothrow_move_constructible_v<pyhost::Channel>);
static_assert(is_copied<pyhost::Plugin> && std::is_nothrow_move_constructible_v<pyhost::Plugin>);

template <class T> void check_round_trip(const pyhost::Function &same, const T &value)
{
    assert(same.call<T>(value) == value);
}

void values(const pyhost::Plugin &plugin)
{
    pyhost::Function same = plugin.function("same");
    check_round_trip(same, true);
    check_round_trip(same, std::int8_t{-128});
    check_round_trip(same, std::uint64_t{UINT64_MAX});
    check_round_trip(same, 1.5);
    check_round_trip(same, std::string("gr\xc3\xbc\xc3\x9f"));
    check_round_trip(same, std::vector<int>{1, 2, 3});
    check_round_trip(same, std::array<std::string, 2>{"a", "b"});
    check_round_trip(same, std::map<std::string, std::vector<double>>{{"a", {1, 2}}, {"b", {}}});
    check_round_trip(same, std::unordered_map<int, bool>{{1, true}});
    check_round_trip(same, std::set<int>{3, 1});
    check_round_trip(same, std::unordered_set<std::string>{"x"});
    check_round_trip(same, std::tuple<int, std::string, std::optional<int>>{1, "b", std::nullopt});
    check_round_trip(same, std::pair<int, double>{1, 2.0});
    check_round_trip(same, std::optional<int>{5});
    check_round_trip(same, std::chrono::microseconds(-1));
    for (std::int64_t seconds : {INT64_C(0), INT64_C(1709251199), INT64_C(-62135596800), INT64_C(-1)}) {
        check_round_trip(same, std::chrono::time_point<std::chrono::system_clock, std::chrono::seconds>(
                                   std::chrono::seconds(seconds)));
    }
    pyhost::Bytes bytes{{std::byte{0}, std::byte{255}}};
    assert(same.call<pyhost::Bytes>(bytes).content == bytes.content);
    std::vector<double> numbers{1, 2, 3.5};
    assert(plugin.call<double>("total", pyhost::Span<double>(numbers)) == 6.5);
    pyhost::Value view = plugin.call("view", "text");
    assert(view.kind() == PYHOST_KIND_BUFFER && view.as<pyhost::Span<const unsigned char>>().size() == 4);
    assert(same.call<std::string>("literal") == "literal");
    assert(plugin.call<int>("add", 1, pyhost::Keyword{"right", 2}) == 3);
    assert(plugin.call("kind", plugin.call("strange")).as<std::string>() == "builtins.complex (1+2j)");
}

template <class Action> pyhost::Error failure_of(Action action)
{
    try {
        action();
    } catch (const pyhost::Error &error) {
        return error;
    }
    std::abort();
}

void failures(const pyhost::Runtime &runtime, const pyhost::Plugin &plugin)
{
    pyhost::Error raised = failure_of([&] { plugin.call<void>("fail", "as asked"); });
    assert(raised.status() == PYHOST_RAISED && raised.type() == "ValueError" && raised.plugin() == "arithmetic");
    assert(raised.function() == "arithmetic.fail" && raised.traceback().find("in fail") != std::string::npos);
    assert(failure_of([&] { plugin.call<int>("same", "text"); }).status() == PYHOST_WRONG_KIND);
    assert(failure_of([&] { plugin.call<std::int8_t>("same", 128); }).status() == PYHOST_OUT_OF_RANGE);
    assert(failure_of([&] { runtime.function("nodot"); }).status() == PYHOST_MISUSED);
    assert(failure_of([&] { plugin.function("spin").with_timeout(50ms).call(); }).status() == PYHOST_TIMEOUT);
    assert(failure_of([&] { runtime.plugin("broken").reload(); }).status() == PYHOST_NOT_LOADED);
    assert(runtime.plugin("broken").state() != "running" && !runtime.plugin("broken").reason().empty());
}

void copies(const pyhost::Plugin &plugin)
{
    pyhost::Value first = plugin.call("same", "text"), second = first, moved = std::move(first), none;
    assert(second.as<std::string>() == "text" && moved.get() == second.get());
    assert(first.get() == nullptr && first.kind() == PYHOST_KIND_END && none.kind() == PYHOST_KIND_END);
    pyhost::Value &itself = second;
    second = itself;
    none = moved = std::move(second);
    assert(none.as<std::string>() == "text");
    assert(failure_of([] { pyhost::Value().as<std::string>(); }).status() == PYHOST_WRONG_KIND);
    pyhost::Function add = plugin.function("add");
    auto adding = [add](int left, int right) { return add.call<int>(left, right); };
    pyhost::Function replaced = plugin.function("same");
    replaced = add;
    assert(adding(1, 2) == 3 && replaced.call<int>(3, 4) == 7);
}

void calls(const pyhost::Plugin &plugin)
{
    pyhost::Call spinning = plugin.function("spin").start();
    std::thread canceller([other = spinning.share()] { assert(other.cancel()); });
    assert(failure_of([&] { spinning.result(); }).status() == PYHOST_CANCELLED);
    canceller.join();
    pyhost::Call adding = plugin.function("add").start(1, 2), moved = std::move(adding);
    assert(adding.get() == nullptr && moved.result<int>() == 3);
}

void futures(const pyhost::Plugin &plugin)
{
    pyhost::Function add = plugin.function("add");
    std::vector<std::future<int>> answers;
    for (int i = 0; i < 50; i++) {
        answers.push_back(add.submit<int>(i, i));
    }
    for (int i = 0; i < 50; i++) {
        assert(answers[static_cast<std::size_t>(i)].get() == 2 * i);
    }
    add.submit<void>(1, 1).get();
    auto raised = plugin.function("fail").submit<int>("x");
    assert(failure_of([&] { raised.get(); }).type() == "ValueError");
    assert(add.start(1, 2).result<int>() == 3);
    assert(add.account().calls >= 52 && plugin.account().interpreters == 2);
}

void functions_of_the_program(const pyhost::Plugin &plugin)
{
    pyhost::offer("join", [](const std::vector<std::string> &parts, std::string between) {
        std::string joined;
        for (const std::string &part : parts) {
            joined += joined.empty() ? part : between + part;
        }
        return joined;
    });
    pyhost::offer("refuse", [](int) -> void { throw std::runtime_error("not today"); });
    std::vector<std::string> parts{"a", "b"};
    assert(plugin.call<std::string>("ask", "join", parts, "-") == "a-b");
    std::string refused = failure_of([&] { plugin.call("ask", "refuse", 1); }).what();
    assert(refused.find("not today") != std::string::npos);
    assert(failure_of([&] { plugin.call("ask", "join", 1); }).type() == "RuntimeError");
    assert(failure_of([&] { pyhost::offer("no name", [] {}); }).status() == PYHOST_MISUSED);
}

void channels(const pyhost::Plugin &plugin)
{
    pyhost::Channel numbers(4), doubled(4);
    pyhost::Call doubling = plugin.function("double_all").start(numbers, doubled);
    std::thread sender([&] {
        for (int i = 0; i < 100; i++) {
            numbers.send(i);
        }
        numbers.close();
    });
    int sum = 0;
    while (auto number = doubled.next<int>()) {
        sum += *number;
    }
    sender.join();
    assert(sum == 9900 && doubling.result<int>() == 100 && doubled.is_closed() && doubled.fd() >= 0);
    assert(plugin.call<pyhost::Channel>("same", numbers) == numbers && plugin.call<pyhost::Channel>("channel") != numbers);
    using Nested = std::map<std::string, std::vector<std::pair<pyhost::Channel, std::array<pyhost::Channel, 1>>>>;
    check_round_trip(plugin.function("same"), Nested{{"a", {{numbers, {doubled}}}}});
    pyhost::Channel small(1);
    assert(small.try_send(std::string("only")) && !small.try_send(1) && !small.try_send(1, 1ms) && small.depth() == 1);
    assert(failure_of([&] { small.send(1, 1ms); }).status() == PYHOST_FULL);
    assert(small.receive<std::string>() == "only" && !small.try_receive().has_value());
    assert(failure_of([&] { small.receive(1ms); }).status() == PYHOST_TIMEOUT);
    assert(failure_of([&] { small.try_send(small); }).status() == PYHOST_MISUSED);
    small.send(std::vector<int>{1});
    assert(small.try_receive<std::vector<int>>(1s) == std::vector<int>{1});
    small.close();
    assert(failure_of([&] { small.receive(); }).status() == PYHOST_CLOSED);
    assert(failure_of([&] { small.send(1); }).status() == PYHOST_CLOSED);
    assert(failure_of([&] { pyhost::Channel(std::size_t{0}); }).status() == PYHOST_MISUSED);
}

void eight_threads(const pyhost::Runtime &runtime)
{
    std::vector<std::thread> threads;
    for (int index = 0; index < 8; index++) {
        threads.emplace_back([&runtime, index] {
            pyhost::Function queued = runtime.function("arithmetic.add");
            pyhost::Function direct = runtime.function("arithmetic.add_directly");
            for (int i = 0; i < 100; i++) {
                assert(queued.call<int>(index, i) == index + i && direct.call<int>(index, i) == index + i);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
}

} // namespace

int main(int argc, char **argv)
{
    assert(argc == 3);
    pyhost::Options options;
    options.plugins = argv[1];
    options.log = [](int, std::string_view, std::string_view) {};
    pyhost::Runtime started(std::move(options)), runtime(std::move(started));
    pyhost::Plugin plugin = runtime.plugin("arithmetic");
    values(plugin);
    failures(runtime, plugin);
    copies(plugin);
    calls(plugin);
    futures(plugin);
    functions_of_the_program(plugin);
    channels(plugin);
    eight_threads(runtime);
    runtime.load(argv[2]);
    runtime.rescan();
    assert((runtime.plugins() == std::vector<std::string>{"arithmetic", "broken", "doubler"}));
    pyhost::Plugin doubler = runtime.plugin("doubler");
    doubler.stop();
    doubler.start();
    doubler.reload();
    assert(runtime.call_json("doubler.double", "[4]") == "8");
    doubler.unload();
    runtime.stop();
    std::cout << "all right\n";
}
