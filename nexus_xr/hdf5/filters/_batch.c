/* Decoding or copying many chunks, or the many blocks of one, without going back to Python for each.
 *
 * The functions that decode are not linked: their addresses come from the shared libraries that Python loaded.
 * A chunk that can't be decoded or copied ends the work; who called does that one again in Python, which says what is
 * wrong.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

enum { WIDEST = 8 };
enum { DEFLATE = 1, SHUFFLE = 2, FLETCHER32 = 3, LZF = 32000, LZ4 = 32004, BITSHUFFLE = 32008, ZSTD = 32015, MOST_STEPS = 8 };

typedef struct {
    int64_t kind, width, room;
    void *function[3];
    void *state;
} Step;

typedef void *(*Allocate)(void);
typedef size_t (*Free)(void *);
typedef int (*Deflate)(void *, const void *, size_t, void *, size_t, size_t *);
typedef int (*Unshuffle)(int32_t, int32_t, const void *, void *);
typedef uint32_t (*Checksum)(const void *, size_t);
typedef unsigned (*Lzf)(const void *, unsigned, void *, unsigned);
typedef int (*Lz4)(const void *, void *, int, int);
typedef size_t (*Zstd)(void *, void *, size_t, const void *, size_t);

static uint64_t big_endian(const uint8_t *bytes, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | bytes[i];
    return value;
}

static void put_little_endian(uint8_t *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> 8 * i);
}

static int64_t little_endian(const uint8_t *bytes) {
    int64_t value = 0;
    for (int i = 3; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* Whether a block is decompressed to just so many bytes; LZ4 has none that an int doesn't count. */
static int is_decompressed(Lz4 decompress, const uint8_t *source, uint64_t stored, uint8_t *target, uint64_t length) {
    return stored <= INT32_MAX && length <= INT32_MAX &&
           decompress(source, target, (int)stored, (int)length) == (int)length;
}

static int64_t lz4(const Step *step, const uint8_t *source, size_t size, uint8_t *target, size_t room) {
    if (size < 12) return -1;
    uint64_t total = big_endian(source, 8), block = big_endian(source + 8, 4), made = 0;
    size_t at = 12;
    if (total > room || !block) return -1;
    while (made < total) {
        uint64_t length = total - made < block ? total - made : block;
        if (size - at < 4) return -1;
        uint64_t stored = big_endian(source + at, 4);
        at += 4;
        if (stored > size - at) return -1;
        if (stored == length)
            memcpy(target + made, source + at, length);
        else if (!is_decompressed((Lz4)step->function[0], source + at, stored, target + made, length))
            return -1;
        at += stored;
        made += length;
    }
    return (int64_t)total;
}

/* --- bitshuffle: of eight elements at a time, one bit of each makes a byte ------------------------------------------ */

#ifdef __GNUC__
#define LANES 16
typedef uint8_t Bytes __attribute__((vector_size(LANES)));
typedef uint16_t Pairs __attribute__((vector_size(LANES)));
#ifdef __clang__
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MIX(a, b, ...) __builtin_shuffle(a, b, (Bytes){__VA_ARGS__})
#endif
#define FIRST(a, b) MIX(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define LAST(a, b) MIX(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)

/* Exchange bits between two rows: those of the mask in the one with those `by` places higher in the other. */
static inline void exchange(Bytes *high, Bytes *low, uint16_t by, uint8_t mask) {
    Bytes wanted = (Bytes){0} + mask;
    Bytes differ = ((Bytes)((Pairs)*high >> by) ^ *low) & wanted;
    *low ^= differ;
    *high ^= (Bytes)((Pairs)differ << by);
}

/* Eight rows of bits, `stride` apart, as LANES times eight bytes, one behind the other. */
static inline void bytes_of_rows(const uint8_t *rows, size_t stride, Bytes made[8]) {
    Bytes row[8], half[8];
    for (int i = 0; i < 8; i++) memcpy(&row[i], rows + (size_t)i * stride, LANES);
    for (int i = 0; i < 4; i++) exchange(&row[i], &row[i + 4], 4, 0x0F);
    for (int i = 0; i < 2; i++) exchange(&row[i], &row[i + 2], 2, 0x33), exchange(&row[i + 4], &row[i + 6], 2, 0x33);
    for (int i = 0; i < 8; i += 2) exchange(&row[i], &row[i + 1], 1, 0x55);
    for (int i = 0; i < 4; i++) {
        half[2 * i] = FIRST(row[i], row[i + 4]);
        half[2 * i + 1] = LAST(row[i], row[i + 4]);
    }
    for (int i = 0; i < 4; i++) {
        row[2 * i] = FIRST(half[i], half[i + 4]);
        row[2 * i + 1] = LAST(half[i], half[i + 4]);
    }
    for (int i = 0; i < 4; i++) {
        made[2 * i] = FIRST(row[i], row[i + 4]);
        made[2 * i + 1] = LAST(row[i], row[i + 4]);
    }
}
#endif

/* The first elements of a block with so many bytes in each row of bits; gives how many bytes of rows are done.
 * The width is a power of two, and known beforehand where this is inlined.
 */
static inline size_t unshuffle_many(const uint8_t *source, size_t row, size_t width, uint8_t *target) {
    size_t at = 0;
#ifdef __GNUC__
    for (; at + LANES <= row; at += LANES) {
        Bytes planes[8 * WIDEST], merged[8 * WIDEST];
        for (size_t byte = 0; byte < width; byte++) bytes_of_rows(source + 8 * byte * row + at, row, planes + 8 * byte);
        for (size_t left = width / 2; left; left /= 2) {
            size_t half = 4 * width;
            for (size_t i = 0; i < half; i++) {
                merged[2 * i] = FIRST(planes[i], planes[half + i]);
                merged[2 * i + 1] = LAST(planes[i], planes[half + i]);
            }
            memcpy(planes, merged, 8 * width * LANES);
        }
        memcpy(target + 8 * width * at, planes, 8 * width * LANES);
    }
#endif
    return at;
}

/* The elements of a block, whose number is a multiple of eight. */
static void unshuffle_bits(const uint8_t *source, size_t length, size_t width, uint8_t *target) {
    size_t row = length / width / 8, begin;
    switch (width) {
    case 1: begin = unshuffle_many(source, row, 1, target); break;
    case 2: begin = unshuffle_many(source, row, 2, target); break;
    case 4: begin = unshuffle_many(source, row, 4, target); break;
    case WIDEST: begin = unshuffle_many(source, row, WIDEST, target); break;
    default: begin = 0;
    }
    for (size_t at = begin; at < row; at++)
        for (size_t byte = 0; byte < width; byte++) {
            const uint8_t *rows = source + 8 * byte * row + at;
            uint64_t bits = 0, differ;
            for (size_t i = 0; i < 8; i++) bits |= (uint64_t)rows[i * row] << 8 * i;
            differ = (bits ^ bits >> 7) & 0x00AA00AA00AA00AA;
            bits ^= differ ^ differ << 7;
            differ = (bits ^ bits >> 14) & 0x0000CCCC0000CCCC;
            bits ^= differ ^ differ << 14;
            differ = (bits ^ bits >> 28) & 0x00000000F0F0F0F0;
            bits ^= differ ^ differ << 28;
            for (size_t i = 0; i < 8; i++) target[(8 * at + i) * width + byte] = (uint8_t)(bits >> 8 * i);
        }
}

/* Whether so many bytes could be made of blocks with their size before each. What is no multiple of eight elements at
 * the end is stored as it is.
 */
static int are_unshuffled(Lz4 decompress, const uint8_t *source, size_t size, uint8_t *target, size_t length,
                          size_t width, size_t block) {
    size_t most = block < length ? block : length;
    uint8_t *spare = malloc(most + 1);
    int fits = spare != NULL;
    while (fits && length >= 8 * width) {
        size_t made = length < block ? length - length % (8 * width) : block;
        uint64_t stored = size < 4 ? size : big_endian(source, 4);
        fits = size >= 4 && stored <= size - 4 && is_decompressed(decompress, source + 4, stored, spare, made);
        if (!fits) break;
        unshuffle_bits(spare, made, width, target);
        source += 4 + stored, size -= 4 + stored, target += made, length -= made;
    }
    fits = fits && length <= size;
    if (fits) memcpy(target, source, length);
    free(spare);
    return fits;
}

static int64_t bitshuffle(const Step *step, const uint8_t *source, size_t size, uint8_t *target, size_t room) {
    if (size < 12) return -1;
    uint64_t total = big_endian(source, 8), block = big_endian(source + 8, 4), width = (uint64_t)step->width;
    if (total > room || total % width || !block || block % (8 * width)) return -1;
    Lz4 decompress = (Lz4)step->function[0];
    return are_unshuffled(decompress, source + 12, size - 12, target, total, width, block) ? (int64_t)total : -1;
}

static int is_checked(const Step *step, const uint8_t *source, size_t size) {
    if (size < 5) return 0;
    const uint8_t *end = source + size - 4;
    uint32_t stored = end[0] | end[1] << 8 | end[2] << 16 | (uint32_t)end[3] << 24;
    uint32_t found = ((Checksum)step->function[0])(source, size - 4);
    uint32_t swapped = (found & 0x00FF00FF) << 8 | (found & 0xFF00FF00) >> 8;
    return stored == found || stored == swapped;
}

/* Size of what a step makes, or -1. */
static int64_t undo(const Step *step, const uint8_t *source, size_t size, uint8_t *target, size_t room) {
    size_t made = 0, whole;
    switch (step->kind) {
    case DEFLATE:
        return ((Deflate)step->function[0])(step->state, source, size, target, room, &made) ? -1 : (int64_t)made;
    case SHUFFLE:
        whole = size - size % (size_t)step->width;
        if (size > room || whole > INT32_MAX) return -1;
        if (((Unshuffle)step->function[0])((int32_t)step->width, (int32_t)whole, source, target) < 0) return -1;
        memcpy(target + whole, source + whole, size - whole);
        return (int64_t)size;
    case LZF:
        if (size > UINT32_MAX || room > UINT32_MAX) return -1;
        made = ((Lzf)step->function[0])(source, (unsigned)size, target, (unsigned)room);
        return made ? (int64_t)made : -1;
    case LZ4:
        return lz4(step, source, size, target, room);
    case BITSHUFFLE:
        return bitshuffle(step, source, size, target, room);
    case ZSTD:
        made = ((Zstd)step->function[0])(step->state, target, room, source, size);
        return made > room ? -1 : (int64_t)made; /* errors are the largest numbers */
    }
    return -1;
}

static int is_decoded(const Step *steps, int count, const uint8_t *source, size_t size, uint8_t *target, size_t length,
                      uint8_t *const spare[2]) {
    int turn = 0;
    for (int i = 0; i < count; i++) {
        if (steps[i].kind == FLETCHER32) {
            if (!is_checked(&steps[i], source, size)) return 0;
            size -= 4;
            continue;
        }
        int last = i == count - 1;
        uint8_t *goal = last ? target : spare[turn];
        int64_t made = undo(&steps[i], source, size, goal, last ? length : (size_t)steps[i].room);
        if (made < 0) return 0;
        source = goal;
        size = (size_t)made;
        turn ^= 1;
    }
    if (size != length) return 0;
    if (source != target) memcpy(target, source, length);
    return 1;
}

static Py_ssize_t decode_all(Step *steps, int count, Py_ssize_t chunks, const int64_t *places, size_t length) {
    size_t room = length;
    for (int i = 0; i < count; i++)
        if ((size_t)steps[i].room > room) room = (size_t)steps[i].room;
    uint8_t *const spare[2] = {malloc(room), malloc(room)};
    int ready = spare[0] && spare[1];
    for (int i = 0; i < count; i++) {
        int has_state = steps[i].kind == DEFLATE || steps[i].kind == ZSTD;
        steps[i].state = has_state ? ((Allocate)steps[i].function[1])() : NULL;
        ready = ready && (!has_state || steps[i].state);
    }
    Py_ssize_t done = 0;
    while (ready && done < chunks) {
        const int64_t *place = places + 3 * done;
        if (!is_decoded(steps, count, (const uint8_t *)(intptr_t)place[0], (size_t)place[1],
                        (uint8_t *)(intptr_t)place[2], length, spare))
            break;
        done++;
    }
    for (int i = 0; i < count; i++) {
        if (steps[i].state) ((Free)steps[i].function[2])(steps[i].state);
    }
    free(spare[0]);
    free(spare[1]);
    return done;
}

/* decode(steps, places, chunk_bytes) -> chunks decoded before the first that can't be
 *
 * steps: bytes of int64, six a step: kind, width, room, and the addresses of up to three functions.
 * places: bytes of int64, three a chunk: address and size of the stored bytes, address of the decoded ones.
 */
static PyObject *decode(PyObject *module, PyObject *args) {
    PyObject *packed, *places;
    Py_ssize_t length;
    char *raw_steps, *raw_places;
    Py_ssize_t steps_size, places_size;
    (void)module;
    if (!PyArg_ParseTuple(args, "SSn", &packed, &places, &length)) return NULL;
    if (PyBytes_AsStringAndSize(packed, &raw_steps, &steps_size) || PyBytes_AsStringAndSize(places, &raw_places, &places_size))
        return NULL;
    Py_ssize_t count = steps_size / 48, chunks = places_size / 24, done;
    if (count < 1 || count > MOST_STEPS || length < 1) {
        PyErr_SetString(PyExc_ValueError, "expected 1 to 8 steps and chunks of at least one byte");
        return NULL;
    }
    Step steps[MOST_STEPS];
    for (Py_ssize_t i = 0; i < count; i++) {
        int64_t field[6];
        memcpy(field, raw_steps + 48 * i, sizeof field);
        steps[i] = (Step){field[0], field[1], field[2], {0}, NULL};
        for (int j = 0; j < 3; j++) steps[i].function[j] = (void *)(intptr_t)field[3 + j];
    }
    Py_BEGIN_ALLOW_THREADS
    done = decode_all(steps, (int)count, chunks, (const int64_t *)(const void *)raw_places, (size_t)length);
    Py_END_ALLOW_THREADS
    return PyLong_FromSsize_t(done);
}

/* behind_blocks(source, size, position, count) -> where so many blocks end, with their sizes before them in 4 bytes,
 * or size + 1 where one goes beyond the end.
 */
static PyObject *behind_blocks(PyObject *module, PyObject *args) {
    Py_ssize_t source, size, position, count;
    (void)module;
    if (!PyArg_ParseTuple(args, "nnnn", &source, &size, &position, &count)) return NULL;
    for (; count > 0; count--) {
        if (position < 0 || position > size - 4) return PyLong_FromSsize_t(size + 1);
        position += 4 + (Py_ssize_t)big_endian((const uint8_t *)source + position, 4);
    }
    return PyLong_FromSsize_t(position > size ? size + 1 : position);
}

/* Have blocks with their sizes before them be those of a frame of Blosc, which has the lowest byte of a size first, and put
 * where each starts into 4 bytes, from `begin` on; gives where they end, or -1 where one goes beyond the end, or would be
 * taken for one that isn't compressed. `block` bytes are in each, `last` in the last.
 */
static int64_t framed_blocks(uint8_t *source, int64_t size, uint8_t *starts, int64_t count, int64_t begin, int64_t block,
                             int64_t last, int may_be_plain) {
    int64_t position = 0;
    for (; count > 0; count--, starts += 4) {
        if (position > size - 4) return -1;
        int64_t stored = (int64_t)big_endian(source + position, 4), length = count > 1 ? block : last;
        if (stored > size - position - 4 || (stored == length && !may_be_plain)) return -1;
        put_little_endian(starts, (uint32_t)(begin + position));
        put_little_endian(source + position, (uint32_t)stored);
        position += 4 + stored;
    }
    return position;
}

/* frame_blocks(source, size, starts, count, begin, block, last, may_be_plain) -> where the blocks end, or -1; the first and
 * the third are addresses.
 */
static PyObject *frame_blocks(PyObject *module, PyObject *args) {
    Py_ssize_t source, size, starts, count, begin, block, last;
    int may_be_plain;
    (void)module;
    if (!PyArg_ParseTuple(args, "nnnnnnnp", &source, &size, &starts, &count, &begin, &block, &last, &may_be_plain))
        return NULL;
    return PyLong_FromLongLong(
        framed_blocks((uint8_t *)source, size, (uint8_t *)starts, count, begin, block, last, may_be_plain));
}

#ifndef _WIN32
/* --- copies of chunks in files of their own ------------------------------------------------------------------------- */

enum { AS_IT_IS, FRAME, ONE_BLOCK, BLOCKS, MAYBE_PLAIN_BLOCKS, HEADER = 16, BLOCKS_HEADER = 12 };

/* How a stored chunk becomes that of a copy: what a frame begins with, bytes of a decoded chunk, and of what blocks have
 * whole numbers.
 */
typedef struct {
    int kind;
    const uint8_t *head;
    int64_t length, unit;
} Recipe;

static int is_frame(const uint8_t *data, int64_t size, int64_t length) {
    if (size < HEADER) return 0;
    int format = data[2] >> 5, is_known = format == 0 || format == 1 || format == 3 || format == 4;
    return data[0] == 2 && is_known && !(data[2] & 0x08) && little_endian(data + 4) == length && little_endian(data + 12) == size;
}

/* Make a frame of the bytes at an address with so much room before it; gives how far before it begins, or -1. */
static int64_t put_frame(const Recipe *recipe, uint8_t *data, int64_t room, int64_t *size) {
    int64_t begin = HEADER + 8, block = recipe->length, total = *size + begin;
    if (recipe->kind == AS_IT_IS) return 0;
    if (recipe->kind == FRAME) return is_frame(data, *size, recipe->length) ? 0 : -1;
    if (recipe->kind == ONE_BLOCK) {
        if (*size == recipe->length || begin > room) return -1;
        put_little_endian(data - 8, HEADER + 4);
        put_little_endian(data - 4, (uint32_t)*size);
    } else {
        if (*size < BLOCKS_HEADER || (int64_t)big_endian(data, 8) != recipe->length) return -1;
        block = (int64_t)big_endian(data + 8, 4);
        if (!block || block % recipe->unit) return -1;
        int64_t count = (recipe->length + block - 1) / block, table = HEADER + 4 * count;
        begin = table - BLOCKS_HEADER;
        if (begin > room) return -1;
        int64_t end = framed_blocks(data + BLOCKS_HEADER, *size - BLOCKS_HEADER, data - begin + HEADER, count, table, block,
                                    recipe->length - (count - 1) * block, recipe->kind == MAYBE_PLAIN_BLOCKS);
        if (end < 0) return -1;
        total = table + end;
        block = block < recipe->length ? block : recipe->length;
    }
    if (total > INT32_MAX) return -1;
    memcpy(data - begin, recipe->head, HEADER);
    put_little_endian(data - begin + 8, (uint32_t)block);
    put_little_endian(data - begin + 12, (uint32_t)total);
    *size = total;
    return begin;
}

/* Open a new file, in folders that are made where there are none. */
static int open_new(int folder, char *name) {
    for (int is_again = 0; is_again < 2; is_again++) {
        int file = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (file >= 0 || errno != ENOENT) return file;
        for (char *at = strchr(name, '/'); at; *at = '/', at = strchr(at + 1, '/')) {
            *at = 0;
            mkdirat(folder, name, 0777);
        }
    }
    return -1;
}

static int is_read(int file, uint8_t *to, int64_t size, int64_t offset) {
    ssize_t done;
    for (; size > 0; to += done, size -= done, offset += done)
        if ((done = pread(file, to, (size_t)size, (off_t)offset)) <= 0) return 0;
    return 1;
}

static int is_written(int folder, char *name, const uint8_t *data, int64_t size) {
    int file = open_new(folder, name);
    if (file < 0) return 0;
    ssize_t done;
    for (; size > 0 && (done = write(file, data, (size_t)size)) > 0; data += done) size -= done;
    return !close(file) && !size;
}

/* copy(kind, head, chunk_bytes, unit, source, places, memory, room, folder, names) -> chunks copied before the first that
 * can't be
 *
 * places: bytes of int64, two a chunk: where it is in the open file, and how many bytes it has. memory: address of as many
 * bytes as the largest has, behind so much room. names: those of the files, in an open folder, each with a zero behind it.
 */
static PyObject *copy(PyObject *module, PyObject *args) {
    PyObject *header, *places, *names;
    Py_ssize_t head_size, memory, room, places_size, names_size, done = 0;
    long long length, unit;
    int source, folder, kind;
    char *head, *raw_places, *raw_names;
    (void)module;
    if (!PyArg_ParseTuple(args, "iSLLiSnniS", &kind, &header, &length, &unit, &source, &places, &memory, &room, &folder,
                          &names))
        return NULL;
    /* Not by formats with a length: built by Python 3.13, these are no more the ones that Python before it takes. */
    if (PyBytes_AsStringAndSize(header, &head, &head_size) || PyBytes_AsStringAndSize(places, &raw_places, &places_size) ||
        PyBytes_AsStringAndSize(names, &raw_names, &names_size))
        return NULL;
    if (head_size != HEADER || length < 1 || unit < 1) {
        PyErr_SetString(PyExc_ValueError, "expected a header of 16 bytes, and chunks of at least one");
        return NULL;
    }
    char *name = malloc((size_t)names_size + 1), *first = name;
    if (!name) return PyErr_NoMemory();
    memcpy(name, raw_names, (size_t)names_size + 1);
    Recipe recipe = {kind, (const uint8_t *)head, length, unit};
    Py_BEGIN_ALLOW_THREADS
    for (; done < places_size / 16; done++, name += strlen(name) + 1) {
        int64_t place[2];
        memcpy(place, raw_places + 16 * done, sizeof place);
        uint8_t *data = (uint8_t *)memory + room;
        if (!is_read(source, data, place[1], place[0])) break;
        int64_t before = put_frame(&recipe, data, room, &place[1]);
        if (before < 0 || !is_written(folder, name, data - before, place[1])) break;
    }
    Py_END_ALLOW_THREADS
    free(first);
    return PyLong_FromSsize_t(done);
}
#endif

/* unshuffle_blocks(decompress, source, size, target, length, width, block) -> whether all could be decoded
 *
 * Addresses, and numbers of bytes; a block has a multiple of eight elements.
 */
static PyObject *unshuffle_blocks(PyObject *module, PyObject *args) {
    Py_ssize_t decompress, source, size, target, length, width, block;
    int fits;
    (void)module;
    if (!PyArg_ParseTuple(args, "nnnnnnn", &decompress, &source, &size, &target, &length, &width, &block)) return NULL;
    if (size < 0 || length < 0 || width < 1 || block < 1 || block % (8 * width)) {
        PyErr_SetString(PyExc_ValueError, "expected blocks of eights of elements");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    fits = are_unshuffled((Lz4)decompress, (const uint8_t *)source, (size_t)size, (uint8_t *)target, (size_t)length,
                          (size_t)width, (size_t)block);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(fits);
}

static PyMethodDef methods[] = {
    {"behind_blocks", behind_blocks, METH_VARARGS, "Follow blocks through a chunk; gives where they end."},
#ifndef _WIN32
    {"copy", copy, METH_VARARGS, "Copy stored chunks to files; gives how many could be copied."},
#endif
    {"decode", decode, METH_VARARGS, "Decode chunks one after the other; gives how many could be decoded."},
    {"frame_blocks", frame_blocks, METH_VARARGS, "Have the blocks of a chunk be those of a frame; gives where they end."},
    {"unshuffle_blocks", unshuffle_blocks, METH_VARARGS, "Decode blocks of bitshuffle; gives whether they could be."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_batch", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__batch(void) {
    return PyModule_Create(&definition);
}
