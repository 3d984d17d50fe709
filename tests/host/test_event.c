/* Tests of sync's event and notifier: who waits is woken, by a deadline or a signal as well. */
#include <signal.h>

#include "sync.h"
#include "threads.h"

enum { WAITERS = 4, ROUNDS = 300, SHORT_NS = 1000 * 1000 };

static void event_times_out(void)
{
    pyh_event event = {0};
    pyh_event_init(&event);
    CHECK(!pyh_event_is_set(&event));
    CHECK_STATUS(pyh_event_wait(&event, 0), PYHOST_TIMEOUT);
    CHECK_STATUS(pyh_event_wait(&event, -1), PYHOST_TIMEOUT);
    int64_t deadline = pyh_deadline_after(SHORT_NS);
    CHECK_STATUS(pyh_event_wait(&event, deadline), PYHOST_TIMEOUT);
    CHECK(pyh_now_ns() >= deadline);
    pyh_event_deinit(&event);
}

static void event_stays_set(void)
{
    pyh_event event = {0};
    pyh_event_init(&event);
    pyh_event_set(&event);
    pyh_event_set(&event);
    CHECK(pyh_event_is_set(&event));
    CHECK_STATUS(pyh_event_wait(&event, 0), PYHOST_OK);
    CHECK_STATUS(pyh_event_wait(&event, PYH_NEVER), PYHOST_OK);
    pyh_event_deinit(&event);
}

static void event_spin_sees_what_is_set_and_gives_up_in_time(void)
{
    pyh_event event = {0};
    pyh_event_init(&event);
    int64_t start = pyh_now_ns();
    CHECK(!pyh_event_spin(&event, SHORT_NS));
    CHECK(pyh_now_ns() >= start + SHORT_NS);
    pyh_event_set(&event);
    CHECK(pyh_event_spin(&event, 0));
    pyh_event_deinit(&event);
}

typedef struct {
    pyh_event events[ROUNDS];
    int values[ROUNDS]; /* each written before its event is set */
} event_rounds;

static void set_or_wait(size_t index, void *shared)
{
    event_rounds *rounds = shared;
    for (int i = 0; i < ROUNDS; i++) {
        if (index == 0) {
            rounds->values[i] = i;
            pyh_event_set(&rounds->events[i]);
        } else {
            /* One waiter only spins, so that it is never the one who is woken. */
            while (index == 1 && !pyh_event_spin(&rounds->events[i], SHORT_NS)) {
            }
            CHECK_STATUS(pyh_event_wait(&rounds->events[i], PYH_NEVER), PYHOST_OK);
            CHECK_EQUAL(rounds->values[i], i);
        }
    }
}

static void event_wakes_every_waiter_and_publishes(void)
{
    static event_rounds rounds;
    threads_run(1 + WAITERS, set_or_wait, &rounds);
}

static void ignore_signal(int number)
{
    (void)number;
}

/* A thread that waits once, for the event or for the notifier. */
typedef struct {
    pyh_event event;
    pyh_notifier notifier;
    bool for_notifier;
    pyhost_status status;
    atomic_bool returned;
} interrupted_wait;

static void *wait_once(void *argument)
{
    interrupted_wait *self = argument;
    self->status =
        self->for_notifier ? pyh_notifier_wait(&self->notifier, PYH_NEVER) : pyh_event_wait(&self->event, PYH_NEVER);
    atomic_store(&self->returned, true);
    return NULL;
}

static void check_signal_interrupts(bool for_notifier)
{
    interrupted_wait wait = {.for_notifier = for_notifier};
    struct sigaction action = {.sa_handler = ignore_signal}; /* without SA_RESTART */
    pthread_t thread;
    sigaction(SIGUSR1, &action, NULL);
    CHECK_STATUS(pyh_notifier_init(&wait.notifier), PYHOST_OK);
    CHECK_STATUS(pyh_thread_start(&thread, "waiter", wait_once, &wait), PYHOST_OK);
    /* A signal that comes before the wait has begun is lost: send until one has met it. */
    while (!atomic_load(&wait.returned)) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
    pthread_join(thread, NULL);
    CHECK_STATUS(wait.status, PYHOST_INTERRUPTED);
    pyh_notifier_deinit(&wait.notifier);
}

static void signals_interrupt_waits(void)
{
    check_signal_interrupts(false);
    check_signal_interrupts(true);
}

static void notifier_stays_readable_until_cleared(void)
{
    pyh_notifier notifier;
    CHECK_STATUS(pyh_notifier_init(&notifier), PYHOST_OK);
    CHECK_STATUS(pyh_notifier_wait(&notifier, 0), PYHOST_TIMEOUT);
    pyh_notifier_notify(&notifier);
    pyh_notifier_notify(&notifier);
    CHECK_STATUS(pyh_notifier_wait(&notifier, 0), PYHOST_OK);
    CHECK_STATUS(pyh_notifier_wait(&notifier, PYH_NEVER - 1), PYHOST_OK);
    CHECK_STATUS(pyh_notifier_wait(&notifier, PYH_NEVER), PYHOST_OK);
    pyh_notifier_clear(&notifier);
    CHECK_STATUS(pyh_notifier_wait(&notifier, pyh_now_ns() - 1), PYHOST_TIMEOUT);
    pyh_notifier_clear(&notifier);
    pyh_notifier_deinit(&notifier);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(event_times_out),
        CHECK_TEST(event_stays_set),
        CHECK_TEST(event_spin_sees_what_is_set_and_gives_up_in_time),
        CHECK_TEST(event_wakes_every_waiter_and_publishes),
        CHECK_TEST(signals_interrupt_waits),
        CHECK_TEST(notifier_stays_readable_until_cleared),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
