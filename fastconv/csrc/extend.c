/* Padding modes, in NumPy's meaning of their names, for any width: also several times the image's. */

#include "fastconv.h"

static int64_t modulo(int64_t i, int64_t n)
{
    const int64_t r = i % n;
    return r < 0 ? r + n : r;
}

int64_t fc_extend(fc_padding_mode mode, int64_t i, int64_t size)
{
    if (i >= 0 && i < size)
        return i;
    switch (mode) {
    case FC_REFLECT: { /* the edge pixel is not repeated; a single pixel is all there is */
        if (size == 1)
            return 0;
        const int64_t r = modulo(i, 2 * (size - 1));
        return r < size ? r : 2 * (size - 1) - r;
    }
    case FC_SYMMETRIC: { /* the edge pixel is repeated */
        const int64_t r = modulo(i, 2 * size);
        return r < size ? r : 2 * size - 1 - r;
    }
    case FC_EDGE:
        return i < 0 ? 0 : size - 1;
    case FC_WRAP:
        return modulo(i, size);
    case FC_CONSTANT:
        break;
    }
    return -1;
}
