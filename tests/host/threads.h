/* threads: a test's threads, all let go at the same moment so that they meet. */
#ifndef PYH_TEST_THREADS_H
#define PYH_TEST_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "check.h"

typedef void threads_function(size_t index, void *shared);

typedef struct threads_one {
    pthread_t thread;
    pthread_barrier_t *barrier;
    threads_function *run;
    size_t index;
    void *shared;
} threads_one;

static inline void *threads_main(void *argument)
{
    threads_one *self = argument;
    pthread_barrier_wait(self->barrier);
    self->run(self->index, self->shared);
    return NULL;
}

/* Runs `run` on count (at most 32) threads at once, each with its index, and waits for all. */
static inline void threads_run(size_t count, threads_function *run, void *shared)
{
    threads_one threads[32];
    pthread_barrier_t barrier;
    CHECK(count <= CHECK_COUNT(threads));
    CHECK_EQUAL(pthread_barrier_init(&barrier, NULL, (unsigned)count), 0);
    for (size_t i = 0; i < count; i++) {
        threads[i] = (threads_one){.barrier = &barrier, .run = run, .index = i, .shared = shared};
        CHECK_EQUAL(pthread_create(&threads[i].thread, NULL, threads_main, &threads[i]), 0);
    }
    for (size_t i = 0; i < count; i++) {
        CHECK_EQUAL(pthread_join(threads[i].thread, NULL), 0);
    }
    pthread_barrier_destroy(&barrier);
}

/* Where count threads meet again and again, so that each round of theirs is a race. Zeroed memory is a new one. */
typedef struct threads_meeting {
    atomic_size_t arrived;
} threads_meeting;

static inline void threads_meet(threads_meeting *meeting, size_t count)
{
    size_t ticket = atomic_fetch_add(&meeting->arrived, 1);
    while (atomic_load(&meeting->arrived) < (ticket / count + 1) * count) {
        sched_yield();
    }
}

#endif
