/* Tests of the hooks in CPython's allocators, alone: what each kind of block costs, and what is refused. */
#include <malloc.h>
#include <sys/mman.h>

#include "accounts.h"
#include "region.h"
#include "threads.h"

enum { CALLERS = 4, CALLS_EACH = 20 };

/* What this thread allocates goes to this account, as while an interpreter is created. */
static pyh_account *begin_scope(int64_t limit_bytes)
{
    pyh_account *account = pyh_account_new();
    CHECK(account != NULL);
    pyh_account_set_limit(account, limit_bytes, NULL);
    pyh_this_thread.scope = account;
    return account;
}

/* All has been freed. */
static void end_scope(pyh_account *account)
{
    CHECK_EQUAL(pyh_account_bytes(account), 0);
    CHECK_EQUAL(pyh_account_read(account).allocations, 0);
    CHECK(account->regions == NULL);
    pyh_this_thread.scope = NULL;
    pyh_this_thread.is_booting = false;
    pyh_account_unref(account);
}

static void blocks_are_charged_at_malloc_s_size(void)
{
    pyh_account *account = begin_scope(PYH_NO_LIMIT);
    void *first = PyMem_RawMalloc(1000), *second = PyMem_RawCalloc(10, 100), *third = PyMem_RawRealloc(NULL, 1000);
    CHECK(first != NULL && second != NULL && third != NULL);
    CHECK_EQUAL(pyh_account_bytes(account),
                malloc_usable_size(first) + malloc_usable_size(second) + malloc_usable_size(third));
    CHECK_EQUAL(pyh_account_read(account).allocations, 3);
    PyMem_RawFree(second);
    PyMem_RawFree(third);
    PyMem_RawFree(NULL);
    for (size_t bytes = 1; bytes < 4 * MIB; bytes = bytes * 3 + 1) {
        first = PyMem_RawRealloc(first, bytes);
        CHECK(first != NULL);
        CHECK_EQUAL(pyh_account_bytes(account), malloc_usable_size(first));
        CHECK_EQUAL(pyh_account_read(account).allocations, 1);
    }
    PyMem_RawFree(first);
    end_scope(account);
}

static void refused_blocks_leave_all_as_it_was(void)
{
    pyh_account *account = begin_scope(MIB);
    PyObjectArenaAllocator arenas;
    PyObject_GetArenaAllocator(&arenas);
    char *block = PyMem_RawMalloc(MIB - 8 * KIB);
    CHECK(block != NULL);
    int64_t before = pyh_account_bytes(account);
    memset(block, 'x', MIB - 8 * KIB);
    CHECK(PyMem_RawMalloc(MIB) == NULL);
    CHECK(PyMem_RawCalloc(2, MIB / 2) == NULL);
    CHECK(PyMem_RawRealloc(block, 2 * MIB) == NULL);
    CHECK(arenas.alloc(arenas.ctx, MIB) == NULL);
    CHECK_EQUAL(pyh_account_read(account).refused, 4);
    CHECK_EQUAL(pyh_account_bytes(account), before);
    CHECK(block[0] == 'x' && block[MIB - 8 * KIB - 1] == 'x');
    CHECK(!account->condemned);
    block = PyMem_RawRealloc(block, 1000); /* smaller is never refused */
    CHECK(block != NULL && block[999] == 'x');
    PyMem_RawFree(block);
    end_scope(account);
}

static void arenas_are_regions(void)
{
    pyh_account *account = begin_scope(PYH_NO_LIMIT);
    PyObjectArenaAllocator arenas;
    PyObject_GetArenaAllocator(&arenas);
    void *arena = arenas.alloc(arenas.ctx, MIB);
    CHECK_EQUAL(pyh_region_bytes(arena), MIB);
    CHECK_EQUAL(pyh_account_bytes(account), MIB);
    arenas.free(arenas.ctx, arena, MIB);
    CHECK_EQUAL(pyh_account_bytes(account), 0);
    /* One from before the hooks. */
    unsigned char in_memory;
    arena = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(arena != MAP_FAILED);
    arenas.free(arenas.ctx, arena, MIB);
    CHECK(mincore(arena, 1, (void *)&in_memory) != 0);
    end_scope(account);
}

/* Zeroed blocks of a power of two, as the arena map's nodes are, directly after an arena. */
static void nodes_after_an_arena_are_regions(void)
{
    pyh_account *account = begin_scope(PYH_NO_LIMIT);
    PyObjectArenaAllocator arenas;
    PyObject_GetArenaAllocator(&arenas);
    void *arena = arenas.alloc(arenas.ctx, MIB);
    void *nodes[] = {PyMem_RawCalloc(1, 1 << 17), PyMem_RawCalloc(1, 1 << 18)};
    void *blocks[] = {PyMem_RawCalloc(1, 1000), PyMem_RawCalloc(1, 1 << 17)};
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQUAL(pyh_region_bytes(nodes[i]), i == 0 ? 1 << 17 : 1 << 18);
        CHECK(blocks[i] != NULL && pyh_region_bytes(blocks[i]) == 0);
        PyMem_RawFree(nodes[i]);
        PyMem_RawFree(blocks[i]);
    }
    arenas.free(arenas.ctx, arena, MIB);
    end_scope(account);
}

static void tables_of_booting_interpreters_are_regions(void)
{
    pyh_account *account = begin_scope(PYH_NO_LIMIT);
    pyh_this_thread.is_booting = true;
    void *small = PyMem_RawMalloc((1 << 16) - 1);
    char *table = PyMem_RawMalloc(1 << 16), *zeroed = PyMem_RawCalloc(5, 1 << 14);
    CHECK_EQUAL(pyh_region_bytes(small), 0);
    CHECK_EQUAL(pyh_region_bytes(table), 1 << 16);
    CHECK_EQUAL(pyh_region_bytes(zeroed), 5 << 14);
    memset(table, 'x', 1 << 16);
    table = PyMem_RawRealloc(table, 1 << 17); /* to another region */
    CHECK_EQUAL(pyh_region_bytes(table), 1 << 17);
    CHECK(table[0] == 'x' && table[(1 << 16) - 1] == 'x' && table[1 << 16] == 0);
    pyh_this_thread.is_booting = false;
    table = PyMem_RawRealloc(table, 1000); /* to a block */
    CHECK(table != NULL && table[999] == 'x');
    CHECK_EQUAL(pyh_region_bytes(table), 0);
    PyMem_RawFree(table);
    PyMem_RawFree(zeroed);
    PyMem_RawFree(small);
    end_scope(account);
}

static void trim(size_t index, void *unused)
{
    (void)index;
    (void)unused;
    for (int i = 0; i < CALLS_EACH; i++) {
        pyh_memory_trim();
    }
}

static void trims_meet(void)
{
    threads_run(CALLERS, trim, NULL);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(blocks_are_charged_at_malloc_s_size),
        CHECK_TEST(refused_blocks_leave_all_as_it_was),
        CHECK_TEST(arenas_are_regions),
        CHECK_TEST(nodes_after_an_arena_are_regions),
        CHECK_TEST(tables_of_booting_interpreters_are_regions),
        CHECK_TEST(trims_meet),
    };
    plugins_begin();
    CHECK(pyh_memory_is_counted());
    return plugins_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
