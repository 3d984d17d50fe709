/* Tests of background: a thread gives way, and does so no more at the end, at the limit or when somebody waits. */
#include "background.h"

#include <sched.h>

#include "threads.h"

enum { LONG_NS = 1000 * 1000 * 1000, THREADS = 4, ROUNDS = 500 };

/* Whether this process lets a thread return; where not, nothing changes. */
static bool may_return;

static void *find_out(void *unused)
{
    struct sched_param none = {0};
    may_return = sched_setscheduler(0, SCHED_IDLE, &none) == 0 && sched_setscheduler(0, SCHED_OTHER, &none) == 0;
    return unused;
}

static void others_come_first_until_the_end(void)
{
    pyh_background stretch;
    for (int i = 0; i < 3; i++) {
        pyh_background_begin(&stretch, 60L * LONG_NS);
        CHECK_EQUAL(sched_getscheduler(0), may_return ? SCHED_IDLE : SCHED_OTHER);
        pyh_background_end(&stretch);
        CHECK_EQUAL(sched_getscheduler(0), SCHED_OTHER);
    }
}

static void others_come_first_for_so_long(void)
{
    pyh_background stretch;
    pyh_background_begin(&stretch, 0);
    while (sched_getscheduler(0) != SCHED_OTHER) {
    }
    pyh_background_end(&stretch);
    CHECK_EQUAL(sched_getscheduler(0), SCHED_OTHER);
}

static void who_is_sent_there_leaves_by_itself(void)
{
    pyh_background_leave();
    CHECK_EQUAL(sched_getscheduler(0), SCHED_OTHER);
    pyh_background_send(pyh_thread_number());
    CHECK_EQUAL(sched_getscheduler(0), may_return ? SCHED_IDLE : SCHED_OTHER);
    pyh_background_leave();
    CHECK_EQUAL(sched_getscheduler(0), SCHED_OTHER);
}

static void who_is_sent_there_can_be_called_back(void)
{
    pyh_background_send(pyh_thread_number());
    CHECK_EQUAL(sched_getscheduler(0), may_return ? SCHED_IDLE : SCHED_OTHER);
    pyh_background_recall(pyh_thread_number());
    CHECK_EQUAL(sched_getscheduler(0), SCHED_OTHER);
}

/* A thread in a stretch, which another one waits for: threads inherit the policy, so that one is put right first. */
typedef struct {
    pid_t thread;
} waiting;

static void *hurry(void *shared)
{
    waiting *self = shared;
    sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
    pyh_background_hurry();
    CHECK_EQUAL(sched_getscheduler(self->thread), SCHED_OTHER);
    return NULL;
}

static void who_is_waited_for_gives_way_no_more(void)
{
    waiting self = {.thread = pyh_thread_number()};
    pthread_t thread;
    pyh_background stretch;
    pyh_background_begin(&stretch, 60L * LONG_NS);
    pyh_background_hurry();
    CHECK_EQUAL(sched_getscheduler(0), may_return ? SCHED_IDLE : SCHED_OTHER);
    CHECK_STATUS(pyh_thread_start(&thread, "hurry", hurry, &self), PYHOST_OK);
    pthread_join(thread, NULL);
    CHECK_EQUAL(sched_getscheduler(0), SCHED_OTHER);
    pyh_background_end(&stretch);
    CHECK_EQUAL(sched_getscheduler(0), SCHED_OTHER);
}

static void begin_and_end(size_t index, void *shared)
{
    (void)shared;
    for (int i = 0; i < ROUNDS; i++) {
        pyh_background stretch;
        pyh_background_begin(&stretch, i * 50);
        if ((size_t)i % THREADS == index) {
            pyh_background_hurry();
        }
        pyh_background_end(&stretch);
        CHECK_EQUAL(sched_getscheduler(0), SCHED_OTHER);
    }
}

static void all_of_it_may_come_at_once(void)
{
    threads_run(THREADS, begin_and_end, NULL);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(others_come_first_until_the_end),
        CHECK_TEST(others_come_first_for_so_long),
        CHECK_TEST(who_is_waited_for_gives_way_no_more),
        CHECK_TEST(who_is_sent_there_leaves_by_itself),
        CHECK_TEST(who_is_sent_there_can_be_called_back),
        CHECK_TEST(all_of_it_may_come_at_once),
    };
    pthread_t thread;
    CHECK_STATUS(pyh_thread_start(&thread, "try", find_out, NULL), PYHOST_OK);
    pthread_join(thread, NULL);
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
