// AVX-512 with VNNI: Ice Lake, Sapphire Rapids, Zen 4 and later.
#define PELLUCID_ISA isa_avx512_vnni
#define PELLUCID_NAME "avx512+vnni"
#define PELLUCID_VNNI
#include "../simd/avx512.h"

#include "../kernels.h"
