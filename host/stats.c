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
        pyh_stats_share *share = atomic_load(&stats->shares);
        while (share != NULL) {
            pyh_stats_share *next = share->next;
            free(share);
            share = next;
        }
        free(stats);
    }
    return NULL;
}

static uint64_t read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* alone: nobody else adds to it now. */
static inline void add(_Atomic uint64_t *counter, uint64_t amount, bool alone)
{
    if (alone) {
        atomic_store_explicit(counter, read(counter) + amount, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
    }
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

static inline void record(pyh_counters *counters, pyhost_status status, int64_t latency_ns, bool alone)
{
    uint64_t latency = latency_ns > 0 ? (uint64_t)latency_ns : 0;
    if (status == PYHOST_CLOSED) {
        return; /* no outcome: the call is sent anew */
    }
    if (status == PYHOST_FULL) {
        add(&counters->rejected, 1, alone);
        return;
    }
    if (status == PYHOST_TIMEOUT || status == PYHOST_CANCELLED) {
        add(&counters->timeouts, 1, alone);
        return;
    }
    add(status == PYHOST_OK ? &counters->calls : &counters->errors, 1, alone);
    add(&counters->total_ns, latency, alone);
    add(&counters->buckets[bucket_of(latency)], 1, alone);
    uint64_t maximum = read(&counters->maximum_ns);
    while (latency > maximum && !atomic_compare_exchange_weak_explicit(&counters->maximum_ns, &maximum, latency,
                                                                       memory_order_relaxed, memory_order_relaxed)) {
    }
}

void pyh_stats_record(pyh_stats *stats, pyhost_status status, int64_t latency_ns)
{
    record(&stats->counters, status, latency_ns, false);
}

void pyh_stats_share_record(pyh_stats_share *share, pyhost_status status, int64_t latency_ns)
{
    record(&share->counters, status, latency_ns, true);
}

void pyh_stats_note(pyh_stats *stats, pyh_length length)
{
    if (length != atomic_load_explicit(&stats->length, memory_order_relaxed)) {
        atomic_store_explicit(&stats->length, length, memory_order_relaxed);
    }
}

void pyh_stats_charge(pyh_stats *stats, int64_t processor_ns)
{
    add(&stats->counters.processor_ns, (uint64_t)processor_ns, false);
}

void pyh_stats_share_charge(pyh_stats_share *share, int64_t processor_ns)
{
    add(&share->counters.processor_ns, (uint64_t)processor_ns, true);
}

pyh_stats_share *pyh_stats_take_share(pyh_stats *stats)
{
    for (pyh_stats_share *share = atomic_load(&stats->shares); share != NULL; share = share->next) {
        if (!atomic_exchange(&share->is_taken, true)) {
            return share;
        }
    }
    pyh_stats_share *share = calloc(1, sizeof *share);
    if (share != NULL) {
        atomic_init(&share->is_taken, true);
        share->next = atomic_load(&stats->shares);
        while (!atomic_compare_exchange_weak(&stats->shares, &share->next, share)) {
        }
    }
    return share;
}

void pyh_stats_give_back(pyh_stats_share *share)
{
    atomic_store(&share->is_taken, false);
}

static void add_up(pyh_figures *figures, const pyh_counters *counters)
{
    uint64_t maximum_ns = read(&counters->maximum_ns);
    figures->calls += read(&counters->calls);
    figures->errors += read(&counters->errors);
    figures->timeouts += read(&counters->timeouts);
    figures->rejected += read(&counters->rejected);
    figures->total_ns += read(&counters->total_ns);
    figures->maximum_ns = maximum_ns > figures->maximum_ns ? maximum_ns : figures->maximum_ns;
    figures->processor_ns += read(&counters->processor_ns);
    for (unsigned i = 0; i < PYH_STATS_BUCKETS; i++) {
        figures->buckets[i] += read(&counters->buckets[i]);
    }
}

void pyh_stats_read(pyh_stats *stats, pyh_figures *figures)
{
    *figures = (pyh_figures){0};
    add_up(figures, &stats->counters);
    for (pyh_stats_share *share = atomic_load(&stats->shares); share != NULL; share = share->next) {
        add_up(figures, &share->counters);
    }
}
