/* Tests of accounts: sums, limits to the byte, and whose account a thread finds. No CPython runs. */
#include "account.h"

#include "news.h"
#include "threads.h"

enum { LIMIT = 1000, REFUSAL = 1250, RESERVE = 8 << 20, CHARGERS = 4, CHARGES_EACH = 20000, ROUNDS = 200, MANY = 200 };

/* Payers tell by it only whether there is one, as long as the account has no class to raise. */
static PyThreadState somewhere;

static pyh_account *account_new(void)
{
    pyh_account *account = pyh_account_new();
    CHECK(account != NULL);
    return account;
}

static pyh_account *limited(void)
{
    pyh_account *account = account_new();
    pyh_account_set_limit(account, LIMIT, NULL);
    return account;
}

/* Interpreters are known by their addresses alone. These are pages, so several of them share a place in what a thread
 * knows. */
static PyInterpreterState *interpreter(size_t index)
{
    return (PyInterpreterState *)((1 + index) << 12);
}

static void charge(pyh_account *account, int64_t bytes)
{
    pyh_account_charge((pyh_payer){account, NULL}, bytes, bytes > 0 ? 1 : -1);
}

static uint64_t news_now(void)
{
    return pyh_news_wait(UINT64_MAX, 0);
}

static void check_figures(pyh_account *account, int64_t current, int64_t peak, int64_t allocations)
{
    pyh_account_figures figures = pyh_account_read(account);
    CHECK_EQUAL(figures.current_bytes, current);
    CHECK_EQUAL(figures.peak_bytes, peak);
    CHECK_EQUAL(figures.allocations, allocations);
}

static void new_accounts_are_empty_and_without_limit(void)
{
    pyh_account *account = account_new();
    check_figures(account, 0, 0, 0);
    CHECK_EQUAL(pyh_account_read(account).limit_bytes, PYH_NO_LIMIT);
    CHECK(pyh_account_admits(account, PTRDIFF_MAX));
    CHECK(account->regions == NULL && account->threads == NULL && !account->condemned);
    CHECK(pyh_account_unref(account) == NULL);
    CHECK(pyh_account_unref(NULL) == NULL);
}

static void charges_attached_and_detached_sum_up(void)
{
    pyh_account *account = account_new();
    pyh_payer attached = {account, &somewhere}, detached = {account, NULL};
    pyh_account_charge(attached, 700, 2);
    pyh_account_charge(detached, 300, 1);
    check_figures(account, 1000, 1000, 3);
    CHECK_EQUAL(account->attached_bytes, 700);
    CHECK_EQUAL(account->detached_bytes, 300);
    pyh_account_charge(attached, -600, -2);
    check_figures(account, 400, 1000, 1);
    /* A block of the one may be freed as the other. */
    pyh_account_charge(detached, -400, -1);
    check_figures(account, 0, 1000, 0);
    pyh_account_charge(attached, 999, 1);
    check_figures(account, 999, 1000, 1);
    pyh_account_charge(detached, 2, 1);
    check_figures(account, 1001, 1001, 2);
    pyh_account_unref(account);
}

/* Blocks from before the hooks, freed under them. */
static void below_zero_is_shown_as_nothing(void)
{
    pyh_account *account = account_new();
    charge(account, -500);
    check_figures(account, 0, 0, 0);
    CHECK_EQUAL(pyh_account_bytes(account), -500);
    CHECK(pyh_account_admits(account, 1000));
    charge(account, 600);
    check_figures(account, 100, 100, 0);
    pyh_account_unref(account);
}

static void charge_many_times(size_t index, void *shared)
{
    for (size_t i = 0; i < CHARGES_EACH; i++) {
        charge(shared, 3 + (int64_t)index);
        charge(shared, -1);
    }
}

static void threads_lose_no_charge(void)
{
    pyh_account *account = account_new();
    int64_t kept_of_all = 2 + 3 + 4 + 5;
    threads_run(CHARGERS, charge_many_times, account);
    CHECK_EQUAL(pyh_account_bytes(account), kept_of_all * CHARGES_EACH);
    CHECK_EQUAL(account->detached_count, 0);
    charge(account, 1);
    check_figures(account, kept_of_all * CHARGES_EACH + 1, kept_of_all * CHARGES_EACH + 1, 1);
    pyh_account_unref(account);
}

static void a_quarter_above_the_limit_is_admitted(void)
{
    pyh_account *account = limited();
    CHECK(pyh_account_admits(account, REFUSAL));
    charge(account, LIMIT);
    CHECK(pyh_account_admits(account, REFUSAL - LIMIT));
    charge(account, REFUSAL - LIMIT);
    CHECK(pyh_account_admits(account, 0));
    CHECK_EQUAL(account->refused, 0);
    CHECK_EQUAL(account->struck_ns, 0);
    pyh_account_unref(account);
}

static void one_request_too_large_is_refused_and_no_more(void)
{
    pyh_account *account = limited();
    uint64_t news = news_now();
    int64_t before_ns = pyh_now_ns();
    CHECK(!pyh_account_admits(account, REFUSAL + 1));
    CHECK(!pyh_account_admits(account, PTRDIFF_MAX));
    charge(account, LIMIT);
    CHECK(!pyh_account_admits(account, REFUSAL - LIMIT + 1));
    CHECK(pyh_account_admits(account, REFUSAL - LIMIT));
    CHECK_EQUAL(pyh_account_read(account).refused, 3);
    CHECK(account->struck_ns >= before_ns);
    CHECK(!account->condemned);
    CHECK_EQUAL(news_now(), news);
    pyh_account_unref(account);
}

static void refusals_above_the_limit_condemn_once(void)
{
    pyh_account *account = limited();
    uint64_t news = news_now();
    charge(account, LIMIT + 1);
    CHECK(pyh_account_admits(account, REFUSAL - LIMIT - 1));
    CHECK(!account->condemned);
    for (int i = 1; i <= 3; i++) {
        CHECK(!pyh_account_admits(account, REFUSAL - LIMIT));
        CHECK_EQUAL(account->refused, i);
        CHECK(account->condemned);
        CHECK_EQUAL(news_now(), news + 1);
    }
    charge(account, -LIMIT);
    CHECK(account->condemned); /* for good */
    pyh_account_unref(account);
}

static void limits_can_be_lifted_and_set_anew(void)
{
    pyh_account *account = limited();
    charge(account, LIMIT);
    CHECK(!pyh_account_admits(account, LIMIT));
    pyh_account_set_limit(account, PYH_NO_LIMIT, NULL);
    CHECK_EQUAL(pyh_account_read(account).limit_bytes, PYH_NO_LIMIT);
    CHECK(pyh_account_admits(account, (size_t)1 << 60));
    pyh_account_set_limit(account, 2 * LIMIT, NULL);
    CHECK_EQUAL(pyh_account_read(account).limit_bytes, 2 * LIMIT);
    CHECK(pyh_account_admits(account, 2 * REFUSAL - LIMIT));
    CHECK(!pyh_account_admits(account, 2 * REFUSAL - LIMIT + 1));
    pyh_account_unref(account);
}

static void pauses_nest(void)
{
    pyh_account *account = limited();
    charge(account, LIMIT + 1);
    pyh_account_pause(account);
    pyh_account_pause(account);
    CHECK(pyh_account_admits(account, LIMIT));
    pyh_account_resume(account);
    CHECK(pyh_account_admits(account, LIMIT));
    CHECK(account->refused == 0 && !account->condemned);
    pyh_account_resume(account);
    CHECK(!pyh_account_admits(account, LIMIT));
    CHECK(account->refused == 1 && account->condemned);
    pyh_account_unref(account);
}

static void pauses_allow_a_reserve_and_no_more(void)
{
    pyh_account *account = limited();
    pyh_account_pause(account);
    charge(account, REFUSAL);
    CHECK(pyh_account_admits(account, RESERVE));
    CHECK(!account->condemned);
    CHECK(!pyh_account_admits(account, RESERVE + 1));
    CHECK(account->refused == 1 && account->condemned);
    pyh_account_resume(account);
    CHECK(!pyh_account_admits(account, 1));
    pyh_account_unref(account);
}

static void open_accounts_are_found_by_their_interpreters(void)
{
    pyh_account *accounts[MANY];
    pyh_this_thread.visits = 1; /* a guest: it becomes nobody's own */
    for (size_t i = 0; i < MANY; i++) {
        accounts[i] = account_new();
        CHECK(pyh_account_look_up(interpreter(i)) == pyh_account_host());
        pyh_account_open(accounts[i], interpreter(i));
        CHECK_EQUAL(accounts[i]->references, 2);
        CHECK(pyh_account_look_up(interpreter(i)) == accounts[i]);
    }
    for (size_t i = 0; i < MANY; i += 3) {
        pyh_account_close(accounts[i]);
        CHECK_EQUAL(accounts[i]->references, 1);
    }
    for (size_t i = 0; i < MANY; i++) {
        CHECK(pyh_account_look_up(interpreter(i)) == (i % 3 == 0 ? pyh_account_host() : accounts[i]));
    }
    for (size_t i = 0; i < MANY; i++) {
        pyh_account_close(accounts[i]); /* once more changes nothing */
        CHECK_EQUAL(accounts[i]->references, 1);
        pyh_account_unref(accounts[i]);
    }
    CHECK(pyh_this_thread.home == NULL);
    pyh_this_thread.visits = 0;
}

/* Whether the thread would use what it has found out of this interpreter. */
static bool is_known(size_t index, const pyh_account *account)
{
    size_t place = (1 + index) % CHECK_COUNT(pyh_this_thread.known);
    return pyh_this_thread.known[place].python == interpreter(index) &&
           pyh_this_thread.known[place].account == account &&
           pyh_this_thread.known[place].epoch == atomic_load(&pyh_account_epoch);
}

static void what_threads_know_ends_with_its_epoch(void)
{
    pyh_account *first = account_new(), *second = account_new();
    pyh_this_thread.visits = 1;
    pyh_account_open(first, interpreter(0));
    CHECK(!is_known(0, first));
    pyh_account_look_up(interpreter(0));
    CHECK(is_known(0, first));
    pyh_account_open(second, interpreter(1));
    CHECK(!is_known(0, first));
    pyh_account_look_up(interpreter(0));
    pyh_account_look_up(interpreter(1));
    CHECK(is_known(0, first) && is_known(1, second));
    pyh_account_look_up(interpreter(4)); /* in the place of the first */
    CHECK(is_known(4, pyh_account_host()) && is_known(1, second) && !is_known(0, first));
    pyh_account_close(first);
    CHECK(!is_known(1, second) && !is_known(4, pyh_account_host()));
    /* The address comes back with another account. */
    pyh_account_open(second, interpreter(0));
    CHECK(pyh_account_look_up(interpreter(0)) == second);
    pyh_account_close(second);
    pyh_account_close(second);
    pyh_this_thread.visits = 0;
    pyh_account_unref(first);
    pyh_account_unref(second);
}

static void become_of_the_plugin(size_t index, void *shared)
{
    pyh_account *account = shared;
    (void)index;
    CHECK(pyh_account_look_up(interpreter(1)) == pyh_account_host());
    CHECK(pyh_this_thread.home == NULL);
    CHECK(pyh_account_look_up(interpreter(0)) == account);
    CHECK(pyh_this_thread.home == account);
}

static void threads_of_a_plugin_join_its_account(void)
{
    pyh_account *account = account_new();
    pyh_account_open(account, interpreter(0));
    threads_run(CHARGERS, become_of_the_plugin, account);
    CHECK(account->threads == NULL);
    CHECK(account->ended_threads_ns > 0);
    CHECK_EQUAL(account->references, 2);
    pyh_account_close(account);
    pyh_account_unref(account);
}

static void threads_that_are_not_attached_pay_by_scope_or_home(void)
{
    pyh_account *scope = account_new(), *home = account_new();
    CHECK(pyh_account_payer().account == pyh_account_host());
    pyh_this_thread.home = home;
    CHECK(pyh_account_payer().account == home);
    pyh_this_thread.scope = scope;
    CHECK(pyh_account_payer().account == scope);
    CHECK(pyh_account_payer().attached == NULL);
    pyh_this_thread.scope = NULL;
    pyh_this_thread.home = NULL;
    pyh_account_unref(scope);
    pyh_account_unref(home);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(new_accounts_are_empty_and_without_limit),
        CHECK_TEST(charges_attached_and_detached_sum_up),
        CHECK_TEST(below_zero_is_shown_as_nothing),
        CHECK_TEST(threads_lose_no_charge),
        CHECK_TEST(a_quarter_above_the_limit_is_admitted),
        CHECK_TEST(one_request_too_large_is_refused_and_no_more),
        CHECK_TEST(refusals_above_the_limit_condemn_once),
        CHECK_TEST(limits_can_be_lifted_and_set_anew),
        CHECK_TEST(pauses_nest),
        CHECK_TEST(pauses_allow_a_reserve_and_no_more),
        CHECK_TEST(open_accounts_are_found_by_their_interpreters),
        CHECK_TEST(what_threads_know_ends_with_its_epoch),
        CHECK_TEST(threads_of_a_plugin_join_its_account),
        CHECK_TEST(threads_that_are_not_attached_pay_by_scope_or_home),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
