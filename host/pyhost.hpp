// pyhost.hpp: Python plugins in C++17, header only, over pyhost.h, whose comments say what is promised.
//
//     pyhost::Runtime runtime{{"plugins"}};
//     auto words = runtime.plugin("wordcount");
//     auto counts = words.call<std::map<std::string, int>>("count", "a b a");
//     std::future<int> answer = words.function("total").submit<int>("a b a");
//
// Everything that can fail throws pyhost::Error. Any thread may use any handle. A Runtime and a Call stand for what
// goes on, and are moved only; Call::share() makes a second reference. A Function, a Plugin and a Value stand for what
// does not change, and a Channel for something that many share, so that a copy is as good as the first: copy and capture
// them freely, it takes an atomic increment.
// C++ types and Python's:
//
//     std::nullptr_t, std::optional without a value   None          std::vector, std::array       list
//     bool, integers, floating point                  bool, int, float   std::pair, std::tuple    tuple
//     std::string, std::string_view, const char *     str           std::set, std::unordered_set  set
//     pyhost::Bytes                                   bytes         std::map, std::unordered_map  dict
//     pyhost::Span<T>                                 memoryview, without a copy
//     pyhost::Channel                                 pyhost.Channel, the same one
//     std::chrono durations, system_clock times       timedelta, datetime in UTC
//     pyhost::Value                                   anything
//
// Lists and tuples are read as either. Specialise pyhost::Codec for a type of your own.
#ifndef PYHOST_HPP
#define PYHOST_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "pyhost.h"

namespace pyhost {

using Nanoseconds = std::chrono::nanoseconds;

// What went wrong: what() is the sentence for people; traceback() is the plugin's.
class Error : public std::runtime_error {
public:
    explicit Error(pyhost_status status, const std::string &message = {})
        : std::runtime_error(message.empty() ? pyhost_status_message(status) : message), status_(status)
    {
    }

    // Takes over an error of the C interface; NULL: the status alone says what it was.
    Error(pyhost_status status, pyhost_error *error)
        : std::runtime_error(error != nullptr ? pyhost_error_message(error) : pyhost_status_message(status)),
          status_(status)
    {
        if (error != nullptr) {
            plugin_ = pyhost_error_plugin(error);
            function_ = pyhost_error_function(error);
            type_ = pyhost_error_type(error);
            traceback_ = pyhost_error_traceback(error);
            pyhost_error_free(error);
        }
    }

    pyhost_status status() const noexcept { return status_; }
    const std::string &plugin() const noexcept { return plugin_; }
    const std::string &function() const noexcept { return function_; }
    const std::string &type() const noexcept { return type_; }
    const std::string &traceback() const noexcept { return traceback_; }

private:
    pyhost_status status_;
    std::string plugin_, function_, type_, traceback_;
};

inline void check(pyhost_status status, pyhost_error *error = nullptr)
{
    if (status != PYHOST_OK) {
        throw Error(status, error);
    }
}

// Python's bytes.
struct Bytes {
    std::vector<std::byte> content;
};

// Items that lie one after the other in memory that somebody else owns.
template <class T> class Span {
public:
    Span() = default;
    Span(T *data, std::size_t size) : data_(data), size_(size) {}
    template <class Container, class = decltype(std::declval<Container &>().data())>
    Span(Container &container) : data_(container.data()), size_(container.size())
    {
    }
    T *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    T *begin() const noexcept { return data_; }
    T *end() const noexcept { return data_ + size_; }
    T &operator[](std::size_t index) const { return data_[index]; }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};

// How a C++ type becomes Python's and back: `static void put(pyhost_builder *, const T &)` adds one value,
// `static T take(pyhost_reader &)` reads one. Either may throw Error.
template <class T, class = void> struct Codec;

template <class T> using CodecOf = Codec<std::remove_cv_t<std::remove_reference_t<T>>>;

template <class T> void put(pyhost_builder *builder, const T &value)
{
    CodecOf<T>::put(builder, value);
}

template <class T> T take(pyhost_reader &reader)
{
    return Codec<T>::take(reader);
}

namespace detail {

// A reference to an object of the C interface that counts them.
template <class T, T *(*ref)(T *), void (*unref)(T *)> class Counted {
public:
    Counted() = default;
    // Takes over a reference.
    explicit Counted(T *object) noexcept : object_(object) {}
    Counted(const Counted &other) noexcept : object_(other.object_ != nullptr ? ref(other.object_) : nullptr) {}
    Counted(Counted &&other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Counted &operator=(Counted other) noexcept
    {
        std::swap(object_, other.object_);
        return *this;
    }
    ~Counted() { unref(object_); }
    T *get() const noexcept { return object_; }

private:
    T *object_ = nullptr;
};

} // namespace detail

// A Python value, encoded. It never changes, so a copy is one more reference to it. By default it is nothing, and of
// the kind END.
class Value {
public:
    Value() = default;
    // Takes over a reference.
    explicit Value(pyhost_value *value) : value_(value) {}

    // The value as a C++ type. Throws Error with WRONG_KIND or OUT_OF_RANGE.
    template <class T> T as() const
    {
        pyhost_reader place = reader();
        return take<T>(place);
    }

    pyhost_reader reader() const { return get() != nullptr ? pyhost_reader_make(get()) : pyhost_reader{}; }
    pyhost_kind kind() const
    {
        pyhost_reader place = reader();
        return pyhost_reader_kind(&place);
    }
    const pyhost_value *get() const noexcept { return value_.get(); }

private:
    detail::Counted<pyhost_value, pyhost_value_ref, pyhost_value_unref> value_;
};

// A keyword argument: function.call<int>("a b a", pyhost::Keyword{"top", 3}).
template <class T> struct Keyword {
    const char *name;
    T value;
};
template <class T> Keyword(const char *, T) -> Keyword<T>;

namespace detail {

template <class T> struct is_keyword : std::false_type {};
template <class T> struct is_keyword<Keyword<T>> : std::true_type {};

inline pyhost_reader enter(pyhost_reader &reader)
{
    pyhost_reader inner;
    check(pyhost_reader_enter(&reader, &inner));
    return inner;
}

template <class Container> void put_all(pyhost_builder *builder, pyhost_kind kind, const Container &container)
{
    pyhost_builder_open(builder, kind);
    for (const auto &item : container) {
        put(builder, item);
    }
    pyhost_builder_close(builder);
}

// Reads a dict, a set or a list into a container by `add`, which reads one item.
template <class Add> void take_all(pyhost_reader &reader, Add add)
{
    pyhost_reader inner = enter(reader);
    while (pyhost_reader_left(&inner) > 0) {
        add(inner);
    }
    check(pyhost_reader_leave(&reader, &inner));
}

template <class T> struct Sequence {
    static void put(pyhost_builder *builder, const T &value) { put_all(builder, PYHOST_KIND_LIST, value); }
    static T take(pyhost_reader &reader)
    {
        T result;
        take_all(reader, [&](pyhost_reader &inner) { result.push_back(pyhost::take<typename T::value_type>(inner)); });
        return result;
    }
};

template <class T> struct Set {
    static void put(pyhost_builder *builder, const T &value) { put_all(builder, PYHOST_KIND_SET, value); }
    static T take(pyhost_reader &reader)
    {
        T result;
        take_all(reader, [&](pyhost_reader &inner) { result.insert(pyhost::take<typename T::value_type>(inner)); });
        return result;
    }
};

template <class T> struct Map {
    static void put(pyhost_builder *builder, const T &value)
    {
        pyhost_builder_open(builder, PYHOST_KIND_DICT);
        for (const auto &[key, item] : value) {
            pyhost::put(builder, key);
            pyhost::put(builder, item);
        }
        pyhost_builder_close(builder);
    }
    static T take(pyhost_reader &reader)
    {
        T result;
        take_all(reader, [&](pyhost_reader &inner) {
            auto key = pyhost::take<typename T::key_type>(inner);
            result.insert_or_assign(std::move(key), pyhost::take<typename T::mapped_type>(inner));
        });
        return result;
    }
};

template <class... Items> struct Tuple {
    using type = std::tuple<Items...>;
    static void put(pyhost_builder *builder, const type &value)
    {
        pyhost_builder_open(builder, PYHOST_KIND_TUPLE);
        std::apply([&](const auto &...items) { (pyhost::put(builder, items), ...); }, value);
        pyhost_builder_close(builder);
    }
    static type take(pyhost_reader &reader)
    {
        pyhost_reader inner = enter(reader);
        if (pyhost_reader_left(&inner) != sizeof...(Items)) {
            throw Error(PYHOST_WRONG_KIND, "the sequence has another length");
        }
        type result{pyhost::take<Items>(inner)...}; // braces: from left to right
        check(pyhost_reader_leave(&reader, &inner));
        return result;
    }
};

template <class T> constexpr char format_of()
{
    if constexpr (std::is_same_v<T, bool>) {
        return '?';
    } else if constexpr (std::is_floating_point_v<T>) {
        static_assert(sizeof(T) == sizeof(float) || sizeof(T) == sizeof(double), "float or double");
        return sizeof(T) == sizeof(float) ? 'f' : 'd';
    } else {
        static_assert(std::is_integral_v<T> || std::is_same_v<T, std::byte>, "numbers");
        constexpr bool is_signed = std::is_signed_v<T>;
        return sizeof(T) == 1 ? (is_signed ? 'b' : 'B')
               : sizeof(T) == 2 ? (is_signed ? 'h' : 'H')
               : sizeof(T) == 4 ? (is_signed ? 'i' : 'I')
                                : (is_signed ? 'q' : 'Q');
    }
}

struct BuilderDeleter {
    void operator()(pyhost_builder *builder) const noexcept { pyhost_builder_free(builder); }
};

// The calling thread's builder, empty.
inline pyhost_builder *thread_builder()
{
    thread_local std::unique_ptr<pyhost_builder, BuilderDeleter> builder(pyhost_builder_new());
    if (builder == nullptr) {
        throw Error(PYHOST_NO_MEMORY);
    }
    pyhost_builder_clear(builder.get());
    return builder.get();
}

template <class T> void put_argument(pyhost_builder *builder, const T &value)
{
    if constexpr (is_keyword<T>::value) {
        pyhost_builder_keyword(builder, value.name);
        put(builder, value.value);
    } else {
        put(builder, value);
    }
}

template <class... Arguments> pyhost_builder *arguments(const Arguments &...values)
{
    pyhost_builder *builder = thread_builder();
    (put_argument(builder, values), ...);
    return builder;
}

// A result as the type that was asked for; void drops it.
template <class Result> Result convert(const Value &value)
{
    if constexpr (std::is_same_v<Result, Value>) {
        return value;
    } else if constexpr (!std::is_void_v<Result>) {
        return value.as<Result>();
    }
}

} // namespace detail

template <> struct Codec<Value> {
    static void put(pyhost_builder *builder, const Value &value) { pyhost_builder_value(builder, value.get()); }
    static Value take(pyhost_reader &reader)
    {
        pyhost_value *value = nullptr;
        check(pyhost_reader_value(&reader, &value));
        return Value(value);
    }
};

// A bounded queue of values, which crosses to plugins as itself. Copies are the same channel. It needs no Runtime.
class Channel {
public:
    static constexpr Nanoseconds for_ever = Nanoseconds::max();

    Channel() = default; // none
    explicit Channel(std::size_t capacity)
    {
        pyhost_channel *channel = nullptr;
        check(pyhost_channel_new(capacity, &channel));
        channel_ = Counted(channel);
    }
    // Takes over a reference.
    explicit Channel(pyhost_channel *channel) noexcept : channel_(channel) {}

    // Puts a value in, and waits for room. Throws Error with CLOSED, or with FULL when there was none in time.
    template <class T> void send(const T &value, Nanoseconds timeout = for_ever) const
    {
        if (!try_send(value, timeout)) {
            throw Error(PYHOST_FULL, "the channel is full, and nobody received in time");
        }
    }
    // The same; false: there was no room in time, or now.
    template <class T> bool try_send(const T &value, Nanoseconds timeout = Nanoseconds::zero()) const
    {
        pyhost_builder *builder = detail::thread_builder();
        pyhost_value *built = nullptr;
        put(builder, value);
        check(pyhost_builder_finish(builder, &built));
        Value held(built);
        pyhost_status status = pyhost_channel_send(get(), built, timeout.count());
        if (status != PYHOST_FULL) {
            check(status);
        }
        return status == PYHOST_OK;
    }

    // Takes the oldest value, and waits for one. Throws Error with CLOSED once it is closed and empty, with TIMEOUT when
    // none came in time, and what Value::as throws: the value is gone then.
    template <class T = Value> T receive(Nanoseconds timeout = for_ever) const
    {
        Value value;
        pyhost_status status = take_one(timeout, value);
        if (status == PYHOST_TIMEOUT) {
            throw Error(status, "nothing came through the channel in time");
        }
        check(status);
        return detail::convert<T>(value);
    }
    // The same; nothing: none came in time, or is there now.
    template <class T = Value> std::optional<T> try_receive(Nanoseconds timeout = Nanoseconds::zero()) const
    {
        return take_or<T>(PYHOST_TIMEOUT, timeout);
    }
    // Waits for the next value; nothing once it is closed and empty: while (auto line = lines.next<std::string>()) ...
    template <class T = Value> std::optional<T> next() const { return take_or<T>(PYHOST_CLOSED, for_ever); }

    void close() const { pyhost_channel_close(get()); }
    bool is_closed() const { return pyhost_channel_is_closed(get()); }
    std::size_t depth() const { return pyhost_channel_depth(get()); }
    // Readable while there may be something to receive, and once it is closed; the channel's own.
    int fd() const
    {
        int fd = -1;
        check(pyhost_channel_fd(get(), &fd));
        return fd;
    }
    pyhost_channel *get() const noexcept { return channel_.get(); }

    friend bool operator==(const Channel &left, const Channel &right) noexcept { return left.get() == right.get(); }
    friend bool operator!=(const Channel &left, const Channel &right) noexcept { return left.get() != right.get(); }

private:
    using Counted = detail::Counted<pyhost_channel, pyhost_channel_ref, pyhost_channel_unref>;

    pyhost_status take_one(Nanoseconds timeout, Value &value) const
    {
        pyhost_value *taken = nullptr;
        pyhost_status status = pyhost_channel_receive(get(), timeout.count(), &taken);
        if (status == PYHOST_OK) {
            value = Value(taken);
        }
        return status;
    }
    // A value, or nothing for the status that means so.
    template <class T> std::optional<T> take_or(pyhost_status nothing, Nanoseconds timeout) const
    {
        Value value;
        pyhost_status status = take_one(timeout, value);
        if (status == nothing) {
            return std::nullopt;
        }
        check(status);
        return detail::convert<T>(value);
    }

    Counted channel_;
};

template <> struct Codec<Channel> {
    static void put(pyhost_builder *builder, const Channel &value) { pyhost_builder_channel(builder, value.get()); }
    static Channel take(pyhost_reader &reader)
    {
        pyhost_channel *channel = nullptr;
        check(pyhost_reader_channel(&reader, &channel));
        return Channel(channel);
    }
};

template <> struct Codec<std::nullptr_t> {
    static void put(pyhost_builder *builder, std::nullptr_t) { pyhost_builder_none(builder); }
    static std::nullptr_t take(pyhost_reader &reader)
    {
        check(pyhost_reader_none(&reader));
        return nullptr;
    }
};

template <> struct Codec<bool> {
    static void put(pyhost_builder *builder, bool value) { pyhost_builder_bool(builder, value); }
    static bool take(pyhost_reader &reader)
    {
        bool value = false;
        check(pyhost_reader_bool(&reader, &value));
        return value;
    }
};

template <class T> struct Codec<T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>> {
    static void put(pyhost_builder *builder, T value)
    {
        if constexpr (std::is_signed_v<T>) {
            pyhost_builder_int(builder, value);
        } else {
            pyhost_builder_uint(builder, value);
        }
    }
    static T take(pyhost_reader &reader)
    {
        std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t> value = 0;
        pyhost_reader before = reader;
        if constexpr (std::is_signed_v<T>) {
            check(pyhost_reader_int(&reader, &value));
        } else {
            check(pyhost_reader_uint(&reader, &value));
        }
        if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) {
            reader = before;
            throw Error(PYHOST_OUT_OF_RANGE);
        }
        return static_cast<T>(value);
    }
};

template <class T> struct Codec<T, std::enable_if_t<std::is_floating_point_v<T>>> {
    static void put(pyhost_builder *builder, T value) { pyhost_builder_float(builder, static_cast<double>(value)); }
    static T take(pyhost_reader &reader)
    {
        double value = 0;
        check(pyhost_reader_float(&reader, &value));
        return static_cast<T>(value);
    }
};

// A view reads text that is the value's own: it must not outlive that.
template <> struct Codec<std::string_view> {
    static void put(pyhost_builder *builder, std::string_view value)
    {
        pyhost_builder_str(builder, value.data(), value.size());
    }
    static std::string_view take(pyhost_reader &reader)
    {
        const char *text = nullptr;
        std::size_t size = 0;
        check(pyhost_reader_str(&reader, &text, &size));
        return {text, size};
    }
};

template <> struct Codec<std::string> {
    static void put(pyhost_builder *builder, const std::string &value) { Codec<std::string_view>::put(builder, value); }
    static std::string take(pyhost_reader &reader) { return std::string(Codec<std::string_view>::take(reader)); }
};

template <> struct Codec<const char *> {
    static void put(pyhost_builder *builder, const char *value) { Codec<std::string_view>::put(builder, value); }
};
template <> struct Codec<char *> : Codec<const char *> {};
template <std::size_t size> struct Codec<char[size]> : Codec<const char *> {};

template <> struct Codec<Bytes> {
    static void put(pyhost_builder *builder, const Bytes &value)
    {
        pyhost_builder_bytes(builder, value.content.data(), value.content.size());
    }
    static Bytes take(pyhost_reader &reader)
    {
        const void *bytes = nullptr;
        std::size_t size = 0;
        check(pyhost_reader_bytes(&reader, &bytes, &size));
        const auto *first = static_cast<const std::byte *>(bytes);
        return Bytes{std::vector<std::byte>(first, first + size)};
    }
};

// Sent, the memory must stay until nobody reads it: for a call's arguments, until the call has returned, if the plugin
// keeps no view of it. Read, it is the value's own, and T is const.
template <class T> struct Codec<Span<T>> {
    static void put(pyhost_builder *builder, const Span<T> &value)
    {
        void *data = const_cast<std::remove_cv_t<T> *>(value.data());
        pyhost_builder_buffer(builder, data, value.size() * sizeof(T), detail::format_of<std::remove_cv_t<T>>(), nullptr,
                              0, nullptr, nullptr);
    }
    static Span<T> take(pyhost_reader &reader)
    {
        static_assert(std::is_const_v<T>, "what a value holds is read only: pyhost::Span<const T>");
        pyhost_reader before = reader;
        pyhost_buffer buffer;
        check(pyhost_reader_buffer(&reader, &buffer));
        if (buffer.format != detail::format_of<std::remove_cv_t<T>>()) {
            reader = before;
            throw Error(PYHOST_WRONG_KIND, "the memoryview has items of another type");
        }
        return {static_cast<T *>(buffer.data), buffer.size_bytes / sizeof(T)};
    }
};

template <class T> struct Codec<std::optional<T>> {
    static void put(pyhost_builder *builder, const std::optional<T> &value)
    {
        value.has_value() ? pyhost::put(builder, *value) : pyhost::put(builder, nullptr);
    }
    static std::optional<T> take(pyhost_reader &reader)
    {
        if (pyhost_reader_kind(&reader) == PYHOST_KIND_NONE) {
            check(pyhost_reader_none(&reader));
            return std::nullopt;
        }
        return pyhost::take<T>(reader);
    }
};

template <class T, class A> struct Codec<std::vector<T, A>> : detail::Sequence<std::vector<T, A>> {};
template <class T, class C, class A> struct Codec<std::set<T, C, A>> : detail::Set<std::set<T, C, A>> {};
template <class T, class H, class E, class A>
struct Codec<std::unordered_set<T, H, E, A>> : detail::Set<std::unordered_set<T, H, E, A>> {};
template <class K, class T, class C, class A>
struct Codec<std::map<K, T, C, A>> : detail::Map<std::map<K, T, C, A>> {};
template <class K, class T, class H, class E, class A>
struct Codec<std::unordered_map<K, T, H, E, A>> : detail::Map<std::unordered_map<K, T, H, E, A>> {};
template <class... Items> struct Codec<std::tuple<Items...>> : detail::Tuple<Items...> {};

template <class First, class Second> struct Codec<std::pair<First, Second>> {
    static void put(pyhost_builder *builder, const std::pair<First, Second> &value)
    {
        detail::Tuple<First, Second>::put(builder, {value.first, value.second});
    }
    static std::pair<First, Second> take(pyhost_reader &reader)
    {
        auto [first, second] = detail::Tuple<First, Second>::take(reader);
        return {std::move(first), std::move(second)};
    }
};

template <class T, std::size_t size> struct Codec<std::array<T, size>> {
    static void put(pyhost_builder *builder, const std::array<T, size> &value)
    {
        detail::put_all(builder, PYHOST_KIND_LIST, value);
    }
    static std::array<T, size> take(pyhost_reader &reader)
    {
        pyhost_reader inner = detail::enter(reader);
        if (pyhost_reader_left(&inner) != size) {
            throw Error(PYHOST_WRONG_KIND, "the sequence has another length");
        }
        std::array<T, size> result;
        for (T &item : result) {
            item = pyhost::take<T>(inner);
        }
        check(pyhost_reader_leave(&reader, &inner));
        return result;
    }
};

template <class Count, class Period> struct Codec<std::chrono::duration<Count, Period>> {
    using type = std::chrono::duration<Count, Period>;
    static void put(pyhost_builder *builder, const type &value)
    {
        constexpr std::int64_t day = INT64_C(86400000000);
        std::int64_t total = std::chrono::duration_cast<std::chrono::microseconds>(value).count();
        std::int64_t days = total / day - (total % day < 0 ? 1 : 0), rest = total - days * day;
        pyhost_timedelta delta = {days, static_cast<std::uint32_t>(rest / 1000000),
                                  static_cast<std::uint32_t>(rest % 1000000)};
        pyhost_builder_timedelta(builder, &delta);
    }
    static type take(pyhost_reader &reader)
    {
        pyhost_timedelta delta;
        check(pyhost_reader_timedelta(&reader, &delta));
        std::chrono::microseconds total((delta.days * 86400 + delta.seconds) * 1000000 + delta.microseconds);
        return std::chrono::duration_cast<type>(total);
    }
};

template <class Duration> struct Codec<std::chrono::time_point<std::chrono::system_clock, Duration>> {
    using type = std::chrono::time_point<std::chrono::system_clock, Duration>;
    static constexpr std::int64_t day = INT64_C(86400000000);

    static void put(pyhost_builder *builder, const type &value)
    {
        std::int64_t total =
            std::chrono::duration_cast<std::chrono::microseconds>(value.time_since_epoch()).count();
        std::int64_t days = total / day - (total % day < 0 ? 1 : 0), rest = total - days * day;
        pyhost_datetime moment = {};
        moment.date = date_of(days);
        moment.time.hour = static_cast<std::uint8_t>(rest / INT64_C(3600000000));
        moment.time.minute = static_cast<std::uint8_t>(rest / 60000000 % 60);
        moment.time.second = static_cast<std::uint8_t>(rest / 1000000 % 60);
        moment.time.microsecond = static_cast<std::uint32_t>(rest % 1000000);
        moment.time.zone = PYHOST_ZONE_FIXED;
        pyhost_builder_datetime(builder, &moment);
    }

    // Only a datetime that says its distance from UTC is a moment.
    static type take(pyhost_reader &reader)
    {
        pyhost_datetime moment;
        pyhost_reader before = reader;
        check(pyhost_reader_datetime(&reader, &moment));
        if (moment.time.zone != PYHOST_ZONE_FIXED) {
            reader = before;
            throw Error(PYHOST_WRONG_KIND, "the datetime has no fixed distance from UTC");
        }
        std::int64_t seconds = (moment.time.hour * 60 + moment.time.minute) * 60 + moment.time.second;
        std::chrono::microseconds total(days_of(moment.date) * day + seconds * 1000000 + moment.time.microsecond -
                                        moment.time.offset_us);
        return type(std::chrono::duration_cast<Duration>(total));
    }

private:
    // The proleptic Gregorian calendar in cycles of 400 years, which begin in March.
    static pyhost_date date_of(std::int64_t days)
    {
        days += 719468;
        std::int64_t cycle = (days >= 0 ? days : days - 146096) / 146097;
        std::int64_t in_cycle = days - cycle * 146097;
        std::int64_t year = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
        std::int64_t in_year = in_cycle - (365 * year + year / 4 - year / 100);
        std::int64_t shifted = (5 * in_year + 2) / 153;
        std::int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
        pyhost_date date;
        date.year = static_cast<std::int32_t>(year + cycle * 400 + (month <= 2 ? 1 : 0));
        date.month = static_cast<std::uint8_t>(month);
        date.day = static_cast<std::uint8_t>(in_year - (153 * shifted + 2) / 5 + 1);
        return date;
    }
    static std::int64_t days_of(const pyhost_date &date)
    {
        std::int64_t year = date.year - (date.month <= 2 ? 1 : 0), cycle = year / 400, in_cycle = year - cycle * 400;
        std::int64_t in_year = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
        return cycle * 146097 + in_cycle * 365 + in_cycle / 4 - in_cycle / 100 + in_year - 719468;
    }
};

// A call under way. It is moved only: whoever has it waits for it, or gives it up. One that is let go of goes on.
class Call {
public:
    // Takes over a reference.
    explicit Call(pyhost_call *call) : call_(call) {}

    // The same call for another thread, which may cancel it while this one waits.
    Call share() const { return Call(pyhost_call_ref(call_.get())); }

    bool is_answered() const { return pyhost_call_is_answered(call_.get()); }
    // Waits for the result. Throws Error.
    template <class Result = Value> Result result() const
    {
        pyhost_value *value = nullptr;
        pyhost_error *error = nullptr;
        pyhost_status status = pyhost_call_result(call_.get(), &value, &error);
        check(status, error);
        return detail::convert<Result>(Value(value));
    }
    bool cancel() const { return pyhost_call_cancel(call_.get()); }
    pyhost_call *get() const noexcept { return call_.get(); }

private:
    struct Unref {
        void operator()(pyhost_call *call) const noexcept { pyhost_call_unref(call); }
    };

    std::unique_ptr<pyhost_call, Unref> call_;
};

// A function of a plugin. It follows the plugin through reloads. A copy is another reference to the same name.
class Function {
public:
    Function(pyhost_runtime *runtime, const std::string &name) : function_(make(runtime, name)) {}

    // The same function, each of whose calls has so much time; zero: the function's own deadline.
    Function with_timeout(Nanoseconds timeout) const
    {
        Function copy = *this;
        copy.timeout_ns_ = timeout.count();
        return copy;
    }

    // Calls it and waits. Throws Error; void as the result drops it.
    template <class Result = Value, class... Arguments> Result call(const Arguments &...values) const
    {
        pyhost_value *value = nullptr;
        pyhost_error *error = nullptr;
        pyhost_builder *arguments = detail::arguments(values...);
        pyhost_status status = pyhost_function_call(function_.get(), arguments, timeout_ns_, &value, &error);
        check(status, error);
        return detail::convert<Result>(Value(value));
    }
    template <class... Arguments> Value operator()(const Arguments &...values) const { return call(values...); }

    // Calls it without waiting: the future gets the result, or throws Error. Throws Error if it was not accepted.
    template <class Result = Value, class... Arguments> std::future<Result> submit(const Arguments &...values) const
    {
        auto promise = std::make_unique<std::promise<Result>>();
        std::future<Result> future = promise->get_future();
        pyhost_error *error = nullptr;
        pyhost_builder *arguments = detail::arguments(values...);
        pyhost_status status = pyhost_function_submit_callback(function_.get(), arguments, timeout_ns_,
                                                               &Function::keep<Result>, promise.get(), nullptr, &error);
        check(status, error);
        promise.release(); // the callback's
        return future;
    }

    // Calls it without waiting; the handle can be waited for and cancelled.
    template <class... Arguments> Call start(const Arguments &...values) const
    {
        pyhost_call *call = nullptr;
        pyhost_error *error = nullptr;
        pyhost_builder *arguments = detail::arguments(values...);
        pyhost_status status =
            pyhost_function_submit(function_.get(), arguments, timeout_ns_, nullptr, nullptr, &call, &error);
        check(status, error);
        return Call(call);
    }

    pyhost_function_account account() const
    {
        pyhost_function_account account = {};
        account.size = sizeof account;
        check(pyhost_function_account_read(function_.get(), &account));
        return account;
    }

    pyhost_function *get() const noexcept { return function_.get(); }

private:
    using Handle = detail::Counted<pyhost_function, pyhost_function_ref, pyhost_function_unref>;

    static Handle make(pyhost_runtime *runtime, const std::string &name)
    {
        pyhost_function *function = nullptr;
        check(pyhost_function_new(runtime, name.c_str(), &function));
        return Handle(function);
    }
    template <class Result> static void keep(void *context, pyhost_call *call)
    {
        std::unique_ptr<std::promise<Result>> promise(static_cast<std::promise<Result> *>(context));
        try {
            Call answered(pyhost_call_ref(call));
            if constexpr (std::is_void_v<Result>) {
                answered.result<void>();
                promise->set_value();
            } else {
                promise->set_value(answered.result<Result>());
            }
        } catch (...) {
            promise->set_exception(std::current_exception());
        }
    }

    Handle function_;
    std::int64_t timeout_ns_ = 0;
};

// A plugin by its name.
class Plugin {
public:
    Plugin(pyhost_runtime *runtime, std::string name) : runtime_(runtime), name_(std::move(name)) {}

    const std::string &name() const noexcept { return name_; }
    Function function(const std::string &name) const { return Function(runtime_, name_ + "." + name); }

    // Calls a function of it once; keep a Function for one that is called again and again.
    template <class Result = Value, class... Arguments>
    Result call(const std::string &name, const Arguments &...values) const
    {
        return function(name).call<Result>(values...);
    }

    void reload() const { tell(pyhost_plugin_reload); }
    void stop() const { tell(pyhost_plugin_stop); }
    void start() const { tell(pyhost_plugin_start); }
    void unload() const { tell(pyhost_plugin_unload); }

    // "running", "failed", ...
    std::string state() const { return read().state; }
    // Why it does not run; "" for no reason.
    std::string reason() const { return read().reason; }

    pyhost_plugin_account account() const
    {
        pyhost_plugin_account account = {};
        account.size = sizeof account;
        check(pyhost_plugin_account_read(runtime_, name_.c_str(), &account));
        return account;
    }

private:
    struct Info {
        std::string state, reason;
    };

    void tell(pyhost_status (*verb)(pyhost_runtime *, const char *, pyhost_error **)) const
    {
        pyhost_error *error = nullptr;
        pyhost_status status = verb(runtime_, name_.c_str(), &error);
        check(status, error);
    }
    Info read() const
    {
        pyhost_error *error = nullptr;
        pyhost_plugin_info info = {};
        info.size = sizeof info;
        pyhost_status status = pyhost_plugin_read(runtime_, name_.c_str(), &info, &error);
        check(status, error);
        Info result{info.state, info.reason};
        pyhost_plugin_info_clear(&info);
        return result;
    }

    pyhost_runtime *runtime_;
    std::string name_;
};

struct Options {
    std::string plugins = {}; // the folder of plugins; "" for none
    std::string python = {};  // the Python or virtual environment; "" for the default
    std::uint32_t warm = 0;   // interpreters that are kept ready
    bool owns_signals = false;
    // What is logged, on a thread of pyhost's; must not throw.
    std::function<void(int level, std::string_view logger, std::string_view message)> log = {};
};

// The one Python of the process. Its end stops all plugins; what does not end stays in the process, and that is not
// told: call stop() to know.
class Runtime {
public:
    explicit Runtime(Options options = {}) : log_(std::make_unique<decltype(options.log)>(std::move(options.log)))
    {
        pyhost_error *error = nullptr;
        pyhost_runtime_options given = {};
        given.size = sizeof given;
        given.python = options.python.empty() ? nullptr : options.python.c_str();
        given.plugins = options.plugins.empty() ? nullptr : options.plugins.c_str();
        given.warm = options.warm;
        given.owns_signals = options.owns_signals;
        given.log = *log_ ? &Runtime::tell : nullptr;
        given.log_context = log_.get();
        pyhost_status status = pyhost_runtime_start(&given, &runtime_, &error);
        check(status, error);
    }
    Runtime(Runtime &&other) noexcept
        : log_(std::move(other.log_)), runtime_(std::exchange(other.runtime_, nullptr))
    {
    }
    Runtime(const Runtime &) = delete;
    Runtime &operator=(const Runtime &) = delete;
    Runtime &operator=(Runtime &&) = delete;
    ~Runtime()
    {
        if (runtime_ != nullptr) {
            pyhost_runtime_stop(runtime_, Nanoseconds(std::chrono::seconds(5)).count(), nullptr);
        }
    }

    // Stops all plugins, with so much time for calls under way. Throws Error with UNFINISHED.
    void stop(Nanoseconds grace = std::chrono::seconds(5))
    {
        pyhost_error *error = nullptr;
        pyhost_status status = pyhost_runtime_stop(std::exchange(runtime_, nullptr), grace.count(), &error);
        check(status, error);
    }

    Plugin plugin(std::string name) const { return Plugin(runtime_, std::move(name)); }
    Function function(const std::string &name) const { return Function(runtime_, name); }

    void load(const std::string &path) const
    {
        pyhost_error *error = nullptr;
        pyhost_status status = pyhost_plugin_load(runtime_, path.c_str(), &error);
        check(status, error);
    }
    void rescan() const
    {
        pyhost_error *error = nullptr;
        pyhost_status status = pyhost_runtime_rescan(runtime_, &error);
        check(status, error);
    }
    std::vector<std::string> plugins() const
    {
        char **names = nullptr;
        std::size_t count = 0;
        pyhost_error *error = nullptr;
        pyhost_status status = pyhost_plugin_list(runtime_, &names, &count, &error);
        check(status, error);
        std::vector<std::string> result(names, names + count);
        pyhost_names_free(names, count);
        return result;
    }

    // Calls with arguments in JSON; the result in JSON.
    std::string call_json(const std::string &function, const std::string &arguments, Nanoseconds timeout = {}) const
    {
        char *text = nullptr;
        pyhost_error *error = nullptr;
        pyhost_status status =
            pyhost_call_json(runtime_, function.c_str(), arguments.c_str(), timeout.count(), &text, &error);
        check(status, error);
        std::unique_ptr<char, void (*)(char *)> owned(text, pyhost_text_free);
        return text;
    }

    pyhost_runtime *get() const noexcept { return runtime_; }

private:
    static void tell(void *context, int level, const char *logger, const char *message)
    {
        (*static_cast<decltype(Options::log) *>(context))(level, logger, message);
    }

    std::unique_ptr<decltype(Options::log)> log_;
    pyhost_runtime *runtime_ = nullptr;
};

namespace detail {

template <class Signature> struct Offered;

template <class Result, class... Arguments> struct Offered<std::function<Result(Arguments...)>> {
    using function = std::function<Result(Arguments...)>;

    static pyhost_status run(void *context, pyhost_request *request, pyhost_builder *result)
    {
        try {
            pyhost_reader arguments = pyhost_request_arguments(request), keywords = pyhost_request_keywords(request);
            if (pyhost_reader_left(&arguments) != sizeof...(Arguments) || pyhost_reader_left(&keywords) > 0) {
                std::string wanted = "takes " + std::to_string(sizeof...(Arguments)) + " positional argument(s)";
                return pyhost_request_fail(request, wanted.c_str());
            }
            std::tuple<std::remove_cv_t<std::remove_reference_t<Arguments>>...> values{
                take<std::remove_cv_t<std::remove_reference_t<Arguments>>>(arguments)...};
            if constexpr (std::is_void_v<Result>) {
                std::apply(*static_cast<function *>(context), std::move(values));
            } else {
                put(result, std::apply(*static_cast<function *>(context), std::move(values)));
            }
            return PYHOST_OK;
        } catch (const std::exception &error) {
            return pyhost_request_fail(request, error.what());
        } catch (...) {
            return pyhost_request_fail(request, "an exception that is no std::exception");
        }
    }
};

} // namespace detail

// Offers a function of the program to all plugins, as pyhost.host.NAME(...). What it throws they get as a RuntimeError.
// It stays for as long as the process.
template <class Callable> void offer(const std::string &name, Callable callable)
{
    std::function function(std::move(callable));
    auto *kept = new decltype(function)(std::move(function)); // plugins may be calling one that it takes the place of
    pyhost_status status = pyhost_host_register(name.c_str(), &detail::Offered<decltype(function)>::run, kept);
    if (status != PYHOST_OK) {
        delete kept;
        throw Error(status);
    }
}

} // namespace pyhost

#endif
