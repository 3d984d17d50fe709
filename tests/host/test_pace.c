/* Tests of pace: who keeps a processor gives way until the end of what it runs; nobody else does; nobody starves. */
#include "pace.h"

#include "fence.h"
#include "kicker.h"
#include "priorities.h"

enum {
    LONG_NS = PYH_PACE_LONG_NS,
    LONGEST_PAUSE_NS = 160 * 1000 * 1000,
    LOW_PAUSE_NS = 100 * 1000 * 1000,
    ROUNDS = 600,
    TURN_NS = 10 * 1000 * 1000, /* more than one that gives way must get, and all of them */
};

static int64_t thread_ns(void)
{
    struct timespec time;
    CHECK_EQUAL(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void burn(int64_t processor_ns)
{
    int64_t until_ns = thread_ns() + processor_ns;
    while (thread_ns() < until_ns) {
    }
}

static void check_low(const pyh_pace *pace, bool is_low)
{
    CHECK_EQUAL(atomic_load(&pace->state), is_low ? PYH_PACE_LOW : PYH_PACE_ORDINARY);
    check_priority(pace->thread, is_low ? PYH_PRIORITY_LOW : PYH_PRIORITY_ORDINARY);
}

static _Thread_local int64_t looked_ns; /* when this thread has looked last */

/* As if its time had come. */
static int64_t look(pyh_pace *pace, const _Atomic uint64_t *sequence)
{
    looked_ns = pyh_now_ns();
    pace->look_at_ns = pace->look_at_ns != 0 ? 1 : 0;
    return pyh_pace_look(pace, sequence, false, false);
}

/* How long what is low is only glanced at. */
static void check_glances(const pyh_pace *pace, int64_t pause_ns)
{
    CHECK_EQUAL(pause_ns, pyh_priority_gives_way() ? PYH_KICKER_ASK_NS : 0);
    CHECK(!pyh_priority_gives_way() || pace->look_at_ns >= looked_ns + LOW_PAUSE_NS);
}

/* The calling thread's, which has run the same for long by now. */
static void lower(pyh_pace *pace, _Atomic uint64_t *sequence)
{
    pyh_pace_init(pace);
    CHECK(look(pace, sequence) > 0);
    check_low(pace, false);
    burn(LONG_NS);
    check_glances(pace, look(pace, sequence));
    check_low(pace, true);
}

static void what_runs_long_gives_way_until_its_end(void)
{
    for (_Atomic uint64_t sequence = 1; sequence < 7; sequence++) {
        pyh_pace pace;
        lower(&pace, &sequence);
        sequence++;
        pyh_pace_end(&pace);
        check_low(&pace, false);
    }
}

static void it_is_long_from_its_beginning(void)
{
    pyh_pace pace;
    _Atomic uint64_t sequence = 1;
    pyh_pace_init(&pace);
    burn(LONG_NS);
    pyh_pace_begin(&pace, sequence);
    CHECK(look(&pace, &sequence) > 0);
    check_low(&pace, false);
    burn(LONG_NS);
    look(&pace, &sequence);
    check_low(&pace, true);
    pyh_pace_come_back();
    check_low(&pace, false);
}

/* Looks find it low, and leave it so until it ends or another one begins. */
static void what_was_long_before_gives_way_from_its_beginning(void)
{
    pyh_pace pace;
    _Atomic uint64_t sequence = 1;
    pyh_pace_init(&pace);
    for (int i = 0; i < 3; i++) {
        pyh_pace_lower(&pace, sequence);
        check_low(&pace, true);
        for (int looks = 0; looks < 2; looks++) {
            burn(TURN_NS);
            look(&pace, &sequence);
            check_low(&pace, true);
        }
        sequence += 2;
        if (i > 0) {
            pyh_pace_end(&pace);
        } else {
            CHECK(look(&pace, &sequence) > 0);
        }
        check_low(&pace, false);
    }
}

static void what_moves_on_does_not(void)
{
    pyh_pace pace;
    _Atomic uint64_t sequence = 1;
    pyh_pace_init(&pace);
    for (int i = 0; i < 5; i++) {
        CHECK(look(&pace, &sequence) > 0);
        burn(LONG_NS);
        sequence += 2;
    }
    check_low(&pace, false);
}

static long times_waited(void)
{
    struct rusage usage;
    CHECK_EQUAL(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_nvcsw;
}

static void wait_once(void)
{
    pyh_event never;
    pyh_event_init(&never);
    for (long before = times_waited(); times_waited() == before;) {
        CHECK_STATUS(pyh_event_wait(&never, pyh_deadline_after(100 * 1000)), PYHOST_TIMEOUT);
    }
    pyh_event_deinit(&never);
}

/* A loop moves on without a number: it waits. */
static void an_event_loop_that_waits_does_not(void)
{
    pyh_pace pace;
    _Atomic uint64_t sequence = 1;
    pyh_pace_init(&pace);
    for (int i = 0; i < 5; i++) {
        CHECK(pyh_pace_look(&pace, &sequence, true, true) > 0);
        check_low(&pace, false);
        burn(LONG_NS);
        wait_once();
    }
    CHECK(pyh_pace_look(&pace, &sequence, true, true) > 0);
    burn(LONG_NS);
    pyh_pace_look(&pace, &sequence, true, true);
    check_low(&pace, true);
    pyh_pace_end(&pace);
}

static void who_runs_nothing_is_looked_at_no_more(void)
{
    pyh_pace pace;
    _Atomic uint64_t sequence = 2;
    pyh_pace_init(&pace);
    CHECK(look(&pace, &sequence) > 0);
    burn(LONG_NS);
    CHECK_EQUAL(look(&pace, &sequence), 0);
    check_low(&pace, false);
}

/* It is another one, which has not kept a processor yet. */
static void an_inner_call_does_not_give_way(void)
{
    _Atomic uint64_t sequence = 1;
    pyh_pace pace;
    lower(&pace, &sequence);
    sequence = 3;
    CHECK(look(&pace, &sequence) > 0);
    check_low(&pace, false);
}

typedef struct {
    pyh_pace pace;
    _Atomic uint64_t sequence;
    threads_meeting meeting;
} race;

/* Index 0 runs long and then does one of three things; index 1 looks at it at the same moment. */
static void run_or_look(size_t index, void *shared)
{
    race *self = shared;
    pyh_pace *pace = &self->pace;
    if (index == 0) {
        pyh_pace_init(pace);
    }
    for (int i = 0; i < ROUNDS; i++) {
        if (index == 0) {
            atomic_store(&self->sequence, 2 * (uint64_t)i + 1);
            pyh_pace_begin(pace, atomic_load(&self->sequence));
            burn(LONG_NS);
        }
        threads_meet(&self->meeting, 2);
        for (int64_t until_ns = pyh_now_ns() + i % 40 * 250; index == 0 && pyh_now_ns() < until_ns;) {
            /* later each time, to meet each moment of the look */
        }
        if (index == 1) {
            look(pace, &self->sequence);
        } else if (i % 3 == 0) {
            atomic_store_explicit(&self->sequence, 2 * (uint64_t)i + 2, memory_order_release);
            pyh_fence_light();
            pyh_pace_end(pace);
        } else if (i % 3 == 1) {
            pyh_pace_hold();
        } else {
            pyh_pace_come_back();
        }
        if (index == 0 && i % 3 != 2) {
            check_priority(0, PYH_PRIORITY_ORDINARY); /* already, whatever the look is about to do */
        }
        threads_meet(&self->meeting, 2);
        if (index == 0) {
            if (i % 3 != 2) {
                check_low(pace, false);
            }
            pyh_pace_release();
            pyh_pace_end(pace);
            check_low(pace, false);
        }
    }
}

static void nobody_is_left_low(void)
{
    race shared = {.sequence = 0};
    threads_run(2, run_or_look, &shared);
}

/* Raised for longer each time, and not again for long once it gets its turn. */
static void who_gets_nothing_is_raised_for_a_while(void)
{
    static const int64_t raises_ms[] = {200, 400, 800, 1600, 1600};
    _Atomic uint64_t sequence = 1;
    pyh_pace pace;
    lower(&pace, &sequence);
    for (size_t i = 0; i < CHECK_COUNT(raises_ms) && pyh_priority_gives_way(); i++) {
        if (i == 0) { /* others may have had their turn just now */
            check_glances(&pace, look(&pace, &sequence));
            check_low(&pace, true);
        }
        CHECK_EQUAL(look(&pace, &sequence), raises_ms[i] * 1000 * 1000);
        check_low(&pace, false);
        check_glances(&pace, look(&pace, &sequence));
        check_low(&pace, true);
    }
    burn(TURN_NS);
    look(&pace, &sequence);
    check_low(&pace, true);
    CHECK_EQUAL(pace.raise_ns, raises_ms[0] * 1000 * 1000);
    pyh_pace_end(&pace);
}

/* A thread that runs for long and then waits, as one in a system call does. */
typedef struct {
    pyh_pace pace;
    int64_t processor_ns; /* before it waits */
    pyh_event ready, over;
} waiter;

static void wait_for(pyh_event *event)
{
    while (pyh_event_wait(event, PYH_NEVER) != PYHOST_OK) {
    }
}

static void *wait_until_over(void *shared)
{
    waiter *self = shared;
    pyh_pace_init(&self->pace);
    pyh_pace_begin(&self->pace, 1);
    burn(self->processor_ns);
    pyh_event_set(&self->ready);
    wait_for(&self->over);
    return NULL;
}

static pthread_t waiter_start(waiter *self, int64_t processor_ns)
{
    pthread_t thread;
    *self = (waiter){.processor_ns = processor_ns};
    pyh_event_init(&self->ready);
    pyh_event_init(&self->over);
    CHECK_STATUS(pyh_thread_start(&thread, "wait", wait_until_over, self), PYHOST_OK);
    wait_for(&self->ready);
    return thread;
}

static void waiter_end(waiter *self, pthread_t thread)
{
    _Atomic uint64_t sequence = 1;
    pyh_event_set(&self->over);
    pthread_join(thread, NULL);
    while (look(&self->pace, &sequence) > 0) { /* until the system has let it go */
    }
    pyh_event_deinit(&self->ready);
    pyh_event_deinit(&self->over);
}

/* They take turns; it is raised all the same when its own does not come. */
static void who_gets_nothing_while_others_do_is_raised_later(void)
{
    waiter self;
    pyh_pace others;
    _Atomic uint64_t sequence = 1;
    pthread_t thread = waiter_start(&self, LONG_NS);
    lower(&others, &sequence);
    look(&self.pace, &sequence);
    for (int i = 0; i < 5 && pyh_priority_gives_way(); i++) {
        check_low(&self.pace, true);
        burn(TURN_NS);
        look(&others, &sequence);
        look(&self.pace, &sequence);
    }
    check_low(&self.pace, !pyh_priority_gives_way());
    check_low(&others, true);
    pyh_pace_end(&others);
    waiter_end(&self, thread);
}

static void who_waits_is_looked_at_less_and_less(void)
{
    waiter self;
    pthread_t thread = waiter_start(&self, 0);
    _Atomic uint64_t sequence = 1;
    int64_t pause_ns;
    do {
        pause_ns = look(&self.pace, &sequence);
        CHECK(pause_ns > 0 && pause_ns <= LONGEST_PAUSE_NS);
    } while (pause_ns < LONGEST_PAUSE_NS);
    while (pyh_pace_look(&self.pace, &sequence, true, false) > 0) { /* it may have had something to do until it waits */
    }
    waiter_end(&self, thread);
}

/* It wants a processor, and by the clock of another thread it gets none. */
static void who_gets_no_processor_yet_is_looked_at_again(void)
{
    waiter self;
    pyh_pace pace;
    _Atomic uint64_t sequence = 1;
    pthread_t thread = waiter_start(&self, 0);
    while (pyh_pace_look(&self.pace, &sequence, true, false) > 0) { /* until it waits */
    }
    pyh_pace_init(&pace);
    pace.clock = self.pace.clock;
    for (int i = 0; i < 3; i++) {
        CHECK(pyh_pace_look(&pace, &sequence, true, false) > 0);
    }
    waiter_end(&self, thread);
}

static void who_is_set_aside_gives_way_until_it_comes_back(void)
{
    _Atomic uint64_t sequence = 1;
    pyh_pace pace;
    for (int i = 0; i < 3; i++) {
        pyh_pace_init(&pace);
        CHECK(look(&pace, &sequence) > 0);
        pyh_pace_set_aside(&pace);
        CHECK_EQUAL(look(&pace, &sequence) > 0, pyh_priority_gives_way());
        check_low(&pace, true);
        if (i == 0) {
            pyh_pace_come_back();
        } else if (i == 1) {
            pyh_pace_restore(&pace);
        } else {
            pyh_pace_end(&pace);
        }
        check_low(&pace, false);
    }
}

/* What is low is looked at when its time has come, and glanced at before, less and less often while it is alone. */
static void who_is_low_is_glanced_at_between_looks(void)
{
    _Atomic uint64_t sequence = 1;
    pyh_pace pace;
    lower(&pace, &sequence);
    int64_t look_at_ns = pace.look_at_ns, pause_ns = 0;
    for (;;) {
        burn(1000 * 1000);
        pause_ns = pyh_pace_look(&pace, &sequence, false, false);
        if (pyh_now_ns() >= look_at_ns) {
            break; /* it may have been a look */
        }
        CHECK(pause_ns > 0 && pause_ns <= LOW_PAUSE_NS);
        CHECK_EQUAL(pace.look_at_ns, look_at_ns);
    }
    pyh_pace_end(&pace);
}

static void who_is_recalled_is_ordinary_for_good(void)
{
    _Atomic uint64_t sequence = 1;
    pyh_pace pace;
    lower(&pace, &sequence);
    pyh_pace_set_aside(&pace);
    pyh_pace_recall(&pace);
    for (int i = 0; i < 3; i++) {
        check_low(&pace, false);
        burn(LONG_NS);
        look(&pace, &sequence);
    }
    check_low(&pace, false);
}

static void who_is_held_does_not_give_way(void)
{
    _Atomic uint64_t sequence = 1;
    pyh_pace pace;
    lower(&pace, &sequence);
    pyh_pace_hold();
    for (int i = 0; i < 3; i++) {
        check_low(&pace, false);
        burn(LONG_NS);
        CHECK_EQUAL(look(&pace, &sequence) > 0, pyh_priority_gives_way());
    }
    pyh_pace_release();
    burn(LONG_NS);
    look(&pace, &sequence);
    check_low(&pace, true);
    pyh_pace_end(&pace);
}

static void come_back_unpaced(size_t index, void *unused)
{
    (void)index;
    (void)unused;
    pyh_pace_hold();
    pyh_pace_release();
    pyh_pace_come_back();
    check_priority(0, PYH_PRIORITY_ORDINARY);
}

static void a_thread_that_is_not_paced_may_do_all_of_it(void)
{
    threads_run(1, come_back_unpaced, NULL);
}

/* It runs, and has not had the time yet; one that waits for something else, or has had it, is not kept. */
static void who_is_kept_waiting_is_told(void)
{
    pyh_pace pace;
    waiter self;
    pthread_t thread = waiter_start(&self, 0);
    pyh_pace_note_deadline(&self.pace);
    while (pyh_pace_is_kept_waiting(&self.pace)) { /* until it waits */
    }
    waiter_end(&self, thread);
    pyh_pace_init(&pace);
    pyh_pace_note_deadline(&pace);
    CHECK(pyh_pace_is_kept_waiting(&pace));
    burn(TURN_NS);
    CHECK(!pyh_pace_is_kept_waiting(&pace));
    CHECK(!pyh_pace_is_kept_waiting(&(pyh_pace){0}));
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(what_runs_long_gives_way_until_its_end),
        CHECK_TEST(it_is_long_from_its_beginning),
        CHECK_TEST(what_was_long_before_gives_way_from_its_beginning),
        CHECK_TEST(what_moves_on_does_not),
        CHECK_TEST(an_event_loop_that_waits_does_not),
        CHECK_TEST(who_runs_nothing_is_looked_at_no_more),
        CHECK_TEST(an_inner_call_does_not_give_way),
        CHECK_TEST(nobody_is_left_low),
        CHECK_TEST(who_gets_nothing_is_raised_for_a_while),
        CHECK_TEST(who_gets_nothing_while_others_do_is_raised_later),
        CHECK_TEST(who_waits_is_looked_at_less_and_less),
        CHECK_TEST(who_gets_no_processor_yet_is_looked_at_again),
        CHECK_TEST(who_is_set_aside_gives_way_until_it_comes_back),
        CHECK_TEST(who_is_low_is_glanced_at_between_looks),
        CHECK_TEST(who_is_recalled_is_ordinary_for_good),
        CHECK_TEST(who_is_held_does_not_give_way),
        CHECK_TEST(a_thread_that_is_not_paced_may_do_all_of_it),
        CHECK_TEST(who_is_kept_waiting_is_told),
    };
    priorities_begin();
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
