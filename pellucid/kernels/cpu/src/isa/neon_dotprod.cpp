// NEON with the dot product instructions (Armv8.2): Apple M1, Graviton 2 and later.
#define PELLUCID_ISA isa_neon_dotprod
#define PELLUCID_NAME "neon+dotprod"
#define PELLUCID_DOTPROD
#include "../simd/neon.h"

#include "../kernels.h"
