/* stats: see stats.h. */
#include "stats.h"

#include <stdlib.h>

pyh_stats *pyh_stats_new(void)
{
    pyh_stats *stats = calloc(1, sizeof *stats);
    if (stats != NULL) {
        atomic_init(&stats->references, 1);
    }
    return stats;
}

pyh_stats *pyh_stats_ref(pyh_stats *stats)
{
    atomic_fetch_add_explicit(&stats->references, 1, memory_order_relaxed);
    return stats;
}

pyh_stats *pyh_stats_unref(pyh_stats *stats)
{
    if (stats != NULL && atomic_fetch_sub_explicit(&stats->references, 1, memory_order_acq_rel) == 1) {
        free(stats);
    }
    return NULL;
}

static void add(_Atomic uint64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

/* The bucket whose range holds the latency: its doubling by the highest bit, then two bits more. */
static unsigned bucket_of(uint64_t latency_ns)
{
    uint64_t quarters = latency_ns / 250; /* in units of 1/4 µs, so that 1 µs has value 4: two bits below its top */
    if (quarters < 4) {
        return 0;
    }
    unsigned top = 63u - (unsigned)__builtin_clzll(quarters);
    unsigned bucket = 4 * (top - 2) + (unsigned)(quarters >> (top - 2) & 3) + 1;
    return bucket < PYH_STATS_BUCKETS ? bucket : PYH_STATS_BUCKETS - 1;
}

int64_t pyh_stats_bound_ns(unsigned bucket)
{
    if (bucket + 1 >= PYH_STATS_BUCKETS) {
        return INT64_MAX;
    }
    /* Bucket 0 ends at 1 µs; bucket 4 d + q + 1 ends at 2^d (1 + (q + 1) / 4) µs. */
    if (bucket == 0) {
        return 1000;
    }
    unsigned doubling = (bucket - 1) / 4, quarter = (bucket - 1) % 4;
    return (int64_t)250 * (int64_t)(5 + quarter) * ((int64_t)1 << doubling);
}

void pyh_stats_record(pyh_stats *stats, pyhost_status status, int64_t latency_ns)
{
    uint64_t latency = latency_ns > 0 ? (uint64_t)latency_ns : 0;
    if (status == PYHOST_CLOSED) {
        return; /* no outcome: the call is sent anew */
    }
    if (status == PYHOST_FULL) {
        add(&stats->rejected, 1);
        return;
    }
    if (status == PYHOST_TIMEOUT || status == PYHOST_CANCELLED) {
        add(&stats->timeouts, 1);
        return;
    }
    add(status == PYHOST_OK ? &stats->calls : &stats->errors, 1);
    add(&stats->total_ns, latency);
    add(&stats->buckets[bucket_of(latency)], 1);
    uint64_t maximum = atomic_load_explicit(&stats->maximum_ns, memory_order_relaxed);
    while (latency > maximum && !atomic_compare_exchange_weak_explicit(&stats->maximum_ns, &maximum, latency,
                                                                       memory_order_relaxed, memory_order_relaxed)) {
    }
}

void pyh_stats_charge(pyh_stats *stats, int64_t processor_ns, bool is_long)
{
    add(&stats->processor_ns, (uint64_t)processor_ns);
    if (is_long != atomic_load_explicit(&stats->is_long, memory_order_relaxed)) {
        atomic_store_explicit(&stats->is_long, is_long, memory_order_relaxed);
    }
}
