/* Tests of background: a thread gives way, and does so no more at the end, at the limit or when somebody waits. */
#include "background.h"

#include "priorities.h"

enum { LONG_NS = 1000 * 1000 * 1000, THREADS = 4, ROUNDS = 500 };

static void others_come_first_until_the_end(void)
{
    pyh_background stretch;
    for (int i = 0; i < 3; i++) {
        pyh_background_begin(&stretch, 60L * LONG_NS);
        check_priority(0, PYH_PRIORITY_LOW);
        pyh_background_end(&stretch);
        check_priority(0, PYH_PRIORITY_ORDINARY);
    }
}

static void others_come_first_for_so_long(void)
{
    pyh_background stretch;
    pyh_background_begin(&stretch, 0);
    while (!atomic_load(&stretch.is_called_off)) {
    }
    pyh_background_end(&stretch);
    check_priority(0, PYH_PRIORITY_ORDINARY);
}

/* A thread in a stretch, which another one waits for: threads inherit the priority, so that one is put right first. */
typedef struct {
    pid_t thread;
} waiting;

static void *hurry(void *shared)
{
    waiting *self = shared;
    pyh_priority_set(0, PYH_PRIORITY_ORDINARY);
    pyh_background_hurry();
    check_priority(self->thread, PYH_PRIORITY_ORDINARY);
    return NULL;
}

static void who_is_waited_for_gives_way_no_more(void)
{
    waiting self = {.thread = pyh_thread_number()};
    pthread_t thread;
    pyh_background stretch;
    pyh_background_begin(&stretch, 60L * LONG_NS);
    pyh_background_hurry();
    check_priority(0, PYH_PRIORITY_LOW);
    CHECK_STATUS(pyh_thread_start(&thread, "hurry", hurry, &self), PYHOST_OK);
    pthread_join(thread, NULL);
    check_priority(0, PYH_PRIORITY_ORDINARY);
    pyh_background_end(&stretch);
    check_priority(0, PYH_PRIORITY_ORDINARY);
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
        check_priority(0, PYH_PRIORITY_ORDINARY);
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
        CHECK_TEST(all_of_it_may_come_at_once),
    };
    priorities_begin();
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
