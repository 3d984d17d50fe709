/* pyhost.h: the public C interface of libpyhost, which runs Python plugins in a C or C++ program.
 *
 * Nothing here shows Python.h, and a caller knows nothing of GILs: every function may be called from any thread of the
 * program, at any time, unless its comment says otherwise. A thread that is inside Python (a C extension with the GIL
 * held) must not call what can wait; the functions that a program offers to plugins (chapter "Functions of the
 * program") run without a GIL and may call everything.
 *
 * Names: pyhost_noun_verb. A fallible function returns a pyhost_status; its outputs come last and are untouched on
 * failure. Objects are opaque, and made by _new (one owner, who calls _free) or counted (_ref, _unref: the last unref
 * frees). _free and _unref accept NULL. Objects may be used by many threads at once, but builders and readers, which
 * one thread uses at a time. Strings that go in end with a zero byte and are copied; text is UTF-8. Times are
 * nanoseconds (_ns) of the monotonic clock, sizes are bytes.
 *
 * Structs that a program fills in or has filled in begin with their size, so that they can grow: set it to sizeof. */
#ifndef PYHOST_H
#define PYHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PYHOST_API __attribute__((visibility("default")))
#else
#define PYHOST_API
#endif

#define PYHOST_VERSION "0.1.0"

/* ---- Outcomes ---------------------------------------------------------------------------------------------------- */

/* Every outcome: X(name, value, message). Codes are stable; new ones are added at the end. */
#define PYHOST_STATUS_MAP(X)                                                                                           \
    X(OK, 0, "success")                                                                                                \
    X(FULL, 1, "every inbox of the plugin, or the channel, is full")                                                   \
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
    X(OVER_LIMIT, 17, "the plugin is over its memory limit")                                                           \
    X(MISUSED, 18, "a function of pyhost was called in a way that its description does not allow")                     \
    X(WRONG_KIND, 19, "the value is of another kind")                                                                  \
    X(OUT_OF_RANGE, 20, "the number does not fit")                                                                     \
    X(NOT_LOADED, 21, "the plugin did not load")                                                                       \
    X(NOT_STARTED, 22, "Python did not start")                                                                         \
    X(STARTED_BEFORE, 23, "this process has started Python before, and can do so only once")                           \
    X(UNFINISHED, 24, "everything has stopped, but Python could not be ended in this process")

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

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

/* What went wrong, in words. A function with a last parameter `pyhost_error **error` stores one there whenever it
 * returns something other than PYHOST_OK; it is the caller's then. NULL instead of a place for it: not wanted. */
typedef struct pyhost_error pyhost_error;

/* Frees an error. NULL is accepted. */
PYHOST_API void pyhost_error_free(pyhost_error *error);

/* Parts of an error, never NULL: the sentence for people; the plugin's name; the function's full name,
 * "plugin.function"; for RAISED the exception's qualified type ("ValueError", "package.module.Error"); and the plugin's
 * traceback with its notes. What does not apply is "". Valid until the error is freed. */
PYHOST_API pyhost_status pyhost_error_status(const pyhost_error *error);
PYHOST_API const char *pyhost_error_message(const pyhost_error *error);
PYHOST_API const char *pyhost_error_plugin(const pyhost_error *error);
PYHOST_API const char *pyhost_error_function(const pyhost_error *error);
PYHOST_API const char *pyhost_error_type(const pyhost_error *error);
PYHOST_API const char *pyhost_error_traceback(const pyhost_error *error);

/* ---- The runtime ------------------------------------------------------------------------------------------------- */

/* The one Python of the process with its plugins. */
typedef struct pyhost_runtime pyhost_runtime;

/* Takes a line that pyhost logs; level is that of Python's logging (20 info, 30 warning, 40 error). The strings are
 * valid during the call. Called on a thread of pyhost's, no GIL held; must not start, stop or ask the runtime. */
typedef void pyhost_log_function(void *context, int level, const char *logger, const char *message);

typedef struct pyhost_runtime_options {
    size_t size; /* sizeof(pyhost_runtime_options) */
    /* The program of the Python or virtual environment to run with, such as "/opt/app/venv/bin/python"; pyhost must be
     * installed there. NULL: the environment variable PYHOST_PYTHON, or else the environment in which this library
     * itself is installed. */
    const char *python;
    /* The folder whose plugins are loaded at the start. NULL: none; see pyhost_plugin_load. */
    const char *plugins;
    /* How many interpreters are kept ready, so that a plugin is loaded and reloaded the faster; about 2 MB each. */
    uint32_t warm;
    /* Whether pyhost may set the handlers of two signals for the whole process: SIGPIPE is ignored, as Python code
     * expects, and SIGURG interrupts system calls of plugins whose deadline has passed. Others are never touched. */
    bool owns_signals;
    /* Takes what is logged, with its context; NULL: warnings and errors go to stderr. */
    pyhost_log_function *log;
    void *log_context;
} pyhost_runtime_options;

/* Starts Python on a thread of its own and loads the plugins of the folder; returns when all run or have failed. A
 * plugin that does not load is not an error: see pyhost_plugin_read. options may be NULL. On OK the runtime is the
 * caller's, to be given to pyhost_runtime_stop.
 * NOT_STARTED: no such Python, pyhost is not installed there, no such folder. STARTED_BEFORE: this process has, even if
 * it was stopped. NO_MEMORY, SYSTEM (no thread): nothing of Python has run, and it can be tried again. */
PYHOST_API pyhost_status pyhost_runtime_start(const pyhost_runtime_options *options, pyhost_runtime **runtime,
                                              pyhost_error **error);

/* Stops taking calls, finishes those under way for up to grace_ns and gives up the rest, stops every plugin, ends
 * Python, and frees the runtime whatever is returned. Function handles and values outlive it; calls are UNAVAILABLE or
 * NO_PLUGIN then. Not from a function of the program that a plugin is calling.
 * UNFINISHED: an interpreter does not end, as a thread is stuck in it. Everything else has stopped; its memory and
 * that thread stay until the process ends. */
PYHOST_API pyhost_status pyhost_runtime_stop(pyhost_runtime *runtime, int64_t grace_ns, pyhost_error **error);

/* Reads the folder of plugins again: loads what is new, replaces what has changed, stops what is gone. Waits. */
PYHOST_API pyhost_status pyhost_runtime_rescan(pyhost_runtime *runtime, pyhost_error **error);

/* ---- Plugins ----------------------------------------------------------------------------------------------------- */

/* Loads the plugin at path, a folder with a plugin.toml or a .py file, and waits until it runs. One that was loaded from
 * there before is reloaded. NOT_LOADED with the reason, and the traceback if its own code failed; or because another
 * plugin has its name. */
PYHOST_API pyhost_status pyhost_plugin_load(pyhost_runtime *runtime, const char *path, pyhost_error **error);

/* Stops the plugin (see pyhost_plugin_stop) and forgets it. NO_PLUGIN. */
PYHOST_API pyhost_status pyhost_plugin_unload(pyhost_runtime *runtime, const char *plugin, pyhost_error **error);

/* Loads the plugin anew from where it is, and lets the new version take its place in one step: no call is dropped. One
 * that is stopped or has failed is started. NOT_LOADED: the new version does not load, the old one, if any, serves on.
 * NO_PLUGIN. */
PYHOST_API pyhost_status pyhost_plugin_reload(pyhost_runtime *runtime, const char *plugin, pyhost_error **error);

/* Stops the plugin until it is started again: takes no more calls, finishes those that it has, runs its on_stop. Start
 * loads one that is stopped or has failed, and leaves one that runs alone. NO_PLUGIN, NOT_LOADED. */
PYHOST_API pyhost_status pyhost_plugin_stop(pyhost_runtime *runtime, const char *plugin, pyhost_error **error);
PYHOST_API pyhost_status pyhost_plugin_start(pyhost_runtime *runtime, const char *plugin, pyhost_error **error);

/* The names of all plugins, sorted, those that failed too: count strings, the caller's, to be given to
 * pyhost_names_free. */
PYHOST_API pyhost_status pyhost_plugin_list(pyhost_runtime *runtime, char ***names, size_t *count,
                                            pyhost_error **error);
/* Frees them. NULL is accepted. */
PYHOST_API void pyhost_names_free(char **names, size_t count);

typedef struct pyhost_plugin_info {
    size_t size; /* sizeof(pyhost_plugin_info) */
    /* "running", "failed", "stopped", ...; the states of docs/http.md. This and the next three are one allocation,
     * freed by pyhost_plugin_info_clear. */
    char *state;
    char *version; /* "" before its manifest was read */
    char *reason;  /* why it does not run, or did not reload; "" for no reason */
    char *traceback;
    uint32_t interpreters; /* that serve it now */
} pyhost_plugin_info;

/* Fills in *info, whose size is set; clear it. NO_PLUGIN. */
PYHOST_API pyhost_status pyhost_plugin_read(pyhost_runtime *runtime, const char *plugin, pyhost_plugin_info *info,
                                            pyhost_error **error);
/* Frees what it holds; the size stays. */
PYHOST_API void pyhost_plugin_info_clear(pyhost_plugin_info *info);

/* What a plugin has done and holds now; its interpreters together. */
typedef struct pyhost_plugin_account {
    size_t size;           /* sizeof(pyhost_plugin_account) */
    uint32_t interpreters; /* that serve it */
    uint32_t queued;       /* calls that wait */
    uint32_t running;      /* calls that run */
    uint64_t calls;        /* answered with a value */
    uint64_t errors;       /* raised, bad arguments or bad result */
    uint64_t timeouts;     /* not answered by the deadline, or given up */
    uint64_t rejected;     /* never accepted, as every inbox was full */
    int64_t processor_ns;  /* that its threads have run */
    int64_t memory_bytes;  /* that it has from CPython's allocators */
    int64_t memory_peak_bytes;  /* the sum of each interpreter's highest */
    int64_t memory_limit_bytes; /* of each interpreter; INT64_MAX for none */
} pyhost_plugin_account;

/* Fills in *account, whose size is set. Asks no interpreter, takes microseconds. NO_PLUGIN. */
PYHOST_API pyhost_status pyhost_plugin_account_read(pyhost_runtime *runtime, const char *plugin,
                                                    pyhost_plugin_account *account);

/* ---- Values: building -------------------------------------------------------------------------------------------- */

/* A Python value, encoded: immutable and counted. It belongs to no interpreter. */
typedef struct pyhost_value pyhost_value;

/* One more reference, and one less; NULL is accepted by unref. */
PYHOST_API pyhost_value *pyhost_value_ref(pyhost_value *value);
PYHOST_API void pyhost_value_unref(pyhost_value *value);

/* The kinds of values: X(name, number, what Python calls it). END stands where there is no value. */
#define PYHOST_KIND_MAP(X)                                                                                             \
    X(END, 0, "nothing")                                                                                               \
    X(NONE, 1, "None")                                                                                                 \
    X(BOOL, 2, "bool")                                                                                                 \
    X(INT, 3, "int")                                                                                                   \
    X(FLOAT, 4, "float")                                                                                               \
    X(STR, 5, "str")                                                                                                   \
    X(BYTES, 6, "bytes")                                                                                               \
    X(BYTEARRAY, 7, "bytearray")                                                                                       \
    X(LIST, 8, "list")                                                                                                 \
    X(TUPLE, 9, "tuple")                                                                                               \
    X(SET, 10, "set")                                                                                                  \
    X(FROZENSET, 11, "frozenset")                                                                                      \
    X(DICT, 12, "dict")                                                                                                \
    X(DATE, 13, "datetime.date")                                                                                       \
    X(TIME, 14, "datetime.time")                                                                                       \
    X(DATETIME, 15, "datetime.datetime")                                                                               \
    X(TIMEDELTA, 16, "datetime.timedelta")                                                                             \
    X(TIMEZONE, 17, "datetime.timezone")                                                                               \
    X(BUFFER, 18, "memoryview")                                                                                        \
    X(PICKLE, 19, "a pickled object")                                                                                  \
    X(CHANNEL, 20, "pyhost.Channel")

typedef enum pyhost_kind {
#define PYHOST_KIND_ENUM(name, value, message) PYHOST_KIND_##name = value,
    PYHOST_KIND_MAP(PYHOST_KIND_ENUM)
#undef PYHOST_KIND_ENUM
} pyhost_kind;

/* What Python calls the kind. A static string. */
PYHOST_API const char *pyhost_kind_name(pyhost_kind kind);

typedef struct pyhost_date {
    int32_t year; /* 1 to 9999 */
    uint8_t month;
    uint8_t day;
} pyhost_date;

/* How a time says its zone: not at all, by a fixed distance from UTC, or by an object that only Python knows (a
 * zoneinfo.ZoneInfo), which is read as OTHER and cannot be built. */
typedef enum pyhost_zone { PYHOST_ZONE_NONE, PYHOST_ZONE_FIXED, PYHOST_ZONE_OTHER } pyhost_zone;

typedef struct pyhost_time {
    uint8_t hour;
    uint8_t minute;
    uint8_t second;
    uint8_t fold; /* 1 for the second of two equal times when clocks go back */
    uint32_t microsecond;
    pyhost_zone zone;
    int64_t offset_us; /* east of UTC, if the zone is FIXED */
} pyhost_time;

typedef struct pyhost_datetime {
    pyhost_date date;
    pyhost_time time;
} pyhost_datetime;

/* As datetime.timedelta keeps it. */
typedef struct pyhost_timedelta {
    int64_t days;
    uint32_t seconds;      /* 0 to 86399 */
    uint32_t microseconds; /* 0 to 999999 */
} pyhost_timedelta;

/* Puts values one after the other. What it holds becomes a value (pyhost_builder_finish) or the arguments of a call;
 * then it is empty, and can be used again: keep one for each thread. One thread at a time.
 * Every function that adds returns a status, and the first failure sticks: later ones return it and do nothing, and so
 * does what finally takes the values. So a program may look at the last status only. NO_MEMORY is also the answer for
 * what is over 2 GiB. */
typedef struct pyhost_builder pyhost_builder;

/* An empty builder, the caller's. NULL: no memory. */
PYHOST_API pyhost_builder *pyhost_builder_new(void);
PYHOST_API void pyhost_builder_free(pyhost_builder *builder);
/* Drops what it holds, and a failure. NULL is accepted. */
PYHOST_API void pyhost_builder_clear(pyhost_builder *builder);

/* Each adds one value. Text need not end with a zero byte: size_bytes are taken, and must be UTF-8 (the plugin refuses
 * other bytes). A big int is its two's complement, little-endian, at least one byte. The bytes are copied. OUT_OF_RANGE
 * for a date or a time that is none, MISUSED for a zone that is OTHER. */
PYHOST_API pyhost_status pyhost_builder_none(pyhost_builder *builder);
PYHOST_API pyhost_status pyhost_builder_bool(pyhost_builder *builder, bool value);
PYHOST_API pyhost_status pyhost_builder_int(pyhost_builder *builder, int64_t value);
PYHOST_API pyhost_status pyhost_builder_uint(pyhost_builder *builder, uint64_t value);
PYHOST_API pyhost_status pyhost_builder_big_int(pyhost_builder *builder, const void *bytes, size_t size_bytes);
PYHOST_API pyhost_status pyhost_builder_float(pyhost_builder *builder, double value);
PYHOST_API pyhost_status pyhost_builder_str(pyhost_builder *builder, const char *text, size_t size_bytes);
PYHOST_API pyhost_status pyhost_builder_bytes(pyhost_builder *builder, const void *bytes, size_t size_bytes);
PYHOST_API pyhost_status pyhost_builder_bytearray(pyhost_builder *builder, const void *bytes, size_t size_bytes);
PYHOST_API pyhost_status pyhost_builder_date(pyhost_builder *builder, const pyhost_date *date);
PYHOST_API pyhost_status pyhost_builder_time(pyhost_builder *builder, const pyhost_time *time);
PYHOST_API pyhost_status pyhost_builder_datetime(pyhost_builder *builder, const pyhost_datetime *datetime);
PYHOST_API pyhost_status pyhost_builder_timedelta(pyhost_builder *builder, const pyhost_timedelta *timedelta);
/* A datetime.timezone, offset_us microseconds east of UTC, less than a day. */
PYHOST_API pyhost_status pyhost_builder_timezone(pyhost_builder *builder, int64_t offset_us);

/* Called once when nobody needs the memory any more, on whichever thread that becomes true; it must not wait. */
typedef void pyhost_release_function(void *context, void *data);

/* Adds a memoryview of size_bytes at data, which are not copied: they must stay as they are until release(context,
 * data) is called, which happens even if this fails. The plugin sees them read-only. A NULL release: never called, the
 * memory lives as long as the process. The format is one letter of Python's struct module for each item, such as 'B',
 * 'i' or 'd'; shape has dimensions numbers of items whose product fits the size. NULL for the shape: one dimension. */
PYHOST_API pyhost_status pyhost_builder_buffer(pyhost_builder *builder, void *data, size_t size_bytes, char format,
                                               const size_t *shape, size_t dimensions, pyhost_release_function *release,
                                               void *context);

/* A queue of values, see the chapter "Channels". */
typedef struct pyhost_channel pyhost_channel;

/* Adds a channel, with a reference of its own to it: whoever reads the value has the same channel, no copy. */
PYHOST_API pyhost_status pyhost_builder_channel(pyhost_builder *builder, const pyhost_channel *channel);

/* Begins a list, tuple, set, frozenset or dict: what is added until the matching close is in it, for a dict keys and
 * values in turn. They nest up to 500 deep; a memoryview and a timezone count as two levels, a time as one, or as three
 * with a zone. MISUSED: another kind, nothing to close, a dict with a key that has no value; here and for whatever is
 * added, one level too many. */
PYHOST_API pyhost_status pyhost_builder_open(pyhost_builder *builder, pyhost_kind kind);
PYHOST_API pyhost_status pyhost_builder_close(pyhost_builder *builder);

/* Adds a whole value, such as another call's result, whatever is in it. */
PYHOST_API pyhost_status pyhost_builder_value(pyhost_builder *builder, const pyhost_value *value);

/* The next value is the keyword argument of that name. Positional ones come before. For arguments only. */
PYHOST_API pyhost_status pyhost_builder_keyword(pyhost_builder *builder, const char *name);

/* Makes the one value that it holds *value, the caller's. MISUSED: it holds none or several, or something is open. The
 * builder is empty afterwards in any case. */
PYHOST_API pyhost_status pyhost_builder_finish(pyhost_builder *builder, pyhost_value **value);

/* ---- Values: reading --------------------------------------------------------------------------------------------- */

/* Reads a value from its front to its end. On the stack, may be copied, needs no freeing; its fields are private. The
 * value must live meanwhile, and so do the texts and bytes that a reader gives: they are the value's own. */
typedef struct pyhost_reader {
    const unsigned char *at;
    const unsigned char *end;
    const pyhost_value *value;
    size_t left;
    uint32_t next_buffer;
    uint32_t depth;
} pyhost_reader;

/* A reader before the value. */
PYHOST_API pyhost_reader pyhost_reader_make(const pyhost_value *value);

/* The kind of what is next: END after the last one. An int of any size is an INT. */
PYHOST_API pyhost_kind pyhost_reader_kind(const pyhost_reader *reader);

/* How many values are left here; in a dict keys and values count each. */
PYHOST_API size_t pyhost_reader_left(const pyhost_reader *reader);

/* Each reads the next value and goes past it. WRONG_KIND, OUT_OF_RANGE (int and uint; big_int takes every int, as
 * two's complement, little-endian): nothing is read, the reader stays. Float takes ints, too, as the nearest double;
 * OUT_OF_RANGE where there is none. MALFORMED: bytes that no encoder made; so the dates, times and shapes that are read
 * are ones that Python has. Text is no zero-ended string; it is UTF-8, but may have surrogates as Python's
 * "surrogatepass" writes them. For an int that big_int reads, bytes must have room for size_bytes; if it needs more,
 * OUT_OF_RANGE and nothing is read. */
PYHOST_API pyhost_status pyhost_reader_none(pyhost_reader *reader);
PYHOST_API pyhost_status pyhost_reader_bool(pyhost_reader *reader, bool *value);
PYHOST_API pyhost_status pyhost_reader_int(pyhost_reader *reader, int64_t *value);
PYHOST_API pyhost_status pyhost_reader_uint(pyhost_reader *reader, uint64_t *value);
PYHOST_API pyhost_status pyhost_reader_big_int(pyhost_reader *reader, void *bytes, size_t size_bytes, size_t *used);
PYHOST_API pyhost_status pyhost_reader_float(pyhost_reader *reader, double *value);
PYHOST_API pyhost_status pyhost_reader_str(pyhost_reader *reader, const char **text, size_t *size_bytes);
/* bytes or a bytearray. */
PYHOST_API pyhost_status pyhost_reader_bytes(pyhost_reader *reader, const void **bytes, size_t *size_bytes);
PYHOST_API pyhost_status pyhost_reader_date(pyhost_reader *reader, pyhost_date *date);
PYHOST_API pyhost_status pyhost_reader_time(pyhost_reader *reader, pyhost_time *time);
PYHOST_API pyhost_status pyhost_reader_datetime(pyhost_reader *reader, pyhost_datetime *datetime);
PYHOST_API pyhost_status pyhost_reader_timedelta(pyhost_reader *reader, pyhost_timedelta *timedelta);
PYHOST_API pyhost_status pyhost_reader_timezone(pyhost_reader *reader, int64_t *offset_us);
/* The pickle's own bytes, without its buffers: Python alone can make an object of them. */
PYHOST_API pyhost_status pyhost_reader_pickle(pyhost_reader *reader, const void **bytes, size_t *size_bytes);

enum { PYHOST_DIMENSIONS = 8 };

/* What a memoryview says of itself. */
typedef struct pyhost_buffer {
    const void *data; /* the value's own */
    size_t size_bytes;
    char format;                     /* one letter of Python's struct module for each item */
    size_t dimensions;               /* OUT_OF_RANGE for one with more than PYHOST_DIMENSIONS */
    size_t shape[PYHOST_DIMENSIONS]; /* items */
} pyhost_buffer;

/* Reads the next value, a memoryview, as the other functions do. */
PYHOST_API pyhost_status pyhost_reader_buffer(pyhost_reader *reader, pyhost_buffer *buffer);

/* Reads the next value, a channel, as the other functions do; the reference is the caller's. */
PYHOST_API pyhost_status pyhost_reader_channel(pyhost_reader *reader, pyhost_channel **channel);

/* Goes into the list, tuple, set, frozenset or dict that is next: *inner reads what is in it, for a dict keys and
 * values in turn. The reader itself stays until pyhost_reader_leave, which takes it past the container, wherever the
 * inner one has got to. */
PYHOST_API pyhost_status pyhost_reader_enter(pyhost_reader *reader, pyhost_reader *inner);
PYHOST_API pyhost_status pyhost_reader_leave(pyhost_reader *reader, pyhost_reader *inner);

/* Goes past the next value, whatever it is. WRONG_KIND: there is none. */
PYHOST_API pyhost_status pyhost_reader_skip(pyhost_reader *reader);

/* The next value as a value of its own, a copy; the caller's. */
PYHOST_API pyhost_status pyhost_reader_value(pyhost_reader *reader, pyhost_value **value);

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

/* A handle for "plugin.function". It follows the plugin through reloads and need not exist yet. Counted; used by any
 * number of threads at once. */
typedef struct pyhost_function pyhost_function;

/* A handle, the caller's. MISUSED: the name has no dot with something on both sides. */
PYHOST_API pyhost_status pyhost_function_new(pyhost_runtime *runtime, const char *name, pyhost_function **function);
PYHOST_API pyhost_function *pyhost_function_ref(pyhost_function *function);
PYHOST_API void pyhost_function_unref(pyhost_function *function);

/* Calls the function with the builder's values and waits for its result, which is the caller's (NULL instead of a place
 * for it: not wanted). timeout_ns bounds the call from now on; 0: the function's own deadline. NULL for the arguments:
 * none. The builder is empty afterwards in any case.
 * The plugin's own thread runs it; a function that is exported with direct=True runs on the calling thread, if that has
 * nothing else to do with Python. Within a function of the program that a plugin has called, the deadline of
 * that plugin's call bounds this one, too.
 * Any status that the list has up to MISUSED, but CLOSED and INTERRUPTED; RAISED carries type and traceback. */
PYHOST_API pyhost_status pyhost_function_call(pyhost_function *function, pyhost_builder *arguments, int64_t timeout_ns,
                                              pyhost_value **result, pyhost_error **error);

/* What a function has done since its plugin was loaded first. */
typedef struct pyhost_function_account {
    size_t size;       /* sizeof(pyhost_function_account) */
    uint64_t calls;    /* answered with a value */
    uint64_t errors;   /* raised, bad arguments or bad result */
    uint64_t timeouts; /* not answered by the deadline, or given up */
    uint64_t rejected; /* never accepted, as every inbox was full */
    int64_t total_ns;  /* from acceptance to answer, of calls and errors together */
    int64_t maximum_ns;
    int64_t processor_ns;
} pyhost_function_account;

/* Fills in *account, whose size is set. Asks no interpreter. NO_PLUGIN, NO_FUNCTION. */
PYHOST_API pyhost_status pyhost_function_account_read(pyhost_function *function, pyhost_function_account *account);

/* A call under way, or answered. Counted. */
typedef struct pyhost_call pyhost_call;

/* Where answered calls gather for one consumer, such as an event loop. One thread takes calls at a time. */
typedef struct pyhost_completions pyhost_completions;

/* Starts a call without waiting; arguments and timeout as for pyhost_function_call. Answered, it goes to the
 * completions, if they are not NULL, with the token for the consumer to know it by. *call is the caller's (NULL: not
 * wanted, with completions). The outcome is pyhost_call_result's; what is returned here is whether the call was
 * accepted. Functions with direct=True run on their plugin's thread then. */
PYHOST_API pyhost_status pyhost_function_submit(pyhost_function *function, pyhost_builder *arguments,
                                                int64_t timeout_ns, pyhost_completions *completions, void *token,
                                                pyhost_call **call, pyhost_error **error);

/* Told that a call is answered: pyhost_call_result does not wait. The call is borrowed. On a thread of pyhost's, one
 * for all callbacks, no GIL held: it may call and submit, but what waits for another callback waits for ever, and so
 * does pyhost_runtime_stop. */
typedef void pyhost_answer_function(void *context, pyhost_call *call);

/* The same, with a callback. It comes exactly once for a call that was accepted, at the latest when the runtime is
 * stopped. */
PYHOST_API pyhost_status pyhost_function_submit_callback(pyhost_function *function, pyhost_builder *arguments,
                                                         int64_t timeout_ns, pyhost_answer_function *answer,
                                                         void *context, pyhost_call **call, pyhost_error **error);

/* One more reference, and one less. A call that nobody refers to goes on. */
PYHOST_API pyhost_call *pyhost_call_ref(pyhost_call *call);
PYHOST_API void pyhost_call_unref(pyhost_call *call);

/* The token that it was submitted with. */
PYHOST_API void *pyhost_call_token(const pyhost_call *call);

/* Whether it has its answer. */
PYHOST_API bool pyhost_call_is_answered(pyhost_call *call);

/* Waits for the answer, at most until the call's deadline, and gives it: as pyhost_function_call does, as often as one
 * likes. */
PYHOST_API pyhost_status pyhost_call_result(pyhost_call *call, pyhost_value **result, pyhost_error **error);

/* Gives the call up: its answer is CANCELLED, and the code that runs for it is interrupted. false: it was answered. */
PYHOST_API bool pyhost_call_cancel(pyhost_call *call);

/* Completions, the caller's. SYSTEM: no file descriptor. */
PYHOST_API pyhost_status pyhost_completions_new(pyhost_completions **completions);
/* Calls that are under way go on; their answers are dropped. NULL is accepted. */
PYHOST_API void pyhost_completions_free(pyhost_completions *completions);

/* A file descriptor for poll, epoll or select, readable while there may be answered calls. Not to be read or closed. */
PYHOST_API int pyhost_completions_fd(const pyhost_completions *completions);

/* The answered call that has been there for longest; the caller's to unref. NULL: none is there now. Never waits: take
 * them until NULL, and the descriptor is not readable until there are more. */
PYHOST_API pyhost_call *pyhost_completions_take(pyhost_completions *completions);

/* Waits until there may be an answered call. TIMEOUT after timeout_ns (INT64_MAX: never). */
PYHOST_API pyhost_status pyhost_completions_wait(pyhost_completions *completions, int64_t timeout_ns);

/* ---- Channels ---------------------------------------------------------------------------------------------------- */

/* A bounded queue of values between the program and plugins, or among plugins, where it is a pyhost.Channel: first in,
 * first out, with any number of senders and receivers on any threads. It belongs to no interpreter and not to the
 * runtime: it may be made before that starts, and works on after it has stopped. It crosses as a value, in arguments,
 * results and other channels (pyhost_builder_channel). Counted; what is in it is released with it. Channels that are in
 * each other keep each other until somebody receives one.
 * A wait within a function of the program that a plugin has called ends with that call's deadline at the latest. */

/* The most values that a channel is made for. */
enum { PYHOST_CHANNEL_MOST = 1 << 24 };

/* A channel for capacity values, the caller's. MISUSED for 0 and above PYHOST_CHANNEL_MOST; NO_MEMORY. */
PYHOST_API pyhost_status pyhost_channel_new(size_t capacity, pyhost_channel **channel);
PYHOST_API pyhost_channel *pyhost_channel_ref(pyhost_channel *channel);
PYHOST_API void pyhost_channel_unref(pyhost_channel *channel);

/* Puts the value in, with a reference of its own to it. Waits for room until timeout_ns have passed: 0 does not wait,
 * INT64_MAX waits for ever; those that wait have no order among them. FULL: there was no room by then. CLOSED: it takes
 * no more. MISUSED: the channel itself is in the value, or the timeout is negative. */
PYHOST_API pyhost_status pyhost_channel_send(pyhost_channel *channel, const pyhost_value *value, int64_t timeout_ns);

/* Takes the oldest value, which is the caller's then. Waits for one as pyhost_channel_send waits for room. TIMEOUT: none
 * came by then. CLOSED: it is closed and empty, so that none will come; what was accepted is never lost. MISUSED: the
 * timeout is negative. */
PYHOST_API pyhost_status pyhost_channel_receive(pyhost_channel *channel, int64_t timeout_ns, pyhost_value **value);

/* Accepts nothing more, and wakes all who wait. What is in it can still be received. Closing again changes nothing. */
PYHOST_API void pyhost_channel_close(pyhost_channel *channel);
PYHOST_API bool pyhost_channel_is_closed(const pyhost_channel *channel);

/* How many values are in it now. */
PYHOST_API size_t pyhost_channel_depth(const pyhost_channel *channel);

/* A file descriptor for poll, epoll or select, readable while there may be something to receive, and once it is closed.
 * The channel's own, made when it is first asked for: not to be read or closed, and gone with the channel. SYSTEM: no
 * file descriptor; NO_MEMORY. */
PYHOST_API pyhost_status pyhost_channel_fd(pyhost_channel *channel, int *fd);

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* Calls "plugin.function" with arguments in JSON, an array of positional or an object of keyword ones (NULL: none), and
 * gives the result as JSON text that ends with a zero byte; the caller's, for pyhost_text_free. What JSON can say is
 * what docs/http.md says of the HTTP interface: bytes are base64, times ISO 8601. Two conversions by Python are added
 * to the call, some tens of microseconds. Errors as pyhost_function_call, with MALFORMED for what is no such JSON and
 * BAD_RESULT for what JSON cannot say. */
PYHOST_API pyhost_status pyhost_call_json(pyhost_runtime *runtime, const char *function, const char *arguments,
                                          int64_t timeout_ns, char **result, pyhost_error **error);
/* Frees it. NULL is accepted. */
PYHOST_API void pyhost_text_free(char *text);

/* ---- Functions of the program ------------------------------------------------------------------------------------ */

/* One call of a function of the program by a plugin. Valid while the function runs. */
typedef struct pyhost_request pyhost_request;

/* A function that plugins call as pyhost.host.NAME(...). It reads its arguments and, if it returns OK, has put one
 * value (none: None) into the result. With another status the plugin gets a RuntimeError with the status's message, or
 * what pyhost_request_fail was given. Called on a plugin's thread, several at once if several plugins call; no GIL is
 * held, so it may wait, and nothing interrupts it. */
typedef pyhost_status pyhost_host_function(void *context, pyhost_request *request, pyhost_builder *result);

/* The positional arguments; and the keyword ones, names and values in turn. */
PYHOST_API pyhost_reader pyhost_request_arguments(const pyhost_request *request);
PYHOST_API pyhost_reader pyhost_request_keywords(const pyhost_request *request);
/* Says what went wrong, for the plugin's exception, and returns RAISED for the function to return. */
PYHOST_API pyhost_status pyhost_request_fail(pyhost_request *request, const char *message);

/* Offers the function to all plugins by that name, in place of one that had it; a NULL function takes it away. May be
 * done before the runtime is started, for what plugins call at their start. The context is kept as it is; one that was
 * replaced may still be used by calls that are under way. MISUSED: the name is no Python identifier. */
PYHOST_API pyhost_status pyhost_host_register(const char *name, pyhost_host_function *function, void *context);

#ifdef __cplusplus
}
#endif
#endif
