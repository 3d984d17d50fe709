/* interp: one plugin interpreter with its own GIL, and the owner thread that creates it, runs it and ends it.
 *
 * It comes up in two steps, so that some can be kept warm: first CPython's interpreter and pyhost's side in it, then,
 * when it is told which, the plugin.
 *
 * Reference counted; the struct outlives the CPython interpreter in it. Others reach the interpreter in two ways
 * only: a call through the inbox, or a visit (pyh_interp_enter), which keeps the owner from ending it meanwhile. */
#ifndef PYH_INTERP_H
#define PYH_INTERP_H

#include <Python.h>

#include "account.h"
#include "activation.h"
#include "async_exception.h"
#include "call.h"
#include "channel.h"
#include "codec.h"
#include "route.h"

typedef enum pyh_interp_state {
    PYH_INTERP_STARTING,
    PYH_INTERP_RUNNING,
    PYH_INTERP_DRAINING,
    PYH_INTERP_STOPPED,
    PYH_INTERP_FAILED, /* never ran: creation, import or on_start failed */
    PYH_INTERP_LOST,   /* its thread does not come back, or other threads are left in it: set aside, not ended */
} pyh_interp_state;

struct pyh_direct;

/* What an interpreter is to run. */
typedef struct pyh_assignment {
    const char *name; /* the plugin's */
    size_t inbox_capacity;
    int64_t memory_limit_bytes; /* PYH_NO_LIMIT for none */
    pyh_message *boot;          /* what the guest starts with */
    int64_t start_limit_ns;     /* bounds the plugin's import and on_start */
    int64_t stop_limit_ns;      /* bounds its on_stop */
    int64_t grace_ns;           /* what runs past its deadline for longer makes it overdue; PYH_NEVER: nothing does */
} pyh_assignment;

typedef struct pyh_interp {
    /* atomic */
    _Atomic uint32_t references;
    _Atomic uint32_t state;
    _Atomic uint64_t occupancy; /* calls queued, calls running and visitors in one number, see interp.c */
    _Atomic uint64_t served;    /* calls that it has run; changed with its GIL held */
    _Atomic bool abandoned;                 /* its calls are given up */
    _Atomic bool stopping;                  /* it runs no calls any more, but on_stop */
    _Atomic bool cancelled;                 /* a call that it runs was given up; for its event loop to look */
    _Atomic(const pyh_call *) running_call; /* only to compare with; see pyh_interp_expose_call */
    _Atomic bool has_notifier;              /* an asyncio loop watches the inbox */
    _Atomic bool in_background;             /* nobody waits for it to come up, or for its end */
    _Atomic int64_t asked_ns;               /* since when the loop has something to look at; 0: it has not */
    _Atomic bool overdue;                   /* a call in it has run past its deadline and the grace time */
    /* fixed after new */
    uint64_t id;
    pyh_router *router; /* owned; what the plugin's own calls go through */
    pyh_channel inbox;
    pyh_account *account;       /* owned */
    pyh_log_source *log_source; /* owned; what it adds to the router's log */
    pyh_event warm;             /* set once it waits for its plugin, or, after `ready`, has failed to come so far */
    pyh_event assigned;         /* set once it has its plugin, or is closed without one */
    pyh_event ready;            /* set once started or failed; then start_status and start_reply are fixed */
    pyh_event ended;            /* set once the thread is about to return */
    pyh_event vacated;          /* set once closed to visitors and none is left */
    pthread_t thread;
    /* written by the owner thread before the event `ready` */
    pyhost_status start_status;
    pyh_message *start_reply; /* owned; the plugin's description, or a failure */
    /* written by the owner thread before the event `ended` */
    pyh_message *stop_reply; /* owned; the failure of on_stop, or NULL */
    /* owner thread, read by visitors between `ready` and leaving */
    PyInterpreterState *python;
    PyThreadState *thread_state;
    pyh_codec *codec;          /* part of _core's module state there */
    PyObject *module;          /* pyhost.guest there */
    PyObject *functions;       /* tuple of the exported callables */
    PyObject *guest;           /* the pyhost.guest.Guest there */
    PyObject *describe;        /* guest.describe_exception */
    pyh_async_class interrupt; /* pyhost.plugin.DeadlineInterrupt there */
    pyh_message *bundle;       /* owned; what pyhost's side starts with; NULL once it has */
    pyh_notifier notifier;     /* if has_notifier */
    /* guarded by mutex until the event `assigned`, fixed then */
    pyh_assignment assignment; /* its boot message is owned, and NULL once it is read, or for no plugin */
    char *name;                /* owned; the assignment's */
    /* guarded by mutex */
    pyh_mutex mutex;
    struct pyh_direct *direct;  /* thread states of direct callers */
    pyh_activation *activation; /* owned; of the owner thread, which alone changes it */
} pyh_interp;

/* A new interp, without a thread and without a plugin. The router is borrowed. NULL: no memory. */
pyh_interp *pyh_interp_new(pyh_router *router);
pyh_interp *pyh_interp_ref(pyh_interp *interp);
pyh_interp *pyh_interp_unref(pyh_interp *interp);

/* Starts the owner thread, which creates the interpreter, loads pyhost's side of it from the message `bundle` (taken
 * over) and then waits for its plugin. Once only, unless it was SYSTEM: no thread; nothing runs. */
pyhost_status pyh_interp_warm_up(pyh_interp *interp, pyh_message *bundle);

/* What it does until it is given a plugin, and once its plugin has stopped, is done in the background (background.h) from
 * now on. Any thread. */
void pyh_interp_step_back(pyh_interp *interp);

/* Lets it load and run this plugin, as soon as it is warm. The name is copied, the boot message taken over whatever
 * happens. Once only, after warm_up. CLOSED: it was closed before; NO_MEMORY. */
pyhost_status pyh_interp_start(pyh_interp *interp, const pyh_assignment *assignment);

/* Stop taking calls; those in the inbox are still run, then the interpreter ends; at once if it has no plugin yet. Any
 * thread, any time. */
void pyh_interp_close(pyh_interp *interp);

/* Gives up its calls, those that wait and those that run, with CANCELLED; Python code that runs is interrupted, its
 * on_stop is not. Closes it first. Any thread. */
void pyh_interp_abandon(pyh_interp *interp);

/* It went past its hard memory limit: closes it and answers the calls in its inbox with OVER_LIMIT and the reply
 * (borrowed). What runs goes on. Any thread. */
void pyh_interp_condemn(pyh_interp *interp, pyh_message *reply);

/* A call in it is past its deadline and the grace time, and runs on: tells it as news. Any thread. */
void pyh_interp_run_over(pyh_interp *interp);

/* Closes it, and moves the calls that wait in its inbox to another, which runs the same plugin; what does not fit there
 * is answered with FULL. Any thread. */
void pyh_interp_hand_over(pyh_interp *interp, pyh_interp *successor);

/* A call that it runs has been given up by its caller: interrupts it, or tells the event loop to cancel it. Any thread.
 */
void pyh_interp_call_given_up(pyh_interp *interp, const pyh_call *call);

/* This thread runs the call from now on; NULL: none. */
void pyh_interp_run_call(pyh_call *call);

/* Who gives the call up interrupts what runs from now on; NULL: no more. The owner thread, within the call's own
 * activation: with an outer one's it could be that which is interrupted. */
void pyh_interp_expose_call(pyh_interp *interp, const pyh_call *call);

/* For how long its event loop has not looked at its inbox although it was asked to, while it runs no call either: some
 * other task or callback keeps it. 0: it has looked, or there is no loop. Any thread. */
int64_t pyh_interp_stalled_ns(pyh_interp *interp);
/* Its event loop looks at its inbox. The owner thread. */
void pyh_interp_look(pyh_interp *interp);

/* Sets it aside for good: its state is lost unless it has ended. */
void pyh_interp_set_aside(pyh_interp *interp);
/* Somebody waits for the end of one that was set aside: it has its full share of the processors again. Any thread. */
void pyh_interp_recall(pyh_interp *interp);

/* CPython's interpreter is gone; the final state. The owner thread. */
void pyh_interp_ended(pyh_interp *interp, pyh_interp_state state);

/* Puts the call into the inbox, which takes its own reference: OK, FULL or CLOSED. */
pyhost_status pyh_interp_submit(pyh_interp *interp, pyh_call *call);
/* Counts count calls as queued before they are sent; send puts in as many as fit and takes the rest off again. */
pyhost_status pyh_interp_send(pyh_interp *interp, pyh_call *const *calls, size_t count, size_t *sent);

/* Calls queued and running; those running. */
uint32_t pyh_interp_load(const pyh_interp *interp);
uint32_t pyh_interp_running(const pyh_interp *interp);

/* A call from the inbox begins to run, and then has ended, with the GIL held; or it is not run, as it was answered
 * before. */
void pyh_interp_begin_call(pyh_interp *interp);
void pyh_interp_end_call(pyh_interp *interp);
void pyh_interp_drop_call(pyh_interp *interp);

/* Counts one that a visitor has run. GIL held. */
void pyh_interp_count_served(pyh_interp *interp);

/* A visit: until pyh_interp_leave the interpreter is not ended. false: it is ending. Any thread. */
bool pyh_interp_enter(pyh_interp *interp);
void pyh_interp_leave(pyh_interp *interp);
/* The same, for a visitor that runs a call there. */
bool pyh_interp_enter_call(pyh_interp *interp);
void pyh_interp_leave_call(pyh_interp *interp);
/* No more visits; waits for those under way. No GIL held. */
void pyh_interp_vacate(pyh_interp *interp);

/* The interp whose owner thread this is, and the call that it runs; NULL elsewhere. */
extern _Thread_local pyh_interp *pyh_current_interp;
extern _Thread_local pyh_call *pyh_current_call;

/* How many interpreters have ended in this process, and what their accounts held even then: memory that CPython or a
 * library has leaked. */
typedef struct pyh_interp_ends {
    uint64_t count;
    int64_t left_bytes;
} pyh_interp_ends;

pyh_interp_ends pyh_interp_count_ends(void);

/* How many interpreters there are in this process, lost ones too: while there are any, CPython cannot be finalized. */
uint32_t pyh_interp_left_count(void);
/* One fewer: its owner thread is out of CPython for good. */
void pyh_interp_gone(void);

/* How many of them have been set aside. */
uint32_t pyh_interp_lost_count(void);

#endif
