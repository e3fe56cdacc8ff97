/* Values added to what is known of them, in one pass that leaves what is known in the core's nearest cache.
 *
 * Values are [repeat][outer][rows][inner] in C order, what is known is [outer][inner]: they are reduced along the first
 * and the third dimension. Without an inner dimension they may be masked along the rows.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { STRIP = 1024, LEAF = 256, LANES = 8, FEW = 1 << 15, MOST_SQUARED = 1 << 10 };

typedef struct {
    Py_ssize_t repeat, outer, rows, inner;
} Shape;

typedef struct {
    const void *values;
    const uint8_t *kept; /* booleans, of which any byte but 0 is true; or NULL */
    const void *limit;
    void *known[2];
    Shape shape;
} Work;

typedef void (*Kernel)(const Work *);

#define LEAST(a, b) ((a) < (b) ? (a) : (b))

/* Each place of the result in turn: its values, and where what is known of it is. */
#define EACH_RUN(T)                                                                                 \
    const Shape *s = &work->shape;                                                                  \
    const T *run = work->values;                                                                    \
    for (Py_ssize_t repeated = 0; repeated < s->repeat; repeated++)                                 \
        for (Py_ssize_t place = 0; place < s->outer; place++, run += s->rows)

/* The same for rows of places, a strip of them at once. */
#define EACH_STRIP(T)                                                                               \
    const Shape *s = &work->shape;                                                                  \
    const T *block = work->values;                                                                  \
    for (Py_ssize_t repeated = 0; repeated < s->repeat; repeated++)                                 \
        for (Py_ssize_t outer = 0; outer < s->outer; outer++, block += s->rows * s->inner)          \
            for (Py_ssize_t at = 0, n; n = LEAST(STRIP, s->inner - at), at < s->inner; at += n)

static int is_run(const Work *work) {
    return work->shape.inner == 1;
}

/* Integers: NAME and the type T of the values, the type PART in which FEW of them are added without overflow. */
#define SUM_OF_INTEGERS(NAME, T, PART, S, SUFFIX)                                                   \
    static void sum_##NAME##_##SUFFIX(const Work *work) {                                           \
        S *known = work->known[0];                                                                  \
        if (is_run(work)) {                                                                         \
            EACH_RUN(T) {                                                                           \
                S total = 0;                                                                        \
                for (Py_ssize_t from = 0; from < s->rows; from += FEW) {                            \
                    Py_ssize_t end = LEAST(from + FEW, s->rows);                                    \
                    PART part = 0;                                                                  \
                    if (work->kept)                                                                 \
                        for (Py_ssize_t i = from; i < end; i++)                                     \
                            part += (PART)(T)(run[i] & (T)(0 - (T)(work->kept[i] != 0)));           \
                    else                                                                            \
                        for (Py_ssize_t i = from; i < end; i++) part += run[i];                     \
                    total += (S)part;                                                               \
                }                                                                                   \
                known[place] += total;                                                              \
            }                                                                                       \
            return;                                                                                 \
        }                                                                                           \
        EACH_STRIP(T) {                                                                             \
            S *goal = known + outer * s->inner + at;                                                \
            if (s->rows < 4) {                                                                      \
                for (Py_ssize_t row = 0; row < s->rows; row++) {                                    \
                    const T *v = block + row * s->inner + at;                                       \
                    for (Py_ssize_t i = 0; i < n; i++) goal[i] += (S)(PART)v[i];                    \
                }                                                                                   \
                continue;                                                                           \
            }                                                                                       \
            for (Py_ssize_t from = 0; from < s->rows; from += FEW) {                                \
                Py_ssize_t end = LEAST(from + FEW, s->rows), row = from;                            \
                PART part[STRIP] = {0};                                                             \
                for (; row + 4 <= end; row += 4) {                                                  \
                    const T *v = block + row * s->inner + at;                                       \
                    for (Py_ssize_t i = 0; i < n; i++)                                              \
                        part[i] += (PART)v[i] + (PART)v[i + s->inner] +                             \
                                   (PART)v[i + 2 * s->inner] + (PART)v[i + 3 * s->inner];           \
                }                                                                                   \
                for (; row < end; row++) {                                                          \
                    const T *v = block + row * s->inner + at;                                       \
                    for (Py_ssize_t i = 0; i < n; i++) part[i] += (PART)v[i];                       \
                }                                                                                   \
                for (Py_ssize_t i = 0; i < n; i++) goal[i] += (S)part[i];                           \
            }                                                                                       \
        }                                                                                           \
    }

#define SUMS(NAME, T, PART)                                                                         \
    SUM_OF_INTEGERS(NAME, T, PART, uint32_t, half)                                                  \
    SUM_OF_INTEGERS(NAME, T, PART, uint64_t, whole)
SUMS(B, uint8_t, uint32_t)
SUMS(b, int8_t, int32_t)
SUMS(H, uint16_t, uint32_t)
SUMS(h, int16_t, int32_t)
SUMS(I, uint32_t, uint64_t)
SUMS(i, int32_t, int64_t)
SUMS(Q, uint64_t, uint64_t)
SUMS(q, int64_t, uint64_t)

/* Small integers and their squares. Of a part whose values have few bits, sums of squares have 32. */
#define MOMENTS(NAME, T, PART, MAGNITUDE, S, SUFFIX)                                                \
    static void moments_##NAME##_##SUFFIX(const Work *work) {                                       \
        S *known = work->known[0];                                                                  \
        uint64_t *squared = work->known[1];                                                         \
        if (is_run(work)) {                                                                         \
            EACH_RUN(T) {                                                                           \
                S total = 0;                                                                        \
                uint64_t squares = 0;                                                               \
                for (Py_ssize_t from = 0; from < s->rows; from += STRIP) {                          \
                    Py_ssize_t n = LEAST(STRIP, s->rows - from);                                    \
                    T copy[STRIP];                                                                  \
                    const T *v = run + from;                                                        \
                    if (work->kept) {                                                               \
                        for (Py_ssize_t i = 0; i < n; i++)                                          \
                            copy[i] = v[i] & (T)(0 - (T)(work->kept[from + i] != 0));               \
                        v = copy;                                                                   \
                    }                                                                               \
                    T bits = 0;                                                                     \
                    PART part = 0;                                                                  \
                    for (Py_ssize_t i = 0; i < n; i++) {                                            \
                        bits |= MAGNITUDE(v[i]);                                                    \
                        part += v[i];                                                               \
                    }                                                                               \
                    if (HAS_FEW(bits)) {                                                            \
                        int32_t few = 0;                                                            \
                        for (Py_ssize_t i = 0; i < n; i++) few += (int16_t)v[i] * (int16_t)v[i];    \
                        squares += (uint32_t)few;                                                   \
                    } else                                                                          \
                        for (Py_ssize_t i = 0; i < n; i++) squares += (uint32_t)v[i] * (uint32_t)v[i]; \
                    total += (S)part;                                                               \
                }                                                                                   \
                known[place] += total;                                                              \
                squared[place] += squares;                                                          \
            }                                                                                       \
            return;                                                                                 \
        }                                                                                           \
        EACH_STRIP(T) {                                                                             \
            S *goal = known + outer * s->inner + at;                                                \
            uint64_t *goal_squared = squared + outer * s->inner + at;                               \
            for (Py_ssize_t from = 0; from < s->rows; from += STRIP) {                              \
                Py_ssize_t end = LEAST(from + STRIP, s->rows);                                      \
                PART part[STRIP] = {0};                                                             \
                uint32_t few[STRIP] = {0};                                                          \
                Py_ssize_t row = from;                                                              \
                for (; row + 4 <= end; row += 4) {                                                  \
                    const T *a = block + row * s->inner + at, *b = a + s->inner;                    \
                    const T *c = b + s->inner, *d = c + s->inner;                                   \
                    T bits = 0;                                                                     \
                    for (Py_ssize_t i = 0; i < n; i++)                                              \
                        bits |= MAGNITUDE(a[i]) | MAGNITUDE(b[i]) | MAGNITUDE(c[i]) | MAGNITUDE(d[i]); \
                    if (!HAS_FEW(bits)) break;                                                      \
                    for (Py_ssize_t i = 0; i < n; i++) {                                            \
                        part[i] += (int16_t)(a[i] + b[i] + c[i] + d[i]);                            \
                        few[i] += FEW_SQUARE(a[i]) + FEW_SQUARE(b[i]) + FEW_SQUARE(c[i]) + FEW_SQUARE(d[i]); \
                    }                                                                               \
                }                                                                                   \
                for (; row < end; row++) {                                                          \
                    const T *v = block + row * s->inner + at;                                       \
                    for (Py_ssize_t i = 0; i < n; i++) {                                            \
                        part[i] += v[i];                                                            \
                        goal_squared[i] += (uint32_t)v[i] * (uint32_t)v[i];                         \
                    }                                                                               \
                }                                                                                   \
                for (Py_ssize_t i = 0; i < n; i++) {                                                \
                    goal[i] += (S)part[i];                                                          \
                    goal_squared[i] += few[i];                                                      \
                }                                                                                   \
            }                                                                                       \
        }                                                                                           \
    }
#define AS_IT_IS(v) (v)
#define HAS_FEW(bits) (((int32_t)(bits) & -MOST_SQUARED) == 0)
#define FEW_SQUARE(v) ((uint32_t)((int16_t)(v) * (int16_t)(v)))
#define BITS_OF_SIGNED(v) ((v) ^ -((v) < 0))
#define BOTH_MOMENTS(NAME, T, PART, MAGNITUDE)                                                      \
    MOMENTS(NAME, T, PART, MAGNITUDE, uint32_t, half)                                               \
    MOMENTS(NAME, T, PART, MAGNITUDE, uint64_t, whole)
BOTH_MOMENTS(B, uint8_t, uint32_t, AS_IT_IS)
BOTH_MOMENTS(b, int8_t, int32_t, BITS_OF_SIGNED)
BOTH_MOMENTS(H, uint16_t, uint32_t, AS_IT_IS)
BOTH_MOMENTS(h, int16_t, int32_t, BITS_OF_SIGNED)

/* The least or the greatest integer. */
#define EXTREME(NAME, T, WORD, IS_BEYOND)                                                           \
    static void WORD##_##NAME(const Work *work) {                                                   \
        T *known = work->known[0];                                                                  \
        if (is_run(work)) {                                                                         \
            EACH_RUN(T) {                                                                           \
                T found = known[place];                                                             \
                if (work->kept)                                                                     \
                    for (Py_ssize_t i = 0; i < s->rows; i++) {                                      \
                        T value = work->kept[i] ? run[i] : known[place];                            \
                        found = value IS_BEYOND found ? value : found;                              \
                    }                                                                               \
                else                                                                                \
                    for (Py_ssize_t i = 0; i < s->rows; i++)                                        \
                        found = run[i] IS_BEYOND found ? run[i] : found;                            \
                known[place] = found;                                                               \
            }                                                                                       \
            return;                                                                                 \
        }                                                                                           \
        EACH_STRIP(T) {                                                                             \
            T *goal = known + outer * s->inner + at;                                                \
            for (Py_ssize_t row = 0; row < s->rows; row++) {                                        \
                const T *v = block + row * s->inner + at;                                           \
                for (Py_ssize_t i = 0; i < n; i++) goal[i] = v[i] IS_BEYOND goal[i] ? v[i] : goal[i]; \
            }                                                                                       \
        }                                                                                           \
    }
#define EXTREMES(NAME, T) EXTREME(NAME, T, least, <) EXTREME(NAME, T, greatest, >)
EXTREMES(B, uint8_t)
EXTREMES(b, int8_t)
EXTREMES(H, uint16_t)
EXTREMES(h, int16_t)
EXTREMES(I, uint32_t)
EXTREMES(i, int32_t)
EXTREMES(Q, uint64_t)
EXTREMES(q, int64_t)

/* How many values are above the limit. */
#define COUNT(NAME, T, PART, S, SUFFIX)                                                             \
    static void count_##NAME##_##SUFFIX(const Work *work) {                                         \
        S *known = work->known[0];                                                                  \
        T limit;                                                                                    \
        memcpy(&limit, work->limit, sizeof limit);                                                  \
        if (is_run(work)) {                                                                         \
            EACH_RUN(T) {                                                                           \
                for (Py_ssize_t from = 0; from < s->rows; from += FEW) {                            \
                    Py_ssize_t end = LEAST(from + FEW, s->rows);                                    \
                    PART part = 0;                                                                  \
                    if (work->kept)                                                                 \
                        for (Py_ssize_t i = from; i < end; i++)                                     \
                            part += (run[i] > limit) & (work->kept[i] != 0);                        \
                    else                                                                            \
                        for (Py_ssize_t i = from; i < end; i++) part += run[i] > limit;             \
                    known[place] += part;                                                           \
                }                                                                                   \
            }                                                                                       \
            return;                                                                                 \
        }                                                                                           \
        EACH_STRIP(T) {                                                                             \
            S *goal = known + outer * s->inner + at;                                                \
            for (Py_ssize_t from = 0; from < s->rows; from += FEW) {                                \
                Py_ssize_t end = LEAST(from + FEW, s->rows);                                        \
                PART part[STRIP] = {0};                                                             \
                for (Py_ssize_t row = from; row < end; row++) {                                     \
                    const T *v = block + row * s->inner + at;                                       \
                    for (Py_ssize_t i = 0; i < n; i++) part[i] += v[i] > limit;                     \
                }                                                                                   \
                for (Py_ssize_t i = 0; i < n; i++) goal[i] += part[i];                              \
            }                                                                                       \
        }                                                                                           \
    }
#define COUNTS(NAME, T, PART) COUNT(NAME, T, PART, uint32_t, half) COUNT(NAME, T, PART, uint64_t, whole)
COUNTS(B, uint8_t, uint16_t)
COUNTS(b, int8_t, uint16_t)
COUNTS(H, uint16_t, uint16_t)
COUNTS(h, int16_t, uint16_t)
COUNTS(I, uint32_t, uint32_t)
COUNTS(i, int32_t, uint32_t)
COUNTS(Q, uint64_t, uint64_t)
COUNTS(q, int64_t, uint64_t)
COUNTS(f, float, uint32_t)
COUNTS(d, double, uint64_t)

/* Of a few values: their sum, or that of the squares of their distances from a centre. */
#define VALUE(i) ((double)v[i])
#define SQUARE(i) (((double)v[i] - centre) * ((double)v[i] - centre))
#define OF_FEW(NAME, T, WORD, TERM)                                                                 \
    static double WORD##_##NAME(const T *v, double centre, Py_ssize_t n) {                          \
        double lane[LANES] = {0};                                                                   \
        Py_ssize_t i = 0;                                                                           \
        (void)centre;                                                                               \
        for (; i + LANES <= n; i += LANES)                                                          \
            for (int j = 0; j < LANES; j++) lane[j] += TERM(i + j);                                 \
        for (; i < n; i++) lane[i % LANES] += TERM(i);                                              \
        return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7])); \
    }

/* Those of a few values that count, one behind the other; gives how many. */
#define CHOSEN(NAME, T)                                                                             \
    static Py_ssize_t chosen_##NAME(const T *v, const uint8_t *kept, T *chosen, Py_ssize_t n) {     \
        Py_ssize_t count = 0;                                                                       \
        for (Py_ssize_t i = 0; i < n; i++) {                                                        \
            chosen[count] = v[i];                                                                   \
            count += kept[i] != 0;                                                                  \
        }                                                                                           \
        return count;                                                                               \
    }

/* Sums of floats in double precision, of halves of halves of many values. */
#define SUM_OF_FLOATS(NAME, T)                                                                      \
    OF_FEW(NAME, T, total, VALUE)                                                                   \
    static double added_##NAME(const T *v, const uint8_t *kept, Py_ssize_t n) {                     \
        if (n <= LEAF) {                                                                            \
            T chosen[LEAF];                                                                         \
            return kept ? total_##NAME(chosen, 0, chosen_##NAME(v, kept, chosen, n)) : total_##NAME(v, 0, n); \
        }                                                                                           \
        Py_ssize_t half = (n / 2 + LEAF - 1) / LEAF * LEAF;                                         \
        return added_##NAME(v, kept, half) + added_##NAME(v + half, kept ? kept + half : NULL, n - half); \
    }                                                                                               \
    static void sum_##NAME(const Work *work) {                                                      \
        double *known = work->known[0];                                                             \
        if (is_run(work)) {                                                                         \
            EACH_RUN(T) known[place] += added_##NAME(run, work->kept, s->rows);                     \
            return;                                                                                 \
        }                                                                                           \
        EACH_STRIP(T) {                                                                             \
            double *goal = known + outer * s->inner + at;                                           \
            for (Py_ssize_t row = 0; row < s->rows; row++) {                                        \
                const T *v = block + row * s->inner + at;                                           \
                for (Py_ssize_t i = 0; i < n; i++) goal[i] += (double)v[i];                         \
            }                                                                                       \
        }                                                                                           \
    }
CHOSEN(f, float)
CHOSEN(d, double)
CHOSEN(I, uint32_t)
CHOSEN(i, int32_t)
CHOSEN(Q, uint64_t)
CHOSEN(q, int64_t)
SUM_OF_FLOATS(f, float)
SUM_OF_FLOATS(d, double)
OF_FEW(I, uint32_t, total, VALUE)
OF_FEW(i, int32_t, total, VALUE)
OF_FEW(Q, uint64_t, total, VALUE)
OF_FEW(q, int64_t, total, VALUE)

/* Mean, and sum of squares around it, of values that come to others of which these are known. */
static void join(double *mean, double *spread, double count, double its_mean, double its_spread, double more) {
    double apart = its_mean - *mean, share = more / (count + more);
    /* Of nothing before, the square may be infinite and yet count for nothing. */
    *spread += its_spread + (count > 0 ? apart * apart * count * share : 0);
    *mean += apart * share;
}

/* What is known is a mean and a spread, of nothing at first. */
#define SPREAD(NAME, T)                                                                             \
    OF_FEW(NAME, T, squares, SQUARE)                                                                \
    static void spread_##NAME(const Work *work) {                                                   \
        double *mean = work->known[0], *spread = work->known[1];                                    \
        if (is_run(work)) {                                                                         \
            EACH_RUN(T) {                                                                           \
                double run_mean = 0, run_spread = 0;                                                \
                Py_ssize_t count = 0;                                                               \
                for (Py_ssize_t from = 0; from < s->rows; from += LEAF) {                           \
                    T chosen[LEAF];                                                                 \
                    const T *v = work->kept ? chosen : run + from;                                  \
                    Py_ssize_t n = LEAST(LEAF, s->rows - from);                                     \
                    if (work->kept) n = chosen_##NAME(run + from, work->kept + from, chosen, n);    \
                    if (!n) continue;                                                               \
                    double centre = total_##NAME(v, 0, n) / (double)n;                              \
                    join(&run_mean, &run_spread, (double)count, centre, squares_##NAME(v, centre, n), (double)n); \
                    count += n;                                                                     \
                }                                                                                   \
                if (count)                                                                          \
                    join(mean + place, spread + place, (double)(repeated * count), run_mean, run_spread, \
                         (double)count);                                                            \
            }                                                                                       \
            return;                                                                                 \
        }                                                                                           \
        EACH_STRIP(T) {                                                                             \
            double centre[STRIP] = {0}, squares[STRIP] = {0};                                       \
            for (Py_ssize_t row = 0; row < s->rows; row++) {                                        \
                const T *v = block + row * s->inner + at;                                           \
                for (Py_ssize_t i = 0; i < n; i++) centre[i] += (double)v[i];                       \
            }                                                                                       \
            for (Py_ssize_t i = 0; i < n; i++) centre[i] /= (double)s->rows;                        \
            for (Py_ssize_t row = 0; row < s->rows; row++) {                                        \
                const T *v = block + row * s->inner + at;                                           \
                for (Py_ssize_t i = 0; i < n; i++)                                                  \
                    squares[i] += ((double)v[i] - centre[i]) * ((double)v[i] - centre[i]);          \
            }                                                                                       \
            Py_ssize_t goal = outer * s->inner + at;                                                \
            for (Py_ssize_t i = 0; i < n; i++)                                                      \
                join(mean + goal + i, spread + goal + i, (double)(repeated * s->rows), centre[i], squares[i], \
                     (double)s->rows);                                                              \
        }                                                                                           \
    }
SPREAD(I, uint32_t)
SPREAD(i, int32_t)
SPREAD(Q, uint64_t)
SPREAD(q, int64_t)
SPREAD(f, float)
SPREAD(d, double)

/* What there is: operation, kind of the values, bytes of what is known in each array of it, and of a value. */
typedef struct {
    const char *operation;
    char kind;
    int value_bytes, known_bytes[2];
    Kernel run;
} Entry;

#define INTEGER(NAME, KIND, BYTES)                                    \
    {"sum", KIND, BYTES, {4, 0}, sum_##NAME##_half},                                                \
    {"sum", KIND, BYTES, {8, 0}, sum_##NAME##_whole},                                               \
    {"least", KIND, BYTES, {BYTES, 0}, least_##NAME},                                               \
    {"greatest", KIND, BYTES, {BYTES, 0}, greatest_##NAME},
#define ANY(NAME, KIND, BYTES)                                                                      \
    {"count", KIND, BYTES, {4, 0}, count_##NAME##_half},                                            \
    {"count", KIND, BYTES, {8, 0}, count_##NAME##_whole},
#define SMALL(NAME, KIND, BYTES)                                                                    \
    {"moments", KIND, BYTES, {4, 8}, moments_##NAME##_half},                                        \
    {"moments", KIND, BYTES, {8, 8}, moments_##NAME##_whole},
#define LARGE(NAME, KIND, BYTES) {"spread", KIND, BYTES, {8, 8}, spread_##NAME},
#define FLOATING(NAME, KIND, BYTES) {"sum", KIND, BYTES, {8, 0}, sum_##NAME},

static const Entry entries[] = {
    INTEGER(B, 'u', 1) ANY(B, 'u', 1) SMALL(B, 'u', 1)
    INTEGER(b, 'i', 1) ANY(b, 'i', 1) SMALL(b, 'i', 1)
    INTEGER(H, 'u', 2) ANY(H, 'u', 2) SMALL(H, 'u', 2)
    INTEGER(h, 'i', 2) ANY(h, 'i', 2) SMALL(h, 'i', 2)
    INTEGER(I, 'u', 4) ANY(I, 'u', 4) LARGE(I, 'u', 4)
    INTEGER(i, 'i', 4) ANY(i, 'i', 4) LARGE(i, 'i', 4)
    INTEGER(Q, 'u', 8) ANY(Q, 'u', 8) LARGE(Q, 'u', 8)
    INTEGER(q, 'i', 8) ANY(q, 'i', 8) LARGE(q, 'i', 8)
    FLOATING(f, 'f', 4) ANY(f, 'f', 4) LARGE(f, 'f', 4)
    FLOATING(d, 'f', 8) ANY(d, 'f', 8) LARGE(d, 'f', 8)
};

static Kernel kernel_of(const char *operation, int kind, Py_ssize_t value_bytes, const Py_ssize_t known_bytes[2]) {
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        const Entry *entry = entries + i;
        if (entry->kind == kind && entry->value_bytes == value_bytes && entry->known_bytes[0] == known_bytes[0] &&
            entry->known_bytes[1] == known_bytes[1] && !strcmp(entry->operation, operation))
            return entry->run;
    }
    return NULL;
}

/* Bytes of each of so many elements; -1 where that is no whole number of them. */
static Py_ssize_t bytes_of_each(const Py_buffer *buffer, Py_ssize_t count) {
    if (!buffer->obj) return 0;
    return count > 0 && buffer->len % count == 0 ? buffer->len / count : -1;
}

static int is_aligned(const Py_buffer *buffer, Py_ssize_t bytes) {
    return bytes <= 0 || (uintptr_t)buffer->buf % (size_t)bytes == 0;
}

static int is_count_of(const Shape *s, Py_ssize_t *values, Py_ssize_t *places) {
    const Py_ssize_t lengths[] = {s->repeat, s->outer, s->rows, s->inner};
    *values = 1;
    for (int i = 0; i < 4; i++) {
        if (lengths[i] < 1 || *values > PY_SSIZE_T_MAX / lengths[i]) return 0;
        *values *= lengths[i];
    }
    *places = s->outer * s->inner;
    return 1;
}

/* add(operation, kind, lengths, values, known, more_known, kept, limit) -> whether it was done
 *
 * kind: of the values' dtype, as NumPy calls it; booleans come as unsigned integers. lengths: repeat, outer, rows, inner.
 * The others are arrays in C order, or None.
 */
static PyObject *add(PyObject *module, PyObject *args) {
    const char *operation;
    int kind, is_right = 0;
    Work work;
    Py_buffer values, known[2], kept = {0}, limit = {0};
    Py_ssize_t count, places;
    (void)module;
    memset(known, 0, sizeof known);
    if (!PyArg_ParseTuple(args, "sC(nnnn)y*w*z*z*z*", &operation, &kind, &work.shape.repeat, &work.shape.outer,
                          &work.shape.rows, &work.shape.inner, &values, &known[0], &known[1], &kept, &limit))
        return NULL;
    Kernel run = NULL;
    if (is_count_of(&work.shape, &count, &places)) {
        Py_ssize_t value_bytes = bytes_of_each(&values, count);
        const Py_ssize_t known_bytes[2] = {bytes_of_each(&known[0], places), bytes_of_each(&known[1], places)};
        is_right = is_aligned(&values, value_bytes) && is_aligned(&known[0], known_bytes[0]) &&
                   is_aligned(&known[1], known_bytes[1]) && (!kept.obj || (work.shape.inner == 1 && kept.len == work.shape.rows)) &&
                   (!limit.obj || limit.len == value_bytes) && (!strcmp(operation, "count") == !!limit.obj) &&
                   !(known[1].obj && known[1].readonly);
        run = is_right ? kernel_of(operation, kind, value_bytes, known_bytes) : NULL;
    }
    if (run) {
        work.values = values.buf;
        work.kept = kept.obj ? kept.buf : NULL;
        work.limit = limit.buf;
        work.known[0] = known[0].buf;
        work.known[1] = known[1].buf;
        Py_BEGIN_ALLOW_THREADS
        run(&work);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&values);
    for (int i = 0; i < 2; i++) PyBuffer_Release(&known[i]);
    PyBuffer_Release(&kept);
    PyBuffer_Release(&limit);
    return PyBool_FromLong(run != NULL);
}

static PyMethodDef methods[] = {
    {"add", add, METH_VARARGS, "Add values to what is known of them; gives whether there is a way for them."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_reduce", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__reduce(void) {
    return PyModule_Create(&definition);
}
