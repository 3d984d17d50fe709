/* Tests of memory limits: whoever goes past one is told so, and who goes on all the same is ended. */
#include "accounts.h"
#include "news.h"

enum { LIMIT = 16 * MIB };

/* A call that ended over the limit: its answer says so, in Python's words. */
static void check_over_limit(pyh_call *answered, const char *expected)
{
    CHECK_STATUS(answered->status, PYHOST_OVER_LIMIT);
    plugins_check_value(answered->reply, "value[0] == 16 << 20");
    plugins_check_value(answered->reply, expected);
    pyh_call_unref(answered);
}

static void calls_over_the_limit_fail_and_others_go_on(void)
{
    plugins made = accounts_make(1, LIMIT);
    int64_t before = 0;
    CHECK_EQUAL(accounts_figures(&made, 0).limit_bytes, LIMIT);
    for (uint64_t i = 1; i <= 3; i++) {
        check_over_limit(accounts_call(&made, 0, PLUGIN_GROW, 0, 0),
                         "value[1] > value[0] and value[2][0] == 'pyhost.plugin.MemoryLimitReached'"
                         " and 'in grow' in value[2][3]");
        plugins_add(&made, i, 1);
        CHECK_EQUAL(accounts_figures(&made, 0).raised, i);
        CHECK_BETWEEN(accounts_figures(&made, 0).peak_bytes, LIMIT, LIMIT + LIMIT / 4);
        before = i == 1 ? accounts_current(&made, 0) : before; /* with what the first failure has imported */
        CHECK_BETWEEN(accounts_current(&made, 0), before - MIB, before + MIB);
    }
    CHECK_EQUAL(accounts_figures(&made, 0).refused, 0);
    CHECK(!made.interps[0]->account->condemned);
    plugins_clear(&made);
}

static void requests_too_large_alone_fail_and_condemn_nobody(void)
{
    plugins made = accounts_make(1, LIMIT);
    for (uint64_t i = 1; i <= 3; i++) {
        check_over_limit(accounts_call(&made, 0, PLUGIN_HOLD, 1, 64), "value[2][0] == 'MemoryError'");
        plugins_add(&made, i, 1);
        CHECK_EQUAL(accounts_figures(&made, 0).refused, i);
    }
    CHECK_EQUAL(accounts_figures(&made, 0).raised, 0);
    CHECK(accounts_figures(&made, 0).peak_bytes < LIMIT);
    CHECK(!made.interps[0]->account->condemned);
    plugins_clear(&made);
}

static void plugins_can_handle_the_limit(void)
{
    plugins made = accounts_make(1, LIMIT);
    for (uint64_t i = 1; i <= 6; i++) { /* each time at the limit, once it has fallen below */
        pyh_call *answered = accounts_call(&made, 0, PLUGIN_GROW_AND_RECOVER, 0, 0);
        CHECK_STATUS(answered->status, PYHOST_OK);
        plugins_check_value(answered->reply, "value is True");
        pyh_call_unref(answered);
        CHECK_EQUAL(accounts_figures(&made, 0).raised, i);
    }
    CHECK(!made.interps[0]->account->condemned);
    plugins_clear(&made);
}

static void direct_calls_are_limited_too(void)
{
    plugins made = accounts_make(1, LIMIT);
    pyh_message *reply = NULL;
    plugins_attach();
    CHECK_STATUS(accounts_visit(&made, 0, PLUGIN_GROW, 0, 0, &reply), PYHOST_OVER_LIMIT);
    plugins_detach();
    plugins_check_value(reply, "value[0] == 16 << 20 and 'in grow' in value[2][3]");
    pyh_message_unref(reply);
    accounts_run_direct(&made, 0, PLUGIN_HOLD, 1, 1);
    CHECK_EQUAL(accounts_figures(&made, 0).raised, 1);
    plugins_clear(&made);
}

static void limits_are_each_interpreter_s_own(void)
{
    plugins made = accounts_make(2, LIMIT);
    check_over_limit(accounts_call(&made, 0, PLUGIN_GROW, 0, 0), "value[1] > value[0]");
    accounts_run(&made, 1, PLUGIN_HOLD, 1, 4);
    CHECK_EQUAL(accounts_figures(&made, 0).raised, 1);
    CHECK_EQUAL(accounts_figures(&made, 1).raised, 0);
    CHECK(accounts_figures(&made, 1).peak_bytes < LIMIT);
    plugins_clear(&made);
}

/* The interpreter itself notices, with its next call: the one that has waited behind. Then it ends. */
static void swallowing_the_error_condemns_the_interpreter(void)
{
    plugins made = accounts_make(1, LIMIT);
    pyh_interp *interp = made.interps[0];
    pyh_call *calls[] = {plugins_call(&made, PLUGIN_INSIST, plugins_request(1, 1000, 0)),
                         plugins_call(&made, PLUGIN_ADD, plugins_request(2, 1, 2))};
    size_t sent = 0;
    CHECK_STATUS(pyh_interp_send(interp, calls, 2, &sent), PYHOST_OK);
    CHECK_STATUS(pyh_call_wait(calls[0]), PYHOST_OK);
    CHECK_STATUS(calls[0]->status, PYHOST_OK);
    plugins_check_value(calls[0]->reply, "100 < value <= 320"); /* 20 MiB of pieces */
    pyh_call_unref(calls[0]);
    CHECK_STATUS(pyh_call_wait(calls[1]), PYHOST_OK);
    check_over_limit(calls[1], "value[1] > value[0] and value[2] is None");
    plugins_check_ended(interp);
    CHECK(interp->account->condemned);
    CHECK_BETWEEN(accounts_figures(&made, 0).raised, 2, 4); /* at the limit, and at each sixteenth above it */
    CHECK(accounts_figures(&made, 0).refused > 0);
    CHECK_BETWEEN(accounts_figures(&made, 0).peak_bytes, LIMIT, LIMIT + LIMIT / 4);
    plugins_clear(&made);
}

/* Whoever waits for news has to interrupt it. */
static void condemned_calls_that_never_end_are_told_as_news(void)
{
    plugins made = accounts_make(1, LIMIT);
    uint64_t news = pyh_news_wait(UINT64_MAX, 0);
    pyh_call *insisting = plugins_call(&made, PLUGIN_INSIST, plugins_request(1, (uint64_t)1 << 50, 0));
    CHECK_STATUS(pyh_interp_submit(made.interps[0], insisting), PYHOST_OK);
    CHECK_EQUAL(pyh_news_wait(news, PYH_NEVER), news + 1);
    CHECK(made.interps[0]->account->condemned);
    pyh_interp_abandon(made.interps[0]);
    CHECK_STATUS(pyh_call_wait(insisting), PYHOST_OK);
    check_over_limit(insisting, "value[2][0].endswith('DeadlineInterrupt')");
    plugins_check_ended(made.interps[0]);
    plugins_clear(&made);
}

static void interpreters_larger_than_their_limit_do_not_start(void)
{
    pyh_router *router = pyh_router_new();
    pyh_interp *interp = plugins_start_limited(router, "plugin", getenv("PYHOST_TEST_PLUGIN"), MIB);
    pyh_account *account = pyh_account_ref(interp->account);
    CHECK_STATUS(pyh_event_wait(&interp->ended, PYH_NEVER), PYHOST_OK);
    CHECK_EQUAL(interp->state, PYH_INTERP_FAILED);
    CHECK_STATUS(interp->start_status, PYHOST_OVER_LIMIT);
    plugins_check_value(interp->start_reply, "value[0] == 1 << 20 and value[1] > value[0] and value[2] is None");
    CHECK_BETWEEN(pyh_account_bytes(account), -64 * KIB, 64 * KIB);
    pyh_account_unref(account);
    pyh_interp_unref(interp);
    pyh_router_unref(router);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(calls_over_the_limit_fail_and_others_go_on),
        CHECK_TEST(requests_too_large_alone_fail_and_condemn_nobody),
        CHECK_TEST(plugins_can_handle_the_limit),
        CHECK_TEST(direct_calls_are_limited_too),
        CHECK_TEST(limits_are_each_interpreter_s_own),
        CHECK_TEST(swallowing_the_error_condemns_the_interpreter),
        CHECK_TEST(condemned_calls_that_never_end_are_told_as_news),
        CHECK_TEST(interpreters_larger_than_their_limit_do_not_start),
    };
    plugins_begin();
    CHECK(pyh_memory_is_counted());
    return plugins_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
