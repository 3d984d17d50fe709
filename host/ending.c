/* ending: see ending.h. Facts used: Py_EndInterpreter with another thread left in the interpreter kills the process. It
 * runs under the lock that creates and ends interpreters, so that a destructor that loops in it would hold up every
 * start; nobody can attach to the interpreter then, but a trace function still raises. What there is to do in Python is
 * in pyhost/ending.py. */
#include "ending.h"

#include "background.h"
#include "crash.h"
#include "direct.h"
#include "failure.h"
#include "lines.h"
#include "news.h"
#include "runtime.h"

enum {
    INTERRUPTED_NS = 1000 * 1000 * 1000, /* what is interrupted has so long to end */
    FIRST_PAUSE_NS = 50 * 1000,
    LONGEST_PAUSE_NS = 20 * 1000 * 1000,
    INTERVAL_NS = 50 * 1000 * 1000,
};

/* When destructors of the interpreter that this thread ends are cut short. */
static _Thread_local int64_t cut_short_ns;

static int trace(PyObject *interrupt_class, PyFrameObject *frame, int what, PyObject *argument)
{
    (void)frame;
    (void)argument;
    if ((what != PyTrace_LINE && what != PyTrace_CALL) || pyh_now_ns() < cut_short_ns) {
        return 0;
    }
    PyErr_SetNone(interrupt_class);
    return -1;
}

/* From now on Python code of this thread ends `limit_ns` after the last time that this was called. */
static void bound(int64_t limit_ns)
{
    cut_short_ns = pyh_deadline_after(limit_ns);
}

static PyObject *begin(pyh_interp *interp)
{
    bool has_started = interp->guest != NULL && interp->start_status == PYHOST_OK;
    PyObject *guest = has_started ? interp->guest : Py_None;
    pyh_account_pause(interp->account); /* a plugin at its limit ends in order, too */
    PyObject *ending = PyObject_CallMethod(interp->module, "begin_ending", "O", guest);
    PyErr_Clear();
    pyh_account_resume(interp->account);
    return ending;
}

/* Takes a step that keeps its failures to itself. Takes the argument over; NULL for none. */
static void take_step(PyObject *ending, const char *name, PyObject *argument)
{
    PyObject *method = ending != NULL ? PyObject_GetAttrString(ending, name) : NULL;
    PyObject *none = method != NULL ? PyObject_CallFunctionObjArgs(method, argument, NULL) : NULL;
    PyErr_Clear();
    Py_XDECREF(none);
    Py_XDECREF(method);
    Py_XDECREF(argument);
}

/* Runs the plugin's last functions; they are interrupted as a call is. */
static void stop_plugin(pyh_interp *interp, PyObject *ending)
{
    int64_t limit_ns = interp->assignment.stop_limit_ns;
    pyh_activation_outer outer;
    pyh_activation_begin(interp->activation, pyh_deadline_after(limit_ns), &outer);
    take_step(ending, "stop", PyFloat_FromDouble((double)limit_ns / 1e9));
    pyh_activation_end(interp->activation, &outer, pyh_now_ns());
}

static bool is_alone(pyh_interp *interp)
{
    PyThreadState *first = PyInterpreterState_ThreadHead(interp->python);
    return first == interp->thread_state && PyThreadState_Next(first) == NULL;
}

/* The identities of the other threads; NULL with an exception set. */
static PyObject *other_threads(pyh_interp *interp)
{
    PyObject *identities = PyList_New(0);
    PyThreadState *thread = PyInterpreterState_ThreadHead(interp->python);
    for (; thread != NULL && identities != NULL; thread = PyThreadState_Next(thread)) {
        PyObject *identity = thread != interp->thread_state ? PyLong_FromUnsignedLong(thread->thread_id) : NULL;
        if (identity != NULL && PyList_Append(identities, identity) < 0) {
            Py_CLEAR(identities);
        }
        Py_XDECREF(identity);
    }
    return identities;
}

/* How many there were. */
static int interrupt_others(pyh_interp *interp)
{
    int count = 0;
    PyThreadState *thread = PyInterpreterState_ThreadHead(interp->python);
    for (; thread != NULL; thread = PyThreadState_Next(thread)) {
        if (thread != interp->thread_state) {
            count += PyThreadState_SetAsyncExc(thread->thread_id, interp->interrupt.object);
            pyh_thread_wake((pthread_t)thread->thread_id); /* alive, as it needs the GIL to take its thread state off */
        }
    }
    return count;
}

static void let_others_run(int64_t pause_ns)
{
    struct timespec pause = {.tv_nsec = (long)pause_ns};
    PyThreadState *thread_state = PyEval_SaveThread();
    nanosleep(&pause, NULL);
    PyEval_RestoreThread(thread_state);
}

/* Waits until no other thread is left in the interpreter; false: there is one at the deadline. */
static bool wait_alone(pyh_interp *interp, int64_t deadline_ns)
{
    int64_t pause_ns = FIRST_PAUSE_NS;
    while (!is_alone(interp)) {
        if (pyh_now_ns() >= deadline_ns) {
            return false;
        }
        let_others_run(pause_ns);
        pause_ns = pyh_pause_doubled(pause_ns, LONGEST_PAUSE_NS);
    }
    return true;
}

/* The same, while they are interrupted again and again. They share one GIL, and what they do then takes its time, too.
 */
static bool interrupt_until_alone(pyh_interp *interp, int64_t deadline_ns)
{
    while (!is_alone(interp) && pyh_now_ns() < deadline_ns) {
        int64_t interval_ns = INTERVAL_NS * (1 + interrupt_others(interp));
        wait_alone(interp, pyh_deadline_after(interval_ns));
    }
    return is_alone(interp);
}

/* Keeps what has failed for the host. */
static void tell(pyh_interp *interp, PyObject *ending)
{
    PyObject *none = ending != NULL ? PyObject_CallMethod(ending, "tell", NULL) : NULL;
    if (none == NULL && PyErr_Occurred()) {
        interp->stop_reply = pyh_failure_take(interp, PYHOST_RAISED);
    }
    Py_XDECREF(none);
}

/* No thread can be made to end: the host does not wait for this interpreter any more, this thread does. */
static void set_aside(pyh_interp *interp)
{
    pyh_interp_set_aside(interp);
    pyh_event_set(&interp->ended);
    pyh_news_tell();
    interrupt_until_alone(interp, PYH_NEVER);
}

/* What the plugin leaves: its threads, its failures and its objects. */
static void clear_plugin(pyh_interp *interp, PyObject *ending, int64_t deadline_ns)
{
    PyEval_SetTrace(trace, interp->interrupt.object);
    if (!wait_alone(interp, deadline_ns)) {
        bound(INTERRUPTED_NS);
        take_step(ending, "blame", other_threads(interp));
        interrupt_until_alone(interp, pyh_deadline_after(INTERRUPTED_NS));
    }
    bound(INTERRUPTED_NS);
    pyh_account_set_limit(interp->account, PYH_NO_LIMIT, NULL);
    tell(interp, ending);
    if (!is_alone(interp)) {
        set_aside(interp);
    }
    Py_CLEAR(interp->functions);
    Py_CLEAR(interp->guest);
    bound(interp->assignment.stop_limit_ns > INTERRUPTED_NS ? interp->assignment.stop_limit_ns : INTERRUPTED_NS);
    take_step(ending, "clear", NULL);
    /* A destructor may have started one. */
    if (!wait_alone(interp, pyh_deadline_after(INTERRUPTED_NS))) {
        set_aside(interp);
    }
}

static void drop_references(pyh_interp *interp)
{
    Py_CLEAR(interp->functions);
    Py_CLEAR(interp->describe);
    pyh_async_class_clear(&interp->interrupt);
    Py_CLEAR(interp->guest);
    Py_CLEAR(interp->module);
}

static bool had_plugin(pyh_interp *interp)
{
    return interp->module != NULL && interp->start_status != PYHOST_CLOSED;
}

/* All that comes after the plugin's last functions. */
static void end(pyh_interp *interp, PyObject *ending, int64_t deadline_ns)
{
    PyEval_SaveThread();
    pyh_interp_vacate(interp);
    PyEval_RestoreThread(interp->thread_state);
    pyh_direct_clear(interp);
    if (had_plugin(interp)) {
        clear_plugin(interp, ending, deadline_ns);
    }
    Py_XDECREF(ending);
    pyh_account_set_limit(interp->account, PYH_NO_LIMIT, NULL);
    drop_references(interp);
    interp->codec = NULL;
    pyh_lines_end(interp->log_source);
    pyh_crash_forget(interp->python);
    bound(INTERRUPTED_NS);
    pyh_runtime_end_interpreter(interp->thread_state, interp->account);
}

void pyh_ending_run(pyh_interp *interp)
{
    int64_t deadline_ns = pyh_deadline_after(interp->assignment.stop_limit_ns);
    pyh_mutex_lock(&interp->mutex);
    atomic_store(&interp->stopping, true);
    pyh_pace_come_back();
    pyh_mutex_unlock(&interp->mutex);
    PyObject *ending = had_plugin(interp) ? begin(interp) : NULL;
    if (ending != NULL) {
        stop_plugin(interp, ending);
    }
    if (atomic_load(&interp->in_background)) {
        pyh_background stretch;
        pyh_background_begin(&stretch, PYH_BACKGROUND_NS);
        end(interp, ending, deadline_ns);
        pyh_background_end(&stretch);
    } else {
        end(interp, ending, deadline_ns);
    }
}
