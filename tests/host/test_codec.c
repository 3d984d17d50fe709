/* Tests of codec: what arrives is what was sent, what cannot cross is refused with the reason. */
#include "codecs.h"

static const char setup[] =
    "from array import array\n"
    "from collections import OrderedDict, defaultdict\n"
    "from datetime import date, datetime, time, timedelta, timezone, tzinfo\n"
    "from enum import IntEnum\n"
    "from pickle import PickleBuffer\n"
    "class Colour(IntEnum):\n"
    "    RED = 1\n"
    "class Stamp(datetime):\n"
    "    pass\n"
    "class Text(str):\n"
    "    pass\n"
    "class Zone(tzinfo):\n"
    "    def utcoffset(self, moment): return timedelta(hours=1)\n"
    "    def dst(self, moment): return timedelta(0)\n"
    "    def __repr__(self): return 'Zone()'\n"
    "class Image:\n"
    "    def __init__(self, pixels): self.pixels = pixels\n"
    "    def __reduce_ex__(self, protocol): return Image, (PickleBuffer(self.pixels),)\n"
    "    def __repr__(self): return f'Image({bytes(self.pixels)})'\n"
    "class Emptier:\n"
    "    def __reduce__(self):\n"
    "        container.clear()\n"
    "        return list, ()\n"
    "    def __hash__(self): return 1\n"
    "class Grower(Emptier):\n"
    "    def __reduce__(self):\n"
    "        container.append(1) if isinstance(container, list) else container.update({3: 4})\n"
    "        return list, ()\n"
    "def form(value):\n"
    "    # repr tells -0.0 from 0.0, one fold from the other, and list from tuple inside containers.\n"
    "    if isinstance(value, memoryview):\n"
    "        return memoryview, value.nbytes and (value.format, value.shape, value.tobytes())\n"
    "    return [form(item) for item in value] if type(value) is list else (type(value), repr(value))\n"
    "def same(one, other):\n"
    "    return form(one) == form(other)\n"
    "def wrapped(value, depth, kind=list):\n"
    "    for _ in range(depth):\n"
    "        value = kind([value])\n"
    "    return value\n"
    "def nested(depth, kind=list):\n"
    "    return wrapped(kind(), depth - 1, kind)\n";

/* clang-format off */
static const char *const values[] = {
    "None", "True", "False", "0", "1", "-1", "63", "64", "-65", "2**63 - 1", "-2**63", "2**63", "-2**63 - 1", "2**64",
    "2**127", "-2**127", "-2**127 - 1", "10**1000", "-10**1000", "0.0", "-0.0", "1.5", "5e-324", "float('inf')",
    "-float('inf')", "float('nan')", "''", "'ascii'", "'\\0'", "'gr\\xfc\\xdfe'", "'\\u4e2d'", "'\\U0001f600'",
    "'\\ud800'", "'a' * 1000", "b''", "bytes(range(256))", "bytearray()", "bytearray(b'ab')", "[]", "()", "{}", "set()",
    "frozenset()", "[1, [2, (3, {4: {5}})]]", "(None,)", "{'a': 1, 2: 'b', None: (), (1, 'x'): []}", "{1}",
    "{frozenset({(1, 'a')})}", "list(range(1000))", "dict.fromkeys(range(1000))", "date.min", "date(2024, 2, 29)",
    "date.max", "time()", "time(23, 59, 59, 999999)", "time(1, 2, 3, 4, fold=1)", "time(1, tzinfo=timezone.utc)",
    "datetime.min", "datetime.max", "datetime(2024, 1, 2, 3, 4, 5, 6, fold=1)",
    "datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30)))", "datetime(2024, 1, 2, tzinfo=Zone())",
    "timezone.utc", "timezone(timedelta(hours=-1), 'name')", "timedelta.min", "timedelta.max", "timedelta(0)",
    "timedelta(days=-1, microseconds=1)", "memoryview(b'')", "memoryview(b'abc')", "memoryview(bytearray(b'abcd'))[::2]",
    "memoryview(b'abc')[::-1]", "memoryview(array('d', [1.5, 2.5]))", "memoryview(array('i'))",
    "memoryview(bytes(12)).cast('B', (3, 4))", "memoryview(bytes(16)).cast('H', (2, 2, 2))",
    "memoryview(bytes(8)).cast('q', ())", "[memoryview(b'1'), memoryview(b'22')]", "range(3)", "1 + 2j",
    "OrderedDict(b=1, a=2)", "defaultdict(list, {1: [2]})", "Colour.RED", "Stamp(2024, 1, 2)", "Text('text')",
    "[Image(bytearray(b'pixels')), memoryview(b'between'), Image(b''), 1]",
};
/* clang-format on */

static void check_crosses(pyh_codec *codec, const char *expression)
{
    PyObject *value = embed_eval(expression), *decoded = NULL;
    pyh_message *message = codec_encode(codec, expression);
    pyhost_status status = pyh_codec_decode_message(codec, message, &decoded);
    embed_check_no_exception(expression);
    CHECK_STATUS(status, PYHOST_OK);
    PyObject *same = embed_eval("same");
    PyObject *verdict = PyObject_CallFunctionObjArgs(same, value, decoded, NULL);
    embed_check_no_exception(expression);
    if (verdict != Py_True) {
        PyErr_Clear();
        PyObject_Print(decoded, stderr, 0);
        check_failed(__FILE__, __LINE__, " is what arrived of %s", expression);
    }
    Py_DECREF(verdict);
    Py_DECREF(same);
    Py_DECREF(decoded);
    Py_DECREF(value);
    pyh_message_unref(message);
}

static void values_arrive_as_they_were_sent(void)
{
    pyh_codec codec = codec_make(false);
    for (size_t i = 0; i < CHECK_COUNT(values); i++) {
        check_crosses(&codec, values[i]);
    }
    pyh_codec_clear(&codec);
}

static void check_refused(pyh_codec *codec, const char *expression, PyObject *type)
{
    pyh_message *message = NULL;
    PyObject *value = embed_eval(expression);
    CHECK_STATUS(pyh_codec_encode_message(codec, value, &message), PYHOST_UNENCODABLE);
    CHECK(message == NULL);
    embed_check_raised(type);
    Py_DECREF(value);
}

static void depth_is_bounded(void)
{
    pyh_codec codec = codec_make(false);
    check_crosses(&codec, "nested(500)");
    check_crosses(&codec, "nested(500, tuple)");
    check_crosses(&codec, "nested(500, frozenset)");
    check_refused(&codec, "nested(501)", PyExc_ValueError);
    check_refused(&codec, "nested(501, tuple)", PyExc_ValueError);
    check_refused(&codec, "nested(100000)", PyExc_ValueError);
    check_refused(&codec, "{1: nested(500)}", PyExc_ValueError);
    embed_run("cycle = {}; cycle['self'] = [cycle]");
    check_refused(&codec, "cycle", PyExc_ValueError);
    check_crosses(&codec, "[nested(499), nested(499)]");
    embed_run("cycle.clear()");
    pyh_codec_clear(&codec);
}

/* Whether the sender refuses it; what it does not refuse arrives. */
static bool is_refused(pyh_codec *codec, const char *expression)
{
    pyh_message *message = NULL;
    PyObject *value = embed_eval(expression);
    bool refused = pyh_codec_encode_message(codec, value, &message) != PYHOST_OK;
    Py_DECREF(value);
    pyh_message_unref(message);
    if (refused) {
        embed_check_raised(PyExc_ValueError);
    } else {
        check_crosses(codec, expression);
    }
    return refused;
}

/* Both sides count the same, whatever parts a value has of its own. */
static void what_is_too_deep_is_refused_by_the_sender(void)
{
    static const char *const innermost[] = {
        "None",
        "timezone.utc",
        "time(1, tzinfo=timezone.utc)",
        "datetime(1, 1, 1, tzinfo=timezone.utc)",
        "memoryview(bytes(8)).cast('d')",
    };
    pyh_codec codec = codec_make(false);
    for (size_t i = 0; i < CHECK_COUNT(innermost); i++) {
        bool refused = false;
        for (int depth = 495; depth <= 501; depth++) {
            char expression[80];
            snprintf(expression, sizeof expression, "wrapped(%s, %d)", innermost[i], depth);
            bool was_refused = refused;
            refused = is_refused(&codec, expression);
            CHECK(refused || !was_refused);
        }
        CHECK(refused);
    }
    pyh_codec_clear(&codec);
}

static void containers_that_change_meanwhile_are_refused(void)
{
    pyh_codec codec = codec_make(false);
    static const char *const containers[] = {
        "[Emptier(), 2]",       "[1, Emptier()]", "{1: Emptier(), 2: 3}",
        "{Emptier(): 1, 2: 3}", "[Grower()]",     "{1: Grower()}",
    };
    for (size_t i = 0; i < CHECK_COUNT(containers); i++) {
        char statement[64];
        snprintf(statement, sizeof statement, "container = %s", containers[i]);
        embed_run(statement);
        check_refused(&codec, "container", PyExc_RuntimeError);
    }
    pyh_codec_clear(&codec);
}

static void what_cannot_cross_says_why(void)
{
    pyh_codec codec = codec_make(false);
    embed_run("released = memoryview(b'abc'); released.release()");
    check_refused(&codec, "released", PyExc_ValueError);
    check_refused(&codec, "[1, (2, lambda: None)]", PyExc_Exception);
    check_refused(&codec, "{open(0, closefd=False)}", PyExc_TypeError);
    pyh_codec_clear(&codec);
}

static void plain_codecs_refuse_pickle(void)
{
    pyh_codec codec = codec_make(true), trusting = codec_make(false);
    PyObject *value = NULL;
    check_crosses(&codec, "[1, 'a', {2.5: date(2024, 1, 2)}]");
    check_refused(&codec, "[range(3)]", PyExc_TypeError);
    check_refused(&codec, "Colour.RED", PyExc_TypeError);
    pyh_message *message = codec_encode(&trusting, "[range(3)]");
    CHECK_STATUS(pyh_codec_decode_message(&codec, message, &value), PYHOST_MALFORMED);
    embed_check_raised(PyExc_ValueError);
    CHECK(value == NULL && codec.pickle_loads == NULL && codec.pickle_dumps == NULL);
    pyh_message_unref(message);
    pyh_codec_clear(&trusting);
    pyh_codec_clear(&codec);
}

/* The view is the message's own memory, and keeps it. */
static void buffers_are_not_copied_on_arrival(void)
{
    pyh_codec codec = codec_make(false);
    PyObject *view = NULL;
    pyh_message *message = codec_encode(&codec, "memoryview(b'shared')");
    CHECK_EQUAL(message->buffer_count, 1);
    CHECK_STATUS(pyh_codec_decode_message(&codec, message, &view), PYHOST_OK);
    CHECK(PyMemoryView_GET_BUFFER(view)->buf == message->buffers[0].data);
    CHECK(PyMemoryView_GET_BUFFER(view)->readonly);
    CHECK_EQUAL(message->references, 2);
    pyh_message_unref(message);
    CHECK(memcmp(PyMemoryView_GET_BUFFER(view)->buf, "shared", 6) == 0);
    Py_DECREF(view);
    pyh_codec_clear(&codec);
}

/* The same channel on both sides, and each message has a reference to it. */
static void channels_arrive_as_themselves(void)
{
    pyh_codec codec = codec_make(false), bare = {.plain = true};
    PyObject *value = NULL;
    pyh_value_channel *channel = codec_put_channel();
    check_crosses(&codec, "channel");
    check_crosses(&codec, "[channel, memoryview(b'ab'), {'more': (channel,)}]");
    CHECK_EQUAL(channel->references, 1);
    pyh_message *message = codec_encode(&codec, "[channel, channel]");
    CHECK_EQUAL(message->buffer_count, 2);
    CHECK_EQUAL(channel->references, 3);
    CHECK_STATUS(pyh_codec_decode_message(&codec, message, &value), PYHOST_OK);
    pyh_message_unref(message);
    CHECK(pyh_core_channel_of(PyList_GET_ITEM(value, 0)) == channel);
    CHECK_EQUAL(channel->references, 3);
    Py_DECREF(value);
    message = codec_encode(&codec, "channel");
    CHECK_STATUS(pyh_codec_decode_message(&bare, message, &value), PYHOST_MALFORMED);
    embed_check_raised(PyExc_ValueError);
    pyh_message_unref(message);
    check_refused(&bare, "channel", PyExc_TypeError);
    embed_run("del channel");
    pyh_codec_clear(&codec);
}

static void datetime_and_pickle_come_at_first_use(void)
{
    pyh_codec codec = codec_make(false);
    check_crosses(&codec, "[None, 1, 'a', b'b', {2.5}]");
    CHECK(codec.datetime_type == NULL && codec.pickle_dumps == NULL && codec.pickle_loads == NULL);
    check_crosses(&codec, "date.min");
    CHECK(codec.datetime_type != NULL && codec.timezone_type != NULL && codec.pickle_dumps == NULL);
    check_crosses(&codec, "range(1)");
    CHECK(codec.pickle_dumps != NULL && codec.pickle_loads != NULL);
    pyh_codec_clear(&codec);
    CHECK(codec.buffer_type == NULL && codec.datetime_type == NULL && codec.pickle_loads == NULL);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(values_arrive_as_they_were_sent),
        CHECK_TEST(depth_is_bounded),
        CHECK_TEST(what_is_too_deep_is_refused_by_the_sender),
        CHECK_TEST(containers_that_change_meanwhile_are_refused),
        CHECK_TEST(what_cannot_cross_says_why),
        CHECK_TEST(plain_codecs_refuse_pickle),
        CHECK_TEST(buffers_are_not_copied_on_arrival),
        CHECK_TEST(channels_arrive_as_themselves),
        CHECK_TEST(datetime_and_pickle_come_at_first_use),
    };
    embed_start();
    embed_run(setup);
    return embed_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
