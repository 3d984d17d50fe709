/* Tests of interp without an interpreter: states, the inbox's accounts, and visits. test_embed.c runs real ones. */
#include "interp.h"

#include "calls.h"
#include "threads.h"

enum { VISITORS = 4, ROUNDS = 200 };

static void new_interps_have_ids_of_their_own(void)
{
    pyh_router *router = pyh_router_new();
    pyh_interp *first = interp_with(router, 1), *second = interp_with(router, 1);
    CHECK(second->id > first->id && first->id > 0);
    CHECK(first->name == NULL);
    CHECK_EQUAL(first->state, PYH_INTERP_STARTING);
    CHECK_EQUAL(router->references, 3);
    CHECK(pyh_interp_unref(first) == NULL);
    CHECK(pyh_interp_unref(second) == NULL);
    CHECK(pyh_interp_unref(NULL) == NULL);
    CHECK_EQUAL(router->references, 1);
    pyh_router_unref(router);
}

static void closing_drains_what_runs_and_nothing_else(void)
{
    static const pyh_interp_state states[][2] = {
        {PYH_INTERP_STARTING, PYH_INTERP_STARTING}, {PYH_INTERP_RUNNING, PYH_INTERP_DRAINING},
        {PYH_INTERP_STOPPED, PYH_INTERP_STOPPED},   {PYH_INTERP_FAILED, PYH_INTERP_FAILED},
        {PYH_INTERP_LOST, PYH_INTERP_LOST},
    };
    pyh_router *router = pyh_router_new();
    pyh_route *route = route_with("plugin", NULL, 0);
    for (size_t i = 0; i < CHECK_COUNT(states); i++) {
        pyh_interp *interp = interp_with(router, 1);
        pyh_call *call = call_of(route);
        atomic_store(&interp->state, states[i][0]);
        pyh_interp_close(interp);
        pyh_interp_close(interp);
        CHECK_EQUAL(interp->state, states[i][1]);
        CHECK_STATUS(pyh_interp_submit(interp, call), PYHOST_CLOSED);
        CHECK_EQUAL(call->references, 1);
        pyh_call_unref(call);
        pyh_interp_unref(interp);
    }
    pyh_route_unref(route);
    pyh_router_unref(router);
}

static void those_set_aside_are_counted_until_they_come_back(void)
{
    pyh_router *router = pyh_router_new();
    pyh_interp *lost = interp_with(router, 1), *stopped = interp_with(router, 1);
    CHECK_EQUAL(pyh_interp_lost_count(), 0);
    pyh_interp_set_aside(lost);
    pyh_interp_set_aside(lost);
    CHECK_EQUAL(lost->state, PYH_INTERP_LOST);
    CHECK_EQUAL(pyh_interp_lost_count(), 1);
    pyh_interp_ended(stopped, PYH_INTERP_STOPPED);
    pyh_interp_set_aside(stopped);
    CHECK_EQUAL(stopped->state, PYH_INTERP_STOPPED);
    CHECK_EQUAL(pyh_interp_lost_count(), 1);
    pyh_interp_ends before = pyh_interp_count_ends();
    lost->account->detached_bytes = 7;
    pyh_interp_ended(lost, PYH_INTERP_FAILED);
    CHECK_EQUAL(pyh_interp_count_ends().count, before.count + 1);
    CHECK_EQUAL(pyh_interp_count_ends().left_bytes, before.left_bytes + 7);
    CHECK_EQUAL(lost->state, PYH_INTERP_FAILED);
    CHECK_EQUAL(pyh_interp_lost_count(), 0);
    pyh_interp_unref(lost);
    pyh_interp_unref(stopped);
    pyh_router_unref(router);
}

static void batches_are_sent_as_far_as_they_fit(void)
{
    pyh_router *router = pyh_router_new();
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_interp *interp = interp_with(router, 2);
    pyh_call *calls[3] = {call_of(route), call_of(route), call_of(route)};
    size_t sent = SIZE_MAX;
    CHECK_STATUS(pyh_interp_send(interp, calls, CHECK_COUNT(calls), &sent), PYHOST_FULL);
    CHECK_EQUAL(sent, 2);
    CHECK_EQUAL(pyh_interp_load(interp), 2);
    CHECK_EQUAL(interp->references, 3); /* this test's and two calls' */
    for (size_t i = 0; i < CHECK_COUNT(calls); i++) {
        CHECK(calls[i]->interp == (i < sent ? interp : NULL));
        CHECK_EQUAL(calls[i]->references, i < sent ? 2 : 1);
        pyh_call_unref(calls[i]);
    }
    CHECK_EQUAL(empty_inbox(interp), 2);
    CHECK_EQUAL(pyh_interp_load(interp), 0);
    CHECK_EQUAL(interp->served, 0); /* none has run */
    CHECK_EQUAL(interp->references, 1);
    pyh_interp_unref(interp);
    pyh_route_unref(route);
    pyh_router_unref(router);
}

static void abandoned_calls_are_given_up(void)
{
    pyh_router *router = pyh_router_new();
    pyh_route *route = route_with("plugin", NULL, 0);
    pyh_interp *interp = interp_with(router, 2);
    pyh_call *calls[2] = {call_of(route), call_of(route)};
    size_t sent;
    CHECK_STATUS(pyh_interp_send(interp, calls, CHECK_COUNT(calls), &sent), PYHOST_OK);
    CHECK(pyh_call_answer(calls[0], PYHOST_TIMEOUT, NULL));
    pyh_interp_abandon(interp);
    pyh_interp_abandon(interp);
    CHECK_STATUS(calls[0]->status, PYHOST_TIMEOUT);
    CHECK(pyh_call_is_answered(calls[1]));
    CHECK_STATUS(calls[1]->status, PYHOST_CANCELLED);
    for (size_t i = 0; i < CHECK_COUNT(calls); i++) {
        CHECK_EQUAL(calls[i]->references, 1);
        pyh_call_unref(calls[i]);
    }
    pyh_call *late = call_of(route);
    CHECK_STATUS(pyh_interp_submit(interp, late), PYHOST_CLOSED);
    pyh_call_unref(late);
    CHECK_EQUAL(pyh_interp_load(interp), 0);
    CHECK_EQUAL(interp->references, 1);
    pyh_interp_unref(interp);
    pyh_route_unref(route);
    pyh_router_unref(router);
}

static void nobody_enters_after_it_was_vacated(void)
{
    pyh_router *router = pyh_router_new();
    pyh_interp *interp = interp_with(router, 1);
    CHECK(pyh_interp_enter(interp));
    CHECK(pyh_interp_enter(interp));
    CHECK(!pyh_event_is_set(&interp->vacated));
    pyh_interp_leave(interp);
    pyh_interp_leave(interp);
    pyh_interp_vacate(interp);
    CHECK(!pyh_interp_enter(interp));
    CHECK(!pyh_interp_enter(interp));
    pyh_interp_unref(interp);
    pyh_router_unref(router);
}

typedef struct {
    pyh_interp *interps[ROUNDS];
    atomic_int inside[ROUNDS];
    int freed[ROUNDS]; /* written once vacated: the sanitizers see a visit that goes on */
} visits;

/* Index 0 vacates each interp; the others visit it until they are refused. */
static void vacate_or_visit(size_t index, void *shared)
{
    visits *self = shared;
    for (size_t i = 0; i < ROUNDS; i++) {
        pyh_interp *interp = self->interps[i];
        if (index == 0) {
            pyh_interp_vacate(interp);
            CHECK_EQUAL(self->inside[i], 0);
            self->freed[i] = 1;
        }
        while (pyh_interp_enter(interp)) {
            CHECK(index > 0);
            atomic_fetch_add(&self->inside[i], 1);
            CHECK_EQUAL(self->freed[i], 0);
            atomic_fetch_sub(&self->inside[i], 1);
            pyh_interp_leave(interp);
        }
    }
}

static void vacating_waits_for_visits_under_way(void)
{
    static visits shared;
    pyh_router *router = pyh_router_new();
    for (size_t i = 0; i < ROUNDS; i++) {
        shared.interps[i] = interp_with(router, 1);
    }
    threads_run(1 + VISITORS, vacate_or_visit, &shared);
    for (size_t i = 0; i < ROUNDS; i++) {
        pyh_interp_unref(shared.interps[i]);
    }
    pyh_router_unref(router);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(new_interps_have_ids_of_their_own),
        CHECK_TEST(closing_drains_what_runs_and_nothing_else),
        CHECK_TEST(those_set_aside_are_counted_until_they_come_back),
        CHECK_TEST(batches_are_sent_as_far_as_they_fit),
        CHECK_TEST(abandoned_calls_are_given_up),
        CHECK_TEST(nobody_enters_after_it_was_vacated),
        CHECK_TEST(vacating_waits_for_visits_under_way),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
