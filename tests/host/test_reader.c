/* Tests of the reader and the builder with what no encoder makes, and at the codec's limits, where a program and Python
 * must agree. */
#include <math.h>
#include <stdlib.h>

#include "api.h"
#include "check.h"
#include "codec.h"
#include "message.h"

static pyhost_value *value_of(const void *bytes, size_t size, size_t buffer_size)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    unsigned char *zeros = calloc(1, buffer_size + 1);
    pyh_writer_bytes(&writer, bytes, size);
    pyh_writer_buffer(&writer, zeros, buffer_size);
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    free(zeros);
    return pyh_value_of(message);
}

/* Skipping the bytes, and copying them, gives this, and leaves the reader where it was. */
static void check_skip(const void *bytes, size_t size, pyhost_status expected)
{
    pyhost_value *value = value_of(bytes, size, 4), *copy = NULL;
    pyhost_reader reader = pyhost_reader_make(value);
    CHECK_STATUS(pyhost_reader_value(&reader, &copy), expected);
    CHECK_STATUS(pyhost_reader_skip(&reader), expected == PYHOST_OK ? PYHOST_WRONG_KIND : expected);
    CHECK_EQUAL(pyhost_reader_left(&reader), expected == PYHOST_OK ? 0 : 1);
    pyhost_value_unref(copy);
    pyhost_value_unref(value);
}

static void nothing_nests_without_an_end(void)
{
    enum { SIZE = 1 << 20, TIME_SIZE = 8 };
    unsigned char *bytes = calloc(1, SIZE);
    memset(bytes, 'm', SIZE);
    check_skip(bytes, SIZE, PYHOST_MALFORMED);
    memset(bytes, 'z', SIZE);
    check_skip(bytes, SIZE, PYHOST_MALFORMED);
    memset(bytes, 0, SIZE);
    for (size_t i = 0; i < SIZE; i += TIME_SIZE) {
        bytes[i] = 'h';
    }
    check_skip(bytes, SIZE, PYHOST_MALFORMED);
    for (size_t i = 0; i + 1 < SIZE; i += 2) {
        memcpy(bytes + i, "l\1", 2);
    }
    check_skip(bytes, SIZE, PYHOST_MALFORMED);
    free(bytes);
}

#define CHECK_SKIP(text, expected) check_skip(text, sizeof(text) - 1, expected)

static void times_that_are_none_are_malformed(void)
{
    CHECK_SKIP("D\xe8\x07\x02\x1d", PYHOST_OK);
    CHECK_SKIP("D\xe7\x07\x02\x1d", PYHOST_MALFORMED); /* the 29th of February 2023 */
    CHECK_SKIP("D\x10\x27\x01\x01", PYHOST_MALFORMED); /* the year 10000 */
    CHECK_SKIP("D\xe8\x07\xff\x01", PYHOST_MALFORMED);
    CHECK_SKIP("h\x17\x3b\x3b\x3f\x42\x0f\x01N", PYHOST_OK);
    CHECK_SKIP("h\x18\x3b\x3b\x3f\x42\x0f\x01N", PYHOST_MALFORMED); /* 24 o'clock */
    CHECK_SKIP("h\x17\x3b\x3b\x40\x42\x0f\x01N", PYHOST_MALFORMED); /* 1000000 microseconds */
    CHECK_SKIP("h\x17\x3b\x3b\x3f\x42\x0f\x02N", PYHOST_MALFORMED);
    CHECK_SKIP("h\x17\x3b\x3b\x3f\x42\x0f\x01T", PYHOST_MALFORMED); /* True is no zone */
    CHECK_SKIP("h\x17\x3b\x3b\x3f\x42\x0f\x01", PYHOST_MALFORMED);
    CHECK_SKIP("e\x01\x00\x01", PYHOST_OK);
    CHECK_SKIP("e\x01\x80\xa3\x05\x01", PYHOST_MALFORMED);         /* 86400 seconds */
    CHECK_SKIP("e\x80\xa8\xd6\xb9\x07\x00\x00", PYHOST_MALFORMED); /* 1000000000 days */
    CHECK_SKIP("zt\x01"
               "e\x01\x00\x01",
               PYHOST_OK);
    CHECK_SKIP("zt\x01"
               "e\x01\x00\x00",
               PYHOST_MALFORMED); /* a whole day */
    CHECK_SKIP("zl\x01"
               "e\x01\x00\x01",
               PYHOST_MALFORMED); /* its arguments are a tuple */
}

/* A memoryview of the buffer's four bytes. */
static void check_view(const void *bytes, size_t size, pyhost_status expected)
{
    pyhost_value *value = value_of(bytes, size, 4);
    pyhost_reader reader = pyhost_reader_make(value);
    pyhost_buffer buffer;
    CHECK_STATUS(pyhost_reader_buffer(&reader, &buffer), expected);
    pyhost_value_unref(value);
}

#define CHECK_VIEW(text, expected) check_view(text, sizeof(text) - 1, expected)

static void shapes_stay_within_their_memory(void)
{
    CHECK_VIEW("ms\1Ht\2i\4i\2", PYHOST_OK); /* 2 × 1 items of two bytes */
    CHECK_VIEW("ms\1Ht\2i\4i\4", PYHOST_MALFORMED);
    CHECK_VIEW("ms\1dt\1i\2", PYHOST_MALFORMED);
    CHECK_VIEW("ms\1Yt\1i\x08", PYHOST_OK); /* a letter that only Python knows */
    CHECK_VIEW("ms\1Yt\1i\x0a", PYHOST_MALFORMED);
    CHECK_VIEW("ms\1Bt\2i\xfe\xff\xff\xff\xff\xff\xff\xff\x7fi\4", PYHOST_MALFORMED);
    CHECK_VIEW("ms\1Bt\1i\1", PYHOST_MALFORMED); /* -1 */
    CHECK_VIEW("ms\1Bl\1i\x08", PYHOST_MALFORMED);
    CHECK_VIEW("ms\2BBt\1i\x08", PYHOST_MALFORMED);
    CHECK_VIEW("ms\1Bt\x09i\2i\2i\2i\2i\2i\2i\2i\2i\x08", PYHOST_OUT_OF_RANGE);
}

/* An int as a double. */
static pyhost_status read_double(const unsigned char *digits, size_t size, double *found)
{
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_value *value = NULL;
    pyhost_builder_big_int(builder, digits, size);
    CHECK_STATUS(pyhost_builder_finish(builder, &value), PYHOST_OK);
    pyhost_reader reader = pyhost_reader_make(value);
    pyhost_status status = pyhost_reader_float(&reader, found);
    pyhost_value_unref(value);
    pyhost_builder_free(builder);
    return status;
}

static void ints_are_read_as_the_nearest_double(void)
{
    unsigned char digits[200] = {0};
    double found = 0;
    /* 2**69 + 2**16 is halfway between two; one more is nearer to the upper. */
    digits[8] = 0x20;
    digits[2] = 1;
    CHECK_STATUS(read_double(digits, 10, &found), PYHOST_OK);
    CHECK(found == 0x1p69);
    digits[0] = 1;
    CHECK_STATUS(read_double(digits, 10, &found), PYHOST_OK);
    CHECK(found == 0x1.0000000000001p69);
    memset(digits, 0xff, sizeof digits);
    CHECK_STATUS(read_double(digits, 20, &found), PYHOST_OK);
    CHECK(found == -1.0);
    memset(digits, 0, sizeof digits);
    digits[19] = 0x80;
    CHECK_STATUS(read_double(digits, 20, &found), PYHOST_OK);
    CHECK(found == -0x1p159);
    digits[199] = 0x7f;
    CHECK_STATUS(read_double(digits, 200, &found), PYHOST_OUT_OF_RANGE);
    digits[199] = 0x80;
    CHECK_STATUS(read_double(digits, 200, &found), PYHOST_OUT_OF_RANGE);
    CHECK(found == -0x1p159);
}

/* A builder with so many lists open. */
static pyhost_builder *builder_at(size_t depth)
{
    pyhost_builder *builder = pyhost_builder_new();
    for (size_t i = 0; i < depth; i++) {
        CHECK_STATUS(pyhost_builder_open(builder, PYHOST_KIND_LIST), PYHOST_OK);
    }
    return builder;
}

/* Closes all lists; what was built can be skipped. Frees the builder. */
static pyhost_value *close_all(pyhost_builder *builder, size_t depth)
{
    pyhost_value *value = NULL;
    for (size_t i = 0; i < depth; i++) {
        CHECK_STATUS(pyhost_builder_close(builder), PYHOST_OK);
    }
    CHECK_STATUS(pyhost_builder_finish(builder, &value), PYHOST_OK);
    pyhost_reader reader = pyhost_reader_make(value);
    CHECK_STATUS(pyhost_reader_skip(&reader), PYHOST_OK);
    pyhost_builder_free(builder);
    return value;
}

static pyhost_status add_time(pyhost_builder *builder)
{
    const pyhost_time time = {.zone = PYHOST_ZONE_NONE};
    return pyhost_builder_time(builder, &time);
}

static pyhost_status add_fixed_time(pyhost_builder *builder)
{
    const pyhost_time time = {.zone = PYHOST_ZONE_FIXED};
    return pyhost_builder_time(builder, &time);
}

static pyhost_status add_timezone(pyhost_builder *builder)
{
    return pyhost_builder_timezone(builder, 0);
}

static pyhost_status add_view(pyhost_builder *builder)
{
    static char memory[4];
    return pyhost_builder_buffer(builder, memory, sizeof memory, 'B', NULL, 0, NULL, NULL);
}

static void levels_are_counted_as_the_codec_does(void)
{
    static const struct {
        pyhost_status (*add)(pyhost_builder *builder);
        size_t levels;
    } kinds[] = {{add_time, 1}, {add_timezone, 2}, {add_view, 2}, {add_fixed_time, 3}};
    for (size_t i = 0; i < CHECK_COUNT(kinds); i++) {
        size_t depth = PYH_CODEC_DEPTH - kinds[i].levels;
        pyhost_builder *builder = builder_at(depth);
        CHECK_STATUS(kinds[i].add(builder), PYHOST_OK);
        pyhost_value_unref(close_all(builder, depth));
        builder = builder_at(depth + 1);
        CHECK_STATUS(kinds[i].add(builder), PYHOST_MISUSED);
        pyhost_builder_free(builder);
    }
}

static void a_whole_value_may_not_nest_too_deep_where_it_is_put(void)
{
    pyhost_value *value = close_all(builder_at(PYH_CODEC_DEPTH - 1), PYH_CODEC_DEPTH - 1);
    pyhost_builder *builder = builder_at(1);
    CHECK_STATUS(pyhost_builder_value(builder, value), PYHOST_OK);
    pyhost_value_unref(close_all(builder, 1));
    builder = builder_at(2);
    CHECK_STATUS(pyhost_builder_value(builder, value), PYHOST_MISUSED);
    pyhost_builder_free(builder);
    pyhost_value_unref(value);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(nothing_nests_without_an_end),
        CHECK_TEST(times_that_are_none_are_malformed),
        CHECK_TEST(shapes_stay_within_their_memory),
        CHECK_TEST(ints_are_read_as_the_nearest_double),
        CHECK_TEST(levels_are_counted_as_the_codec_does),
        CHECK_TEST(a_whole_value_may_not_nest_too_deep_where_it_is_put),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
