/* Tests of news: waiting until a deadline, and waking whoever waits. */
#include "news.h"

#include "check.h"
#include "threads.h"

enum { THREADS = 4, ROUNDS = 200 };

static uint64_t news_now(void)
{
    return pyh_news_wait(UINT64_MAX, 0);
}

static void news_are_waited_for_until_the_deadline(void)
{
    uint64_t news = news_now();
    int64_t deadline_ns = pyh_deadline_after(200000);
    CHECK_EQUAL(pyh_news_wait(news, deadline_ns), news);
    CHECK(pyh_now_ns() >= deadline_ns);
    CHECK_EQUAL(pyh_news_wait(news, -1), news);
    pyh_news_tell();
    CHECK_EQUAL(pyh_news_wait(news, PYH_NEVER), news + 1);
    CHECK_EQUAL(pyh_news_wait(0, PYH_NEVER), news + 1);
    CHECK_EQUAL(pyh_news_wait(news + 1, -1), news + 1);
}

typedef struct {
    threads_meeting meeting;
    uint64_t news;
} waiters;

/* Index 0 tells, the others wait. */
static void wait_or_tell(size_t index, void *shared)
{
    waiters *self = shared;
    uint64_t seen = self->news;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        threads_meet(&self->meeting, THREADS);
        if (index == 0) {
            pyh_news_tell();
        } else {
            seen = pyh_news_wait(seen, PYH_NEVER);
            CHECK_EQUAL(seen, self->news + i);
        }
        threads_meet(&self->meeting, THREADS);
    }
}

static void news_wake_every_waiter(void)
{
    waiters shared = {.news = news_now()};
    threads_run(THREADS, wait_or_tell, &shared);
    CHECK_EQUAL(news_now(), shared.news + ROUNDS);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(news_are_waited_for_until_the_deadline),
        CHECK_TEST(news_wake_every_waiter),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
