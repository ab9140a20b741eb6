// NEON: every AArch64 processor.
#define PELLUCID_ISA isa_neon
#define PELLUCID_NAME "neon"
#include "../simd/neon.h"

#include "../kernels.h"
