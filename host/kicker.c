/* kicker: see kicker.h. */
#include "kicker.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "priority.h"
#include "sync.h"

#ifdef __linux__
enum {
    KICK_NS = 500 * 1000,
    LINGER_NS = 1000 * 1000 * 1000,
};

typedef struct kicker {
    /* guarded by the mutex */
    pyh_condition changed; /* its thread's */
    int64_t until_ns;
    bool has_thread;
} kicker;

static struct {
    pyh_mutex mutex;
    kicker of[CPU_SETSIZE]; /* by the number of its processor */
} kickers = {.mutex = {PTHREAD_MUTEX_INITIALIZER, PYH_RANK_KICKERS}};

static bool bind_to(size_t processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

static void *kicker_main(void *argument)
{
    kicker *self = argument;
    if (!bind_to((size_t)(self - kickers.of))) {
        return NULL; /* the next one could not either: it counts as there */
    }
    pyh_priority_set(0, PYH_PRIORITY_PROMPT);
    pyh_mutex_lock(&kickers.mutex);
    for (int64_t now_ns; (now_ns = pyh_now_ns()) < self->until_ns + LINGER_NS;) {
        int64_t next_ns = now_ns < self->until_ns ? now_ns + KICK_NS : self->until_ns + LINGER_NS;
        pyh_condition_wait(&self->changed, &kickers.mutex, next_ns);
    }
    self->has_thread = false;
    pyh_mutex_unlock(&kickers.mutex);
    return NULL;
}

/* -1: not known. It is the 37th word behind the name, which is in parentheses; see proc_pid_stat(5). */
static int processor_of(pid_t thread)
{
    char text[1024];
    pyh_thread_told(thread, "stat", text, sizeof text);
    const char *word = strrchr(text, ')');
    for (int i = 0; word != NULL && i < 37; i++) {
        word = strchr(word + 1, ' ');
    }
    return word != NULL ? atoi(word) : -1;
}

static void start(kicker *self)
{
    pthread_t thread;
    pyh_condition_init(&self->changed);
    if (pyh_thread_start(&thread, "pyh-kicker", kicker_main, self) == PYHOST_OK) {
        pthread_detach(thread);
        self->has_thread = true;
    }
}

void pyh_kicker_ask(pid_t thread)
{
    int processor = processor_of(thread);
    if (processor < 0 || processor >= CPU_SETSIZE) {
        return;
    }
    kicker *self = &kickers.of[processor];
    pyh_mutex_lock(&kickers.mutex);
    int64_t now_ns = pyh_now_ns();
    bool was_idle = self->until_ns <= now_ns;
    self->until_ns = now_ns + PYH_KICKER_ASKED_NS;
    if (!self->has_thread) {
        start(self);
    } else if (was_idle) {
        pyh_condition_signal(&self->changed);
    }
    pyh_mutex_unlock(&kickers.mutex);
}
#else
void pyh_kicker_ask(pid_t thread)
{
    (void)thread;
}
#endif
