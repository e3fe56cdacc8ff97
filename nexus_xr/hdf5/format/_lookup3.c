/* The checksum of metadata, lookup3 by Bob Jenkins, which plain Python takes some hundred times as long for.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>

static uint32_t turned(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

static uint32_t word(const uint8_t *bytes, size_t count) {
    uint32_t value = 0;
    for (size_t i = 0; i < count && i < 4; i++) value |= (uint32_t)bytes[i] << (8 * i);
    return value;
}

static uint32_t lookup3(const uint8_t *bytes, size_t size) {
    uint32_t a = 0xdeadbeef + (uint32_t)size, b = a, c = a;
    if (!size) return c;
    for (; size > 12; size -= 12, bytes += 12) {
        a += word(bytes, 4), b += word(bytes + 4, 4), c += word(bytes + 8, 4);
        a -= c, a ^= turned(c, 4), c += b;
        b -= a, b ^= turned(a, 6), a += c;
        c -= b, c ^= turned(b, 8), b += a;
        a -= c, a ^= turned(c, 16), c += b;
        b -= a, b ^= turned(a, 19), a += c;
        c -= b, c ^= turned(b, 4), b += a;
    }
    a += word(bytes, size);
    if (size > 4) b += word(bytes + 4, size - 4);
    if (size > 8) c += word(bytes + 8, size - 8);
    c ^= b, c -= turned(b, 14);
    a ^= c, a -= turned(c, 11);
    b ^= a, b -= turned(a, 25);
    c ^= b, c -= turned(b, 16);
    a ^= c, a -= turned(c, 4);
    b ^= a, b -= turned(a, 14);
    c ^= b, c -= turned(b, 24);
    return c;
}

static PyObject *checksum(PyObject *module, PyObject *content) {
    char *bytes;
    Py_ssize_t size;
    (void)module;
    if (PyBytes_AsStringAndSize(content, &bytes, &size) < 0) return NULL;
    return PyLong_FromUnsignedLong(lookup3((const uint8_t *)bytes, (size_t)size));
}

static PyMethodDef methods[] = {
    {"lookup3", checksum, METH_O, "The checksum of bytes."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_lookup3", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__lookup3(void) { return PyModule_Create(&definition); }
