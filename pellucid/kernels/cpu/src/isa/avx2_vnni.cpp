// AVX2 with AVX-VNNI: Alder Lake and later client processors.
#define PELLUCID_ISA isa_avx2_vnni
#define PELLUCID_NAME "avx2+vnni"
#define PELLUCID_VNNI
#include "../simd/avx2.h"

#include "../kernels.h"
