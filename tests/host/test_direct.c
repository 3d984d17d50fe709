/* Tests of direct calls: any thread enters an interpreter, and leaves nothing behind in it. */
#include "direct.h"

#include "plugins.h"
#include "threads.h"

static pyh_stats stats;
static pyh_function counted = {.stats = &stats}; /* takes the processor time */

enum { CALLERS = 4, CALLS_EACH = 100, ROUNDS = 10, SOON_NS = 20 * 1000 * 1000 };

/* Adds in the interpreter, on this thread: the status, which the reply goes with. */
static pyhost_status add(pyh_interp *interp, uint64_t left, uint64_t right)
{
    pyh_message *request = plugins_request(2, left, right), *reply = NULL;
    pyhost_status status = plugins_visit(interp, &counted, PLUGIN_ADD, request, PYH_NEVER, &reply);
    if (status == PYHOST_OK) {
        CHECK_EQUAL(plugins_integer(reply), left + right);
    } else {
        CHECK(reply == NULL);
    }
    pyh_message_unref(reply);
    pyh_message_unref(request);
    return status;
}

static void call_all(size_t index, void *shared)
{
    plugins *made = shared;
    for (size_t i = 0; i < CALLS_EACH; i++) {
        CHECK_STATUS(add(made->interps[(index + i) % made->count], index, i), PYHOST_OK);
    }
}

/* That the interpreters end as they should shows that the threads took their thread states with them. */
static void threads_that_end_leave_nothing(void)
{
    plugins made = plugins_make(2);
    for (int i = 0; i < 3; i++) {
        threads_run(CALLERS, call_all, &made);
    }
    CHECK(made.interps[0]->direct == NULL && made.interps[1]->direct == NULL);
    CHECK_EQUAL(made.interps[0]->served + made.interps[1]->served, 3 * CALLERS * CALLS_EACH);
    plugins_clear(&made);
}

/* Index 0 closes the interpreter and waits for its end; the others call until it refuses them, and stay. */
static void call_until_closed(size_t index, void *shared)
{
    plugins *made = shared;
    pyh_interp *interp = made->interps[0];
    if (index == 0) {
        CHECK_STATUS(add(interp, 1, 2), PYHOST_OK);
        pyh_interp_close(interp);
        CHECK_STATUS(pyh_event_wait(&interp->ended, PYH_NEVER), PYHOST_OK);
    }
    while (index > 0) {
        pyhost_status status = add(interp, index, 1);
        if (status == PYHOST_CLOSED) {
            break;
        }
        CHECK_STATUS(status, PYHOST_OK);
    }
    CHECK_STATUS(add(interp, 1, 2), PYHOST_CLOSED);
    CHECK_STATUS(pyh_event_wait(&interp->ended, PYH_NEVER), PYHOST_OK);
}

static void interpreters_end_while_threads_call(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        plugins made = plugins_make(1);
        threads_run(1 + CALLERS, call_until_closed, &made);
        plugins_clear(&made);
    }
}

/* On the main thread, which has a thread state of its own: attached to that. */
static pyhost_status call_attached(const plugins *made, size_t index, int64_t deadline_ns, pyh_message **reply)
{
    pyh_message *request = plugins_request(0, 0, 0);
    plugins_attach();
    pyhost_status status = plugins_visit(made->interps[0], &counted, index, request, deadline_ns, reply);
    plugins_detach();
    pyh_message_unref(request);
    return status;
}

static void failures_and_runaways_are_told(void)
{
    plugins made = plugins_make(1);
    pyh_message *reply = NULL;
    CHECK_STATUS(call_attached(&made, PLUGIN_FAIL, PYH_NEVER, &reply), PYHOST_RAISED);
    plugins_check_value(reply, "value[:2] == ('ValueError', 'as asked')");
    reply = pyh_message_unref(reply);
    CHECK_STATUS(call_attached(&made, PLUGIN_ADD, PYH_NEVER, &reply), PYHOST_BAD_ARGUMENTS);
    reply = pyh_message_unref(reply);
    CHECK_STATUS(call_attached(&made, PLUGIN_SPIN, pyh_deadline_after(SOON_NS), &reply), PYHOST_TIMEOUT);
    CHECK(reply == NULL);
    plugins_add(&made, 1, 2);
    plugins_clear(&made);
}

/* From within another interpreter, here the main one: its thread state is the current one again afterwards. */
static void the_caller_s_own_interpreter_comes_back(void)
{
    plugins made = plugins_make(2);
    plugins_attach();
    PyThreadState *own = PyThreadState_Get();
    for (size_t i = 0; i < 4; i++) {
        CHECK_STATUS(add(made.interps[i % 2], i, 1), PYHOST_OK);
        CHECK(PyThreadState_Get() == own);
    }
    plugins_detach();
    plugins_clear(&made);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(threads_that_end_leave_nothing),
        CHECK_TEST(interpreters_end_while_threads_call),
        CHECK_TEST(failures_and_runaways_are_told),
        CHECK_TEST(the_caller_s_own_interpreter_comes_back),
    };
    plugins_begin();
    return plugins_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
