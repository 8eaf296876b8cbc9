/* Tables of text, called by text.py: lines cut into cells, and cells read as numbers and letters.
 *
 * A span is where a cell starts in the text and where it ends. What is not plain is left to who calls.
 */
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("sse4.1") /* which NumPy and Arrow ask for too */
#endif
#ifdef __SSE4_1__
#include <smmintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    uint32_t start, end;
} Span;

/* The wanted columns of whole lines (line, wanted), whose numbers rise; empty lines are passed over. How many lines;
 * -1 less the number of the first that has another number of cells. */
int64_t split(const char *text, int64_t size, int64_t n_columns, const int64_t *wanted, int64_t n_wanted, Span *spans)
{
    int64_t at = 0, lines = 0;
    while (at < size) {
        const char *found = memchr(text + at, '\n', (size_t)(size - at));
        int64_t next = found ? found - text + 1 : size, end = found ? next - 1 : size;
        end -= end > at && text[end - 1] == '\r';
        if (end == at) {
            at = next;
            continue;
        }
        int64_t kept = 0;
        for (int64_t column = 0; column < n_columns; column++) {
            const char *tab = memchr(text + at, '\t', (size_t)(end - at));
            int64_t stop = tab ? tab - text : end;
            if ((tab != NULL) != (column < n_columns - 1))
                return -1 - lines;
            if (kept < n_wanted && wanted[kept] == column)
                spans[kept++] = (Span){(uint32_t)at, (uint32_t)stop};
            at = stop + 1;
        }
        spans += n_wanted;
        lines++;
        at = next;
    }
    return lines;
}

/* Cells cut at a letter into so many parts (cell, part). The number of the first with another number of them, or -1. */
int64_t cut(const char *text, const Span *cells, int64_t step, int64_t n, char letter, int64_t n_parts, Span *parts)
{
    for (int64_t i = 0; i < n; i++, cells += step) {
        int64_t part = 0;
        uint32_t start = cells->start;
        for (uint32_t at = start; at < cells->end; at++)
            if (text[at] == letter) {
                if (part == n_parts - 1)
                    return i;
                parts[part++] = (Span){start, at};
                start = at + 1;
            }
        parts[part++] = (Span){start, cells->end};
        if (part != n_parts)
            return i;
        parts += n_parts;
    }
    return -1;
}

/* Whole numbers of up to 18 digits. The number of the first cell that is none, or -1. */
int64_t wholes(const char *text, const Span *cells, int64_t step, int64_t n, int64_t *out)
{
    for (int64_t i = 0; i < n; i++, cells += step) {
        int64_t value = 0;
        if (cells->end == cells->start || cells->end - cells->start > 18)
            return i;
        for (uint32_t at = cells->start; at < cells->end; at++) {
            unsigned digit = (unsigned)text[at] - '0';
            if (digit > 9)
                return i;
            value = 10 * value + digit;
        }
        out[i] = value;
    }
    return -1;
}

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* A number whose digits and power of ten double precision holds exactly, so that one rounding is the right one
 * (Clinger, PLDI 1990); all others are not plain. Stops after it; NULL where it is not plain. */
INLINE const char *number(const char *at, const char *end, double *out)
{
    int negative = at < end && *at == '-', n_digits = 0, power = 0;
    uint64_t digits = 0;
    at += negative || (at < end && *at == '+');
    const char *start = at;
    for (unsigned digit; at < end && (digit = (unsigned)*at - '0') <= 9; at++)
        digits = 10 * digits + digit;
    n_digits = (int)(at - start);
    if (at < end && *at == '.') {
        const char *point = ++at;
        for (unsigned digit; at < end && (digit = (unsigned)*at - '0') <= 9; at++)
            digits = 10 * digits + digit;
        power = -(int)(at - point);
        n_digits -= power;
    }
    if (at < end && (*at | 32) == 'e') {
        int minus = ++at < end && *at == '-', exponent = 0;
        at += minus || (at < end && *at == '+');
        start = at;
        for (unsigned digit; at < end && (digit = (unsigned)*at - '0') <= 9; at++)
            exponent = exponent < 1000 ? 10 * exponent + (int)digit : exponent;
        if (at == start)
            return NULL;
        power += minus ? -exponent : exponent;
    }
    if (n_digits == 0 || n_digits > 19 || digits > 1ULL << 53 || power < -22 || power > 22)
        return NULL;
    double value = power < 0 ? (double)digits / POWERS[-power] : (double)digits * POWERS[power];
    *out = negative ? -value : value;
    return at;
}

#ifdef __SSE4_1__
static const double SIGNED_POWERS[2][15] = {
    {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14},
    {-1e0, -1e1, -1e2, -1e3, -1e4, -1e5, -1e6, -1e7, -1e8, -1e9, -1e10, -1e11, -1e12, -1e13, -1e14}};
static const int64_t TENS[15] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
                                 100000000000, 1000000000000, 10000000000000, 100000000000000};
static const uint8_t LAST[32] = {0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
                                 0,    0,    0,    0,    0,    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

/* A number of one digit, a point and at most fourteen digits, such as -0.00850291, all letters at once (Mula and Langdale):
 * numbers differ in length, and a loop over their letters would be foretold wrongly each time. NULL of all others.
 * The sixteen letters on either side of `at` may be looked at. */
INLINE const char *quick_number(const char *at, double *out)
{
    __m128i letters = _mm_loadu_si128((const __m128i *)at);
    unsigned ends = (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(_mm_set1_epi8(0x20), letters));
    int length = __builtin_ctz(ends | 1U << 16), negative = *at == '-', n_after = length - negative - 2;
    unsigned before = (unsigned)at[negative] - '0';
    if ((unsigned)(n_after - 1) > 13 || length == 16 || before > 9 || at[negative + 1] != '.')
        return NULL;
    __m128i digits = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(at + length - 16)), _mm_set1_epi8('0'));
    digits = _mm_and_si128(digits, _mm_loadu_si128((const __m128i *)(LAST + n_after)));
    if (!_mm_testz_si128(_mm_subs_epu8(digits, _mm_set1_epi8(9)), _mm_set1_epi8(-1)))
        return NULL;
    digits = _mm_maddubs_epi16(digits, _mm_set1_epi16(10 + (1 << 8)));
    digits = _mm_madd_epi16(digits, _mm_set1_epi32(100 + (1 << 16)));
    digits = _mm_packus_epi32(digits, digits);
    digits = _mm_madd_epi16(digits, _mm_set1_epi32(10000 + (1 << 16)));
    uint64_t halves = (uint64_t)_mm_cvtsi128_si64(digits);
    int64_t whole = (int64_t)before * TENS[n_after] + (int64_t)(halves & 0xFFFFFFFF) * 100000000 + (int64_t)(halves >> 32);
    *out = (double)whole / SIGNED_POWERS[negative][n_after];
    return at + length;
}
#else
INLINE const char *quick_number(const char *at, double *out)
{
    (void)at, (void)out;
    return NULL;
}
#endif

/* Plain numbers. The number of the first cell that is not one, or -1. */
int64_t numbers(const char *text, const Span *cells, int64_t step, int64_t n, double *out)
{
    for (int64_t i = 0; i < n; i++, cells += step)
        if (number(text + cells->start, text + cells->end, out + i) != text + cells->end)
            return i;
    return -1;
}

/* Codes of cells of one letter, -1 of empty cells, -2 of all others. */
void letters(const char *text, const Span *cells, int64_t step, int64_t n, const int32_t *codes, int32_t *out)
{
    for (int64_t i = 0; i < n; i++, cells += step)
        out[i] = cells->end == cells->start       ? -1
                 : cells->end - cells->start == 1 ? codes[(uint8_t)text[cells->start]]
                                                  : -2;
}

INLINE int same(const char *text, Span one, Span two)
{
    return one.end - one.start == two.end - two.start && !memcmp(text + one.start, text + two.start, one.end - one.start);
}

/* Which of the distinct cells each is, and where the distinct are first found. How many; -1 beyond `most`. */
int64_t distinct(const char *text, const Span *cells, int64_t step, int64_t n, int64_t most, int32_t *out, int64_t *first)
{
    int64_t known = 0, last = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!known || !same(text, cells[first[last] * step], cells[i * step]))
            for (last = 0; last < known && !same(text, cells[first[last] * step], cells[i * step]); last++)
                ;
        if (last == known) {
            if (known == most)
                return -1;
            first[known++] = i;
        }
        out[i] = (int32_t)last;
    }
    return known;
}

/* Cells one after the other, each from its place of `starts` (n + 1) on. */
void gather(const char *text, const Span *cells, int64_t step, int64_t n, const int32_t *starts, char *out)
{
    for (int64_t i = 0; i < n; i++, cells += step)
        memcpy(out + starts[i], text + cells->start, cells->end - cells->start);
}

/* Lines of two cells and `n_values` plain numbers: the spans of the two, and the numbers (line, value). How many lines, of
 * at most `most`; -1 where something is not plain. */
int64_t score_lines(const char *text, int64_t size, int64_t n_values, int64_t most, Span *spans, double *values)
{
    const char *at = text, *end = text + size;
    const char *from = text + 16, *to = end - 16;
    int64_t line = 0;
    while (at < end) {
        if (line == most)
            return -1;
        for (int k = 0; k < 2; k++) {
            const char *start = at;
            while (at < end && *at != '\t' && *at != '\n')
                at++;
            if (at == end || *at == '\n')
                return -1;
            spans[2 * line + k] = (Span){(uint32_t)(start - text), (uint32_t)(at++ - text)};
        }
        for (int64_t k = 0; k < n_values; k++) {
            const char *after = at >= from && at < to ? quick_number(at, values) : NULL;
            at = after ? after : number(at, end, values);
            values++;
            if (!at)
                return -1;
            if (k < n_values - 1 && (at == end || *at++ != '\t'))
                return -1;
        }
        at += at < end && *at == '\r';
        if (at < end && *at++ != '\n')
            return -1;
        line++;
    }
    return line;
}

/* Lines that say the same as other lines but in one column, which holds plain numbers: these. How many lines, of at most
 * `most`; -1 where anything else differs or is not plain. */
int64_t same_lines(const char *text, int64_t size, const char *others, int64_t others_size, int64_t column, int64_t most,
                   double *values)
{
    const char *at = text, *end = text + size, *other = others, *others_end = others + others_size;
    const char *from = text + 16, *to = end - 16;
    int64_t line = 0;
    for (; at < end; line++) {
        if (line == most)
            return -1;
        for (int64_t tabs = 0; tabs < column;) {
            if (at == end || other == others_end || *at != *other || *at == '\n')
                return -1;
            tabs += *at++ == '\t', other++;
        }
        const char *after = at >= from && at < to ? quick_number(at, values) : NULL;
        at = after ? after : number(at, end, values);
        if (!at)
            return -1;
        values++;
        while (other < others_end && *other != '\t' && *other != '\n' && *other != '\r')
            other++;
        for (int last = 0; !last && at < end;) {
            if (other == others_end || *at != *other)
                return -1;
            last = *at++ == '\n', other++;
        }
    }
    return other == others_end ? line : -1;
}
