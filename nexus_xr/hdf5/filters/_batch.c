/* Decoding many small chunks, or following the many blocks of one, without going back to Python for each.
 *
 * The functions that decode are not linked: their addresses come from the shared libraries that Python loaded.
 * A chunk that can't be decoded ends the work; who called decodes that one again with the decoders in Python, which
 * say what is wrong.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DEFLATE = 1, SHUFFLE = 2, FLETCHER32 = 3, LZF = 32000, LZ4 = 32004, ZSTD = 32015, MOST_STEPS = 8 };

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
        else if (((Lz4)step->function[0])(source + at, target + made, (int)stored, (int)length) != (int)length)
            return -1;
        at += stored;
        made += length;
    }
    return (int64_t)total;
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
        if (size > room) return -1;
        whole = size - size % (size_t)step->width;
        ((Unshuffle)step->function[0])((int32_t)step->width, (int32_t)whole, source, target);
        memcpy(target + whole, source + whole, size - whole);
        return (int64_t)size;
    case LZF:
        made = ((Lzf)step->function[0])(source, (unsigned)size, target, (unsigned)room);
        return made ? (int64_t)made : -1;
    case LZ4:
        return lz4(step, source, size, target, room);
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

static PyMethodDef methods[] = {
    {"behind_blocks", behind_blocks, METH_VARARGS, "Follow blocks through a chunk; gives where they end."},
    {"decode", decode, METH_VARARGS, "Decode chunks one after the other; gives how many could be decoded."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_batch", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__batch(void) {
    return PyModule_Create(&definition);
}
