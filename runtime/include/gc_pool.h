/* Inside the library only: helpers around gc_parallel_for. */
#ifndef GC_POOL_H
#define GC_POOL_H

#include "gc_api.h"

#define GC_GRAIN 32768 /* elements of pointwise work below which a second thread does not pay */

#endif
