/* pyhost.h: the public C interface of libpyhost.
 *
 * Nothing here shows Python.h. Names: pyhost_noun_verb. A fallible function returns a pyhost_status; outputs come
 * last and are untouched on failure. */
#ifndef PYHOST_H
#define PYHOST_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PYHOST_API __attribute__((visibility("default")))
#else
#define PYHOST_API
#endif

#define PYHOST_VERSION "0.1.0"

/* Every outcome: X(name, value, message). Codes are stable; new ones are added at the end. */
#define PYHOST_STATUS_MAP(X)                                                                                           \
    X(OK, 0, "success")                                                                                                \
    X(FULL, 1, "every inbox of the plugin is full")                                                                    \
    X(CLOSED, 2, "closed; nothing more is accepted")                                                                   \
    X(TIMEOUT, 3, "no answer by the deadline")                                                                         \
    X(CANCELLED, 4, "given up before it was answered")                                                                 \
    X(INTERRUPTED, 5, "a signal arrived while waiting")                                                                \
    X(NO_PLUGIN, 6, "no plugin of that name")                                                                          \
    X(NO_FUNCTION, 7, "the plugin exports no function of that name")                                                   \
    X(UNAVAILABLE, 8, "the plugin is not running")                                                                     \
    X(RAISED, 9, "the plugin's function raised an exception")                                                          \
    X(BAD_ARGUMENTS, 10, "the arguments do not fit the function's signature")                                          \
    X(BAD_RESULT, 11, "the function's result cannot cross to another interpreter")                                     \
    X(UNENCODABLE, 12, "a value cannot cross to another interpreter")                                                  \
    X(MALFORMED, 13, "the bytes are not a message")                                                                    \
    X(REENTRANT, 14, "the call would wait for the thread that makes it")                                               \
    X(NO_MEMORY, 15, "out of memory")                                                                                  \
    X(SYSTEM, 16, "the operating system refused")                                                                      \
    X(OVER_LIMIT, 17, "the plugin is over its memory limit")

typedef enum pyhost_status {
#define PYHOST_STATUS_ENUM(name, value, message) PYHOST_##name = value,
    PYHOST_STATUS_MAP(PYHOST_STATUS_ENUM)
#undef PYHOST_STATUS_ENUM
} pyhost_status;

/* The status's stable name ("FULL"), and its message for people.
 * Static strings, "UNKNOWN" for a value that is no status. Any thread. */
PYHOST_API const char *pyhost_status_name(pyhost_status status);
PYHOST_API const char *pyhost_status_message(pyhost_status status);

/* The version of the library, "MAJOR.MINOR.PATCH". A static string. Any thread. */
PYHOST_API const char *pyhost_version(void);

/* Starts CPython in this process and runs pyhost's command line in its main interpreter, as the `pyhost` executable
 * does. argc and argv as for main(); not kept. The Python whose packages are used is named by the environment
 * variable PYHOST_PYTHON. Call once, from the main thread. Returns the exit code. */
PYHOST_API int pyhost_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
