/* Tests of a call's deadlines: while a thread waits, by the watchdog, and counted from its start; each against an
 * answer at the same moment. */
#include "calls.h"
#include "completions.h"
#include "threads.h"

enum { ROUNDS = 500, SOON_NS = 1000 * 1000 };

static uint64_t answers_counted(const pyh_route *route)
{
    const pyh_stats *stats = route->functions[0].stats;
    return stats->counters.calls + stats->counters.errors + stats->counters.timeouts;
}

typedef struct {
    pyh_call *calls[ROUNDS];
    atomic_uint wins[ROUNDS];
    threads_meeting meeting;
} race;

static void waiting_ends_at_the_deadline(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_call *call = call_of(route);
    call->deadline_ns = pyh_deadline_after(SOON_NS);
    CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
    CHECK(pyh_now_ns() >= call->deadline_ns);
    CHECK_STATUS(call->status, PYHOST_TIMEOUT);
    CHECK(call->reply == NULL);
    CHECK(!pyh_call_answer(call, PYHOST_OK, message_with('l')));
    CHECK_EQUAL(route->functions[0].stats->counters.timeouts, 1);
    pyh_call_unref(call);
    pyh_route_unref(route);
}

/* Index 0 waits for calls whose deadline has passed; index 1 answers them. */
static void answer_or_time_out(size_t index, void *shared)
{
    race *self = shared;
    for (size_t i = 0; i < ROUNDS; i++) {
        pyh_call *call = self->calls[i];
        threads_meet(&self->meeting, 2);
        if (index == 1) {
            atomic_store(&self->wins[i], pyh_call_answer(call, PYHOST_OK, message_with('a')));
        } else {
            CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
            CHECK_STATUS(call->status, call->reply != NULL ? PYHOST_OK : PYHOST_TIMEOUT);
        }
    }
}

static void the_deadline_races_the_answer(void)
{
    static race shared;
    pyh_route *route = route_with("plugin", NULL, 0);
    for (size_t i = 0; i < ROUNDS; i++) {
        shared.calls[i] = call_of(route);
        shared.calls[i]->deadline_ns = 0;
    }
    threads_run(2, answer_or_time_out, &shared);
    for (size_t i = 0; i < ROUNDS; i++) {
        CHECK_EQUAL(shared.wins[i], shared.calls[i]->status == PYHOST_OK);
        pyh_call_unref(shared.calls[i]);
    }
    CHECK_EQUAL(answers_counted(route), ROUNDS);
    pyh_route_unref(route);
}

/* The watchdog drops its reference a moment after it has answered. */
static void wait_for_references(pyh_call *call, uint32_t count)
{
    while (atomic_load(&call->references) != count) {
        sched_yield();
    }
}

static void armed_calls_are_answered_though_nobody_waits(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_completions *completions = completions_make();
    pyh_call *call = call_of(route);
    call->completions = pyh_completions_ref(completions);
    pyh_call_arm(call, pyh_deadline_after(SOON_NS));
    CHECK_STATUS(pyh_notifier_wait(&completions->notifier, PYH_NEVER), PYHOST_OK);
    CHECK(pyh_completions_drain(completions) == call);
    CHECK_STATUS(call->status, PYHOST_TIMEOUT);
    pyh_call_unref(call); /* the queue's */
    wait_for_references(call, 1);
    pyh_call_unref(call);
    pyh_completions_unref(completions);
    pyh_route_unref(route);
}

static void answered_calls_leave_no_timer(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_call *early = call_of(route), *late = call_of(route), *never = call_of(route);
    pyh_completions *completions = completions_make();
    late->completions = pyh_completions_ref(completions);
    CHECK(pyh_call_answer(early, PYHOST_OK, NULL));
    pyh_call_arm(early, PYH_NEVER - 1);
    CHECK_EQUAL(early->references, 1);
    pyh_call_arm(late, PYH_NEVER - 1);
    CHECK_EQUAL(late->references, 2);
    CHECK(pyh_call_answer(late, PYHOST_OK, NULL));
    CHECK_EQUAL(late->references, 2); /* this test's and the queue's */
    CHECK(pyh_completions_drain(completions) == late);
    pyh_call_unref(late);
    pyh_call_arm(never, PYH_NEVER);
    CHECK_EQUAL(never->references, 1);
    pyh_call_unref(early);
    pyh_call_unref(late);
    pyh_call_unref(never);
    pyh_completions_unref(completions);
    pyh_route_unref(route);
}

/* Index 0 arms each call for about now; index 1 answers it. */
static void arm_or_answer(size_t index, void *shared)
{
    race *self = shared;
    for (size_t i = 0; i < ROUNDS; i++) {
        threads_meet(&self->meeting, 2);
        if (index == 0) {
            pyh_call_arm(self->calls[i], pyh_now_ns() + (int64_t)(i % 20) * 1000);
        } else {
            pyh_call_answer(self->calls[i], PYHOST_OK, NULL);
        }
    }
}

static void arming_races_answering(void)
{
    static race shared;
    size_t drained = 0;
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_completions *completions = completions_make();
    for (size_t i = 0; i < ROUNDS; i++) {
        shared.calls[i] = call_of(route);
        shared.calls[i]->completions = pyh_completions_ref(completions);
    }
    threads_run(2, arm_or_answer, &shared);
    for (pyh_call *call = pyh_completions_drain(completions), *next; call != NULL; call = next, drained++) {
        next = call->next;
        pyh_call_unref(call);
    }
    CHECK_EQUAL(drained, ROUNDS);
    CHECK_EQUAL(answers_counted(route), ROUNDS);
    for (size_t i = 0; i < ROUNDS; i++) {
        wait_for_references(shared.calls[i], 1);
        pyh_call_unref(shared.calls[i]);
    }
    pyh_completions_unref(completions);
    pyh_route_unref(route);
}

static void run_limits_count_from_the_start(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_call *slow = call_of(route), *quick = call_of(route);
    slow->run_limit_ns = SOON_NS;
    quick->run_limit_ns = PYH_NEVER - 1;
    CHECK_EQUAL(slow->references, 1);
    int64_t before = pyh_now_ns();
    CHECK(pyh_call_begin(slow));
    CHECK_STATUS(pyh_event_wait(&slow->answered, PYH_NEVER), PYHOST_OK);
    CHECK_STATUS(slow->status, PYHOST_TIMEOUT);
    CHECK(pyh_now_ns() >= before + SOON_NS);
    CHECK(pyh_call_begin(quick));
    CHECK(pyh_call_answer(quick, PYHOST_OK, NULL));
    CHECK_EQUAL(quick->references, 1);
    wait_for_references(slow, 1);
    pyh_call_unref(slow);
    pyh_call_unref(quick);
    pyh_route_unref(route);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(waiting_ends_at_the_deadline),
        CHECK_TEST(the_deadline_races_the_answer),
        CHECK_TEST(armed_calls_are_answered_though_nobody_waits),
        CHECK_TEST(answered_calls_leave_no_timer),
        CHECK_TEST(arming_races_answering),
        CHECK_TEST(run_limits_count_from_the_start),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
