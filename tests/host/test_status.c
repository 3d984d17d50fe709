/* Tests of status: names, messages, and that codes are stable and all different. */
#include "check.h"

typedef struct {
    pyhost_status status;
    int code;
    const char *name;
} row;

/* Written out once more on purpose: a code that changes breaks programs that were compiled before. */
static const row rows[] = {
    {PYHOST_OK, 0, "OK"},
    {PYHOST_FULL, 1, "FULL"},
    {PYHOST_CLOSED, 2, "CLOSED"},
    {PYHOST_TIMEOUT, 3, "TIMEOUT"},
    {PYHOST_CANCELLED, 4, "CANCELLED"},
    {PYHOST_INTERRUPTED, 5, "INTERRUPTED"},
    {PYHOST_NO_PLUGIN, 6, "NO_PLUGIN"},
    {PYHOST_NO_FUNCTION, 7, "NO_FUNCTION"},
    {PYHOST_UNAVAILABLE, 8, "UNAVAILABLE"},
    {PYHOST_RAISED, 9, "RAISED"},
    {PYHOST_BAD_ARGUMENTS, 10, "BAD_ARGUMENTS"},
    {PYHOST_BAD_RESULT, 11, "BAD_RESULT"},
    {PYHOST_UNENCODABLE, 12, "UNENCODABLE"},
    {PYHOST_MALFORMED, 13, "MALFORMED"},
    {PYHOST_REENTRANT, 14, "REENTRANT"},
    {PYHOST_NO_MEMORY, 15, "NO_MEMORY"},
    {PYHOST_SYSTEM, 16, "SYSTEM"},
    {PYHOST_OVER_LIMIT, 17, "OVER_LIMIT"},
    {PYHOST_MISUSED, 18, "MISUSED"},
    {PYHOST_WRONG_KIND, 19, "WRONG_KIND"},
    {PYHOST_OUT_OF_RANGE, 20, "OUT_OF_RANGE"},
    {PYHOST_NOT_LOADED, 21, "NOT_LOADED"},
    {PYHOST_NOT_STARTED, 22, "NOT_STARTED"},
    {PYHOST_STARTED_BEFORE, 23, "STARTED_BEFORE"},
    {PYHOST_UNFINISHED, 24, "UNFINISHED"},
};

static void codes_and_names_are_stable(void)
{
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        CHECK_EQUAL(rows[i].status, rows[i].code);
        CHECK_STRING(pyhost_status_name(rows[i].status), rows[i].name);
    }
}

static void every_status_is_in_the_table(void)
{
    size_t count = 0;
#define COUNT(name, value, message) count++;
    PYHOST_STATUS_MAP(COUNT)
#undef COUNT
    CHECK_EQUAL(count, CHECK_COUNT(rows));
}

static void messages_are_there_and_differ(void)
{
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        const char *message = pyhost_status_message(rows[i].status);
        CHECK(strlen(message) > 0);
        for (size_t j = 0; j < i; j++) {
            CHECK(strcmp(message, pyhost_status_message(rows[j].status)) != 0);
        }
    }
}

static void values_that_are_no_status_are_unknown(void)
{
    const int values[] = {-1, (int)CHECK_COUNT(rows), 1000000};
    for (size_t i = 0; i < CHECK_COUNT(values); i++) {
        CHECK_STRING(pyhost_status_name((pyhost_status)values[i]), "UNKNOWN");
        CHECK_STRING(pyhost_status_message((pyhost_status)values[i]), "unknown status");
    }
}

static void version_is_the_header_s(void)
{
    CHECK_STRING(pyhost_version(), PYHOST_VERSION);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(codes_and_names_are_stable),    CHECK_TEST(every_status_is_in_the_table),
        CHECK_TEST(messages_are_there_and_differ), CHECK_TEST(values_that_are_no_status_are_unknown),
        CHECK_TEST(version_is_the_header_s),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
