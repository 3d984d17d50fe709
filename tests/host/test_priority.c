/* Tests of priority: a thread has the one that it was given, and so have those that it starts. */
#include "priorities.h"
#include "sync.h"

static void a_thread_has_what_was_set(void)
{
    static const pyh_priority order[] = {
        PYH_PRIORITY_LOW, PYH_PRIORITY_PROMPT, PYH_PRIORITY_LOW, PYH_PRIORITY_ORDINARY,
    };
    for (size_t i = 0; i < CHECK_COUNT(order); i++) {
        pyh_priority_set(0, order[i]);
        check_priority(0, order[i]);
    }
}

static void check_that(size_t index, void *priority)
{
    (void)index;
    check_priority(0, *(pyh_priority *)priority);
}

static void threads_that_it_starts_have_the_same(void)
{
    for (pyh_priority priority = PYH_PRIORITY_LOW;; priority--) {
        pyh_priority_set(0, priority);
        threads_run(1, check_that, &priority);
        if (priority == PYH_PRIORITY_ORDINARY) {
            break;
        }
    }
}

static void settle(size_t index, void *unused)
{
    (void)index;
    (void)unused;
    check_priority(0, PYH_PRIORITY_LOW);
    pyh_priority_settle();
    check_priority(0, pyh_priority_gives_way() ? PYH_PRIORITY_ORDINARY : PYH_PRIORITY_LOW);
    pyh_priority_settle();
}

static void a_thread_started_by_a_low_one_can_settle(void)
{
    pyh_priority_set(0, PYH_PRIORITY_LOW);
    threads_run(1, settle, NULL);
    pyh_priority_set(0, PYH_PRIORITY_ORDINARY);
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
    pyh_priority_set(self.thread, PYH_PRIORITY_LOW);
    check_priority(self.thread, PYH_PRIORITY_LOW);
    check_priority(0, PYH_PRIORITY_ORDINARY);
    pyh_event_set(&self.over);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
}

static void set_in_another_class(size_t index, void *unused)
{
    (void)index;
    (void)unused;
    CHECK_EQUAL(sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}), 0);
    standing before = standing_of(0);
    pyh_priority_set(0, PYH_PRIORITY_PROMPT);
    CHECK_EQUAL(standing_of(0).nice, before.nice);
    CHECK_EQUAL(standing_of(0).slice_ns, before.slice_ns);
    CHECK_EQUAL(sched_getscheduler(0), SCHED_IDLE);
}

static void one_that_is_scheduled_by_other_rules_is_left_alone(void)
{
    threads_run(1, set_in_another_class, NULL);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(a_thread_has_what_was_set),
        CHECK_TEST(threads_that_it_starts_have_the_same),
        CHECK_TEST(a_thread_started_by_a_low_one_can_settle),
        CHECK_TEST(another_thread_is_told_by_its_number),
        CHECK_TEST(one_that_is_scheduled_by_other_rules_is_left_alone),
    };
    priorities_begin();
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
