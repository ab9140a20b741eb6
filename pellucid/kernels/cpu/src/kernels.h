// All operations of one instruction set, gathered into its table. Included once by each file of isa/, after the
// simd/ header that gives the instruction set its vectors.
#pragma once
#include "table.h"
#include "attention.h"
#include "elementwise.h"
#include "product.h"
#include "sampling.h"

namespace PELLUCID_ISA {

static Need nothing(const void*, const Step&, int64_t, int) { return {0, 0}; }

// In the order of Kind.
extern const Table table;
const Table table = {
    PELLUCID_NAME,
    {product, norm_rows, rotary, store_rows, rotary_store, attention, embedding_rows, add_rows, scale_rows,
     activate_rows, gate_rows, gather_rows, top_rows, weigh_rows, weight_sums},
    {product_need, nothing, nothing, nothing, rotary_store_need, attention_need, nothing, nothing, nothing, nothing,
     nothing, nothing, top_need, nothing, nothing},
};

}  // namespace PELLUCID_ISA
