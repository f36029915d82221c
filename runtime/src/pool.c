/* The thread pool: gc_parallel_for splits a range over worker threads.
 *
 * Pieces are handed out by one atomic counter, so a worker that the system has put aside delays
 * nobody: the caller takes its pieces, closes the region and waits only for workers still inside.
 * Invariant: a region's fields are written only while no worker is inside (`state` says so).
 * Which thread runs which piece varies; kernels give the same bits for every split.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "gc_api.h"
#include "gc_fp.h"
#include "gc_pool.h"

#define MAX_THREADS 256
#define PIECES_PER_THREAD 4
#define WORKER_SPIN_NS 100000 /* how long an idle worker burns its core before it sleeps */
#define CALLER_SPIN_NS 50000  /* how long the caller does, waiting for the last pieces */

/* state = generation << 32 | open << 31 | most workers << 16 | workers inside */
#define OPEN ((uint64_t)1 << 31)
#define INSIDE(s) ((s) & 0xffff)
#define ROOM(s) (((s) >> 16) & 0x7fff)
#define GENERATION(s) ((s) >> 32)

static struct {
    pthread_mutex_t region; /* held by the caller whose region runs, or who changes the pool */
    pthread_mutex_t lock;   /* guards sleeping and waking */
    pthread_cond_t wake, done;
    pthread_t workers[MAX_THREADS];
    int started;       /* workers that run */
    atomic_int wanted; /* threads a region may use, the caller included; 0: not yet decided */
    gc_body body;
    void *ctx;
    int64_t n, piece;
    int64_t first_generation;
    _Alignas(128) _Atomic uint64_t state;
    _Alignas(128) _Atomic int64_t next;
    _Alignas(128) atomic_int sleeping;
    atomic_int waiting, stop;
} pool = {
    .region = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
};

static _Thread_local int inside_region;

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- workers ---- */

static void run_pieces(int thread)
{
    int64_t n = pool.n, piece = pool.piece;
    for (;;) {
        int64_t begin = atomic_fetch_add_explicit(&pool.next, piece, memory_order_relaxed);
        if (begin >= n)
            return;
        pool.body(pool.ctx, begin, n - begin < piece ? n : begin + piece, thread);
    }
}

/* Enters the open region that `state` shows; false when it has closed or is full meanwhile. */
static int enter(uint64_t s)
{
    while ((s & OPEN) && INSIDE(s) < ROOM(s)) {
        uint64_t seen = s;
        if (atomic_compare_exchange_weak(&pool.state, &s, s + 1))
            return 1;
        if (GENERATION(s) != GENERATION(seen))
            return 0;
    }
    return 0;
}

static void leave(void)
{
    uint64_t s = atomic_fetch_sub(&pool.state, 1);
    if (INSIDE(s) == 1 && !(s & OPEN) && atomic_load(&pool.waiting)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_signal(&pool.done);
        pthread_mutex_unlock(&pool.lock);
    }
}

/* Waits for a generation other than `seen`, spinning first; 0 when the pool stops. */
static int next_region(uint64_t seen, uint64_t *state)
{
    int64_t limit = 0;
    for (int i = 1;; i++) {
        *state = atomic_load(&pool.state);
        if (atomic_load_explicit(&pool.stop, memory_order_relaxed))
            return 0;
        if (GENERATION(*state) != seen)
            return 1;
        relax();
        if (i % 32 == 0) {
            int64_t t = now_ns();
            if (limit == 0)
                limit = t + WORKER_SPIN_NS;
            else if (t > limit)
                break;
        }
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while (!atomic_load(&pool.stop) && GENERATION(*state = atomic_load(&pool.state)) == seen)
        pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
    return !atomic_load(&pool.stop);
}

static void *worker(void *arg)
{
    int thread = (int)(intptr_t)arg;
    uint64_t seen = (uint64_t)pool.first_generation, state;
    inside_region = 1; /* a body that opens a region runs it serially */
    while (next_region(seen, &state)) {
        seen = GENERATION(state);
        if (enter(state)) {
            uint64_t saved = gc_fp_enter(); /* each time: a body may have changed it */
            run_pieces(thread);
            gc_fp_leave(saved);
            leave();
        }
    }
    return 0;
}

/* ---- starting and stopping; the caller holds pool.region ---- */

static void stop_workers(void)
{
    if (pool.started == 0)
        return;
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.stop, 1);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < pool.started; i++)
        pthread_join(pool.workers[i], 0);
    pool.started = 0;
    atomic_store(&pool.stop, 0);
}

/* Starts missing workers. Signals are blocked in them: they belong to the program's own threads. */
static void start_workers(int count)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pool.started == 0)
        pool.first_generation = (int64_t)GENERATION(atomic_load(&pool.state));
    while (pool.started < count) {
        void *id = (void *)(intptr_t)(pool.started + 1);
        if (pthread_create(&pool.workers[pool.started], 0, worker, id) != 0)
            break; /* out of threads: fewer workers, same bits */
        pool.started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, 0);
}

void gc_pool_stop(void)
{
    if (inside_region)
        return;
    pthread_mutex_lock(&pool.region);
    stop_workers();
    pthread_mutex_unlock(&pool.region);
}

/* A fork must see no running region, no held lock and no other thread of ours. The child has no
 * workers; its first region starts its own. */
static void before_fork(void)
{
    if (inside_region)
        return;
    pthread_mutex_lock(&pool.region);
    stop_workers();
}

static void after_fork(void)
{
    if (!inside_region)
        pthread_mutex_unlock(&pool.region);
}

__attribute__((constructor)) static void on_load(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

__attribute__((destructor)) static void on_unload(void)
{
    if (!inside_region && pthread_mutex_trylock(&pool.region) == 0) {
        stop_workers();
        pthread_mutex_unlock(&pool.region);
    }
}

/* ---- the interface ---- */

int gc_get_num_threads(void)
{
    int n = atomic_load_explicit(&pool.wanted, memory_order_relaxed);
    if (n == 0) {
        int expected = 0;
        n = gc_default_num_threads();
        if (!atomic_compare_exchange_strong(&pool.wanted, &expected, n))
            n = expected;
    }
    return n;
}

int gc_region_threads(void) { return inside_region ? 1 : gc_get_num_threads(); }

int gc_set_num_threads(int n)
{
    if (inside_region)
        return 1;
    if (n <= 0)
        n = gc_default_num_threads();
    if (n > MAX_THREADS)
        n = MAX_THREADS;
    pthread_mutex_lock(&pool.region);
    if (pool.started > n - 1)
        stop_workers();
    atomic_store(&pool.wanted, n);
    pthread_mutex_unlock(&pool.region);
    return 0;
}

static void wait_for_workers(void)
{
    int64_t limit = 0;
    for (int i = 1; INSIDE(atomic_load(&pool.state)) != 0; i++) {
        relax();
        if (i % 32 != 0)
            continue;
        int64_t t = now_ns();
        if (limit == 0)
            limit = t + CALLER_SPIN_NS;
        else if (t > limit)
            break;
    }
    if (INSIDE(atomic_load(&pool.state)) == 0)
        return;
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.waiting, 1);
    while (INSIDE(atomic_load(&pool.state)) != 0)
        pthread_cond_wait(&pool.done, &pool.lock);
    atomic_store(&pool.waiting, 0);
    pthread_mutex_unlock(&pool.lock);
}

static void run_region(int64_t n, int64_t piece, int64_t pieces, gc_body body, void *ctx)
{
    uint64_t generation = GENERATION(atomic_load(&pool.state)) + 1;
    uint64_t room = (uint64_t)(pieces - 1 < pool.started ? pieces - 1 : pool.started);
    pool.body = body;
    pool.ctx = ctx;
    pool.n = n;
    pool.piece = piece;
    atomic_store_explicit(&pool.next, 0, memory_order_relaxed);
    atomic_store(&pool.state, generation << 32 | OPEN | room << 16);
    if (atomic_load(&pool.sleeping) > 0) {
        pthread_mutex_lock(&pool.lock);
        for (uint64_t i = 0; i < room; i++)
            pthread_cond_signal(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
    run_pieces(0);
    atomic_fetch_and(&pool.state, ~OPEN);
    wait_for_workers();
}

void gc_parallel_for(int64_t n, int64_t grain, gc_body body, void *ctx)
{
    if (n <= 0)
        return;
    if (grain < 1)
        grain = 1;
    uint64_t saved = gc_fp_enter();
    int threads = n > grain && !inside_region ? gc_get_num_threads() : 1;
    if (threads == 1 || pthread_mutex_trylock(&pool.region) != 0) {
        body(ctx, 0, n, 0);
        gc_fp_leave(saved);
        return;
    }
    inside_region = 1;
    threads = atomic_load(&pool.wanted);
    if (pool.started < threads - 1)
        start_workers(threads - 1);
    int64_t grains = (n - 1) / grain + 1;
    int64_t target = (int64_t)threads * PIECES_PER_THREAD;
    int64_t piece = grains > target ? (grains + target - 1) / target * grain : grain;
    if (pool.started == 0)
        body(ctx, 0, n, 0);
    else
        run_region(n, piece, (n - 1) / piece + 1, body, ctx);
    inside_region = 0;
    pthread_mutex_unlock(&pool.region);
    gc_fp_leave(saved);
}
