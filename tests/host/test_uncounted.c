/* Tests of accounts that nobody charges: they are turned off, or another allocator than CPython's own is in place. */
#include "accounts.h"
#include "cpu.h"

static void nothing_is_counted_or_limited(void)
{
    plugins made = plugins_make_limited(1, MIB);
    accounts_run(&made, 0, PLUGIN_HOLD, 1, 8);
    accounts_run_direct(&made, 0, PLUGIN_HOLD_OBJECTS, 1, 100000);
    CHECK_EQUAL(accounts_figures(&made, 0).current_bytes, 0);
    CHECK_EQUAL(accounts_figures(&made, 0).peak_bytes, 0);
    CHECK_EQUAL(accounts_figures(&made, 0).allocations, 0);
    CHECK_EQUAL(accounts_figures(&made, 0).refused + accounts_figures(&made, 0).raised, 0);
    CHECK_EQUAL(pyh_account_bytes(pyh_account_host()), 0);
    plugins_clear(&made);
}

static void processor_time_is_counted_all_the_same(void)
{
    plugins made = plugins_make(1);
    pyh_account *account = pyh_account_ref(made.interps[0]->account);
    pyh_stats *stats = made.route->functions[PLUGIN_HOLD_OBJECTS].stats;
    int64_t started_ns = pyh_cpu_read(account);
    CHECK(started_ns > 0);
    accounts_run(&made, 0, PLUGIN_HOLD_OBJECTS, 1, 100000);
    int64_t run_ns = pyh_cpu_read(account);
    CHECK(stats->counters.processor_ns > 0);
    CHECK(run_ns > started_ns);
    plugins_clear(&made);
    CHECK(pyh_cpu_read(account) >= run_ns);
    pyh_account_unref(account);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(nothing_is_counted_or_limited),
        CHECK_TEST(processor_time_is_counted_all_the_same),
    };
    plugins_begin();
    CHECK(!pyh_memory_is_counted());
    return plugins_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
