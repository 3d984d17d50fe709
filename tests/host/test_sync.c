/* Tests of sync: deadlines, the condition, the checked lock order and threads (event, notifier: test_event.c). */
#include "sync.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "threads.h"

enum { ROUNDS = 300, SHORT_NS = 1000 * 1000 };

static void deadlines_saturate(void)
{
    int64_t before = pyh_now_ns();
    CHECK_EQUAL(pyh_deadline_after(PYH_NEVER), PYH_NEVER);
    CHECK_EQUAL(pyh_deadline_after(PYH_NEVER - 1), PYH_NEVER);
    CHECK_EQUAL(pyh_deadline_after(PYH_NEVER - before + 1), PYH_NEVER);
    int64_t deadline = pyh_deadline_after(SHORT_NS);
    CHECK(deadline >= before + SHORT_NS && deadline <= pyh_now_ns() + SHORT_NS);
}

/* A counter that two threads take turns at. */
typedef struct {
    pyh_mutex mutex;
    pyh_condition changed;
    size_t turn;
} turns;

static void take_turns(size_t index, void *shared)
{
    turns *self = shared;
    pyh_mutex_lock(&self->mutex);
    for (int i = 0; i < ROUNDS; i++) {
        while (self->turn % 2 != index) {
            CHECK_STATUS(pyh_condition_wait(&self->changed, &self->mutex, PYH_NEVER), PYHOST_OK);
        }
        self->turn++;
        pyh_condition_signal(&self->changed);
    }
    pyh_mutex_unlock(&self->mutex);
}

static void condition_wakes_and_times_out(void)
{
    turns shared = {.turn = 0};
    pyh_mutex_init(&shared.mutex, PYH_RANK_CHANNEL);
    pyh_condition_init(&shared.changed);
    threads_run(2, take_turns, &shared);
    CHECK_EQUAL(shared.turn, 2 * ROUNDS);
    pyh_mutex_lock(&shared.mutex);
    CHECK_STATUS(pyh_condition_wait(&shared.changed, &shared.mutex, pyh_now_ns() - 1), PYHOST_TIMEOUT);
    CHECK_STATUS(pyh_condition_wait(&shared.changed, &shared.mutex, -1), PYHOST_TIMEOUT);
    pyh_mutex_unlock(&shared.mutex);
    pyh_condition_deinit(&shared.changed);
    pyh_mutex_deinit(&shared.mutex);
}

/* Takes two mutexes of these ranks in this order, and the first again once both are free. */
static void lock_both(pyh_rank first, pyh_rank second)
{
    pyh_mutex mutexes[2];
    pyh_mutex_init(&mutexes[0], first);
    pyh_mutex_init(&mutexes[1], second);
    pyh_mutex_lock(&mutexes[0]);
    pyh_mutex_lock(&mutexes[1]);
    pyh_mutex_unlock(&mutexes[1]);
    pyh_mutex_unlock(&mutexes[0]);
    pyh_mutex_lock(&mutexes[0]);
    pyh_mutex_unlock(&mutexes[0]);
    pyh_mutex_deinit(&mutexes[0]);
    pyh_mutex_deinit(&mutexes[1]);
}

static void rising_ranks_are_allowed(void)
{
    lock_both(PYH_RANK_CREATION, PYH_RANK_ROUTER);
    lock_both(PYH_RANK_INTERP, PYH_RANK_WATCHDOG);
}

#ifndef NDEBUG
/* Whether a process that locks in this order is aborted. */
static bool aborts(pyh_rank first, pyh_rank second)
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        CHECK(freopen("/dev/null", "w", stderr) != NULL);
        lock_both(first, second);
        _exit(0);
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void other_orders_abort_in_debug_builds(void)
{
    CHECK(!aborts(PYH_RANK_ROUTER, PYH_RANK_CHANNEL));
    CHECK(aborts(PYH_RANK_CHANNEL, PYH_RANK_ROUTER));
    CHECK(aborts(PYH_RANK_CHANNEL, PYH_RANK_CHANNEL));
}
#endif

typedef struct {
    pyh_event go;
    size_t stack_bytes;
} started_thread;

static void *measure_stack(void *argument)
{
    started_thread *self = argument;
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstacksize(&attributes, &self->stack_bytes);
    pthread_attr_destroy(&attributes);
    pyh_event_wait(&self->go, PYH_NEVER);
    return NULL;
}

static void threads_have_a_short_name_and_a_deep_stack(void)
{
    started_thread self = {.stack_bytes = 0};
    pthread_t thread;
    char name[16];
    CHECK_STATUS(pyh_thread_start(&thread, "a-name-that-is-too-long", measure_stack, &self), PYHOST_OK);
    CHECK_EQUAL(pthread_getname_np(thread, name, sizeof name), 0);
    CHECK_STRING(name, "a-name-that-is-");
    pyh_event_set(&self.go);
    pthread_join(thread, NULL);
    CHECK(self.stack_bytes >= (size_t)8 << 20);
}

static void what_the_kernel_tells_of_a_thread_is_read(void)
{
    char text[64];
    pyh_thread_rename("told");
    pyh_thread_told(pyh_thread_number(), "comm", text, sizeof text);
    CHECK_EQUAL(strcmp(text, "told\n"), 0);
    pyh_thread_told(-1, "comm", text, sizeof text);
    CHECK_EQUAL(strcmp(text, ""), 0);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(deadlines_saturate),
        CHECK_TEST(condition_wakes_and_times_out),
        CHECK_TEST(rising_ranks_are_allowed),
#ifndef NDEBUG
        CHECK_TEST(other_orders_abort_in_debug_builds),
#endif
        CHECK_TEST(threads_have_a_short_name_and_a_deep_stack),
        CHECK_TEST(what_the_kernel_tells_of_a_thread_is_read),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
