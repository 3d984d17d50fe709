/* Tests of whole interpreters: they start, answer many threads at once, tell of failures, and end. */
#include "plugins.h"
#include "threads.h"

enum { INTERPRETERS = 4, CALLERS = 4, CALLS_EACH = 200, QUEUED = 50, CYCLES = 3 };

static void call_many_times(size_t index, void *shared)
{
    for (uint64_t i = 0; i < CALLS_EACH; i++) {
        plugins_add(shared, index, i);
    }
}

static void interpreters_answer_many_threads(void)
{
    plugins made = plugins_make(INTERPRETERS);
    uint64_t served = 0;
    threads_run(CALLERS, call_many_times, &made);
    for (size_t i = 0; i < made.count; i++) {
        served += made.interps[i]->served;
    }
    CHECK_EQUAL(served, CALLERS * CALLS_EACH);
    CHECK_EQUAL(made.route->functions[PLUGIN_ADD].stats->counters.calls, CALLERS * CALLS_EACH);
    plugins_clear(&made);
}

static void each_interpreter_has_its_own_state(void)
{
    plugins made = plugins_make(2);
    for (uint64_t i = 0; i < 10; i++) {
        pyh_call *call = plugins_call(&made, PLUGIN_COUNT, plugins_request(0, 0, 0));
        CHECK_STATUS(pyh_interp_submit(made.interps[i % 2], call), PYHOST_OK);
        CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
        CHECK_EQUAL(plugins_integer(call->reply), 1 + i / 2);
        pyh_call_unref(call);
    }
    plugins_clear(&made);
}

/* Calls, and checks the status and the answer's value. */
static void check_answer(const plugins *made, size_t function, pyh_message *request, pyhost_status status,
                         const char *expected)
{
    pyh_call *call = plugins_call(made, function, request);
    plugins_run(made, call);
    CHECK_STATUS(call->status, status);
    plugins_check_value(call->reply, expected);
    pyh_call_unref(call);
}

static void failures_are_told(void)
{
    plugins made = plugins_make(1);
    check_answer(&made, PLUGIN_ADD, plugins_request(2, 1, 2), PYHOST_OK, "value == 3");
    check_answer(&made, PLUGIN_FAIL, plugins_request(0, 0, 0), PYHOST_RAISED,
                 "value[:3] == ('ValueError', 'as asked', ()) and 'in fail' in value[3]");
    check_answer(&made, PLUGIN_ADD, plugins_request(1, 1, 0), PYHOST_BAD_ARGUMENTS,
                 "value.startswith('TypeError: ') and 'right' in value");
    check_answer(&made, PLUGIN_ADD, codec_message("?", 1), PYHOST_UNENCODABLE, "value.startswith('ValueError: ')");
    check_answer(&made, PLUGIN_UNSENDABLE, plugins_request(0, 0, 0), PYHOST_BAD_RESULT, "'lambda' in value");
    CHECK_EQUAL(made.route->functions[PLUGIN_FAIL].stats->counters.errors, 1);
    CHECK_EQUAL(made.route->functions[PLUGIN_ADD].stats->counters.errors, 2);
    plugins_clear(&made);
}

static void what_was_accepted_is_run_before_the_end(void)
{
    plugins made = plugins_make(1);
    pyh_call *calls[QUEUED];
    for (size_t i = 0; i < QUEUED; i++) {
        calls[i] = plugins_call(&made, PLUGIN_ADD, plugins_request(2, i, 1));
        CHECK_STATUS(pyh_route_submit(made.route, calls[i]), PYHOST_OK);
    }
    pyh_interp_close(made.interps[0]);
    for (size_t i = 0; i < QUEUED; i++) {
        CHECK_STATUS(pyh_call_wait(calls[i]), PYHOST_OK);
        CHECK_EQUAL(plugins_integer(calls[i]->reply), i + 1);
        pyh_call_unref(calls[i]);
    }
    plugins_clear(&made);
}

static void failures_at_the_end_are_told(void)
{
    plugins made = plugins_make(2);
    pyh_call *call = plugins_call(&made, PLUGIN_FAIL_AT_STOP, plugins_request(0, 0, 0));
    CHECK_STATUS(pyh_interp_submit(made.interps[1], call), PYHOST_OK);
    CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
    CHECK_STATUS(call->status, PYHOST_OK);
    pyh_call_unref(call);
    for (size_t i = 0; i < made.count; i++) {
        pyh_interp_close(made.interps[i]);
        plugins_check_ended(made.interps[i]);
    }
    CHECK(made.interps[0]->stop_reply == NULL);
    plugins_check_value(made.interps[1]->stop_reply, "value[:2] == ('RuntimeError', 'as asked')");
    plugins_clear(&made);
}

static void plugins_that_do_not_start_say_why(void)
{
    pyh_router *router = pyh_router_new();
    pyh_interp *interp = plugins_start(router, "no_such_module", NULL);
    CHECK_STATUS(pyh_event_wait(&interp->ended, PYH_NEVER), PYHOST_OK);
    CHECK(pyh_event_is_set(&interp->ready));
    CHECK_EQUAL(interp->state, PYH_INTERP_FAILED);
    CHECK_STATUS(interp->start_status, PYHOST_RAISED);
    plugins_check_value(interp->start_reply,
                        "value[:2] == ('ModuleNotFoundError', \"No module named 'no_such_module'\")");
    CHECK(interp->stop_reply == NULL);
    pyh_interp_close(interp);
    pyh_interp_unref(interp);
    pyh_router_unref(router);
}

static void warm_interpreters_wait_for_their_plugin(void)
{
    pyh_router *router = pyh_router_new();
    pyh_interp *interp = plugins_warm_up(router);
    CHECK_STATUS(pyh_event_wait(&interp->warm, PYH_NEVER), PYHOST_OK);
    CHECK_EQUAL(interp->state, PYH_INTERP_STARTING);
    CHECK(!pyh_event_is_set(&interp->ready));
    CHECK_STATUS(plugins_assign(interp, "plugin", getenv("PYHOST_TEST_PLUGIN"), PYH_NO_LIMIT), PYHOST_OK);
    CHECK_STATUS(pyh_event_wait(&interp->ready, PYH_NEVER), PYHOST_OK);
    CHECK_STATUS(interp->start_status, PYHOST_OK);
    CHECK_EQUAL(interp->inbox.capacity, 64);
    CHECK_STRING(interp->name, "test");
    pyh_interp_close(interp);
    plugins_check_ended(interp);
    pyh_interp_unref(interp);
    pyh_router_unref(router);
}

static void interpreters_without_a_plugin_end_when_they_are_closed(void)
{
    pyh_router *router = pyh_router_new();
    for (int waits = 0; waits <= 1; waits++) {
        pyh_interp *interp = plugins_warm_up(router);
        if (waits) {
            CHECK_STATUS(pyh_event_wait(&interp->warm, PYH_NEVER), PYHOST_OK);
        }
        pyh_interp_close(interp);
        CHECK_STATUS(plugins_assign(interp, "plugin", getenv("PYHOST_TEST_PLUGIN"), PYH_NO_LIMIT), PYHOST_CLOSED);
        CHECK_STATUS(pyh_event_wait(&interp->ready, PYH_NEVER), PYHOST_OK);
        CHECK_STATUS(interp->start_status, PYHOST_CLOSED);
        plugins_check_ended(interp);
        pyh_interp_unref(interp);
    }
    pyh_router_unref(router);
}

static void interpreters_come_and_go(void)
{
    for (int i = 0; i < CYCLES; i++) {
        plugins made = plugins_make(2);
        plugins_add(&made, 1, 2);
        plugins_clear(&made);
    }
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(interpreters_answer_many_threads),
        CHECK_TEST(each_interpreter_has_its_own_state),
        CHECK_TEST(failures_are_told),
        CHECK_TEST(what_was_accepted_is_run_before_the_end),
        CHECK_TEST(failures_at_the_end_are_told),
        CHECK_TEST(plugins_that_do_not_start_say_why),
        CHECK_TEST(warm_interpreters_wait_for_their_plugin),
        CHECK_TEST(interpreters_without_a_plugin_end_when_they_are_closed),
        CHECK_TEST(interpreters_come_and_go),
    };
    plugins_begin();
    return plugins_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
