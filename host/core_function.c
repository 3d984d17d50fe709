/* core_function: _core.Function, a handle for "plugin.function" that is called, submitted and mapped. */
#include <stddef.h>
#include <string.h>

#include "background.h"
#include "core.h"
#include "handle.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *name; /* "plugin.function" */
    pyh_handle handle;
} Function;

static PyObject *function_vectorcall(PyObject *object, PyObject *const *arguments, size_t count, PyObject *names);

static PyObject *raise_no_name(PyObject *name)
{
    return PyErr_Format(PyExc_ValueError, "%R is not a function's full name; allowed: \"plugin.function\"", name);
}

PyObject *pyh_core_function(pyh_core *core, pyh_router *router, PyObject *name)
{
    Py_ssize_t size = 0;
    if (!PyUnicode_Check(name)) {
        return raise_no_name(name);
    }
    const char *text = PyUnicode_AsUTF8AndSize(name, &size);
    PyTypeObject *type = text != NULL ? pyh_core_type(core, PYH_CORE_FUNCTION) : NULL;
    Function *self = type != NULL ? PyObject_GC_New(Function, type) : NULL;
    if (self == NULL) {
        return NULL;
    }
    memset((char *)self + offsetof(Function, vectorcall), 0, sizeof *self - offsetof(Function, vectorcall));
    self->vectorcall = function_vectorcall;
    self->name = Py_NewRef(name);
    PyObject_GC_Track(self);
    pyhost_status status = strlen(text) == (size_t)size ? pyh_handle_init(&self->handle, router, text) : PYHOST_MISUSED;
    if (status != PYHOST_OK) {
        Py_DECREF(self);
        return status == PYHOST_MISUSED ? raise_no_name(name) : PyErr_NoMemory();
    }
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
    pyh_handle_deinit(&self->handle);
    Py_XDECREF(self->name);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

PyObject *pyh_core_function_name(PyObject *function)
{
    return ((Function *)function)->name;
}

pyhost_status pyh_core_function_find(PyObject *function, pyh_way *way)
{
    bool for_plugin = pyh_core_of(Py_TYPE(function))->interp != NULL;
    return pyh_handle_find(&((Function *)function)->handle, for_plugin, way);
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
    if (count == 0 && names == NULL) {
        return NULL; /* no argument is at fault: there was no memory */
    }
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

/* Whether the answer came while we spun, with the GIL released. */
static bool spin_for(Function *self, pyh_call *call)
{
    bool answered = false;
    if (pyh_handle_should_spin(&self->handle)) {
        Py_BEGIN_ALLOW_THREADS
        answered = pyh_handle_spin(&self->handle, call);
        Py_END_ALLOW_THREADS
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
    /* One in the background that imports may hold the GIL that we wait for next. */
    int outcome = pyh_core_wait(&call->answered, call->deadline_ns, pyh_background_hurry);
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
static pyhost_status call_queued(pyh_core *core, Function *self, const pyh_way *way, pyh_message *request,
                                 int64_t timeout_ns, PyObject **value)
{
    pyh_call *call = pyh_way_new_call(way, request, timeout_ns);
    if (call == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyh_call_tie(call);
    pyhost_status status = pyh_route_submit(way->route, call);
    if (status == PYHOST_OK) {
        *value = wait_for(self, call) == 0 ? pyh_core_answer(core, call->status, call->reply, self->name) : NULL;
    }
    pyh_call_unref(call);
    return status;
}

static pyhost_status call_direct(pyh_core *core, Function *self, const pyh_way *way, pyh_message *request,
                                 int64_t timeout_ns, PyObject **value)
{
    pyhost_status outcome;
    pyh_message *reply = NULL;
    pyhost_status status = pyh_way_run(way, PyThreadState_Get(), request, timeout_ns, &outcome, &reply);
    if (status == PYHOST_OK) {
        *value = pyh_core_answer(core, outcome, reply, self->name);
        pyh_message_unref(reply);
    }
    return status;
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
    for (int attempt = 0; attempt < PYH_HANDLE_ATTEMPTS && status == PYHOST_CLOSED; attempt++) {
        pyh_way way;
        status = pyh_core_function_find((PyObject *)self, &way);
        if (status == PYHOST_OK) {
            /* One that cannot be called directly just now, as it is starting, may take the call into its inbox. */
            bool directly = way.function->direct && attempt % 2 == 0;
            status = directly ? call_direct(core, self, &way, request, timeout_ns, &value)
                              : call_queued(core, self, &way, request, timeout_ns, &value);
            pyh_way_leave(&way);
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
    for (int attempt = 0; attempt < PYH_HANDLE_ATTEMPTS && status == PYHOST_CLOSED; attempt++) {
        pyh_way way;
        status = pyh_core_function_find((PyObject *)self, &way);
        if (status != PYHOST_OK) {
            break;
        }
        call = pyh_way_new_call(&way, request, timeout_ns);
        if (call == NULL) {
            status = PYHOST_NO_MEMORY;
        } else {
            call->completions = pyh_completions_ref(completions);
            call->token = token;
            status = pyh_route_submit(way.route, call);
        }
        pyh_way_leave(&way);
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
