/* Tests of a runtime that starts and stops without memory, threads or descriptors: it does not start, and can be
 * started again where nothing of Python has run; or it runs, and what it lacks can be had later. It always stops.
 *
 * A process starts Python once, so each failure has a process of its own: of the first four each, then every 53rd,
 * or with the argument "all" all of them. */
#include "shortage.h"

#include <sys/wait.h>

#include "program.h"

enum { LONGEST_SECONDS = 100, NONE_FAILED = 10, EACH_OF_THE_FIRST = 4, THEN_EVERY = 53 };

static const int64_t GRACE_NS = 1000000000;

static long step = THEN_EVERY;

/* Where no Python is named, and none is found. */
static pyhost_status a_python_is_looked_for(void)
{
    pyhost_error *error = NULL;
    pyhost_status status = pyhost_runtime_start(NULL, &runtime, &error);
    CHECK(runtime == NULL && error != NULL);
    CHECK_STATUS(pyhost_error_status(error), status);
    pyhost_error_free(error);
    return status == PYHOST_NOT_STARTED ? PYHOST_OK : status;
}

static pyhost_status start(pyhost_error **error)
{
    pyhost_runtime_options options = {
        .size = sizeof options,
        .plugins = getenv("PYHOST_TEST_PLUGINS"),
        .log = runtime_log,
        .log_context = &runtime_logged,
    };
    return pyhost_runtime_start(&options, &runtime, error);
}

/* A plugin that did not start says that it was memory or a thread, and starts when it is told to. */
static void check_runs(void)
{
    pyhost_error *error = NULL;
    pyhost_plugin_info info = {.size = sizeof info};
    pyhost_builder *arguments = pyhost_builder_new();
    RUNTIME_CHECK(pyhost_plugin_start(runtime, "arithmetic", &error));
    RUNTIME_CHECK(pyhost_plugin_read(runtime, "arithmetic", &info, &error));
    CHECK_STRING(info.state, "running");
    pyhost_plugin_info_clear(&info);
    pyhost_builder_int(arguments, 40);
    pyhost_builder_int(arguments, 2);
    CHECK_EQUAL(runtime_int(runtime_call("arithmetic.add", arguments)), 42);
    pyhost_builder_free(arguments);
}

/* In a process of its own. */
static void start_short(shortage_kind kind, long number, long count)
{
    pyhost_error *error = NULL;
    shortage_begin(kind, number, count);
    pyhost_status status = start(&error);
    long failed = shortage_end();
    if (status == PYHOST_NO_MEMORY || status == PYHOST_SYSTEM) {
        CHECK(failed > 0);
        CHECK_STATUS(pyhost_error_status(error), status);
        pyhost_error_free(error);
        error = NULL;
        status = start(&error);
    }
    if (status == PYHOST_NOT_STARTED && failed > 0) {
        pyhost_error_free(error);
    } else {
        RUNTIME_CHECK(status);
        check_runs();
        RUNTIME_CHECK(pyhost_runtime_stop(runtime, GRACE_NS, &error));
    }
    exit(failed > 0 ? 0 : NONE_FAILED);
}

static void stop_short(shortage_kind kind, long number, long count)
{
    pyhost_error *error = NULL;
    RUNTIME_CHECK(start(&error));
    shortage_begin(kind, number, count);
    RUNTIME_CHECK(pyhost_runtime_stop(runtime, GRACE_NS, &error));
    exit(shortage_end() > 0 ? 0 : NONE_FAILED);
}

/* Whether something has failed in it. */
static bool run_apart(void (*run)(shortage_kind, long, long), const char *name, shortage_kind kind, long number,
                      long count)
{
    int outcome;
    snprintf(shortage_place, sizeof shortage_place, "%s, where %s %ld and %ld more fail", name,
             kind == SHORTAGE_MEMORY ? "allocation" : "thread or descriptor", number, count - 1);
    check_running = shortage_place;
    pid_t child = fork();
    if (child == 0) {
        alarm(LONGEST_SECONDS); /* one that waits for ever fails */
        run(kind, number, count);
    }
    CHECK_EQUAL(waitpid(child, &outcome, 0), child);
    if (!WIFEXITED(outcome) || (WEXITSTATUS(outcome) != 0 && WEXITSTATUS(outcome) != NONE_FAILED)) {
        check_failed(__FILE__, __LINE__, "the process ended with %#x", (unsigned)outcome);
    }
    shortage_failures += WEXITSTATUS(outcome) == 0;
    return WEXITSTATUS(outcome) == 0;
}

/* Fails one after the other, up to the last. */
static void sweep_apart(void (*run)(shortage_kind, long, long), const char *name, shortage_kind kind)
{
    long number = 1;
    while (run_apart(run, name, kind, number, number % 2 == 0 ? 1 : SHORTAGE_MANY) &&
           (step > 1 || run_apart(run, name, kind, number, number % 2 == 0 ? SHORTAGE_MANY : 1))) {
        number += number < EACH_OF_THE_FIRST ? 1 : step;
    }
    printf("ok %s: up to %s %ld\n", name, kind == SHORTAGE_MEMORY ? "allocation" : "thread or descriptor", number);
    fflush(stdout);
}

static const shortage_scenario looking = {
    .name = "a_python_is_looked_for",
    .run = a_python_is_looked_for,
    .memory = SHORTAGE_OUTCOME(NO_MEMORY) | SHORTAGE_OUTCOME(OK),
};

int main(int argc, char **argv)
{
    char *python = getenv("PYHOST_PYTHON");
    step = argc > 1 && strcmp(argv[1], "all") == 0 ? 1 : THEN_EVERY;
    CHECK_EQUAL(unsetenv("PYHOST_PYTHON"), 0);
    shortage_run(&looking);
    CHECK_EQUAL(setenv("PYHOST_PYTHON", python, 1), 0);
    sweep_apart(start_short, "start", SHORTAGE_SYSTEM);
    sweep_apart(start_short, "start", SHORTAGE_MEMORY);
    sweep_apart(stop_short, "stop", SHORTAGE_SYSTEM);
    sweep_apart(stop_short, "stop", SHORTAGE_MEMORY);
    printf("%ld failures\n", shortage_failures);
    return 0;
}
