/* cpu: see cpu.h. A thread leaves its account by a destructor of pthread's, on the thread itself and under the mutex,
 * so a clock that is in a list can be read. */
#include "cpu.h"

#include <stdlib.h>
#include <time.h>

enum { SHORT_NS = 20 * 1000 };

typedef struct pyh_cpu_thread {
    pyh_account *account; /* owned */
    clockid_t clock;
    struct pyh_cpu_thread *next;
} pyh_cpu_thread;

static pyh_mutex mutex = {PTHREAD_MUTEX_INITIALIZER, PYH_RANK_CPU};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;

static int64_t read_clock(clockid_t clock)
{
    struct timespec time;
    return clock_gettime(clock, &time) == 0 ? (int64_t)time.tv_sec * 1000000000 + time.tv_nsec : 0;
}

static void leave(void *record)
{
    pyh_cpu_thread *thread = record;
    pyh_account *account = thread->account;
    pyh_mutex_lock(&mutex);
    pyh_cpu_thread **place = &account->threads;
    while (*place != thread) {
        place = &(*place)->next;
    }
    *place = thread->next;
    account->ended_threads_ns += read_clock(thread->clock);
    pyh_mutex_unlock(&mutex);
    pyh_this_thread.home = NULL;
    pyh_account_unref(account);
    free(thread);
}

static void make_key(void)
{
    if (pthread_key_create(&thread_end, leave) != 0) {
        abort();
    }
}

void pyh_cpu_join(pyh_account *account)
{
    pyh_cpu_thread *thread = malloc(sizeof *thread);
    if (thread == NULL || pthread_getcpuclockid(pthread_self(), &thread->clock) != 0) {
        free(thread);
        return;
    }
    pthread_once(&once, make_key);
    thread->account = pyh_account_ref(account);
    pyh_mutex_lock(&mutex);
    thread->next = account->threads;
    account->threads = thread;
    pyh_mutex_unlock(&mutex);
    pyh_this_thread.home = account;
    pyh_this_thread.clock_read_ns = read_clock(CLOCK_THREAD_CPUTIME_ID);
    pthread_setspecific(thread_end, thread);
}

int64_t pyh_cpu_read(pyh_account *account)
{
    pyh_mutex_lock(&mutex);
    int64_t time_ns = account->ended_threads_ns;
    for (pyh_cpu_thread *thread = account->threads; thread != NULL; thread = thread->next) {
        time_ns += read_clock(thread->clock);
    }
    pyh_mutex_unlock(&mutex);
    time_ns += atomic_load_explicit(&account->visits_ns, memory_order_relaxed);
    time_ns -= atomic_load_explicit(&account->away_ns, memory_order_relaxed);
    return time_ns > 0 ? time_ns : 0;
}

void pyh_cpu_begin(pyh_cpu_span *span, pyh_account *account, int64_t now_ns, bool may_be_long)
{
    pyh_account_thread *thread = &pyh_this_thread;
    bool is_outermost = thread->spans++ == 0;
    span->account = account;
    span->started_ns = now_ns;
    span->told_ns = thread->told_ns;
    bool may_start_here = is_outermost && thread->home == account;
    span->clock_ns = may_be_long && !may_start_here ? read_clock(CLOCK_THREAD_CPUTIME_ID) : -1;
}

/* What the thread used in a long span, inner ones included. */
static int64_t measure(const pyh_cpu_span *span, bool is_outermost, int64_t wall_ns)
{
    pyh_account_thread *thread = &pyh_this_thread;
    if (span->clock_ns < 0 && thread->home != NULL && thread->home != span->account) {
        return 0; /* unknown: it stays with the thread's home, whose time must not fall */
    }
    int64_t clock_ns = read_clock(CLOCK_THREAD_CPUTIME_ID);
    int64_t time_ns = clock_ns - (span->clock_ns >= 0 ? span->clock_ns : thread->clock_read_ns);
    if (is_outermost) {
        /* Between its calls an owner thread does next to nothing, so its clock is not read at their beginning. */
        time_ns -= span->clock_ns >= 0 ? 0 : thread->clock_counted_ns;
        thread->clock_read_ns = clock_ns;
        thread->clock_counted_ns = 0;
    }
    time_ns = time_ns < wall_ns ? time_ns : wall_ns;
    return time_ns > 0 ? time_ns : 0;
}

int64_t pyh_cpu_end(pyh_cpu_span *span, int64_t now_ns)
{
    pyh_account_thread *thread = &pyh_this_thread;
    bool is_outermost = --thread->spans == 0;
    int64_t wall_ns = now_ns - span->started_ns;
    span->is_long = wall_ns >= SHORT_NS;
    int64_t time_ns = span->is_long ? measure(span, is_outermost, wall_ns) : wall_ns;
    if (is_outermost && !span->is_long) {
        thread->clock_counted_ns += wall_ns;
    }
    int64_t own_ns = time_ns - (thread->told_ns - span->told_ns);
    own_ns = own_ns > 0 ? own_ns : 0;
    thread->told_ns += own_ns;
    if (thread->home != span->account) {
        pyh_account_add(&span->account->visits_ns, own_ns, true);
        if (thread->home != NULL) {
            pyh_account_add(&thread->home->away_ns, own_ns, false);
        }
    }
    return own_ns;
}
