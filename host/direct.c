/* direct: see direct.h. An entry belongs to its thread and is listed with its interpreter; whoever takes it off the
 * list, under the interpreter's mutex, deletes the thread state.
 *
 * CPython remembers for each thread the thread state that it attached last, and writes to that one when it attaches
 * another. A thread of Python's own is attached to its home again after each direct call. One of a program that knows
 * no Python has no home: the one remembered may be deleted by its interpreter's owner. So it is kept alive by a visit
 * while another is attached, or else CPython is made to forget it. */
#include "direct.h"

#include <stdlib.h>

#include "core_host.h"
#include "lines.h"

typedef struct pyh_direct {
    /* fixed: the thread's */
    pyh_interp *interp;         /* owned */
    pyh_activation *activation; /* owned */
    struct pyh_direct *next_of_thread;
    /* guarded by the interpreter's mutex */
    PyThreadState *thread_state; /* NULL before its first use and once deleted */
    struct pyh_direct *next_of_interp;
} pyh_direct;

static _Thread_local pyh_direct *thread_entries;

/* What CPython remembers of this thread, if it has no home; all NULL: nothing. */
static _Thread_local struct {
    pyh_interp *interp; /* owned */
    PyThreadState *thread_state;
} remembered;

static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Takes the entry's thread state off the interpreter's list; NULL if that has been done. */
static PyThreadState *take_thread_state(pyh_direct *entry)
{
    pyh_interp *interp = entry->interp;
    pyh_mutex_lock(&interp->mutex);
    PyThreadState *thread_state = entry->thread_state;
    entry->thread_state = NULL;
    for (pyh_direct **at = &interp->direct; *at != NULL; at = &(*at)->next_of_interp) {
        if (*at == entry) {
            *at = entry->next_of_interp;
            break;
        }
    }
    pyh_mutex_unlock(&interp->mutex);
    return thread_state;
}

/* Makes CPython forget which thread state this thread attached last, without a look at that one: deleting a thread
 * state that says it is the one clears the note. Within a visit. false: no memory. */
static bool make_forget(pyh_interp *interp)
{
    pyh_account_before before = pyh_account_enter(interp->account);
    PyThreadState *thread_state = PyThreadState_New(interp->python);
    if (thread_state != NULL) {
        thread_state->_status.bound_gilstate = 1;
        thread_state->_status.cleared = 1; /* it has nothing yet */
        PyThreadState_Delete(thread_state);
    }
    pyh_account_leave(before);
    return thread_state != NULL;
}

/* Attaches this thread, which is attached to nothing and has no home, to the interpreter that it visits. false: no
 * memory. */
static bool attach(pyh_interp *interp, PyThreadState *thread_state)
{
    pyh_interp *before = remembered.interp;
    bool must_keep = before != NULL && remembered.thread_state != thread_state;
    bool is_kept = must_keep && pyh_interp_enter(before);
    if (must_keep && !is_kept && !make_forget(interp)) {
        return false;
    }
    PyEval_RestoreThread(thread_state);
    if (is_kept) {
        pyh_interp_leave(before);
    }
    if (before != interp) {
        remembered.interp = pyh_interp_ref(interp);
        pyh_interp_unref(before);
    }
    remembered.thread_state = thread_state;
    return true;
}

static void forget_remembered(void)
{
    remembered.interp = pyh_interp_unref(remembered.interp);
    remembered.thread_state = NULL;
}

bool pyh_direct_is_possible(void)
{
    PyThreadState *last = PyGILState_GetThisThreadState();
    return (last == NULL || last == remembered.thread_state) && pyh_host_functions_running == 0;
}

static void free_entry(pyh_direct *entry)
{
    pyh_activation_retire(entry->activation);
    pyh_interp_unref(entry->interp);
    free(entry);
}

/* Deletes a thread state of this thread, which is attached to nothing. Within a visit. */
static void delete_thread_state(pyh_interp *interp, PyThreadState *thread_state)
{
    pyh_account_before before = pyh_account_enter(interp->account);
    /* Where memory is short it is left to the end of the process. */
    if (attach(interp, thread_state)) {
        PyThreadState_Clear(thread_state);
        PyThreadState_DeleteCurrent();
        forget_remembered();
    }
    pyh_account_leave(before);
}

/* The thread ends: pthread calls this on it. CPython may have been finalized by then only if no interp is left. */
static void forget_thread(void *entries)
{
    pyh_direct *entry = entries;
    thread_entries = NULL;
    while (entry != NULL) {
        pyh_direct *next = entry->next_of_thread;
        if (pyh_interp_enter(entry->interp)) {
            PyThreadState *thread_state = take_thread_state(entry);
            if (thread_state != NULL) {
                delete_thread_state(entry->interp, thread_state);
            }
            pyh_interp_leave(entry->interp);
        } else {
            /* Its owner deletes the thread state; wait until it is off the list. */
            while (pyh_event_wait(&entry->interp->ended, PYH_NEVER) != PYHOST_OK) {
            }
        }
        free_entry(entry);
        entry = next;
    }
    forget_remembered();
}

static void make_key(void)
{
    if (pthread_key_create(&thread_end, forget_thread) != 0) {
        abort();
    }
}

static pyh_direct *new_entry(pyh_interp *interp)
{
    pyh_direct *entry = calloc(1, sizeof *entry);
    pyh_activation *activation = entry != NULL ? pyh_activation_new(interp) : NULL;
    if (activation == NULL) {
        free(entry);
        return NULL;
    }
    entry->interp = pyh_interp_ref(interp);
    entry->activation = activation;
    return entry;
}

/* The entry's thread state, made at first use. NULL: no memory. Within a visit. */
static PyThreadState *thread_state_of(pyh_direct *entry)
{
    pyh_interp *interp = entry->interp;
    if (entry->thread_state == NULL) {
        pyh_account_before before = pyh_account_enter(interp->account);
        PyThreadState *thread_state = PyThreadState_New(interp->python);
        pyh_account_leave(before);
        if (thread_state == NULL) {
            return NULL;
        }
        pyh_mutex_lock(&interp->mutex);
        entry->thread_state = thread_state;
        entry->next_of_interp = interp->direct;
        interp->direct = entry;
        pyh_mutex_unlock(&interp->mutex);
    }
    return entry->thread_state;
}

/* Drops this thread's entries for interpreters that have ended. */
static void prune_entries(void)
{
    pyh_direct **at = &thread_entries;
    while (*at != NULL) {
        pyh_direct *entry = *at;
        if (pyh_event_is_set(&entry->interp->ended)) {
            *at = entry->next_of_thread;
            free_entry(entry);
        } else {
            at = &entry->next_of_thread;
        }
    }
}

/* This thread's entry for the interpreter, moved to the front. NULL: no memory. Within a visit. */
static pyh_direct *find_entry(pyh_interp *interp)
{
    if (thread_entries != NULL && thread_entries->interp == interp) {
        return thread_entries;
    }
    pyh_direct **at = &thread_entries;
    while (*at != NULL && (*at)->interp != interp) {
        at = &(*at)->next_of_thread;
    }
    pyh_direct *entry = *at;
    if (entry != NULL) {
        *at = entry->next_of_thread;
    } else {
        pthread_once(&once, make_key);
        prune_entries();
        entry = new_entry(interp);
        if (entry == NULL) {
            return NULL;
        }
    }
    entry->next_of_thread = thread_entries;
    thread_entries = entry;
    pthread_setspecific(thread_end, entry);
    return entry;
}

typedef struct {
    PyThreadState *thread_state;
    pyh_activation *activation;
} place;

/* Where this thread runs code of the interpreter: a second thread state for a thread that has one there would take the
 * interrupts meant for the first. It is attached to `current`, or nothing. The thread state is NULL for no memory. Within
 * a visit. */
static place find_place(pyh_interp *interp, PyThreadState *current)
{
    if (pyh_current_interp == interp) {
        return (place){interp->thread_state, interp->activation};
    }
    pyh_direct *entry = find_entry(interp);
    if (entry == NULL) {
        return (place){NULL, NULL};
    }
    bool is_inside = current != NULL && PyThreadState_GetInterpreter(current) == interp->python;
    return (place){is_inside ? current : thread_state_of(entry), entry->activation};
}

#if PY_VERSION_HEX < 0x030E0000

/* Before 3.14 CPython counts calls within C, and not the bytes that they take: list.sort's take the most, 1.7 kB. Those
 * of its parser, which it counts apart, take up to 1.5 MB. */
enum { BYTES_PER_C_CALL = 2048, RESERVED_BYTES = 2 << 20, LEAST_BYTES = 4 << 20 };

/* What is left of this thread's stack. */
static size_t stack_left(void)
{
    static _Thread_local uintptr_t end;
    if (end == 0) {
        pthread_attr_t attributes;
        void *lowest = NULL;
        size_t bytes;
        if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
            pthread_attr_getstack(&attributes, &lowest, &bytes);
            pthread_attr_destroy(&attributes);
        }
        end = lowest != NULL ? (uintptr_t)lowest : 1;
    }
    return (uintptr_t)__builtin_frame_address(0) - end;
}

static bool has_room(void)
{
    return stack_left() >= LEAST_BYTES;
}

/* Allows as many calls within C as the caller's stack has room for; returns what was allowed before. */
static int bound_recursion(PyThreadState *thread_state)
{
    int before = thread_state->c_recursion_remaining;
    size_t fit = (stack_left() - RESERVED_BYTES) / BYTES_PER_C_CALL;
    if (fit < (size_t)before) {
        thread_state->c_recursion_remaining = (int)fit;
    }
    return before;
}

static void restore_recursion(PyThreadState *thread_state, int before)
{
    thread_state->c_recursion_remaining = before;
}

#else

/* CPython looks at the stack itself. */
static bool has_room(void)
{
    return true;
}

static int bound_recursion(PyThreadState *thread_state)
{
    (void)thread_state;
    return 0;
}

static void restore_recursion(PyThreadState *thread_state, int before)
{
    (void)thread_state;
    (void)before;
}

#endif

/* Attached to the interpreter. */
static pyhost_status run(pyh_interp *interp, place here, pyh_invocation *invocation)
{
    PyThreadState *outer = here.activation->thread_state;
    int allowed = bound_recursion(here.thread_state);
    here.activation->thread_state = here.thread_state;
    pyhost_status status = pyh_invoke(interp, here.activation, invocation);
    here.activation->thread_state = outer;
    restore_recursion(here.thread_state, allowed);
    pyh_interp_count_served(interp);
    return status;
}

pyhost_status pyh_direct_call(pyh_interp *interp, PyThreadState *outer, pyh_invocation *invocation)
{
    /* One that is starting has no functions yet; its inbox takes calls. */
    if (atomic_load(&interp->state) == PYH_INTERP_STARTING || atomic_load(&interp->account->condemned) || !has_room() ||
        !pyh_interp_enter_call(interp)) {
        return PYHOST_CLOSED;
    }
    pyh_this_thread.visits++;
    place here = find_place(interp, outer);
    if (here.thread_state == NULL) {
        pyh_this_thread.visits--;
        pyh_interp_leave_call(interp);
        return PYHOST_NO_MEMORY;
    }
    uint64_t number = 0, *outer_number = pyh_running_number;
    pyh_running_number = &number;
    pyhost_status status = PYHOST_NO_MEMORY;
    if (outer != NULL) {
        PyThreadState_Swap(here.thread_state);
        status = run(interp, here, invocation);
        PyThreadState_Swap(outer);
    } else if (attach(interp, here.thread_state)) {
        status = run(interp, here, invocation);
        PyEval_SaveThread();
    }
    pyh_lines_end(interp->log_source);
    pyh_running_number = outer_number;
    pyh_this_thread.visits--;
    pyh_interp_leave_call(interp);
    return status;
}

void pyh_direct_clear(pyh_interp *interp)
{
    for (;;) {
        pyh_mutex_lock(&interp->mutex);
        pyh_direct *entry = interp->direct;
        PyThreadState *thread_state = NULL;
        if (entry != NULL) {
            interp->direct = entry->next_of_interp;
            thread_state = entry->thread_state;
            entry->thread_state = NULL;
        }
        pyh_mutex_unlock(&interp->mutex);
        if (thread_state == NULL) {
            break;
        }
        thread_state->_status.bound_gilstate = 0; /* it is another thread's note, see the top; ours stays */
        PyThreadState_Clear(thread_state);
        PyThreadState_Delete(thread_state);
    }
}
