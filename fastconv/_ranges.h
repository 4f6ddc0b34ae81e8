/* Which part of a piece of work a thread takes next.
 *
 * Each thread begins with parts of its own, side by side, and then takes what others have not begun. The next piece of work,
 * cut alike, finds its operands in the cache of the core that had them: a counter for all gave them to whoever came first,
 * and two threads on Granite Rapids, whose 2 MiB caches of the second level then held everything twice, and lines of the
 * result that the other core had written, took 1.3 to 1.6 times as long on 1 x 1 layers. */
#ifndef FC_RANGES_H
#define FC_RANGES_H

#include <stdint.h>

/* A line of memory, lest threads wait for one another's. */
typedef struct {
    int64_t next, end; /* parts; `next` may be beyond `end` */
    int taken;         /* under the pool's lock: whether a thread has this number */
    char apart[44];
} fc_range;

/* Parts from begin to end, for n threads. */
static inline void fc_divide(fc_range *ranges, int n, int64_t begin, int64_t end)
{
    const int64_t each = (end - begin) / n, more = (end - begin) % n; /* products of large numbers would not fit */
    for (int i = 0; i < n; i++) {
        const int64_t length = each + (i < more);
        ranges[i] = (fc_range){.next = begin, .end = begin + length};
        begin += length;
    }
}

/* The next part for a thread, which begins with `*at` at its own range; -1 if none is left. */
static inline int64_t fc_take(fc_range *ranges, int n, int thread, int *at)
{
    for (; *at < n; ++*at) {
        fc_range *const range = &ranges[(thread + *at) % n];
        if (__atomic_load_n(&range->next, __ATOMIC_RELAXED) >= range->end)
            continue; /* without a write, which would take the line from all others */
        const int64_t part = __atomic_fetch_add(&range->next, 1, __ATOMIC_RELAXED);
        if (part < range->end)
            return part;
    }
    return -1;
}

/* Under the pool's lock: a number for a thread, of which one is free: the one that it had last, or the first free one. */
static inline int fc_number(fc_range *ranges, int n, int last)
{
    int thread = last < n && !ranges[last].taken ? last : 0;
    while (ranges[thread].taken)
        thread++;
    ranges[thread].taken = 1;
    return thread;
}

#endif
