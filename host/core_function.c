/* core_function: _core.Function, a handle for "plugin.function" that is called, submitted and mapped.
 *
 * It keeps the route that it found and looks again only when the router's version has changed, so a call takes no
 * lock to find its way. A call that meets an ended interpreter looks again as well: that is how calls live through a
 * reload. */
#include <stddef.h>
#include <string.h>

#include "core.h"
#include "direct.h"

/* Waking a thread on an idle processor takes tens of microseconds, so a caller first spins for the answer, as long as
 * that pays for this function: answers that come in time give patience, others take it away; with none left, one call
 * in PROBE_EVERY tries again. */
enum { SPIN_NS = 25 * 1000, MOST_PATIENCE = 4, PROBE_EVERY = 256 };

/* How often a call looks for a newer route before it calls the plugin unavailable. */
enum { MOST_ATTEMPTS = 8 };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    pyh_router *router; /* owned */
    PyObject *name;     /* "plugin.function" */
    char *plugin;       /* owned; name's two parts, cut apart */
    const char *function;
    /* what was found at `version` */
    uint64_t version;
    pyh_route *route; /* owned */
    pyh_function *found;
    unsigned patience; /* how often spinning for an answer may still fail, see wait_for */
    unsigned unspun;   /* calls that did not spin since the last one that did */
} Function;

static PyObject *function_vectorcall(PyObject *object, PyObject *const *arguments, size_t count, PyObject *names);

PyObject *pyh_core_function(pyh_core *core, pyh_router *router, PyObject *name)
{
    Py_ssize_t size = 0;
    const char *text = PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &size) : NULL;
    const char *dot = text != NULL ? strchr(text, '.') : NULL;
    if (dot == NULL || dot == text || dot[1] == '\0' || strlen(text) != (size_t)size) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "%R is not a function's full name; allowed: \"plugin.function\"", name);
        }
        return NULL;
    }
    PyTypeObject *type = pyh_core_type(core, PYH_CORE_FUNCTION);
    Function *self = type != NULL ? PyObject_GC_New(Function, type) : NULL;
    if (self == NULL) {
        return NULL;
    }
    memset((char *)self + offsetof(Function, vectorcall), 0, sizeof *self - offsetof(Function, vectorcall));
    self->vectorcall = function_vectorcall;
    self->router = pyh_router_ref(router);
    self->name = Py_NewRef(name);
    self->patience = MOST_PATIENCE;
    self->plugin = strdup(text);
    if (self->plugin == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->plugin[dot - text] = '\0';
    self->function = self->plugin + (dot - text) + 1;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static int function_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((Function *)object)->name);
    return 0;
}

static void function_dealloc(PyObject *object)
{
    Function *self = (Function *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    pyh_route_unref(self->route);
    pyh_router_unref(self->router);
    free(self->plugin);
    Py_XDECREF(self->name);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

PyObject *pyh_core_function_name(PyObject *function)
{
    return ((Function *)function)->name;
}

pyhost_status pyh_core_function_resolve(PyObject *function, pyh_route **route, pyh_function **found)
{
    Function *self = (Function *)function;
    if (atomic_load(&self->router->draining) && pyh_core_of(Py_TYPE(function))->interp == NULL) {
        return PYHOST_UNAVAILABLE;
    }
    if (self->route == NULL || self->version != atomic_load(&self->router->version)) {
        self->route = pyh_route_unref(self->route);
        self->route = pyh_router_find(self->router, self->plugin, &self->version);
        self->found = self->route != NULL ? pyh_route_find(self->route, self->function) : NULL;
    }
    if (self->route == NULL) {
        return PYHOST_NO_PLUGIN;
    }
    if (self->route->interp_count == 0) {
        return PYHOST_UNAVAILABLE;
    }
    if (self->found == NULL) {
        return PYHOST_NO_FUNCTION;
    }
    *route = pyh_route_ref(self->route);
    *found = self->found;
    return PYHOST_OK;
}

/* Encodes arguments, or raises ArgumentEncodingError. */
static pyh_message *encode_request(pyh_core *core, Function *self, PyObject *const *arguments, size_t count,
                                   PyObject *names)
{
    pyh_writer writer = {0};
    pyh_message *request = NULL;
    size_t failed = 0;
    pyhost_status status = pyh_codec_encode_arguments(&core->codec, &writer, arguments, count, names, &failed);
    if (status == PYHOST_OK && pyh_writer_finish(&writer, &request) == PYHOST_OK) {
        return request;
    }
    pyh_writer_discard(&writer);
    PyObject *cause = PyErr_GetRaisedException();
    PyObject *prefix =
        failed < count ? PyUnicode_FromFormat("argument %zu: ", failed + 1)
                       : PyUnicode_FromFormat("argument %U: ", PyTuple_GET_ITEM(names, (Py_ssize_t)(failed - count)));
    PyErr_SetRaisedException(cause);
    if (prefix != NULL) {
        pyh_core_raise_from(core, PYHOST_UNENCODABLE, self->name, prefix);
        Py_DECREF(prefix);
    }
    return NULL;
}

/* The time until when a call of this thread may take: its own limit, and that of the call that it is part of. */
static int64_t deadline_for(int64_t timeout_ns, const pyh_function *found)
{
    int64_t deadline_ns = pyh_deadline_after(timeout_ns > 0 ? timeout_ns : found->deadline_ns);
    return deadline_ns < pyh_current_deadline_ns ? deadline_ns : pyh_current_deadline_ns;
}

/* Whether the answer came while we spun, with the GIL released. */
static bool spin_for(Function *self, pyh_call *call)
{
    bool answered;
    if (self->patience == 0 && ++self->unspun < PROBE_EVERY) {
        return false;
    }
    self->unspun = 0;
    Py_BEGIN_ALLOW_THREADS
    answered = pyh_event_spin(&call->answered, SPIN_NS);
    Py_END_ALLOW_THREADS
    if (!answered) {
        self->patience -= self->patience > 0;
    } else if (self->patience < MOST_PATIENCE) {
        self->patience++;
    }
    return answered;
}

/* Waits for the answer with the GIL released. -1 with an exception set: a signal handler raised, the call is given
 * up. */
static int wait_for(Function *self, pyh_call *call)
{
    if (spin_for(self, call)) {
        return 0;
    }
    int outcome = pyh_core_wait(&call->answered, call->deadline_ns);
    if (outcome < 0) {
        pyh_call_give_up(call);
    } else if (outcome == 0) {
        Py_BEGIN_ALLOW_THREADS
        while (pyh_call_wait(call) != PYHOST_OK) {
            /* The deadline has passed: this ends at once, by our answer or by the one that is being written. */
        }
        Py_END_ALLOW_THREADS
    }
    return outcome < 0 ? -1 : 0;
}

/* One attempt at a queued call. CLOSED: the route is old. *value is the result, or NULL with an exception set when the
 * status is OK. */
static pyhost_status call_queued(pyh_core *core, Function *self, pyh_route *route, pyh_function *found,
                                 pyh_message *request, int64_t timeout_ns, PyObject **value)
{
    pyh_call *call = pyh_call_new(route, found, pyh_message_ref(request));
    if (call == NULL) {
        return PYHOST_NO_MEMORY;
    }
    call->deadline_ns = deadline_for(timeout_ns, found);
    call->origin = pyh_current_interp;
    call->parent = pyh_current_call != NULL ? pyh_call_ref(pyh_current_call) : NULL;
    pyhost_status status = pyh_route_submit(route, call);
    if (status == PYHOST_OK) {
        *value = wait_for(self, call) == 0 ? pyh_core_answer(core, call->status, call->reply, self->name) : NULL;
    }
    pyh_call_unref(call);
    return status;
}

static pyhost_status call_direct(pyh_core *core, Function *self, pyh_route *route, pyh_function *found,
                                 pyh_message *request, int64_t timeout_ns, PyObject **value)
{
    pyh_interp *interp = pyh_route_pick(route);
    int64_t started_ns = pyh_now_ns();
    int64_t deadline_ns = deadline_for(timeout_ns, found);
    pyh_message *reply = NULL;
    pyhost_status status =
        pyh_direct_call(interp, found, (size_t)(found - route->functions), request, deadline_ns, &reply);
    if (status == PYHOST_CLOSED || status == PYHOST_NO_MEMORY) {
        return status;
    }
    pyh_stats_record(found->stats, status, pyh_now_ns() - started_ns);
    *value = pyh_core_answer(core, status, reply, self->name);
    pyh_message_unref(reply);
    return PYHOST_OK;
}

/* Calls and waits. timeout_ns 0: the function's own. */
static PyObject *invoke(Function *self, PyObject *const *arguments, size_t count, PyObject *names, int64_t timeout_ns)
{
    pyh_core *core = pyh_core_of(Py_TYPE(self));
    pyhost_status status = PYHOST_CLOSED;
    PyObject *value = NULL;
    pyh_message *request = encode_request(core, self, arguments, count, names);
    if (request == NULL) {
        return NULL;
    }
    for (int attempt = 0; attempt < MOST_ATTEMPTS && status == PYHOST_CLOSED; attempt++) {
        pyh_route *route;
        pyh_function *found;
        status = pyh_core_function_resolve((PyObject *)self, &route, &found);
        if (status == PYHOST_OK) {
            /* One that cannot be called directly just now, as it is starting, may take the call into its inbox. */
            bool directly = found->direct && attempt % 2 == 0;
            status = directly ? call_direct(core, self, route, found, request, timeout_ns, &value)
                              : call_queued(core, self, route, found, request, timeout_ns, &value);
            pyh_route_unref(route);
        }
    }
    pyh_message_unref(request);
    if (status != PYHOST_OK) {
        pyh_core_raise(core, status == PYHOST_CLOSED ? PYHOST_UNAVAILABLE : status, self->name, NULL);
    }
    return value;
}

static PyObject *function_vectorcall(PyObject *object, PyObject *const *arguments, size_t count, PyObject *names)
{
    return invoke((Function *)object, arguments, (size_t)PyVectorcall_NARGS(count), names, 0);
}

/* Arguments that came as a tuple and a dict, in the form of vectorcall. */
typedef struct {
    PyObject *names;   /* tuple, or NULL */
    PyObject **values; /* PyMem; references of its own, as encoding may run code that changes the dict */
    size_t count;      /* positional */
    size_t total;      /* positional and keyword */
} flat_arguments;

static void flat_clear(flat_arguments *flat)
{
    for (size_t i = 0; i < flat->total; i++) {
        Py_DECREF(flat->values[i]);
    }
    Py_CLEAR(flat->names);
    PyMem_Free(flat->values);
}

static int flatten(PyObject *positional, PyObject *keywords, flat_arguments *flat)
{
    size_t count = (size_t)PyTuple_GET_SIZE(positional);
    size_t keyword_count = keywords != NULL ? (size_t)PyDict_GET_SIZE(keywords) : 0;
    *flat = (flat_arguments){.count = count};
    flat->values = PyMem_New(PyObject *, count + keyword_count + 1);
    flat->names = keyword_count > 0 ? PyTuple_New((Py_ssize_t)keyword_count) : NULL;
    if (flat->values == NULL || (keyword_count > 0 && flat->names == NULL)) {
        flat_clear(flat);
        PyErr_NoMemory();
        return -1;
    }
    while (flat->total < count) {
        flat->values[flat->total] = Py_NewRef(PyTuple_GET_ITEM(positional, (Py_ssize_t)flat->total));
        flat->total++;
    }
    Py_ssize_t position = 0;
    PyObject *key, *value;
    while (keyword_count > 0 && PyDict_Next(keywords, &position, &key, &value)) {
        if (!PyUnicode_CheckExact(key)) {
            PyErr_Format(PyExc_TypeError, "a keyword is %R; allowed: str", key);
            flat_clear(flat);
            return -1;
        }
        PyTuple_SET_ITEM(flat->names, (Py_ssize_t)(flat->total - count), Py_NewRef(key));
        flat->values[flat->total++] = Py_NewRef(value);
    }
    return 0;
}

static PyObject *function_call(PyObject *object, PyObject *arguments)
{
    PyObject *positional, *keywords, *timeout = Py_None;
    flat_arguments flat;
    if (!PyArg_ParseTuple(arguments, "O!O!|O:call", &PyTuple_Type, &positional, &PyDict_Type, &keywords, &timeout)) {
        return NULL;
    }
    int64_t timeout_ns = pyh_core_timeout(timeout, 0);
    if (timeout_ns < 0 || flatten(positional, keywords, &flat) < 0) {
        return NULL;
    }
    PyObject *value = invoke((Function *)object, flat.values, flat.count, flat.names, timeout_ns);
    flat_clear(&flat);
    return value;
}

/* Queues the request with completions; the call's Python handle. */
static PyObject *submit(pyh_core *core, Function *self, pyh_message *request, int64_t timeout_ns,
                        pyh_completions *completions, PyObject *token)
{
    pyhost_status status = PYHOST_CLOSED;
    pyh_call *call = NULL;
    for (int attempt = 0; attempt < MOST_ATTEMPTS && status == PYHOST_CLOSED; attempt++) {
        pyh_route *route;
        pyh_function *found;
        status = pyh_core_function_resolve((PyObject *)self, &route, &found);
        if (status != PYHOST_OK) {
            break;
        }
        call = pyh_call_new(route, found, pyh_message_ref(request));
        if (call == NULL) {
            status = PYHOST_NO_MEMORY;
        } else {
            call->deadline_ns = deadline_for(timeout_ns, found);
            call->completions = pyh_completions_ref(completions);
            call->token = token;
            status = pyh_route_submit(route, call);
        }
        pyh_route_unref(route);
        if (status != PYHOST_OK) {
            call = pyh_call_unref(call);
        }
    }
    if (status != PYHOST_OK) {
        pyh_core_raise(core, status == PYHOST_CLOSED ? PYHOST_UNAVAILABLE : status, self->name, NULL);
        return NULL;
    }
    Py_INCREF(token); /* the completions' until it is drained; nothing drains before we release the GIL */
    pyh_call_arm(call, call->deadline_ns);
    PyObject *handle = pyh_core_wrap_call(core, call);
    pyh_call_unref(call);
    return handle;
}

static PyObject *function_submit(PyObject *object, PyObject *arguments)
{
    pyh_core *core = pyh_core_of(Py_TYPE(object));
    Function *self = (Function *)object;
    PyObject *completions, *future, *positional, *keywords, *timeout = Py_None;
    flat_arguments flat;
    PyTypeObject *type = pyh_core_type(core, PYH_CORE_COMPLETIONS);
    if (type == NULL || !PyArg_ParseTuple(arguments, "O!OO!O!|O:submit", type, &completions, &future, &PyTuple_Type,
                                          &positional, &PyDict_Type, &keywords, &timeout)) {
        return NULL;
    }
    int64_t timeout_ns = pyh_core_timeout(timeout, 0);
    if (timeout_ns < 0 || flatten(positional, keywords, &flat) < 0) {
        return NULL;
    }
    pyh_message *request = encode_request(core, self, flat.values, flat.count, flat.names);
    flat_clear(&flat);
    PyObject *token = request != NULL ? PyTuple_Pack(2, future, self->name) : NULL;
    PyObject *handle = NULL;
    if (token != NULL) {
        handle = submit(core, self, request, timeout_ns, pyh_core_unwrap_completions(completions), token);
    }
    Py_XDECREF(token);
    pyh_message_unref(request);
    return handle;
}

static PyObject *function_map(PyObject *object, PyObject *arguments)
{
    PyObject *iterable, *timeout = Py_None;
    if (!PyArg_ParseTuple(arguments, "O|O:map", &iterable, &timeout)) {
        return NULL;
    }
    int64_t timeout_ns = pyh_core_timeout(timeout, 0);
    return timeout_ns < 0 ? NULL : pyh_core_map(pyh_core_of(Py_TYPE(object)), object, iterable, timeout_ns);
}

static PyObject *function_repr(PyObject *object)
{
    return PyUnicode_FromFormat("<pyhost function %U>", ((Function *)object)->name);
}

static PyObject *function_get_name(PyObject *object, void *unused)
{
    (void)unused;
    return Py_NewRef(((Function *)object)->name);
}

static PyMethodDef function_methods[] = {
    {"call", function_call, METH_VARARGS,
     "call(args, kwargs, timeout=None, /)\n--\n\nCall and wait. timeout in seconds; None: the function's own."},
    {"submit", function_submit, METH_VARARGS,
     "submit(completions, future, args, kwargs, timeout=None, /)\n--\n\nCall without waiting; completions.drain() "
     "gives the future back with its outcome. Returns the Call, by which it can be given up."},
    {"map", function_map, METH_VARARGS,
     "map(iterable, timeout=None, /)\n--\n\nCall once for each item, many under way at once; an iterator of the "
     "results in order. timeout bounds each call from its start, None: the function's own."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef function_getset[] = {
    {"name", function_get_name, NULL, "\"plugin.function\"", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef function_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(Function, vectorcall), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot function_slots[] = {
    {Py_tp_doc, (void *)"A plugin's function. Call it like one; made by Router.function."},
    {Py_tp_dealloc, function_dealloc},
    {Py_tp_traverse, function_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_repr, function_repr},
    {Py_tp_methods, function_methods},
    {Py_tp_getset, function_getset},
    {Py_tp_members, function_members},
    {0, NULL},
};

PyType_Spec pyh_function_spec = {
    .name = "pyhost._core.Function",
    .basicsize = sizeof(Function),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = function_slots,
};
