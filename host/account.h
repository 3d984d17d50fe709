/* account: what one interpreter has allocated through CPython, and how much it may.
 *
 * memory.c charges it for every block and arena. A thread that is attached to the interpreter holds its GIL, so it is
 * the only one to write the `attached` numbers and needs no locked instruction for them; all others write `detached`
 * ones. Reading takes no GIL. Past its limit the code that runs there gets MemoryError at its next
 * bytecode; past the limit and a quarter allocations are refused and the account is condemned, as CPython is not safe
 * everywhere with an allocation that fails (measured: 3 to 5 % of the places during imports on 3.14 and 3.15).
 * Reference counted: threads that a lost interpreter leaves behind go on charging it. */
#ifndef PYH_ACCOUNT_H
#define PYH_ACCOUNT_H

#include <Python.h>

#include "sync.h"

#define PYH_NO_LIMIT INT64_MAX

struct pyh_region;
struct pyh_cpu_thread;

typedef struct pyh_account {
    _Atomic uint32_t references;
    /* atomic, relaxed: each number stands alone */
    _Atomic int64_t attached_bytes;
    _Atomic int64_t attached_count;
    _Atomic int64_t detached_bytes;
    _Atomic int64_t detached_count;
    _Atomic int64_t peak_bytes;
    _Atomic int64_t limit_bytes;   /* PYH_NO_LIMIT for none */
    _Atomic int64_t refusal_bytes; /* the limit and a quarter */
    _Atomic int64_t notice_bytes;  /* a charge beyond it raises in the plugin */
    _Atomic int64_t calm_bytes;    /* below it, notice_bytes is the limit again */
    _Atomic uint64_t refused;      /* allocations */
    _Atomic uint64_t raised;       /* MemoryErrors */
    _Atomic int64_t struck_ns;     /* when it last was refused or raised in */
    _Atomic uint32_t paused;       /* see pyh_account_pause */
    _Atomic bool condemned;
    _Atomic int64_t visits_ns; /* processor time of others' threads in this interpreter; changed with its GIL held */
    _Atomic int64_t away_ns;   /* that of its own threads in other interpreters */
    /* the interpreter's GIL */
    PyObject *limit_class; /* owned; what is raised in the plugin; NULL: nothing */
    /* guarded by region's mutex */
    struct pyh_region *regions;
    int64_t regions_bytes;
    /* guarded by cpu's mutex */
    struct pyh_cpu_thread *threads;
    int64_t ended_threads_ns;
} pyh_account;

/* NULL: no memory. */
pyh_account *pyh_account_new(void);
pyh_account *pyh_account_ref(pyh_account *account);
pyh_account *pyh_account_unref(pyh_account *account);

/* The account of the main interpreter, and of all that is nobody else's. Never freed. */
pyh_account *pyh_account_host(void);

/* From now on the interpreter's threads charge this account. Its owner thread, before any other is attached to it. */
void pyh_account_open(pyh_account *account, PyInterpreterState *python);
/* The interpreter is about to end: only its owner thread is attached to it, with the account as its scope. */
void pyh_account_close(pyh_account *account);

/* Sets the limit (PYH_NO_LIMIT for none) and the class, a MemoryError, that is raised in code that passes it. Attached
 * to the interpreter. Takes a reference; NULL drops the one before. */
void pyh_account_set_limit(pyh_account *account, int64_t limit_bytes, PyObject *limit_class);

/* Until resumed, nothing is raised, and 8 MiB more than the hard limit are allowed: to describe a failure, which may
 * run the plugin's code. Pairs nest. */
void pyh_account_pause(pyh_account *account);
void pyh_account_resume(pyh_account *account);

/* Everything that it holds; arenas whole. */
static inline int64_t pyh_account_bytes(const pyh_account *account)
{
    return atomic_load_explicit(&account->attached_bytes, memory_order_relaxed) +
           atomic_load_explicit(&account->detached_bytes, memory_order_relaxed);
}

typedef struct pyh_account_figures {
    int64_t current_bytes; /* blocks, and the touched pages of arenas */
    int64_t peak_bytes;
    int64_t limit_bytes; /* PYH_NO_LIMIT for none */
    int64_t allocations; /* live blocks and arenas */
    uint64_t refused;
    uint64_t raised;
} pyh_account_figures;

/* Any thread, no GIL. Asks the kernel once for each arena. */
pyh_account_figures pyh_account_read(pyh_account *account);

/* So many accounts a thread remembers. */
enum { PYH_ACCOUNTS_KNOWN = 4 };

/* What this thread charges, and how it stands to interpreters. */
typedef struct pyh_account_thread {
    pyh_account *scope; /* everything goes here at an interpreter's creation and end, but what visits allocate */
    pyh_account *home;  /* of which it is an owner thread, or a plugin's own; for the processor time */
    uint32_t visits;    /* it is in an interpreter as a guest: its time there is measured otherwise */
    bool is_owner;
    bool made_arena; /* the arena map's nodes may follow */
    bool is_booting; /* large blocks that it allocates are an interpreter's own tables */
    uint32_t calls;  /* activations that it runs */
    /* processor time: see cpu.h */
    uint32_t spans;
    int64_t clock_read_ns;
    int64_t clock_counted_ns;
    int64_t told_ns;
    struct {
        PyInterpreterState *python;
        pyh_account *account;
        uint64_t epoch;
    } known[PYH_ACCOUNTS_KNOWN];
} pyh_account_thread;

/* initial-exec: read at every allocation, without a call. */
extern _Thread_local pyh_account_thread pyh_this_thread __attribute__((tls_model("initial-exec")));

/* What a thread charged before it entered an account. */
typedef struct pyh_account_before {
    pyh_account *scope;
    uint32_t visits;
} pyh_account_before;

/* Until it leaves, this thread charges the account for all that it allocates and frees, whatever it is attached to, and
 * the account is paused: for thread states, which are made and dropped by threads that are not, and without which one
 * that is condemned could not be interrupted. Pairs nest. */
static inline pyh_account_before pyh_account_enter(pyh_account *account)
{
    pyh_account_before before = {pyh_this_thread.scope, pyh_this_thread.visits};
    pyh_account_pause(account);
    pyh_this_thread.scope = account;
    pyh_this_thread.visits = 0;
    return before;
}

static inline void pyh_account_leave(pyh_account_before before)
{
    pyh_account_resume(pyh_this_thread.scope);
    pyh_this_thread.scope = before.scope;
    pyh_this_thread.visits = before.visits;
}

/* Raised when an account is opened or closed: what threads know is old then. */
extern _Atomic uint64_t pyh_account_epoch;

/* Who pays for what this thread allocates: an account, and the thread state if it is attached to that interpreter. */
typedef struct pyh_payer {
    pyh_account *account;
    PyThreadState *attached;
} pyh_payer;

/* The slow ways of the functions below. */
pyh_account *pyh_account_look_up(PyInterpreterState *python);
bool pyh_account_refuse(pyh_account *account, int64_t total, int64_t more);
void pyh_account_notice(pyh_payer payer, int64_t total);
void pyh_account_calm(pyh_account *account);

/* Where a thread remembers the interpreter's account. */
static inline size_t pyh_account_place(const PyInterpreterState *python)
{
    return ((uintptr_t)python >> 12) % PYH_ACCOUNTS_KNOWN;
}

static inline pyh_payer pyh_account_payer(void)
{
    pyh_account_thread *thread = &pyh_this_thread;
    if (thread->scope != NULL && thread->visits == 0) {
        return (pyh_payer){thread->scope, NULL};
    }
    PyThreadState *attached = PyThreadState_GetUnchecked();
    if (attached == NULL) {
        return (pyh_payer){thread->home != NULL ? thread->home : pyh_account_host(), NULL};
    }
    PyInterpreterState *python = attached->interp;
    size_t place = pyh_account_place(python);
    if (thread->known[place].python == python &&
        thread->known[place].epoch == atomic_load_explicit(&pyh_account_epoch, memory_order_relaxed)) {
        return (pyh_payer){thread->known[place].account, attached};
    }
    return (pyh_payer){pyh_account_look_up(python), attached};
}

/* Whether so many more bytes are allowed; counts the refusal otherwise. */
static inline bool pyh_account_admits(pyh_account *account, size_t more)
{
    int64_t total = pyh_account_bytes(account);
    int64_t refusal = atomic_load_explicit(&account->refusal_bytes, memory_order_relaxed);
    return refusal == PYH_NO_LIMIT || (int64_t)more <= refusal - total ||
           !pyh_account_refuse(account, total, (int64_t)more);
}

static inline void pyh_account_add(_Atomic int64_t *number, int64_t amount, bool alone)
{
    if (alone) {
        int64_t value = atomic_load_explicit(number, memory_order_relaxed);
        atomic_store_explicit(number, value + amount, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(number, amount, memory_order_relaxed);
    }
}

static inline void pyh_account_charge(pyh_payer payer, int64_t bytes, int64_t count)
{
    pyh_account *account = payer.account;
    bool alone = payer.attached != NULL;
    pyh_account_add(alone ? &account->attached_bytes : &account->detached_bytes, bytes, alone);
    pyh_account_add(alone ? &account->attached_count : &account->detached_count, count, alone);
    int64_t total = pyh_account_bytes(account);
    int64_t peak = atomic_load_explicit(&account->peak_bytes, memory_order_relaxed);
    while (total > peak && !atomic_compare_exchange_weak_explicit(&account->peak_bytes, &peak, total,
                                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    if (total > atomic_load_explicit(&account->notice_bytes, memory_order_relaxed)) {
        pyh_account_notice(payer, total);
    } else if (total < atomic_load_explicit(&account->calm_bytes, memory_order_relaxed)) {
        pyh_account_calm(account);
    }
}

#endif
