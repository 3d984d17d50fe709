/* check: what a test program needs, and no more.
 *
 * A program is a table of named tests: `test_noun` runs them all, `test_noun NAME ...` those named. A check that fails
 * prints where and what it found, and ends the program with exit code 1 at once, whatever other threads do. */
#ifndef PYH_CHECK_H
#define PYH_CHECK_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pyhost.h"

static const char *check_running = "";

__attribute__((noreturn, format(printf, 3, 4))) static inline void check_failed(const char *file, int line,
                                                                                const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "%s:%d: in %s: ", file, line, check_running);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(1);
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            check_failed(__FILE__, __LINE__, "false: %s", #condition);                                                 \
        }                                                                                                              \
    } while (0)

/* Two integers. */
#define CHECK_EQUAL(found, expected)                                                                                   \
    do {                                                                                                               \
        long long check_found = (long long)(found), check_expected = (long long)(expected);                            \
        if (check_found != check_expected) {                                                                           \
            check_failed(__FILE__, __LINE__, "%s is %lld, expected %lld", #found, check_found, check_expected);        \
        }                                                                                                              \
    } while (0)

#define CHECK_STATUS(found, expected)                                                                                  \
    do {                                                                                                               \
        pyhost_status check_found = (found), check_expected = (expected);                                              \
        if (check_found != check_expected) {                                                                           \
            check_failed(__FILE__, __LINE__, "%s is %s, expected %s", #found, pyhost_status_name(check_found),         \
                         pyhost_status_name(check_expected));                                                          \
        }                                                                                                              \
    } while (0)

#define CHECK_STRING(found, expected)                                                                                  \
    do {                                                                                                               \
        const char *check_found = (found), *check_expected = (expected);                                               \
        if (strcmp(check_found, check_expected) != 0) {                                                                \
            check_failed(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #found, check_found, check_expected);    \
        }                                                                                                              \
    } while (0)

typedef struct check_test {
    const char *name;
    void (*run)(void);
} check_test;

#define CHECK_TEST(name)                                                                                               \
    {                                                                                                                  \
#name, name                                                                                                    \
    }
#define CHECK_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline void check_run(const check_test *test)
{
    check_running = test->name;
    test->run();
    printf("ok %s\n", test->name);
    fflush(stdout);
}

/* Runs the tests that the arguments name, or all; the exit code. */
static inline int check_main(const check_test *tests, size_t count, int argc, char **argv)
{
    int named = 0;
    for (size_t i = 0; i < count; i++) {
        int wanted = argc < 2;
        for (int j = 1; j < argc; j++) {
            if (strcmp(argv[j], tests[i].name) == 0) {
                wanted = 1;
                named++;
            }
        }
        if (wanted) {
            check_run(&tests[i]);
        }
    }
    if (named < argc - 1) {
        fprintf(stderr, "%s: no test of that name\n", argv[0]);
        return 2;
    }
    return 0;
}

#endif
