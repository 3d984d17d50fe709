/* Tests of what interpreters hold: it is in their accounts while they live, and given back when they have ended. */
#include "accounts.h"
#include "threads.h"

enum { CALLERS = 4, CALLS_EACH = 20, CYCLES = 3 };

static void interpreters_have_accounts_of_their_own(void)
{
    plugins made = plugins_make(1); /* the host compiles what it sends to all */
    plugins_clear(&made);
    int64_t host = pyh_account_bytes(pyh_account_host());
    made = plugins_make(1);
    CHECK_BETWEEN(accounts_current(&made, 0), 500 * KIB, 16 * MIB);
    CHECK(accounts_figures(&made, 0).peak_bytes >= accounts_current(&made, 0));
    CHECK(accounts_figures(&made, 0).allocations > 100);
    CHECK_EQUAL(accounts_figures(&made, 0).limit_bytes, PYH_NO_LIMIT);
    CHECK(pyh_account_bytes(pyh_account_host()) - host < 512 * KIB);
    plugins_clear(&made);
}

static void accounts_grow_and_fall_with_what_plugins_hold(void)
{
    plugins made = accounts_make(1, PYH_NO_LIMIT);
    pyh_account_figures before = accounts_figures(&made, 0);
    accounts_run(&made, 0, PLUGIN_HOLD, 1, 8);
    CHECK_BETWEEN(accounts_current(&made, 0), before.current_bytes + 8 * MIB,
                  before.current_bytes + 8 * MIB + 128 * KIB);
    CHECK(accounts_figures(&made, 0).allocations > before.allocations);
    CHECK(accounts_figures(&made, 0).peak_bytes >= before.current_bytes + 8 * MIB);
    accounts_run(&made, 0, PLUGIN_DROP, 0, 0);
    CHECK_BETWEEN(accounts_current(&made, 0), before.current_bytes - 128 * KIB, before.current_bytes + 128 * KIB);
    CHECK(accounts_figures(&made, 0).peak_bytes >= before.current_bytes + 8 * MIB);
    plugins_clear(&made);
}

/* Small ones are in arenas, of which the touched pages count: 32 bytes for a float, 8 or 9 for its place in a list. */
static void objects_count_by_the_pages_that_they_touch(void)
{
    enum { COUNT = 300000, BYTES = COUNT * (32 + 8) };
    plugins made = accounts_make(1, PYH_NO_LIMIT);
    int64_t before = accounts_current(&made, 0);
    accounts_run(&made, 0, PLUGIN_HOLD_OBJECTS, 1, COUNT);
    CHECK_BETWEEN(accounts_current(&made, 0), before + BYTES, before + BYTES + BYTES / 8);
    accounts_run(&made, 0, PLUGIN_DROP, 0, 0);
    CHECK_BETWEEN(accounts_current(&made, 0), before - MIB, before + 3 * MIB); /* arenas stay for one object in them */
    plugins_clear(&made);
}

static void threads_of_plugins_charge_their_interpreter(void)
{
    plugins made = accounts_make(2, PYH_NO_LIMIT);
    int64_t before = accounts_current(&made, 0), other = accounts_current(&made, 1);
    accounts_run(&made, 0, PLUGIN_HOLD_IN_THREAD, 1, 8);
    CHECK_BETWEEN(accounts_current(&made, 0), before + 8 * MIB, before + 8 * MIB + 256 * KIB);
    CHECK_BETWEEN(accounts_current(&made, 1), other - 64 * KIB, other + 64 * KIB);
    plugins_clear(&made);
}

static void direct_calls_charge_whom_they_visit(void)
{
    plugins made = accounts_make(2, PYH_NO_LIMIT);
    accounts_run_direct(&made, 0, PLUGIN_DROP, 0, 0);
    accounts_run_direct(&made, 1, PLUGIN_DROP, 0, 0);
    int64_t before[] = {accounts_current(&made, 0), accounts_current(&made, 1)};
    int64_t host = pyh_account_bytes(pyh_account_host());
    accounts_run_direct(&made, 0, PLUGIN_HOLD, 1, 8);
    accounts_run_direct(&made, 1, PLUGIN_HOLD, 1, 2);
    CHECK_BETWEEN(accounts_current(&made, 0), before[0] + 8 * MIB, before[0] + 8 * MIB + 128 * KIB);
    CHECK_BETWEEN(accounts_current(&made, 1), before[1] + 2 * MIB, before[1] + 2 * MIB + 128 * KIB);
    CHECK_BETWEEN(pyh_account_bytes(pyh_account_host()), host - 128 * KIB, host + 128 * KIB);
    accounts_run(&made, 0, PLUGIN_DROP, 0, 0); /* what a guest has left may go on the owner thread */
    CHECK_BETWEEN(accounts_current(&made, 0), before[0] - 128 * KIB, before[0] + 128 * KIB);
    plugins_clear(&made);
}

typedef struct {
    plugins made;
    atomic_size_t finished;
} crowd;

static void visit(const plugins *made, size_t index, size_t function, uint64_t argument)
{
    pyh_message *reply = NULL;
    CHECK_STATUS(accounts_visit(made, index, function, 1, argument, &reply), PYHOST_OK);
    pyh_message_unref(reply);
}

/* Index 0 reads the accounts while the others allocate in the interpreters. */
static void allocate_or_read(size_t index, void *shared)
{
    crowd *self = shared;
    for (size_t i = 0; index > 0 && i < CALLS_EACH; i++) {
        visit(&self->made, (index + i) % 2, PLUGIN_HOLD, 1);
        visit(&self->made, (index + i) % 2, PLUGIN_HOLD_OBJECTS, 10000);
    }
    atomic_fetch_add(&self->finished, 1);
    while (index == 0 && self->finished < CALLERS) {
        for (size_t i = 0; i < 2; i++) {
            pyh_account_figures now = accounts_figures(&self->made, i);
            CHECK(now.current_bytes > 0 && now.allocations > 0 && now.peak_bytes > 0);
            CHECK(now.refused == 0 && now.raised == 0);
        }
    }
}

static void accounts_are_right_after_many_threads(void)
{
    crowd shared = {.made = accounts_make(2, PYH_NO_LIMIT)};
    int64_t before[] = {accounts_current(&shared.made, 0), accounts_current(&shared.made, 1)};
    threads_run(CALLERS, allocate_or_read, &shared);
    for (size_t i = 0; i < 2; i++) {
        int64_t held = (CALLERS - 1) * CALLS_EACH / 2 * (MIB + 10000 * (32 + 8));
        CHECK_BETWEEN(accounts_current(&shared.made, i), before[i] + held, before[i] + held + held / 8);
        accounts_run(&shared.made, i, PLUGIN_DROP, 0, 0);
        CHECK_BETWEEN(accounts_current(&shared.made, i), before[i] - MIB, before[i] + 3 * MIB);
    }
    plugins_clear(&shared.made);
}

/* Whatever they held to the end. */
static void ended_interpreters_leave_nothing(void)
{
    for (uint64_t i = 0; i < CYCLES; i++) {
        plugins made = plugins_make(2);
        pyh_account *accounts[2];
        for (size_t j = 0; j < 2; j++) {
            accounts[j] = pyh_account_ref(made.interps[j]->account);
            accounts_run(&made, j, PLUGIN_HOLD, 1, i);
            accounts_run(&made, j, PLUGIN_HOLD_OBJECTS, 1, 100000 * i);
            accounts_run_direct(&made, j, PLUGIN_HOLD_OBJECTS, 1, 1000);
        }
        plugins_clear(&made);
        for (size_t j = 0; j < 2; j++) {
            CHECK(accounts[j]->regions == NULL);
            CHECK_EQUAL(accounts[j]->regions_bytes, 0);
            CHECK_BETWEEN(pyh_account_bytes(accounts[j]), -64 * KIB, 64 * KIB);
            pyh_account_unref(accounts[j]);
        }
    }
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(interpreters_have_accounts_of_their_own),
        CHECK_TEST(accounts_grow_and_fall_with_what_plugins_hold),
        CHECK_TEST(objects_count_by_the_pages_that_they_touch),
        CHECK_TEST(threads_of_plugins_charge_their_interpreter),
        CHECK_TEST(direct_calls_charge_whom_they_visit),
        CHECK_TEST(accounts_are_right_after_many_threads),
        CHECK_TEST(ended_interpreters_leave_nothing),
    };
    plugins_begin();
    CHECK(pyh_memory_is_counted());
    return plugins_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
