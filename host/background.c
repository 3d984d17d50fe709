/* background: see background.h. */
#include "background.h"

#include "priority.h"

static struct {
    pyh_mutex mutex;
    pyh_background *first; /* guarded by mutex */
} background = {.mutex = {PTHREAD_MUTEX_INITIALIZER, PYH_RANK_BACKGROUND}};

static _Thread_local pyh_background *own; /* this thread's */

/* Also one that is only about to give way: it looks at the flag then. */
static void call_off(pyh_background *stretch)
{
    atomic_store(&stretch->is_called_off, true);
    pyh_priority_set(stretch->thread, PYH_PRIORITY_ORDINARY);
}

static void give_way_no_more(pyh_timer *timer)
{
    pyh_background *stretch = (pyh_background *)timer;
    call_off(stretch);
    pyh_event_set(&stretch->over);
}

/* Locks are taken before the priority and after it: who gives way in the midst of one holds it for as long, and
 * deadlines wait for the watchdog's. */
void pyh_background_begin(pyh_background *stretch, int64_t limit_ns)
{
    *stretch = (pyh_background){.timer = {.fire = give_way_no_more}, .thread = pyh_thread_number()};
    own = stretch;
    pyh_event_init(&stretch->over);
    pyh_mutex_lock(&background.mutex);
    stretch->next = background.first;
    background.first = stretch;
    pyh_mutex_unlock(&background.mutex);
    pyh_watchdog_arm(&stretch->timer, pyh_deadline_after(limit_ns));
    pyh_priority_set(stretch->thread, PYH_PRIORITY_LOW);
    if (atomic_load(&stretch->is_called_off)) {
        pyh_priority_set(stretch->thread, PYH_PRIORITY_ORDINARY);
    }
}

void pyh_background_end(pyh_background *stretch)
{
    own = NULL;
    pyh_priority_set(stretch->thread, PYH_PRIORITY_ORDINARY);
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
    if (own != NULL && !atomic_load(&own->is_called_off)) {
        return;
    }
    pyh_mutex_lock(&background.mutex);
    for (pyh_background *stretch = background.first; stretch != NULL; stretch = stretch->next) {
        call_off(stretch);
    }
    pyh_mutex_unlock(&background.mutex);
}
