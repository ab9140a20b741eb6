// No instruction set in particular.
#define PELLUCID_ISA isa_plain
#define PELLUCID_NAME "plain"
#include "../simd/plain.h"

#include "../kernels.h"
