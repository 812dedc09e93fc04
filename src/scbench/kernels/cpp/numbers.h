// Numbers as kernels need them.

#pragma once

#include <cstdint>
#include <cstring>

inline float bits_to_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// e^x for x <= 0, to about 1e-7 of the result; 0 below -87. Written out, since std::exp stops the vectoriser.
inline float exp_negative(float x) {
    const float bounded = x < -87.0f ? -87.0f : x;
    const float shifted = bounded * 1.44269504f + 12582912.0f;  // adding 1.5 * 2^23 rounds
    const float n = shifted - 12582912.0f;
    const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    std::memcpy(&bits, &shifted, 4);
    const float power = bits_to_float((bits + 127u) << 23);
    return x < -87.0f ? 0.0f : p * power;
}
