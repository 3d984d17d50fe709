/* program: the public interface in a test program, as any program would use it: nothing internal, no Python.h.
 *
 * The environment variable PYHOST_PYTHON names the Python, PYHOST_TEST_PLUGINS the folder of plugins. One process
 * starts the runtime once, so the tests of a program share it. */
#ifndef PYH_TEST_PROGRAM_H
#define PYH_TEST_PROGRAM_H

#include <stdatomic.h>
#include <stdlib.h>

#include "check.h"

static pyhost_runtime *runtime;

/* Fails with what the error says. */
static inline void runtime_check(pyhost_status status, pyhost_error *error, const char *what)
{
    if (status != PYHOST_OK) {
        check_failed(__FILE__, __LINE__, "%s is %s: %s\n%s", what, pyhost_status_name(status),
                     error != NULL ? pyhost_error_message(error) : "", error != NULL ? pyhost_error_traceback(error) : "");
    }
}

#define RUNTIME_CHECK(call)                                                                                            \
    do {                                                                                                               \
        pyhost_status runtime_status = (call);                                                                         \
        runtime_check(runtime_status, error, #call);                                                                   \
    } while (0)

/* Lines at warning and above. */
static atomic_int runtime_logged;

static inline void runtime_log(void *context, int level, const char *logger, const char *message)
{
    CHECK(logger != NULL && message != NULL);
    atomic_fetch_add((atomic_int *)context, level >= 30);
}

static inline void runtime_begin(void)
{
    pyhost_error *error = NULL;
    pyhost_runtime_options options = {
        .size = sizeof options,
        .plugins = getenv("PYHOST_TEST_PLUGINS"),
        .log = runtime_log,
        .log_context = &runtime_logged,
    };
    RUNTIME_CHECK(pyhost_runtime_start(&options, &runtime, &error));
}

static inline int runtime_end(int code)
{
    pyhost_error *error = NULL;
    RUNTIME_CHECK(pyhost_runtime_stop(runtime, 1000000000, &error));
    return code;
}

/* A handle of a function that is there. */
static inline pyhost_function *runtime_function(const char *name)
{
    pyhost_function *function = NULL;
    CHECK_STATUS(pyhost_function_new(runtime, name, &function), PYHOST_OK);
    return function;
}

/* Calls the function with what the builder holds; the result. */
static inline pyhost_value *runtime_call(const char *name, pyhost_builder *arguments)
{
    pyhost_error *error = NULL;
    pyhost_value *value = NULL;
    pyhost_function *function = runtime_function(name);
    pyhost_status status = pyhost_function_call(function, arguments, 0, &value, &error);
    runtime_check(status, error, name);
    pyhost_function_unref(function);
    return value;
}

/* The int that the value is; lets go of it. */
static inline int64_t runtime_int(pyhost_value *value)
{
    int64_t found = 0;
    pyhost_reader reader = pyhost_reader_make(value);
    CHECK_STATUS(pyhost_reader_int(&reader, &found), PYHOST_OK);
    pyhost_value_unref(value);
    return found;
}

/* Whether the value is that text; lets go of it. */
static inline void runtime_check_text(pyhost_value *value, const char *expected)
{
    const char *text = NULL;
    size_t size = 0;
    pyhost_reader reader = pyhost_reader_make(value);
    CHECK_STATUS(pyhost_reader_str(&reader, &text, &size), PYHOST_OK);
    if (size != strlen(expected) || memcmp(text, expected, size) != 0) {
        check_failed(__FILE__, __LINE__, "the text is \"%.*s\", expected \"%s\"", (int)size, text, expected);
    }
    pyhost_value_unref(value);
}

#endif
