/* The polygenic engine's inner loops, called by loops.py: calls unpacked, turned, counted and summed.
 *
 * Calls take two bits: 0, 1, 2 copies, 3 missing. Rows hold one site each, 32 samples a 64-bit word; words hold
 * 32 sites of one sample each. Nothing here allocates, fails or remembers: who calls gives room and checks sizes.
 * Compiled without contraction, so that every machine gives the same digits.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__)
#define FAST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FAST
#endif
#define INLINE static inline __attribute__((always_inline))
#define LOW_BITS 0x5555555555555555ULL

/* Records of a PGEN (PGEN file format, Chang 2024). */

/* A number of seven bits a byte, the lowest first; -1 where it does not end. */
INLINE int64_t number(const uint8_t **at, const uint8_t *end)
{
    int64_t value = 0;
    for (int shift = 0; *at < end && shift < 35; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (int64_t)(byte & 127) << shift;
        if (byte < 128)
            return value;
    }
    return -1;
}

/* Write a list of calls that differ into `row`; 0 where it does not add up. */
static int differ(const uint8_t *at, const uint8_t *end, int64_t n, uint8_t *row)
{
    int64_t count = number(&at, end);
    if (count <= 0)
        return count == 0;
    int64_t id_bytes = 1, groups = (count + 63) / 64;
    while (n >> (8 * id_bytes))
        id_bytes++;
    int64_t calls_at = groups * id_bytes + groups - 1;
    if (count > n || calls_at + (count + 3) / 4 > end - at)
        return 0;
    const uint8_t *calls = at + calls_at, *steps = calls + (count + 3) / 4;
    int64_t sample = 0;
    for (int64_t k = 0; k < count; k++) {
        if ((k & 63) == 0) {
            sample = 0;
            for (int64_t byte = 0; byte < id_bytes; byte++)
                sample |= (int64_t)at[(k >> 6) * id_bytes + byte] << (8 * byte);
        } else {
            int64_t step = number(&steps, end);
            if (step < 0)
                return 0;
            sample += step;
        }
        if (sample >= n)
            return 0;
        int shift = 2 * (sample & 3), call = calls[k >> 2] >> (2 * (k & 3)) & 3;
        row[sample >> 2] = (uint8_t)((row[sample >> 2] & ~(3 << shift)) | call << shift);
    }
    return 1;
}

/* 32 flags as 32 calls of 0 and 1. */
INLINE uint64_t spread(uint64_t bits)
{
    bits = (bits | bits << 16) & 0x0000FFFF0000FFFFULL;
    bits = (bits | bits << 8) & 0x00FF00FF00FF00FFULL;
    bits = (bits | bits << 4) & 0x0F0F0F0F0F0F0F0FULL;
    bits = (bits | bits << 2) & 0x3333333333333333ULL;
    return (bits | bits << 1) & LOW_BITS;
}

/* Two commonest calls: one flag a sample, and which two they are. */
FAST void two_calls(const uint8_t *flags, int64_t n, uint64_t ground, uint64_t step, uint64_t *row)
{
    for (int64_t k = 0; k < n / 32; k++) {
        uint32_t word;
        memcpy(&word, flags + 4 * k, 4);
        row[k] = ground * LOW_BITS + spread(word) * step;
    }
    if (n % 32) {
        uint32_t word = 0;
        memcpy(&word, flags + n / 32 * 4, (size_t)(n % 32 + 7) / 8);
        row[n / 32] = ground * LOW_BITS + spread(word) * step;
    }
}

FAST void mirror(uint64_t *row, int64_t n_words)
{
    for (int64_t k = 0; k < n_words; k++)
        row[k] ^= (~row[k] & LOW_BITS) << 1;
}

/* One record into a row; 0 where it does not add up. `earlier`: the row that others differ from. */
static int record(const uint8_t *at, const uint8_t *end, int kind, int64_t n, const uint64_t *earlier, uint64_t *row)
{
    int64_t n_words = (n + 31) / 32, n_bytes = (n + 3) / 4, n_flags = (n + 7) / 8;
    int whole = 1;
    if (kind == 0) {
        if (end - at < n_bytes)
            return 0;
        row[n_words - 1] = 0;
        memcpy(row, at, (size_t)n_bytes);
    } else if (kind == 1) {
        if (end - at < 1 + n_flags)
            return 0;
        two_calls(at + 1, n, at[0] >> 2 & 3, at[0] & 3, row);
        whole = differ(at + 1 + n_flags, end, n, (uint8_t *)row);
    } else {
        if (kind < 4)
            memcpy(row, earlier, (size_t)n_words * 8);
        else
            memset(row, kind == 6 ? 0xAA : kind == 7 ? 0xFF : 0, (size_t)n_words * 8);
        whole = differ(at, end, n, (uint8_t *)row);
        if (kind == 3)
            mirror(row, n_words);
    }
    if (n % 32)
        row[n_words - 1] &= (1ULL << 2 * (n % 32)) - 1;
    return whole;
}

/* The wanted ones of some records as rows; 0 where a record does not add up. `earlier`: room for one row. */
int unpack(const uint8_t *content, const int64_t *starts, const uint8_t *kinds, const uint8_t *wanted,
           int64_t n_records, int64_t n, int64_t row_words, uint64_t *earlier, uint64_t *rows)
{
    for (int64_t j = 0; j < n_records; j++) {
        if (!record(content + starts[j], content + starts[j + 1], kinds[j], n, earlier, rows))
            return 0;
        if (j + 1 < n_records && (kinds[j + 1] & 6) == 2 && (kinds[j] & 6) != 2)
            memcpy(earlier, rows, (size_t)(n + 31) / 32 * 8);
        if (wanted[j])
            rows += row_words;
    }
    return 1;
}

/* Calls of one byte (site, sample), negative where missing, as rows. */
FAST void pack(const int8_t *calls, int64_t n_sites, int64_t n, int64_t row_words, uint64_t *rows)
{
    for (int64_t j = 0; j < n_sites; j++, calls += n, rows += row_words) {
        uint8_t *row = (uint8_t *)rows;
        for (int64_t k = 0; k < n / 4; k++)
            row[k] = (uint8_t)((calls[4 * k] & 3) | (calls[4 * k + 1] & 3) << 2 | (calls[4 * k + 2] & 3) << 4 |
                               (calls[4 * k + 3] & 3) << 6);
        if (n % 4)
            row[n / 4] = 0;
        for (int64_t i = n / 4 * 4; i < n; i++)
            row[i / 4] |= (uint8_t)((calls[i] & 3) << 2 * (i % 4));
    }
}

/* Heterozygotes, twofold carriers and missing calls of each row (site, 3). What lies beyond the last sample counts:
 * rows are 0 there. */
FAST void tally(const uint64_t *rows, int64_t n_sites, int64_t n, int64_t row_words, int64_t *counts)
{
    for (int64_t j = 0; j < n_sites; j++, rows += row_words) {
        int64_t one = 0, two = 0, missing = 0;
        for (int64_t k = 0; k < (n + 31) / 32; k++) {
            uint64_t low = rows[k] & LOW_BITS, high = rows[k] >> 1 & LOW_BITS;
            one += __builtin_popcountll(low & ~high);
            two += __builtin_popcountll(high & ~low);
            missing += __builtin_popcountll(low & high);
        }
        counts[3 * j] = one, counts[3 * j + 1] = two, counts[3 * j + 2] = missing;
    }
}

/* Rows of 32 sites as words: squares of 32 x 32 calls turned by halves (Warren, Hacker's Delight, 7-3), eight at a
 * time. `words` (site / 32, sample), as many samples as a row has room for, which is a multiple of 256. */
typedef uint64_t EIGHT __attribute__((vector_size(64), aligned(8), may_alias));

FAST void turn(const uint64_t *rows, int64_t n_sites, int64_t row_words, uint64_t *words)
{
    for (int64_t start = 0; start < n_sites; start += 32, words += 32 * row_words) {
        for (int64_t place = 0; place < row_words; place += 8) {
            EIGHT square[32];
            for (int k = 0; k < 32; k++)
                square[k] = start + k < n_sites ? *(const EIGHT *)(rows + (start + k) * row_words + place)
                                                : (EIGHT){0};
            uint64_t mask = 0x00000000FFFFFFFFULL;
            for (int half = 16; half; half >>= 1, mask ^= mask << 2 * half)
                for (int k = 0; k < 32; k = (k + half + 1) & ~half) {
                    EIGHT swap = ((square[k] >> 2 * half) ^ square[k + half]) & mask;
                    square[k] ^= swap << 2 * half;
                    square[k + half] ^= swap;
                }
            uint64_t *out = words + 32 * place;
            for (int part = 0; part < 8; part++)
                for (int k = 0; k < 32; k++)
                    out[32 * part + k] = square[k][part];
        }
    }
}

/* Missing calls of each sample at the sites of each set: `out` (set, sample) grows. `masks` (set, site / 32): the low
 * bit of each site that counts. */
FAST void count_missing(const uint64_t *words, int64_t n_groups, int64_t n, int64_t row_words, const uint64_t *masks,
                        int64_t n_sets, int64_t *out)
{
    for (int64_t group = 0; group < n_groups; group++, words += 32 * row_words)
        for (int64_t set = 0; set < n_sets; set++) {
            uint64_t mask = masks[set * n_groups + group];
            if (mask)
                for (int64_t i = 0; i < n; i++)
                    out[set * n + i] += __builtin_popcountll(words[i] & words[i] >> 1 & mask);
        }
}

/* For every missing call add its site's `effects` (site, column) to its sample's row of `out`; columns by sixteens, of
 * which `used` (site, column / 16) says which are not zero. */
typedef float SIXTEEN __attribute__((vector_size(64), aligned(4), may_alias));

FAST void add_missing(const uint64_t *words, int64_t n_groups, int64_t n, int64_t row_words, const float *effects,
                      const uint8_t *used, int64_t width, float *out)
{
    enum { TILE = 512 };
    for (int64_t low = 0; low < n; low += TILE)
        for (int64_t group = 0; group < n_groups; group++)
            for (int64_t i = low; i < n && i < low + TILE; i++) {
                uint64_t word = words[32 * row_words * group + i];
                for (uint64_t bits = word & word >> 1 & LOW_BITS; bits; bits &= bits - 1) {
                    int64_t site = 32 * group + __builtin_ctzll(bits) / 2;
                    const SIXTEEN *from = (const SIXTEEN *)effects + site * width;
                    SIXTEEN *to = (SIXTEEN *)out + i * width;
                    for (int64_t k = 0; k < width; k++)
                        if (used[site * width + k])
                            to[k] += from[k];
                }
            }
}

/* What the calls of one site add: its weights, and what a missing call stands for. */
typedef struct {
    const double *additive, *heterozygote; /* (site, score); the second may be absent */
    int64_t site_step, score_step;         /* of both */
    const double *expected;                /* copies, by site */
    int64_t n_sites;
} Weights;

/* Of 0, 1, 2 copies and a missing call, less what is expected: a missing call adds nothing. */
INLINE void site_values(const Weights *weights, int64_t site, int64_t score, double *values)
{
    double weight = 0, het = 0, expected = 0;
    if (site < weights->n_sites) {
        int64_t place = site * weights->site_step + score * weights->score_step;
        weight = weights->additive[place];
        het = weights->heterozygote ? weights->heterozygote[place] : 0;
        expected = weights->expected[site];
    }
    values[0] = -weight * expected;
    values[1] = weight - weight * expected + het;
    values[2] = 2 * weight - weight * expected;
    values[3] = 0;
}

/* One score of few sites, site by site: four samples a byte, of which a table says what each of its 256 values adds. */
FAST void add_few(const uint64_t *rows, int64_t n, int64_t row_words, const Weights *weights, int64_t score,
                  double *sums)
{
    typedef double FOUR __attribute__((vector_size(32), aligned(8), may_alias));
    FOUR table[256];
    for (int64_t site = 0; site < weights->n_sites; site++) {
        int64_t place = site * weights->site_step + score * weights->score_step;
        if (weights->additive[place] == 0 && !(weights->heterozygote && weights->heterozygote[place]))
            continue;
        double values[4];
        site_values(weights, site, score, values);
        for (int code = 0; code < 256; code++)
            table[code] = (FOUR){values[code & 3], values[code >> 2 & 3], values[code >> 4 & 3], values[code >> 6]};
        const uint8_t *row = (const uint8_t *)(rows + site * row_words);
        for (int64_t k = 0; k < n / 4; k++)
            ((FOUR *)sums)[k] += table[row[k]];
        for (int64_t i = n / 4 * 4; i < n; i++)
            sums[i] += values[row[i / 4] >> 2 * (i % 4) & 3];
    }
}

#define REAL double
#define LANES 1
#define NAME look_up_1
#define FILL fill_1
#define ROW ROW_1
#include "lookup.inc"
#define REAL double
#define LANES 8
#define NAME look_up_8
#define FILL fill_8
#define ROW ROW_8
#include "lookup.inc"
#define REAL float
#define LANES 16
#define NAME look_up_16
#define FILL fill_16
#define ROW ROW_16
#include "lookup.inc"

/* Weights (row, score) by kind of row (0 to n_kinds - 1): sums and squares of what they are without sign (kind, score), and
 * how many are zero. */
FAST void tally_weights(const double *weights, const uint8_t *kinds, int64_t n, int64_t n_scores, double *sums,
                        double *squares, int64_t *zeros)
{
    for (int64_t i = 0; i < n; i++, weights += n_scores) {
        double *sum = sums + kinds[i] * n_scores, *square = squares + kinds[i] * n_scores;
        for (int64_t k = 0; k < n_scores; k++) {
            sum[k] += weights[k] < 0 ? -weights[k] : weights[k];
            square[k] += weights[k] * weights[k];
            zeros[k] += weights[k] == 0;
        }
    }
}

/* Dosages (site, sample), negative where missing. */

/* Per site the sum over called samples, and how many are missing. */
FAST void tally_dosages(const float *dosages, int64_t n_sites, int64_t n, double *totals, int64_t *missing)
{
    for (int64_t j = 0; j < n_sites; j++, dosages += n) {
        double total = 0;
        int64_t absent = 0;
        for (int64_t i = 0; i < n; i++) {
            total += dosages[i] >= 0 ? dosages[i] : 0;
            absent += dosages[i] < 0;
        }
        totals[j] = total;
        missing[j] = absent;
    }
}

/* Dosages less the site's centre; the site's stand-in where missing. */
FAST void centre_double(const float *dosages, int64_t n_sites, int64_t n, const double *centres,
                        const double *stand_ins, double *out)
{
    for (int64_t j = 0; j < n_sites; j++, dosages += n, out += n)
        for (int64_t i = 0; i < n; i++)
            out[i] = dosages[i] >= 0 ? dosages[i] - centres[j] : stand_ins[j];
}

FAST void centre_single(const float *dosages, int64_t n_sites, int64_t n, const double *centres,
                        const double *stand_ins, float *out)
{
    for (int64_t j = 0; j < n_sites; j++, dosages += n, out += n)
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)(dosages[i] >= 0 ? dosages[i] - centres[j] : stand_ins[j]);
}

/* 1 for one copy, 0 for none or two, linear between; 0 where missing. */
FAST void heterozygotes(const float *dosages, int64_t n_cells, double *out)
{
    for (int64_t i = 0; i < n_cells; i++) {
        double copies = dosages[i];
        out[i] = copies < 0 ? 0 : copies <= 1 ? copies : 2 - copies;
    }
}

/* `sums` (sample,) += one score's weights times centred dosages, without a matrix between. */
FAST void add_centred(const float *dosages, int64_t n, const Weights *weights, int64_t score, double *sums)
{
    for (int64_t j = 0; j < weights->n_sites; j++, dosages += n) {
        double weight = weights->additive[j * weights->site_step + score * weights->score_step];
        double offset = -weight * weights->expected[j];
        if (weight != 0)
            for (int64_t i = 0; i < n; i++)
                sums[i] += dosages[i] >= 0 ? weight * dosages[i] + offset : 0;
    }
}
