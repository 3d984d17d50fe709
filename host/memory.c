/* memory: see memory.h. Blocks carry no header: their size is what malloc says of them, so blocks from before the hooks
 * can be freed under them and the other way round.
 *
 * Facts used: after it has taken an arena, CPython's object allocator takes up to two nodes of its arena map, each by
 * one calloc of a power of two between 64 and 256 KiB; 3.13 never frees them. Arenas may be freed with no thread state
 * attached. CPython's own raw allocator has no context; all that replace it have one. */
#include "memory.h"

#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "region.h"

enum { LEAST_TABLE_BYTES = 1 << 16, MOST_NODE_BYTES = 1 << 18, LEAST_ARENA_BYTES = 1 << 18, PAGE_BYTES = 4096 };
/* Less than what malloc maps by itself, by most of that. */
enum { HEAP_END_BYTES = 120 << 10 };

static struct {
    bool counted;
    bool protect;
    PyMemAllocatorEx raw; /* the one below */
} memory;

static void charge_block(pyh_payer payer, void *block, int64_t before_bytes, int64_t count)
{
    if (block != NULL) {
        pyh_account_charge(payer, (int64_t)malloc_usable_size(block) - before_bytes, count);
    }
}

/* Tables that stay empty for the most part: untouched pages of a mapping cost nothing, while malloc hands out what was
 * used before, and calloc writes zeros to it. Until a plugin's code runs all large blocks are an interpreter's own. One
 * that cannot be mapped is a block as any other: without it CPython would end the process. */
static bool is_table(size_t bytes)
{
    return bytes >= LEAST_TABLE_BYTES && pyh_this_thread.is_booting;
}

/* Nodes of the arena map follow a new arena. */
static bool is_node(size_t bytes)
{
    return pyh_this_thread.made_arena && bytes >= LEAST_TABLE_BYTES && bytes <= MOST_NODE_BYTES &&
           (bytes & (bytes - 1)) == 0;
}

static void *raw_malloc(void *context, size_t bytes)
{
    (void)context;
    pyh_payer payer = pyh_account_payer();
    if (!pyh_account_admits(payer.account, bytes)) {
        return NULL;
    }
    void *block = is_table(bytes) ? pyh_region_map(payer, bytes) : NULL;
    if (block != NULL) {
        return block;
    }
    block = memory.raw.malloc(memory.raw.ctx, bytes);
    charge_block(payer, block, 0, 1);
    return block;
}

static void *raw_calloc(void *context, size_t count, size_t size)
{
    (void)context;
    pyh_payer payer = pyh_account_payer();
    size_t bytes = count * size; /* CPython has checked the product */
    if (!pyh_account_admits(payer.account, bytes)) {
        return NULL;
    }
    void *block = is_table(bytes) || is_node(bytes) ? pyh_region_map(payer, bytes) : NULL;
    if (block != NULL) {
        return block;
    }
    pyh_this_thread.made_arena = false;
    block = memory.raw.calloc(memory.raw.ctx, count, size);
    charge_block(payer, block, 0, 1);
    return block;
}

/* Whether the block may be a region: those are whole pages, and malloc's blocks are not but for one in 256. */
static bool is_aligned(void *block)
{
    return ((uintptr_t)block & (PAGE_BYTES - 1)) == 0 && block != NULL;
}

/* CPython resizes none, but a block of a plugin can look like one. */
static void *move_region(void *region, size_t before, size_t bytes)
{
    void *block = raw_malloc(NULL, bytes);
    if (block != NULL) {
        memcpy(block, region, before < bytes ? before : bytes);
        pyh_region_unmap(region);
    }
    return block;
}

static void *raw_realloc(void *context, void *block, size_t bytes)
{
    (void)context;
    size_t region_bytes = is_aligned(block) ? pyh_region_bytes(block) : 0;
    if (region_bytes > 0) {
        return move_region(block, region_bytes, bytes);
    }
    pyh_payer payer = pyh_account_payer();
    size_t before = block != NULL ? malloc_usable_size(block) : 0;
    if (bytes > before && !pyh_account_admits(payer.account, bytes - before)) {
        return NULL;
    }
    void *moved = memory.raw.realloc(memory.raw.ctx, block, bytes);
    charge_block(payer, moved, (int64_t)before, block == NULL);
    return moved;
}

static void raw_free(void *context, void *block)
{
    (void)context;
    if (block != NULL && !(is_aligned(block) && pyh_region_unmap(block) > 0)) {
        pyh_account_charge(pyh_account_payer(), -(int64_t)malloc_usable_size(block), -1);
        memory.raw.free(memory.raw.ctx, block);
    }
}

/* Pages that no account pays for, as there is no memory to note them: a new thread that gets none never tells who waits
 * for it that it runs. */
static void *map_unnoted(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages != MAP_FAILED ? pages : NULL;
}

static void *arena_alloc(void *context, size_t bytes)
{
    (void)context;
    pyh_payer payer = pyh_account_payer();
    if (!pyh_account_admits(payer.account, bytes)) {
        return NULL;
    }
    pyh_this_thread.made_arena = bytes >= LEAST_ARENA_BYTES;
    void *arena = pyh_region_map(payer, bytes);
    return arena != NULL ? arena : map_unnoted(bytes);
}

static void arena_free(void *context, void *arena, size_t bytes)
{
    (void)context;
    if (pyh_region_unmap(arena) == 0) { /* from before the hooks, or without a note */
        munmap(arena, bytes);
    }
}

/* Whether CPython's own allocators are in place: the raw one, and the one for objects above it. */
static bool is_own_allocator(const PyMemAllocatorEx *raw)
{
    PyMemAllocatorEx object;
    const char *wanted = getenv("PYTHONMALLOC");
    if (wanted != NULL && strstr("default pymalloc", wanted) == NULL) {
        return false; /* mimalloc for one, which has no context either */
    }
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &object);
    return raw->ctx == NULL && object.ctx == NULL && object.malloc != raw->malloc;
}

/* glibc lets threads share heaps beyond eight for each processor. A thread that is set aside may lose its processor while
 * it holds the lock of its heap, and who shares that waits for as long: measured, for seconds. A heap that is left goes
 * to the next new thread. */
static void keep_heaps_apart(void)
{
    if (getenv("MALLOC_ARENA_MAX") == NULL) {
        mallopt(M_ARENA_MAX, INT_MAX);
    }
}

void pyh_memory_install(void)
{
    const char *wanted = getenv("PYHOST_MEMORY_ACCOUNTS");
    const char *reclaim = getenv("PYHOST_RECLAIM");
    PyMemAllocatorEx raw;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw);
    if (memory.counted || (wanted != NULL && strcmp(wanted, "0") == 0) || !is_own_allocator(&raw)) {
        return;
    }
    memory.counted = true;
    keep_heaps_apart();
    memory.protect = reclaim != NULL && strcmp(reclaim, "protect") == 0;
    memory.raw = raw;
    PyMemAllocatorEx hooks = {NULL, raw_malloc, raw_calloc, raw_realloc, raw_free};
    PyObjectArenaAllocator arenas = {NULL, arena_alloc, arena_free};
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &hooks);
    PyObject_SetArenaAllocator(&arenas);
}

bool pyh_memory_is_counted(void)
{
    return memory.counted;
}

/* malloc_trim leaves the unused end of a thread's own heap alone. */
static void release_end_of_heap(void)
{
    char *end = malloc(HEAP_END_BYTES);
    if (end != NULL) {
        char *page = (char *)(((uintptr_t)end + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1));
        madvise(page, HEAP_END_BYTES - PAGE_BYTES, MADV_DONTNEED);
        free(end);
    }
}

void pyh_memory_trim(void)
{
    static _Atomic bool wanted, busy;
    atomic_store(&wanted, true);
    while (atomic_load(&wanted) && !atomic_exchange(&busy, true)) {
        atomic_store(&wanted, false);
        malloc_trim(0);
        atomic_store(&busy, false);
    }
    release_end_of_heap();
}

void pyh_memory_reclaim(pyh_account *account)
{
    pyh_region_reclaim(account, memory.protect);
}
