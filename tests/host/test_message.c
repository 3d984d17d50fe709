/* Tests of message: the writer and its limits, the reader, and references (varints: test_varint.c). */
#include "message.h"

#include <stdlib.h>

#include "threads.h"

enum { LARGE = 100000, SHARERS = 4, ROUNDS = 2000 };

static pyh_message *message_of(const void *bytes, size_t size)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    pyh_writer_bytes(&writer, bytes, size);
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    return message;
}

static void check_empty(const pyh_writer *writer)
{
    CHECK(writer->message == NULL);
    CHECK_STATUS(writer->status, PYHOST_OK);
}

static void nothing_written_is_an_empty_message(void)
{
    pyh_message *message = message_of(NULL, 0);
    CHECK_EQUAL(message->size, 0);
    CHECK_EQUAL(message->buffer_count, 0);
    CHECK_EQUAL(message->references, 1);
    CHECK(pyh_message_unref(message) == NULL);
    CHECK(pyh_message_unref(NULL) == NULL);
}

static void writer_grows_and_keeps_what_was_written(void)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    for (size_t i = 0; i < LARGE; i++) {
        pyh_writer_byte(&writer, (unsigned char)(i % 251));
    }
    unsigned char *room = pyh_writer_reserve(&writer, LARGE);
    CHECK(room != NULL);
    memset(room, 'r', LARGE);
    pyh_writer_bytes(&writer, "end", 3);
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    check_empty(&writer);
    CHECK_EQUAL(message->size, 2 * LARGE + 3);
    for (size_t i = 0; i < LARGE; i++) {
        CHECK_EQUAL(message->payload[i], i % 251);
        CHECK_EQUAL(message->payload[LARGE + i], 'r');
    }
    CHECK(memcmp(message->payload + 2 * (size_t)LARGE, "end", 3) == 0);
    pyh_message_unref(message);
}

static void buffers_are_copies_in_order(void)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    char data[] = "first";
    pyh_writer_buffer(&writer, data, 5);
    data[0] = 'x';
    pyh_writer_buffer(&writer, NULL, 0);
    pyh_writer_buffer(&writer, data, 1);
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    CHECK_EQUAL(message->size, 0);
    CHECK_EQUAL(message->buffer_count, 3);
    CHECK_EQUAL(message->buffers[0].size, 5);
    CHECK(memcmp(message->buffers[0].data, "first", 5) == 0);
    CHECK_EQUAL(message->buffers[1].size, 0);
    CHECK(memcmp(message->buffers[2].data, "x", 1) == 0);
    pyh_message_unref(message);
}

/* A writer that has failed takes nothing, tells so at the end, and is empty then. */
static void check_sticks(pyh_writer *writer)
{
    pyh_message *message = NULL;
    CHECK_STATUS(writer->status, PYHOST_NO_MEMORY);
    CHECK(pyh_writer_reserve(writer, 1) == NULL);
    pyh_writer_byte(writer, 1);
    pyh_writer_bytes(writer, "ab", 2);
    pyh_writer_varint(writer, 300);
    pyh_writer_buffer(writer, "ab", 2);
    CHECK_STATUS(pyh_writer_finish(writer, &message), PYHOST_NO_MEMORY);
    CHECK(message == NULL);
    check_empty(writer);
}

static void limits_are_kept_and_the_first_failure_sticks(void)
{
    pyh_writer writer = {0};
    CHECK(pyh_writer_reserve(&writer, PYH_MESSAGE_LIMIT + 1) == NULL);
    check_sticks(&writer);
    CHECK(pyh_writer_reserve(&writer, 1) != NULL);
    CHECK(pyh_writer_reserve(&writer, PYH_MESSAGE_LIMIT) == NULL);
    check_sticks(&writer);
    CHECK(pyh_writer_reserve(&writer, 1) != NULL);
    CHECK(pyh_writer_reserve(&writer, SIZE_MAX) == NULL);
    check_sticks(&writer);
    pyh_writer_buffer(&writer, "kept", 4);
    pyh_writer_buffer(&writer, NULL, PYH_MESSAGE_LIMIT + 1);
    check_sticks(&writer);
}

static void discarded_writers_are_empty(void)
{
    pyh_writer writer = {0};
    pyh_writer_discard(&writer);
    check_empty(&writer);
    pyh_writer_bytes(&writer, "dropped", 7);
    pyh_writer_buffer(&writer, "dropped", 7);
    pyh_writer_discard(&writer);
    check_empty(&writer);
}

static void reader_never_passes_the_end(void)
{
    pyh_message *message = message_of("abcdef", 6);
    pyh_reader reader = pyh_reader_make(message);
    CHECK_EQUAL(pyh_reader_left(&reader), 6);
    CHECK(memcmp(pyh_reader_bytes(&reader, 4), "abcd", 4) == 0);
    CHECK(pyh_reader_bytes(&reader, 3) == NULL);
    CHECK(pyh_reader_bytes(&reader, SIZE_MAX) == NULL);
    CHECK_EQUAL(pyh_reader_left(&reader), 2);
    CHECK(memcmp(pyh_reader_bytes(&reader, 2), "ef", 2) == 0);
    CHECK(pyh_reader_bytes(&reader, 0) != NULL);
    CHECK(pyh_reader_bytes(&reader, 1) == NULL);
    pyh_message_unref(message);
}

static void share(size_t index, void *shared)
{
    pyh_message *message = shared;
    (void)index;
    for (int i = 0; i < ROUNDS; i++) {
        pyh_message_ref(message);
        CHECK_EQUAL(message->payload[0], 's');
        pyh_message_unref(message);
    }
    pyh_message_unref(message);
}

/* The last of the threads frees it, whichever that is: for the sanitizers to see. */
static void references_are_counted_across_threads(void)
{
    pyh_message *message = message_of("shared", 6);
    for (int i = 0; i < SHARERS; i++) {
        pyh_message_ref(message);
    }
    threads_run(SHARERS, share, message);
    CHECK_EQUAL(message->references, 1);
    for (int i = 1; i < SHARERS; i++) {
        pyh_message_ref(message);
    }
    threads_run(SHARERS, share, message);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(nothing_written_is_an_empty_message),   CHECK_TEST(writer_grows_and_keeps_what_was_written),
        CHECK_TEST(buffers_are_copies_in_order),           CHECK_TEST(limits_are_kept_and_the_first_failure_sticks),
        CHECK_TEST(discarded_writers_are_empty),           CHECK_TEST(reader_never_passes_the_end),
        CHECK_TEST(references_are_counted_across_threads),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
