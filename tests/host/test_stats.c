/* Tests of stats: which counter an outcome raises, and that a bucket's bound is close above every latency in it. */
#include "stats.h"

#include "threads.h"

enum { RECORDERS = 4, RECORDS_EACH = 5000, LAST_BUCKET = PYH_STATS_BUCKETS - 1 };

/* The one bucket that a latency falls into. */
static unsigned bucket_of(int64_t latency_ns)
{
    pyh_stats stats = {0};
    unsigned found = PYH_STATS_BUCKETS;
    pyh_stats_record(&stats, PYHOST_OK, latency_ns);
    for (unsigned i = 0; i < PYH_STATS_BUCKETS; i++) {
        if (stats.counters.buckets[i] > 0) {
            CHECK_EQUAL(stats.counters.buckets[i], 1);
            CHECK_EQUAL(found, PYH_STATS_BUCKETS);
            found = i;
        }
    }
    CHECK(found < PYH_STATS_BUCKETS);
    return found;
}

static void check_latency(int64_t latency_ns)
{
    unsigned bucket = bucket_of(latency_ns);
    int64_t bound = pyh_stats_bound_ns(bucket);
    CHECK(bound >= latency_ns);
    if (bucket == LAST_BUCKET) {
        CHECK(latency_ns >= pyh_stats_bound_ns(LAST_BUCKET - 1));
    } else if (bucket > 0) {
        CHECK(latency_ns >= pyh_stats_bound_ns(bucket - 1));
        CHECK(bound - latency_ns <= latency_ns / 4);
    }
}

static void bounds_rise(void)
{
    CHECK_EQUAL(pyh_stats_bound_ns(0), 1000);
    for (unsigned i = 1; i < PYH_STATS_BUCKETS; i++) {
        CHECK(pyh_stats_bound_ns(i) > pyh_stats_bound_ns(i - 1));
    }
    CHECK_EQUAL(pyh_stats_bound_ns(LAST_BUCKET - 1), ((int64_t)1 << 26) * 1000);
    CHECK_EQUAL(pyh_stats_bound_ns(LAST_BUCKET), INT64_MAX);
    CHECK_EQUAL(pyh_stats_bound_ns(PYH_STATS_BUCKETS + 5), INT64_MAX);
}

static void bounds_are_close_above_every_latency(void)
{
    for (int64_t latency = 0; latency < 20000; latency++) {
        check_latency(latency);
    }
    for (unsigned i = 0; i < LAST_BUCKET; i++) {
        for (int64_t off = -2; off <= 2; off++) {
            check_latency(pyh_stats_bound_ns(i) + off);
        }
    }
    for (int64_t latency = 20000; latency < INT64_MAX / 3; latency += latency / 7) {
        check_latency(latency);
    }
    check_latency(INT64_MAX);
}

static void negative_latencies_count_as_none(void)
{
    pyh_stats stats = {0};
    pyh_stats_record(&stats, PYHOST_OK, -5);
    CHECK_EQUAL(stats.counters.calls, 1);
    CHECK_EQUAL(stats.counters.total_ns, 0);
    CHECK_EQUAL(stats.counters.maximum_ns, 0);
    CHECK_EQUAL(stats.counters.buckets[0], 1);
}

typedef struct {
    pyhost_status status;
    uint64_t calls, errors, timeouts, rejected;
} row;

static void outcomes_have_their_counters(void)
{
    static const row rows[] = {
        {PYHOST_OK, 1, 0, 0, 0},         {PYHOST_RAISED, 0, 1, 0, 0},  {PYHOST_BAD_ARGUMENTS, 0, 1, 0, 0},
        {PYHOST_BAD_RESULT, 0, 1, 0, 0}, {PYHOST_TIMEOUT, 0, 0, 1, 0}, {PYHOST_CANCELLED, 0, 0, 1, 0},
        {PYHOST_FULL, 0, 0, 0, 1},       {PYHOST_CLOSED, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < CHECK_COUNT(rows); i++) {
        pyh_stats stats = {0};
        uint64_t timed = rows[i].calls + rows[i].errors;
        pyh_stats_record(&stats, rows[i].status, 7000);
        CHECK_EQUAL(stats.counters.calls, rows[i].calls);
        CHECK_EQUAL(stats.counters.errors, rows[i].errors);
        CHECK_EQUAL(stats.counters.timeouts, rows[i].timeouts);
        CHECK_EQUAL(stats.counters.rejected, rows[i].rejected);
        CHECK_EQUAL(stats.counters.total_ns, 7000 * timed);
        CHECK_EQUAL(stats.counters.maximum_ns, 7000 * timed);
        CHECK_EQUAL(stats.counters.buckets[bucket_of(7000)], timed);
    }
}

/* Thread i records i * RECORDS_EACH + 0, 1, 2, ... nanoseconds. */
static void record(size_t index, void *shared)
{
    for (int64_t i = 0; i < RECORDS_EACH; i++) {
        pyh_stats_record(shared, i % 2 == 0 ? PYHOST_OK : PYHOST_RAISED, (int64_t)index * RECORDS_EACH + i);
    }
}

static void threads_lose_no_record(void)
{
    static pyh_stats stats;
    uint64_t total = (uint64_t)RECORDERS * RECORDS_EACH, in_buckets = 0;
    threads_run(RECORDERS, record, &stats);
    for (unsigned i = 0; i < PYH_STATS_BUCKETS; i++) {
        in_buckets += stats.counters.buckets[i];
    }
    CHECK_EQUAL(in_buckets, total);
    CHECK_EQUAL(stats.counters.calls, total / 2);
    CHECK_EQUAL(stats.counters.errors, total / 2);
    CHECK_EQUAL(stats.counters.total_ns, total * (total - 1) / 2);
    CHECK_EQUAL(stats.counters.maximum_ns, total - 1);
}

/* What shares have counted stays when they are given back, and the next one who takes one counts on. */
static void shares_count_for_the_whole(void)
{
    pyh_stats *stats = pyh_stats_new();
    pyh_figures figures;
    CHECK(stats != NULL);
    pyh_stats_share *first = pyh_stats_take_share(stats), *second = pyh_stats_take_share(stats);
    CHECK(first != NULL && second != NULL && first != second);
    pyh_stats_record(stats, PYHOST_OK, 1000);
    pyh_stats_charge(stats, 10);
    pyh_stats_share_record(first, PYHOST_RAISED, 3000);
    pyh_stats_share_charge(first, 20);
    pyh_stats_share_record(second, PYHOST_TIMEOUT, 7000);
    pyh_stats_give_back(first);
    CHECK(pyh_stats_take_share(stats) == first);
    pyh_stats_share_record(first, PYHOST_OK, 2000);
    pyh_stats_read(stats, &figures);
    CHECK_EQUAL(figures.calls, 2);
    CHECK_EQUAL(figures.errors, 1);
    CHECK_EQUAL(figures.timeouts, 1);
    CHECK_EQUAL(figures.rejected, 0);
    CHECK_EQUAL(figures.total_ns, 6000);
    CHECK_EQUAL(figures.maximum_ns, 3000);
    CHECK_EQUAL(figures.processor_ns, 30);
    CHECK_EQUAL(figures.buckets[bucket_of(1000)] + figures.buckets[bucket_of(2000)] + figures.buckets[bucket_of(3000)],
                3);
    pyh_stats_unref(stats);
}

/* Each thread takes a share, adds to it and gives it back, over and over. */
static void record_alone(size_t index, void *shared)
{
    (void)index;
    for (int i = 0; i < RECORDS_EACH / 10; i++) {
        pyh_stats_share *share = pyh_stats_take_share(shared);
        CHECK(share != NULL);
        for (int j = 0; j < 10; j++) {
            pyh_stats_share_record(share, PYHOST_OK, 1);
        }
        pyh_stats_give_back(share);
    }
}

static void a_share_has_one_owner_at_a_time(void)
{
    pyh_stats *stats = pyh_stats_new();
    pyh_figures figures;
    CHECK(stats != NULL);
    threads_run(RECORDERS, record_alone, stats);
    pyh_stats_read(stats, &figures);
    CHECK_EQUAL(figures.calls, RECORDERS * RECORDS_EACH);
    pyh_stats_unref(stats);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(bounds_rise),
        CHECK_TEST(bounds_are_close_above_every_latency),
        CHECK_TEST(negative_latencies_count_as_none),
        CHECK_TEST(outcomes_have_their_counters),
        CHECK_TEST(threads_lose_no_record),
        CHECK_TEST(shares_count_for_the_whole),
        CHECK_TEST(a_share_has_one_owner_at_a_time),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
