// What each operation of a tape needs, as plain data that Python fills in through ctypes (see ../operations.py,
// which mirrors every struct field by field; `pellucid_size_of` lets it check that the two agree).
//
// Letters as everywhere in the project: T tokens, D hidden, I inputs, O outputs, H query heads, G KV heads,
// K head size, R rotated part of a head, V vocabulary, N sequences, B blocks, S slots in a block.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace pellucid {

// How many rows this step has. An operation says by `rows_of` which of the two counts is its own: the tokens of
// the batch, or the rows that meet the vocabulary. Everything else that changes from step to step is read
// through pointers that stay.
struct Step {
    int64_t rows[2];
    int64_t sequences;
};

enum class Kind : int64_t {
    kProduct,
    kNorm,
    kRotary,
    kStore,
    kRotaryStore,
    kAttention,
    kEmbedding,
    kAdd,
    kScale,
    kActivation,
    kGated,
    kGather,
    kTop,
    kWeigh,
    kWeightSums,
    kCount,
};

struct Operation {
    Kind kind;
    int64_t rows_of;
    const void* arguments;
};

// A float32 matrix whose rows lie `stride` floats apart.
struct Rows {
    float* data;
    int64_t stride;
};

// The same with each row cut into `count` heads of `size` floats, `head_stride` apart. A plain matrix has one.
struct Heads {
    float* data;
    int64_t stride, head_stride, count, size;
};

enum class Format : int64_t { kFloat32, kBfloat16, kFloat16, kInt8, kInt4, kQ4K, kQ6K };

// A weight matrix [O, I]. The float formats are row-major, `stride` entries a row, used where they lie. The
// quantised ones are interleaved by 16 output rows (see products_grouped.h), their scales a stream beside them.
struct Weight {
    Format format;
    int64_t outputs, inputs, stride;
    const void* values;
    const void* scales;
    const void* supers;
};

enum class NormKind : int64_t { kNone, kRms, kLayer };

struct Norm {
    NormKind kind;
    const float* weight;
    const float* bias;
    double epsilon;
};

enum class Activation : int64_t { kNone, kRelu, kGelu, kGeluTanh, kQuickGelu, kSilu, kTanh };

// out = residual + act(norm(x) Wᵀ + bias), or with `gated` act(gate) * up, the two halves of the product.
struct Product {
    Rows x;
    Norm norm;
    Weight weight;
    const float* bias;
    Activation activation;
    int64_t gated;
    int64_t panels;  // whether float weights multiply as products_panel.h has it: for many rows, in another order
    Rows residual;
    Rows out;
};

struct NormRows {
    Heads x;
    Norm norm;
    Heads out;
};

struct Rotary {
    Heads x, out;
    const float* cos;
    const float* sin;
    int64_t angle_stride, rotated;
};

enum class CacheType : int64_t { kFloat32, kBfloat16, kFloat16, kInt8 };

// One layer's keys [B, G, K, S'] and values [B, G, S, K'] where S' and K' are S and K rounded up to 16: keys lie
// slot beside slot, so that 16 scores are made at once without adding across a register. Int8 has scales beside them,
// float32 [B, G, 2, S']: for each slot one of its key and one of its value.
struct Cache {
    void* keys;
    void* values;
    float* scales;
    CacheType type;
    int64_t block_size, kv_heads, head_size;
};

struct Store {
    Heads k, v;
    Cache cache;
    const int64_t* slots;
};

// Rotates the queries into `q.out`, and the keys straight into the cache.
struct RotaryStore {
    Rotary q, k;
    Store store;
};

struct Attention {
    Heads q, out;
    Cache cache;
    double scale, soft_cap;
    int64_t causal, window;  // window 0: none; soft_cap 0: none
    const int32_t* query_starts;
    const int32_t* context_lengths;
    const int32_t* block_tables;
    int64_t table_stride;
    const float* bias;  // [H, E] over distance, or null
    int64_t bias_entries;
};

struct Embedding {
    const int64_t* ids;
    Weight weight;
    Rows out;
};

struct Add {
    Rows a, b, out;
    int64_t size;
};

struct Scale {
    Rows x, out;
    int64_t size;
    double factor;
};

struct Activate {
    Rows x, out;
    int64_t size;
    Activation activation;
};

struct Gate {
    Rows x, out;
    int64_t size;  // of the output: half a row of x
    Activation activation;
};

struct Gather {
    Rows x, out;
    int64_t size;
    const int64_t* index;
};

// The `count` largest entries of each row, largest first: values and ids [R, C].
struct Top {
    Rows x;
    int64_t size, count;
    float* values;
    int64_t* ids;
};

// out = exp((x - best) / temperature), each row with its own two numbers.
struct Weigh {
    Rows x, out;
    int64_t size;
    const float* best;
    const float* temperature;
};

// Of those weights the sums of runs of 128, the last of what is left, as whole numbers [R, size / 128 + 1].
struct WeightSums {
    Rows x;
    int64_t size;
    const float* best;
    const float* temperature;
    double* sums;
};

}  // namespace pellucid
