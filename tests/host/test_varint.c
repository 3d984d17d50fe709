/* Tests of message's varints: LEB128 of 64 bits, and what is none. */
#include "check.h"
#include "message.h"

static void check_varint(uint64_t value)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    uint64_t found = ~value;
    pyh_writer_varint(&writer, value);
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    pyh_reader reader = pyh_reader_make(message);
    CHECK_STATUS(pyh_reader_varint(&reader, &found), PYHOST_OK);
    CHECK_EQUAL(found, value);
    CHECK_EQUAL(pyh_reader_left(&reader), 0);
    pyh_message_unref(message);
}

static void varints_round_trip(void)
{
    check_varint(0);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t power = (uint64_t)1 << bit;
        check_varint(power);
        check_varint(power - 1);
        check_varint(power | 1);
    }
    check_varint(UINT64_MAX);
}

typedef struct {
    const char *bytes;
    size_t size;
    pyhost_status status;
    uint64_t value;
} varint_row;

#define TEN_BYTES(last) "\xff\xff\xff\xff\xff\xff\xff\xff\xff" last

static void varints_are_leb128(void)
{
    static const varint_row rows[] = {
        {"\x00", 1, PYHOST_OK, 0},
        {"\x7f", 1, PYHOST_OK, 127},
        {"\x80\x01", 2, PYHOST_OK, 128},
        {"\xac\x02", 2, PYHOST_OK, 300},
        {"\x80\x00", 2, PYHOST_OK, 0}, /* longer than it need be, and no harm */
        {TEN_BYTES("\x01"), 10, PYHOST_OK, UINT64_MAX},
        {"", 0, PYHOST_MALFORMED, 0},
        {"\x80", 1, PYHOST_MALFORMED, 0},
        {"\xff\xff\xff", 3, PYHOST_MALFORMED, 0},
        {TEN_BYTES("\x02"), 10, PYHOST_MALFORMED, 0},
        {TEN_BYTES("\x7f"), 10, PYHOST_MALFORMED, 0},
        {TEN_BYTES("\x80\x00"), 11, PYHOST_MALFORMED, 0},
        {TEN_BYTES("\x81\x00"), 11, PYHOST_MALFORMED, 0},
    };
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        pyh_writer writer = {0};
        pyh_message *message = NULL;
        uint64_t value = 0;
        pyh_writer_bytes(&writer, rows[i].bytes, rows[i].size);
        CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
        pyh_reader reader = pyh_reader_make(message);
        CHECK_STATUS(pyh_reader_varint(&reader, &value), rows[i].status);
        CHECK_EQUAL(value, rows[i].value);
        pyh_message_unref(message);
    }
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(varints_round_trip),
        CHECK_TEST(varints_are_leb128),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
