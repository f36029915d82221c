/* CRC-32 of memory (ISO 3309, the one of zip files): gc_crc32(crc, data, n), chained as zlib's crc32.
 *
 * With carry-less multiplication four 128-bit lanes are folded over 64 bytes at a time (Gopal et al., "Fast
 * CRC computation for generic polynomials using PCLMULQDQ", Intel 2009); tails and other machines take eight
 * bytes at a time through tables. */
#include <string.h>

#include "gc_api.h"

#if defined(__PCLMUL__) && defined(__SSE4_1__)
#include <smmintrin.h>
#include <wmmintrin.h>
#define FOLDS 1
#endif

static uint32_t table[8][256];

static void __attribute__((constructor)) fill_table(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = (c >> 1) ^ (0xEDB88320u & (0u - (c & 1)));
    table[0][i] = c;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int k = 1; k < 8; k++) table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 255];
}

static uint32_t by_tables(uint32_t c, const unsigned char *p, int64_t n) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  for (; n >= 8; n -= 8, p += 8) {
    uint32_t a, b;
    memcpy(&a, p, 4);
    memcpy(&b, p + 4, 4);
    a ^= c;
    c = table[7][a & 255] ^ table[6][a >> 8 & 255] ^ table[5][a >> 16 & 255] ^ table[4][a >> 24] ^
        table[3][b & 255] ^ table[2][b >> 8 & 255] ^ table[1][b >> 16 & 255] ^ table[0][b >> 24];
  }
#endif
  for (; n > 0; n--) c = (c >> 8) ^ table[0][(c ^ *p++) & 255];
  return c;
}

#ifdef FOLDS
/* x shifted on by the distance of the constants k, plus the next 16 bytes */
static inline __m128i fold(__m128i x, __m128i k, __m128i next) {
  __m128i lo = _mm_clmulepi64_si128(x, k, 0x00), hi = _mm_clmulepi64_si128(x, k, 0x11);
  return _mm_xor_si128(_mm_xor_si128(lo, hi), next);
}

static inline __m128i load(const unsigned char *p) { return _mm_loadu_si128((const __m128i *)p); }

/* n >= 64; takes a multiple of 16 bytes and leaves fewer than 16 */
static uint32_t by_folding(uint32_t c, const unsigned char *p, int64_t n) {
  const __m128i by64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  const __m128i by8 = _mm_set_epi64x(0, 0x0163cd6124);
  const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  const __m128i low32 = _mm_setr_epi32(-1, 0, -1, 0);
  __m128i a = _mm_xor_si128(load(p), _mm_cvtsi32_si128((int)c));
  __m128i b = load(p + 16), d = load(p + 32), e = load(p + 48), x, y;
  for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
    a = fold(a, by64, load(p));
    b = fold(b, by64, load(p + 16));
    d = fold(d, by64, load(p + 32));
    e = fold(e, by64, load(p + 48));
  }
  x = fold(fold(fold(a, by16, b), by16, d), by16, e);
  for (; n >= 16; p += 16, n -= 16) x = fold(x, by16, load(p));
  /* 128 bits to 64, to 32 */
  y = _mm_clmulepi64_si128(x, by16, 0x10);
  x = _mm_xor_si128(_mm_srli_si128(x, 8), y);
  y = _mm_clmulepi64_si128(_mm_and_si128(x, low32), by8, 0x00);
  x = _mm_xor_si128(_mm_srli_si128(x, 4), y);
  y = _mm_clmulepi64_si128(_mm_and_si128(x, low32), barrett, 0x10);
  y = _mm_clmulepi64_si128(_mm_and_si128(y, low32), barrett, 0x00);
  return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x, y), 1);
}
#endif

GC_EXPORT uint32_t gc_crc32(uint32_t crc, const void *data, int64_t n) {
  const unsigned char *p = data;
  uint32_t c = ~crc;
#ifdef FOLDS
  if (n >= 64) {
    int64_t whole = n & ~(int64_t)15;
    c = by_folding(c, p, whole);
    p += whole;
    n -= whole;
  }
#endif
  return ~by_tables(c, p, n);
}
