/* Tests of call: it is answered exactly once, whoever races for it, and parents are followed and freed. */
#include "call.h"

#include "calls.h"
#include "threads.h"

enum { ANSWERERS = 3, ROUNDS = 2000, CHAIN = 200000 };

static uint64_t answers_counted(const pyh_route *route)
{
    const pyh_stats *stats = route->functions[0].stats;
    return stats->counters.calls + stats->counters.errors + stats->counters.timeouts;
}

static void new_calls_have_no_limit_and_no_answer(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    int64_t before = pyh_now_ns();
    pyh_call *call = call_of(route);
    CHECK_EQUAL(route->references, 2);
    CHECK(call->submitted_ns >= before && call->submitted_ns <= pyh_now_ns());
    CHECK_EQUAL(call->deadline_ns, PYH_NEVER);
    CHECK_EQUAL(call->run_limit_ns, PYH_NEVER);
    CHECK(!pyh_call_is_answered(call));
    CHECK(pyh_call_unref(call) == NULL);
    CHECK_EQUAL(route->references, 1);
    pyh_route_unref(route);
}

static void the_first_answer_wins(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_call *call = call_of(route);
    pyh_message *reply = message_with('1');
    CHECK(pyh_call_answer(call, PYHOST_OK, reply));
    CHECK(pyh_call_is_answered(call));
    CHECK(!pyh_call_answer(call, PYHOST_RAISED, message_with('2')));
    CHECK(!pyh_call_answer(call, PYHOST_CANCELLED, NULL));
    CHECK_STATUS(call->status, PYHOST_OK);
    CHECK(call->reply == reply);
    CHECK_EQUAL(answers_counted(route), 1);
    CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
    pyh_call_unref(call);
    pyh_route_unref(route);
}

static void begun_once_and_not_after_an_answer(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_call *run = call_of(route), *given_up = call_of(route);
    CHECK(pyh_call_begin(run));
    CHECK(!pyh_call_begin(run));
    CHECK(pyh_call_answer(run, PYHOST_OK, NULL));
    CHECK(pyh_call_answer(given_up, PYHOST_CANCELLED, NULL));
    CHECK(!pyh_call_begin(given_up));
    pyh_call_unref(run);
    pyh_call_unref(given_up);
    pyh_route_unref(route);
}

typedef struct {
    pyh_call *calls[ROUNDS];
    atomic_uint wins[ROUNDS];
    threads_meeting meeting;
} race;

/* Index 0 waits; the others answer, each with a reply that says who it was. */
static void answer_or_wait(size_t index, void *shared)
{
    race *self = shared;
    for (size_t i = 0; i < ROUNDS; i++) {
        pyh_call *call = self->calls[i];
        threads_meet(&self->meeting, 1 + ANSWERERS);
        if (index > 0) {
            pyhost_status status = index == 1 ? PYHOST_RAISED : PYHOST_OK;
            atomic_fetch_add(&self->wins[i], pyh_call_answer(call, status, message_with((unsigned char)index)));
        } else {
            CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
            CHECK(call->reply != NULL);
            CHECK((call->status == PYHOST_RAISED) == (call->reply->payload[0] == 1));
        }
    }
}

static void racing_answerers_have_one_winner(void)
{
    static race shared;
    pyh_route *route = route_with("plugin", NULL, 0);
    for (size_t i = 0; i < ROUNDS; i++) {
        shared.calls[i] = call_of(route);
    }
    threads_run(1 + ANSWERERS, answer_or_wait, &shared);
    for (size_t i = 0; i < ROUNDS; i++) {
        CHECK_EQUAL(shared.wins[i], 1);
        CHECK_EQUAL(shared.calls[i]->references, 1);
        pyh_call_unref(shared.calls[i]);
    }
    CHECK_EQUAL(answers_counted(route), ROUNDS);
    CHECK_EQUAL(route->references, 1);
    pyh_route_unref(route);
}

static void parents_tell_whom_a_call_holds_up(void)
{
    pyh_router *router = pyh_router_new();
    pyh_interp *first = interp_with(router, 1), *second = interp_with(router, 1), *other = interp_with(router, 1);
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_call *outer = call_of(route), *inner = call_of(route);
    outer->origin = first;
    inner->origin = second;
    inner->parent = pyh_call_ref(outer);
    CHECK(!pyh_call_holds_up(NULL, first));
    CHECK(pyh_call_holds_up(outer, first));
    CHECK(!pyh_call_holds_up(outer, second));
    CHECK(pyh_call_holds_up(inner, first));
    CHECK(pyh_call_holds_up(inner, second));
    CHECK(!pyh_call_holds_up(inner, other));
    pyh_call_unref(outer);
    CHECK(pyh_call_holds_up(inner, first));
    pyh_call_unref(inner);
    pyh_route_unref(route);
    pyh_interp_unref(first);
    pyh_interp_unref(second);
    pyh_interp_unref(other);
    pyh_router_unref(router);
}

/* Freed by a loop: recursion this deep would end the process. */
static void long_chains_are_freed(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_call *call = NULL;
    for (int i = 0; i < CHAIN; i++) {
        pyh_call *child = call_of(route);
        child->parent = call;
        call = child;
    }
    CHECK_EQUAL(route->references, CHAIN + 1);
    pyh_call_unref(call);
    CHECK_EQUAL(route->references, 1);
    pyh_route_unref(route);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(new_calls_have_no_limit_and_no_answer), CHECK_TEST(the_first_answer_wins),
        CHECK_TEST(begun_once_and_not_after_an_answer),    CHECK_TEST(racing_answerers_have_one_winner),
        CHECK_TEST(parents_tell_whom_a_call_holds_up),     CHECK_TEST(long_chains_are_freed),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
