/* Tests of values: what a builder puts together arrives in Python as it was meant, and what Python sends is read. */
#include "program.h"

#include <float.h>
#include <sched.h>

/* What Python says of the one value in the builder: its type and repr. */
static void check_kind(pyhost_builder *builder, const char *expected)
{
    runtime_check_text(runtime_call("arithmetic.kind", builder), expected);
}

/* The one value in the builder, sent to Python and back. */
static pyhost_value *there_and_back(pyhost_builder *builder)
{
    return runtime_call("arithmetic.same", builder);
}

static void simple_values_arrive(void)
{
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_builder_none(builder);
    check_kind(builder, "builtins.NoneType None");
    pyhost_builder_bool(builder, true);
    check_kind(builder, "builtins.bool True");
    pyhost_builder_int(builder, INT64_MIN);
    check_kind(builder, "builtins.int -9223372036854775808");
    pyhost_builder_uint(builder, UINT64_MAX);
    check_kind(builder, "builtins.int 18446744073709551615");
    pyhost_builder_big_int(builder, "\0\0\0\0\0\0\0\0\0\xff", 10);
    check_kind(builder, "builtins.int -4722366482869645213696");
    pyhost_builder_float(builder, -0.1);
    check_kind(builder, "builtins.float -0.1");
    pyhost_builder_str(builder, "gr\xc3\xbc\xc3\x9f\0e", 8);
    check_kind(builder, "builtins.str 'gr\xc3\xbc\xc3\x9f\\x00e'");
    pyhost_builder_bytes(builder, "a\0b", 3);
    check_kind(builder, "builtins.bytes b'a\\x00b'");
    pyhost_builder_bytearray(builder, "ab", 2);
    check_kind(builder, "builtins.bytearray bytearray(b'ab')");
    pyhost_builder_free(builder);
}

static void times_arrive(void)
{
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_datetime moment = {
        .date = {.year = 2024, .month = 2, .day = 29},
        .time = {.hour = 23, .minute = 59, .second = 58, .microsecond = 999999, .zone = PYHOST_ZONE_FIXED},
    };
    moment.time.offset_us = -3600 * INT64_C(1000000);
    pyhost_timedelta delta = {.days = -1, .seconds = 86399, .microseconds = 5};
    pyhost_builder_date(builder, &moment.date);
    check_kind(builder, "datetime.date datetime.date(2024, 2, 29)");
    pyhost_builder_datetime(builder, &moment);
    check_kind(builder, "datetime.datetime datetime.datetime(2024, 2, 29, 23, 59, 58, 999999, "
                        "tzinfo=datetime.timezone(datetime.timedelta(days=-1, seconds=82800)))");
    moment.time.zone = PYHOST_ZONE_NONE;
    moment.time.fold = 1;
    pyhost_builder_time(builder, &moment.time);
    check_kind(builder, "datetime.time datetime.time(23, 59, 58, 999999, fold=1)");
    pyhost_builder_timedelta(builder, &delta);
    check_kind(builder, "datetime.timedelta datetime.timedelta(days=-1, seconds=86399, microseconds=5)");
    pyhost_builder_timezone(builder, INT64_C(5400000000));
    check_kind(builder, "datetime.timezone datetime.timezone(datetime.timedelta(seconds=5400))");
    pyhost_builder_free(builder);
}

static void containers_arrive(void)
{
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_builder_open(builder, PYHOST_KIND_DICT);
    pyhost_builder_str(builder, "list", 4);
    pyhost_builder_open(builder, PYHOST_KIND_LIST);
    for (int i = 0; i < 200; i++) {
        pyhost_builder_int(builder, 1);
    }
    pyhost_builder_close(builder);
    pyhost_builder_open(builder, PYHOST_KIND_TUPLE);
    pyhost_builder_close(builder);
    pyhost_builder_open(builder, PYHOST_KIND_FROZENSET);
    pyhost_builder_bool(builder, false);
    pyhost_builder_close(builder);
    CHECK_STATUS(pyhost_builder_close(builder), PYHOST_OK);
    pyhost_value *value = there_and_back(builder);
    pyhost_reader reader = pyhost_reader_make(value), dict, list;
    int64_t number = 0;
    CHECK_EQUAL(pyhost_reader_kind(&reader), PYHOST_KIND_DICT);
    CHECK_STATUS(pyhost_reader_enter(&reader, &dict), PYHOST_OK);
    CHECK_EQUAL(pyhost_reader_left(&dict), 4);
    CHECK_STATUS(pyhost_reader_skip(&dict), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_enter(&dict, &list), PYHOST_OK);
    CHECK_EQUAL(pyhost_reader_left(&list), 200);
    CHECK_STATUS(pyhost_reader_int(&list, &number), PYHOST_OK);
    CHECK_EQUAL(number, 1);
    CHECK_STATUS(pyhost_reader_leave(&dict, &list), PYHOST_OK);
    CHECK_EQUAL(pyhost_reader_kind(&dict), PYHOST_KIND_TUPLE);
    CHECK_STATUS(pyhost_reader_skip(&dict), PYHOST_OK);
    CHECK_EQUAL(pyhost_reader_kind(&dict), PYHOST_KIND_FROZENSET);
    CHECK_STATUS(pyhost_reader_leave(&reader, &dict), PYHOST_OK);
    CHECK_EQUAL(pyhost_reader_kind(&reader), PYHOST_KIND_END);
    CHECK_STATUS(pyhost_reader_skip(&reader), PYHOST_WRONG_KIND);
    pyhost_value_unref(value);
    pyhost_builder_open(builder, PYHOST_KIND_SET);
    pyhost_builder_int(builder, 7);
    pyhost_builder_close(builder);
    check_kind(builder, "builtins.set {7}");
    pyhost_builder_free(builder);
}

static void what_was_sent_is_read(void)
{
    pyhost_builder *builder = pyhost_builder_new();
    bool truth = false;
    int64_t small = 0;
    uint64_t large = 0;
    double real = 0;
    const void *bytes = NULL;
    size_t size = 0;
    unsigned char digits[16];
    pyhost_builder_open(builder, PYHOST_KIND_TUPLE);
    pyhost_builder_none(builder);
    pyhost_builder_bool(builder, true);
    pyhost_builder_int(builder, -5);
    pyhost_builder_uint(builder, UINT64_MAX);
    pyhost_builder_uint(builder, UINT64_MAX);
    pyhost_builder_int(builder, -2);
    pyhost_builder_float(builder, DBL_MIN);
    pyhost_builder_bytes(builder, "xyz", 3);
    pyhost_builder_close(builder);
    pyhost_value *value = there_and_back(builder);
    pyhost_reader whole = pyhost_reader_make(value), reader;
    CHECK_STATUS(pyhost_reader_enter(&whole, &reader), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_bool(&reader, &truth), PYHOST_WRONG_KIND);
    CHECK_STATUS(pyhost_reader_none(&reader), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_bool(&reader, &truth), PYHOST_OK);
    CHECK(truth);
    CHECK_STATUS(pyhost_reader_uint(&reader, &large), PYHOST_OUT_OF_RANGE);
    CHECK_STATUS(pyhost_reader_int(&reader, &small), PYHOST_OK);
    CHECK_EQUAL(small, -5);
    CHECK_STATUS(pyhost_reader_int(&reader, &small), PYHOST_OUT_OF_RANGE);
    CHECK_STATUS(pyhost_reader_uint(&reader, &large), PYHOST_OK);
    CHECK(large == UINT64_MAX);
    CHECK_STATUS(pyhost_reader_big_int(&reader, digits, 4, &size), PYHOST_OUT_OF_RANGE);
    CHECK_STATUS(pyhost_reader_big_int(&reader, digits, sizeof digits, &size), PYHOST_OK);
    CHECK(size == 9 && digits[7] == 0xff && digits[8] == 0);
    CHECK_STATUS(pyhost_reader_float(&reader, &real), PYHOST_OK);
    CHECK(real == -2.0);
    CHECK_STATUS(pyhost_reader_float(&reader, &real), PYHOST_OK);
    CHECK(real == DBL_MIN);
    CHECK_STATUS(pyhost_reader_bytes(&reader, &bytes, &size), PYHOST_OK);
    CHECK(size == 3 && memcmp(bytes, "xyz", 3) == 0);
    CHECK_STATUS(pyhost_reader_none(&reader), PYHOST_WRONG_KIND);
    pyhost_value_unref(value);
    pyhost_builder_free(builder);
}

static void times_are_read(void)
{
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_datetime moment = {.date = {.year = 1, .month = 12, .day = 31}, .time = {.hour = 4, .microsecond = 70000}};
    pyhost_datetime found = {0};
    pyhost_timedelta delta = {.days = -3, .seconds = 7, .microseconds = 9}, found_delta = {0};
    int64_t offset_us = 0;
    moment.time.zone = PYHOST_ZONE_FIXED;
    moment.time.offset_us = -1;
    pyhost_builder_open(builder, PYHOST_KIND_LIST);
    pyhost_builder_datetime(builder, &moment);
    pyhost_builder_time(builder, &moment.time);
    pyhost_builder_date(builder, &moment.date);
    pyhost_builder_timedelta(builder, &delta);
    pyhost_builder_timezone(builder, -1);
    pyhost_builder_close(builder);
    pyhost_value *value = there_and_back(builder);
    pyhost_reader whole = pyhost_reader_make(value), reader;
    CHECK_STATUS(pyhost_reader_enter(&whole, &reader), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_datetime(&reader, &found), PYHOST_OK);
    CHECK(found.date.year == 1 && found.time.hour == 4 && found.time.microsecond == 70000);
    CHECK(found.time.zone == PYHOST_ZONE_FIXED && found.time.offset_us == -1);
    CHECK_STATUS(pyhost_reader_time(&reader, &found.time), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_date(&reader, &found.date), PYHOST_OK);
    CHECK_EQUAL(found.date.day, 31);
    CHECK_STATUS(pyhost_reader_timedelta(&reader, &found_delta), PYHOST_OK);
    CHECK(found_delta.days == -3 && found_delta.seconds == 7 && found_delta.microseconds == 9);
    CHECK_STATUS(pyhost_reader_timezone(&reader, &offset_us), PYHOST_OK);
    CHECK_EQUAL(offset_us, -1);
    pyhost_reader skipping = pyhost_reader_make(value);
    CHECK_STATUS(pyhost_reader_skip(&skipping), PYHOST_OK);
    pyhost_value_unref(value);
    pyhost_builder_free(builder);
}

static void count_release(void *context, void *data)
{
    (void)data;
    atomic_fetch_add((atomic_int *)context, 1);
}

/* A plugin's thread may be the last to let go of what a call was given. */
static void wait_released(atomic_int *released, int count)
{
    while (atomic_load(released) < count) {
        sched_yield();
    }
    CHECK_EQUAL(atomic_load(released), count);
}

static void buffers_are_shared(void)
{
    static double matrix[2][3] = {{1, 2, 3}, {4, 5, 6}};
    const size_t shape[] = {2, 3};
    atomic_int released = 0;
    double sum = 0;
    pyhost_buffer found;
    pyhost_builder *builder = pyhost_builder_new();
    CHECK_STATUS(pyhost_builder_buffer(builder, matrix, sizeof matrix, 'd', shape, 2, count_release, &released),
                 PYHOST_OK);
    pyhost_value *value = NULL;
    CHECK_STATUS(pyhost_builder_finish(builder, &value), PYHOST_OK);
    pyhost_builder_value(builder, value);
    pyhost_value *total = runtime_call("arithmetic.total", builder);
    pyhost_reader reader = pyhost_reader_make(total);
    CHECK_STATUS(pyhost_reader_float(&reader, &sum), PYHOST_OK);
    CHECK(sum == 21.0);
    pyhost_value_unref(total);
    reader = pyhost_reader_make(value);
    CHECK_STATUS(pyhost_reader_buffer(&reader, &found), PYHOST_OK);
    CHECK(found.data == matrix && found.format == 'd' && found.dimensions == 2 && found.shape[1] == 3);
    CHECK_EQUAL(atomic_load(&released), 0);
    pyhost_value_unref(value);
    wait_released(&released, 1);
    CHECK_STATUS(pyhost_builder_buffer(builder, matrix, 7, 'd', NULL, 0, count_release, &released), PYHOST_MISUSED);
    wait_released(&released, 2);
    pyhost_builder_clear(builder);
    pyhost_builder_str(builder, "view", 4);
    value = runtime_call("arithmetic.view", builder);
    reader = pyhost_reader_make(value);
    CHECK_STATUS(pyhost_reader_buffer(&reader, &found), PYHOST_OK);
    CHECK(found.size_bytes == 4 && memcmp(found.data, "view", 4) == 0 && found.format == 'B');
    pyhost_value_unref(value);
    pyhost_builder_free(builder);
}

/* Each copy has the buffer from the first, and not from the copy before it: a chain would be freed recursively. */
static void copies_of_copies_keep_the_first_alone(void)
{
    static char memory[] = "mem";
    atomic_int released = 0;
    pyhost_value *value = NULL;
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_builder_buffer(builder, memory, 3, 'B', NULL, 0, count_release, &released);
    CHECK_STATUS(pyhost_builder_finish(builder, &value), PYHOST_OK);
    for (int i = 0; i < 500000; i++) {
        pyhost_value *before = value;
        pyhost_builder_value(builder, before);
        CHECK_STATUS(pyhost_builder_finish(builder, &value), PYHOST_OK);
        pyhost_value_unref(before);
    }
    CHECK_EQUAL(atomic_load(&released), 0);
    pyhost_value_unref(value);
    CHECK_EQUAL(atomic_load(&released), 1);
    pyhost_builder_free(builder);
}

static void pickles_are_passed_on(void)
{
    const void *bytes = NULL;
    size_t size = 0;
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_value *value = runtime_call("arithmetic.strange", NULL), *copy = NULL;
    pyhost_reader reader = pyhost_reader_make(value);
    CHECK_EQUAL(pyhost_reader_kind(&reader), PYHOST_KIND_PICKLE);
    CHECK_STATUS(pyhost_reader_value(&reader, &copy), PYHOST_OK);
    CHECK_EQUAL(pyhost_reader_kind(&reader), PYHOST_KIND_END);
    reader = pyhost_reader_make(copy);
    CHECK_STATUS(pyhost_reader_pickle(&reader, &bytes, &size), PYHOST_OK);
    CHECK(size > 0);
    pyhost_builder_value(builder, copy);
    check_kind(builder, "builtins.complex (1+2j)");
    pyhost_value *again = pyhost_value_ref(copy);
    pyhost_value_unref(copy);
    pyhost_value_unref(again);
    pyhost_value_unref(value);
    pyhost_builder_free(builder);
}

static void misuse_is_said(void)
{
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_value *value = NULL;
    pyhost_date date = {.year = 2023, .month = 2, .day = 29};
    CHECK_STATUS(pyhost_builder_close(builder), PYHOST_MISUSED);
    CHECK_STATUS(pyhost_builder_int(builder, 1), PYHOST_MISUSED);
    CHECK_STATUS(pyhost_builder_finish(builder, &value), PYHOST_MISUSED);
    CHECK_STATUS(pyhost_builder_finish(builder, &value), PYHOST_MISUSED);
    CHECK_STATUS(pyhost_builder_date(builder, &date), PYHOST_OUT_OF_RANGE);
    pyhost_builder_clear(builder);
    CHECK_STATUS(pyhost_builder_open(builder, PYHOST_KIND_STR), PYHOST_MISUSED);
    pyhost_builder_clear(builder);
    pyhost_builder_open(builder, PYHOST_KIND_DICT);
    pyhost_builder_int(builder, 1);
    CHECK_STATUS(pyhost_builder_close(builder), PYHOST_MISUSED);
    pyhost_builder_clear(builder);
    pyhost_builder_keyword(builder, "name");
    CHECK_STATUS(pyhost_builder_keyword(builder, "name"), PYHOST_MISUSED);
    pyhost_builder_clear(builder);
    pyhost_builder_keyword(builder, "name");
    pyhost_builder_int(builder, 1);
    CHECK_STATUS(pyhost_builder_int(builder, 1), PYHOST_MISUSED);
    pyhost_builder_clear(builder);
    for (int i = 0; i < 500; i++) {
        CHECK_STATUS(pyhost_builder_open(builder, PYHOST_KIND_LIST), PYHOST_OK);
    }
    CHECK_STATUS(pyhost_builder_open(builder, PYHOST_KIND_LIST), PYHOST_MISUSED);
    pyhost_builder_free(builder);
    CHECK_STRING(pyhost_kind_name(PYHOST_KIND_BUFFER), "memoryview");
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(simple_values_arrive),  CHECK_TEST(times_arrive),
        CHECK_TEST(containers_arrive),     CHECK_TEST(what_was_sent_is_read),
        CHECK_TEST(times_are_read),        CHECK_TEST(buffers_are_shared),
        CHECK_TEST(pickles_are_passed_on), CHECK_TEST(copies_of_copies_keep_the_first_alone),
        CHECK_TEST(misuse_is_said),
    };
    runtime_begin();
    return runtime_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
