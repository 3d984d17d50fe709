/* core_map: _core.Map, the iterator behind Host.map: one call for each item, many under way at once, results in order.
 *
 * Items are sent in batches, to the interpreter with the least to do, so that one lock and at most one wake-up carry
 * many; a batch is not held back longer than 100 µs. The window (how many are under way) starts small, so that few slow
 * items spread evenly, and doubles while answers come faster than once a millisecond. To wait, it waits for the middle
 * of the window for a moment first: then many answers cost one wake-up. */
#include <stdlib.h>

#include "core.h"

enum { BATCH = 32, WINDOW_LIMIT = 1024, FIRST_WINDOW_EACH = 4 };
enum { BATCH_OPEN_NS = 100 * 1000, MIDDLE_WAIT_NS = 200 * 1000, FAST_NS = 1000 * 1000, FULL_PAUSE_NS = 1000 * 1000 };

typedef struct {
    pyh_call *calls[BATCH];
    size_t count;
} batch;

typedef struct {
    PyObject_HEAD
    PyObject *function; /* a Function */
    PyObject *iterator; /* NULL once exhausted */
    PyObject *error;    /* what the iterable raised, for when its turn comes */
    int64_t timeout_ns; /* of each call from its start; 0: the function's own */
    bool busy;          /* a thread is in map_next; the iterable's code may run there */
    /* calls under way, oldest first, in a ring; each owned */
    pyh_call *calls[WINDOW_LIMIT];
    size_t first;
    size_t count;
    size_t window;
    size_t window_limit;
    /* being filled; for the interpreters of `route` */
    pyh_route *route; /* owned */
    batch *batches;
    size_t batched;
    int64_t opened_ns;
} Map;

static pyh_call *call_at(const Map *self, size_t index)
{
    return self->calls[(self->first + index) % WINDOW_LIMIT];
}

/* Sends what has gathered for one interpreter. What does not fit stays. CLOSED calls are answered as such, and sent
 * anew by redo. */
static void send_batch(Map *self, size_t index)
{
    batch *pending = &self->batches[index];
    size_t sent = 0;
    if (pending->count == 0) {
        return;
    }
    pyhost_status status = pyh_interp_send(self->route->interps[index], pending->calls, pending->count, &sent);
    for (size_t i = sent; i < pending->count; i++) {
        if (status == PYHOST_CLOSED) {
            pyh_call_answer(pending->calls[i], PYHOST_CLOSED, NULL);
        } else {
            pending->calls[i - sent] = pending->calls[i];
        }
    }
    size_t left = status == PYHOST_CLOSED ? 0 : pending->count - sent;
    self->batched -= pending->count - left;
    pending->count = left;
}

static void send_all(Map *self)
{
    for (size_t i = 0; self->batched > 0 && i < self->route->interp_count; i++) {
        send_batch(self, i);
    }
}

/* Gives up all calls under way. */
static void abandon(Map *self)
{
    for (; self->count > 0; self->count--) {
        pyh_call *call = self->calls[self->first];
        pyh_call_give_up(call);
        pyh_call_unref(call);
        self->first = (self->first + 1) % WINDOW_LIMIT;
    }
    free(self->batches);
    self->batches = NULL;
    self->batched = 0;
    self->route = pyh_route_unref(self->route);
}

/* A quarter of the inboxes: a map leaves room for other callers. */
static size_t window_limit(const pyh_route *route)
{
    size_t limit = 0;
    for (size_t i = 0; i < route->interp_count; i++) {
        limit += route->interps[i]->inbox.capacity / 4;
    }
    limit = limit > 0 ? limit : 1;
    return limit < WINDOW_LIMIT ? limit : WINDOW_LIMIT;
}

/* Goes over to the route. -1: no memory, and it stays with the old one. */
static int change_route(Map *self, pyh_route *route)
{
    batch *batches = calloc(route->interp_count, sizeof *batches);
    if (batches == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (self->route != NULL) {
        send_all(self);
        for (size_t i = 0; i < self->route->interp_count; i++) {
            for (size_t j = 0; j < self->batches[i].count; j++) {
                pyh_call_answer(self->batches[i].calls[j], PYHOST_CLOSED, NULL);
            }
        }
    }
    free(self->batches);
    pyh_route_unref(self->route);
    self->batches = batches;
    self->batched = 0;
    self->route = pyh_route_ref(route);
    self->window_limit = window_limit(route);
    size_t window = self->window > 0 ? self->window : FIRST_WINDOW_EACH * route->interp_count;
    self->window = window < self->window_limit ? window : self->window_limit;
    return 0;
}

/* Takes the current route, keeping the batches when it is the one that we have. Raises. */
static int take_route(Map *self, pyh_core *core, pyh_function **found)
{
    pyh_way way;
    pyhost_status status = pyh_core_function_find(self->function, &way);
    if (status != PYHOST_OK) {
        pyh_core_raise(core, status, pyh_core_function_name(self->function), NULL);
        return -1;
    }
    *found = way.function;
    int changed = way.route != self->route ? change_route(self, way.route) : 0;
    pyh_way_leave(&way);
    return changed;
}

/* The interpreter with the least queued, running and gathered. */
static size_t least_loaded(const Map *self)
{
    size_t picked = 0;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < self->route->interp_count && least > 0; i++) {
        size_t load = pyh_interp_load(self->route->interps[i]) + self->batches[i].count;
        if (load < least && self->batches[i].count < BATCH) {
            least = load;
            picked = i;
        }
    }
    return picked;
}

/* Puts the call into a batch. */
static void gather(Map *self, pyh_call *call)
{
    size_t index = least_loaded(self);
    batch *pending = &self->batches[index];
    if (self->batched++ == 0) {
        self->opened_ns = pyh_now_ns();
    }
    pending->calls[pending->count++] = call;
    if (pending->count == BATCH) {
        send_batch(self, index);
    } else if (self->batched % 8 == 0 && pyh_now_ns() - self->opened_ns > BATCH_OPEN_NS) {
        send_all(self);
    }
}

static bool any_batch_full(const Map *self)
{
    for (size_t i = 0; i < self->route->interp_count; i++) {
        if (self->batches[i].count < BATCH) {
            return false;
        }
    }
    return true;
}

/* Takes the exception that is set as the failure of an item that cannot cross; NULL, and it stays set, if it is no
 * Exception. */
static pyh_message *encoding_failure(void)
{
    pyh_message *failure = NULL;
    if (PyErr_ExceptionMatches(PyExc_Exception)) {
        pyh_codec plain = {.plain = true};
        PyObject *exception = PyErr_GetRaisedException();
        PyObject *prefix = PyUnicode_FromString("item: ");
        PyObject *detail = prefix != NULL ? pyh_core_describe(exception, prefix) : NULL;
        if (detail != NULL) {
            pyh_codec_encode_message(&plain, detail, &failure);
        }
        Py_XDECREF(detail);
        Py_XDECREF(prefix);
        Py_DECREF(exception);
    }
    return failure;
}

/* A call of the item; answered already if that cannot cross. NULL with an exception set. */
static pyh_call *new_call(Map *self, pyh_core *core, pyh_function *found, PyObject *item)
{
    pyh_writer writer = {0};
    pyh_message *request = NULL, *failure = NULL;
    size_t failed;
    if (pyh_codec_encode_arguments(&core->codec, &writer, &item, 1, NULL, &failed) != PYHOST_OK ||
        pyh_writer_finish(&writer, &request) != PYHOST_OK) {
        pyh_writer_discard(&writer);
        failure = encoding_failure();
        if (failure == NULL) {
            return NULL;
        }
    }
    pyh_call *call = pyh_call_new(self->route, found, request);
    if (call == NULL) {
        pyh_message_unref(failure);
        PyErr_NoMemory();
        return NULL;
    }
    call->run_limit_ns = self->timeout_ns > 0 ? self->timeout_ns : found->deadline_ns;
    if (failure != NULL) {
        pyh_call_answer(call, PYHOST_UNENCODABLE, failure);
    }
    return call;
}

/* Takes items until the window is full or the iterable ends. An error of the iterable waits for its turn. */
static void fill(Map *self, pyh_core *core)
{
    pyh_function *found;
    PyObject *item = NULL;
    if (self->iterator == NULL || (self->window > 0 && self->count > self->window / 2)) {
        return;
    }
    if (take_route(self, core, &found) < 0) {
        goto fail;
    }
    while (self->count < self->window && !any_batch_full(self)) {
        item = PyIter_Next(self->iterator);
        if (item == NULL) {
            goto fail;
        }
        pyh_call *call = new_call(self, core, found, item);
        Py_CLEAR(item);
        if (call == NULL) {
            goto fail;
        }
        self->calls[(self->first + self->count++) % WINDOW_LIMIT] = call;
        if (!pyh_call_is_answered(call)) {
            gather(self, call);
        }
    }
    send_all(self);
    return;

fail:
    self->error = PyErr_GetRaisedException(); /* NULL at the iterable's end */
    Py_CLEAR(self->iterator);
    if (self->route != NULL) {
        send_all(self);
    }
}

/* Sends a call that met a closed inbox again, along the present route. */
static int redo(Map *self, pyh_core *core)
{
    pyh_call *old = self->calls[self->first];
    pyh_function *found;
    if (take_route(self, core, &found) < 0) {
        return -1;
    }
    pyh_call *call = pyh_call_new(self->route, found, pyh_message_ref(old->request));
    if (call == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    call->run_limit_ns = old->run_limit_ns;
    pyh_call_unref(old);
    self->calls[self->first] = call;
    gather(self, call);
    send_all(self);
    return 0;
}

/* Waits, with the GIL released, until the oldest call is answered. */
static int wait_for_first(Map *self)
{
    pyh_call *first = call_at(self, 0);
    pyh_call *middle = call_at(self, self->count / 2);
    int64_t started_ns = pyh_now_ns();
    while (!pyh_call_is_answered(first)) {
        bool unsent = self->batched > 0;
        Py_BEGIN_ALLOW_THREADS
        if (pyh_event_wait(&middle->answered, pyh_deadline_after(MIDDLE_WAIT_NS)) != PYHOST_INTERRUPTED) {
            pyh_event_wait(&first->answered, pyh_deadline_after(unsent ? FULL_PAUSE_NS : PYH_SIGNAL_CHECK_NS));
        }
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() < 0) {
            return -1;
        }
        send_all(self);
    }
    if (pyh_now_ns() - started_ns < FAST_NS) {
        self->window = self->window * 2 < self->window_limit ? self->window * 2 : self->window_limit;
    }
    return 0;
}

static PyObject *next_result(Map *self, pyh_core *core)
{
    fill(self, core);
    if (self->count == 0) {
        PyErr_SetRaisedException(self->error);
        self->error = NULL;
        return NULL;
    }
    pyhost_status status;
    do {
        if (!pyh_call_is_answered(call_at(self, 0)) && wait_for_first(self) < 0) {
            return NULL;
        }
        status = call_at(self, 0)->status;
    } while (status == PYHOST_CLOSED && redo(self, core) == 0);
    pyh_call *call = self->calls[self->first];
    self->first = (self->first + 1) % WINDOW_LIMIT;
    self->count--;
    PyObject *value = NULL;
    if (status != PYHOST_CLOSED) {
        value = pyh_core_answer(core, call->status, call->reply, pyh_core_function_name(self->function));
    }
    pyh_call_unref(call);
    return value;
}

static PyObject *map_next(PyObject *object)
{
    Map *self = (Map *)object;
    if (self->busy) {
        PyErr_SetString(PyExc_ValueError,
                        "map is already executing: it is taken from by another thread, or by its iterable");
        return NULL;
    }
    self->busy = true;
    PyObject *value = next_result(self, pyh_core_of(Py_TYPE(object)));
    self->busy = false;
    return value;
}

PyObject *pyh_core_map(pyh_core *core, PyObject *function, PyObject *iterable, int64_t timeout_ns)
{
    PyObject *iterator = PyObject_GetIter(iterable);
    PyTypeObject *type = pyh_core_type(core, PYH_CORE_MAP);
    Map *self = iterator != NULL && type != NULL ? (Map *)type->tp_alloc(type, 0) : NULL;
    if (self == NULL) {
        Py_XDECREF(iterator);
        return NULL;
    }
    self->function = Py_NewRef(function);
    self->iterator = iterator;
    self->timeout_ns = timeout_ns;
    self->busy = true;
    fill(self, core);
    self->busy = false;
    if (self->count == 0 && self->error != NULL) {
        PyErr_SetRaisedException(self->error);
        self->error = NULL;
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int map_traverse(PyObject *object, visitproc visit, void *arg)
{
    Map *self = (Map *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->function);
    Py_VISIT(self->iterator);
    Py_VISIT(self->error);
    return 0;
}

static void map_dealloc(PyObject *object)
{
    Map *self = (Map *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    abandon(self);
    Py_XDECREF(self->function);
    Py_XDECREF(self->iterator);
    Py_XDECREF(self->error);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyType_Slot map_slots[] = {
    {Py_tp_doc,
     (void *)"Results of Function.map, in order. An item that failed raises in its turn; the next ones follow."},
    {Py_tp_dealloc, map_dealloc},
    {Py_tp_traverse, map_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, map_next},
    {0, NULL},
};

PyType_Spec pyh_map_spec = {
    .name = "pyhost._core.Map",
    .basicsize = sizeof(Map),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = map_slots,
};
