/* Tests of an interpreter that cannot be ended because a thread is left in it: it is set aside, and all else goes on.
 */
#include "direct.h"
#include "plugins.h"

static void a_thread_that_stays_does_not_end_the_process(void)
{
    plugins_stop_limit_ns = 1000 * 1000;
    plugins made = plugins_make(2);
    pyh_interp *lost = made.interps[0];
    pyh_message *request = plugins_request(0, 0, 0), *reply = NULL;
    pyh_stats stats = {0};
    pyh_function counted = {.stats = &stats};
    pyh_call *call = plugins_call(&made, PLUGIN_LEAVE_A_THREAD, pyh_message_ref(request));
    CHECK_STATUS(pyh_interp_submit(lost, call), PYHOST_OK);
    CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
    CHECK_STATUS(call->status, PYHOST_OK);
    pyh_call_unref(call);
    CHECK_EQUAL(pyh_interp_lost_count(), 0);
    CHECK_EQUAL(pyh_interp_left_count(), 2);
    pyh_interp_close(lost);
    CHECK_STATUS(pyh_event_wait(&lost->ended, PYH_NEVER), PYHOST_OK);
    CHECK_EQUAL(lost->state, PYH_INTERP_LOST);
    CHECK_EQUAL(pyh_interp_lost_count(), 1);
    CHECK_STATUS(plugins_visit(lost, &counted, PLUGIN_COUNT, request, PYH_NEVER, &reply), PYHOST_CLOSED);
    for (uint64_t i = 0; i < 10; i++) {
        plugins_add(&made, i, 1);
    }
    pyh_interp_close(made.interps[1]);
    plugins_check_ended(made.interps[1]);
    CHECK_EQUAL(pyh_interp_lost_count(), 1);
    CHECK_EQUAL(pyh_interp_left_count(), 1);
    pyh_message_unref(request);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(a_thread_that_stays_does_not_end_the_process),
    };
    plugins_begin();
    int code = check_main(tests, CHECK_COUNT(tests), argc, argv);
    _exit(code); /* CPython cannot be finalized any more: the thread would not survive it, nor would the process */
}
