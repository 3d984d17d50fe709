/* Tests of pace: who keeps a processor has long slices until the end of what it runs, and nobody else has. */
#include "pace.h"

#include <sched.h>

#include "slice.h"
#include "slices.h"

enum { LONG_NS = 2 * 1000 * 1000, LONGEST_PAUSE_NS = 160 * 1000 * 1000 };

static uint64_t ordinary_ns, long_ns; /* the same where a thread has no slice of its own */

static void find_out(void)
{
    ordinary_ns = slice_ns(0);
    long_ns = slice_told_ns(PYH_SLICE_LONGEST_NS);
    CHECK_EQUAL(slice_ns(0), ordinary_ns);
}

static int64_t thread_ns(void)
{
    struct timespec time;
    CHECK_EQUAL(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Runs for as much processor time as is long. */
static void burn(void)
{
    int64_t until_ns = thread_ns() + LONG_NS;
    while (thread_ns() < until_ns) {
    }
}

static void check_slice(const pyh_pace *pace, bool is_long)
{
    CHECK_EQUAL(atomic_load(&pace->is_long), is_long);
    CHECK_EQUAL(slice_ns(0), is_long ? long_ns : ordinary_ns);
}

/* One that has run the same for long by now. */
static pyh_pace lengthened(_Atomic uint64_t *sequence)
{
    pyh_pace pace;
    pyh_pace_init(&pace);
    CHECK(pyh_pace_look(&pace, sequence, false) > 0);
    check_slice(&pace, false);
    burn();
    CHECK_EQUAL(pyh_pace_look(&pace, sequence, false), 0);
    check_slice(&pace, true);
    return pace;
}

static void what_runs_long_has_long_slices_until_its_end(void)
{
    for (_Atomic uint64_t sequence = 1; sequence < 7; sequence++) {
        pyh_pace pace = lengthened(&sequence);
        sequence++;
        pyh_pace_end(&pace);
        check_slice(&pace, false);
    }
}

static void what_moves_on_has_not(void)
{
    pyh_pace pace;
    _Atomic uint64_t sequence = 1;
    pyh_pace_init(&pace);
    for (int i = 0; i < 5; i++) {
        CHECK(pyh_pace_look(&pace, &sequence, false) > 0);
        burn();
        sequence += 2;
    }
    check_slice(&pace, false);
}

static void who_runs_nothing_is_looked_at_no_more(void)
{
    pyh_pace pace;
    _Atomic uint64_t sequence = 2;
    pyh_pace_init(&pace);
    CHECK(pyh_pace_look(&pace, &sequence, false) > 0);
    burn();
    CHECK_EQUAL(pyh_pace_look(&pace, &sequence, false), 0);
    check_slice(&pace, false);
}

/* The end came just before the slice was made long. */
static void the_next_look_puts_a_late_slice_right(void)
{
    _Atomic uint64_t sequence = 1;
    pyh_pace pace = lengthened(&sequence);
    sequence = 3;
    CHECK(pyh_pace_look(&pace, &sequence, false) > 0);
    check_slice(&pace, false);
}

static void who_is_to_notice_something_has_ordinary_slices_for_a_while(void)
{
    _Atomic uint64_t sequence = 1;
    pyh_pace pace = lengthened(&sequence);
    pyh_pace_hurry(&pace);
    check_slice(&pace, false);
    CHECK(pyh_pace_look(&pace, &sequence, false) > 0);
    burn();
    CHECK_EQUAL(pyh_pace_look(&pace, &sequence, false), 0);
    check_slice(&pace, true);
    sequence++;
    pyh_pace_end(&pace);
}

static void *give_way_and_burn(void *unused)
{
    pyh_pace pace;
    _Atomic uint64_t sequence = 1;
    pyh_pace_init(&pace);
    CHECK_EQUAL(sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}), 0);
    CHECK(pyh_pace_look(&pace, &sequence, false) > 0);
    burn();
    CHECK_EQUAL(pyh_pace_look(&pace, &sequence, false), 0);
    CHECK_EQUAL(sched_getscheduler(0), SCHED_IDLE);
    return unused;
}

static void who_gives_way_goes_on_to(void)
{
    pthread_t thread;
    CHECK_STATUS(pyh_thread_start(&thread, "give-way", give_way_and_burn, NULL), PYHOST_OK);
    pthread_join(thread, NULL);
}

/* A thread that waits, as one in a system call does. */
typedef struct {
    pyh_pace pace;
    pyh_event ready, over;
} waiter;

static void *wait_until_over(void *shared)
{
    waiter *self = shared;
    pyh_pace_init(&self->pace);
    pyh_event_set(&self->ready);
    while (pyh_event_wait(&self->over, PYH_NEVER) != PYHOST_OK) {
    }
    return NULL;
}

static void who_waits_is_looked_at_less_and_less(void)
{
    waiter self = {0};
    pthread_t thread;
    _Atomic uint64_t sequence = 1;
    int64_t pause_ns;
    pyh_event_init(&self.ready);
    pyh_event_init(&self.over);
    CHECK_STATUS(pyh_thread_start(&thread, "wait", wait_until_over, &self), PYHOST_OK);
    CHECK_STATUS(pyh_event_wait(&self.ready, PYH_NEVER), PYHOST_OK);
    do {
        pause_ns = pyh_pace_look(&self.pace, &sequence, false);
        CHECK(pause_ns > 0 && pause_ns <= LONGEST_PAUSE_NS);
    } while (pause_ns < LONGEST_PAUSE_NS);
    while (pyh_pace_look(&self.pace, &sequence, true) > 0) { /* it may have had something to do until it waits */
    }
    pyh_event_set(&self.over);
    pthread_join(thread, NULL);
    while (pyh_pace_look(&self.pace, &sequence, false) > 0) { /* until the system has let it go */
    }
    pyh_event_deinit(&self.ready);
    pyh_event_deinit(&self.over);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(what_runs_long_has_long_slices_until_its_end),
        CHECK_TEST(what_moves_on_has_not),
        CHECK_TEST(who_runs_nothing_is_looked_at_no_more),
        CHECK_TEST(the_next_look_puts_a_late_slice_right),
        CHECK_TEST(who_is_to_notice_something_has_ordinary_slices_for_a_while),
        CHECK_TEST(who_gives_way_goes_on_to),
        CHECK_TEST(who_waits_is_looked_at_less_and_less),
    };
    find_out();
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
