/* core_channel: _core.Channel, a channel of values as Python sees it. It holds a reference to the channel and nothing
 * else, so that each interpreter has objects of its own for the same channel; they are equal.
 *
 * Whoever waits does so in stretches with the GIL released, and looks for interrupts in between: a plugin that waits
 * for a value that never comes ends with its call. */
#include "core_channel.h"

#include "core.h"

typedef struct {
    PyObject_HEAD
    pyh_value_channel *channel; /* owned */
} Channel;

pyh_value_channel *pyh_core_channel_of(PyObject *object)
{
    return ((Channel *)object)->channel;
}

PyObject *pyh_core_wrap_channel(PyTypeObject *type, pyh_value_channel *channel)
{
    Channel *self = (Channel *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->channel = pyh_value_channel_ref(channel);
    }
    return (PyObject *)self;
}

static PyObject *channel_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"capacity", NULL};
    Py_ssize_t capacity;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "n:Channel", names, &capacity)) {
        return NULL;
    }
    if (capacity < 1 || capacity > PYHOST_CHANNEL_MOST) {
        return PyErr_Format(PyExc_ValueError, "capacity is %zd; allowed: 1 to %d values", capacity,
                            PYHOST_CHANNEL_MOST);
    }
    pyh_value_channel *channel = pyh_value_channel_new((size_t)capacity);
    if (channel == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *self = pyh_core_wrap_channel(type, channel);
    pyh_value_channel_unref(channel);
    return self;
}

static void channel_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    pyh_value_channel_unref(pyh_core_channel_of(object));
    type->tp_free(object);
    Py_DECREF(type);
}

/* No type derives from it, so the destructor tells. */
bool pyh_core_is_channel(PyObject *object)
{
    return Py_TYPE(object)->tp_dealloc == channel_dealloc;
}

/* Raises pyhost.errors.build_channel(name of the status). */
static void raise_for(pyhost_status status)
{
    PyObject *errors = PyImport_ImportModule("pyhost.errors");
    PyObject *error =
        errors != NULL ? PyObject_CallMethod(errors, "build_channel", "s", pyhost_status_name(status)) : NULL;
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    Py_XDECREF(errors);
}

/* Raises what a call raises whose argument or result cannot cross, with the exception that is set as its cause. */
static void raise_uncrossed(PyObject *object, pyhost_status status, const char *method)
{
    PyObject *cause = PyErr_GetRaisedException();
    PyObject *name = PyUnicode_FromString(method);
    PyErr_SetRaisedException(cause);
    if (name != NULL) {
        pyh_core_raise_from(pyh_core_of(Py_TYPE(object)), status, name, NULL);
        Py_DECREF(name);
    }
}

/* Until when a wait of so many seconds lasts: 0 does not wait, None waits for ever, but for the deadline of the call
 * that it is part of. -1 with an exception set. */
static int64_t deadline_of(PyObject *timeout)
{
    if (timeout == Py_None) {
        return pyh_current_deadline_ns;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds >= 0)) {
        PyErr_Format(PyExc_ValueError, "timeout is %R; allowed: a number of seconds, 0 or more, or None", timeout);
        return -1;
    }
    return seconds > 0 ? pyh_deadline_within(pyh_deadline_after(pyh_core_nanoseconds(seconds))) : 0;
}

/* One try of a wait: sends *message, or receives it. */
typedef pyhost_status transfer_function(pyh_value_channel *channel, pyh_message **message, int64_t deadline_ns);

static pyhost_status send_one(pyh_value_channel *channel, pyh_message **message, int64_t deadline_ns)
{
    return pyh_value_channel_send(channel, *message, deadline_ns);
}

static pyhost_status receive_one(pyh_value_channel *channel, pyh_message **message, int64_t deadline_ns)
{
    return pyh_value_channel_receive(channel, deadline_ns, message);
}

/* Does it by the deadline. INTERRUPTED: an exception is set, and nothing was done. */
static pyhost_status wait_for(PyObject *object, transfer_function *transfer, pyh_message **message, int64_t deadline_ns)
{
    pyh_value_channel *channel = pyh_core_channel_of(object);
    /* Most often it need not wait, and the GIL is kept. */
    pyhost_status status = transfer(channel, message, 0);
    bool is_last = deadline_ns == 0;
    while ((status == PYHOST_FULL || status == PYHOST_TIMEOUT) && !is_last) {
        int64_t check_ns = pyh_deadline_after(PYH_SIGNAL_CHECK_NS);
        is_last = deadline_ns <= check_ns;
        Py_BEGIN_ALLOW_THREADS
        status = transfer(channel, message, is_last ? deadline_ns : check_ns);
        Py_END_ALLOW_THREADS
        if ((status == PYHOST_FULL || status == PYHOST_TIMEOUT) && pyh_core_check_interrupts() < 0) {
            return PYHOST_INTERRUPTED;
        }
    }
    return status;
}

/* Takes `wanted` positional arguments and then the timeout, by position or by name. -1 with an exception set. */
static int take_timeout(const char *method, PyObject *const *arguments, Py_ssize_t count, PyObject *names,
                        Py_ssize_t wanted, PyObject **timeout)
{
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    if (count < wanted || count + named > wanted + 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd argument(s) and a timeout; %zd given", method, wanted,
                     count + named);
        return -1;
    }
    if (named > 0 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") != 0) {
        PyErr_Format(PyExc_TypeError, "%s() has no argument %R; allowed: timeout", method, PyTuple_GET_ITEM(names, 0));
        return -1;
    }
    *timeout = count + named > wanted ? arguments[wanted] : Py_None;
    return 0;
}

static PyObject *channel_send(PyObject *object, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *timeout;
    pyh_message *message = NULL;
    if (take_timeout("send", arguments, count, names, 1, &timeout) < 0) {
        return NULL;
    }
    int64_t deadline_ns = deadline_of(timeout);
    if (deadline_ns < 0) {
        return NULL;
    }
    if (pyh_codec_encode_message(&pyh_core_of(Py_TYPE(object))->codec, arguments[0], &message) != PYHOST_OK) {
        raise_uncrossed(object, PYHOST_UNENCODABLE, "Channel.send");
        return NULL;
    }
    pyhost_status status = wait_for(object, send_one, &message, deadline_ns);
    pyh_message_unref(message);
    if (status == PYHOST_MISUSED) {
        PyErr_SetString(PyExc_ValueError, "a channel cannot be sent into itself");
        raise_uncrossed(object, PYHOST_UNENCODABLE, "Channel.send");
    } else if (status != PYHOST_OK && status != PYHOST_INTERRUPTED) {
        raise_for(status);
    }
    return status == PYHOST_OK ? Py_NewRef(Py_None) : NULL;
}

/* The next value. NULL with *status, and an exception where that is OK or INTERRUPTED. */
static PyObject *receive(PyObject *object, int64_t deadline_ns, pyhost_status *status)
{
    pyh_message *message = NULL;
    PyObject *value = NULL;
    *status = wait_for(object, receive_one, &message, deadline_ns);
    if (*status == PYHOST_OK) {
        if (pyh_codec_decode_message(&pyh_core_of(Py_TYPE(object))->codec, message, &value) != PYHOST_OK) {
            raise_uncrossed(object, PYHOST_BAD_RESULT, "Channel.receive");
        }
        pyh_message_unref(message);
    }
    return value;
}

static PyObject *channel_receive(PyObject *object, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *timeout;
    pyhost_status status;
    if (take_timeout("receive", arguments, count, names, 0, &timeout) < 0) {
        return NULL;
    }
    int64_t deadline_ns = deadline_of(timeout);
    if (deadline_ns < 0) {
        return NULL;
    }
    PyObject *value = receive(object, deadline_ns, &status);
    if (status != PYHOST_OK && status != PYHOST_INTERRUPTED) {
        raise_for(status);
    }
    return value;
}

static PyObject *channel_next(PyObject *object)
{
    pyhost_status status;
    PyObject *value = receive(object, pyh_current_deadline_ns, &status);
    if (status == PYHOST_TIMEOUT) {
        raise_for(status);
    }
    return value; /* NULL without an exception, closed, is the end */
}

static PyObject *channel_areceive(PyObject *object, PyObject *unused)
{
    (void)unused;
    PyObject *event_loop = PyImport_ImportModule("pyhost.event_loop");
    PyObject *coroutine = event_loop != NULL ? PyObject_CallMethod(event_loop, "receive_on_loop", "O", object) : NULL;
    Py_XDECREF(event_loop);
    return coroutine;
}

static PyObject *channel_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    pyh_value_channel_close(pyh_core_channel_of(object));
    Py_RETURN_NONE;
}

static PyObject *channel_fileno(PyObject *object, PyObject *unused)
{
    (void)unused;
    int fd = -1;
    pyhost_status status = pyh_value_channel_fd(pyh_core_channel_of(object), &fd);
    if (status == PYHOST_OK) {
        return PyLong_FromLong(fd);
    }
    return status == PYHOST_SYSTEM ? PyErr_SetFromErrno(PyExc_OSError) : PyErr_NoMemory();
}

static PyObject *channel_get_closed(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(pyh_value_channel_is_closed(pyh_core_channel_of(object)));
}

static PyObject *channel_get_capacity(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(pyh_core_channel_of(object)->capacity);
}

static Py_ssize_t channel_length(PyObject *object)
{
    return (Py_ssize_t)pyh_value_channel_depth(pyh_core_channel_of(object));
}

/* An empty one is true, too. */
static int channel_bool(PyObject *object)
{
    (void)object;
    return 1;
}

static PyObject *channel_repr(PyObject *object)
{
    pyh_value_channel *channel = pyh_core_channel_of(object);
    return PyUnicode_FromFormat("<pyhost.Channel: %zu of %zu values%s>", pyh_value_channel_depth(channel),
                                channel->capacity, pyh_value_channel_is_closed(channel) ? ", closed" : "");
}

static Py_hash_t channel_hash(PyObject *object)
{
    return Py_HashPointer(pyh_core_channel_of(object));
}

static PyObject *channel_compare(PyObject *object, PyObject *other, int operation)
{
    if ((operation != Py_EQ && operation != Py_NE) || !pyh_core_is_channel(other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    bool equal = pyh_core_channel_of(object) == pyh_core_channel_of(other);
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

static PyMethodDef channel_methods[] = {
    {"send", (PyCFunction)(void (*)(void))channel_send, METH_FASTCALL | METH_KEYWORDS,
     "send($self, value, /, timeout=None)\n--\n\nPut a value in. Waits for room so many seconds: 0 not at all, None for "
     "ever; in a plugin until its call's deadline at most. Raises ChannelFullError, ChannelClosedError, and "
     "ArgumentEncodingError for what cannot cross."},
    {"receive", (PyCFunction)(void (*)(void))channel_receive, METH_FASTCALL | METH_KEYWORDS,
     "receive($self, /, timeout=None)\n--\n\nTake the oldest value. Waits for one as send does for room. Raises "
     "ChannelEmptyError, and ChannelClosedError once it is closed and empty."},
    {"areceive", channel_areceive, METH_NOARGS,
     "areceive($self, /)\n--\n\nThe same for async functions to await; asyncio.timeout() bounds it."},
    {"close", channel_close, METH_NOARGS,
     "close($self, /)\n--\n\nAccept nothing more, and wake all who wait. What is in it can still be received."},
    {"fileno", channel_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nThe channel's own descriptor: readable while there may be something to receive, and once "
     "it is closed."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef channel_getset[] = {
    {"closed", channel_get_closed, NULL, "Whether it accepts nothing more.", NULL},
    {"capacity", channel_get_capacity, NULL, "How many values it holds at most.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot channel_slots[] = {
    {Py_tp_doc,
     (void *)"Channel(capacity)\n--\n\nA bounded queue of values between plugins and their host. Sent to another "
             "interpreter it is the same channel there. len() is how many values wait; iterating receives "
             "until it is closed and empty."},
    {Py_tp_new, channel_new},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_repr, channel_repr},
    {Py_tp_hash, channel_hash},
    {Py_tp_richcompare, channel_compare},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, channel_next},
    {Py_sq_length, channel_length},
    {Py_nb_bool, channel_bool},
    {Py_tp_methods, channel_methods},
    {Py_tp_getset, channel_getset},
    {0, NULL},
};

PyType_Spec pyh_channel_spec = {
    .name = "pyhost._core.Channel",
    .basicsize = sizeof(Channel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = channel_slots,
};
