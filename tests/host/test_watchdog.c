/* Tests of watchdog: the order of firing, arming again, disarming, and races of both with the firing. */
#include "watchdog.h"

#include "priorities.h"

enum { TIMERS = 200, RACERS = 4, ROUNDS = 3000, REPEATS = 50 };

/* A timer that keeps the watchdog's thread until it is opened, so that a test can arm many before any fires. */
typedef struct {
    pyh_timer timer;
    pyh_event entered;
    pyh_event open;
} gate;

static void gate_fire(pyh_timer *timer)
{
    gate *self = (gate *)timer;
    pyh_event_set(&self->entered);
    pyh_event_wait(&self->open, PYH_NEVER);
}

static void gate_close(gate *self)
{
    *self = (gate){.timer = {.fire = gate_fire}};
    CHECK(pyh_watchdog_arm(&self->timer, 0));
    CHECK_STATUS(pyh_event_wait(&self->entered, PYH_NEVER), PYHOST_OK);
}

/* Timers that note when their turn was. Read once `last` has fired. */
typedef struct {
    pyh_timer timer;
    int turn; /* 1: first; 0: has not fired */
} noted;

static int turns;
static pyh_event all_fired;

static void note_turn(pyh_timer *timer)
{
    ((noted *)timer)->turn = ++turns;
}

static void note_end(pyh_timer *timer)
{
    note_turn(timer);
    pyh_event_set(&all_fired);
}

/* Opens the gate and waits until everything that is due before now has fired. */
static void open_and_wait(gate *closed)
{
    noted end = {.timer = {.fire = note_end}};
    turns = 0;
    pyh_event_init(&all_fired);
    pyh_watchdog_arm(&end.timer, pyh_now_ns());
    pyh_event_set(&closed->open);
    CHECK_STATUS(pyh_event_wait(&all_fired, PYH_NEVER), PYHOST_OK);
}

/* Arms TIMERS of them for 1, 2, 3... nanoseconds of the clock, in scrambled order. */
static void arm_scrambled(noted *timers)
{
    for (size_t i = 0; i < TIMERS; i++) {
        size_t index = i * 77 % TIMERS; /* 77 and 200 have no common divisor: each index once */
        timers[index] = (noted){.timer = {.fire = note_turn}};
        CHECK(pyh_watchdog_arm(&timers[index].timer, 1 + (int64_t)index));
    }
}

static void timers_fire_in_the_order_of_their_times(void)
{
    static noted timers[TIMERS];
    gate closed;
    gate_close(&closed);
    arm_scrambled(timers);
    open_and_wait(&closed);
    for (size_t i = 0; i < TIMERS; i++) {
        CHECK_EQUAL(timers[i].turn, i + 1);
    }
}

static void disarmed_timers_do_not_fire(void)
{
    static noted timers[TIMERS];
    int turn = 0;
    gate closed;
    gate_close(&closed);
    arm_scrambled(timers);
    for (size_t i = 0; i < TIMERS; i += 3) {
        CHECK(pyh_watchdog_disarm(&timers[i].timer));
        CHECK(!pyh_watchdog_disarm(&timers[i].timer));
    }
    open_and_wait(&closed);
    for (size_t i = 0; i < TIMERS; i++) {
        CHECK_EQUAL(timers[i].turn, i % 3 == 0 ? 0 : ++turn);
        CHECK(!pyh_watchdog_disarm(&timers[i].timer));
    }
}

/* Taking one out of the middle moves another, up as well as down: many heaps, to meet all cases. */
static void any_timers_disarmed_leave_the_others_in_order(void)
{
    static noted timers[TIMERS];
    uint32_t random = 1;
    for (int round = 0; round < REPEATS; round++) {
        const noted *by_turn[TIMERS + 1] = {NULL};
        int left = 0;
        gate closed;
        gate_close(&closed);
        for (size_t i = 0; i < TIMERS; i++) {
            random = random * 1664525 + 1013904223;
            timers[i] = (noted){.timer = {.fire = note_turn}};
            CHECK(pyh_watchdog_arm(&timers[i].timer, 1 + (random >> 8)));
        }
        for (size_t i = 0; i < TIMERS; i += 2) {
            CHECK(pyh_watchdog_disarm(&timers[i].timer));
        }
        open_and_wait(&closed);
        for (size_t i = 1; i < TIMERS; i += 2) {
            by_turn[timers[i].turn] = &timers[i];
        }
        for (; left < TIMERS / 2; left++) {
            CHECK(by_turn[left + 1] != NULL);
            CHECK(left == 0 || by_turn[left]->timer.at_ns <= by_turn[left + 1]->timer.at_ns);
        }
    }
}

static void arming_again_only_brings_it_forward(void)
{
    noted timers[4];
    gate closed;
    gate_close(&closed);
    for (size_t i = 0; i < 4; i++) {
        timers[i] = (noted){.timer = {.fire = note_turn}};
        CHECK(pyh_watchdog_arm(&timers[i].timer, 100 * (1 + (int64_t)i)));
    }
    CHECK(!pyh_watchdog_arm(&timers[0].timer, 450));
    CHECK(!pyh_watchdog_arm(&timers[3].timer, 50));
    CHECK(!pyh_watchdog_arm(&timers[2].timer, 150));
    open_and_wait(&closed);
    CHECK_EQUAL(timers[3].turn, 1);
    CHECK_EQUAL(timers[0].turn, 2);
    CHECK_EQUAL(timers[2].turn, 3);
    CHECK_EQUAL(timers[1].turn, 4);
}

/* The watchdog sleeps without end; a timer that is brought forward must wake it. */
static void bringing_it_forward_wakes_the_watchdog(void)
{
    noted timer = {.timer = {.fire = note_end}};
    for (int i = 0; i < REPEATS; i++) {
        pyh_event_init(&all_fired);
        CHECK(pyh_watchdog_arm(&timer.timer, PYH_NEVER - 1));
        CHECK(!pyh_watchdog_arm(&timer.timer, pyh_now_ns()));
        CHECK_STATUS(pyh_event_wait(&all_fired, PYH_NEVER), PYHOST_OK);
    }
}

static void timers_do_not_fire_early(void)
{
    noted timer = {.timer = {.fire = note_end}};
    for (int i = 0; i < REPEATS; i++) {
        pyh_event_init(&all_fired);
        int64_t at_ns = pyh_deadline_after(200000);
        CHECK(pyh_watchdog_arm(&timer.timer, at_ns));
        CHECK_STATUS(pyh_event_wait(&all_fired, PYH_NEVER), PYHOST_OK);
        CHECK(pyh_now_ns() >= at_ns);
    }
}

static void fire_again(pyh_timer *timer)
{
    if (++((noted *)timer)->turn < REPEATS) {
        CHECK(pyh_watchdog_arm(timer, pyh_now_ns()));
    } else {
        pyh_event_set(&all_fired);
    }
}

static void firing_timers_may_arm_themselves(void)
{
    noted timer = {.timer = {.fire = fire_again}};
    pyh_event_init(&all_fired);
    CHECK(pyh_watchdog_arm(&timer.timer, pyh_now_ns()));
    CHECK_STATUS(pyh_event_wait(&all_fired, PYH_NEVER), PYHOST_OK);
    CHECK_EQUAL(timer.turn, REPEATS);
    CHECK(!pyh_watchdog_disarm(&timer.timer));
}

typedef struct {
    pyh_timer timer;
    atomic_uint fired;
} counted;

static void count(pyh_timer *timer)
{
    atomic_fetch_add(&((counted *)timer)->fired, 1);
}

/* Arms and disarms. Whatever the race: a timer that was disarmed does not fire, any other one fires once. */
static void arm_and_disarm(size_t index, void *shared)
{
    counted timers[3] = {{.timer = {.fire = count}}, {.timer = {.fire = count}}, {.timer = {.fire = count}}};
    unsigned expected[3] = {0};
    (void)shared;
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t which = (i + index) % 3;
        counted *self = &timers[which];
        CHECK(pyh_watchdog_arm(&self->timer, pyh_now_ns() + (int64_t)(i % 50) * 1000));
        if (i % 4 == 0) {
            sched_yield();
        }
        expected[which] += !pyh_watchdog_disarm(&self->timer);
        while (atomic_load(&self->fired) < expected[which]) {
            sched_yield();
        }
        CHECK_EQUAL(self->fired, expected[which]);
    }
}

static void disarming_races_the_firing(void)
{
    threads_run(RACERS, arm_and_disarm, NULL);
}

typedef struct {
    pyh_timer timer;
    pyh_event fired;
} look;

static void look_fire(pyh_timer *timer)
{
    look *self = (look *)timer;
    check_priority(0, PYH_PRIORITY_PROMPT);
    pyh_event_set(&self->fired);
}

static void the_watchdog_is_prompt(void)
{
    look self = {.timer = {.fire = look_fire}};
    CHECK(pyh_watchdog_arm(&self.timer, 0));
    CHECK_STATUS(pyh_event_wait(&self.fired, PYH_NEVER), PYHOST_OK);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(timers_fire_in_the_order_of_their_times),
        CHECK_TEST(disarmed_timers_do_not_fire),
        CHECK_TEST(any_timers_disarmed_leave_the_others_in_order),
        CHECK_TEST(arming_again_only_brings_it_forward),
        CHECK_TEST(bringing_it_forward_wakes_the_watchdog),
        CHECK_TEST(timers_do_not_fire_early),
        CHECK_TEST(firing_timers_may_arm_themselves),
        CHECK_TEST(disarming_races_the_firing),
        CHECK_TEST(the_watchdog_is_prompt),
    };
    priorities_begin();
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
