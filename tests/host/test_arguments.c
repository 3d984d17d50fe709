/* Tests of a call's arguments through the codec: what is sent positionally and by keyword arrives as that. */
#include "codecs.h"

/* The arguments and keywords of an expression that is a pair (tuple, dict), as a message. */
static pyhost_status encode(pyh_codec *codec, const char *expression, pyh_message **message, size_t *failed)
{
    PyObject *pair = embed_eval(expression);
    PyObject *positional = PyTuple_GetItem(pair, 0), *keywords = PyTuple_GetItem(pair, 1);
    PyObject *names = PySequence_Tuple(keywords), *values = PyDict_Values(keywords), *flat[64];
    size_t count = (size_t)PyTuple_GET_SIZE(positional), total = count + (size_t)PyList_GET_SIZE(values);
    pyh_writer writer = {0};
    CHECK(total <= CHECK_COUNT(flat));
    for (size_t i = 0; i < total; i++) {
        flat[i] =
            i < count ? PyTuple_GET_ITEM(positional, (Py_ssize_t)i) : PyList_GET_ITEM(values, (Py_ssize_t)(i - count));
    }
    pyhost_status status =
        pyh_codec_encode_arguments(codec, &writer, flat, count, PyTuple_GET_SIZE(names) > 0 ? names : NULL, failed);
    if (status == PYHOST_OK) {
        status = pyh_writer_finish(&writer, message);
    }
    pyh_writer_discard(&writer);
    Py_DECREF(values);
    Py_DECREF(names);
    Py_DECREF(pair);
    return status;
}

/* Calls a Python function with the arguments, as an interpreter does, and compares what it says of them. */
static void check_arrives(pyh_codec *codec, const char *expression)
{
    pyh_message *message = NULL;
    pyh_arguments arguments;
    size_t failed = SIZE_MAX;
    CHECK_STATUS(encode(codec, expression, &message, &failed), PYHOST_OK);
    CHECK_STATUS(pyh_codec_decode_arguments(codec, message, &arguments), PYHOST_OK);
    CHECK_EQUAL(failed, SIZE_MAX);
    PyObject *function = embed_eval("lambda *args, **kwargs: (args, kwargs)");
    PyObject *pair = PyObject_Vectorcall(function, arguments.values, arguments.count | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                         arguments.keyword_names);
    embed_check_no_exception(expression);
    PyObject *expected = embed_eval(expression);
    CHECK_EQUAL(PyObject_RichCompareBool(pair, expected, Py_EQ), 1);
    pyh_arguments_clear(&arguments);
    CHECK(arguments.values == NULL && arguments.keyword_names == NULL && arguments.total == 0);
    Py_DECREF(expected);
    Py_DECREF(pair);
    Py_DECREF(function);
    pyh_message_unref(message);
}

static void arguments_arrive_as_they_were_sent(void)
{
    static const char *const rows[] = {
        "(), {}",
        "(1,), {}",
        "(1, 'a', [2]), {}",
        "(), {'key': 1}",
        "(1,), {'b': 2, 'a': None, 'gr\\xfc\\xdfe': 3}",
        "tuple(range(7)), {'eighth': 8}",
        "tuple(range(8)), {}",
        "tuple(range(8)), {'ninth': 9}",
        "tuple(range(9)), {}",
        "tuple(range(40)), {'a': range(3)}",
    };
    pyh_codec codec = codec_make(false);
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        check_arrives(&codec, rows[i]);
    }
    pyh_codec_clear(&codec);
}

static void check_fails_at(pyh_codec *codec, const char *expression, size_t index)
{
    pyh_message *message = NULL;
    size_t failed = SIZE_MAX;
    CHECK_STATUS(encode(codec, expression, &message, &failed), PYHOST_UNENCODABLE);
    CHECK_EQUAL(failed, index);
    CHECK(message == NULL);
    embed_check_raised(PyExc_TypeError);
}

static void the_argument_at_fault_is_named(void)
{
    pyh_codec codec = codec_make(true);
    check_fails_at(&codec, "(object(),), {}", 0);
    check_fails_at(&codec, "(1, 2, [object()], object()), {}", 2);
    check_fails_at(&codec, "(1,), {'a': 1, 'b': {1: object()}}", 2);
    pyh_codec_clear(&codec);
}

/* clang-format off */
#define BYTES(literal) {literal, sizeof literal - 1}

static const struct {
    const char *bytes;
    size_t size;
} malformed[] = {
    BYTES(""),
    BYTES("\0"),
    BYTES("\x80\0"),
    BYTES("\x01\0"),                  /* counts over what is left */
    BYTES("\0\x01"),
    BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0"),
    BYTES("\x02\0N"),
    BYTES("\x01\0?"),                 /* a wrong value, alone and after others */
    BYTES("\x03\0NN?"),
    BYTES("\x0a\0NNNNNNNNN?"),
    BYTES("\x01\x01Ns\x01" "ai"),
    BYTES("\0\x01i\x02N"),            /* keywords that are none */
    BYTES("\0\x02s\x01" "aNb\x01" "bN"),
    BYTES("\0\x01s\x01" "a"),
    BYTES("\0\x01?N"),
    BYTES("\x01\0NN"),                /* bytes left over */
    BYTES("\x09\0NNNNNNNNNN"),
    BYTES("\x01\x01Ns\x01" "aNN"),
};
/* clang-format on */

static void malformed_bytes_are_refused(void)
{
    pyh_codec codec = codec_make(true);
    for (size_t i = 0; i < CHECK_COUNT(malformed); i++) {
        pyh_message *message = codec_message(malformed[i].bytes, malformed[i].size);
        pyh_arguments arguments;
        if (pyh_codec_decode_arguments(&codec, message, &arguments) != PYHOST_MALFORMED) {
            check_failed(__FILE__, __LINE__, "row %zu was decoded", i);
        }
        embed_check_raised(PyExc_ValueError);
        pyh_message_unref(message);
    }
    pyh_codec_clear(&codec);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(arguments_arrive_as_they_were_sent),
        CHECK_TEST(the_argument_at_fault_is_named),
        CHECK_TEST(malformed_bytes_are_refused),
    };
    embed_start();
    return embed_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
