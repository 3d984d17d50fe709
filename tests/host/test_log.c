/* Tests of log: order, what is cut, what is lost and told, whose records they are, and that many threads' arrive. */
#include "log.h"

#include <stdlib.h>

#include "threads.h"

enum { WRITERS = 4, RECORDS_EACH = 5000 };

static pyh_log *open_log(void)
{
    pyh_log *log = pyh_log_new();
    CHECK(log != NULL);
    pyh_log_open(log, 20);
    return log;
}

static void end_log(pyh_log *log)
{
    pyh_log_close(log);
    pyh_log_clear(log);
    pyh_log_unref(log);
}

static pyh_log_source *new_source(pyh_log *log, uint64_t id)
{
    pyh_log_source *source = pyh_log_source_new(log, id);
    CHECK(source != NULL);
    return source;
}

static void add_bytes(pyh_log_source *source, const char *text, size_t size)
{
    pyh_log_entry entry = {
        .call = 7, .level = 30, .logger = "app.db", .logger_size = 6, .text = text, .text_size = size};
    pyh_log_add(source, &entry);
}

static void add(pyh_log_source *source, const char *text)
{
    add_bytes(source, text, strlen(text));
}

static pyh_log_record *take_one(pyh_log *log)
{
    pyh_log_record *record = NULL;
    CHECK_STATUS(pyh_log_take(log, 0, 1, &record), PYHOST_OK);
    CHECK(record->next == NULL);
    return record;
}

static void check_text(const pyh_log_record *record, const char *text)
{
    CHECK_EQUAL(record->text_size, strlen(text));
    CHECK(memcmp(record->bytes + record->logger_size, text, record->text_size) == 0);
}

static void check_nothing(pyh_log *log, pyhost_status expected)
{
    pyh_log_record *record;
    CHECK_STATUS(pyh_log_take(log, 0, 1, &record), expected);
}

static void records_say_what_was_added(void)
{
    pyh_log *log = open_log();
    pyh_log_source *source = new_source(log, 3);
    add(source, "text");
    pyh_log_record *record = take_one(log);
    check_text(record, "text");
    CHECK_EQUAL(record->logger_size, 6);
    CHECK(memcmp(record->bytes, "app.db", 6) == 0);
    CHECK_EQUAL(record->source->id, 3);
    CHECK_EQUAL(record->call, 7);
    CHECK_EQUAL(record->level, 30);
    CHECK_EQUAL(record->left_out, 0);
    CHECK_EQUAL(record->lost, 0);
    CHECK(record->time_ns > 0);
    CHECK(pyh_log_record_free(record) == NULL);
    pyh_log_source_unref(source);
    end_log(log);
}

static void they_come_in_order_and_as_many_as_are_wanted(void)
{
    pyh_log *log = open_log();
    pyh_log_source *source = new_source(log, 1);
    add(source, "a");
    add(source, "b");
    add(source, "c");
    pyh_log_record *record;
    CHECK_STATUS(pyh_log_take(log, 0, 2, &record), PYHOST_OK);
    check_text(record, "a");
    check_text(record->next, "b");
    CHECK(record->next->next == NULL);
    CHECK(pyh_log_record_free(pyh_log_record_free(record)) == NULL);
    record = take_one(log);
    check_text(record, "c");
    pyh_log_record_free(record);
    check_nothing(log, PYHOST_TIMEOUT);
    pyh_log_source_unref(source);
    end_log(log);
}

static void long_texts_are_cut_at_a_character(void)
{
    enum { SIZE = PYH_LOG_TEXT_LIMIT + 10 };
    pyh_log *log = open_log();
    pyh_log_source *source = new_source(log, 1);
    char *text = malloc(SIZE);
    memset(text, 'x', SIZE);
    add_bytes(source, text, PYH_LOG_TEXT_LIMIT);
    memcpy(text + PYH_LOG_TEXT_LIMIT - 1, "\xE2\x82\xAC", 3); /* a euro sign across the limit */
    add_bytes(source, text, SIZE);
    memset(text, 0x80, SIZE); /* not UTF-8 at all */
    add_bytes(source, text, SIZE);
    static const size_t kept[] = {PYH_LOG_TEXT_LIMIT, PYH_LOG_TEXT_LIMIT - 1, PYH_LOG_TEXT_LIMIT - 4};
    static const size_t left_out[] = {0, 11, 14};
    for (size_t i = 0; i < CHECK_COUNT(kept); i++) {
        pyh_log_record *record = take_one(log);
        CHECK_EQUAL(record->text_size, kept[i]);
        CHECK_EQUAL(record->left_out, left_out[i]);
        pyh_log_record_free(record);
    }
    free(text);
    pyh_log_source_unref(source);
    end_log(log);
}

/* Fills what the source may have waiting; how many records that took. */
static size_t fill(pyh_log_source *source)
{
    size_t count = 0;
    add(source, "the first");
    while (source->newest->lost == 0) {
        add(source, "as long as this, and often");
        count++;
    }
    return count; /* with the first, and without the one that was lost */
}

static void a_flood_loses_its_own_records_and_is_told(void)
{
    pyh_log *log = open_log();
    pyh_log_source *flooding = new_source(log, 1), *quiet = new_source(log, 2);
    size_t count = fill(flooding);
    CHECK(count > 1000);
    CHECK(flooding->waiting_bytes <= PYH_LOG_WAITING_LIMIT);
    add(flooding, "lost, too");
    add(quiet, "heard");
    for (size_t i = 0; i < count; i++) {
        pyh_log_record *record = take_one(log);
        CHECK_EQUAL(record->lost, i + 1 < count ? 0 : 2);
        pyh_log_record_free(record);
    }
    pyh_log_record *record = take_one(log);
    check_text(record, "heard");
    pyh_log_record_free(record);
    CHECK_EQUAL(flooding->waiting_bytes, 0);
    add(flooding, "heard again");
    record = take_one(log);
    CHECK_EQUAL(record->lost, 0);
    pyh_log_record_free(record);
    pyh_log_source_unref(flooding);
    pyh_log_source_unref(quiet);
    end_log(log);
}

static void logs_that_are_not_open_take_nothing(void)
{
    pyh_log *log = pyh_log_new();
    pyh_log_source *source = new_source(log, 1);
    CHECK(!pyh_log_is_open(log));
    add(source, "too early");
    check_nothing(log, PYHOST_CLOSED);
    pyh_log_open(log, 10);
    CHECK(pyh_log_is_open(log));
    CHECK_EQUAL(log->level, 10);
    check_nothing(log, PYHOST_TIMEOUT);
    add(source, "in time");
    pyh_log_close(log);
    pyh_log_close(log);
    add(source, "too late");
    pyh_log_record *record = take_one(log);
    check_text(record, "in time");
    CHECK_EQUAL(record->lost, 1);
    pyh_log_record_free(record);
    check_nothing(log, PYHOST_CLOSED);
    pyh_log_open(log, 20);
    check_nothing(log, PYHOST_TIMEOUT);
    pyh_log_source_unref(source);
    end_log(log);
}

static void waiting_for_records_times_out(void)
{
    pyh_log *log = open_log();
    pyh_log_record *record;
    int64_t deadline_ns = pyh_deadline_after(1000000);
    CHECK_STATUS(pyh_log_take(log, deadline_ns, 1, &record), PYHOST_TIMEOUT);
    CHECK(pyh_now_ns() >= deadline_ns);
    end_log(log);
}

static void sources_are_named_once(void)
{
    pyh_log *log = open_log();
    pyh_log_source *source = new_source(log, 1);
    const char *plugin, *version;
    pyh_log_source_names(source, &plugin, &version);
    CHECK(strcmp(plugin, "") == 0 && strcmp(version, "") == 0);
    CHECK_STATUS(pyh_log_source_name(source, "notes", "1.2"), PYHOST_OK);
    CHECK_STATUS(pyh_log_source_name(source, "other", "3"), PYHOST_OK);
    pyh_log_source_names(source, &plugin, &version);
    CHECK(strcmp(plugin, "notes") == 0 && strcmp(version, "1.2") == 0);
    pyh_log_source_unref(source);
    end_log(log);
}

/* The interpreter has ended and its router is gone, while a reader still holds a record. */
static void a_record_outlives_its_source_and_its_log(void)
{
    pyh_log *log = open_log();
    pyh_log_source *source = new_source(log, 9);
    pyh_log_source_name(source, "notes", "1");
    add(source, "the last word");
    pyh_log_source_unref(source);
    pyh_log_record *record = take_one(log);
    end_log(log);
    const char *plugin, *version;
    pyh_log_source_names(record->source, &plugin, &version);
    CHECK(strcmp(plugin, "notes") == 0);
    CHECK_EQUAL(record->source->id, 9);
    pyh_log_record_free(record);
}

typedef struct {
    pyh_log *log;
    atomic_uint writers_left;
    uint64_t seen[WRITERS];
    uint64_t lost[WRITERS];
} traffic;

static void write_records(traffic *self, size_t writer)
{
    pyh_log_source *source = new_source(self->log, writer);
    pyh_log_source_name(source, "writer", "1");
    for (uint64_t i = 0; i < RECORDS_EACH; i++) {
        add_bytes(source, (const char *)&i, sizeof i);
    }
    pyh_log_source_unref(source);
    if (atomic_fetch_sub(&self->writers_left, 1) == 1) {
        pyh_log_close(self->log);
    }
}

/* Each writer's records come in order, and with what is told to be lost none is missing. */
static void read_records(traffic *self)
{
    pyh_log_record *record;
    while (pyh_log_take(self->log, PYH_NEVER, 16, &record) == PYHOST_OK) {
        for (; record != NULL; record = pyh_log_record_free(record)) {
            uint64_t number, writer = record->source->id;
            memcpy(&number, record->bytes + record->logger_size, sizeof number);
            CHECK_EQUAL(number, self->seen[writer] + self->lost[writer]);
            self->seen[writer]++;
            self->lost[writer] += record->lost;
        }
    }
}

static void write_or_read(size_t index, void *shared)
{
    if (index < WRITERS) {
        write_records(shared, index);
    } else {
        read_records(shared);
    }
}

static void every_record_arrives_or_is_counted_as_lost(void)
{
    static traffic shared = {.writers_left = WRITERS};
    shared.log = open_log();
    threads_run(WRITERS + 1, write_or_read, &shared);
    for (size_t i = 0; i < WRITERS; i++) {
        CHECK_EQUAL(shared.seen[i] + shared.lost[i], RECORDS_EACH);
    }
    end_log(shared.log);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(records_say_what_was_added),
        CHECK_TEST(they_come_in_order_and_as_many_as_are_wanted),
        CHECK_TEST(long_texts_are_cut_at_a_character),
        CHECK_TEST(a_flood_loses_its_own_records_and_is_told),
        CHECK_TEST(logs_that_are_not_open_take_nothing),
        CHECK_TEST(waiting_for_records_times_out),
        CHECK_TEST(sources_are_named_once),
        CHECK_TEST(a_record_outlives_its_source_and_its_log),
        CHECK_TEST(every_record_arrives_or_is_counted_as_lost),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
