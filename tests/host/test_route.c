/* Tests of route: finding functions, the least loaded interpreter, and what becomes of a call that not every one
 * takes. */
#include "route.h"

#include "calls.h"
#include "threads.h"

enum { INBOX = 2, SUBMITTERS = 4, CALLS_EACH = 500 };

/* A route to three interpreters with room for INBOX calls each. */
typedef struct {
    pyh_router *router;
    pyh_interp *interps[3];
    pyh_route *route;
} fixture;

static fixture make_fixture(size_t inbox_capacity)
{
    fixture made = {.router = pyh_router_new()};
    for (size_t i = 0; i < CHECK_COUNT(made.interps); i++) {
        made.interps[i] = interp_with(made.router, inbox_capacity);
    }
    made.route = route_with("plugin", made.interps, CHECK_COUNT(made.interps));
    return made;
}

/* Frees it all, and checks that nothing else refers to any of it. */
static void clear_fixture(fixture *made)
{
    for (size_t i = 0; i < CHECK_COUNT(made->interps); i++) {
        empty_inbox(made->interps[i]);
        CHECK_EQUAL(pyh_interp_load(made->interps[i]), 0);
    }
    CHECK_EQUAL(made->route->references, 1);
    pyh_route_unref(made->route);
    for (size_t i = 0; i < CHECK_COUNT(made->interps); i++) {
        CHECK_EQUAL(made->interps[i]->references, 1);
        pyh_interp_unref(made->interps[i]);
    }
    CHECK_EQUAL(made->router->references, 1);
    pyh_router_unref(made->router);
}

static pyhost_status submit(pyh_route *route)
{
    pyh_call *call = call_of(route);
    pyhost_status status = pyh_route_submit(route, call);
    CHECK((call->interp != NULL) == (status == PYHOST_OK));
    CHECK_EQUAL(call->references, status == PYHOST_OK ? 2 : 1);
    pyh_call_unref(call);
    return status;
}

static void check_depths(const fixture *made, size_t first, size_t second, size_t third)
{
    const size_t depths[] = {first, second, third};
    for (size_t i = 0; i < CHECK_COUNT(depths); i++) {
        CHECK_EQUAL(pyh_channel_depth(&made->interps[i]->inbox), depths[i]);
        CHECK_EQUAL(pyh_interp_load(made->interps[i]), depths[i]);
    }
}

static void functions_are_copied_and_found(void)
{
    char name[] = "function", plugin[] = "plugin";
    const pyh_function function = {.name = name, .direct = true, .deadline_ns = 77};
    pyh_route *route = pyh_route_new(plugin, NULL, 0, &function, 1, NULL);
    name[0] = plugin[0] = 'x';
    CHECK_STRING(route->plugin, "plugin");
    pyh_function *found = pyh_route_find(route, "function");
    CHECK(found == &route->functions[0]);
    CHECK(found->direct);
    CHECK_EQUAL(found->deadline_ns, 77);
    CHECK_EQUAL(found->stats->counters.calls, 0);
    CHECK(pyh_route_find(route, "functio") == NULL);
    CHECK(pyh_route_find(route, "") == NULL);
    CHECK(pyh_route_unref(route) == NULL);
    CHECK(pyh_route_unref(NULL) == NULL);
}

static void routes_without_interpreters_are_unavailable(void)
{
    pyh_route *route = route_with("plugin", NULL, 0);
    CHECK_STATUS(submit(route), PYHOST_UNAVAILABLE);
    pyh_route_unref(route);
}

static void the_least_loaded_is_picked(void)
{
    fixture made = make_fixture(INBOX);
    atomic_store(&made.interps[0]->occupancy, 5);
    atomic_store(&made.interps[1]->occupancy, 3);
    atomic_store(&made.interps[2]->occupancy, 4);
    for (int i = 0; i < 6; i++) {
        CHECK_EQUAL(pyh_route_pick(made.route), 1);
    }
    for (size_t i = 0; i < CHECK_COUNT(made.interps); i++) {
        atomic_store(&made.interps[i]->occupancy, 0);
    }
    clear_fixture(&made);
}

static void equals_take_turns(void)
{
    fixture made = make_fixture(INBOX);
    size_t picked[3] = {0};
    for (int i = 0; i < 30; i++) {
        size_t place = pyh_route_pick(made.route);
        CHECK(place < 3);
        picked[place]++;
    }
    for (size_t j = 0; j < 3; j++) {
        CHECK_EQUAL(picked[j], 10);
    }
    clear_fixture(&made);
}

static void calls_spread_until_all_are_full(void)
{
    fixture made = make_fixture(INBOX);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(submit(made.route), PYHOST_OK);
    }
    check_depths(&made, 1, 1, 1);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(submit(made.route), PYHOST_OK);
    }
    CHECK_EQUAL(made.route->functions[0].stats->counters.rejected, 0);
    CHECK_STATUS(submit(made.route), PYHOST_FULL);
    CHECK_STATUS(submit(made.route), PYHOST_FULL);
    CHECK_EQUAL(made.route->functions[0].stats->counters.rejected, 2);
    CHECK_EQUAL(made.route->functions[1].stats->counters.rejected, 0);
    check_depths(&made, 2, 2, 2);
    clear_fixture(&made);
}

static void closed_interpreters_are_passed_by(void)
{
    fixture made = make_fixture(INBOX);
    pyh_interp_close(made.interps[0]);
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(submit(made.route), PYHOST_OK);
    }
    check_depths(&made, 0, 2, 2);
    CHECK_STATUS(submit(made.route), PYHOST_FULL);
    pyh_interp_close(made.interps[1]);
    CHECK_STATUS(submit(made.route), PYHOST_FULL);
    pyh_interp_close(made.interps[2]);
    CHECK_STATUS(submit(made.route), PYHOST_CLOSED);
    CHECK_EQUAL(made.route->functions[0].stats->counters.rejected, 2);
    clear_fixture(&made);
}

/* Submits a call that the interpreter's owner thread waits for. */
static pyhost_status submit_from(pyh_route *route, pyh_interp *origin, pyh_call *parent)
{
    pyh_call *call = call_of(route);
    call->origin = origin;
    call->parent = parent != NULL ? pyh_call_ref(parent) : NULL;
    pyhost_status status = pyh_route_submit(route, call);
    pyh_call_unref(call);
    return status;
}

static void waiting_interpreters_are_passed_by(void)
{
    fixture made = make_fixture(INBOX);
    pyh_call *parent = call_of(made.route);
    parent->origin = made.interps[0];
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(submit_from(made.route, made.interps[2], NULL), PYHOST_OK);
    }
    check_depths(&made, 2, 2, 0);
    CHECK_STATUS(submit_from(made.route, made.interps[2], NULL), PYHOST_FULL);
    CHECK_STATUS(submit_from(made.route, made.interps[1], parent), PYHOST_OK);
    check_depths(&made, 2, 2, 1);
    pyh_call_unref(parent);
    clear_fixture(&made);
}

static void calls_that_wait_for_themselves_are_refused(void)
{
    fixture made = make_fixture(INBOX);
    pyh_route *alone = route_with("alone", made.interps, 1);
    CHECK_STATUS(submit_from(alone, made.interps[0], NULL), PYHOST_REENTRANT);
    CHECK_STATUS(submit_from(alone, made.interps[1], NULL), PYHOST_OK);
    CHECK_EQUAL(empty_inbox(made.interps[0]), 1);
    CHECK_EQUAL(alone->references, 1);
    pyh_route_unref(alone);
    clear_fixture(&made);
}

static void submit_many(size_t index, void *shared)
{
    fixture *made = shared;
    (void)index;
    for (size_t i = 0; i < CALLS_EACH; i++) {
        CHECK_STATUS(submit(made->route), PYHOST_OK);
    }
}

static void many_threads_submit(void)
{
    fixture made = make_fixture((size_t)SUBMITTERS * CALLS_EACH);
    size_t taken = 0;
    threads_run(SUBMITTERS, submit_many, &made);
    for (size_t i = 0; i < CHECK_COUNT(made.interps); i++) {
        taken += empty_inbox(made.interps[i]);
    }
    CHECK_EQUAL(taken, SUBMITTERS * CALLS_EACH);
    clear_fixture(&made);
}

static void functions_count_on_in_the_next_route(void)
{
    const pyh_function functions[] = {{.name = "kept"}, {.name = "new"}};
    pyh_route *first = pyh_route_new("plugin", NULL, 0, functions, 1, NULL);
    pyh_stats_record(first->functions[0].stats, PYHOST_OK, 5000);
    pyh_route *second = pyh_route_new("plugin", NULL, 0, functions, 2, first);
    CHECK(second->functions[0].stats == first->functions[0].stats);
    pyh_route_unref(first);
    CHECK_EQUAL(second->functions[0].stats->counters.calls, 1);
    CHECK_EQUAL(second->functions[0].stats->references, 1);
    CHECK_EQUAL(second->functions[1].stats->counters.calls, 0);
    pyh_route_unref(second);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(functions_count_on_in_the_next_route),
        CHECK_TEST(functions_are_copied_and_found),
        CHECK_TEST(routes_without_interpreters_are_unavailable),
        CHECK_TEST(the_least_loaded_is_picked),
        CHECK_TEST(equals_take_turns),
        CHECK_TEST(calls_spread_until_all_are_full),
        CHECK_TEST(closed_interpreters_are_passed_by),
        CHECK_TEST(waiting_interpreters_are_passed_by),
        CHECK_TEST(calls_that_wait_for_themselves_are_refused),
        CHECK_TEST(many_threads_submit),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
