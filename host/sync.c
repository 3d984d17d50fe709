/* sync: see sync.h. The event is a futex on Linux and a condition variable elsewhere; nothing else here knows the
 * platform but the notifier (eventfd or pipe) and thread names. */
#include "sync.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <patchlevel.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif

enum { NS_PER_SECOND = 1000000000, NS_PER_MILLISECOND = 1000000, KEPT_STACK_BYTES = 4096 };

/* Before 3.14 CPython allows 10,000 calls within C, whatever they take: those of list.sort take 16 MiB. */
#if PY_VERSION_HEX < 0x030E0000
const long pyh_stack_bytes = 32 << 20;
#else
const long pyh_stack_bytes = 8 << 20;
#endif

#ifndef NDEBUG
/* Ranks that this thread holds, one bit each. */
static _Thread_local uint32_t held_ranks;
#endif

void pyh_mutex_init(pyh_mutex *mutex, pyh_rank rank)
{
    pthread_mutex_init(&mutex->mutex, NULL);
    mutex->rank = rank;
}

void pyh_mutex_deinit(pyh_mutex *mutex)
{
    pthread_mutex_destroy(&mutex->mutex);
}

void pyh_mutex_lock(pyh_mutex *mutex)
{
    assert(held_ranks >> mutex->rank == 0 && "locks are taken in the order of pyh_rank");
    pthread_mutex_lock(&mutex->mutex);
#ifndef NDEBUG
    held_ranks |= 1u << mutex->rank;
#endif
}

bool pyh_mutex_try_lock(pyh_mutex *mutex)
{
    assert(held_ranks >> mutex->rank == 0 && "locks are taken in the order of pyh_rank");
    bool is_taken = pthread_mutex_trylock(&mutex->mutex) == 0;
#ifndef NDEBUG
    held_ranks |= is_taken ? 1u << mutex->rank : 0;
#endif
    return is_taken;
}

void pyh_mutex_unlock(pyh_mutex *mutex)
{
#ifndef NDEBUG
    held_ranks &= ~(1u << mutex->rank);
#endif
    pthread_mutex_unlock(&mutex->mutex);
}

int64_t pyh_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

int64_t pyh_deadline_from(int64_t at_ns, int64_t timeout_ns)
{
    return timeout_ns >= PYH_NEVER - at_ns ? PYH_NEVER : at_ns + timeout_ns;
}

int64_t pyh_deadline_after(int64_t timeout_ns)
{
    return pyh_deadline_from(pyh_now_ns(), timeout_ns);
}

static struct timespec to_timespec(int64_t time_ns)
{
    return (struct timespec){.tv_sec = (time_t)(time_ns / NS_PER_SECOND), .tv_nsec = (long)(time_ns % NS_PER_SECOND)};
}

/* How long until the deadline, never negative. */
static struct timespec until(int64_t deadline_ns)
{
    int64_t left = deadline_ns - pyh_now_ns();
    return to_timespec(left > 0 ? left : 0);
}

void pyh_condition_init(pyh_condition *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
#ifndef __APPLE__
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(&condition->condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void pyh_condition_deinit(pyh_condition *condition)
{
    pthread_cond_destroy(&condition->condition);
}

void pyh_condition_signal(pyh_condition *condition)
{
    pthread_cond_signal(&condition->condition);
}

void pyh_condition_broadcast(pyh_condition *condition)
{
    pthread_cond_broadcast(&condition->condition);
}

static int wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t deadline_ns)
{
    if (deadline_ns == PYH_NEVER) {
        return pthread_cond_wait(condition, mutex);
    }
#ifdef __APPLE__
    struct timespec left = until(deadline_ns);
    return pthread_cond_timedwait_relative_np(condition, mutex, &left);
#else
    struct timespec at = to_timespec(deadline_ns > 0 ? deadline_ns : 0);
    return pthread_cond_timedwait(condition, mutex, &at);
#endif
}

pyhost_status pyh_condition_wait(pyh_condition *condition, pyh_mutex *mutex, int64_t deadline_ns)
{
    return wait_until(&condition->condition, &mutex->mutex, deadline_ns) == ETIMEDOUT ? PYHOST_TIMEOUT : PYHOST_OK;
}

#ifdef __linux__

enum { EVENT_UNSET, EVENT_WAITED, EVENT_SET };

void pyh_event_init(pyh_event *event)
{
    atomic_init(&event->state, EVENT_UNSET);
}

void pyh_event_deinit(pyh_event *event)
{
    (void)event;
}

bool pyh_event_is_set(pyh_event *event)
{
    return atomic_load_explicit(&event->state, memory_order_acquire) == EVENT_SET;
}

void pyh_event_set(pyh_event *event)
{
    if (atomic_exchange_explicit(&event->state, EVENT_SET, memory_order_acq_rel) == EVENT_WAITED) {
        syscall(SYS_futex, &event->state, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    }
}

pyhost_status pyh_event_wait(pyh_event *event, int64_t deadline_ns)
{
    for (;;) {
        uint32_t state = EVENT_UNSET;
        if (!atomic_compare_exchange_strong(&event->state, &state, EVENT_WAITED) && state == EVENT_SET) {
            return PYHOST_OK;
        }
        struct timespec at = to_timespec(deadline_ns > 0 ? deadline_ns : 0);
        /* FUTEX_WAIT_BITSET takes an absolute time on the monotonic clock. */
        long result = syscall(SYS_futex, &event->state, FUTEX_WAIT_BITSET_PRIVATE, EVENT_WAITED,
                              deadline_ns == PYH_NEVER ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
        int error = result < 0 ? errno : 0;
        if (pyh_event_is_set(event)) {
            return PYHOST_OK;
        }
        if (error == ETIMEDOUT || error == EINTR) {
            return error == EINTR ? PYHOST_INTERRUPTED : PYHOST_TIMEOUT;
        }
    }
}

#else

void pyh_event_init(pyh_event *event)
{
    pthread_mutex_init(&event->mutex, NULL);
    pthread_cond_init(&event->condition, NULL);
    event->set = false;
}

void pyh_event_deinit(pyh_event *event)
{
    pthread_cond_destroy(&event->condition);
    pthread_mutex_destroy(&event->mutex);
}

bool pyh_event_is_set(pyh_event *event)
{
    pthread_mutex_lock(&event->mutex);
    bool set = event->set;
    pthread_mutex_unlock(&event->mutex);
    return set;
}

void pyh_event_set(pyh_event *event)
{
    pthread_mutex_lock(&event->mutex);
    event->set = true;
    pthread_cond_broadcast(&event->condition);
    pthread_mutex_unlock(&event->mutex);
}

pyhost_status pyh_event_wait(pyh_event *event, int64_t deadline_ns)
{
    int result = 0;
    pthread_mutex_lock(&event->mutex);
    while (!event->set && result != ETIMEDOUT) {
        result = wait_until(&event->condition, &event->mutex, deadline_ns);
    }
    bool set = event->set;
    pthread_mutex_unlock(&event->mutex);
    return set ? PYHOST_OK : PYHOST_TIMEOUT;
}

#endif

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool pyh_event_spin(pyh_event *event, int64_t most_ns)
{
    int64_t end_ns = pyh_now_ns() + most_ns;
    do {
        for (int i = 0; i < 32; i++) {
            if (pyh_event_is_set(event)) {
                return true;
            }
            relax();
        }
    } while (pyh_now_ns() < end_ns);
    return false;
}

pyhost_status pyh_notifier_init(pyh_notifier *notifier)
{
#ifdef __linux__
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return PYHOST_SYSTEM;
    }
    *notifier = (pyh_notifier){.read_fd = fd, .write_fd = fd};
#else
    int fds[2];
    if (pipe(fds) < 0) {
        return PYHOST_SYSTEM;
    }
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    }
    *notifier = (pyh_notifier){.read_fd = fds[0], .write_fd = fds[1]};
#endif
    return PYHOST_OK;
}

void pyh_notifier_deinit(pyh_notifier *notifier)
{
    close(notifier->read_fd);
    if (notifier->write_fd != notifier->read_fd) {
        close(notifier->write_fd);
    }
}

void pyh_notifier_notify(pyh_notifier *notifier)
{
    uint64_t one = 1;
    ssize_t written;
    do {
        written = write(notifier->write_fd, &one, sizeof one);
    } while (written < 0 && errno == EINTR);
    /* EAGAIN: it is readable already, which is all that was wanted. */
}

void pyh_notifier_clear(pyh_notifier *notifier)
{
    uint64_t count[8];
    ssize_t length;
    do {
        length = read(notifier->read_fd, count, sizeof count);
    } while (length == (ssize_t)sizeof count || (length < 0 && errno == EINTR));
}

pyhost_status pyh_notifier_wait(pyh_notifier *notifier, int64_t deadline_ns)
{
    int timeout_ms = -1;
    if (deadline_ns != PYH_NEVER) {
        struct timespec left = until(deadline_ns);
        int64_t left_ms = (int64_t)left.tv_sec * 1000 + left.tv_nsec / NS_PER_MILLISECOND + 1;
        timeout_ms = left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
    }
    struct pollfd poll_fd = {.fd = notifier->read_fd, .events = POLLIN};
    int ready = poll(&poll_fd, 1, timeout_ms);
    if (ready < 0) {
        return errno == EINTR ? PYHOST_INTERRUPTED : PYHOST_SYSTEM;
    }
    return ready > 0 ? PYHOST_OK : PYHOST_TIMEOUT;
}

static atomic_bool may_wake;

static void do_nothing(int number)
{
    (void)number;
}

void pyh_thread_allow_wake(void)
{
    struct sigaction action = {.sa_handler = do_nothing}; /* without SA_RESTART */
    sigemptyset(&action.sa_mask);
    atomic_store(&may_wake, sigaction(SIGURG, &action, NULL) == 0);
}

void pyh_thread_wake(pthread_t thread)
{
    if (atomic_load(&may_wake)) {
        pthread_kill(thread, SIGURG);
    }
}

static void set_name(pthread_t thread, const char *name)
{
#ifdef __linux__
    char short_name[16] = {0};
    strncpy(short_name, name, sizeof short_name - 1);
    pthread_setname_np(thread, short_name);
#else
    (void)thread;
    (void)name;
#endif
}

pyhost_status pyh_thread_start(pthread_t *thread, const char *name, void *(*main)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)pyh_stack_bytes);
    int error = pthread_create(thread, &attributes, main, argument);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        return PYHOST_SYSTEM;
    }
    set_name(*thread, name);
    return PYHOST_OK;
}

pid_t pyh_thread_number(void)
{
#ifdef __linux__
    return gettid();
#else
    return 0;
#endif
}

void pyh_thread_told(pid_t thread, const char *file, char *text, size_t bytes)
{
    snprintf(text, bytes, "/proc/self/task/%d/%s", (int)thread, file);
    int descriptor = open(text, O_RDONLY | O_CLOEXEC);
    ssize_t length = descriptor >= 0 ? read(descriptor, text, bytes - 1) : 0;
    if (descriptor >= 0) {
        close(descriptor);
    }
    text[length > 0 ? length : 0] = '\0';
}

void pyh_thread_rename(const char *name)
{
    set_name(pthread_self(), name);
}

void pyh_thread_release_stack(void)
{
#ifdef __linux__
    pthread_attr_t attributes;
    void *lowest;
    size_t bytes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return;
    }
    if (pthread_attr_getstack(&attributes, &lowest, &bytes) == 0) {
        /* What lies below this frame is free; the pages next to it will be used again at once. */
        uintptr_t end =
            ((uintptr_t)__builtin_frame_address(0) - KEPT_STACK_BYTES) / KEPT_STACK_BYTES * KEPT_STACK_BYTES;
        madvise(lowest, end - (uintptr_t)lowest, MADV_DONTNEED);
    }
    pthread_attr_destroy(&attributes);
#endif
}
