/* Tests of cpu: what threads have run is in their account while they live and after, and a call is told its own time.
 *
 * Each thread checks against its own clock: no test says how long anything may take. */
#include "cpu.h"

#include <time.h>

#include "threads.h"

enum { WORKERS = 4, BURN_NS = 5 * 1000 * 1000, SLEEP_NS = 30 * 1000 * 1000, ROUNDS = 300 };

/* The clocks of processor time and of wall time do not run quite alike. */
#define NEARLY(time_ns) ((time_ns) - (time_ns) / 100)

static int64_t clock_ns(clockid_t clock)
{
    struct timespec time;
    CHECK_EQUAL(clock_gettime(clock, &time), 0);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t thread_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Runs for so much processor time of this thread. */
static void burn(int64_t time_ns)
{
    int64_t until_ns = thread_ns() + time_ns;
    while (thread_ns() < until_ns) {
    }
}

static void sleep_for(int64_t time_ns)
{
    struct timespec pause = {.tv_nsec = (long)time_ns};
    while (nanosleep(&pause, &pause) != 0) {
    }
}

static pyh_account *account_new(void)
{
    pyh_account *account = pyh_account_new();
    CHECK(account != NULL);
    return account;
}

typedef struct {
    pyh_account *account;
    _Atomic int64_t burnt_ns; /* by all, at least */
    pyh_event burnt, go;
} worker;

static void *work(void *argument)
{
    worker *self = argument;
    pyh_cpu_join(self->account);
    CHECK(pyh_this_thread.home == self->account);
    burn(BURN_NS);
    self->burnt_ns = thread_ns();
    pyh_event_set(&self->burnt);
    CHECK_STATUS(pyh_event_wait(&self->go, PYH_NEVER), PYHOST_OK);
    burn(BURN_NS);
    self->burnt_ns = thread_ns();
    return NULL;
}

static void threads_count_while_they_run_and_after(void)
{
    worker self = {.account = account_new()};
    pthread_t thread;
    CHECK_EQUAL(pyh_cpu_read(self.account), 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, work, &self), 0);
    CHECK_STATUS(pyh_event_wait(&self.burnt, PYH_NEVER), PYHOST_OK);
    int64_t running_ns = pyh_cpu_read(self.account);
    CHECK(running_ns >= self.burnt_ns);
    CHECK_EQUAL(self.account->ended_threads_ns, 0);
    pyh_event_set(&self.go);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    int64_t ended_ns = pyh_cpu_read(self.account);
    CHECK(ended_ns >= self.burnt_ns && ended_ns >= running_ns);
    CHECK(ended_ns <= clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    burn(BURN_NS); /* of nobody's thread */
    CHECK_EQUAL(pyh_cpu_read(self.account), ended_ns);
    CHECK(self.account->threads == NULL);
    CHECK_EQUAL(self.account->references, 1);
    pyh_account_unref(self.account);
}

static void join_and_burn(size_t index, void *shared)
{
    worker *self = shared;
    pyh_cpu_join(self->account);
    burn(BURN_NS / (1 + (int64_t)index));
    atomic_fetch_add(&self->burnt_ns, thread_ns());
}

static void the_time_of_all_threads_adds_up(void)
{
    worker self = {.account = account_new()};
    for (int i = 0; i < 2; i++) {
        threads_run(WORKERS, join_and_burn, &self);
        CHECK(pyh_cpu_read(self.account) >= self.burnt_ns);
    }
    CHECK(pyh_cpu_read(self.account) <= clock_ns(CLOCK_PROCESS_CPUTIME_ID));
    CHECK(self.account->threads == NULL);
    pyh_account_unref(self.account);
}

typedef struct {
    pyh_account *account;
    atomic_size_t finished;
} comers;

static void *join_and_end(void *account)
{
    pyh_cpu_join(account);
    return NULL;
}

/* Index 0 reads while threads of the others come and go. */
static void come_and_go(size_t index, void *shared)
{
    comers *self = shared;
    for (size_t i = 0; index > 0 && i < ROUNDS; i++) {
        pthread_t thread;
        CHECK_EQUAL(pthread_create(&thread, NULL, join_and_end, self->account), 0);
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
    }
    atomic_fetch_add(&self->finished, 1);
    for (int64_t before_ns = 0; index == 0 && self->finished < WORKERS;) {
        int64_t now_ns = pyh_cpu_read(self->account);
        CHECK(now_ns >= before_ns);
        before_ns = now_ns;
    }
}

static void the_time_never_falls(void)
{
    comers self = {.account = account_new()};
    threads_run(WORKERS, come_and_go, &self);
    CHECK(self.account->threads == NULL);
    CHECK_EQUAL(self.account->references, 1);
    pyh_account_unref(self.account);
}

/* Ends a span; what it is told is never more than the wall time. */
static int64_t end(pyh_cpu_span *span)
{
    int64_t told_ns = pyh_cpu_end(span, pyh_now_ns());
    CHECK(told_ns >= 0 && told_ns <= pyh_now_ns() - span->started_ns);
    return told_ns;
}

static int64_t burn_in(pyh_account *account, bool may_be_long)
{
    pyh_cpu_span span;
    pyh_cpu_begin(&span, account, pyh_now_ns(), may_be_long);
    burn(BURN_NS);
    int64_t told_ns = end(&span);
    CHECK(span.is_long);
    return told_ns;
}

static int64_t sleep_in(pyh_account *account, bool may_be_long)
{
    pyh_cpu_span span;
    pyh_cpu_begin(&span, account, pyh_now_ns(), may_be_long);
    sleep_for(SLEEP_NS);
    int64_t told_ns = end(&span);
    CHECK(span.is_long);
    return told_ns;
}

/* The next long one is not told of them again. */
static void check_short_spans(pyh_account *home, pyh_account *unused)
{
    pyh_cpu_span span;
    (void)unused;
    do {
        int64_t counted_ns = pyh_this_thread.clock_counted_ns;
        pyh_cpu_begin(&span, home, pyh_now_ns(), false);
        int64_t told_ns = end(&span);
        CHECK_EQUAL(pyh_this_thread.clock_counted_ns, span.is_long ? 0 : counted_ns + told_ns);
    } while (span.is_long); /* something came between */
    sleep_in(home, false);
    CHECK_EQUAL(pyh_this_thread.clock_counted_ns, 0);
    CHECK_EQUAL(home->visits_ns, 0);
}

static void check_long_spans(pyh_account *home, pyh_account *unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        CHECK(sleep_in(home, i == 1) <= BURN_NS / 2);
        CHECK(burn_in(home, i == 1) >= NEARLY(BURN_NS));
    }
    CHECK_EQUAL(home->visits_ns, 0);
}

static void check_inner_spans(pyh_account *home, pyh_account *unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        int64_t before_ns = pyh_this_thread.clock_read_ns;
        pyh_cpu_span outer;
    pyh_cpu_begin(&outer, home, pyh_now_ns(), false);
        burn(BURN_NS);
        int64_t inner_ns = burn_in(home, i == 1);
        burn(BURN_NS);
        int64_t outer_ns = end(&outer);
        CHECK(inner_ns >= NEARLY(BURN_NS));
        CHECK(i == 0 || outer_ns >= NEARLY(2 * BURN_NS)); /* the first time, some of it may be the inner one's */
        CHECK(inner_ns + outer_ns >= NEARLY(3 * BURN_NS));
        CHECK(inner_ns + outer_ns <= thread_ns() - before_ns);
    }
    CHECK_EQUAL(home->visits_ns, 0);
}

static void check_visits(pyh_account *home, pyh_account *visited)
{
    int64_t told_ns = burn_in(visited, true);
    CHECK(told_ns >= NEARLY(BURN_NS));
    int64_t asleep_ns = sleep_in(visited, true);
    CHECK(asleep_ns <= SLEEP_NS / 2);
    CHECK_EQUAL(visited->visits_ns, told_ns + asleep_ns);
    CHECK_EQUAL(home->away_ns, told_ns + asleep_ns);
    CHECK_EQUAL(pyh_cpu_read(visited), told_ns + asleep_ns);
    CHECK(pyh_cpu_read(home) <= thread_ns() - told_ns - asleep_ns);
    home->away_ns = 3600 * (int64_t)1000000000;
    CHECK_EQUAL(pyh_cpu_read(home), 0); /* nobody's time is less than none */
}

/* The clock was not read at its beginning: it may take what ran since it was read last, but no more. */
static void check_first_visits(pyh_account *home, pyh_account *visited)
{
    int64_t before_ns = pyh_this_thread.clock_read_ns;
    pyh_cpu_span outer;
    pyh_cpu_begin(&outer, home, pyh_now_ns(), false);
    burn(BURN_NS);
    sleep_in(visited, false);
    end(&outer);
    CHECK(pyh_cpu_read(home) >= before_ns);
}

/* From home to the visited one and on to a third, and from there home again. */
static void check_visits_within(pyh_account *home, pyh_account *visited)
{
    pyh_account *third = account_new();
    int64_t before_ns = pyh_this_thread.clock_read_ns;
    pyh_cpu_span outer;
    pyh_cpu_begin(&outer, home, pyh_now_ns(), true);
    burn(BURN_NS);
    pyh_cpu_span middle;
    pyh_cpu_begin(&middle, visited, pyh_now_ns(), true);
    burn(BURN_NS);
    int64_t third_ns = burn_in(third, true), back_ns = burn_in(home, true);
    int64_t middle_ns = end(&middle), outer_ns = end(&outer);
    CHECK(outer_ns >= NEARLY(BURN_NS) && middle_ns >= NEARLY(BURN_NS));
    CHECK(third_ns >= NEARLY(BURN_NS) && back_ns >= NEARLY(BURN_NS));
    CHECK(outer_ns + middle_ns + third_ns + back_ns <= thread_ns() - before_ns);
    CHECK_EQUAL(pyh_cpu_read(visited), middle_ns);
    CHECK_EQUAL(pyh_cpu_read(third), third_ns);
    CHECK_EQUAL(home->away_ns, middle_ns + third_ns);
    CHECK_EQUAL(home->visits_ns, 0);
    pyh_account_unref(third);
}

static void check_visits_of_nobody(pyh_account *home, pyh_account *visited)
{
    pyh_this_thread.home = NULL;
    int64_t told_ns = burn_in(visited, true);
    CHECK(told_ns >= NEARLY(BURN_NS));
    CHECK_EQUAL(pyh_cpu_read(visited), told_ns);
    CHECK_EQUAL(home->visits_ns, 0);
}

typedef struct {
    void (*check)(pyh_account *home, pyh_account *visited);
    pyh_account *home, *visited;
} scene;

static void play(size_t index, void *shared)
{
    scene *self = shared;
    (void)index;
    burn(SLEEP_NS); /* before it has a home: no span's time */
    pyh_cpu_join(self->home);
    self->check(self->home, self->visited);
    CHECK_EQUAL(pyh_this_thread.spans, 0);
}

/* On a thread that has one account for its home, and may visit another. */
static void check_at_home(void (*check)(pyh_account *home, pyh_account *visited))
{
    scene self = {check, account_new(), account_new()};
    threads_run(1, play, &self);
    pyh_account_unref(self.home);
    pyh_account_unref(self.visited);
}

static void short_spans_are_told_their_wall_time(void)
{
    check_at_home(check_short_spans);
}

static void long_spans_are_told_what_they_ran(void)
{
    check_at_home(check_long_spans);
}

static void inner_spans_are_told_apart_from_the_outer(void)
{
    check_at_home(check_inner_spans);
}

static void visits_move_time_to_the_visited(void)
{
    check_at_home(check_visits);
}

static void first_visits_take_no_more_than_is_new(void)
{
    check_at_home(check_first_visits);
}

static void visits_within_visits_are_told_apart(void)
{
    check_at_home(check_visits_within);
}

static void guests_without_a_home_owe_nobody(void)
{
    check_at_home(check_visits_of_nobody);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(threads_count_while_they_run_and_after),
        CHECK_TEST(the_time_of_all_threads_adds_up),
        CHECK_TEST(the_time_never_falls),
        CHECK_TEST(short_spans_are_told_their_wall_time),
        CHECK_TEST(long_spans_are_told_what_they_ran),
        CHECK_TEST(inner_spans_are_told_apart_from_the_outer),
        CHECK_TEST(visits_move_time_to_the_visited),
        CHECK_TEST(first_visits_take_no_more_than_is_new),
        CHECK_TEST(visits_within_visits_are_told_apart),
        CHECK_TEST(guests_without_a_home_owe_nobody),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
