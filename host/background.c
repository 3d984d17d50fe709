/* background: see background.h. On Linux a scheduling policy is a thread's own; under SCHED_IDLE one that wakes up takes
 * the processor at once, where with the lowest priority ("nice") it waits for some milliseconds. To take that policy is
 * always allowed, to leave it takes CAP_SYS_NICE or a limit RLIMIT_NICE of 20, see sched(7). */
#include "background.h"

#include <sched.h>
#include <unistd.h>

#ifdef __linux__
static struct {
    pthread_once_t once;
    bool may_return; /* fixed once it is known */
    pyh_mutex mutex;
    pyh_background *first; /* guarded by mutex */
} background = {.once = PTHREAD_ONCE_INIT};

static bool set_policy(pid_t thread, int policy)
{
    return sched_setscheduler(thread, policy, &(struct sched_param){0}) == 0;
}

/* Tried on a thread that is of no other use. */
static void *try(void *unused)
{
    background.may_return =
        sched_getscheduler(0) == SCHED_OTHER && set_policy(0, SCHED_IDLE) && set_policy(0, SCHED_OTHER);
    return unused;
}

static void set_up(void)
{
    pthread_t thread;
    pyh_watchdog_disarm(&(pyh_timer){0}); /* starts its thread, which would inherit the policy */
    pyh_mutex_init(&background.mutex, PYH_RANK_BACKGROUND);
    if (pyh_thread_start(&thread, "pyh-try", try, NULL) == PYHOST_OK) {
        pthread_join(thread, NULL);
    }
}

/* Also one that is only about to give way: it looks at the flag then. */
static void call_off(pyh_background *stretch)
{
    atomic_store(&stretch->is_called_off, true);
    set_policy(stretch->thread, SCHED_OTHER);
}

static void give_way_no_more(pyh_timer *timer)
{
    pyh_background *stretch = (pyh_background *)timer;
    call_off(stretch);
    pyh_event_set(&stretch->over);
}

/* Locks are taken before the policy and after it: who gives way in the midst of one holds it for as long, and deadlines
 * wait for the watchdog's. */
void pyh_background_begin(pyh_background *stretch, int64_t limit_ns)
{
    pthread_once(&background.once, set_up);
    *stretch = (pyh_background){.timer = {.fire = give_way_no_more}};
    if (!background.may_return) {
        return;
    }
    stretch->thread = pyh_thread_number();
    pyh_event_init(&stretch->over);
    pyh_mutex_lock(&background.mutex);
    stretch->next = background.first;
    background.first = stretch;
    pyh_mutex_unlock(&background.mutex);
    pyh_watchdog_arm(&stretch->timer, pyh_deadline_after(limit_ns));
    set_policy(stretch->thread, SCHED_IDLE);
    if (atomic_load(&stretch->is_called_off)) {
        set_policy(stretch->thread, SCHED_OTHER);
    }
}

void pyh_background_end(pyh_background *stretch)
{
    if (stretch->thread == 0) {
        return;
    }
    set_policy(stretch->thread, SCHED_OTHER);
    pyh_mutex_lock(&background.mutex);
    pyh_background **place = &background.first;
    while (*place != stretch) {
        place = &(*place)->next;
    }
    *place = stretch->next;
    pyh_mutex_unlock(&background.mutex);
    if (!pyh_watchdog_disarm(&stretch->timer)) {
        while (pyh_event_wait(&stretch->over, PYH_NEVER) != PYHOST_OK) {
        }
    }
    pyh_event_deinit(&stretch->over);
}

void pyh_background_hurry(void)
{
    pthread_once(&background.once, set_up);
    if (sched_getscheduler(0) == SCHED_IDLE) {
        return;
    }
    pyh_mutex_lock(&background.mutex);
    for (pyh_background *stretch = background.first; stretch != NULL; stretch = stretch->next) {
        call_off(stretch);
    }
    pyh_mutex_unlock(&background.mutex);
}

void pyh_background_send(pid_t thread)
{
    pthread_once(&background.once, set_up);
    if (background.may_return) {
        set_policy(thread, SCHED_IDLE);
    }
}

void pyh_background_recall(pid_t thread)
{
    pthread_once(&background.once, set_up);
    if (background.may_return) {
        set_policy(thread, SCHED_OTHER);
    }
}

void pyh_background_leave(void)
{
    pthread_once(&background.once, set_up);
    if (background.may_return && sched_getscheduler(0) == SCHED_IDLE) {
        set_policy(0, SCHED_OTHER);
    }
}
#else
void pyh_background_begin(pyh_background *stretch, int64_t limit_ns)
{
    (void)stretch;
    (void)limit_ns;
}

void pyh_background_end(pyh_background *stretch)
{
    (void)stretch;
}

void pyh_background_hurry(void)
{
}

void pyh_background_send(pid_t thread)
{
    (void)thread;
}

void pyh_background_recall(pid_t thread)
{
    (void)thread;
}

void pyh_background_leave(void)
{
}
#endif
