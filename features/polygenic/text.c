/* Tables of text, called by text.py: lines cut into cells, and cells read as numbers and letters.
 *
 * A span is where a cell starts in the text and where it ends. What is not plain is left to who calls.
 */
#include <stdint.h>
#include <string.h>

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

/* Letters of digits as eight-digit numbers (Lemire, Software: Practice and Experience 2021). */
INLINE uint64_t eight_digits(uint64_t letters)
{
    letters = letters * 10 + (letters >> 8);
    return ((letters & 0x000000FF000000FFULL) * 0x000F424000000064ULL +
            (letters >> 16 & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32;
}

/* The last 0 to 14 letters of sixteen. */
static const uint64_t LAST[15][2] = {
    {0, 0}, {0, 0xFFULL << 56}, {0, 0xFFFFULL << 48}, {0, 0xFFFFFFULL << 40}, {0, 0xFFFFFFFFULL << 32},
    {0, 0xFFFFFFFFFFULL << 24}, {0, 0xFFFFFFFFFFFFULL << 16}, {0, 0xFFFFFFFFFFFFFFULL << 8}, {0, ~0ULL},
    {0xFFULL << 56, ~0ULL}, {0xFFFFULL << 48, ~0ULL}, {0xFFFFFFULL << 40, ~0ULL}, {0xFFFFFFFFULL << 32, ~0ULL},
    {0xFFFFFFFFFFULL << 24, ~0ULL}, {0xFFFFFFFFFFFFULL << 16, ~0ULL}};
static const int64_t TENS[15] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
                                 100000000000, 1000000000000, 10000000000000, 100000000000000};
static const double SIGNED_POWERS[2][15] = {
    {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14},
    {-1e0, -1e1, -1e2, -1e3, -1e4, -1e5, -1e6, -1e7, -1e8, -1e9, -1e10, -1e11, -1e12, -1e13, -1e14}};

/* A number of one digit, a point and at most fourteen digits, such as -0.00850291, eight letters at once: numbers differ in
 * length, and a loop over their letters would be foretold wrongly each time. NULL of all others. The sixteen letters
 * on either side of `at` may be looked at. */
INLINE const char *quick_number(const char *at, double *out)
{
    const uint64_t ones = 0x0101010101010101ULL, high = 0x8080808080808080ULL;
    uint64_t first, second, low, top;
    memcpy(&first, at, 8);
    memcpy(&second, at + 8, 8);
    uint64_t one = (first - 0x20 * ones) & ~first & high, two = (second - 0x20 * ones) & ~second & high;
    int negative = *at == '-', length = one ? __builtin_ctzll(one) / 8 : 8 + __builtin_ctzll(two | 1ULL << 63) / 8;
    int n_after = length - negative - 2;
    unsigned before = (unsigned)at[negative] - '0';
    if (n_after < 1 || n_after > 14 || before > 9 || at[negative + 1] != '.' || !(one | two))
        return NULL;
    memcpy(&low, at + length - 8, 8);
    memcpy(&top, at + length - 16, 8);
    top = (top & LAST[n_after][0]) - (0x30 * ones & LAST[n_after][0]);
    low = (low & LAST[n_after][1]) - (0x30 * ones & LAST[n_after][1]);
    if (((low + 0x76 * ones) | low | (top + 0x76 * ones) | top) & high)
        return NULL;
    int64_t digits = before * TENS[n_after] + (int64_t)(eight_digits(top) * 100000000 + eight_digits(low));
    *out = (double)digits / SIGNED_POWERS[negative][n_after];
    return at + length;
}

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
    const char *from = text + 16, *to = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? end - 16 : text;
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
