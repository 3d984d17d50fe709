/* A libFuzzer target: bytes from anybody through the plain codec. What it accepts must survive encoding and decoding
 * again; what it refuses must come with an exception.
 *
 *     fuzz_codec [--seeds=FOLDER] [libFuzzer's options] [FOLDER ...]
 *
 * --seeds writes an input for each kind of value into the folder first, which it makes. An input is a byte (its low
 * bits: how many buffers stand beside the payload; ARGUMENTS: it is a call's arguments; CHANNEL: the last buffer is a
 * channel), each other buffer as a size byte and so many bytes, and the payload. */
#include <sys/stat.h>

#include "codecs.h"

enum { BUFFERS = 3, ARGUMENTS = 4, CHANNEL = 8 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pyh_codec codec;
static pyh_value_channel *channel;

/* Not CHECK: libFuzzer keeps the input of what aborts. */
static void require(bool condition, const char *what)
{
    if (!condition) {
        if (PyErr_Occurred()) {
            PyErr_Print();
        }
        fprintf(stderr, "fuzz_codec: this does not hold: %s\n", what);
        abort();
    }
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

static void write_seed(const char *folder, const char *kind, size_t index, const pyh_message *message, int flags)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%02zu", folder, kind, index);
    FILE *file = fopen(path, "wb");
    require(file != NULL && message->buffer_count <= BUFFERS, path);
    uint32_t count = message->buffer_count;
    if (count > 0 && pyh_value_channel_of_buffer(&message->buffers[count - 1]) != NULL) {
        flags |= CHANNEL;
        count--;
    }
    fputc((int)count | flags, file);
    for (uint32_t i = 0; i < count; i++) {
        fputc((int)message->buffers[i].size, file);
        fwrite(message->buffers[i].data, 1, message->buffers[i].size, file);
    }
    fwrite(message->payload, 1, message->size, file);
    require(fclose(file) == 0, path);
}

static void write_seeds(const char *folder)
{
    mkdir(folder, 0777);
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
    for (int i = 1; i < *argc; i++) {
        if (strncmp((*argv)[i], "--seeds=", 8) == 0) {
            write_seeds((*argv)[i] + 8);
        }
    }
    return 0;
}

/* The input as a message; *flags is its first byte. */
static pyh_message *read_input(const uint8_t *data, size_t size, unsigned *flags)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    *flags = size > 0 ? *data++ : 0;
    size -= size > 0;
    for (unsigned i = 0; i < (*flags & BUFFERS) && size > 0; i++) {
        size_t length = *data++;
        size--;
        length = length < size ? length : size;
        pyh_writer_buffer(&writer, data, length);
        data += length;
        size -= length;
    }
    if ((*flags & CHANNEL) != 0) {
        pyh_writer_share(&writer, pyh_value_channel_as_buffer(channel));
    }
    pyh_writer_bytes(&writer, data, size);
    require(pyh_writer_finish(&writer, &message) == PYHOST_OK, "there is memory");
    return message;
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

static bool messages_equal(const pyh_message *one, const pyh_message *other)
{
    bool equal = one->size == other->size && one->buffer_count == other->buffer_count &&
                 memcmp(one->payload, other->payload, one->size) == 0;
    for (uint32_t i = 0; equal && i < one->buffer_count; i++) {
        const pyh_buffer *left = &one->buffers[i], *right = &other->buffers[i];
        equal = left->size == right->size && pyh_value_channel_of_buffer(left) == pyh_value_channel_of_buffer(right) &&
                (left->size == 0 || memcmp(left->data, right->data, left->size) == 0);
    }
    return equal;
}

/* Encoded, decoded and encoded again it is the same, but for the order of a set. */
static void check_crosses(PyObject *value)
{
    pyh_message *first = NULL, *second = NULL;
    PyObject *decoded = NULL;
    require(pyh_codec_encode_message(&codec, value, &first) == PYHOST_OK, "what was decoded can be encoded");
    require(pyh_codec_decode_message(&codec, first, &decoded) == PYHOST_OK, "what was encoded can be decoded");
    require(pyh_codec_encode_message(&codec, decoded, &second) == PYHOST_OK, "and encoded again");
    if (!messages_equal(first, second)) {
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
    unsigned flags;
    pyh_message *message = read_input(data, size, &flags);
    if ((flags & ARGUMENTS) != 0) {
        decode_arguments(message);
    } else {
        decode_value(message);
    }
    PyErr_Clear();
    pyh_message_unref(message);
    return 0;
}
