/* decimals.c: float32 as the shortest decimals that are read as the same numbers (docs/design/cli.md says why). */
#include "decimal_powers.h"
#include "fe.h"
#include <string.h>

enum { POINTS_UP_TO = 16, ZEROS_UP_TO = 4 }; /* Python's repr has an exponent beyond */

typedef struct {
    uint32_t digits;
    int32_t exponent;
} decimal; /* digits * 10**exponent */

/* floor(x / 2**by), whatever >> does of a negative number. */
static int32_t shifted(int32_t x, int by) { return x < 0 ? ~(~x >> by) : x >> by; }

/* The 32 bits of power * x that lie above 64, the last one set too if the product has more below: then an odd one is
 * known to be no whole number. */
static uint32_t scaled(uint64_t power, uint32_t x) {
    const uint64_t low = (power & UINT32_MAX) * x, high = (power >> 32) * x + (low >> 32);
    return (uint32_t)(high >> 32) | ((uint32_t)high > 1);
}

/* The shortest decimal between the halfway points to both neighbours of a number, which is none of 0, inf and NaN; of
 * the shortest, the nearest. Its bits are those of a float32 without the sign. */
static decimal shortest(uint32_t bits) {
    const uint32_t biased = bits >> 23, fraction = bits & 0x7FFFFF;
    const uint32_t c = biased ? fraction | 0x800000 : fraction; /* the number is c * 2**q */
    const int32_t q = (int32_t)(biased ? biased : 1) - 150;
    const int near = fraction == 0 && biased > 1; /* the neighbour below is only half as far */
    const int32_t k = shifted(q * 1262611 - (near ? 524031 : 0), 22); /* floor(log10(the distance of those points)) */
    const uint64_t power = fe_powers[(size_t)(-k - FE_LEAST_POWER)];
    const int h = q + shifted(-k * 1741647, 19) + 1;
    /* Everything in quarters of 10**k. Halfway points are read as the number if that is even. */
    const uint32_t odd = c & 1, at = scaled(power, 4 * c << h);
    const uint32_t low = scaled(power, (4 * c - (near ? 1 : 2)) << h) + odd;
    const uint32_t high = scaled(power, (4 * c + 2) << h) - odd;
    const uint32_t unit = at / 4, tens = unit / 10;
    if (unit >= 10) { /* at most one multiple of ten lies between, or the distance would be more than 10**(k+1) */
        const int down = low <= 40 * tens, up = 40 * tens + 40 <= high;
        if (down != up) return (decimal){tens + (uint32_t)up, k + 1};
    }
    const int down = low <= 4 * unit, up = 4 * unit + 4 <= high;
    const uint32_t middle = 4 * unit + 2;
    const int nearer_up = at > middle || (at == middle && (unit & 1)); /* of equally near ones the even one */
    return (decimal){unit + (uint32_t)(down != up ? up : nearer_up), k};
}

static uint8_t *put_text(uint8_t *out, const char *text) {
    const size_t size = strlen(text);
    memcpy(out, text, size);
    return out + size;
}

static uint8_t *put_zeros(uint8_t *out, int32_t count) {
    memset(out, '0', (size_t)count);
    return out + count;
}

/* A number as Python's repr writes the float of its shortest digits. */
static uint8_t *put_float(uint8_t *out, uint32_t bits) {
    if (bits > 0x7F800000 && bits << 1 > 0xFF000000u) return put_text(out, "NaN");
    if (bits >> 31) *out++ = '-';
    bits &= 0x7FFFFFFF;
    if (bits == 0x7F800000) return put_text(out, "Infinity");
    if (bits == 0) return put_text(out, "0.0");
    decimal number = shortest(bits);
    while (number.digits % 10 == 0) number.digits /= 10, number.exponent++;
    uint8_t digits[10];
    int32_t count = 0;
    for (uint32_t rest = number.digits; rest; rest /= 10) digits[9 - count++] = (uint8_t)('0' + rest % 10);
    const uint8_t *const first = digits + 10 - count;
    const int32_t point = count + number.exponent; /* how many digits stand before it */
    if (point > POINTS_UP_TO || point <= -ZEROS_UP_TO) {
        *out++ = first[0];
        if (count > 1) {
            *out++ = '.';
            memcpy(out, first + 1, (size_t)count - 1);
            out += count - 1;
        }
        const int32_t power = point - 1, size = power < 0 ? -power : power; /* two digits, as float32 has no more */
        out = put_text(out, power < 0 ? "e-" : "e+");
        *out++ = (uint8_t)('0' + size / 10);
        *out++ = (uint8_t)('0' + size % 10);
        return out;
    }
    if (point <= 0) {
        out = put_zeros(put_text(out, "0."), -point);
        memcpy(out, first, (size_t)count);
        return out + count;
    }
    const int32_t whole = count < point ? count : point;
    memcpy(out, first, (size_t)whole);
    out = put_zeros(out + whole, point - whole);
    *out++ = '.';
    if (whole == count) return put_zeros(out, 1);
    memcpy(out, first + whole, (size_t)(count - whole));
    return out + count - whole;
}

int64_t fe_decimals(const float *values, int64_t rows, int64_t columns, uint8_t *out, int64_t capacity, int64_t *ends) {
    int64_t used = 0;
    for (int64_t row = 0; row < rows; row++) {
        if (columns > (capacity - used) / FE_DECIMAL) return row;
        uint8_t *at = out + used;
        for (int64_t i = 0; i < columns; i++) {
            uint32_t bits;
            memcpy(&bits, values++, sizeof bits);
            if (i) at = put_text(at, ", ");
            at = put_float(at, bits);
        }
        ends[row] = used = at - out;
    }
    return rows;
}
