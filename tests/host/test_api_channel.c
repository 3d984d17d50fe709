/* Tests of channels by the public interface: before, during and after the one runtime of the process. */
#include "program.h"
#include "threads.h"

#include <poll.h>

enum { VALUES = 500, CAPACITY = 8 };

static const int64_t SHORT_NS = 1000000;

static pyhost_channel *new_channel(size_t capacity)
{
    pyhost_channel *channel = NULL;
    CHECK_STATUS(pyhost_channel_new(capacity, &channel), PYHOST_OK);
    return channel;
}

static pyhost_value *value_of_int(int64_t number)
{
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_value *value = NULL;
    pyhost_builder_int(builder, number);
    CHECK_STATUS(pyhost_builder_finish(builder, &value), PYHOST_OK);
    pyhost_builder_free(builder);
    return value;
}

static pyhost_status send_int(pyhost_channel *channel, int64_t number, int64_t timeout_ns)
{
    pyhost_value *value = value_of_int(number);
    pyhost_status status = pyhost_channel_send(channel, value, timeout_ns);
    pyhost_value_unref(value);
    return status;
}

static int64_t receive_int(pyhost_channel *channel, int64_t timeout_ns)
{
    pyhost_value *value = NULL;
    CHECK_STATUS(pyhost_channel_receive(channel, timeout_ns, &value), PYHOST_OK);
    return runtime_int(value);
}

static void check_none(pyhost_channel *channel, int64_t timeout_ns, pyhost_status expected)
{
    pyhost_value *value = NULL;
    CHECK_STATUS(pyhost_channel_receive(channel, timeout_ns, &value), expected);
    CHECK(value == NULL);
}

static void every_outcome_is_told(void)
{
    pyhost_channel *channel = NULL;
    CHECK_STATUS(pyhost_channel_new(0, &channel), PYHOST_MISUSED);
    CHECK_STATUS(pyhost_channel_new(PYHOST_CHANNEL_MOST + 1, &channel), PYHOST_MISUSED);
    CHECK(channel == NULL);
    pyhost_channel_unref(new_channel(PYHOST_CHANNEL_MOST));
    channel = new_channel(2);
    check_none(channel, 0, PYHOST_TIMEOUT);
    check_none(channel, SHORT_NS, PYHOST_TIMEOUT);
    check_none(channel, -1, PYHOST_MISUSED);
    CHECK_STATUS(send_int(channel, 0, -1), PYHOST_MISUSED);
    CHECK_STATUS(send_int(channel, 1, 0), PYHOST_OK);
    CHECK_STATUS(send_int(channel, 2, INT64_MAX), PYHOST_OK);
    CHECK_STATUS(send_int(channel, 3, 0), PYHOST_FULL);
    CHECK_STATUS(send_int(channel, 3, SHORT_NS), PYHOST_FULL);
    CHECK_EQUAL(pyhost_channel_depth(channel), 2);
    CHECK(!pyhost_channel_is_closed(channel));
    CHECK_EQUAL(receive_int(channel, 0), 1);
    pyhost_channel_close(channel);
    CHECK(pyhost_channel_is_closed(channel));
    CHECK_STATUS(send_int(channel, 3, INT64_MAX), PYHOST_CLOSED);
    CHECK_EQUAL(receive_int(channel, INT64_MAX), 2);
    check_none(channel, INT64_MAX, PYHOST_CLOSED);
    pyhost_channel *again = pyhost_channel_ref(channel);
    pyhost_channel_unref(channel);
    CHECK_EQUAL(pyhost_channel_depth(again), 0);
    pyhost_channel_unref(again);
    pyhost_channel_unref(NULL);
}

static void descriptors_wake_a_poll(void)
{
    pyhost_channel *channel = new_channel(2);
    struct pollfd place = {.fd = -1, .events = POLLIN};
    CHECK_STATUS(pyhost_channel_fd(channel, &place.fd), PYHOST_OK);
    CHECK_EQUAL(poll(&place, 1, 0), 0);
    CHECK_STATUS(send_int(channel, 1, 0), PYHOST_OK);
    CHECK_EQUAL(poll(&place, 1, 0), 1);
    CHECK_EQUAL(receive_int(channel, 0), 1);
    CHECK_EQUAL(poll(&place, 1, 0), 0);
    pyhost_channel_close(channel);
    CHECK_EQUAL(poll(&place, 1, 0), 1);
    pyhost_channel_unref(channel);
}

/* One value with the channel in it twice: [7, channel, buffer, (channel,)]. */
static pyhost_value *value_with(pyhost_channel *channel)
{
    static char memory[] = "mem";
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_value *value = NULL;
    pyhost_builder_open(builder, PYHOST_KIND_LIST);
    pyhost_builder_int(builder, 7);
    pyhost_builder_channel(builder, channel);
    pyhost_builder_buffer(builder, memory, 3, 'B', NULL, 0, NULL, NULL);
    pyhost_builder_open(builder, PYHOST_KIND_TUPLE);
    pyhost_builder_channel(builder, channel);
    pyhost_builder_close(builder);
    pyhost_builder_close(builder);
    CHECK_STATUS(pyhost_builder_finish(builder, &value), PYHOST_OK);
    pyhost_builder_free(builder);
    return value;
}

/* Checks such a value, whoever has copied it. */
static void check_value_with(const pyhost_value *value, pyhost_channel *channel)
{
    pyhost_reader whole = pyhost_reader_make(value), list, tuple;
    pyhost_channel *found = NULL;
    pyhost_buffer buffer;
    CHECK_STATUS(pyhost_reader_enter(&whole, &list), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_channel(&list, &found), PYHOST_WRONG_KIND);
    CHECK_STATUS(pyhost_reader_skip(&list), PYHOST_OK);
    CHECK_EQUAL(pyhost_reader_kind(&list), PYHOST_KIND_CHANNEL);
    CHECK_STATUS(pyhost_reader_channel(&list, &found), PYHOST_OK);
    CHECK(found == channel);
    pyhost_channel_unref(found);
    CHECK_STATUS(pyhost_reader_buffer(&list, &buffer), PYHOST_OK);
    CHECK(buffer.size_bytes == 3 && memcmp(buffer.data, "mem", 3) == 0);
    CHECK_STATUS(pyhost_reader_enter(&list, &tuple), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_skip(&tuple), PYHOST_OK);
    CHECK_EQUAL(pyhost_reader_left(&tuple), 0);
    CHECK_STATUS(pyhost_reader_leave(&list, &tuple), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_leave(&whole, &list), PYHOST_OK);
    CHECK_STRING(pyhost_kind_name(PYHOST_KIND_CHANNEL), "pyhost.Channel");
}

static void channels_are_read_from_values(void)
{
    pyhost_channel *channel = new_channel(1), *carrier = new_channel(1);
    pyhost_value *value = value_with(channel), *copy = NULL, *nested = NULL, *received = NULL;
    pyhost_builder *builder = pyhost_builder_new();
    check_value_with(value, channel);
    CHECK_STATUS(pyhost_channel_send(channel, value, 0), PYHOST_MISUSED);
    pyhost_reader reader = pyhost_reader_make(value), inner;
    CHECK_STATUS(pyhost_reader_value(&reader, &copy), PYHOST_OK);
    pyhost_value_unref(value);
    pyhost_builder_open(builder, PYHOST_KIND_LIST);
    pyhost_builder_value(builder, copy);
    pyhost_builder_close(builder);
    pyhost_value_unref(copy);
    CHECK_STATUS(pyhost_builder_finish(builder, &nested), PYHOST_OK);
    /* A copy of a copy is refused as well. */
    CHECK_STATUS(pyhost_channel_send(channel, nested, 0), PYHOST_MISUSED);
    CHECK_STATUS(pyhost_channel_send(carrier, nested, 0), PYHOST_OK);
    pyhost_value_unref(nested);
    CHECK_STATUS(pyhost_channel_receive(carrier, 0, &received), PYHOST_OK);
    reader = pyhost_reader_make(received);
    CHECK_STATUS(pyhost_reader_enter(&reader, &inner), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_value(&inner, &copy), PYHOST_OK);
    pyhost_value_unref(received);
    check_value_with(copy, channel);
    pyhost_value_unref(copy);
    pyhost_builder_channel(builder, channel); /* what is dropped lets go of it */
    pyhost_builder_free(builder);
    pyhost_channel_unref(carrier);
    pyhost_channel_unref(channel);
}

typedef struct {
    pyhost_channel *numbers;
    pyhost_channel *doubled;
} pump;

/* The plugin's thread doubles, one of the program's sends, one receives. */
static void send_double_or_receive(size_t index, void *shared)
{
    pump *self = shared;
    if (index == 0) {
        for (int64_t i = 0; i < VALUES; i++) {
            CHECK_STATUS(send_int(self->numbers, i, INT64_MAX), PYHOST_OK);
        }
        pyhost_channel_close(self->numbers);
    } else if (index == 1) {
        pyhost_builder *builder = pyhost_builder_new();
        pyhost_builder_channel(builder, self->numbers);
        pyhost_builder_channel(builder, self->doubled);
        CHECK_EQUAL(runtime_int(runtime_call("arithmetic.double_all", builder)), VALUES);
        pyhost_builder_free(builder);
    } else {
        for (int64_t i = 0; i < VALUES; i++) {
            CHECK_EQUAL(receive_int(self->doubled, INT64_MAX), 2 * i);
        }
        check_none(self->doubled, INT64_MAX, PYHOST_CLOSED);
    }
}

static void plugins_send_and_receive(void)
{
    pump shared = {new_channel(CAPACITY), new_channel(1)};
    threads_run(3, send_double_or_receive, &shared);
    pyhost_channel_unref(shared.numbers);
    pyhost_channel_unref(shared.doubled);
}

static void plugins_give_the_same_channel_back(void)
{
    pyhost_channel *channel = new_channel(1);
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_value *value = value_with(channel);
    pyhost_builder_value(builder, value);
    pyhost_value_unref(value);
    value = runtime_call("arithmetic.same", builder);
    check_value_with(value, channel);
    pyhost_value_unref(value);
    pyhost_builder_free(builder);
    pyhost_channel_unref(channel);
}

static void json_cannot_say_a_channel(void)
{
    char *text = NULL;
    pyhost_error *error = NULL;
    CHECK_STATUS(pyhost_call_json(runtime, "arithmetic.channel", "[]", 0, &text, &error), PYHOST_BAD_RESULT);
    CHECK(text == NULL);
    pyhost_error_free(error);
}

static pyhost_status receive_for_a_plugin(void *context, pyhost_request *request, pyhost_builder *result)
{
    pyhost_value *value = NULL;
    (void)request;
    pyhost_builder_int(result, pyhost_channel_receive(context, INT64_MAX, &value));
    return PYHOST_OK;
}

/* Nothing is ever sent there. Calls that were given up may use it until the runtime has stopped. */
static pyhost_channel *silent;

/* The function of the program returns all the same: its answer and the caller's deadline are there at the same time. */
static void a_plugins_deadline_bounds_the_wait(void)
{
    pyhost_function *ask = runtime_function("arithmetic.ask");
    pyhost_builder *builder = pyhost_builder_new();
    CHECK_STATUS(pyhost_host_register("receive", receive_for_a_plugin, silent), PYHOST_OK);
    pyhost_builder_str(builder, "receive", 7);
    pyhost_value *value = NULL;
    pyhost_status status = pyhost_function_call(ask, builder, 50 * SHORT_NS, &value, NULL);
    if (status == PYHOST_OK) {
        status = (pyhost_status)runtime_int(value);
    }
    CHECK_STATUS(status, PYHOST_TIMEOUT);
    pyhost_builder_int(builder, 1);
    CHECK_EQUAL(runtime_int(runtime_call("arithmetic.add", builder)), 1);
    CHECK_STATUS(pyhost_host_register("receive", NULL, NULL), PYHOST_OK);
    pyhost_builder_free(builder);
    pyhost_function_unref(ask);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(every_outcome_is_told),
        CHECK_TEST(descriptors_wake_a_poll),
        CHECK_TEST(channels_are_read_from_values),
        CHECK_TEST(plugins_send_and_receive),
        CHECK_TEST(plugins_give_the_same_channel_back),
        CHECK_TEST(json_cannot_say_a_channel),
        CHECK_TEST(a_plugins_deadline_bounds_the_wait),
    };
    pyhost_channel *early = new_channel(2);
    silent = new_channel(1);
    CHECK_STATUS(send_int(early, 1, 0), PYHOST_OK);
    runtime_begin();
    int code = check_main(tests, CHECK_COUNT(tests), argc, argv);
    code = runtime_end(code);
    CHECK_STATUS(send_int(early, 2, 0), PYHOST_OK);
    CHECK_EQUAL(receive_int(early, 0), 1);
    CHECK_EQUAL(receive_int(early, 0), 2);
    pyhost_channel_unref(early);
    pyhost_channel_unref(silent);
    return code;
}
