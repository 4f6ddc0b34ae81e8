/* schemes.h: THE TABLE OF WINOGRAD'S SCHEMES, each for one axis: `points` products give `outputs` results of a kernel of `taps`. */
#ifndef FC_SCHEMES_H
#define FC_SCHEMES_H

/* Fmr is F(m, r), m results of r taps; F(m, 1) leaves the pixels as they are. FmrS2 steps over every other pixel: its even and
 * its odd taps read pixels of their own, so it is two schemes without a stride, side by side, whose results are added. */
typedef enum { FC_F11, FC_F23, FC_F43, FC_F25, FC_F23S2, FC_F43S2, FC_F25S2, FC_SCHEMES } fc_scheme;

/* Those that are but a part of another. */
enum { FC_F21 = FC_SCHEMES, FC_F41, FC_F22, FC_F42, FC_ALL_SCHEMES };

static const struct {
    int outputs, taps, stride, even, odd; /* the last two where the stride is 2 */
} fc_schemes[FC_ALL_SCHEMES] = {
    [FC_F11] = {1, 1, 1, 0, 0},
    [FC_F23] = {2, 3, 1, 0, 0},
    [FC_F43] = {4, 3, 1, 0, 0},
    [FC_F25] = {2, 5, 1, 0, 0},
    [FC_F23S2] = {2, 3, 2, FC_F22, FC_F21},
    [FC_F43S2] = {4, 3, 2, FC_F42, FC_F41},
    [FC_F25S2] = {2, 5, 2, FC_F23, FC_F22},
    [FC_F21] = {2, 1, 1, 0, 0},
    [FC_F41] = {4, 1, 1, 0, 0},
    [FC_F22] = {2, 2, 1, 0, 0},
    [FC_F42] = {4, 2, 1, 0, 0},
};

enum { FC_WINOGRAD_POINTS = 9 }; /* most of an axis */

static inline int fc_winograd_outputs(int scheme)
{
    return fc_schemes[scheme].outputs;
}

static inline int fc_winograd_taps(int scheme)
{
    return fc_schemes[scheme].taps;
}

/* A tile reads as many pixels. */
static inline int fc_winograd_points(int scheme)
{
    return (fc_schemes[scheme].outputs - 1) * fc_schemes[scheme].stride + fc_schemes[scheme].taps;
}

#endif
