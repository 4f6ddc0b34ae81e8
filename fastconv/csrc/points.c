/* Errors of Winograd's schemes. */

#include "fastconv.h"
#include "tiles.h"

#define NEAR 0.70710678118654752440
#define FAR 1.41421356237309504880

/* How many finite points each scheme has, and which; infinity is one more. */
static const struct {
    int finite;
    double points[FC_FINITE];
} points_of[FC_ALL_SCHEMES] = {
    [FC_F23] = {3, {0, 1, -1}},
    [FC_F43] = {5, {0, NEAR, -NEAR, FAR, -FAR}},
    [FC_F25] = {5, {0, NEAR, -NEAR, FAR, -FAR}},
    [FC_F22] = {2, {0, 1}},
    [FC_F42] = {4, {7. / 16, -7. / 16, 5. / 4, -5. / 4}},
};

static fc_points axis(fc_scheme scheme)
{
    fc_points found = {fc_schemes[scheme].outputs, fc_schemes[scheme].taps, fc_schemes[scheme].stride, {0}, {{0}}};
    const int parts[2] = {found.stride == 2 ? fc_schemes[scheme].even : (int)scheme, fc_schemes[scheme].odd};
    for (int i = 0; i < found.stride; i++) {
        found.finite[i] = points_of[parts[i]].finite;
        for (int k = 0; k < found.finite[i]; k++)
            found.points[i][k] = points_of[parts[i]].points[k];
    }
    return found;
}

/* Errors of a tile's products are relative to |U| |V|, those of the transforms to |G| |g| and |B| |d|, and reach an output by |A|.
 * For one axis and pixels of at most 1, the most that |A| (|G| |B||d|) makes of a tap is `apart`, with the absolute values of
 * B and d taken apart, and that of |A| (|G| |B d|) is `together`, at one of the corners of the cube of all d. In two
 * dimensions the second holds for one axis alone. Roundings on one path: 4 in an axis of B, 6 in one of G and of A, constants
 * counted, one for each input channel, and one for the bias. */
fc_error fc_points_error(fc_scheme down, fc_scheme across, int64_t channels)
{
    static const double apart[FC_SCHEMES] = {[FC_F11] = 1,  [FC_F23] = 4,        [FC_F43] = 12.536,  [FC_F25] = 12.536,
                                               [FC_F23S2] = 3, [FC_F43S2] = 7.7050, [FC_F25S2] = 4};
    static const double together[FC_SCHEMES] = {[FC_F11] = 1,  [FC_F23] = 3,        [FC_F43] = 9.2072,  [FC_F25] = 9.2072,
                                                  [FC_F23S2] = 3, [FC_F43S2] = 5.3310, [FC_F25S2] = 3};
    const double one = together[down] * apart[across], other = apart[down] * together[across];
    const double constant = (one < other ? one : other) * ((double)channels + 25) + apart[down] * apart[across] * 8;
    return (fc_error){.constant = constant, .points = {axis(down), axis(across)}};
}
