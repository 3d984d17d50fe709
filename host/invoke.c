/* invoke: see invoke.h. */
#include "invoke.h"

#include "failure.h"

pyhost_status pyh_invoke_classify(pyh_interp *interp)
{
    if (interp->interrupt_class != NULL && PyErr_ExceptionMatches(interp->interrupt_class)) {
        return PYHOST_TIMEOUT;
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

static pyhost_status fail(pyh_interp *interp, pyhost_status status, pyh_message **reply)
{
    if (status == PYHOST_TIMEOUT) {
        PyErr_Clear();
        *reply = NULL;
        status = atomic_load(&interp->abandoned) ? PYHOST_CANCELLED : PYHOST_TIMEOUT;
    } else {
        *reply = pyh_failure_take(interp, status);
    }
    return status;
}

pyhost_status pyh_invoke_conclude(pyh_interp *interp, PyObject *result, int64_t deadline_ns, pyh_message **reply)
{
    if (result == NULL) {
        pyhost_status status = pyh_invoke_classify(interp);
        /* What is raised past the deadline says most often that an inner call had no answer by it. */
        bool is_late = status == PYHOST_RAISED && pyh_now_ns() >= deadline_ns;
        return fail(interp, is_late ? PYHOST_TIMEOUT : status, reply);
    }
    if (pyh_codec_encode_message(interp->codec, result, reply) == PYHOST_OK) {
        return PYHOST_OK;
    }
    bool interrupted = pyh_invoke_classify(interp) == PYHOST_TIMEOUT;
    return fail(interp, interrupted ? PYHOST_TIMEOUT : PYHOST_BAD_RESULT, reply);
}

pyhost_status pyh_invoke(pyh_interp *interp, pyh_activation *activation, size_t index, pyh_message *request,
                         int64_t deadline_ns, pyh_message **reply)
{
    pyh_arguments arguments;
    pyhost_status status;
    pyh_activation_outer outer = pyh_activation_begin(activation, deadline_ns);
    if (pyh_codec_decode_arguments(interp->codec, request, &arguments) != PYHOST_OK) {
        status = fail(interp, PYHOST_UNENCODABLE, reply);
    } else {
        PyObject *function = PyTuple_GET_ITEM(interp->functions, (Py_ssize_t)index);
        PyObject *result = PyObject_Vectorcall(
            function, arguments.values, arguments.count | PY_VECTORCALL_ARGUMENTS_OFFSET, arguments.keyword_names);
        status = pyh_invoke_conclude(interp, result, deadline_ns, reply);
        Py_XDECREF(result);
        pyh_arguments_clear(&arguments);
    }
    pyh_activation_end(activation, outer);
    return status;
}
