/* Tests of slice: a thread has the slices that it was given, until it gets the system's own again. */
#include "slice.h"

#include "slices.h"
#include "sync.h"
#include "threads.h"

static uint64_t ordinary_ns, shortest_ns, longest_ns; /* the same where a thread has no slice of its own */

static void a_thread_has_the_slices_that_were_set(void)
{
    pyh_slice_set(pyh_thread_number(), PYH_SLICE_LONGEST_NS);
    CHECK_EQUAL(slice_ns(0), longest_ns);
    pyh_slice_set(pyh_thread_number(), PYH_SLICE_SHORTEST_NS);
    CHECK_EQUAL(slice_ns(0), shortest_ns);
    pyh_slice_set(pyh_thread_number(), PYH_SLICE_ORDINARY);
    CHECK_EQUAL(slice_ns(0), ordinary_ns);
}

static void tell_slice(size_t index, void *slice)
{
    (void)index;
    *(uint64_t *)slice = slice_ns(0);
}

static void threads_that_it_starts_have_the_same(void)
{
    uint64_t inherited_ns = 0;
    pyh_slice_set(pyh_thread_number(), PYH_SLICE_SHORTEST_NS);
    threads_run(1, tell_slice, &inherited_ns);
    pyh_slice_set(pyh_thread_number(), PYH_SLICE_ORDINARY);
    CHECK_EQUAL(inherited_ns, shortest_ns);
}

typedef struct {
    pyh_event started;
    pyh_event over;
    pid_t thread;
} other;

static void *other_main(void *argument)
{
    other *self = argument;
    self->thread = pyh_thread_number();
    pyh_event_set(&self->started);
    pyh_event_wait(&self->over, PYH_NEVER);
    return NULL;
}

static void another_thread_is_told_by_its_number(void)
{
    pthread_t thread;
    other self = {0};
    CHECK_EQUAL(pthread_create(&thread, NULL, other_main, &self), 0);
    CHECK_STATUS(pyh_event_wait(&self.started, PYH_NEVER), PYHOST_OK);
    pyh_slice_set(self.thread, PYH_SLICE_LONGEST_NS);
    CHECK_EQUAL(slice_ns(self.thread), longest_ns);
    CHECK_EQUAL(slice_ns(0), ordinary_ns);
    pyh_event_set(&self.over);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
}

static void give_way(size_t index, void *unused)
{
    (void)index;
    (void)unused;
    CHECK_EQUAL(sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}), 0);
    uint64_t before_ns = slice_ns(0);
    pyh_slice_set(pyh_thread_number(), PYH_SLICE_LONGEST_NS);
    CHECK_EQUAL(slice_ns(0), before_ns);
    CHECK_EQUAL(sched_getscheduler(0), SCHED_IDLE);
}

static void one_that_gives_way_is_left_alone(void)
{
    threads_run(1, give_way, NULL);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(a_thread_has_the_slices_that_were_set),
        CHECK_TEST(threads_that_it_starts_have_the_same),
        CHECK_TEST(another_thread_is_told_by_its_number),
        CHECK_TEST(one_that_gives_way_is_left_alone),
    };
    ordinary_ns = slice_ns(0);
    shortest_ns = slice_told_ns(PYH_SLICE_SHORTEST_NS);
    longest_ns = slice_told_ns(PYH_SLICE_LONGEST_NS);
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
