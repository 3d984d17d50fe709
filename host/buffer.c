/* buffer: see buffer.h. Used by one interpreter; the message's count is atomic, so the memory may outlive others. */
#include "buffer.h"

typedef struct {
    PyObject_HEAD
    pyh_message *message; /* owned */
    uint32_t index;
} Buffer;

PyObject *pyh_buffer_new(PyTypeObject *type, pyh_message *message, uint32_t index)
{
    Buffer *self = (Buffer *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->message = pyh_message_ref(message);
        self->index = index;
    }
    return (PyObject *)self;
}

static void buffer_dealloc(PyObject *object)
{
    Buffer *self = (Buffer *)object;
    PyTypeObject *type = Py_TYPE(object);
    pyh_message_unref(self->message);
    type->tp_free(object);
    Py_DECREF(type);
}

static int buffer_get(PyObject *object, Py_buffer *view, int flags)
{
    Buffer *self = (Buffer *)object;
    const pyh_buffer *buffer = &self->message->buffers[self->index];
    return PyBuffer_FillInfo(view, object, buffer->data, (Py_ssize_t)buffer->size, 1, flags);
}

static PyType_Slot buffer_slots[] = {
    {Py_tp_doc, (void *)"Memory that a message owns, shared read-only; wrap it in memoryview()."},
    {Py_tp_dealloc, buffer_dealloc},
    {Py_bf_getbuffer, buffer_get},
    {0, NULL},
};

PyType_Spec pyh_buffer_spec = {
    .name = "pyhost._core.Buffer",
    .basicsize = sizeof(Buffer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = buffer_slots,
};
