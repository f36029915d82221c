/* The IEEE float environment: gc_fp_enter() switches flush-to-zero off and rounding to nearest and
 * returns what was set before; gc_fp_leave(saved) puts it back. A foreign library may have changed
 * it (linking with -ffast-math does), and the bits of every kernel depend on it. */
#ifndef GC_FP_H
#define GC_FP_H

#include <stdint.h>

#if defined(__SSE__)

#define GC_MXCSR_DEFAULT 0x1f80u
#define GC_MXCSR_FLAGS 0x003fu /* sticky exception flags: left alone */

static inline uint64_t gc_fp_enter(void)
{
    unsigned now = __builtin_ia32_stmxcsr();
    if ((now & ~GC_MXCSR_FLAGS) != GC_MXCSR_DEFAULT)
        __builtin_ia32_ldmxcsr(GC_MXCSR_DEFAULT);
    return now;
}

static inline void gc_fp_leave(uint64_t saved)
{
    if (((unsigned)saved & ~GC_MXCSR_FLAGS) != GC_MXCSR_DEFAULT)
        __builtin_ia32_ldmxcsr((unsigned)saved);
}

#elif defined(__aarch64__)

static inline uint64_t gc_fp_enter(void)
{
    uint64_t now, zero = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(now));
    if (now != 0)
        __asm__ volatile("msr fpcr, %0" : : "r"(zero));
    return now;
}

static inline void gc_fp_leave(uint64_t saved)
{
    if (saved != 0)
        __asm__ volatile("msr fpcr, %0" : : "r"(saved));
}

#else

static inline uint64_t gc_fp_enter(void) { return 0; }
static inline void gc_fp_leave(uint64_t saved) { (void)saved; }

#endif
#endif
