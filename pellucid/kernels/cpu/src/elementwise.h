// Operations that look at one entry, or one row, at a time: sums, activations, copies of chosen rows.
#pragma once
#include "products_grouped.h"
#include "products_dense.h"

namespace PELLUCID_ISA {

static void add_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Add& a = *static_cast<const Add*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++)
        over_row(a.size, [&](int64_t i, auto get, auto put) {
            put(a.out.data + r * a.out.stride + i,
                add(get(a.a.data + r * a.a.stride + i), get(a.b.data + r * a.b.stride + i)));
        });
}

static void scale_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Scale& a = *static_cast<const Scale*>(arguments);
    const Share share(rows, worker);
    const F factor = set(static_cast<float>(a.factor));
    for (int64_t r = share.begin; r < share.end; r++)
        over_row(a.size, [&](int64_t i, auto get, auto put) {
            put(a.out.data + r * a.out.stride + i, mul(get(a.x.data + r * a.x.stride + i), factor));
        });
}

static void activate_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Activate& a = *static_cast<const Activate*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++)
        over_row(a.size, [&](int64_t i, auto get, auto put) {
            put(a.out.data + r * a.out.stride + i, activate(get(a.x.data + r * a.x.stride + i), a.activation));
        });
}

static void gate_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Gate& a = *static_cast<const Gate*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++) {
        const float* x = a.x.data + r * a.x.stride;
        over_row(a.size, [&](int64_t i, auto get, auto put) {
            put(a.out.data + r * a.out.stride + i, mul(activate(get(x + i), a.activation), get(x + a.size + i)));
        });
    }
}

static void gather_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Gather& a = *static_cast<const Gather*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++)
        __builtin_memcpy(a.out.data + r * a.out.stride, a.x.data + a.index[r] * a.x.stride,
                         4 * static_cast<size_t>(a.size));
}

template <class Type>
static void float_row(const Weight& w, int64_t id, float* out) {
    const auto* row = static_cast<const typename Type::type*>(w.values) + id * w.stride;
    int64_t i = 0;
    for (; i + W <= w.inputs; i += W) store(out + i, Type::get(row + i));
    if (i < w.inputs) store_some(out + i, get_some<Type>(row + i, w.inputs - i), w.inputs - i);
}

// One row of a quantised weight: every 16th run of 4 bytes of its block (see products_grouped.h).
static void grouped_row(const Weight& w, int64_t id, float* out) {
    const int64_t groups = (w.inputs + 31) / 32, lane = id % 16;
    const bool four_bits = w.format == Format::kInt4;
    const int64_t bytes = four_bits ? Int4Weights::kBytes : Int8Weights::kBytes;
    const uint8_t* numbers = static_cast<const uint8_t*>(w.values) + id / 16 * groups * bytes + 4 * lane;
    const uint16_t* scales = static_cast<const uint16_t*>(w.scales) + id / 16 * groups * 16 + lane;
    for (int64_t i = 0; i < w.inputs; i++) {
        const int64_t g = i / 32, in = i % 32;
        uint16_t half[W] = {scales[g * 16]};
        float scale[W];
        store(scale, load_f16(half));
        const uint8_t* group = numbers + g * bytes;
        if (four_bits) {
            const uint8_t both = group[in % 16 / 4 * 64 + in % 4];
            out[i] = static_cast<float>((in < 16 ? both & 15 : both >> 4) - 8) * scale[0];
        } else {
            out[i] = static_cast<float>(static_cast<int8_t>(group[in / 4 * 64 + in % 4])) * scale[0];
        }
    }
}

static void embedding_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Embedding& a = *static_cast<const Embedding*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++) {
        float* out = a.out.data + r * a.out.stride;
        switch (a.weight.format) {
            case Format::kFloat32: float_row<Float32>(a.weight, a.ids[r], out); break;
            case Format::kBfloat16: float_row<Bfloat16>(a.weight, a.ids[r], out); break;
            case Format::kFloat16: float_row<Float16>(a.weight, a.ids[r], out); break;
            default: grouped_row(a.weight, a.ids[r], out);
        }
    }
}

}  // namespace PELLUCID_ISA
