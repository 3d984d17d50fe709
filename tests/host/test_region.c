/* Tests of regions: pages that are found by their address, what they cost, and that nothing of an account stays. */
#include "region.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "threads.h"

enum { MANY = 3 * 4096, MAPPERS = 4, ROUNDS = 500, SHELVES = 16 };

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static pyh_account *account_new(void)
{
    pyh_account *account = pyh_account_new();
    CHECK(account != NULL);
    return account;
}

/* Huge pages would come as many pages at once. */
static unsigned char *map(pyh_account *account, size_t bytes)
{
    unsigned char *pages = pyh_region_map((pyh_payer){account, NULL}, bytes);
    CHECK(pages != NULL);
    madvise(pages, bytes, MADV_NOHUGEPAGE);
    return pages;
}

static void check_empty(pyh_account *account)
{
    pyh_account_figures figures = pyh_account_read(account);
    CHECK_EQUAL(figures.current_bytes, 0);
    CHECK_EQUAL(figures.allocations, 0);
    CHECK_EQUAL(pyh_account_bytes(account), 0);
    CHECK_EQUAL(account->regions_bytes, 0);
    CHECK(account->regions == NULL);
}

static void mapped_pages_are_zero_writable_and_paid_for(void)
{
    pyh_account *account = account_new();
    size_t bytes = 20 * page_bytes();
    unsigned char *pages = map(account, bytes);
    for (size_t i = 0; i < bytes; i++) {
        CHECK_EQUAL(pages[i], 0);
    }
    memset(pages, 0xA5, bytes);
    CHECK_EQUAL(pages[bytes - 1], 0xA5);
    CHECK_EQUAL(pyh_account_bytes(account), bytes);
    CHECK_EQUAL(pyh_account_read(account).allocations, 1);
    CHECK_EQUAL(pyh_region_bytes(pages), bytes);
    CHECK_EQUAL(pyh_region_unmap(pages), bytes);
    check_empty(account);
    CHECK_EQUAL(pyh_account_read(account).peak_bytes, bytes);
    pyh_account_unref(account);
}

static void unmapping_discharges_once(void)
{
    pyh_account *account = account_new();
    unsigned char *first = map(account, 1000), *second = map(account, 2000);
    CHECK_EQUAL(pyh_region_unmap(first), 1000);
    CHECK_EQUAL(pyh_region_unmap(first), 0);
    CHECK_EQUAL(pyh_region_bytes(first), 0);
    CHECK_EQUAL(pyh_account_bytes(account), 2000);
    CHECK_EQUAL(pyh_region_unmap(second), 2000);
    CHECK_EQUAL(pyh_region_unmap(second), 0);
    check_empty(account);
    pyh_account_unref(account);
}

static void addresses_of_no_region_are_left_alone(void)
{
    pyh_account *account = account_new();
    unsigned char *pages = map(account, 3 * page_bytes());
    unsigned char *inside[] = {pages + 1, pages + page_bytes(), (unsigned char *)&account, NULL};
    for (size_t i = 0; i < CHECK_COUNT(inside); i++) {
        CHECK_EQUAL(pyh_region_bytes(inside[i]), 0);
        CHECK_EQUAL(pyh_region_unmap(inside[i]), 0);
    }
    pages[page_bytes()] = 1;
    CHECK_EQUAL(pyh_account_bytes(account), 3 * page_bytes());
    CHECK_EQUAL(pyh_region_unmap(pages), 3 * page_bytes());
    pyh_account_unref(account);
}

/* Whoever unmaps it. */
static void the_one_who_was_charged_is_discharged(void)
{
    pyh_account *account = account_new(), *other = account_new();
    unsigned char *pages = map(account, 1000);
    pyh_this_thread.scope = other;
    CHECK_EQUAL(pyh_region_unmap(pages), 1000);
    pages = map(account, 1000);
    pyh_this_thread.scope = account;
    CHECK_EQUAL(pyh_region_unmap(pages), 1000);
    pyh_this_thread.scope = NULL;
    check_empty(account);
    check_empty(other);
    pyh_account_unref(other);
    pyh_account_unref(account);
}

static void what_cannot_be_mapped_costs_nothing(void)
{
    pyh_account *account = account_new();
    CHECK(pyh_region_map((pyh_payer){account, NULL}, PTRDIFF_MAX) == NULL);
    CHECK(pyh_region_map((pyh_payer){account, NULL}, 0) == NULL);
    check_empty(account);
    pyh_account_unref(account);
}

static void check_measure(pyh_account *account, size_t touched_pages, size_t all_bytes)
{
    int64_t found;
    CHECK_EQUAL(pyh_region_measure(account, &found), touched_pages * page_bytes());
    CHECK_EQUAL(found, all_bytes);
    CHECK_EQUAL(pyh_account_read(account).current_bytes, touched_pages * page_bytes());
}

/* The last one is more than are asked for in one go. */
static void only_touched_pages_count(void)
{
    static const size_t counts[] = {1, 64, 2500};
    for (size_t i = 0; i < CHECK_COUNT(counts); i++) {
        pyh_account *account = account_new();
        size_t count = counts[i], bytes = count * page_bytes(), touched = 0;
        unsigned char *pages = map(account, bytes);
        check_measure(account, 0, bytes);
        for (size_t page = 0; page < count; page += 1 + page / 2) {
            pages[(count - 1 - page) * page_bytes() + page % page_bytes()] = 1;
            check_measure(account, ++touched, bytes);
        }
        memset(pages, 1, bytes);
        check_measure(account, count, bytes);
        CHECK_EQUAL(pyh_region_unmap(pages), bytes);
        check_measure(account, 0, 0);
        pyh_account_unref(account);
    }
}

static void regions_add_up_and_parts_of_pages_are_whole_ones(void)
{
    pyh_account *account = account_new(), *other = account_new();
    size_t bytes = 5 * page_bytes() + 100;
    unsigned char *pages[3] = {map(account, bytes), map(other, bytes), map(account, bytes)};
    for (size_t i = 0; i < 3; i++) {
        pages[i][bytes - 1] = 1;
    }
    pages[0][0] = 1;
    check_measure(account, 3, 2 * bytes);
    check_measure(other, 1, bytes);
    CHECK_EQUAL(pyh_region_unmap(pages[0]), bytes);
    check_measure(account, 1, bytes);
    CHECK_EQUAL(pyh_region_unmap(pages[1]), bytes);
    CHECK_EQUAL(pyh_region_unmap(pages[2]), bytes);
    check_empty(account);
    check_empty(other);
    pyh_account_unref(other);
    pyh_account_unref(account);
}

/* A block beside the regions counts in full. */
static void figures_are_blocks_and_touched_pages(void)
{
    pyh_account *account = account_new();
    unsigned char *pages = map(account, 10 * page_bytes());
    pyh_account_charge((pyh_payer){account, NULL}, 700, 1);
    pages[0] = 1;
    pyh_account_figures figures = pyh_account_read(account);
    CHECK_EQUAL(figures.current_bytes, 700 + page_bytes());
    CHECK_EQUAL(figures.peak_bytes, 700 + 10 * page_bytes());
    CHECK_EQUAL(figures.allocations, 2);
    CHECK_EQUAL(pyh_region_unmap(pages), 10 * page_bytes());
    pyh_account_unref(account);
}

/* Whether a process that reads there dies of it. */
static bool faults(const volatile unsigned char *address)
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        signal(SIGSEGV, SIG_DFL); /* not a sanitizer's report */
        (void)*address;
        _exit(0);
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

/* How many of these pages are in memory; -1: nothing is mapped there. */
static int resident_pages(unsigned char *address, size_t pages)
{
    unsigned char in_memory[64];
    int count = 0;
    CHECK(pages <= sizeof in_memory);
    if (mincore(address, pages * page_bytes(), (void *)in_memory) != 0) {
        return -1;
    }
    for (size_t i = 0; i < pages; i++) {
        count += in_memory[i] & 1;
    }
    return count;
}

/* Of eight regions six are left, among them the first and the last; another account keeps its own. */
static void check_reclaim(bool protect)
{
    pyh_account *account = account_new(), *other = account_new();
    unsigned char *pages[8], *others = map(other, 2 * page_bytes());
    size_t count = 4, bytes = count * page_bytes();
    others[0] = 7;
    for (size_t i = 0; i < CHECK_COUNT(pages); i++) {
        pages[i] = map(account, bytes);
        memset(pages[i], 1, bytes);
        CHECK_EQUAL(resident_pages(pages[i], count), count);
    }
    CHECK(!faults(pages[0]));
    CHECK_EQUAL(pyh_region_unmap(pages[3]) + pyh_region_unmap(pages[6]), 2 * bytes);
    pyh_region_reclaim(account, protect);
    check_empty(account);
    for (size_t i = 0; i < CHECK_COUNT(pages); i++) {
        bool was_left = i != 3 && i != 6;
        CHECK_EQUAL(pyh_region_bytes(pages[i]), 0);
        CHECK_EQUAL(pyh_region_unmap(pages[i]), 0);
        CHECK_EQUAL(resident_pages(pages[i], count), protect && was_left ? 0 : -1);
        CHECK(!was_left || (faults(pages[i]) && faults(pages[i] + bytes - 1)));
    }
    pyh_region_reclaim(account, protect); /* nothing more */
    check_empty(account);
    CHECK(others[0] == 7 && !faults(others));
    CHECK_EQUAL(pyh_region_unmap(others), 2 * page_bytes());
    pyh_account_unref(other);
    pyh_account_unref(account);
}

static void reclaiming_gives_back_what_is_left(void)
{
    check_reclaim(false);
}

static void protected_leftovers_cannot_be_reached_and_cost_nothing(void)
{
    check_reclaim(true);
}

/* More than there are buckets: most share theirs. */
static void regions_that_share_a_bucket_are_found(void)
{
    static unsigned char *pages[MANY];
    pyh_account *account = account_new();
    for (size_t i = 0; i < MANY; i++) {
        pages[i] = pyh_region_map((pyh_payer){account, NULL}, 1 + i % page_bytes());
        CHECK(pages[i] != NULL);
    }
    CHECK_EQUAL(pyh_account_read(account).allocations, MANY);
    for (size_t i = 0; i < MANY; i += 2) {
        CHECK_EQUAL(pyh_region_unmap(pages[i]), 1 + i % page_bytes());
    }
    for (size_t i = 0; i < MANY; i++) {
        CHECK_EQUAL(pyh_region_bytes(pages[i]), i % 2 == 0 ? 0 : 1 + i % page_bytes());
    }
    for (size_t i = MANY - 1; i < MANY; i -= 2) {
        CHECK_EQUAL(pyh_region_unmap(pages[i]), 1 + i % page_bytes());
    }
    check_empty(account);
    pyh_account_unref(account);
}

/* Where threads leave regions for others to take. */
typedef struct {
    pyh_account *accounts[2];
    _Atomic(unsigned char *) shelves[SHELVES];
} exchange;

static void put_away(unsigned char *pages)
{
    if (pages != NULL) {
        CHECK_EQUAL(pages[0], 1);
        CHECK(pyh_region_bytes(pages) > 0);
        CHECK(pyh_region_unmap(pages) > 0);
    }
}

static void map_and_unmap(size_t index, void *shared)
{
    exchange *self = shared;
    for (size_t i = 0; i < ROUNDS; i++) {
        unsigned char *pages = map(self->accounts[(i + index) % 2], (1 + i % 5) * page_bytes());
        CHECK_EQUAL(pages[0], 0);
        pages[0] = 1;
        put_away(atomic_exchange(&self->shelves[(i * 7 + index) % SHELVES], pages));
        if (i % 8 == index) {
            int64_t all_bytes;
            CHECK(pyh_region_measure(self->accounts[i % 2], &all_bytes) >= 0);
            CHECK(all_bytes >= 0);
        }
    }
}

static void threads_map_and_unmap_at_once(void)
{
    static exchange shared;
    shared.accounts[0] = account_new();
    shared.accounts[1] = account_new();
    threads_run(MAPPERS, map_and_unmap, &shared);
    for (size_t i = 0; i < SHELVES; i += 2) {
        put_away(atomic_exchange(&shared.shelves[i], NULL));
    }
    for (size_t i = 0; i < 2; i++) {
        pyh_region_reclaim(shared.accounts[i], i == 0);
        check_empty(shared.accounts[i]);
        pyh_account_unref(shared.accounts[i]);
    }
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(mapped_pages_are_zero_writable_and_paid_for),
        CHECK_TEST(unmapping_discharges_once),
        CHECK_TEST(addresses_of_no_region_are_left_alone),
        CHECK_TEST(the_one_who_was_charged_is_discharged),
        CHECK_TEST(what_cannot_be_mapped_costs_nothing),
        CHECK_TEST(only_touched_pages_count),
        CHECK_TEST(regions_add_up_and_parts_of_pages_are_whole_ones),
        CHECK_TEST(figures_are_blocks_and_touched_pages),
        CHECK_TEST(reclaiming_gives_back_what_is_left),
        CHECK_TEST(protected_leftovers_cannot_be_reached_and_cost_nothing),
        CHECK_TEST(regions_that_share_a_bucket_are_found),
        CHECK_TEST(threads_map_and_unmap_at_once),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
