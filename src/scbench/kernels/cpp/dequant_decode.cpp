// Attention of few rows over rounded keys and values (the layout is described in packing.py), fused: codes are made
// numbers in blocks that fit the first-level cache, and never written to memory.
//
// No intrinsics: fixed inner sizes let g++ -O3 -march=native use whatever vectors the machine has. Codes become
// floats through a table from a byte to its 8 / bits codes; keys are laid out transposed that way, so that a vector
// holds tokens in the scores and channels in the output, and nothing is ever summed across a vector. Scales of
// keys go into the queries, once per group of tokens.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "numbers.h"

namespace {

constexpr int64_t LANES = 32;   // tokens, or channels, of an inner loop
constexpr int64_t SPAN = 512;   // tokens between two updates of the running maximum, about
constexpr int64_t PART = 2048;  // tokens of a task, about: fixed, so that results don't depend on the threads

struct Job {
    const float* q;  // [G, N, D]
    const uint8_t* k_code;
    const uint16_t* k_scale;
    const uint16_t* k_low;
    const uint8_t* v_code;
    const uint16_t* v_scale;
    const uint16_t* v_low;
    const float* v_rest;  // [G, k, D]
    float* out;           // [G, N, D]
    float* lse;           // [G, N]
    int64_t heads, rows, dim, tokens, k_group, packed, v_group;
    int64_t steps[7];  // from one head to the next, in elements, of the seven inputs behind q
    float scale;
};

inline float half_to_float(uint16_t half) {
    const uint32_t wide = static_cast<uint32_t>(half) << 16, twice = wide << 1;
    const float normal = bits_to_float((twice >> 4) + (0xE0u << 23)) * 0x1.0p-112f;
    const float small = bits_to_float((twice >> 17) | (126u << 23)) - 0.5f;
    const float magnitude = twice < (1u << 27) ? small : normal;
    return wide >> 31 ? -magnitude : magnitude;
}

template <int EACH>
struct Table {
    float code[256][EACH];
    Table() {
        constexpr int bits = 8 / EACH;
        for (int byte = 0; byte < 256; ++byte)
            for (int place = 0; place < EACH; ++place)
                code[byte][place] = static_cast<float>((byte >> (bits * place)) & ((1 << bits) - 1));
    }
};

// score[r][i] = sum over d of q[r][d] * k[d][i], for R rows and LANES tokens
template <int R>
inline void scores(const float* q, const float* k, int64_t dim, float* score, int64_t stride) {
    float sum[R][LANES] = {};
    for (int64_t d = 0; d < dim; ++d)
        for (int r = 0; r < R; ++r)
            for (int64_t i = 0; i < LANES; ++i) sum[r][i] += q[r * dim + d] * k[d * LANES + i];
    for (int r = 0; r < R; ++r) std::memcpy(score + r * stride, sum[r], sizeof sum[r]);
}

// acc[r][i] += sum over t of weight[r][t] * v[t][i], for R rows and LANES channels
template <int R>
inline void outputs(const float* weight, int64_t weights, const float* v, int64_t wide, int64_t tokens, float* acc) {
    float sum[R][LANES];
    for (int r = 0; r < R; ++r) std::memcpy(sum[r], acc + r * wide, sizeof sum[r]);
    for (int64_t t = 0; t < tokens; ++t)
        for (int r = 0; r < R; ++r)
            for (int64_t i = 0; i < LANES; ++i) sum[r][i] += weight[r * weights + t] * v[t * wide + i];
    for (int r = 0; r < R; ++r) std::memcpy(acc + r * wide, sum[r], sizeof sum[r]);
}

// Calls f<R>(first row) for all rows, three at a time: as many as sixteen vector registers hold
#define FOR_ROWS(rows, call3, call2, call1) \
    for (int64_t row = 0; row < (rows);) {  \
        if ((rows) - row >= 3) { call3; row += 3; } \
        else if ((rows) - row == 2) { call2; row += 2; } \
        else { call1; row += 1; } \
    }

template <int KEACH, int VEACH>
void task(const Job& job, const Table<KEACH>& k_table, const Table<VEACH>& v_table, int64_t head, int64_t begin,
          int64_t end, int64_t span, float* top, float* total, float* acc, int64_t wide) {
    const int64_t rows = job.rows, dim = job.dim, stride = span + LANES;
    const int64_t v_groups = (dim + job.v_group - 1) / job.v_group, v_bytes = (dim + VEACH - 1) / VEACH;
    const uint8_t *k_code = job.k_code + head * job.steps[0], *v_code = job.v_code + head * job.steps[3];
    const uint16_t *k_scales = job.k_scale + head * job.steps[1], *k_lows = job.k_low + head * job.steps[2];
    const uint16_t *v_scales = job.v_scale + head * job.steps[4], *v_lows = job.v_low + head * job.steps[5];
    const float* v_rest = job.v_rest + head * job.steps[6];
    const float* q = job.q + head * rows * dim;
    std::vector<float> score(rows * stride), scaled(rows * dim), k_block(dim * LANES), v_block(LANES * wide);
    std::vector<float> k_scale(dim), k_low(dim), offset(rows);
    std::fill(top, top + rows, -std::numeric_limits<float>::infinity());
    std::fill(total, total + rows, 0.0f);
    std::fill(acc, acc + rows * wide, 0.0f);
    for (int64_t from = begin; from < end; from += span) {
        const int64_t to = std::min(from + span, end);
        for (int64_t first = from; first < to; first += job.k_group) {
            const int64_t at = first / job.k_group * dim;
            for (int64_t d = 0; d < dim; ++d) k_scale[d] = half_to_float(k_scales[at + d]) * job.scale;
            for (int64_t d = 0; d < dim; ++d) k_low[d] = half_to_float(k_lows[at + d]) * job.scale;
            for (int64_t r = 0; r < rows; ++r) {
                float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
                for (int64_t d = 0; d < dim; ++d) {
                    scaled[r * dim + d] = q[r * dim + d] * k_scale[d];
                    sum += q[r * dim + d] * k_low[d];
                }
                offset[r] = sum;
            }
            for (int64_t t = first; t < first + job.k_group; t += LANES) {
                const int64_t here = std::min(LANES, first + job.k_group - t);  // a whole number of bytes
                for (int64_t c = 0; c < here / KEACH; ++c) {
                    const uint8_t* code = k_code + (t / KEACH + c) * dim;
                    for (int64_t d = 0; d < dim; ++d)
                        std::memcpy(&k_block[d * LANES + c * KEACH], k_table.code[code[d]], 4 * KEACH);
                }
                float* s = score.data() + (t - from);
                const float *x = scaled.data(), *k = k_block.data();
                FOR_ROWS(rows, scores<3>(x + row * dim, k, dim, s + row * stride, stride),
                         scores<2>(x + row * dim, k, dim, s + row * stride, stride),
                         scores<1>(x + row * dim, k, dim, s + row * stride, stride))
                for (int64_t r = 0; r < rows; ++r)
                    for (int64_t i = 0; i < here; ++i) s[r * stride + i] += offset[r];
            }
        }
        for (int64_t r = 0; r < rows; ++r) {
            float* s = &score[r * stride];
            float high = top[r], sum = 0.0f;
#pragma omp simd reduction(max : high)
            for (int64_t t = 0; t < to - from; ++t) high = high < s[t] ? s[t] : high;
            const float keep = exp_negative(top[r] - high);  // of -inf it is 0
#pragma omp simd reduction(+ : sum)
            for (int64_t t = 0; t < to - from; ++t) {
                s[t] = exp_negative(s[t] - high);
                sum += s[t];
            }
            total[r] = total[r] * keep + sum;
            for (int64_t d = 0; d < wide; ++d) acc[r * wide + d] *= keep;
            top[r] = high;
        }
        for (int64_t t = from; t < to; t += LANES) {
            const int64_t here = std::min(LANES, to - t), packed = std::clamp<int64_t>(job.packed - t, 0, here);
            for (int64_t i = 0; i < packed; ++i) {
                const uint8_t* code = v_code + (t + i) * v_bytes;
                for (int64_t j = 0; j < v_bytes; ++j)
                    std::memcpy(&v_block[i * wide + j * VEACH], v_table.code[code[j]], 4 * VEACH);
            }
            for (int64_t i = 0; i < packed; ++i) {
                const int64_t at = (t + i) * v_groups;
                for (int64_t m = 0; m < v_groups; ++m) {
                    const float by = half_to_float(v_scales[at + m]), low = half_to_float(v_lows[at + m]);
                    const int64_t stop = std::min((m + 1) * job.v_group, dim);
                    for (int64_t d = m * job.v_group; d < stop; ++d)
                        v_block[i * wide + d] = v_block[i * wide + d] * by + low;
                }
            }
            for (int64_t i = packed; i < here; ++i)
                std::memcpy(&v_block[i * wide], v_rest + (t + i - job.packed) * dim, 4 * dim);
            const float* s = score.data() + (t - from);
            for (int64_t d = 0; d < dim; d += LANES) {
                const float* v = v_block.data() + d;
                float* a = acc + d;
                FOR_ROWS(rows, outputs<3>(s + row * stride, stride, v, wide, here, a + row * wide),
                         outputs<2>(s + row * stride, stride, v, wide, here, a + row * wide),
                         outputs<1>(s + row * stride, stride, v, wide, here, a + row * wide))
            }
        }
    }
}

template <int KEACH, int VEACH>
void attend(const Job& job, int threads) {
    const Table<KEACH> k_table;
    const Table<VEACH> v_table;
    const int64_t span = (SPAN + job.k_group - 1) / job.k_group * job.k_group;
    const int64_t size = (PART + span - 1) / span * span, parts = (job.tokens + size - 1) / size;
    const int64_t wide = (job.dim + LANES - 1) / LANES * LANES + LANES;  // a byte may reach past the last channel
    std::vector<float> top(job.heads * parts * job.rows), total(top.size()), acc(top.size() * wide);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t n = 0; n < job.heads * parts; ++n) {
        const int64_t begin = n % parts * size;
        task<KEACH, VEACH>(job, k_table, v_table, n / parts, begin, std::min(begin + size, job.tokens), span,
                           &top[n * job.rows], &total[n * job.rows], &acc[n * job.rows * wide], wide);
    }
    for (int64_t head = 0; head < job.heads; ++head)
        for (int64_t r = 0; r < job.rows; ++r) {
            float high = -std::numeric_limits<float>::infinity(), sum = 0.0f;
            for (int64_t p = 0; p < parts; ++p) high = std::max(high, top[(head * parts + p) * job.rows + r]);
            float* out = job.out + (head * job.rows + r) * job.dim;
            std::fill(out, out + job.dim, 0.0f);
            for (int64_t p = 0; p < parts; ++p) {
                const int64_t at = (head * parts + p) * job.rows + r;
                const float weight = std::exp(top[at] - high);
                sum += weight * total[at];
                for (int64_t d = 0; d < job.dim; ++d) out[d] += weight * acc[at * wide + d];
            }
            for (int64_t d = 0; d < job.dim; ++d) out[d] /= sum;
            job.lse[head * job.rows + r] = high + std::log(sum);
        }
}

}  // namespace

// A head of a tensor lies in one piece; `steps` lead from one head to the next, in elements. Returns 0, or 1 for
// numbers of bits that it does not know.
extern "C" int scbench_dequant_decode(const float* q, const uint8_t* k_code, const uint16_t* k_scale,
                                      const uint16_t* k_low, const uint8_t* v_code, const uint16_t* v_scale,
                                      const uint16_t* v_low, const float* v_rest, float* out, float* lse,
                                      const int64_t* steps, int64_t heads, int64_t rows, int64_t dim, int64_t tokens,
                                      int64_t k_bits, int64_t k_group, int64_t packed, int64_t v_bits, int64_t v_group,
                                      float scale, int64_t threads) {
    Job job{q,   k_code, k_scale, k_low, v_code, v_scale, v_low,  v_rest,  out,
            lse, heads,  rows,    dim,   tokens, k_group, packed, v_group, {}, scale};
    std::copy(steps, steps + 7, job.steps);
    const int n = static_cast<int>(threads);
    if (k_bits == 2 && v_bits == 2) attend<4, 4>(job, n);
    else if (k_bits == 2 && v_bits == 4) attend<4, 2>(job, n);
    else if (k_bits == 4 && v_bits == 2) attend<2, 4>(job, n);
    else if (k_bits == 4 && v_bits == 4) attend<2, 2>(job, n);
    else return 1;
    return 0;
}
