/* watchdog: see watchdog.h. The timers themselves are a heap of pairs, so that arming one takes no memory: each hangs
 * below one that fires no later. One that is disarmed before it gets to the top, as a deadline's nearly always is, has
 * few below it, and is taken out at once. Arming wakes the thread only when the new timer is the first to fire. */
#include "watchdog.h"

#include "priority.h"

static struct {
    pthread_once_t once;
    pyh_mutex mutex;
    pyh_condition changed;
    /* guarded by mutex */
    pyh_timer *first; /* fires first; the others hang below it */
    bool has_thread;
} watchdog = {.once = PTHREAD_ONCE_INIT};

static void hang(pyh_timer *timer, pyh_timer **place)
{
    timer->next = *place;
    timer->link = place;
    *place = timer;
    if (timer->next != NULL) {
        timer->next->link = &timer->next;
    }
}

/* Takes it away, with what hangs below it. */
static pyh_timer *unhang(pyh_timer *timer)
{
    if (timer != NULL) {
        *timer->link = timer->next;
        if (timer->next != NULL) {
            timer->next->link = timer->link;
        }
        timer->next = NULL;
        timer->link = NULL;
    }
    return timer;
}

/* Hangs one below the other; what is on top then. Either may be NULL. */
static pyh_timer *pair(pyh_timer *one, pyh_timer *other)
{
    if (one == NULL || other == NULL) {
        return one != NULL ? one : other;
    }
    bool is_first = one->at_ns <= other->at_ns;
    hang(is_first ? other : one, is_first ? &one->below : &other->below);
    return is_first ? one : other;
}

/* Takes away what hangs below the timer, as one heap: in pairs first, so that little hangs below the same one. */
static pyh_timer *gather(pyh_timer *timer)
{
    pyh_timer *pairs = NULL, *all = NULL;
    while (timer->below != NULL) {
        pyh_timer *one = unhang(timer->below);
        hang(pair(one, unhang(timer->below)), &pairs);
    }
    while (pairs != NULL) {
        all = pair(all, unhang(pairs));
    }
    return all;
}

static void put(pyh_timer *timer)
{
    timer = pair(unhang(watchdog.first), timer);
    if (timer != NULL) {
        hang(timer, &watchdog.first);
    }
}

static void take_out(pyh_timer *timer)
{
    unhang(timer);
    put(gather(timer));
}

static void *watchdog_main(void *argument)
{
    (void)argument;
    /* Answers are due when timers fire, however many threads want the processors; without, 30 ms late now and then. Those
     * that it starts, to interrupt what is late, have the same. */
    pyh_priority_set(0, PYH_PRIORITY_PROMPT);
    pyh_mutex_lock(&watchdog.mutex);
    for (;;) {
        int64_t next = watchdog.first != NULL ? watchdog.first->at_ns : PYH_NEVER;
        if (next > pyh_now_ns()) {
            pyh_condition_wait(&watchdog.changed, &watchdog.mutex, next);
            continue;
        }
        pyh_timer *timer = watchdog.first;
        take_out(timer);
        pyh_mutex_unlock(&watchdog.mutex);
        timer->fire(timer);
        pyh_mutex_lock(&watchdog.mutex);
    }
    return NULL;
}

static void watchdog_init(void)
{
    pyh_mutex_init(&watchdog.mutex, PYH_RANK_WATCHDOG);
    pyh_condition_init(&watchdog.changed);
}

/* Takes the mutex, and sees to the thread. Where the system has none to give no timer fires until it has: whoever uses
 * the next one asks again. */
static void lock(void)
{
    pthread_t thread;
    pthread_once(&watchdog.once, watchdog_init);
    pyh_mutex_lock(&watchdog.mutex);
    if (!watchdog.has_thread && pyh_thread_start(&thread, "pyh-watchdog", watchdog_main, NULL) == PYHOST_OK) {
        pthread_detach(thread);
        watchdog.has_thread = true;
    }
}

bool pyh_watchdog_arm(pyh_timer *timer, int64_t at_ns)
{
    lock();
    bool was_idle = timer->link == NULL;
    if (was_idle || at_ns < timer->at_ns) {
        if (!was_idle) {
            take_out(timer);
        }
        timer->at_ns = at_ns;
        put(timer);
    }
    bool is_first = watchdog.first == timer;
    pyh_mutex_unlock(&watchdog.mutex);
    if (is_first) {
        pyh_condition_signal(&watchdog.changed); /* what it wakes takes the processor at once, and wants the mutex */
    }
    return was_idle;
}

bool pyh_watchdog_disarm(pyh_timer *timer)
{
    lock();
    bool armed = timer->link != NULL;
    if (armed) {
        take_out(timer);
    }
    pyh_mutex_unlock(&watchdog.mutex);
    return armed;
}
