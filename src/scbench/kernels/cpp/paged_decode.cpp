// Attention of rows that each read pages of their own, where they lie: nothing is gathered into a tensor.
//
// Rows that share a list of pages read a token's key and value once from memory. A list is cut into tasks of fixed
// length, so that few lists still occupy all threads and results don't depend on how many there are.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "numbers.h"

namespace {

constexpr int EIGHT = 8;      // channels at once
constexpr int64_t MOST = 3;    // rows at once
constexpr int64_t AHEAD = 12;  // tokens between the one that is fetched and the one that is read
constexpr int64_t LINE = 16;   // numbers that come from memory together
constexpr int64_t TASK = 512;  // tokens of a task, about

typedef float Eight __attribute__((vector_size(4 * EIGHT)));  // g++ and clang make of it what the machine has

// A stretch of tokens; `steps` lead from one head and from one token to the next, of keys and of values.
struct Stretch {
    const float *k, *v;
    int64_t tokens;
    const int64_t* steps;
};

struct Job {
    const float* q;       // [G, X, E, D]
    const int64_t* page;  // [G, X, K], -1 where there is none
    float* out;           // [G, X, E, D]
    float* lse;           // [G, X, E]
    int64_t heads, lists, each, dim, pages, size;
    float scale;
    std::vector<Stretch> stretches;
};

struct Token {
    const float *k, *v;
};

// The tokens of the pages number `from` up to `to` of a list.
void collect(const Job& job, int64_t head, const int64_t* page, int64_t from, int64_t to, std::vector<Token>& tokens) {
    tokens.clear();
    for (int64_t p = from; p < to; ++p) {
        if (page[p] < 0) continue;
        int64_t begin = page[p] * job.size, end = begin + job.size;  // as counted from the stretch's first token
        for (const Stretch& s : job.stretches) {
            for (int64_t t = std::max<int64_t>(begin, 0); t < std::min(end, s.tokens); ++t)
                tokens.push_back({s.k + head * s.steps[0] + t * s.steps[1], s.v + head * s.steps[2] + t * s.steps[3]});
            begin -= s.tokens;
            end -= s.tokens;
            if (end <= 0) break;
        }
    }
}

inline Eight load(const float* from) {
    Eight value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline void fetch(const float* from, int64_t numbers) {
    for (int64_t i = 0; i < numbers; i += LINE) __builtin_prefetch(from + i);
}

// score[r][t] = scale * q[r] . k[t], for R rows
template <int R>
inline void scores(const std::vector<Token>& tokens, const float* q, int64_t dim, float scale, float* score) {
    const int64_t count = static_cast<int64_t>(tokens.size());
    for (int64_t t = 0; t < count; ++t) {
        const float* k = tokens[t].k;
        if (t + AHEAD < count) fetch(tokens[t + AHEAD].k, dim);
        Eight sum[R] = {};
        int64_t d = 0;
        for (; d + EIGHT <= dim; d += EIGHT) {
            const Eight key = load(k + d);
            for (int r = 0; r < R; ++r) sum[r] += load(q + r * dim + d) * key;
        }
        for (int r = 0; r < R; ++r) {
            float all = ((sum[r][0] + sum[r][4]) + (sum[r][1] + sum[r][5])) +
                        ((sum[r][2] + sum[r][6]) + (sum[r][3] + sum[r][7]));
            for (int64_t e = d; e < dim; ++e) all += q[r * dim + e] * k[e];
            score[r * count + t] = all * scale;
        }
    }
}

// acc[r][i] = sum over tokens of weight[r][t] * v[t][i], for R rows and 8 * W channels from the one numbered `first` on
template <int R, int W>
inline void outputs(const std::vector<Token>& tokens, const float* weight, int64_t first, int64_t dim, float* acc) {
    const int64_t count = static_cast<int64_t>(tokens.size());
    Eight sum[R][W] = {};
    for (int64_t t = 0; t < count; ++t) {
        const float* v = tokens[t].v + first;
        if (t + AHEAD < count) fetch(tokens[t + AHEAD].v + first, EIGHT * W);
        for (int w = 0; w < W; ++w) {
            const Eight value = load(v + EIGHT * w);
            for (int r = 0; r < R; ++r) sum[r][w] += weight[r * count + t] * value;
        }
    }
    for (int r = 0; r < R; ++r) std::memcpy(acc + r * dim + first, sum[r], sizeof sum[r]);
}

// R rows of a list, from their scores to their outputs.
template <int R>
void rows(const std::vector<Token>& tokens, const float* q, int64_t dim, float scale, float* score, float* top,
          float* total, float* acc) {
    const int64_t count = static_cast<int64_t>(tokens.size());
    scores<R>(tokens, q, dim, scale, score);
    for (int r = 0; r < R; ++r) {
        float *s = score + r * count, high = -std::numeric_limits<float>::infinity(), sum = 0.0f;
#pragma omp simd reduction(max : high)
        for (int64_t t = 0; t < count; ++t) high = high < s[t] ? s[t] : high;
#pragma omp simd reduction(+ : sum)
        for (int64_t t = 0; t < count; ++t) {
            s[t] = exp_negative(s[t] - high);
            sum += s[t];
        }
        top[r] = high;
        total[r] = sum;
    }
    int64_t d = 0;
    for (; d + 4 * EIGHT <= dim; d += 4 * EIGHT) outputs<R, 4>(tokens, score, d, dim, acc);
    for (; d + EIGHT <= dim; d += EIGHT) outputs<R, 1>(tokens, score, d, dim, acc);
    for (; d < dim; ++d)
        for (int r = 0; r < R; ++r) {
            float sum = 0.0f;
            for (int64_t t = 0; t < count; ++t) sum += score[r * count + t] * tokens[t].v[d];
            acc[r * dim + d] = sum;
        }
}

void task(const Job& job, int64_t list, int64_t from, int64_t to, float* top, float* total, float* acc) {
    thread_local std::vector<Token> tokens;
    thread_local std::vector<float> score;
    const int64_t head = list / job.lists;
    collect(job, head, job.page + list * job.pages, from, to, tokens);
    const int64_t count = static_cast<int64_t>(tokens.size());
    score.resize(tokens.size() * MOST);
    const float* q = job.q + list * job.each * job.dim;
    for (int64_t r = 0; r < job.each;) {  // as many at once as registers hold
        const auto some = job.each - r >= 3 ? rows<3> : job.each - r == 2 ? rows<2> : rows<1>;
        some(tokens, q + r * job.dim, job.dim, job.scale, score.data(), top + r, total + r, acc + r * job.dim);
        r += std::min<int64_t>(MOST, job.each - r);
    }
}

}  // namespace

// `tokens` and four `steps` for each of the stretches, which follow one another; a page may begin in one and end in
// the next. A row that reads nothing has the output 0 and the log-sum-exp -inf.
extern "C" void scbench_paged_decode(const float* q, const int64_t* page, float* out, float* lse, int64_t heads,
                                     int64_t lists, int64_t each, int64_t dim, int64_t pages, int64_t size,
                                     float scale, int64_t stretches, const float* const* k, const float* const* v,
                                     const int64_t* tokens, const int64_t* steps, int64_t threads) {
    Job job{q, page, out, lse, heads, lists, each, dim, pages, size, scale, {}};
    for (int64_t s = 0; s < stretches; ++s) job.stretches.push_back({k[s], v[s], tokens[s], steps + 4 * s});
    const int64_t step = std::max<int64_t>(1, TASK / size), parts = std::max<int64_t>(1, (pages + step - 1) / step);
    const int64_t tasks = heads * lists * parts;
    std::vector<float> top(tasks * each), total(tasks * each), acc(tasks * each * dim);
#pragma omp parallel for num_threads(static_cast<int>(threads)) schedule(dynamic)
    for (int64_t n = 0; n < tasks; ++n) {
        const int64_t from = n % parts * step;
        task(job, n / parts, from, std::min(from + step, pages), &top[n * each], &total[n * each],
             &acc[n * each * dim]);
    }
    const float none = -std::numeric_limits<float>::infinity();
    for (int64_t row = 0; row < heads * lists * each; ++row) {
        const int64_t first = row / each * parts * each + row % each;
        float high = none, sum = 0.0f, *to = out + row * dim;
        for (int64_t p = 0; p < parts; ++p) high = std::max(high, top[first + p * each]);
        std::fill(to, to + dim, 0.0f);
        for (int64_t p = 0; p < parts; ++p) {
            const int64_t at = first + p * each;
            const float weight = top[at] == none ? 0.0f : std::exp(top[at] - high);
            sum += weight * total[at];
            for (int64_t d = 0; d < dim && weight != 0.0f; ++d) to[d] += weight * acc[at * dim + d];
        }
        for (int64_t d = 0; d < dim && sum != 0.0f; ++d) to[d] /= sum;
        lse[row] = sum == 0.0f ? none : high + std::log(sum);
    }
}
