/* Tests of lines: when a line becomes a record, what is one record, and what is kept apart. */
#include "lines.h"

#include <stdlib.h>

#include "threads.h"

enum { WRITERS = 4, LINES_EACH = 200 };

static pyh_log *log_of_test;
static pyh_log_source *first, *second;

static void begin(void)
{
    log_of_test = pyh_log_new();
    pyh_log_open(log_of_test, 20);
    first = pyh_log_source_new(log_of_test, 1);
    second = pyh_log_source_new(log_of_test, 2);
}

static void end(void)
{
    pyh_log_record *record;
    CHECK_EQUAL(pyh_lines_begun, 0);
    CHECK_STATUS(pyh_log_take(log_of_test, 0, 1, &record), PYHOST_TIMEOUT);
    pyh_log_source_unref(first);
    pyh_log_source_unref(second);
    pyh_log_close(log_of_test);
    pyh_log_unref(log_of_test);
}

static void write_in_call(uint64_t call, pyh_stream stream, const char *text)
{
    pyh_lines_write(first, call, stream, text, strlen(text));
}

static void write_out(const char *text)
{
    write_in_call(0, PYH_STDOUT, text);
}

static void write_error(const char *text)
{
    write_in_call(0, PYH_STDERR, text);
}

/* The next record: its text, and the call that it is of. */
static void check_next_of(uint64_t call, const char *text)
{
    pyh_log_record *record;
    CHECK_STATUS(pyh_log_take(log_of_test, 0, 1, &record), PYHOST_OK);
    if (record->text_size != strlen(text) ||
        memcmp(record->bytes + record->logger_size, text, record->text_size) != 0) {
        check_failed(__FILE__, __LINE__, "found '%.*s', expected '%s'", (int)record->text_size,
                     record->bytes + record->logger_size, text);
    }
    CHECK_EQUAL(record->call, call);
    pyh_log_record_free(record);
}

static void check_next(const char *text)
{
    check_next_of(0, text);
}

static void check_none(void)
{
    pyh_log_record *record;
    CHECK_STATUS(pyh_log_take(log_of_test, 0, 1, &record), PYHOST_TIMEOUT);
}

static void a_line_is_a_record_when_it_ends(void)
{
    begin();
    write_out("one\ntwo\n\nthr");
    check_next("one");
    check_next("two");
    check_next("");
    check_none();
    write_out("ee");
    check_none();
    write_out("\n");
    check_next("three");
    write_out("");
    end();
}

static void streams_have_names_and_levels(void)
{
    static const struct {
        pyh_stream stream;
        const char *logger;
        int level;
    } expected[] = {{PYH_STDOUT, "stdout", 20}, {PYH_STDERR, "stderr", 30}};
    begin();
    for (size_t i = 0; i < CHECK_COUNT(expected); i++) {
        pyh_log_record *record;
        write_in_call(5, expected[i].stream, "x\n");
        CHECK_STATUS(pyh_log_take(log_of_test, 0, 1, &record), PYHOST_OK);
        CHECK_EQUAL(record->level, expected[i].level);
        CHECK_EQUAL(record->logger_size, strlen(expected[i].logger));
        CHECK(memcmp(record->bytes, expected[i].logger, record->logger_size) == 0);
        CHECK_EQUAL(record->call, 5);
        pyh_log_record_free(record);
    }
    end();
}

static void flushing_ends_the_line(void)
{
    begin();
    pyh_lines_flush(PYH_STDOUT);
    write_out("out");
    write_error("error");
    CHECK_EQUAL(pyh_lines_begun, 2);
    pyh_lines_flush(PYH_STDOUT);
    check_next("out");
    check_none();
    pyh_lines_end(second);
    check_none();
    pyh_lines_end(first);
    check_next("error");
    end();
}

static void calls_and_interpreters_are_kept_apart(void)
{
    begin();
    write_in_call(1, PYH_STDOUT, "of one");
    write_in_call(2, PYH_STDOUT, "of two");
    check_next_of(1, "of one");
    pyh_lines_write(second, 2, PYH_STDOUT, "elsewhere\n", 10);
    check_next_of(2, "of two");
    check_next_of(2, "elsewhere");
    end();
}

static void tracebacks_are_one_record(void)
{
    begin();
    write_error("Traceback (most recent call last):\n");
    write_error("  File \"a.py\", line 1, in f\n    1 / 0\n");
    check_none();
    write_error("ZeroDivisionError: division by zero\nand on\n");
    check_next("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    1 / 0\n"
               "ZeroDivisionError: division by zero");
    check_next("and on");
    write_error("Traceback (most recent call last):\n");
    pyh_lines_end(first);
    check_next("Traceback (most recent call last):\n");
    write_out("Traceback (most recent call last):\n");
    check_next("Traceback (most recent call last):");
    end();
}

static void indented_lines_belong_to_the_one_they_come_with(void)
{
    begin();
    write_error("a.py:1: UserWarning: careful\n  warn()\n");
    check_next("a.py:1: UserWarning: careful\n  warn()");
    write_error("  by itself\n");
    check_next("  by itself");
    write_out("one\n  two\n");
    check_next("one");
    check_next("  two");
    end();
}

static void endless_lines_are_cut(void)
{
    enum { CHUNK = 1000, CHUNKS = 200 };
    char chunk[CHUNK];
    pyh_log_record *record;
    begin();
    memset(chunk, 'x', sizeof chunk);
    for (size_t i = 0; i < CHUNKS; i++) {
        pyh_lines_write(first, 0, PYH_STDERR, chunk, sizeof chunk);
    }
    write_error("\n  not joined\n");
    CHECK_STATUS(pyh_log_take(log_of_test, 0, 1, &record), PYHOST_OK);
    CHECK_EQUAL(record->text_size, PYH_LOG_TEXT_LIMIT);
    CHECK_EQUAL(record->left_out, CHUNK * CHUNKS - PYH_LOG_TEXT_LIMIT);
    pyh_log_record_free(record);
    check_next("  not joined");
    write_out("short again\n");
    check_next("short again");
    end();
}

static void write_lines(size_t index, void *unused)
{
    char letter = (char)('a' + index);
    (void)unused;
    for (int i = 0; i < LINES_EACH; i++) {
        pyh_lines_write(first, 0, PYH_STDOUT, &letter, 1);
        sched_yield();
        pyh_lines_write(first, 0, PYH_STDOUT, &letter, 1);
        pyh_lines_write(first, 0, PYH_STDOUT, "\n", 1);
    }
    pyh_lines_write(first, 0, PYH_STDOUT, &letter, 1); /* ends with the thread */
}

static void threads_do_not_mix_and_end_their_lines(void)
{
    size_t whole = 0, begun = 0;
    pyh_log_record *record;
    begin();
    threads_run(WRITERS, write_lines, NULL);
    while (pyh_log_take(log_of_test, 0, 1, &record) == PYHOST_OK) {
        const char *text = record->bytes + record->logger_size;
        CHECK(record->text_size == 1 || (record->text_size == 2 && text[0] == text[1]));
        whole += record->text_size == 2;
        begun += record->text_size == 1;
        pyh_log_record_free(record);
    }
    CHECK_EQUAL(whole, WRITERS * LINES_EACH);
    CHECK_EQUAL(begun, WRITERS);
    end();
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(a_line_is_a_record_when_it_ends), CHECK_TEST(streams_have_names_and_levels),
        CHECK_TEST(flushing_ends_the_line),          CHECK_TEST(calls_and_interpreters_are_kept_apart),
        CHECK_TEST(tracebacks_are_one_record),       CHECK_TEST(indented_lines_belong_to_the_one_they_come_with),
        CHECK_TEST(endless_lines_are_cut),           CHECK_TEST(threads_do_not_mix_and_end_their_lines),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
