/* core: the Python face of the C half, the extension module pyhost._core.
 *
 * The only place where a pyhost_status becomes a Python exception. The module is loaded once in the host's main
 * interpreter and once in each plugin's; its state belongs to that interpreter. All functions: GIL held. */
#ifndef PYH_CORE_H
#define PYH_CORE_H

#include <Python.h>

#include "call.h"
#include "codec.h"
#include "completions.h"
#include "handle.h"
#include "interp.h"

typedef enum pyh_core_type_index {
    PYH_CORE_ROUTER,
    PYH_CORE_FUNCTION,
    PYH_CORE_MAP,
    PYH_CORE_CALL,
    PYH_CORE_COMPLETIONS,
    PYH_CORE_INTERPRETER,
    PYH_CORE_CHANNEL,
    PYH_CORE_TYPES,
} pyh_core_type_index;

typedef struct pyh_core {
    pyh_codec codec;
    pyh_interp *interp;                  /* owned; the plugin's interp that this module is in, NULL in the host */
    PyObject *build_error;               /* pyhost.errors.build */
    PyObject *module;                    /* borrowed; the module that this is the state of */
    PyTypeObject *types[PYH_CORE_TYPES]; /* NULL until their first use */
} pyh_core;

/* The type, made at its first use: each costs an interpreter 3 kB. Borrowed; NULL with an exception set. */
PyTypeObject *pyh_core_type(pyh_core *core, pyh_core_type_index index);

extern PyModuleDef pyh_core_module;

extern PyType_Spec pyh_router_spec;
extern PyType_Spec pyh_function_spec;
extern PyType_Spec pyh_map_spec;
extern PyType_Spec pyh_call_spec;
extern PyType_Spec pyh_completions_spec;
extern PyType_Spec pyh_interpreter_spec;
extern PyType_Spec pyh_channel_spec;

/* Creates the module's definition for PyInit__core. */
PYHOST_API PyObject *pyhost_core_init(void);

/* The state of the module that defined the type. */
pyh_core *pyh_core_of(PyTypeObject *type);

/* Raises pyhost.errors.build(name of the status, function, detail). The detail is borrowed; NULL for None. */
void pyh_core_raise(pyh_core *core, pyhost_status status, PyObject *function, PyObject *detail);

/* The same with a detail made of the exception that is set, "prefixType: text", which becomes the cause. One that is
 * no Exception, such as KeyboardInterrupt, is left as it is. The prefix is a str or NULL. */
void pyh_core_raise_from(pyh_core *core, pyhost_status status, PyObject *function, PyObject *prefix);

/* "prefixType: text" of an exception, whatever its str() does; a new reference. NULL with an exception set. */
PyObject *pyh_core_describe(PyObject *exception, PyObject *prefix);

/* The value of an answer, or NULL with the exception that it stands for. Nothing is taken over. */
PyObject *pyh_core_answer(pyh_core *core, pyhost_status status, pyh_message *reply, PyObject *function);

/* Waits for an event with the GIL released: 1 once it is set, 0 when the deadline has passed, -1 with an exception set
 * when a signal handler raised. Past the deadline calls `late`, if that is not NULL, before it waits for the GIL. */
int pyh_core_wait(pyh_event *event, int64_t deadline_ns, void (*late)(void));

/* Between two stretches of a wait: -1 with an exception set when a signal handler raised, or when this thread is
 * interrupted, which code in C does not learn otherwise. */
int pyh_core_check_interrupts(void);

/* Seconds above 0 as nanoseconds, rounded up; PYH_NEVER for more than there are. */
int64_t pyh_core_nanoseconds(double seconds);

/* Seconds (float or int, > 0) to nanoseconds; None gives the default. -1 with an exception set. */
int64_t pyh_core_timeout(PyObject *seconds, int64_t default_ns);

/* Wraps what exists already; NULL with an exception set. References are taken. */
PyObject *pyh_core_wrap_router(pyh_core *core, pyh_router *router);
PyObject *pyh_core_wrap_call(pyh_core *core, pyh_call *call);
PyObject *pyh_core_function(pyh_core *core, pyh_router *router, PyObject *name);
/* The iterator of Function.map; the function is borrowed. */
PyObject *pyh_core_map(pyh_core *core, PyObject *function, PyObject *iterable, int64_t timeout_ns);

pyh_router *pyh_core_unwrap_router(PyObject *router);
pyh_interp *pyh_core_unwrap_interpreter(PyObject *interpreter);
pyh_completions *pyh_core_unwrap_completions(PyObject *completions);

/* For core_map.c: the full name of a Function (borrowed), and its way as of now: OK, and it is to be left, or a status
 * and nothing raised. */
PyObject *pyh_core_function_name(PyObject *function);
pyhost_status pyh_core_function_find(PyObject *function, pyh_way *way);

/* Functions of the module for the plugin's side, see core_serve.c. */
PyObject *pyh_core_serve_ready(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *pyh_core_open_inbox(PyObject *module, PyObject *unused);

/* Functions of the module and methods of Router for the log, see core_log.c. */
PyObject *pyh_core_log_level(PyObject *module, PyObject *unused);
PyObject *pyh_core_log_name(PyObject *module, PyObject *arguments);
PyObject *pyh_core_log_record(PyObject *module, PyObject *arguments);
PyObject *pyh_core_name_crashes(PyObject *module, PyObject *unused);
PyObject *pyh_core_router_open_log(PyObject *router, PyObject *level);
PyObject *pyh_core_router_close_log(PyObject *router, PyObject *unused);
PyObject *pyh_core_router_take_log(PyObject *router, PyObject *arguments);

/* Functions of the module for the plugin's side, see core_stream.c. */
PyObject *pyh_core_log_install(PyObject *module, PyObject *unused);
PyObject *pyh_core_report_thread(PyObject *module, PyObject *arguments);
PyObject *pyh_core_report_unraisable(PyObject *module, PyObject *arguments);
PyObject *pyh_core_find_spec(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#endif
