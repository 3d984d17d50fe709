/* news: see news.h. */
#include "news.h"

static struct {
    pthread_once_t once;
    pyh_mutex mutex;
    pyh_condition told;
    uint64_t count;
} news = {.once = PTHREAD_ONCE_INIT};

static void news_init(void)
{
    pyh_mutex_init(&news.mutex, PYH_RANK_NEWS);
    pyh_condition_init(&news.told);
}

uint64_t pyh_news_wait(uint64_t seen, int64_t deadline_ns)
{
    pthread_once(&news.once, news_init);
    pyh_mutex_lock(&news.mutex);
    pyhost_status status = PYHOST_OK;
    while (news.count <= seen && status != PYHOST_TIMEOUT) {
        status = pyh_condition_wait(&news.told, &news.mutex, deadline_ns);
    }
    uint64_t count = news.count;
    pyh_mutex_unlock(&news.mutex);
    return count;
}

void pyh_news_tell(void)
{
    pthread_once(&news.once, news_init);
    pyh_mutex_lock(&news.mutex);
    news.count++;
    pyh_condition_broadcast(&news.told);
    pyh_mutex_unlock(&news.mutex);
}
