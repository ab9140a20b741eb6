// AVX2 with FMA and F16C: Haswell, Zen and later.
#define PELLUCID_ISA isa_avx2
#define PELLUCID_NAME "avx2"
#include "../simd/avx2.h"

#include "../kernels.h"
