/* async_exception: see async_exception.h. Facts used: CPython's loop looks at a thread state's eval_breaker, and where
 * a certain bit is set takes async_exc by an atomic exchange; it drops the reference with the GIL held. */
#include "async_exception.h"

/* Enough for posting one every 200 ms for two days. */
enum { KEPT = 1 << 20 };

static _Atomic uintptr_t exception_bit; /* 0: not learned */

void pyh_async_exception_learn(PyThreadState *attached)
{
    if (atomic_load(&exception_bit) == 0) {
        uintptr_t before = __atomic_load_n(&attached->eval_breaker, __ATOMIC_SEQ_CST);
        PyThreadState_SetAsyncExc(attached->thread_id, PyExc_MemoryError);
        uintptr_t after = __atomic_load_n(&attached->eval_breaker, __ATOMIC_SEQ_CST);
        PyThreadState_SetAsyncExc(attached->thread_id, NULL);
        atomic_store(&exception_bit, after & ~before);
    }
}

bool pyh_async_exception_post(PyThreadState *thread_state, PyObject *exception)
{
    PyObject *none = NULL;
    uintptr_t bit = atomic_load_explicit(&exception_bit, memory_order_relaxed);
    if (bit == 0 || !__atomic_compare_exchange_n(&thread_state->async_exc, &none, exception, false, __ATOMIC_SEQ_CST,
                                                 __ATOMIC_RELAXED)) {
        return false;
    }
    __atomic_fetch_or(&thread_state->eval_breaker, bit, __ATOMIC_SEQ_CST);
    return true;
}

void pyh_async_class_init(pyh_async_class *class, PyObject *object)
{
    class->object = object;
    if (object != NULL) {
        Py_SET_REFCNT(object, Py_REFCNT(object) + KEPT);
        atomic_store(&class->kept, KEPT);
    }
}

void pyh_async_class_clear(pyh_async_class *class)
{
    if (class->object != NULL) {
        Py_SET_REFCNT(class->object, Py_REFCNT(class->object) - (Py_ssize_t)atomic_exchange(&class->kept, 0));
        Py_CLEAR(class->object);
    }
}

void pyh_async_class_post(pyh_async_class *class, PyThreadState *thread_state)
{
    bool has_one = class->object != NULL && atomic_load(&class->kept) > 0;
    if (has_one && pyh_async_exception_post(thread_state, class->object)) {
        atomic_fetch_sub(&class->kept, 1);
    }
}
