/* watchdog: see watchdog.h. A binary heap under one mutex; arming wakes the thread only when the new timer is the
 * first to fire. */
#include "watchdog.h"

#include <stdlib.h>

static struct {
    pthread_once_t once;
    pyh_mutex mutex;
    pyh_condition changed;
    /* guarded by mutex */
    pyh_timer **heap; /* heap[0] fires first */
    size_t count;
    size_t capacity;
} watchdog = {.once = PTHREAD_ONCE_INIT};

static void put(size_t index, pyh_timer *timer)
{
    watchdog.heap[index] = timer;
    timer->place = index + 1;
}

static void sift_up(size_t index)
{
    pyh_timer *timer = watchdog.heap[index];
    while (index > 0 && watchdog.heap[(index - 1) / 2]->at_ns > timer->at_ns) {
        put(index, watchdog.heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    put(index, timer);
}

static void sift_down(size_t index)
{
    pyh_timer *timer = watchdog.heap[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child + 1 < watchdog.count && watchdog.heap[child + 1]->at_ns < watchdog.heap[child]->at_ns) {
            child++;
        }
        if (child >= watchdog.count || watchdog.heap[child]->at_ns >= timer->at_ns) {
            break;
        }
        put(index, watchdog.heap[child]);
        index = child;
    }
    put(index, timer);
}

static void take_out(pyh_timer *timer)
{
    size_t index = timer->place - 1;
    pyh_timer *last = watchdog.heap[--watchdog.count];
    timer->place = 0;
    if (last != timer) {
        put(index, last);
        sift_up(index);
        sift_down(last->place - 1);
    }
}

static void *watchdog_main(void *argument)
{
    (void)argument;
    pyh_mutex_lock(&watchdog.mutex);
    for (;;) {
        int64_t next = watchdog.count > 0 ? watchdog.heap[0]->at_ns : PYH_NEVER;
        if (next > pyh_now_ns()) {
            pyh_condition_wait(&watchdog.changed, &watchdog.mutex, next);
            continue;
        }
        pyh_timer *timer = watchdog.heap[0];
        take_out(timer);
        pyh_mutex_unlock(&watchdog.mutex);
        timer->fire(timer);
        pyh_mutex_lock(&watchdog.mutex);
    }
    return NULL;
}

static void watchdog_start(void)
{
    pthread_t thread;
    pyh_mutex_init(&watchdog.mutex, PYH_RANK_WATCHDOG);
    pyh_condition_init(&watchdog.changed);
    if (pyh_thread_start(&thread, "pyh-watchdog", watchdog_main, NULL) != PYHOST_OK) {
        /* Without it no deadline holds; there is no caller to whom this could be an answer. */
        abort();
    }
    pthread_detach(thread);
}

static bool heap_grow(void)
{
    size_t capacity = watchdog.capacity > 0 ? 2 * watchdog.capacity : 64;
    pyh_timer **heap = realloc(watchdog.heap, capacity * sizeof(pyh_timer *));
    if (heap != NULL) {
        watchdog.heap = heap;
        watchdog.capacity = capacity;
    }
    return heap != NULL;
}

bool pyh_watchdog_arm(pyh_timer *timer, int64_t at_ns)
{
    pthread_once(&watchdog.once, watchdog_start);
    pyh_mutex_lock(&watchdog.mutex);
    bool was_idle = timer->place == 0;
    if (was_idle) {
        if (watchdog.count == watchdog.capacity && !heap_grow()) {
            abort();
        }
        timer->at_ns = at_ns;
        put(watchdog.count++, timer);
    } else if (at_ns < timer->at_ns) {
        timer->at_ns = at_ns;
    }
    sift_up(timer->place - 1);
    if (watchdog.heap[0] == timer) {
        pyh_condition_signal(&watchdog.changed);
    }
    pyh_mutex_unlock(&watchdog.mutex);
    return was_idle;
}

bool pyh_watchdog_disarm(pyh_timer *timer)
{
    pthread_once(&watchdog.once, watchdog_start);
    pyh_mutex_lock(&watchdog.mutex);
    bool armed = timer->place != 0;
    if (armed) {
        take_out(timer);
    }
    pyh_mutex_unlock(&watchdog.mutex);
    return armed;
}
