/* stats: counters and a histogram of latencies for one function.
 *
 * Any thread adds to the numbers that are everybody's, atomically. Calls that run on their caller's thread are too short
 * for that: each interpreter has a share of its own, which only a thread with its GIL adds to, by plain stores. Who
 * reads takes the sum; each number stands alone. Reference counted: the routes of one version of a plugin share them. */
#ifndef PYH_STATS_H
#define PYH_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pyhost.h"

/* Four buckets for every doubling, from 1 µs to 2^26 µs (67 s); the last one takes everything above. A quantile read
 * from them is at most 25 % too high: four buckets divide a doubling evenly. */
enum { PYH_STATS_BUCKETS = 1 + 4 * 26 + 1 };

/* atomic, relaxed */
typedef struct pyh_counters {
    _Atomic uint64_t calls;    /* answered with a value */
    _Atomic uint64_t errors;   /* raised, bad arguments or bad result */
    _Atomic uint64_t timeouts; /* not answered by the deadline, or given up */
    _Atomic uint64_t rejected; /* never accepted: full */
    _Atomic uint64_t total_ns; /* of the calls and errors */
    _Atomic uint64_t maximum_ns;
    _Atomic uint64_t processor_ns; /* that its code has run */
    _Atomic uint64_t buckets[PYH_STATS_BUCKETS];
} pyh_counters;

/* How long the code of a call ran. */
typedef enum pyh_length {
    PYH_LENGTH_SHORT,
    PYH_LENGTH_LONG, /* so long that its clock is worth reading */
    PYH_LENGTH_SLOW, /* so long that it gives way to others (pace.h) */
} pyh_length;

typedef struct pyh_stats_share {
    pyh_counters counters;
    _Atomic bool is_taken;
    struct pyh_stats_share *next; /* fixed once it is listed */
} pyh_stats_share;

typedef struct pyh_stats {
    _Atomic uint32_t references;
    _Atomic uint32_t length; /* a pyh_length: of the call before */
    pyh_counters counters;
    _Atomic(pyh_stats_share *) shares; /* owned; it only grows, as what a share has counted stays */
} pyh_stats;

/* All zero. NULL: no memory. */
pyh_stats *pyh_stats_new(void);
pyh_stats *pyh_stats_ref(pyh_stats *stats);
pyh_stats *pyh_stats_unref(pyh_stats *stats);

/* Counts one outcome, CLOSED as none; latency_ns is from acceptance to answer. */
void pyh_stats_record(pyh_stats *stats, pyhost_status status, int64_t latency_ns);

/* Notes how long a call is, which may run still. */
void pyh_stats_note(pyh_stats *stats, pyh_length length);

/* Adds processor time. */
void pyh_stats_charge(pyh_stats *stats, int64_t processor_ns);

/* A share that nobody has, part of the stats; NULL: no memory. Give it back when nobody adds to it any more. */
pyh_stats_share *pyh_stats_take_share(pyh_stats *stats);
void pyh_stats_give_back(pyh_stats_share *share);

/* As record and charge, by the one thread that adds to the share now. */
void pyh_stats_share_record(pyh_stats_share *share, pyhost_status status, int64_t latency_ns);
void pyh_stats_share_charge(pyh_stats_share *share, int64_t processor_ns);

/* The counters as they stand, summed up. */
typedef struct pyh_figures {
    uint64_t calls, errors, timeouts, rejected, total_ns, maximum_ns, processor_ns;
    uint64_t buckets[PYH_STATS_BUCKETS];
} pyh_figures;

void pyh_stats_read(pyh_stats *stats, pyh_figures *figures);

/* The upper bound of a bucket in nanoseconds; INT64_MAX for the last. */
int64_t pyh_stats_bound_ns(unsigned bucket);

#endif
