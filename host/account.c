/* account: see account.h. The registry from CPython's interpreters to accounts is a short array under a mutex; threads
 * remember what they found until an account is opened or closed. After it is closed only its owner thread is attached
 * to the interpreter, and charges it by its scope.
 *
 * Fact used: PyThreadState_SetAsyncExc takes the runtime's lock, under which CPython allocates, so inside an allocation
 * an exception is posted without it. */
#include "account.h"

#include <stdlib.h>

#include "async_exception.h"
#include "cpu.h"
#include "news.h"
#include "priority.h"
#include "region.h"

enum { RESERVE_BYTES = 8 << 20 };

_Thread_local pyh_account_thread pyh_this_thread;
_Atomic uint64_t pyh_account_epoch = 1;

static pyh_account host = {
    .references = 1,
    .limit_bytes = PYH_NO_LIMIT,
    .refusal_bytes = PYH_NO_LIMIT,
    .notice_bytes = PYH_NO_LIMIT,
    .calm_bytes = INT64_MIN,
};

static struct {
    pyh_mutex mutex;
    struct {
        PyInterpreterState *python;
        pyh_account *account; /* owned */
    } * entries;
    size_t count;
    size_t capacity;
} registry = {.mutex = {PTHREAD_MUTEX_INITIALIZER, PYH_RANK_ACCOUNTS}};

pyh_account *pyh_account_new(void)
{
    pyh_account *account = calloc(1, sizeof *account);
    if (account != NULL) {
        atomic_init(&account->references, 1);
        pyh_account_set_limit(account, PYH_NO_LIMIT, NULL);
    }
    return account;
}

pyh_account *pyh_account_ref(pyh_account *account)
{
    atomic_fetch_add_explicit(&account->references, 1, memory_order_relaxed);
    return account;
}

pyh_account *pyh_account_unref(pyh_account *account)
{
    if (account != NULL && atomic_fetch_sub_explicit(&account->references, 1, memory_order_acq_rel) == 1) {
        free(account);
    }
    return NULL;
}

pyh_account *pyh_account_host(void)
{
    return &host;
}

/* The mutex is held. */
static void registry_add(pyh_account *account, PyInterpreterState *python)
{
    if (registry.count == registry.capacity) {
        size_t capacity = registry.capacity > 0 ? 2 * registry.capacity : 64;
        void *entries = realloc(registry.entries, capacity * sizeof *registry.entries);
        if (entries == NULL) {
            return; /* the host is charged for it: wrong figures rather than no interpreter */
        }
        registry.entries = entries;
        registry.capacity = capacity;
    }
    registry.entries[registry.count].python = python;
    registry.entries[registry.count].account = pyh_account_ref(account);
    registry.count++;
}

void pyh_account_open(pyh_account *account, PyInterpreterState *python)
{
    pyh_mutex_lock(&registry.mutex);
    registry_add(account, python);
    atomic_fetch_add(&pyh_account_epoch, 1);
    pyh_mutex_unlock(&registry.mutex);
}

void pyh_account_close(pyh_account *account)
{
    pyh_account *closed = NULL;
    pyh_mutex_lock(&registry.mutex);
    for (size_t i = 0; i < registry.count && closed == NULL; i++) {
        if (registry.entries[i].account == account) {
            closed = account;
            registry.entries[i] = registry.entries[--registry.count];
        }
    }
    atomic_fetch_add(&pyh_account_epoch, 1);
    pyh_mutex_unlock(&registry.mutex);
    pyh_account_unref(closed);
}

pyh_account *pyh_account_look_up(PyInterpreterState *python)
{
    pyh_account_thread *thread = &pyh_this_thread;
    pyh_account *account = &host;
    pyh_mutex_lock(&registry.mutex);
    uint64_t epoch = atomic_load(&pyh_account_epoch);
    for (size_t i = 0; i < registry.count; i++) {
        if (registry.entries[i].python == python) {
            account = registry.entries[i].account;
            break;
        }
    }
    pyh_mutex_unlock(&registry.mutex);
    size_t place = pyh_account_place(python);
    thread->known[place].python = python;
    thread->known[place].account = account;
    thread->known[place].epoch = epoch;
    if (account != &host && thread->home == NULL && thread->visits == 0) {
        pyh_cpu_join(account); /* a thread that the plugin has started */
        pyh_priority_settle(); /* in a call that gave way, maybe */
    }
    return account;
}

void pyh_account_set_limit(pyh_account *account, int64_t limit_bytes, PyObject *limit_class)
{
    bool has_limit = limit_bytes != PYH_NO_LIMIT;
    PyObject *replaced = account->limit_class;
    account->limit_class = Py_XNewRef(limit_class);
    Py_XDECREF(replaced);
    atomic_store(&account->limit_bytes, limit_bytes);
    atomic_store(&account->refusal_bytes, has_limit ? limit_bytes + limit_bytes / 4 : PYH_NO_LIMIT);
    atomic_store(&account->calm_bytes, INT64_MIN);
    atomic_store(&account->notice_bytes, limit_bytes);
}

void pyh_account_pause(pyh_account *account)
{
    atomic_fetch_add(&account->paused, 1);
}

void pyh_account_resume(pyh_account *account)
{
    atomic_fetch_sub(&account->paused, 1);
}

/* Blocks from before the hooks that are freed under them can bring the host's numbers below zero. */
static int64_t at_least_zero(int64_t number)
{
    return number > 0 ? number : 0;
}

pyh_account_figures pyh_account_read(pyh_account *account)
{
    int64_t region_bytes;
    int64_t all_bytes = pyh_account_bytes(account); /* before measuring, which takes long: regions come and go */
    int64_t resident_bytes = pyh_region_measure(account, &region_bytes);
    return (pyh_account_figures){
        .current_bytes = at_least_zero(all_bytes - region_bytes) + resident_bytes,
        .peak_bytes = atomic_load_explicit(&account->peak_bytes, memory_order_relaxed),
        .limit_bytes = atomic_load_explicit(&account->limit_bytes, memory_order_relaxed),
        .allocations = at_least_zero(atomic_load_explicit(&account->attached_count, memory_order_relaxed) +
                                     atomic_load_explicit(&account->detached_count, memory_order_relaxed)),
        .refused = atomic_load_explicit(&account->refused, memory_order_relaxed),
        .raised = atomic_load_explicit(&account->raised, memory_order_relaxed),
    };
}

bool pyh_account_refuse(pyh_account *account, int64_t total, int64_t more)
{
    int64_t refusal = atomic_load_explicit(&account->refusal_bytes, memory_order_relaxed);
    if (atomic_load_explicit(&account->paused, memory_order_relaxed) > 0 && more <= refusal + RESERVE_BYTES - total) {
        return false;
    }
    atomic_fetch_add_explicit(&account->refused, 1, memory_order_relaxed);
    atomic_store_explicit(&account->struck_ns, pyh_now_ns(), memory_order_relaxed);
    /* One request that alone is too large, from below the limit, is no harm: its code knows that it may fail. */
    if (total > atomic_load_explicit(&account->limit_bytes, memory_order_relaxed) &&
        !atomic_exchange(&account->condemned, true)) {
        pyh_news_tell();
    }
    return true;
}

static bool raise_soon(PyThreadState *attached, PyObject *limit_class)
{
    if (!pyh_async_exception_post(attached, Py_NewRef(limit_class))) {
        Py_DECREF(limit_class);
        return false;
    }
    return true;
}

/* An owner thread outside any call runs its event loop's own code, which an exception would end. */
static bool may_raise(pyh_payer payer)
{
    const pyh_account_thread *thread = &pyh_this_thread;
    return payer.attached != NULL && payer.account->limit_class != NULL && (!thread->is_owner || thread->calls > 0) &&
           atomic_load_explicit(&payer.account->paused, memory_order_relaxed) == 0;
}

void pyh_account_notice(pyh_payer payer, int64_t total)
{
    pyh_account *account = payer.account;
    if (!may_raise(payer) || !raise_soon(payer.attached, account->limit_class)) {
        return;
    }
    /* Again only after it has grown by another sixteenth, so that code which handles the error can. */
    int64_t limit = atomic_load_explicit(&account->limit_bytes, memory_order_relaxed);
    atomic_store_explicit(&account->notice_bytes, total + limit / 16, memory_order_relaxed);
    atomic_store_explicit(&account->calm_bytes, limit - limit / 16, memory_order_relaxed);
    atomic_store_explicit(&account->struck_ns, pyh_now_ns(), memory_order_relaxed);
    atomic_fetch_add_explicit(&account->raised, 1, memory_order_relaxed);
}

void pyh_account_calm(pyh_account *account)
{
    atomic_store_explicit(&account->calm_bytes, INT64_MIN, memory_order_relaxed);
    atomic_store_explicit(&account->notice_bytes, atomic_load_explicit(&account->limit_bytes, memory_order_relaxed),
                          memory_order_relaxed);
}
