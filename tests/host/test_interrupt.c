/* Tests of interrupting: a call past its deadline, or of an interpreter that is given up, does not run on. */
#include <sched.h>
#include <unistd.h>

#include "news.h"
#include "plugins.h"
#include "priorities.h"

enum { SOON_NS = 20 * 1000 * 1000 };

static const int64_t HOUR_NS = 3600 * (int64_t)1000000000;

/* The caller has its answer in time, and the function does not run on: the next call is answered, too. */
static void runaways_are_interrupted(void)
{
    plugins made = plugins_make(1);
    for (int i = 0; i < 3; i++) {
        pyh_call *call = plugins_call(&made, PLUGIN_SPIN, plugins_request(0, 0, 0));
        call->deadline_ns = pyh_deadline_after(SOON_NS);
        plugins_run(&made, call);
        CHECK_STATUS(call->status, PYHOST_TIMEOUT);
        pyh_call_unref(call);
        plugins_add(&made, 1, 2);
    }
    plugins_clear(&made);
}

/* A call of a function that never returns, which the first interpreter runs now. */
static pyh_call *start_spinning(const plugins *made)
{
    pyh_call *call = plugins_call(made, PLUGIN_SPIN, plugins_request(0, 0, 0));
    CHECK_STATUS(pyh_interp_submit(made->interps[0], call), PYHOST_OK);
    while (atomic_load(&made->interps[0]->running_call) != call) {
        sched_yield();
    }
    return call;
}

/* It gives way while it runs, and the next call does not. */
static void what_keeps_a_processor_is_paced(void)
{
    plugins made = plugins_make(1);
    const pyh_pace *pace = &made.interps[0]->activation->pace;
    for (int i = 0; i < 3; i++) {
        pyh_call *running = start_spinning(&made);
        while (atomic_load(&pace->state) != PYH_PACE_LOW) {
            sched_yield();
        }
        CHECK(pyh_call_give_up(running));
        pyh_call_unref(running);
        plugins_add(&made, 1, 2);
        CHECK_EQUAL(atomic_load(&pace->state), PYH_PACE_ORDINARY);
    }
    plugins_clear(&made);
}

static void abandoned_interpreters_give_up_what_they_run(void)
{
    plugins made = plugins_make(1);
    pyh_call *running = start_spinning(&made);
    pyh_call *waiting = plugins_call(&made, PLUGIN_ADD, plugins_request(2, 1, 2));
    CHECK_STATUS(pyh_route_submit(made.route, waiting), PYHOST_OK);
    pyh_interp_abandon(made.interps[0]);
    CHECK_STATUS(pyh_call_wait(waiting), PYHOST_OK);
    CHECK_STATUS(waiting->status, PYHOST_CANCELLED);
    CHECK_STATUS(pyh_call_wait(running), PYHOST_OK);
    CHECK_STATUS(running->status, PYHOST_CANCELLED);
    pyh_call_unref(waiting);
    pyh_call_unref(running);
    plugins_clear(&made);
}

/* Given up while it waits behind another one: its function never runs. */
static void answered_calls_are_not_run(void)
{
    plugins made = plugins_make(1);
    pyh_call *running = start_spinning(&made);
    pyh_call *given_up = plugins_call(&made, PLUGIN_COUNT, plugins_request(0, 0, 0));
    CHECK_STATUS(pyh_route_submit(made.route, given_up), PYHOST_OK);
    CHECK(pyh_call_answer(given_up, PYHOST_CANCELLED, NULL));
    pyh_activation_expire(made.interps[0]->activation, pyh_now_ns());
    pyh_call *first = plugins_call(&made, PLUGIN_COUNT, plugins_request(0, 0, 0));
    plugins_run(&made, first);
    CHECK_EQUAL(plugins_integer(first->reply), 1);
    pyh_call_unref(first);
    CHECK_STATUS(pyh_call_wait(running), PYHOST_OK);
    CHECK_STATUS(running->status, PYHOST_TIMEOUT);
    pyh_call_unref(running);
    pyh_call_unref(given_up);
    plugins_clear(&made);
}

/* Given up while it runs: it is interrupted, and the next call is answered. */
static void running_calls_that_are_given_up_are_interrupted(void)
{
    plugins made = plugins_make(1);
    pyh_call *running = start_spinning(&made);
    CHECK(pyh_call_give_up(running));
    CHECK(!pyh_call_give_up(running));
    CHECK_STATUS(running->status, PYHOST_CANCELLED);
    plugins_add(&made, 1, 2);
    CHECK(!made.interps[0]->overdue);
    pyh_call_unref(running);
    plugins_clear(&made);
}

/* It sits in a system call until it is let go. */
static void calls_that_run_past_their_grace_time_are_news(void)
{
    plugins made = plugins_make(2);
    pyh_interp *overdue = made.interps[0];
    overdue->assignment.grace_ns = SOON_NS;
    uint64_t news = pyh_news_wait(UINT64_MAX, 0);
    int gate[2];
    CHECK_EQUAL(pipe(gate), 0);
    pyh_call *call = plugins_call(&made, PLUGIN_READ, plugins_request(1, (uint64_t)gate[0], 0));
    call->deadline_ns = pyh_deadline_after(SOON_NS);
    CHECK_STATUS(pyh_interp_submit(overdue, call), PYHOST_OK);
    CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
    CHECK_STATUS(call->status, PYHOST_TIMEOUT);
    CHECK_EQUAL(pyh_news_wait(news, PYH_NEVER), news + 1);
    CHECK(overdue->overdue);
    CHECK(!made.interps[1]->overdue);
    pyh_call *waiting[3];
    for (uint64_t i = 0; i < CHECK_COUNT(waiting); i++) {
        waiting[i] = plugins_call(&made, PLUGIN_ADD, plugins_request(2, i, 1));
        CHECK_STATUS(pyh_interp_submit(overdue, waiting[i]), PYHOST_OK);
    }
    pyh_interp_hand_over(overdue, made.interps[1]);
    pyh_interp_set_aside(overdue);
    check_priority(overdue->activation->pace.thread, PYH_PRIORITY_LOW);
    pyh_interp_recall(overdue);
    check_priority(overdue->activation->pace.thread, PYH_PRIORITY_ORDINARY);
    for (uint64_t i = 0; i < CHECK_COUNT(waiting); i++) {
        CHECK_STATUS(pyh_call_wait(waiting[i]), PYHOST_OK);
        CHECK_STATUS(waiting[i]->status, PYHOST_OK);
        CHECK_EQUAL(plugins_integer(waiting[i]->reply), i + 1);
        pyh_call_unref(waiting[i]);
    }
    CHECK_EQUAL(pyh_interp_lost_count(), 1);
    close(gate[1]);
    pyh_call_unref(call);
    plugins_clear(&made);
    CHECK_EQUAL(pyh_interp_lost_count(), 0);
    close(gate[0]);
}

/* A deadline arms a timer, which refers to the interpreter. */
static void ended_interpreters_are_not_kept_until_a_deadline(void)
{
    plugins made = plugins_make(1);
    pyh_interp *interp = pyh_interp_ref(made.interps[0]);
    pyh_call *call = plugins_call(&made, PLUGIN_ADD, plugins_request(2, 1, 2));
    call->deadline_ns = pyh_deadline_after(HOUR_NS);
    plugins_run(&made, call);
    CHECK_STATUS(call->status, PYHOST_OK);
    CHECK(atomic_load(&interp->activation->armed_ns) < PYH_NEVER);
    pyh_call_unref(call);
    plugins_clear(&made);
    while (atomic_load(&interp->references) > 1) {
        sched_yield(); /* the owner thread has said that it ended, and drops its own */
    }
    pyh_interp_unref(interp);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(runaways_are_interrupted),
        CHECK_TEST(what_keeps_a_processor_is_paced),
        CHECK_TEST(abandoned_interpreters_give_up_what_they_run),
        CHECK_TEST(answered_calls_are_not_run),
        CHECK_TEST(running_calls_that_are_given_up_are_interrupted),
        CHECK_TEST(calls_that_run_past_their_grace_time_are_news),
        CHECK_TEST(ended_interpreters_are_not_kept_until_a_deadline),
    };
    priorities_begin();
    plugins_begin();
    return plugins_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
