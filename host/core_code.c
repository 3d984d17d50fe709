/* core_code: code that the host has compiled once for all plugins' interpreters, which fetch it when they run it. */
#include "core_code.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* In a list that only grows. */
typedef struct kept {
    struct kept *next;
    size_t size;
    char *name;
    char bytes[];
} kept;

static _Atomic(kept *) newest;

static kept *find(const char *name)
{
    kept *item = atomic_load(&newest);
    while (item != NULL && strcmp(item->name, name) != 0) {
        item = item->next;
    }
    return item;
}

PyObject *pyh_core_keep_code(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *name, *bytes;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "sy#:keep_code", &name, &bytes, &size)) {
        return NULL;
    }
    if (find(name) != NULL) {
        Py_RETURN_NONE;
    }
    kept *item = malloc(sizeof *item + (size_t)size);
    char *own_name = strdup(name);
    if (item == NULL || own_name == NULL) {
        free(item);
        free(own_name);
        return PyErr_NoMemory();
    }
    *item = (kept){.size = (size_t)size, .name = own_name};
    memcpy(item->bytes, bytes, (size_t)size);
    item->next = atomic_load(&newest);
    while (!atomic_compare_exchange_weak(&newest, &item->next, item)) {
    }
    Py_RETURN_NONE;
}

PyObject *pyh_core_kept_code(PyObject *module, PyObject *name)
{
    (void)module;
    const char *text = PyUnicode_AsUTF8(name);
    kept *item = text != NULL ? find(text) : NULL;
    if (text != NULL && item == NULL) {
        PyErr_SetObject(PyExc_KeyError, name);
    }
    return item != NULL ? PyBytes_FromStringAndSize(item->bytes, (Py_ssize_t)item->size) : NULL;
}
