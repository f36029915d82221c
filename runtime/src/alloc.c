/* Caching allocator: 64-byte aligned blocks in size classes, freed blocks kept for reuse.
 *
 * Blocks above 1 MB are mappings aligned to 2 MB with huge pages asked for: first touch of 64 MB
 * costs 512 page faults instead of 16384, and reuse costs none. Those from 64 KB on are mappings,
 * too: in the heap of malloc small neighbours that outlive them would leave holes that grow with
 * every cycle of use. Every block is preceded by a header (64 bytes, for large blocks the end of
 * one page, so that the block itself stays aligned and a power-of-two size needs no second huge
 * page).
 * Invariant: live + cached == reserved, cached <= the limit.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gc_api.h"

/* Under the address sanitizer the unasked-for end of a block and freed blocks may not be touched. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

#define ALIGN 64
#define HEADER 64
#define MAPPED ((size_t)1 << 16)
#define LARGE ((size_t)1 << 20)
#define HUGE_PAGE ((size_t)2 << 20)
#define GUARD_PAGE ((size_t)65536) /* holds a large block's header; a multiple of any page size */
#define CLASSES (4 * 64)
#define LARGEST ((int64_t)1 << 46)

typedef struct header {
    struct header *next; /* in the free list */
    size_t size;         /* of the class, header excluded */
    int class;
} header;

static struct {
    pthread_mutex_t lock;
    header *free_lists[CLASSES];
    int64_t live, reserved, peak, limit;
} heap = {.lock = PTHREAD_MUTEX_INITIALIZER, .limit = -1};

/* ---- size classes: four per power of two, multiples of 64 bytes (of 2 MB if large) ---- */

static size_t class_size(size_t bytes, int *class)
{
    size_t unit = bytes > LARGE ? HUGE_PAGE : ALIGN;
    size_t units = (bytes + unit - 1) / unit;
    if (units < 1)
        units = 1;
    int top = 63 - __builtin_clzll(units);
    int shift = top > 2 ? top - 2 : 0;
    units = ((units - 1) >> shift) + 1; /* at most 8 */
    if (units == 8) {
        units = 4;
        shift++;
    }
    *class = (bytes > LARGE ? CLASSES / 2 : 0) + 4 * shift + (int)(units - 1);
    return (units << shift) * unit;
}

/* ---- memory from the system ---- */

static header *map_large(size_t size)
{
    size_t span = size + GUARD_PAGE + HUGE_PAGE;
    char *base = mmap(0, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return 0;
    uintptr_t first = (uintptr_t)base + GUARD_PAGE;
    char *block = (char *)((first + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    char *begin = block - GUARD_PAGE, *end = block + size;
    if (begin > base)
        munmap(base, (size_t)(begin - base));
    if (base + span > end)
        munmap(end, (size_t)(base + span - end));
#ifdef MADV_HUGEPAGE
    madvise(block, size, MADV_HUGEPAGE);
#endif
    return (header *)(block - HEADER);
}

static header *new_block(size_t size, int class)
{
    header *h = 0;
    if (class >= CLASSES / 2) {
        h = map_large(size);
    } else if (size >= MAPPED) {
        h = mmap(0, size + HEADER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (h == MAP_FAILED)
            h = 0;
    } else if (posix_memalign((void **)&h, ALIGN, size + HEADER) != 0) {
        h = 0;
    }
    if (h) {
        h->size = size;
        h->class = class;
    }
    return h;
}

static void give_back(header *h)
{
    ASAN_UNPOISON_MEMORY_REGION((char *)h + HEADER, h->size);
    if (h->class >= CLASSES / 2)
        munmap((char *)h + HEADER - GUARD_PAGE, h->size + GUARD_PAGE);
    else if (h->size >= MAPPED)
        munmap(h, h->size + HEADER);
    else
        free(h);
}

/* ---- the interface ---- */

/* By default at most a quarter of the machine's memory, and beyond 256 MB no more than the program
 * ever had in use at once. */
static int64_t cache_limit(void)
{
    if (heap.limit >= 0)
        return heap.limit;
    static int64_t quarter;
    if (quarter == 0)
        quarter = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 4;
    int64_t wanted = heap.peak > ((int64_t)256 << 20) ? heap.peak : (int64_t)256 << 20;
    return wanted < quarter ? wanted : quarter;
}

/* Gives cached blocks back, largest first, until at most `keep` bytes are left. */
static void trim_locked(int64_t keep)
{
    if (heap.reserved - heap.live <= keep)
        return;
    for (int class = CLASSES - 1; class >= 0; class--)
        for (header *h; heap.reserved - heap.live > keep && (h = heap.free_lists[class]);) {
            heap.free_lists[class] = h->next;
            heap.reserved -= (int64_t)h->size;
            give_back(h);
        }
}

void *gc_alloc(int64_t bytes)
{
    int class;
    if (bytes < 0 || bytes > LARGEST)
        return 0;
    size_t size = class_size((size_t)bytes, &class);
    pthread_mutex_lock(&heap.lock);
    header *h = heap.free_lists[class];
    if (h) {
        heap.free_lists[class] = h->next;
    } else {
        h = new_block(size, class);
        if (!h) {
            trim_locked(0);
            h = new_block(size, class);
        }
        if (h)
            heap.reserved += (int64_t)size;
    }
    if (h) {
        char *block = (char *)h + HEADER;
        ASAN_UNPOISON_MEMORY_REGION(block, size);
        ASAN_POISON_MEMORY_REGION(block + bytes, size - (size_t)bytes);
        heap.live += (int64_t)size;
        if (heap.live > heap.peak)
            heap.peak = heap.live;
    }
    pthread_mutex_unlock(&heap.lock);
    return h ? (char *)h + HEADER : 0;
}

void gc_free(void *block)
{
    if (!block)
        return;
    header *h = (header *)((char *)block - HEADER);
    pthread_mutex_lock(&heap.lock);
    heap.live -= (int64_t)h->size;
    ASAN_POISON_MEMORY_REGION(block, h->size);
    h->next = heap.free_lists[h->class];
    heap.free_lists[h->class] = h;
    trim_locked(cache_limit());
    pthread_mutex_unlock(&heap.lock);
}

void gc_alloc_stats(int64_t *live, int64_t *reserved, int64_t *peak)
{
    pthread_mutex_lock(&heap.lock);
    *live = heap.live;
    *reserved = heap.reserved;
    *peak = heap.peak;
    pthread_mutex_unlock(&heap.lock);
}

void gc_alloc_trim(void)
{
    pthread_mutex_lock(&heap.lock);
    trim_locked(0);
    pthread_mutex_unlock(&heap.lock);
}

void gc_alloc_set_cache_limit(int64_t max)
{
    pthread_mutex_lock(&heap.lock);
    heap.limit = max;
    trim_locked(cache_limit());
    pthread_mutex_unlock(&heap.lock);
}

/* A fork while another thread allocates must not leave the child a locked, half-changed heap. */
static void lock_heap(void) { pthread_mutex_lock(&heap.lock); }
static void unlock_heap(void) { pthread_mutex_unlock(&heap.lock); }

__attribute__((constructor)) static void on_load(void)
{
    pthread_atfork(lock_heap, unlock_heap, unlock_heap);
}
