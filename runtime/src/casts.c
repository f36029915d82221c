/* Cast kernels gc_v_cast_<from>_<to> for every pair of element types; rules in gc_cast.h.
 * Loops exist for the pairs below; the other casts pass through f32 or i32 tile by tile, which
 * gives the bits of the scalar function (tested for every pair). */
#include "gc_cast.h"
#include "kernel.h"

enum { F16, BF16, F32, F64, U8, I8, I16, I32, I64, B8, TYPES };
static const int8_t size_of[TYPES] = {2, 2, 4, 8, 1, 1, 2, 4, 8, 1};

#define LOOP(F, TF, K, T) \
  static void loop_##F##_##K(int64_t n, const void *in, void *res) { \
    const TF *a = in; \
    T *out = res; \
    GC_SIMD for (int64_t i = 0; i < n; i++) out[i] = gc_cast_##F##_##K(a[i]); \
  }
LOOP(f16, uint16_t, f32, float)
LOOP(bf16, uint16_t, f32, float)
LOOP(f32, float, f16, uint16_t)
LOOP(f32, float, bf16, uint16_t)
LOOP(f32, float, f64, double)
LOOP(f32, float, i32, int32_t)
LOOP(f32, float, i64, int64_t)
LOOP(f32, float, b8, uint8_t)
LOOP(f64, double, f32, float)
LOOP(f64, double, i32, int32_t)
LOOP(f64, double, i64, int64_t)
LOOP(f64, double, b8, uint8_t)
LOOP(u8, uint8_t, i32, int32_t)
LOOP(i8, int8_t, i32, int32_t)
LOOP(i16, int16_t, i32, int32_t)
LOOP(i32, int32_t, f32, float)
LOOP(i32, int32_t, f64, double)
LOOP(i32, int32_t, u8, uint8_t)
LOOP(i32, int32_t, i16, int16_t)
LOOP(i32, int32_t, i64, int64_t)
LOOP(i32, int32_t, b8, uint8_t)
LOOP(i64, int64_t, f32, float)
LOOP(i64, int64_t, f64, double)
LOOP(i64, int64_t, i32, int32_t)
LOOP(i64, int64_t, b8, uint8_t)

typedef void (*loop_fn)(int64_t n, const void *in, void *out);

/* An unsigned byte and a bool widen alike; a signed and an unsigned byte narrow alike. */
static const loop_fn loops[TYPES][TYPES] = {
    [F16] = {[F32] = loop_f16_f32},
    [BF16] = {[F32] = loop_bf16_f32},
    [F32] = {[F16] = loop_f32_f16, [BF16] = loop_f32_bf16, [F64] = loop_f32_f64,
             [I32] = loop_f32_i32, [I64] = loop_f32_i64, [B8] = loop_f32_b8},
    [F64] = {[F32] = loop_f64_f32, [I32] = loop_f64_i32, [I64] = loop_f64_i64, [B8] = loop_f64_b8},
    [U8] = {[I32] = loop_u8_i32},
    [I8] = {[I32] = loop_i8_i32},
    [I16] = {[I32] = loop_i16_i32},
    [I32] = {[F32] = loop_i32_f32, [F64] = loop_i32_f64, [U8] = loop_i32_u8, [I8] = loop_i32_u8,
             [I16] = loop_i32_i16, [I64] = loop_i32_i64, [B8] = loop_i32_b8},
    [I64] = {[F32] = loop_i64_f32, [F64] = loop_i64_f64, [I32] = loop_i64_i32, [B8] = loop_i64_b8},
    [B8] = {[I32] = loop_u8_i32},
};

/* The first type on the way from one type to another. */
static int next_type(int from, int to) {
  if (loops[from][to]) return to;
  if (from == F16 || from == BF16) return F32;
  if (to == F16 || to == BF16) return loops[from][F32] ? F32 : I32;
  return I32; /* narrow integers, from either side */
}

typedef struct {
  const char *in;
  char *out;
  int steps, type[5];
} route;

static void body_cast(void *ctx, int64_t i0, int64_t i1, int thread) {
  const route *r = ctx;
  uint64_t tile[2][GC_TILE];
  (void)thread;
  int64_t step = r->steps == 1 ? i1 - i0 : GC_TILE;
  for (int64_t i = i0; i < i1; i += step) {
    int64_t m = i1 - i < step ? i1 - i : step;
    const void *a = r->in + i * size_of[r->type[0]];
    for (int s = 0; s < r->steps; s++) {
      int last = s + 1 == r->steps;
      void *b = last ? (void *)(r->out + i * size_of[r->type[s + 1]]) : (void *)tile[s & 1];
      loops[r->type[s]][r->type[s + 1]](m, a, b);
      a = b;
    }
  }
}

static void cast(int64_t n, const void *a, void *out, int from, int to) {
  if (n <= 0) return;
  if (from == to) {
    if (a != out) __builtin_memcpy(out, a, (unsigned long)(n * size_of[from]));
    return;
  }
  route r = {a, out, 0, {from}};
  while (r.type[r.steps] != to) {
    r.type[r.steps + 1] = next_type(r.type[r.steps], to);
    r.steps++;
  }
  uint64_t fp = gc_fp_enter();
  if (n < 2 * GC_GRAIN) body_cast(&r, 0, n, 0);
  else gc_parallel_for(n, GC_GRAIN, body_cast, &r);
  gc_fp_leave(fp);
}

#define CAST(F, FROM, K, TO) \
  GC_EXPORT void gc_v_cast_##F##_##K(int64_t n, const void *a, void *out) { \
    cast(n, a, out, FROM, TO); \
  }
#define CASTS(F, FROM) \
  CAST(F, FROM, f16, F16) CAST(F, FROM, bf16, BF16) CAST(F, FROM, f32, F32) \
  CAST(F, FROM, f64, F64) CAST(F, FROM, u8, U8) CAST(F, FROM, i8, I8) CAST(F, FROM, i16, I16) \
  CAST(F, FROM, i32, I32) CAST(F, FROM, i64, I64) CAST(F, FROM, b8, B8)
CASTS(f16, F16)
CASTS(bf16, BF16)
CASTS(f32, F32)
CASTS(f64, F64)
CASTS(u8, U8)
CASTS(i8, I8)
CASTS(i16, I16)
CASTS(i32, I32)
CASTS(i64, I64)
CASTS(b8, B8)
