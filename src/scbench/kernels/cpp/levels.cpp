// Numbers from packed codes (the layout is described in codes.py): eight codes at a time, as the bytes of one word.

#include <cstdint>

namespace {

struct Spread {
    uint64_t word[256];  // byte j of it is the bit number j of the index
    Spread() {
        for (int byte = 0; byte < 256; ++byte) {
            word[byte] = 0;
            for (int place = 0; place < 8; ++place)
                word[byte] |= static_cast<uint64_t>(byte >> place & 1) << (8 * place);
        }
    }
};

}  // namespace

// out[h, n, d] = level[code[h, n, d]]; a head's rows lie in one piece, `step` bytes lead from one head to the next.
extern "C" void scbench_levels(const uint8_t* code, const float* level, float* out, int64_t step, int64_t heads,
                               int64_t rows, int64_t dim, int64_t bits, int64_t threads) {
    const Spread spread;
    const int64_t eights = (dim + 7) / 8;
#pragma omp parallel for num_threads(static_cast<int>(threads)) schedule(static)
    for (int64_t n = 0; n < heads * rows; ++n) {
        const uint8_t* from = code + n / rows * step + n % rows * eights * bits;
        float* to = out + n * dim;
        for (int64_t m = 0; m < eights; ++m, from += bits, to += 8) {
            uint64_t word = 0;
            for (int64_t b = 0; b < bits; ++b) word |= spread.word[from[b]] << b;
            const int64_t here = dim - m * 8 < 8 ? dim - m * 8 : 8;
            for (int64_t j = 0; j < here; ++j) to[j] = level[word >> (8 * j) & 255];
        }
    }
}
