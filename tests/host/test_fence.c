/* Tests of fence: of two sides that store and then look, one sees the other's store. */
#include "fence.h"

#include <pthread.h>
#include <sched.h>

#include "check.h"

enum { ROUNDS = 60000, LOOKS = 1000, LONGEST_DALLYING = 200 };

static _Atomic int often, seldom; /* what the sides store: the number of the round */
static _Atomic int round_begun, round_over;
static int seen_by_often;

/* Goes on the moment it comes; where there is but one processor, lets the other side run. */
static void wait_for(_Atomic int *number, int wanted)
{
    for (int looks = 1; atomic_load(number) != wanted; looks++) {
        if (looks % LOOKS == 0) {
            sched_yield();
        }
    }
}

/* The other side is a little later: now and then both pass their fences at the same time. */
static void dally(int round)
{
    for (volatile int i = 0; i < round % LONGEST_DALLYING; i++) {
    }
}

static void *often_main(void *unused)
{
    (void)unused;
    for (int i = 1; i <= ROUNDS; i++) {
        wait_for(&round_begun, i);
        atomic_store_explicit(&often, i, memory_order_relaxed);
        pyh_fence_light();
        seen_by_often = atomic_load_explicit(&seldom, memory_order_relaxed);
        atomic_store(&round_over, i);
    }
    return NULL;
}

/* Plays all rounds; in no round may both have missed the other's store. */
static void play(void)
{
    pthread_t thread;
    atomic_store(&round_begun, 0);
    atomic_store(&round_over, 0);
    atomic_store(&often, 0);
    atomic_store(&seldom, 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, often_main, NULL), 0);
    for (int i = 1; i <= ROUNDS; i++) {
        atomic_store(&round_begun, i);
        dally(i);
        atomic_store_explicit(&seldom, i, memory_order_relaxed);
        pyh_fence_heavy();
        int seen = atomic_load_explicit(&often, memory_order_relaxed);
        wait_for(&round_over, i);
        CHECK(seen == i || seen_by_often == i);
    }
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
}

static void one_sees_the_other_before_registration(void)
{
    CHECK(!atomic_load(&pyh_fence_is_registered));
    play();
}

static void one_sees_the_other_after_registration(void)
{
    pyh_fence_register();
    pyh_fence_register();
    play();
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(one_sees_the_other_before_registration),
        CHECK_TEST(one_sees_the_other_after_registration),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
