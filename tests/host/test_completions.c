/* Tests of completions: order, one wake-up for many answers, and many threads that push at once. */
#include "completions.h"

#include "calls.h"
#include "threads.h"

enum { PUSHERS = 4, CALLS_EACH = 20000 };

static pyh_call *call_into(pyh_completions *completions, pyh_route *route, void *token)
{
    pyh_call *call = call_of(route);
    call->completions = pyh_completions_ref(completions);
    call->token = token;
    return call;
}

/* How often the notifier was notified since it was cleared; clears it. An eventfd counts. */
static uint64_t take_notifications(pyh_completions *completions)
{
    uint64_t count = 0;
    if (read(completions->notifier.read_fd, &count, sizeof count) < 0) {
        count = 0;
    }
    return count;
}

static void nothing_to_drain_is_null(void)
{
    pyh_completions *completions = completions_make();
    CHECK(pyh_completions_drain(completions) == NULL);
    CHECK_EQUAL(take_notifications(completions), 0);
    CHECK(pyh_completions_unref(completions) == NULL);
    CHECK(pyh_completions_unref(NULL) == NULL);
}

static void drained_oldest_first_after_one_notification(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_completions *completions = completions_make();
    int tokens[5];
    for (size_t i = 0; i < CHECK_COUNT(tokens); i++) {
        pyh_completions_push(completions, call_into(completions, route, &tokens[i]));
    }
    CHECK_EQUAL(take_notifications(completions), 1);
    pyh_call *call = pyh_completions_drain(completions);
    for (size_t i = 0; i < CHECK_COUNT(tokens); i++) {
        pyh_call *next = call->next;
        CHECK(call->token == &tokens[i]);
        pyh_call_unref(call);
        call = next;
    }
    CHECK(call == NULL);
    CHECK_EQUAL(completions->references, 1);
    pyh_completions_unref(completions);
    pyh_route_unref(route);
}

static void what_nobody_drains_is_dropped(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_completions *completions = completions_make();
    pyh_completions_push(completions, call_into(completions, route, NULL));
    pyh_completions_close(completions);
    pyh_completions_push(completions, call_into(completions, route, NULL));
    pyh_completions_close(completions);
    CHECK_EQUAL(completions->references, 1);
    pyh_completions_unref(completions);
    pyh_route_unref(route);
}

static void draining_clears_and_the_next_answer_notifies(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_completions *completions = completions_make();
    for (int i = 0; i < 3; i++) {
        pyh_call *call = call_into(completions, route, NULL);
        CHECK(pyh_call_answer(call, PYHOST_OK, NULL));
        CHECK_STATUS(pyh_notifier_wait(&completions->notifier, pyh_now_ns() - 1), PYHOST_OK);
        CHECK(pyh_completions_drain(completions) == call);
        CHECK_STATUS(pyh_notifier_wait(&completions->notifier, pyh_now_ns() - 1), PYHOST_TIMEOUT);
        pyh_call_unref(call);
        pyh_call_unref(call);
    }
    pyh_completions_unref(completions);
    pyh_route_unref(route);
}

static void calls_keep_their_queue(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_completions *completions = completions_make();
    pyh_call *call = call_into(completions, route, NULL);
    pyh_completions_unref(completions);
    CHECK(pyh_call_answer(call, PYHOST_OK, NULL));
    CHECK(pyh_completions_drain(completions) == call);
    pyh_call_unref(call);
    pyh_call_unref(call); /* frees the queue, too */
    pyh_route_unref(route);
}

typedef struct {
    pyh_route *route;
    pyh_completions *completions;
    size_t pushers;
    bool in_pairs;
    atomic_size_t taken_of[PUSHERS]; /* how many calls of each pusher the consumer has had */
} traffic;

/* Lets some time pass, a little more or less each time. */
static void vary(size_t number)
{
    for (size_t i = 0; i < number % 200; i++) {
        pyh_now_ns();
    }
}

/* A call's token: 1 + pusher * CALLS_EACH + number. In pairs it waits for the consumer after every second one, which
 * then often comes while the first is being drained. */
static void push_calls(traffic *self, size_t pusher)
{
    for (size_t i = 0; i < CALLS_EACH; i++) {
        void *token = (void *)(uintptr_t)(1 + pusher * CALLS_EACH + i);
        pyh_call *call = call_into(self->completions, self->route, token);
        CHECK(pyh_call_answer(call, PYHOST_OK, NULL));
        pyh_call_unref(call);
        if (self->in_pairs && i % 2 == 0) {
            vary(i / 2);
        }
        while (self->in_pairs && i % 2 == 1 && atomic_load(&self->taken_of[pusher]) <= i) {
            sched_yield();
        }
    }
}

/* Sleeps until notified, as an event loop does; a notification that got lost would leave it asleep. */
static void drain_calls(traffic *self)
{
    size_t drained = 0;
    while (drained < self->pushers * CALLS_EACH) {
        CHECK_STATUS(pyh_notifier_wait(&self->completions->notifier, PYH_NEVER), PYHOST_OK);
        pyh_call *call = pyh_completions_drain(self->completions);
        while (call != NULL) {
            pyh_call *next = call->next;
            size_t number = (size_t)(uintptr_t)call->token - 1;
            CHECK_EQUAL(number % CALLS_EACH, atomic_fetch_add(&self->taken_of[number / CALLS_EACH], 1));
            CHECK(pyh_call_is_answered(call));
            CHECK_STATUS(call->status, PYHOST_OK);
            pyh_call_unref(call);
            call = next;
            drained++;
        }
    }
}

static void push_or_drain(size_t index, void *shared)
{
    if (index > 0) {
        push_calls(shared, index - 1);
    } else {
        drain_calls(shared);
    }
}

static void check_traffic(size_t pushers, bool in_pairs)
{
    traffic shared = {.pushers = pushers, .in_pairs = in_pairs};
    shared.route = route_with("plugin", NULL, 0);
    shared.completions = completions_make();
    threads_run(1 + pushers, push_or_drain, &shared);
    CHECK(pyh_completions_drain(shared.completions) == NULL);
    CHECK_EQUAL(shared.route->references, 1);
    CHECK_EQUAL(shared.completions->references, 1);
    pyh_completions_unref(shared.completions);
    pyh_route_unref(shared.route);
}

static void every_answer_arrives_once_and_in_order(void)
{
    check_traffic(PUSHERS, false);
}

static void answers_that_come_while_draining_are_told(void)
{
    check_traffic(1, true);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(nothing_to_drain_is_null),
        CHECK_TEST(drained_oldest_first_after_one_notification),
        CHECK_TEST(what_nobody_drains_is_dropped),
        CHECK_TEST(draining_clears_and_the_next_answer_notifies),
        CHECK_TEST(calls_keep_their_queue),
        CHECK_TEST(every_answer_arrives_once_and_in_order),
        CHECK_TEST(answers_that_come_while_draining_are_told),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
