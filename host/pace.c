/* pace: see pace.h. */
#include "pace.h"

#include "slice.h"

/* How much of a processor makes what runs long; how far apart looks are at most. */
enum { LONG_NS = 2 * 1000 * 1000, LONGEST_PAUSE_NS = 160 * 1000 * 1000 };

void pyh_pace_init(pyh_pace *pace)
{
    *pace = (pyh_pace){.thread = pyh_thread_number(), .pause_ns = PYH_PACE_FIRST_NS};
    pthread_getcpuclockid(pthread_self(), &pace->clock);
}

/* -1: the thread has ended. */
static int64_t clock_of(const pyh_pace *pace)
{
    struct timespec time;
    return clock_gettime(pace->clock, &time) == 0 ? time.tv_sec * INT64_C(1000000000) + time.tv_nsec : -1;
}

void pyh_pace_restore(pyh_pace *pace)
{
    atomic_store(&pace->is_long, false);
    pyh_slice_set(pace->thread, PYH_SLICE_ORDINARY);
}

/* Either side sees what the other has done: who ends it, or this one, has the last word. */
static void lengthen(pyh_pace *pace, const _Atomic uint64_t *sequence)
{
    atomic_store(&pace->is_long, true);
    pyh_slice_set(pace->thread, PYH_SLICE_LONGEST_NS);
    if (atomic_load(sequence) != pace->sequence) {
        pyh_pace_restore(pace);
    }
}

/* The next look comes later by this much if there is no reason to hurry. */
static int64_t next_pause(pyh_pace *pace, bool is_busy)
{
    int64_t longer_ns = pace->pause_ns * 2 < LONGEST_PAUSE_NS ? pace->pause_ns * 2 : LONGEST_PAUSE_NS;
    pace->pause_ns = is_busy ? PYH_PACE_FIRST_NS : longer_ns;
    return pace->pause_ns;
}

int64_t pyh_pace_look(pyh_pace *pace, const _Atomic uint64_t *sequence, bool endless)
{
    uint64_t running = atomic_load(sequence);
    int64_t clock_ns = clock_of(pace);
    bool has_run = clock_ns > pace->seen_ns;
    if (clock_ns < 0) {
        return 0;
    }
    pace->seen_ns = clock_ns;
    if (running != pace->sequence) {
        pyh_pace_end(pace); /* its own end may have come before it was lengthened */
        pace->sequence = running;
        pace->began_ns = clock_ns;
        return next_pause(pace, false);
    }
    if ((running & 1) == 0 || (endless && !has_run)) {
        pace->pause_ns = PYH_PACE_FIRST_NS;
        return 0;
    }
    if (clock_ns - pace->began_ns < LONG_NS) {
        return next_pause(pace, has_run);
    }
    lengthen(pace, sequence);
    pace->pause_ns = PYH_PACE_FIRST_NS;
    return 0;
}

void pyh_pace_hurry(pyh_pace *pace)
{
    pyh_pace_end(pace);
    pace->began_ns = clock_of(pace);
}
