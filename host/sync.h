/* sync: mutexes with a checked order, a one-shot event, a file descriptor that wakes, and the monotonic clock.
 *
 * Lock order: a thread takes mutexes in rising rank only; debug builds assert it. No mutex of ours is held while
 * waiting for a GIL, running user code or dropping a Python reference. */
#ifndef PYH_SYNC_H
#define PYH_SYNC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pyhost.h"

/* The lock order, outermost first. */
typedef enum pyh_rank {
    PYH_RANK_CREATION = 1, /* runtime: creating and ending interpreters, one at a time */
    PYH_RANK_BACKGROUND,   /* background: the stretches under way */
    PYH_RANK_CALLBACKS,    /* api_call: starting and ending the thread of callbacks */
    PYH_RANK_HOST_FUNCTIONS, /* api_host: the table */
    PYH_RANK_HANDLE,       /* handle: the route that it has found */
    PYH_RANK_ROUTER,       /* router: the table of routes */
    PYH_RANK_INTERP,       /* interp: its list of direct thread states */
    PYH_RANK_CHANNEL,      /* channel: the ring */
    PYH_RANK_LOG,          /* log: the queue of records */
    PYH_RANK_WATCHDOG,     /* watchdog: the heap of timers */
    PYH_RANK_KICKERS,      /* kicker: until when each is asked */
    PYH_RANK_ACCOUNTS,     /* account: the registry; from here on, taken inside allocations */
    PYH_RANK_CPU,          /* cpu: the threads of each account */
    PYH_RANK_REGIONS,      /* region: the table */
    PYH_RANK_NEWS,         /* news: who waits for them */
} pyh_rank;

typedef struct pyh_mutex {
    pthread_mutex_t mutex;
    pyh_rank rank;
} pyh_mutex;

void pyh_mutex_init(pyh_mutex *mutex, pyh_rank rank);
void pyh_mutex_deinit(pyh_mutex *mutex);
void pyh_mutex_lock(pyh_mutex *mutex);
/* false: somebody holds it. */
bool pyh_mutex_try_lock(pyh_mutex *mutex);
void pyh_mutex_unlock(pyh_mutex *mutex);

/* Nanoseconds of the monotonic clock. Deadlines are absolute on it; PYH_NEVER means none. */
#define PYH_NEVER INT64_MAX
int64_t pyh_now_ns(void);

/* timeout_ns after that time, or after now, saturating at PYH_NEVER. */
int64_t pyh_deadline_from(int64_t at_ns, int64_t timeout_ns);
int64_t pyh_deadline_after(int64_t timeout_ns);

/* A pause that is twice as long, and no longer than the longest. */
static inline int64_t pyh_pause_doubled(int64_t pause_ns, int64_t longest_ns)
{
    return pause_ns * 2 < longest_ns ? pause_ns * 2 : longest_ns;
}

/* A condition variable on the monotonic clock. */
typedef struct pyh_condition {
    pthread_cond_t condition;
} pyh_condition;

void pyh_condition_init(pyh_condition *condition);
void pyh_condition_deinit(pyh_condition *condition);
void pyh_condition_signal(pyh_condition *condition);
void pyh_condition_broadcast(pyh_condition *condition);
/* Waits with the mutex held by the caller. Spurious returns happen. TIMEOUT when the deadline has passed. */
pyhost_status pyh_condition_wait(pyh_condition *condition, pyh_mutex *mutex, int64_t deadline_ns);

/* A signal that arrives just before a wait does not end it, so who waits for Python looks for signals this often. */
enum { PYH_SIGNAL_CHECK_NS = 200 * 1000 * 1000 };

/* An event that is set once, and waited for by any number of threads. Zeroed memory is an unset event. */
typedef struct pyh_event {
#ifdef __linux__
    _Atomic uint32_t state; /* a futex: 0 unset, 1 unset and waited for, 2 set */
#else
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool set;
#endif
} pyh_event;

void pyh_event_init(pyh_event *event);
void pyh_event_deinit(pyh_event *event);
bool pyh_event_is_set(pyh_event *event);
/* Sets it and wakes every waiter; what was written before is visible to them. Makes a system call only if a thread
 * waits. The setter must own a share of the memory: a waiter may drop its own as soon as it sees the event set. */
void pyh_event_set(pyh_event *event);
/* Looks again and again for at most that time, without giving up the processor; whether it is set. */
bool pyh_event_spin(pyh_event *event, int64_t most_ns);
/* OK, TIMEOUT, or INTERRUPTED when a signal handler ran (on Linux). */
pyhost_status pyh_event_wait(pyh_event *event, int64_t deadline_ns);

/* A file descriptor that becomes readable when notified and stays so until cleared. An eventfd, or a pipe where
 * there is none. */
typedef struct pyh_notifier {
    int read_fd;
    int write_fd;
} pyh_notifier;

pyhost_status pyh_notifier_init(pyh_notifier *notifier);
void pyh_notifier_deinit(pyh_notifier *notifier);
void pyh_notifier_notify(pyh_notifier *notifier);
void pyh_notifier_clear(pyh_notifier *notifier);
/* Blocks until notified: OK, TIMEOUT or INTERRUPTED. Does not clear. */
pyhost_status pyh_notifier_wait(pyh_notifier *notifier, int64_t deadline_ns);

/* As much stack as CPython's deepest recursion takes. Untouched pages cost nothing. */
extern const long pyh_stack_bytes;

/* Starts a thread with that much stack. The name, at most 15 bytes, is what debuggers show. The signal mask is
 * inherited: blocking signals here would pass on to every process that a plugin starts. */
pyhost_status pyh_thread_start(pthread_t *thread, const char *name, void *(*main)(void *), void *argument);

/* Lets pyh_thread_wake interrupt system calls, by a handler for SIGURG. For a process that is pyhost's own. */
void pyh_thread_allow_wake(void);
/* Interrupts the system call that the thread, which must be alive, waits in; nothing unless that is allowed. */
void pyh_thread_wake(pthread_t thread);

/* The kernel's number of this thread; 0 where it has none that pyhost could use. */
pid_t pyh_thread_number(void);

/* What the kernel tells of that thread of the process in /proc/self/task/NUMBER/FILE, up to bytes - 1 of it; "" where it
 * tells nothing or the thread has ended. Any thread. */
void pyh_thread_told(pid_t thread, const char *file, char *text, size_t bytes);

/* Gives this thread another name. */
void pyh_thread_rename(const char *name);

/* Gives back the pages of this thread's stack that it has used and does not use now. */
void pyh_thread_release_stack(void);

#endif
