/* hist: a histogram of latencies in microseconds with cells of equal relative width, so that a
 * stall of seconds is kept as exactly as an answer of 80 us. See wsbench.h. */
#include "wsbench.h"

static uint32_t cell_of(uint64_t us) {
    if (us < HIST_SUB)
        return (uint32_t)us;
    uint32_t power = 63 - (uint32_t)__builtin_clzll(us); /* >= 5 */
    uint32_t cell = (power - 4) * HIST_SUB + (uint32_t)((us >> (power - 5)) & (HIST_SUB - 1));
    return cell < HIST_CELLS ? cell : HIST_CELLS - 1;
}

/* the highest value of a cell */
static uint64_t value_of(uint32_t cell) {
    if (cell < HIST_SUB)
        return cell;
    uint32_t power = cell / HIST_SUB + 4;
    uint64_t step = 1ull << (power - 5);
    return (1ull << power) + (cell % HIST_SUB + 1) * step - 1;
}

void hist_add(hist_t *h, uint64_t us) {
    h->cell[cell_of(us)]++;
    h->count++;
    h->sum += us;
    if (us > h->max)
        h->max = us;
}

void hist_merge(hist_t *into, const hist_t *from) {
    for (int i = 0; i < HIST_CELLS; i++)
        into->cell[i] += from->cell[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t hist_at(const hist_t *h, double quantile) {
    uint64_t want = (uint64_t)(quantile * (double)h->count + 0.5), seen = 0;
    if (want < 1)
        want = 1;
    for (uint32_t i = 0; i < HIST_CELLS; i++) {
        seen += h->cell[i];
        if (seen >= want && h->count) {
            uint64_t v = value_of(i);
            return v < h->max ? v : h->max;
        }
    }
    return 0;
}
