/* lines.c: lines as texts one after another, which is how fe_encode takes them. */
#include "fe.h"
#include <string.h>

int64_t fe_lines(const uint8_t *data, int64_t size, uint8_t *utf8, int64_t *sizes) {
    const uint8_t *const stop = data + size;
    int64_t lines = 0;
    while (data < stop) {
        const uint8_t *const end = memchr(data, '\n', (size_t)(stop - data));
        const uint8_t *last = end ? end : stop;
        if (end && last > data && last[-1] == '\r') last--; /* of a line that has an end, one \r belongs to that */
        const size_t length = (size_t)(last - data);
        memcpy(utf8, data, length);
        utf8 += length;
        sizes[lines++] = (int64_t)length;
        data = end ? end + 1 : stop;
    }
    return lines;
}
