/* Tests of kicker: whoever asks for a thread has its processor kicked for a while, by a thread that ends afterwards. */
#include "kicker.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "sync.h"
#include "threads.h"

enum { THREADS = 4, ROUNDS = 200, KICKS = 20 };

/* The numbers of the kickers, in `found`; how many there are. */
static size_t find_kickers(pid_t found[THREADS])
{
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        char path[300], name[16] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file != NULL) {
            if (fgets(name, sizeof name, file) != NULL && strcmp(name, "pyh-kicker\n") == 0 && count < THREADS) {
                found[count++] = (pid_t)atoi(entry->d_name);
            }
            fclose(file);
        }
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    return count;
}

/* How often the thread has waited; -1 when it is gone. */
static long waits_of(pid_t thread)
{
    char path[64], line[128];
    long waits = -1;
    snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)thread);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "voluntary_ctxt_switches: %ld", &waits);
    }
    if (file != NULL) {
        fclose(file);
    }
    return waits;
}

/* Only to one processor: there the kicker must be. */
static int stay(void)
{
    cpu_set_t set;
    int processor = sched_getcpu();
    CPU_ZERO(&set);
    CPU_SET((size_t)processor, &set);
    CHECK_EQUAL(sched_setaffinity(0, sizeof set, &set), 0);
    return processor;
}

static void may_go_anywhere(const cpu_set_t *all)
{
    CHECK_EQUAL(sched_setaffinity(0, sizeof *all, all), 0);
}

static void the_processor_of_a_thread_is_kicked(void)
{
    pid_t kicker[THREADS];
    cpu_set_t all, its;
    CHECK_EQUAL(sched_getaffinity(0, sizeof all, &all), 0);
    int processor = stay();
    pyh_kicker_ask(pyh_thread_number());
    while (find_kickers(kicker) == 0) {
    }
    do { /* it binds itself first of all */
        CHECK_EQUAL(sched_getaffinity(kicker[0], sizeof its, &its), 0);
    } while (CPU_COUNT(&its) > 1);
    CHECK(CPU_ISSET((size_t)processor, &its));
    for (long before = waits_of(kicker[0]); waits_of(kicker[0]) < before + KICKS;) {
        pyh_kicker_ask(pyh_thread_number());
    }
    may_go_anywhere(&all);
}

/* And there is another one for who asks again. */
static void it_ends_when_nobody_asks(void)
{
    pid_t kicker[THREADS];
    for (int i = 0; i < 2; i++) {
        pyh_kicker_ask(pyh_thread_number());
        while (find_kickers(kicker) == 0) {
        }
        while (find_kickers(kicker) > 0) {
        }
    }
}

static void *do_nothing(void *thread)
{
    *(pid_t *)thread = pyh_thread_number();
    return NULL;
}

static void nothing_happens_for_a_thread_that_has_ended(void)
{
    pthread_t thread;
    pid_t number, kicker[THREADS];
    CHECK_STATUS(pyh_thread_start(&thread, "ended", do_nothing, &number), PYHOST_OK);
    pthread_join(thread, NULL);
    while (waits_of(number) >= 0) { /* until the system has let it go */
    }
    pyh_kicker_ask(number);
    CHECK_EQUAL(find_kickers(kicker), 0);
}

static void ask_often(size_t index, void *unused)
{
    (void)index;
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        pyh_kicker_ask(pyh_thread_number());
    }
}

static void any_thread_may_ask(void)
{
    pid_t kicker[THREADS];
    threads_run(THREADS, ask_often, NULL);
    CHECK(find_kickers(kicker) > 0);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(nothing_happens_for_a_thread_that_has_ended),
        CHECK_TEST(the_processor_of_a_thread_is_kicked),
        CHECK_TEST(it_ends_when_nobody_asks),
        CHECK_TEST(any_thread_may_ask),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
