/* Float products in the canonical order (see gc_api.h). */
#include "gc_api.h"

int gc_gemm_f32(int64_t batch, int64_t m, int64_t n, int64_t k, const float *a, int64_t sab,
               int64_t sam, int64_t sak, const float *b, int64_t sbb, int64_t sbk, int64_t sbn,
               float *c, int64_t scb, int64_t scm, const gc_epilogue_f32 *epi)
{
    for (int64_t x = 0; x < batch; x++) {
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                float r = 0;
                for (int64_t k0 = 0; k0 < k; k0 += 256) {
                    float s = 0;
                    for (int64_t l = k0; l < k && l < k0 + 256; l++)
                        s = (float)__builtin_fmaf(a[x * sab + i * sam + l * sak], b[x * sbb + l * sbk + j * sbn], s);
                    r = k0 ? r + s : s;
                }
                c[x * scb + i * scm + j] = r;
            }
        if (epi && epi->tile && m > 0 && n > 0)
            epi->tile(epi->ctx, x, 0, m, 0, n, c + x * scb, scm);
    }
    return 0;
}
