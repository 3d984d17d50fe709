/* Tests of a runtime that does not start, and of what it logs; each in an order, as a process starts Python once. */
#include "program.h"

#include <stdatomic.h>

static atomic_int logged;

static void count_log(void *context, int level, const char *logger, const char *message)
{
    CHECK(context == &logged);
    CHECK(level >= 10 && logger != NULL && message != NULL);
    atomic_fetch_add(&logged, 1);
}

static void check_refused(const pyhost_runtime_options *options, pyhost_status expected, const char *part)
{
    pyhost_error *error = NULL;
    pyhost_runtime *none = NULL;
    CHECK_STATUS(pyhost_runtime_start(options, &none, &error), expected);
    CHECK(none == NULL);
    if (strstr(pyhost_error_message(error), part) == NULL) {
        check_failed(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", pyhost_error_message(error), part);
    }
    pyhost_error_free(error);
}

static void what_keeps_python_from_starting_is_said(void)
{
    char *python = strdup(getenv("PYHOST_PYTHON"));
    pyhost_runtime_options options = {.size = sizeof options, .log = count_log, .log_context = &logged};
    unsetenv("PYHOST_PYTHON");
    check_refused(NULL, PYHOST_NOT_STARTED, "no Python is named");
    options.python = "/absent/python";
    check_refused(&options, PYHOST_NOT_STARTED, "/absent/python is not a program");
    options.python = python;
    options.plugins = "/absent/plugins";
    check_refused(&options, PYHOST_NOT_STARTED, "/absent/plugins does not exist");
    check_refused(&options, PYHOST_STARTED_BEFORE, "only once");
    free(python);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(what_keeps_python_from_starting_is_said),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
