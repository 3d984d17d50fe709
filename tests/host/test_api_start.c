/* Tests of a runtime that does not start, and of what it logs; each in an order, as a process starts Python once. */
#include "program.h"

#include <locale.h>
#include <stdatomic.h>
#include <unistd.h>

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

/* What the program has read ahead from its standard input is still there, and its locale is as it was: both are what the
 * environment asks Python to change. By now the only start of this process has been made. */
static void streams_and_locale_are_the_program_s(void)
{
    CHECK_STRING(setlocale(LC_ALL, NULL), "C");
    CHECK_EQUAL(getchar(), '2');
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(what_keeps_python_from_starting_is_said),
        CHECK_TEST(streams_and_locale_are_the_program_s),
    };
    int ends[2];
    CHECK(pipe(ends) == 0 && write(ends[1], "12", 2) == 2 && dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    CHECK_EQUAL(getchar(), '1');
    setenv("PYTHONUNBUFFERED", "1", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
