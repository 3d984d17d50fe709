/* invoke: see invoke.h. */
#include "invoke.h"

#include "failure.h"

pyhost_status pyh_invoke_classify(pyh_interp *interp, int64_t started_ns)
{
    if (interp->interrupt.object != NULL && PyErr_ExceptionMatches(interp->interrupt.object)) {
        return PYHOST_TIMEOUT;
    }
    if (PyErr_ExceptionMatches(PyExc_MemoryError) && atomic_load(&interp->account->struck_ns) >= started_ns) {
        return PYHOST_OVER_LIMIT;
    }
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
        return PYHOST_RAISED;
    }
    /* A TypeError with no traceback was raised by the call itself: no line of the plugin's code has run. */
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *traceback = PyException_GetTraceback(exception);
    pyhost_status status = traceback == NULL ? PYHOST_BAD_ARGUMENTS : PYHOST_RAISED;
    Py_XDECREF(traceback);
    PyErr_SetRaisedException(exception);
    return status;
}

/* The status of a call that was interrupted, by its deadline or because all are given up. */
static pyhost_status interrupted_status(pyh_interp *interp)
{
    if (!atomic_load(&interp->abandoned)) {
        return PYHOST_TIMEOUT;
    }
    return atomic_load(&interp->account->condemned) ? PYHOST_OVER_LIMIT : PYHOST_CANCELLED;
}

static pyhost_status fail(pyh_interp *interp, pyhost_status status, pyh_message **reply)
{
    if (status == PYHOST_TIMEOUT) {
        status = interrupted_status(interp);
    }
    if (status == PYHOST_TIMEOUT || status == PYHOST_CANCELLED) {
        PyErr_Clear();
        *reply = NULL;
    } else {
        *reply = pyh_failure_take(interp, status);
        if (*reply == NULL && status != PYHOST_RAISED && status != PYHOST_OVER_LIMIT) {
            status = PYHOST_NO_MEMORY; /* not even for the words, which are all that there is to say */
        }
    }
    return status;
}

pyhost_status pyh_invoke_conclude(pyh_interp *interp, PyObject *result, int64_t started_ns, int64_t deadline_ns,
                                  pyh_message **reply)
{
    pyh_pace_come_back(); /* what follows may import, and hold the main GIL meanwhile */
    if (result == NULL) {
        pyhost_status status = pyh_invoke_classify(interp, started_ns);
        /* What is raised past the deadline says most often that an inner call had no answer by it. */
        bool is_late = status == PYHOST_RAISED && pyh_now_ns() >= deadline_ns;
        return fail(interp, is_late ? PYHOST_TIMEOUT : status, reply);
    }
    if (pyh_codec_encode_message(interp->codec, result, reply) == PYHOST_OK) {
        return PYHOST_OK;
    }
    pyhost_status status = pyh_invoke_classify(interp, started_ns);
    bool is_result = status != PYHOST_TIMEOUT && status != PYHOST_OVER_LIMIT;
    return fail(interp, is_result ? PYHOST_BAD_RESULT : status, reply);
}

pyhost_status pyh_invoke_settle(pyhost_status status, int64_t ended_ns, int64_t deadline_ns, pyh_message **reply)
{
    if (status != PYHOST_OK || ended_ns < deadline_ns) {
        return status;
    }
    *reply = pyh_message_unref(*reply);
    return PYHOST_TIMEOUT;
}

/* Of the exception that decoding the arguments has set. */
static pyhost_status conclude_undecoded(pyh_interp *interp, int64_t started_ns, pyh_message **reply)
{
    bool is_over = pyh_invoke_classify(interp, started_ns) == PYHOST_OVER_LIMIT;
    return fail(interp, is_over ? PYHOST_OVER_LIMIT : PYHOST_UNENCODABLE, reply);
}

void pyh_stretch_begin(pyh_stretch *stretch, pyh_interp *interp, int64_t now_ns, int64_t deadline_ns)
{
    uint32_t length = atomic_load_explicit(&stretch->stats->length, memory_order_relaxed);
    pyh_cpu_begin(&stretch->span, interp->account, now_ns, length != PYH_LENGTH_SHORT);
    pyh_activation_begin(stretch->activation, deadline_ns, &stretch->outer);
    if (length == PYH_LENGTH_SLOW && !stretch->is_prelude) {
        pyh_activation_give_way(stretch->activation);
    }
}

static pyh_length length_of(const pyh_cpu_span *span, int64_t processor_ns)
{
    if (!span->is_long) {
        return PYH_LENGTH_SHORT;
    }
    return processor_ns < PYH_PACE_LONG_NS ? PYH_LENGTH_LONG : PYH_LENGTH_SLOW;
}

void pyh_stretch_end(pyh_stretch *stretch, int64_t now_ns)
{
    pyh_activation_end(stretch->activation, &stretch->outer, now_ns);
    int64_t processor_ns = pyh_cpu_end(&stretch->span, now_ns);
    if (stretch->share != NULL) {
        pyh_stats_share_charge(stretch->share, processor_ns);
    } else {
        pyh_stats_charge(stretch->stats, processor_ns);
    }
    if (!stretch->is_prelude) {
        pyh_stats_note(stretch->stats, length_of(&stretch->span, processor_ns));
    }
}

/* The owner thread begins to run the call. Whoever gives it up either finds it, or has done so before, and it is
 * interrupted here. */
static void begin_call(pyh_interp *interp, pyh_activation *activation, pyh_call *call)
{
    pyh_interp_expose_call(interp, call);
    if (pyh_call_is_answered(call) || atomic_load(&interp->abandoned)) {
        pyh_activation_expire(activation, pyh_now_ns());
    }
}

/* Within the stretch. */
static pyhost_status run(pyh_interp *interp, pyh_invocation *self)
{
    pyh_arguments arguments;
    if (pyh_codec_decode_arguments(interp->codec, self->request, &arguments) != PYHOST_OK) {
        return conclude_undecoded(interp, self->started_ns, &self->reply);
    }
    PyObject *callable = PyTuple_GET_ITEM(interp->functions, (Py_ssize_t)self->index);
    PyObject *result = PyObject_Vectorcall(callable, arguments.values, arguments.count | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                           arguments.keyword_names);
    pyhost_status status = pyh_invoke_conclude(interp, result, self->started_ns, self->deadline_ns, &self->reply);
    Py_XDECREF(result);
    pyh_arguments_clear(&arguments);
    return status;
}

pyhost_status pyh_invoke(pyh_interp *interp, pyh_activation *activation, pyh_invocation *invocation)
{
    pyh_stretch stretch = {
        .activation = activation,
        .stats = invocation->function->stats,
        .share = invocation->share,
    };
    pyh_stretch_begin(&stretch, interp, invocation->started_ns, invocation->deadline_ns);
    if (invocation->call != NULL) {
        begin_call(interp, activation, invocation->call);
    }
    pyhost_status status = run(interp, invocation);
    if (invocation->call != NULL) {
        pyh_interp_expose_call(interp, NULL);
    }
    invocation->ended_ns = pyh_now_ns();
    pyh_stretch_end(&stretch, invocation->ended_ns);
    if (invocation->share != NULL) {
        pyh_stats_share_record(invocation->share, status, invocation->ended_ns - invocation->started_ns);
    }
    return status;
}
