/* async_exception: an exception that CPython raises in a thread when it next looks between two bytecodes. What
 * PyThreadState_SetAsyncExc does, but without a lock and without the GIL, which C code may keep as long as it likes. */
#ifndef PYH_ASYNC_EXCEPTION_H
#define PYH_ASYNC_EXCEPTION_H

#include <Python.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Finds out how CPython tells a thread state to look, before any is posted; again does nothing. GIL held. */
void pyh_async_exception_learn(PyThreadState *attached);

/* Lets CPython raise it in the thread of that state, which must not be deleted meanwhile. Takes the reference over;
 * false: one is pending there already, and the reference is still the caller's. Any thread, GIL held or not. */
bool pyh_async_exception_post(PyThreadState *thread_state, PyObject *exception);

/* A class of such exceptions with references that are kept for posting it: without the GIL none can be made. */
typedef struct pyh_async_class {
    PyObject *object; /* owned; NULL: nothing is posted */
    _Atomic int64_t kept;
} pyh_async_class;

/* Takes the reference over; NULL is allowed. GIL held, as for clear. */
void pyh_async_class_init(pyh_async_class *class, PyObject *object);
/* Nobody posts it any more. */
void pyh_async_class_clear(pyh_async_class *class);
/* As pyh_async_exception_post. One thread at a time, GIL held or not. */
void pyh_async_class_post(pyh_async_class *class, PyThreadState *thread_state);

static inline bool pyh_async_exception_is_pending(const PyThreadState *thread_state)
{
    return __atomic_load_n(&thread_state->async_exc, __ATOMIC_RELAXED) != NULL;
}

#endif
