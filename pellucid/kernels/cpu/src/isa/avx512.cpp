// AVX-512 without VNNI: Skylake-X.
#define PELLUCID_ISA isa_avx512
#define PELLUCID_NAME "avx512"
#include "../simd/avx512.h"

#include "../kernels.h"
