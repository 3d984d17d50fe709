/* A libFuzzer target: bytes from anybody through the plain codec. What it accepts must survive encoding and decoding
 * again; what it refuses must come with an exception.
 *
 *     fuzz_codec [--seeds=FOLDER] [libFuzzer's options] [FOLDER ...]
 *
 * --seeds writes an input for each kind of value into the folder first, which it makes. An input is a byte (its low
 * bits: how many buffers stand beside the payload; ARGUMENTS: it is a call's arguments; CHANNEL: the last buffer is a
 * channel), each other buffer as a size byte and so many bytes, and the payload. */
#include "codecs.h"
#include "fuzz.h"

enum { BUFFERS = 3, ARGUMENTS = 4, CHANNEL = 8 };

static pyh_codec codec;
static pyh_value_channel *channel;

static void require(bool condition, const char *what)
{
    if (!condition && PyErr_Occurred()) {
        PyErr_Print();
    }
    fuzz_require(condition, what);
}

/* clang-format off */
static const char *const seeds[] = {
    "None", "True", "-3", "2**70", "-1.5", "float('nan')", "'text'", "'gr\\xfc\\ud800\\U0001f600'", "b'bytes'",
    "bytearray(b'more')", "[1, [2.5, ()], 'a']", "(1, (None,))", "{1, 2, 'a'}", "frozenset({1, frozenset()})",
    "{'a': 1, (): {}, None: [b'']}", "date(2024, 2, 29)", "time(1, 2, 3, 4, timezone.utc, fold=1)",
    "datetime(2024, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=1), 'x'))", "timedelta(days=-5, seconds=3)",
    "timezone(timedelta(hours=-1), 'name')", "memoryview(b'abcd')", "memoryview(bytes(8)).cast('d')",
    "memoryview(bytes(12)).cast('H', (2, 3))", "[memoryview(b'ab'), (memoryview(b''), memoryview(b'cd'))]",
    "channel", "[memoryview(b'ab'), {channel: 1}]",
};
/* clang-format on */

static void write_seed(const char *folder, const char *kind, size_t index, const pyh_message *message, unsigned flags)
{
    FILE *file = fuzz_seed_open(folder, kind, index);
    uint32_t count = message->buffer_count;
    require(count <= BUFFERS, "a seed has room for its buffers");
    if (count > 0 && pyh_value_channel_of_buffer(&message->buffers[count - 1]) != NULL) {
        flags |= CHANNEL;
        count--;
    }
    fputc((int)(count | flags), file);
    fuzz_seed_write(file, message);
}

static void write_seeds(const char *folder)
{
    for (size_t i = 0; i < CHECK_COUNT(seeds); i++) {
        pyh_writer writer = {0};
        pyh_message *message = codec_encode(&codec, seeds[i]);
        write_seed(folder, "value", i, message, 0);
        pyh_message_unref(message);
        PyObject *arguments[] = {embed_eval(seeds[i]), Py_True};
        PyObject *names = embed_eval("('key',)");
        size_t failed;
        require(pyh_codec_encode_arguments(&codec, &writer, arguments, 1, names, &failed) == PYHOST_OK, seeds[i]);
        require(pyh_writer_finish(&writer, &message) == PYHOST_OK, seeds[i]);
        write_seed(folder, "arguments", i, message, ARGUMENTS);
        pyh_message_unref(message);
        Py_DECREF(names);
        Py_DECREF(arguments[0]);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    setenv("PYTHONMALLOC", "malloc", 1); /* the address sanitizer then watches every object */
    setenv("PYTHONHASHSEED", "0", 1);    /* the same input goes the same way again */
    embed_start();
    embed_run("from datetime import date, datetime, time, timedelta, timezone");
    codec = codec_make(true);
    channel = codec_put_channel();
    const char *folder = fuzz_seed_folder(*argc, *argv);
    if (folder != NULL) {
        write_seeds(folder);
    }
    return 0;
}

/* Whether the value, or one that it holds, is such a one. */
static bool holds(PyObject *value, bool (*is_such)(PyObject *))
{
    bool found = is_such(value);
    if (PyDict_Check(value)) {
        PyObject *items = PyDict_Items(value);
        found = found || holds(items, is_such);
        Py_DECREF(items);
    } else if (PyList_Check(value) || PyTuple_Check(value) || PyAnySet_Check(value)) {
        PyObject *items = PySequence_Tuple(value);
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items) && !found; i++) {
            found = holds(PyTuple_GET_ITEM(items, i), is_such);
        }
        Py_DECREF(items);
    }
    return found;
}

static bool is_set(PyObject *value)
{
    return PyAnySet_Check(value);
}

static bool is_nan(PyObject *value)
{
    return PyFloat_Check(value) && PyFloat_AS_DOUBLE(value) != PyFloat_AS_DOUBLE(value);
}

/* Encoded, decoded and encoded again it is the same, but for the order of a set. */
static void check_crosses(PyObject *value)
{
    pyh_message *first = NULL, *second = NULL;
    PyObject *decoded = NULL;
    require(pyh_codec_encode_message(&codec, value, &first) == PYHOST_OK, "what was decoded can be encoded");
    require(pyh_codec_decode_message(&codec, first, &decoded) == PYHOST_OK, "what was encoded can be decoded");
    require(pyh_codec_encode_message(&codec, decoded, &second) == PYHOST_OK, "and encoded again");
    if (!fuzz_messages_equal(first, second)) {
        require(holds(value, is_set), "only a set's order differs");
        require(holds(value, is_nan) || PyObject_RichCompareBool(value, decoded, Py_EQ) == 1, "it arrives as it was");
    }
    Py_DECREF(decoded);
    pyh_message_unref(first);
    pyh_message_unref(second);
}

static void decode_arguments(pyh_message *message)
{
    pyh_arguments arguments;
    if (pyh_codec_decode_arguments(&codec, message, &arguments) != PYHOST_OK) {
        require(PyErr_Occurred() != NULL, "a refusal says why");
        return;
    }
    for (size_t i = 0; i < arguments.total; i++) {
        check_crosses(arguments.values[i]);
    }
    if (arguments.keyword_names != NULL) {
        check_crosses(arguments.keyword_names);
    }
    pyh_arguments_clear(&arguments);
}

static void decode_value(pyh_message *message)
{
    PyObject *value = NULL;
    if (pyh_codec_decode_message(&codec, message, &value) != PYHOST_OK) {
        require(PyErr_Occurred() != NULL, "a refusal says why");
        return;
    }
    check_crosses(value);
    Py_DECREF(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    unsigned flags = fuzz_byte(&input);
    pyh_message *message = fuzz_message(&input, flags & BUFFERS, (flags & CHANNEL) != 0 ? channel : NULL);
    if ((flags & ARGUMENTS) != 0) {
        decode_arguments(message);
    } else {
        decode_value(message);
    }
    PyErr_Clear();
    pyh_message_unref(message);
    return 0;
}
