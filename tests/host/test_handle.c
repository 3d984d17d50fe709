/* Tests of handle: what names are taken, where a handle leads, that a thread's memory of it is never older than the
 * router, and the deadlines of what is called there. No interpreter runs. */
#include "handle.h"

#include <stdlib.h>

#include "calls.h"
#include "threads.h"

enum { INBOX = 2, FINDERS = 4, FINDS_EACH = 2000, VERSIONS = 200 };

typedef struct {
    pyh_router *router;
    pyh_interp *interp;
} fixture;

static pyh_route *publish(fixture *made)
{
    pyh_route *route = route_with("plugin", &made->interp, 1);
    CHECK_STATUS(pyh_router_publish(made->router, pyh_route_ref(route)), PYHOST_OK);
    return route;
}

static fixture make_fixture(void)
{
    fixture made = {.router = pyh_router_new()};
    made.interp = interp_with(made.router, INBOX);
    return made;
}

static void clear_fixture(fixture *made)
{
    pyh_router_withdraw(made->router, "plugin"); /* its route keeps the interpreter, which keeps the router */
    pyh_interp_unref(made->interp);
    pyh_router_unref(made->router);
}

static pyh_handle *new_handle(fixture *made, const char *name)
{
    pyh_handle *handle = calloc(1, sizeof *handle);
    CHECK(handle != NULL);
    CHECK_STATUS(pyh_handle_init(handle, made->router, name), PYHOST_OK);
    return handle;
}

static void free_handle(pyh_handle *handle)
{
    pyh_handle_deinit(handle);
    free(handle);
}

/* Where the handle leads, left at once: the address alone is of use. */
static const pyh_function *found_by(pyh_handle *handle)
{
    pyh_way way;
    CHECK_STATUS(pyh_handle_find(handle, false, &way), PYHOST_OK);
    CHECK(way.function == pyh_route_find(way.route, handle->function));
    const pyh_function *function = way.function;
    pyh_way_leave(&way);
    return function;
}

static void names_have_two_parts(void)
{
    static const char *const bad[] = {"", ".", "plugin", "plugin.", ".function"};
    fixture made = make_fixture();
    for (size_t i = 0; i < CHECK_COUNT(bad); i++) {
        pyh_handle handle = {0};
        CHECK_STATUS(pyh_handle_init(&handle, made.router, bad[i]), PYHOST_MISUSED);
        pyh_handle_deinit(&handle);
    }
    pyh_handle *handle = new_handle(&made, "plugin.a.b");
    CHECK_STRING(handle->name, "plugin.a.b");
    CHECK_STRING(handle->plugin, "plugin");
    CHECK_STRING(handle->function, "a.b");
    free_handle(handle);
    CHECK_EQUAL(made.router->references, 2); /* this test's and the interpreter's */
    clear_fixture(&made);
}

static void what_does_not_exist_is_told_apart(void)
{
    fixture made = make_fixture();
    pyh_handle *known = new_handle(&made, "plugin.first"), *unknown = new_handle(&made, "plugin.third");
    pyh_way way;
    CHECK_STATUS(pyh_handle_find(known, false, &way), PYHOST_NO_PLUGIN);
    pyh_route *route = publish(&made);
    CHECK_STATUS(pyh_handle_find(unknown, false, &way), PYHOST_NO_FUNCTION);
    found_by(known);
    CHECK_STATUS(pyh_router_publish(made.router, route_with("plugin", NULL, 0)), PYHOST_OK);
    CHECK_STATUS(pyh_handle_find(known, false, &way), PYHOST_UNAVAILABLE);
    pyh_router_withdraw(made.router, "plugin");
    CHECK_STATUS(pyh_handle_find(known, false, &way), PYHOST_NO_PLUGIN);
    pyh_route_unref(route);
    free_handle(unknown);
    free_handle(known);
    clear_fixture(&made);
}

static void while_draining_plugins_alone_find_their_way(void)
{
    fixture made = make_fixture();
    pyh_route_unref(publish(&made));
    pyh_handle *handle = new_handle(&made, "plugin.first");
    pyh_way way;
    found_by(handle);
    atomic_store(&made.router->draining, true);
    CHECK_STATUS(pyh_handle_find(handle, false, &way), PYHOST_UNAVAILABLE);
    CHECK_STATUS(pyh_handle_find(handle, true, &way), PYHOST_OK);
    pyh_way_leave(&way);
    free_handle(handle);
    clear_fixture(&made);
}

static void a_way_that_is_taken_again_is_remembered(void)
{
    fixture made = make_fixture();
    pyh_route *route = publish(&made);
    pyh_handle *first = new_handle(&made, "plugin.first"), *second = new_handle(&made, "plugin.second");
    pyh_way way, within;
    CHECK_STATUS(pyh_handle_find(first, false, &way), PYHOST_OK);
    uint32_t references = route->references;
    pyh_way_leave(&way);
    CHECK_STATUS(pyh_handle_find(first, false, &way), PYHOST_OK);
    CHECK(way.is_remembered);
    CHECK_EQUAL(route->references, references);
    /* What it leads to stays while others are found: calls nest. */
    CHECK_STATUS(pyh_handle_find(first, false, &within), PYHOST_OK);
    CHECK(!within.is_remembered && within.function == way.function);
    pyh_way_leave(&within);
    CHECK_STATUS(pyh_handle_find(second, false, &within), PYHOST_OK);
    CHECK(within.function == &route->functions[1]);
    pyh_way_leave(&within);
    pyh_way_leave(&way);
    CHECK(found_by(second) == &route->functions[1]);
    CHECK(found_by(first) == &route->functions[0]);
    free_handle(second);
    free_handle(first);
    pyh_route_unref(route);
    clear_fixture(&made);
}

static void what_is_published_is_found_at_once(void)
{
    fixture made = make_fixture();
    pyh_handle *handle = new_handle(&made, "plugin.first");
    for (int i = 0; i < 5; i++) {
        pyh_route *route = publish(&made);
        CHECK(found_by(handle) == &route->functions[0]);
        CHECK(found_by(handle) == &route->functions[0]);
        pyh_route_unref(route);
    }
    free_handle(handle);
    /* A handle that stands where another stood is another one. */
    handle = new_handle(&made, "plugin.second");
    pyh_route *route = publish(&made);
    CHECK(found_by(handle) == &route->functions[1]);
    free_handle(handle);
    pyh_route_unref(route);
    clear_fixture(&made);
}

static void find_once(size_t index, void *handle)
{
    (void)index;
    found_by(handle);
}

static void threads_take_their_memory_with_them(void)
{
    fixture made = make_fixture();
    pyh_route *route = publish(&made);
    pyh_handle *handle = new_handle(&made, "plugin.first");
    threads_run(FINDERS, find_once, handle);
    CHECK_EQUAL(route->references, 3); /* this test's, the router's and the handle's */
    free_handle(handle);
    pyh_route_unref(route);
    clear_fixture(&made);
}

typedef struct {
    fixture *made;
    pyh_handle *handle;
} shared_handle;

/* Index 0 publishes, the others find, and enter what they find. */
static void find_while_published(size_t index, void *argument)
{
    shared_handle *shared = argument;
    for (int i = 0; index == 0 && i < VERSIONS; i++) {
        pyh_route_unref(publish(shared->made));
    }
    for (int i = 0; index > 0 && i < FINDS_EACH; i++) {
        pyh_way way;
        CHECK_STATUS(pyh_handle_find(shared->handle, false, &way), PYHOST_OK);
        CHECK_STRING(way.function->name, "first");
        CHECK(way.route->interps[0] == shared->made->interp);
        pyh_way_leave(&way);
    }
}

static void threads_share_a_handle(void)
{
    fixture made = make_fixture();
    pyh_route_unref(publish(&made));
    shared_handle shared = {&made, new_handle(&made, "plugin.first")};
    threads_run(1 + FINDERS, find_while_published, &shared);
    free_handle(shared.handle);
    clear_fixture(&made);
}

/* The call's deadline, in nanoseconds from its submission. */
static int64_t time_for(const pyh_way *way, int64_t timeout_ns)
{
    pyh_message *request = message_with('r');
    pyh_call *call = pyh_way_new_call(way, request, timeout_ns);
    CHECK(call != NULL && call->route == way->route && call->function == way->function);
    int64_t time_ns = call->deadline_ns == PYH_NEVER ? PYH_NEVER : call->deadline_ns - call->submitted_ns;
    pyh_call_unref(call);
    pyh_message_unref(request);
    return time_ns;
}

static void the_shortest_limit_is_the_deadline(void)
{
    fixture made = make_fixture();
    pyh_route_unref(publish(&made));
    pyh_handle *first = new_handle(&made, "plugin.first"), *second = new_handle(&made, "plugin.second");
    pyh_way way;
    CHECK_STATUS(pyh_handle_find(first, false, &way), PYHOST_OK);
    CHECK_EQUAL(time_for(&way, 0), PYH_NEVER); /* the function's own */
    CHECK_EQUAL(time_for(&way, 9), 9);
    CHECK_EQUAL(time_for(&way, INT64_MAX), PYH_NEVER);
    pyh_way_leave(&way);
    CHECK_STATUS(pyh_handle_find(second, false, &way), PYHOST_OK);
    CHECK_EQUAL(time_for(&way, 0), 5);
    CHECK_EQUAL(time_for(&way, 9), 9);
    int64_t outer_ns = pyh_now_ns() - 1;
    pyh_current_deadline_ns = outer_ns;
    CHECK(time_for(&way, 9) < 0); /* that of the call which this thread runs */
    pyh_current_deadline_ns = PYH_NEVER;
    pyh_way_leave(&way);
    free_handle(second);
    free_handle(first);
    clear_fixture(&made);
}

static void who_waits_in_vain_spins_less(void)
{
    fixture made = make_fixture();
    pyh_route *route = publish(&made);
    pyh_handle *handle = new_handle(&made, "plugin.first");
    pyh_call *slow = call_of(route), *fast = call_of(route);
    CHECK(pyh_call_answer(fast, PYHOST_OK, NULL));
    int spun = 0;
    while (pyh_handle_should_spin(handle)) {
        CHECK(!pyh_handle_spin(handle, slow));
        spun++;
    }
    CHECK(spun > 1);
    int passed = 1;
    while (!pyh_handle_should_spin(handle)) {
        passed++;
    }
    CHECK(passed > 10 * spun);
    CHECK(pyh_handle_spin(handle, fast)); /* the one that tries again restores some patience */
    CHECK(pyh_handle_should_spin(handle));
    pyh_call_unref(fast);
    pyh_call_unref(slow);
    free_handle(handle);
    pyh_route_unref(route);
    clear_fixture(&made);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(names_have_two_parts),
        CHECK_TEST(what_does_not_exist_is_told_apart),
        CHECK_TEST(while_draining_plugins_alone_find_their_way),
        CHECK_TEST(a_way_that_is_taken_again_is_remembered),
        CHECK_TEST(what_is_published_is_found_at_once),
        CHECK_TEST(threads_take_their_memory_with_them),
        CHECK_TEST(threads_share_a_handle),
        CHECK_TEST(the_shortest_limit_is_the_deadline),
        CHECK_TEST(who_waits_in_vain_spins_less),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
