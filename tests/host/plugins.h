/* plugins: real interpreters that run tests/host/plugin.py, for tests that end them again.
 *
 * The environment variable PYHOST_PACKAGE names the folder of pyhost's Python half, PYHOST_TEST_PLUGIN the plugin. The
 * main thread holds no GIL but where plugins_attach says so. */
#ifndef PYH_TEST_PLUGINS_H
#define PYH_TEST_PLUGINS_H

#include <sched.h>

#include "calls.h"
#include "codecs.h"
#include "core.h"
#include "direct.h"
#include "runtime.h"

/* The plugin's functions, in its order. */
enum {
    PLUGIN_ADD,
    PLUGIN_COUNT,
    PLUGIN_FAIL,
    PLUGIN_SPIN,
    PLUGIN_UNSENDABLE,
    PLUGIN_FAIL_AT_STOP,
    PLUGIN_LEAVE_A_THREAD,
    PLUGIN_HOLD,
    PLUGIN_HOLD_OBJECTS,
    PLUGIN_HOLD_IN_THREAD,
    PLUGIN_DROP,
    PLUGIN_GROW,
    PLUGIN_GROW_AND_RECOVER,
    PLUGIN_INSIST,
    PLUGIN_READ,
    PLUGIN_FUNCTIONS,
};

static PyThreadState *plugins_main_state;

/* Of the interpreters that are made from now on. */
static int64_t plugins_stop_limit_ns = PYH_NEVER;

static inline void plugins_attach(void)
{
    PyEval_RestoreThread(plugins_main_state);
}

static inline void plugins_detach(void)
{
    plugins_main_state = PyEval_SaveThread();
}

/* Starts CPython with the code under test as its pyhost._core: the finder of an editable install would bring another.
 */
static inline void plugins_begin(void)
{
    CHECK_EQUAL(PyImport_AppendInittab("pyhost._core", pyhost_core_init), 0);
    embed_start();
    CHECK_EQUAL(pyh_runtime_attach(), 0);
    embed_run("import os, sys\n"
              "from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder\n"
              "sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]\n"
              "sys.path.insert(0, os.path.dirname(os.environ['PYHOST_PACKAGE']))\n"
              "from pyhost.bundle import guest_bundle\n");
    plugins_detach();
}

/* Ends it; returns the program's exit code. */
static inline int plugins_end(int code)
{
    CHECK_EQUAL(pyh_interp_lost_count(), 0);
    plugins_attach();
    return embed_end(code);
}

/* A message with the value, which is taken over. Attached. */
static inline pyh_message *plugins_message(PyObject *value)
{
    pyh_codec codec = {.plain = true};
    pyh_message *message = NULL;
    embed_check_no_exception("a message's value");
    CHECK_STATUS(pyh_codec_encode_message(&codec, value, &message), PYHOST_OK);
    Py_DECREF(value);
    return message;
}

/* What a guest starts with: the module that the file holds, or one that is found by its name. Attached. */
static inline pyh_message *plugins_boot(const char *module, const char *file)
{
    return plugins_message(Py_BuildValue("{sssssOsOssszsOsOsd}", "name", module, "version", "1", "takes_over", Py_False,
                                         "path", PySys_GetObject("path"), "module", module, "file", file, "code",
                                         Py_None, "expected", Py_None, "start_limit", 60.0));
}

/* An interpreter that begins to warm up. */
static inline pyh_interp *plugins_warm_up(pyh_router *router)
{
    pyh_interp *interp = pyh_interp_new(router);
    CHECK(interp != NULL);
    plugins_attach();
    pyh_message *bundle = plugins_message(embed_eval("guest_bundle()"));
    plugins_detach();
    CHECK_STATUS(pyh_interp_warm_up(interp, bundle), PYHOST_OK);
    return interp;
}

/* Tells it what to run, with so many bytes. */
static inline pyhost_status plugins_assign(pyh_interp *interp, const char *module, const char *file,
                                           int64_t limit_bytes)
{
    plugins_attach();
    pyh_assignment assignment = {
        .name = "test",
        .inbox_capacity = 64,
        .memory_limit_bytes = limit_bytes,
        .boot = plugins_boot(module, file),
        .start_limit_ns = PYH_NEVER,
        .stop_limit_ns = plugins_stop_limit_ns,
        .grace_ns = PYH_NEVER,
    };
    plugins_detach();
    return pyh_interp_start(interp, &assignment);
}

/* Begins to start an interpreter that may hold so many bytes. */
static inline pyh_interp *plugins_start_limited(pyh_router *router, const char *module, const char *file,
                                                int64_t limit_bytes)
{
    pyh_interp *interp = plugins_warm_up(router);
    CHECK_STATUS(plugins_assign(interp, module, file, limit_bytes), PYHOST_OK);
    return interp;
}

static inline pyh_interp *plugins_start(pyh_router *router, const char *module, const char *file)
{
    return plugins_start_limited(router, module, file, PYH_NO_LIMIT);
}

/* Interpreters of the plugin, ready, and their route. */
typedef struct plugins {
    pyh_router *router;
    pyh_route *route;
    pyh_interp *interps[8];
    size_t count;
} plugins;

static inline plugins plugins_make_limited(size_t count, int64_t limit_bytes)
{
    static const pyh_function functions[] = {
        [PLUGIN_ADD] = {.name = "add", .deadline_ns = PYH_NEVER},
        [PLUGIN_COUNT] = {.name = "count", .deadline_ns = PYH_NEVER},
        [PLUGIN_FAIL] = {.name = "fail", .deadline_ns = PYH_NEVER},
        [PLUGIN_SPIN] = {.name = "spin", .deadline_ns = PYH_NEVER},
        [PLUGIN_UNSENDABLE] = {.name = "unsendable", .deadline_ns = PYH_NEVER},
        [PLUGIN_FAIL_AT_STOP] = {.name = "fail_at_stop", .deadline_ns = PYH_NEVER},
        [PLUGIN_LEAVE_A_THREAD] = {.name = "leave_a_thread", .deadline_ns = PYH_NEVER},
        [PLUGIN_HOLD] = {.name = "hold", .deadline_ns = PYH_NEVER},
        [PLUGIN_HOLD_OBJECTS] = {.name = "hold_objects", .deadline_ns = PYH_NEVER},
        [PLUGIN_HOLD_IN_THREAD] = {.name = "hold_in_thread", .deadline_ns = PYH_NEVER},
        [PLUGIN_DROP] = {.name = "drop", .deadline_ns = PYH_NEVER},
        [PLUGIN_GROW] = {.name = "grow", .deadline_ns = PYH_NEVER},
        [PLUGIN_GROW_AND_RECOVER] = {.name = "grow_and_recover", .deadline_ns = PYH_NEVER},
        [PLUGIN_INSIST] = {.name = "insist", .deadline_ns = PYH_NEVER},
        [PLUGIN_READ] = {.name = "read", .deadline_ns = PYH_NEVER},
    };
    plugins made = {.router = pyh_router_new(), .count = count};
    CHECK(count <= CHECK_COUNT(made.interps));
    for (size_t i = 0; i < count; i++) {
        made.interps[i] = plugins_start_limited(made.router, "plugin", getenv("PYHOST_TEST_PLUGIN"), limit_bytes);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK_STATUS(pyh_event_wait(&made.interps[i]->ready, PYH_NEVER), PYHOST_OK);
        CHECK_STATUS(made.interps[i]->start_status, PYHOST_OK);
        CHECK_EQUAL(made.interps[i]->state, PYH_INTERP_RUNNING);
    }
    made.route = pyh_route_new("plugin", made.interps, count, functions, PLUGIN_FUNCTIONS, NULL);
    CHECK(made.route != NULL);
    return made;
}

static inline plugins plugins_make(size_t count)
{
    return plugins_make_limited(count, PYH_NO_LIMIT);
}

/* Runs the interpreter's function number `index` on this thread. */
static inline pyhost_status plugins_visit(pyh_interp *interp, pyh_function *function, size_t index,
                                          pyh_message *request, int64_t deadline_ns, pyh_message **reply)
{
    pyh_invocation invocation = {
        .function = function,
        .index = index,
        .request = request,
        .started_ns = pyh_now_ns(),
        .deadline_ns = deadline_ns,
    };
    pyhost_status status = pyh_direct_call(interp, PyThreadState_GetUnchecked(), &invocation);
    *reply = invocation.reply;
    return status;
}

/* Waits until it has ended, in order and with nothing left. */
static inline void plugins_check_ended(pyh_interp *interp)
{
    CHECK_STATUS(pyh_event_wait(&interp->ended, PYH_NEVER), PYHOST_OK);
    CHECK_EQUAL(interp->state, PYH_INTERP_STOPPED);
    CHECK_EQUAL(pyh_interp_load(interp), 0);
    CHECK_EQUAL(pyh_interp_running(interp), 0);
}

/* Ends them all. */
static inline void plugins_clear(plugins *made)
{
    for (size_t i = 0; i < made->count; i++) {
        pyh_interp_close(made->interps[i]);
    }
    pyh_route_unref(made->route);
    for (size_t i = 0; i < made->count; i++) {
        plugins_check_ended(made->interps[i]);
        pyh_interp_unref(made->interps[i]);
    }
    pyh_router_unref(made->router);
}

/* A request with so many arguments (at most two), small integers of 0 and more. */
static inline pyh_message *plugins_request(size_t count, uint64_t first, uint64_t second)
{
    const uint64_t values[] = {first, second};
    pyh_writer writer = {0};
    pyh_message *request = NULL;
    pyh_writer_varint(&writer, count);
    pyh_writer_varint(&writer, 0);
    for (size_t i = 0; i < count; i++) {
        pyh_writer_byte(&writer, 'i');
        pyh_writer_varint(&writer, values[i] << 1);
    }
    CHECK_STATUS(pyh_writer_finish(&writer, &request), PYHOST_OK);
    return request;
}

/* The small integer that an answer holds. */
static inline uint64_t plugins_integer(pyh_message *reply)
{
    CHECK(reply != NULL);
    pyh_reader reader = pyh_reader_make(reply);
    uint64_t value = 0;
    const unsigned char *tag = pyh_reader_bytes(&reader, 1);
    CHECK(tag != NULL && *tag == 'i');
    CHECK_STATUS(pyh_reader_varint(&reader, &value), PYHOST_OK);
    return value >> 1;
}

/* A call of the plugin's function; takes over the request. */
static inline pyh_call *plugins_call(const plugins *made, size_t function, pyh_message *request)
{
    pyh_call *call = pyh_call_new(made->route, &made->route->functions[function], request);
    CHECK(call != NULL);
    return call;
}

/* Queues the call with the least loaded interpreter and waits for its answer. */
static inline void plugins_run(const plugins *made, pyh_call *call)
{
    pyhost_status status;
    while ((status = pyh_route_submit(made->route, call)) == PYHOST_FULL) {
        sched_yield();
    }
    CHECK_STATUS(status, PYHOST_OK);
    CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
}

/* Calls "add", and checks what it says. */
static inline void plugins_add(const plugins *made, uint64_t left, uint64_t right)
{
    pyh_call *call = plugins_call(made, PLUGIN_ADD, plugins_request(2, left, right));
    plugins_run(made, call);
    CHECK_STATUS(call->status, PYHOST_OK);
    CHECK_EQUAL(plugins_integer(call->reply), left + right);
    pyh_call_unref(call);
}

/* Checks a message against a Python expression of its value. */
static inline void plugins_check_value(pyh_message *message, const char *expected)
{
    plugins_attach();
    pyh_codec codec = {.plain = true};
    PyObject *value = NULL;
    CHECK(message != NULL);
    CHECK_STATUS(pyh_codec_decode_message(&codec, message, &value), PYHOST_OK);
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyDict_SetItemString(names, "value", value);
    PyObject *verdict = embed_eval(expected);
    if (verdict != Py_True) {
        PyObject_Print(value, stderr, 0);
        check_failed(__FILE__, __LINE__, " is the value, and this does not hold: %s", expected);
    }
    PyDict_DelItemString(names, "value");
    Py_DECREF(verdict);
    Py_DECREF(value);
    plugins_detach();
}

#endif
