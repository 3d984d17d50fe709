/* Tests of decoding what no encoder made (host/codec_decode.c): an answer and an exception, never a crash or a leak. */
#include "codecs.h"

enum { LEAK_ROUNDS = 20, DEPTH = PYH_CODEC_DEPTH };

/* Decodes, and checks that the outcome and the exception agree. Whether it was a message. */
static bool decodes(pyh_codec *codec, pyh_message *message)
{
    PyObject *value = NULL;
    pyhost_status status = pyh_codec_decode_message(codec, message, &value);
    bool raised = PyErr_Occurred() != NULL;
    CHECK(status == PYHOST_OK || status == PYHOST_MALFORMED);
    CHECK((status == PYHOST_OK) == (value != NULL));
    CHECK((status == PYHOST_OK) == !raised);
    PyErr_Clear();
    Py_XDECREF(value);
    return status == PYHOST_OK;
}

static bool decodes_bytes(pyh_codec *codec, const void *bytes, size_t size)
{
    pyh_message *message = codec_message(bytes, size);
    bool decoded = decodes(codec, message);
    pyh_message_unref(message);
    return decoded;
}

/* clang-format off */
#define BYTES(literal) {literal, sizeof literal - 1}

static const struct {
    const char *bytes;
    size_t size;
} malformed[] = {
    BYTES(""),
    BYTES("\0"),
    BYTES("?"),                         /* no tag */
    BYTES("NN"),                        /* bytes left over */
    BYTES("i"),                         /* an integer's end is missing */
    BYTES("i\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), /* over 64 bits */
    BYTES("I\x05" "abcd"),              /* sizes over what is left */
    BYTES("s\x02" "a"),
    BYTES("b\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    BYTES("B\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
    BYTES("f1234567"),
    BYTES("s\x02\xff\xfe"),             /* no UTF-8 */
    BYTES("s\x02\xc0\x80"),
    BYTES("l\x02N"),                    /* counts over what is left */
    BYTES("t\xff\xff\xff\x7f"),
    BYTES("l\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    BYTES("d\x01N"),                    /* a key without its value */
    BYTES("d\x01lNN"),
    BYTES("S\x01l\0"),                  /* what has no hash: in a set, as a key */
    BYTES("Z\x02NS\0"),
    BYTES("d\x01" "d\0N"),
    BYTES("S\x02Nl\x01?"),
    BYTES("d\x01" "b\x02xy?"),         /* what was read before the fault must be freed */
    BYTES("d\x01l\0b\x02xy"),
    BYTES("l\x02" "b\x02xy?"),
    BYTES("t\x02" "b\x02xy?"),
    BYTES("S\x02" "b\x02xy?"),
    BYTES("Z\x02" "b\x02xy?"),
    BYTES("h\0\0\0\0\0\0\0" "b\x02xy"),
    BYTES("c\xe8\x07\x01\x01\0\0\0\0\0\0\0" "b\x02xy"),
    BYTES("zb\x02xy"),
    BYTES("zt\x01" "b\x02xy"),
    BYTES("mb\x02xy?"),
    BYTES("mb\x02xyb\x02xy"),
    BYTES("ms\x02xyt\x01" "b\x02xy"),
    BYTES("D\xe8\x07\x02\x1e"),         /* 30 February */
    BYTES("D\0\0\x01\x01"),             /* year 0 */
    BYTES("D\xe8\x07\x02"),
    BYTES("h\x18\0\0\0\0\0\0N"),        /* 24 o'clock */
    BYTES("h\0\0\0\xff\xff\xff\0N"),    /* 16777215 microseconds */
    BYTES("h\0\0\0\0\0\0\x02N"),        /* a second fold */
    BYTES("h\0\0\0\0\0\0\0"),           /* no tzinfo, a wrong one */
    BYTES("h\0\0\0\0\0\0\0i\x02"),
    BYTES("c\xe8\x07\x01\x01\0\0\0\0\0\0\0s\0"),
    BYTES("c\xe8\x07\x01\x01\0\0\0"),
    BYTES("e\0\x80\xa3\x05\0"),         /* 86400 seconds */
    BYTES("e\0\0\xc0\x84\x3d"),         /* 1000000 microseconds */
    BYTES("e\x80\xa8\xd6\xb9\x07\0\0"), /* 10**9 days */
    BYTES("e\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0"),
    BYTES("e\0\0"),
    BYTES("zN"),                        /* a timezone without its tuple, with other arguments */
    BYTES("zt\0"),
    BYTES("zt\x01i\x02"),
    BYTES("zt\x01" "e\x02\0\0"),        /* an offset of a day */
    BYTES("zt\x03" "e\0\0\0s\0s\0"),
    BYTES("ms\x01" "Bt\x01i\0"),        /* a buffer that is not there */
    BYTES("mNN"),
    BYTES("p\0\x01N"),                  /* a pickle, for a plain codec */
    BYTES("C"),                         /* a channel that is not there */
};
/* clang-format on */

static void malformed_bytes_are_refused(void)
{
    pyh_codec codec = codec_make(true);
    for (size_t i = 0; i < CHECK_COUNT(malformed); i++) {
        if (decodes_bytes(&codec, malformed[i].bytes, malformed[i].size)) {
            check_failed(__FILE__, __LINE__, "row %zu (\"%s\") was decoded", i, malformed[i].bytes);
        }
    }
    pyh_codec_clear(&codec);
}

static void codecs_without_a_buffer_type_refuse_buffers(void)
{
    pyh_codec codec = codec_make(true), bare = {.plain = true};
    pyh_message *message = codec_encode(&codec, "memoryview(b'ab')");
    CHECK(decodes(&codec, message));
    CHECK(!decodes(&bare, message));
    pyh_message_unref(message);
    pyh_codec_clear(&codec);
}

/* A message of these bytes with one buffer beside it. */
static bool decodes_beside(pyh_codec *codec, const char *bytes, pyh_buffer buffer)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    pyh_writer_bytes(&writer, bytes, strlen(bytes));
    pyh_writer_share(&writer, buffer);
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    bool decoded = decodes(codec, message);
    pyh_message_unref(message);
    return decoded;
}

static void release_nothing(void *context, void *data)
{
    (void)context;
    (void)data;
}

static void no_other_buffer_is_taken_for_a_channel(void)
{
    pyh_codec codec = codec_make(false), bare = {.plain = true};
    pyh_value_channel *channel = pyh_value_channel_new(1);
    pyh_buffer forged = {.release = release_nothing, .context = channel};
    CHECK(decodes_beside(&codec, "C", pyh_value_channel_as_buffer(channel)));
    CHECK(!decodes_beside(&bare, "C", pyh_value_channel_as_buffer(channel)));
    CHECK(!decodes_beside(&codec, "C", forged));
    CHECK(!decodes_beside(&codec, "C", (pyh_buffer){.data = malloc(1), .size = 1}));
    CHECK(!decodes_beside(&codec, "l\2CC", pyh_value_channel_as_buffer(channel)));
    CHECK(!decodes_beside(&codec, "ms\1Bt\1i\2", pyh_value_channel_as_buffer(channel)));
    CHECK(!decodes_beside(&codec, "p\1\2N.", pyh_value_channel_as_buffer(channel)));
    CHECK_EQUAL(channel->references, 1);
    pyh_value_channel_unref(channel);
    pyh_codec_clear(&codec);
}

/* The pickle itself is trusted; what stands around it is not. */
static void cut_pickles_are_refused(void)
{
    pyh_codec codec = codec_make(false);
    CHECK(decodes_bytes(&codec, "p\0\2N.", 5));
    CHECK(!decodes_bytes(&codec, "p", 1));
    CHECK(!decodes_bytes(&codec, "p\x80", 2));
    CHECK(!decodes_bytes(&codec, "p\0\3N.", 5));
    CHECK(!decodes_bytes(&codec, "p\0\1N", 4));
    CHECK(!decodes_bytes(&codec, "p\1\2N.", 5));
    pyh_codec_clear(&codec);
}

/* What a whole value may be made of, one of each tag but pickle. */
/* clang-format off */
static const char *const values[] = {
    "None", "True", "False", "-300", "2**70", "1.5", "'text'", "'gr\\xfc\\xdfe'", "b'bytes'", "bytearray(b'more')",
    "[1, [2], ()]", "(1, 'a')", "{1}", "frozenset({1, 'a'})", "{'a': 1, (): {}}", "date(2024, 2, 29)",
    "time(1, 2, 3, 4, timezone.utc, fold=1)", "datetime(2024, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=1), 'x'))",
    "timedelta(days=-5, seconds=3)", "timezone(timedelta(hours=-1), 'name')", "memoryview(b'abcd').cast('H', (2,))",
    "[memoryview(b'ab'), memoryview(b'cd')]",
};
/* clang-format on */

/* A message of the first `size` bytes and the same buffers. */
static pyh_message *cut(const pyh_message *message, size_t size)
{
    pyh_writer writer = {0};
    pyh_message *part = NULL;
    pyh_writer_bytes(&writer, message->payload, size);
    for (uint32_t i = 0; i < message->buffer_count; i++) {
        pyh_writer_buffer(&writer, message->buffers[i].data, message->buffers[i].size);
    }
    CHECK_STATUS(pyh_writer_finish(&writer, &part), PYHOST_OK);
    return part;
}

static void no_part_of_a_message_is_one(void)
{
    pyh_codec codec = codec_make(true);
    for (size_t i = 0; i < CHECK_COUNT(values); i++) {
        pyh_message *whole = codec_encode(&codec, values[i]);
        for (size_t size = 0; size <= whole->size; size++) {
            pyh_message *part = cut(whole, size);
            CHECK_EQUAL(decodes(&codec, part), size == whole->size);
            pyh_message_unref(part);
        }
        pyh_message_unref(whole);
    }
    pyh_codec_clear(&codec);
}

/* Every value of every byte in turn: whatever comes of it, comes in order. */
static void decode_variations(pyh_codec *codec, const char *expression)
{
    pyh_message *whole = codec_encode(codec, expression);
    for (size_t place = 0; place < whole->size; place++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            pyh_message *varied = cut(whole, whole->size);
            varied->payload[place] = (unsigned char)byte;
            CHECK(decodes(codec, varied) || byte != whole->payload[place]);
            pyh_message_unref(varied);
        }
    }
    pyh_message_unref(whole);
}

static void any_byte_may_be_wrong(void)
{
    pyh_codec codec = codec_make(true);
    for (size_t i = 0; i < CHECK_COUNT(values); i++) {
        decode_variations(&codec, values[i]);
    }
    pyh_codec_clear(&codec);
}

/* A value inside of `depth` lists, or of whatever these two bytes begin. */
static bool nested_decodes(pyh_codec *codec, size_t depth, const char *begin)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    for (size_t i = 0; i < depth; i++) {
        pyh_writer_bytes(&writer, begin, 2);
    }
    pyh_writer_byte(&writer, 'N');
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    bool decoded = decodes(codec, message);
    pyh_message_unref(message);
    return decoded;
}

static void depth_is_bounded(void)
{
    static const char *const begins[] = {"l\1", "t\1", "Z\1"};
    pyh_codec codec = codec_make(true);
    for (size_t i = 0; i < CHECK_COUNT(begins); i++) {
        CHECK(nested_decodes(&codec, DEPTH, begins[i]));
        CHECK(!nested_decodes(&codec, DEPTH + 1, begins[i]));
        CHECK(!nested_decodes(&codec, 1000000, begins[i]));
    }
    CHECK(!nested_decodes(&codec, 1000000, "zz"));
    CHECK(!nested_decodes(&codec, 1000000, "mm"));
    CHECK(!nested_decodes(&codec, 1000000, "d\1"));
    pyh_codec_clear(&codec);
}

/* Without garbage, objects that are kept for reuse, and names that the cache of attributes keeps. */
static Py_ssize_t allocated_blocks(void)
{
    PyType_ClearCache();
    PyGC_Collect();
    PyObject *count = embed_eval("sys.getallocatedblocks()");
    Py_ssize_t blocks = PyLong_AsSsize_t(count);
    Py_DECREF(count);
    return blocks;
}

/* Python's allocator counts its blocks, unless PYTHONMALLOC has it pass everything on: then all counts are 0, and the
 * address sanitizer looks after it. */
static void refusals_leak_nothing(void)
{
    pyh_codec codec = codec_make(true);
    Py_ssize_t before = 0;
    for (int round = 0; round < 2 + LEAK_ROUNDS; round++) {
        before = round == 2 ? allocated_blocks() : before; /* by then all that comes at first use is there */
        for (size_t i = 0; i < CHECK_COUNT(malformed); i++) {
            CHECK(!decodes_bytes(&codec, malformed[i].bytes, malformed[i].size));
        }
        CHECK(!nested_decodes(&codec, DEPTH + 1, "l\1"));
    }
    CHECK(allocated_blocks() - before < LEAK_ROUNDS);
    pyh_codec_clear(&codec);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(malformed_bytes_are_refused), CHECK_TEST(codecs_without_a_buffer_type_refuse_buffers),
        CHECK_TEST(no_other_buffer_is_taken_for_a_channel),
        CHECK_TEST(cut_pickles_are_refused),     CHECK_TEST(no_part_of_a_message_is_one),
        CHECK_TEST(any_byte_may_be_wrong),       CHECK_TEST(depth_is_bounded),
        CHECK_TEST(refusals_leak_nothing),
    };
    embed_start();
    embed_run("import sys");
    embed_run("from datetime import date, datetime, time, timedelta, timezone");
    return embed_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
