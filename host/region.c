/* region: see region.h. A hash table by address, and a list for each account; both under one mutex, as arenas come and
 * go rarely. Measuring copies the list and asks the kernel (mincore) without the mutex: a region that is unmapped
 * meanwhile counts as nothing. */
#include "region.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUCKETS = 4096, PAGES_AT_ONCE = 1024 };

typedef struct pyh_region {
    void *address;
    size_t bytes;
    pyh_account *account; /* borrowed: reclaimed before it is freed */
    struct pyh_region *next_in_bucket;
    struct pyh_region *next;
    struct pyh_region **link; /* what points to it in the account's list */
} pyh_region;

static pyh_mutex mutex = {PTHREAD_MUTEX_INITIALIZER, PYH_RANK_REGIONS};
static pyh_region *buckets[BUCKETS];

static pyh_region **bucket_of(void *address)
{
    uint64_t hash = (uint64_t)(uintptr_t)address * 0x9E3779B97F4A7C15u;
    return &buckets[hash >> 52];
}

void *pyh_region_map(pyh_payer payer, size_t bytes)
{
    pyh_account *account = payer.account;
    pyh_region *region = malloc(sizeof *region);
    void *address =
        region != NULL ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (address == MAP_FAILED) {
        free(region);
        return NULL;
    }
    pyh_region **bucket = bucket_of(address);
    pyh_mutex_lock(&mutex);
    *region = (pyh_region){address, bytes, account, *bucket, account->regions, &account->regions};
    if (region->next != NULL) {
        region->next->link = &region->next;
    }
    *bucket = account->regions = region;
    account->regions_bytes += (int64_t)bytes;
    pyh_mutex_unlock(&mutex);
    pyh_account_charge(payer, (int64_t)bytes, 1);
    return address;
}

/* The mutex is held. */
static void unlink_region(pyh_region **place)
{
    pyh_region *region = *place;
    *place = region->next_in_bucket;
    *region->link = region->next;
    if (region->next != NULL) {
        region->next->link = region->link;
    }
    region->account->regions_bytes -= (int64_t)region->bytes;
}

/* What points to the region at the address, or to the end of its bucket. The mutex is held. */
static pyh_region **find(void *address)
{
    pyh_region **place = bucket_of(address);
    while (*place != NULL && (*place)->address != address) {
        place = &(*place)->next_in_bucket;
    }
    return place;
}

/* The region's account pays back: this thread is attached to its interpreter, or not. */
static void discharge(pyh_account *account, size_t bytes)
{
    pyh_payer payer = pyh_account_payer();
    payer = payer.account == account ? payer : (pyh_payer){account, NULL};
    pyh_account_charge(payer, -(int64_t)bytes, -1);
}

size_t pyh_region_unmap(void *address)
{
    size_t bytes = 0;
    pyh_mutex_lock(&mutex);
    pyh_region **place = find(address);
    pyh_region *region = *place;
    if (region != NULL) {
        unlink_region(place);
    }
    pyh_mutex_unlock(&mutex);
    if (region != NULL) {
        bytes = region->bytes;
        munmap(address, bytes);
        discharge(region->account, bytes);
        free(region);
    }
    return bytes;
}

size_t pyh_region_bytes(void *address)
{
    pyh_mutex_lock(&mutex);
    pyh_region *region = *find(address);
    size_t bytes = region != NULL ? region->bytes : 0;
    pyh_mutex_unlock(&mutex);
    return bytes;
}

typedef struct {
    char *start;
    size_t bytes;
} span;

/* A copy of the account's list; NULL for an empty one, or without memory. */
static span *copy_spans(pyh_account *account, size_t *count, int64_t *all_bytes)
{
    pyh_mutex_lock(&mutex);
    *count = 0;
    *all_bytes = account->regions_bytes;
    for (pyh_region *region = account->regions; region != NULL; region = region->next) {
        ++*count;
    }
    span *spans = *count > 0 ? malloc(*count * sizeof *spans) : NULL;
    size_t place = 0;
    for (pyh_region *region = account->regions; spans != NULL && region != NULL; region = region->next) {
        spans[place++] = (span){region->address, region->bytes};
    }
    pyh_mutex_unlock(&mutex);
    return spans;
}

/* The bytes of the pages that lie in the span and are in memory; 0 if it is not mapped any more. */
static int64_t resident_bytes(const span *region, size_t page)
{
    unsigned char in_memory[PAGES_AT_ONCE];
    char *at = region->start;
    char *end = at + region->bytes;
    int64_t resident = 0;
    while (at < end) {
        size_t pages = ((size_t)(end - at) + page - 1) / page;
        pages = pages < PAGES_AT_ONCE ? pages : PAGES_AT_ONCE;
        if (mincore(at, pages * page, (void *)in_memory) != 0) {
            return 0;
        }
        for (size_t i = 0; i < pages; i++) {
            resident += (in_memory[i] & 1) != 0 ? (int64_t)page : 0;
        }
        at += pages * page;
    }
    return resident;
}

int64_t pyh_region_measure(pyh_account *account, int64_t *all_bytes)
{
    size_t count;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int64_t resident = 0;
    span *spans = copy_spans(account, &count, all_bytes);
    if (spans == NULL) {
        return *all_bytes; /* nothing, or no memory to be exact */
    }
    for (size_t i = 0; i < count; i++) {
        resident += resident_bytes(&spans[i], page);
    }
    free(spans);
    return resident;
}

static void give_back(const pyh_region *region, bool protect)
{
    if (protect) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
        mmap(region->address, region->bytes, PROT_NONE, flags, -1, 0);
    } else {
        munmap(region->address, region->bytes);
    }
}

void pyh_region_reclaim(pyh_account *account, bool protect)
{
    pyh_region *left = NULL;
    pyh_mutex_lock(&mutex);
    while (account->regions != NULL) {
        pyh_region *region = account->regions;
        unlink_region(find(region->address));
        region->next = left;
        left = region;
    }
    pyh_mutex_unlock(&mutex);
    while (left != NULL) {
        pyh_region *next = left->next;
        pyh_account_charge((pyh_payer){account, NULL}, -(int64_t)left->bytes, -1);
        give_back(left, protect);
        free(left);
        left = next;
    }
}
