/* Inside the libraries of kernels only: what kernels ask the pool besides gc_parallel_for. */
#ifndef GC_POOL_H
#define GC_POOL_H

#include "gc_api.h"

#define GC_GRAIN 32768 /* elements of pointwise work below which a second thread does not pay */

/* Threads a region opened here and now would have: 1 inside a region. */
GC_EXPORT int gc_region_threads(void);

#endif
