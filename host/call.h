/* call: one call on its way, from submission to answer.
 *
 * Reference counted; any thread, GIL held or not. It is answered exactly once: by the interpreter that ran it, by its
 * deadline, or by whoever gives it up; the first wins and the others learn that they lost. The answer then goes to
 * the thread that waits for it, or into a completions queue. */
#ifndef PYH_CALL_H
#define PYH_CALL_H

#include "message.h"
#include "route.h"
#include "sync.h"
#include "watchdog.h"

struct pyh_completions;
struct pyh_interp;

typedef enum pyh_call_state {
    PYH_CALL_QUEUED,
    PYH_CALL_RUNNING,
    PYH_CALL_ANSWERING, /* somebody has won and writes the answer */
    PYH_CALL_ANSWERED,
} pyh_call_state;

typedef struct pyh_call {
    /* fixed once submitted */
    pyh_route *route;          /* owned */
    pyh_function *function;    /* part of the route */
    struct pyh_interp *interp; /* owned; where it is queued: whoever has it from the inbox may change that; or runs */
    pyh_message *request;      /* owned */
    struct pyh_interp *origin; /* borrowed; its owner thread waits for this call; NULL if no owner thread does */
    struct pyh_call *parent;   /* owned; the call that the origin is running, or NULL */
    int64_t submitted_ns;
    int64_t deadline_ns;
    int64_t run_limit_ns;                /* instead of a deadline: time from its start; PYH_NEVER for none */
    struct pyh_completions *completions; /* owned; NULL: a thread waits for `answered` */
    void *token;                         /* for the completions' owner */
    pyhost_answer_function *answer;      /* for api_call.c; NULL: no callback */
    /* the thread that runs it */
    uint64_t number; /* 0 until it is asked for */
    /* atomic: acquire/release, the answer is published by it */
    _Atomic uint32_t references;
    _Atomic uint32_t state;
    /* written by who answers; read once `answered` is set */
    pyhost_status status;
    pyh_message *reply; /* owned: a value when OK, a failure otherwise (see failure.h), may be NULL */
    pyh_event answered;
    /* guarded by the watchdog */
    pyh_timer timer;
    /* guarded by the completions queue */
    struct pyh_call *next;
} pyh_call;

/* A call to a function of the route (borrowed: it takes its own reference), with one reference for the caller. Takes
 * over the request. No deadline, no run limit, no completions yet. NULL: no memory, and the request is dropped. */
pyh_call *pyh_call_new(pyh_route *route, pyh_function *function, pyh_message *request);
/* This thread will wait for the call, which so becomes part of the one that it runs. Before it is submitted. */
void pyh_call_tie(pyh_call *call);
pyh_call *pyh_call_ref(pyh_call *call);
/* Returns NULL. */
pyh_call *pyh_call_unref(pyh_call *call);

/* Whether the interpreter's owner thread waits, directly or through others, for this call. */
bool pyh_call_holds_up(const pyh_call *call, const struct pyh_interp *interp);

/* The interpreter is about to run it. false: it has been answered already, leave it. */
bool pyh_call_begin(pyh_call *call);

/* Answers it, taking over the reply whatever happens. false: someone else had answered. */
bool pyh_call_answer(pyh_call *call, pyhost_status status, pyh_message *reply);

/* Answers it with CANCELLED, for its caller: code that runs for it is interrupted. false: someone else had answered. */
bool pyh_call_give_up(pyh_call *call);

/* From submission on, the deadline answers it even if no thread waits. For calls with completions. */
void pyh_call_arm(pyh_call *call, int64_t at_ns);

bool pyh_call_is_answered(pyh_call *call);

/* Where the number of the call that this thread runs stands, a direct one's, too; NULL outside any. */
extern _Thread_local uint64_t *pyh_running_number;
/* That number, unique in the process, given when it is first asked for; 0 outside any call. */
uint64_t pyh_call_running_number(void);

/* Waits for the answer until the call's deadline and answers it with TIMEOUT then. OK once it is answered, or
 * INTERRUPTED when a signal handler ran: wait again, or give it up. No GIL held. */
pyhost_status pyh_call_wait(pyh_call *call);

#endif
