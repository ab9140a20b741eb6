// The product as an operation: prepare the rows of x (norm, quantise), multiply block by block, finish each tile
// (bias, activation, gate, residual) while it is in the first cache.
#pragma once
#include "norms.h"
#include "products_dense.h"
#include "products_k.h"
#include "products_panel.h"

namespace PELLUCID_ISA {

constexpr int kTileRows = kGroupedRows > kDenseRows ? kGroupedRows : kDenseRows;
// With so few rows each thread prepares all of them for itself: cheaper than meeting the others.
constexpr int64_t kPrepareAlone = 2;
// Rows that go through all blocks together, so that they stay in the second cache.
constexpr int64_t kRowsAtOnce = 128;

static inline bool by_panels(const Product& p) { return p.panels && !is_grouped(p.weight); }
static inline bool prepares_alone(const Product& p, int64_t rows) { return rows <= kPrepareAlone && !by_panels(p); }
static inline size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

static Need product_need(const void* arguments, const Step&, int64_t rows, int) {
    const Product& p = *static_cast<const Product*>(arguments);
    const size_t inputs = static_cast<size_t>(p.weight.inputs), normed = aligned(4 * inputs);
    const size_t count = static_cast<size_t>(rows);
    if (is_grouped(p.weight)) {
        const size_t prepared = aligned(Quantised::bytes_a_row(p.weight.inputs) * count);
        return prepares_alone(p, rows) ? Need{0, normed + prepared} : Need{prepared, normed};
    }
    const size_t panels = by_panels(p) ? panel_bytes(p.weight.inputs) : 0;
    if (p.norm.kind == NormKind::kNone) return {0, panels};
    return prepares_alone(p, rows) ? Need{0, normed * count} : Need{normed * count, panels};
}

// What the tile loop reads: floats for float weights, int8 for quantised ones.
struct Prepared {
    Rows floats;
    Quantised quantised;
};

static Prepared prepare(const Product& p, int64_t rows, const Worker& worker) {
    const bool alone = prepares_alone(p, rows), normed = p.norm.kind != NormKind::kNone;
    const int64_t inputs = p.weight.inputs;
    const Share mine = alone ? Share(rows, Worker{0, 1, nullptr, nullptr, nullptr}) : Share(rows, worker);
    Prepared out{p.x, {}};
    if (is_grouped(p.weight)) {
        float* row = reinterpret_cast<float*>(worker.own);
        uint8_t* room = alone ? worker.own + aligned(4 * static_cast<size_t>(inputs)) : worker.shared;
        out.quantised = Quantised::in(room, rows, inputs);
        for (int64_t r = mine.begin; r < mine.end; r++) {
            const float* x = p.x.data + r * p.x.stride;
            if (normed) norm_row(p.norm, x, row, inputs);
            out.quantised.quantise(normed ? row : x, r, inputs);
        }
    } else if (normed) {
        const int64_t stride = static_cast<int64_t>(aligned(4 * static_cast<size_t>(inputs)) / 4);
        out.floats = {reinterpret_cast<float*>(alone ? worker.own : worker.shared), stride};
        for (int64_t r = mine.begin; r < mine.end; r++)
            norm_row(p.norm, p.x.data + r * p.x.stride, out.floats.data + r * stride, inputs);
    } else {
        return out;
    }
    if (!alone) worker.meet();
    return out;
}

// tile[m][0..16]: the 16 outputs from `first` for rows row..row+count, 1 <= count <= M.
template <int M>
static inline void multiply(const Prepared& x, int64_t row, int64_t count, const Weight& w, int64_t first, float* tile) {
    if constexpr (M > 1)
        if (count < M) return multiply<M - 1>(x, row, count, w, first, tile);
    if constexpr (M <= kGroupedRows) {
        if (w.format == Format::kInt8) return grouped_block<Int8Weights, M>(x.quantised, row, w, first / 16, tile);
        if (w.format == Format::kInt4) return grouped_block<Int4Weights, M>(x.quantised, row, w, first / 16, tile);
        if (w.format == Format::kQ4K) return q4k_block<M>(x.quantised, row, w, first / 16, tile);
        if (w.format == Format::kQ6K) return q6k_block<M>(x.quantised, row, w, first / 16, tile);
    }
    if constexpr (M <= kDenseRows) {
        const float* floats = x.floats.data + row * x.floats.stride;
        if (w.format == Format::kFloat32) return dense_block<Float32, M>(floats, x.floats.stride, w, first, tile);
        if (w.format == Format::kBfloat16) return dense_block<Bfloat16, M>(floats, x.floats.stride, w, first, tile);
        if (w.format == Format::kFloat16) return dense_block<Float16, M>(floats, x.floats.stride, w, first, tile);
    }
}

static inline void finish(const Product& p, int64_t row, int64_t count, int64_t first, int64_t outputs,
                          const float* tile, const float* up) {
    const int64_t width = outputs - first < 16 ? outputs - first : 16;
    for (int64_t m = 0; m < count; m++) {
        float* out = p.out.data + (row + m) * p.out.stride + first;
        const float* residual = p.residual.data ? p.residual.data + (row + m) * p.residual.stride + first : nullptr;
        over_row(width, [&](int64_t i, auto get, auto put) {
            F y = load(tile + 16 * m + i);
            if (p.bias) y = add(y, get(p.bias + first + i));
            y = activate(y, p.activation);
            if (up) {
                F u = load(up + 16 * m + i);
                if (p.bias) u = add(u, get(p.bias + outputs + first + i));
                y = mul(y, u);
            }
            if (residual) y = add(y, get(residual + i));
            put(out + i, y);
        });
    }
}

static void product_by_panels(const Product& p, const Rows& x, int64_t rows, int64_t outputs, const Worker& worker) {
    const int64_t inputs = p.weight.inputs, at_once = rows_at_once(inputs);
    const PanelShare mine(rows, outputs, worker);
    float* weights = reinterpret_cast<float*>(worker.own);
    float* panels = weights + kBlockRows * inputs;
    alignas(64) float tile[kPanelRows * 16], up[kPanelRows * 16];
    for (int64_t chunk = mine.row; chunk < mine.end_row; chunk += at_once) {
        const int64_t end = mine.end_row - chunk < at_once ? mine.end_row : chunk + at_once;
        over_panels(chunk, end, [&](int64_t row, int64_t count, int64_t width) {
            turn_over(x.data + row * x.stride, x.stride, count, inputs, panels + (row - chunk) * inputs, width);
        });
        for (int64_t first = mine.output; first < mine.end_output; first += 16) {
            const Outputs w(p.weight, first, weights);
            const Outputs w_up = p.gated ? Outputs(p.weight, outputs + first, weights + 16 * inputs) : w;
            over_panels(chunk, end, [&](int64_t row, int64_t count, int64_t width) {
                const float* panel = panels + (row - chunk) * inputs;
                multiply_panel<kPanelVectors>(panel, width, w, tile);
                if (p.gated) multiply_panel<kPanelVectors>(panel, width, w_up, up);
                finish(p, row, count, first, outputs, tile, p.gated ? up : nullptr);
            });
        }
    }
}

static void product(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Product& p = *static_cast<const Product*>(arguments);
    const Prepared x = prepare(p, rows, worker);
    const int64_t outputs = p.gated ? p.weight.outputs / 2 : p.weight.outputs;
    if (by_panels(p)) return product_by_panels(p, x.floats, rows, outputs, worker);
    const int64_t tile_rows = is_grouped(p.weight) ? kGroupedRows : kDenseRows;
    const Share blocks((outputs + 15) / 16, worker);
    alignas(64) float tile[kTileRows * 16], up[kTileRows * 16];
    for (int64_t chunk = 0; chunk < rows; chunk += kRowsAtOnce) {
        const int64_t end = rows < chunk + kRowsAtOnce ? rows : chunk + kRowsAtOnce;
        for (int64_t first = 16 * blocks.begin; first < 16 * blocks.end; first += 16)
            for (int64_t row = chunk; row < end; row += tile_rows) {
                const int64_t count = end - row < tile_rows ? end - row : tile_rows;
                multiply<kTileRows>(x, row, count, p.weight, first, tile);
                if (p.gated) multiply<kTileRows>(x, row, count, p.weight, outputs + first, up);
                finish(p, row, count, first, outputs, tile, p.gated ? up : nullptr);
            }
    }
}

}  // namespace PELLUCID_ISA
