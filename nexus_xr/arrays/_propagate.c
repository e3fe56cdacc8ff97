/* Values and their variances of elementwise functions, in one pass over the operands.
 *
 * The formulas, and the order of their steps, are those of propagation.py, which does in their place what isn't here.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <string.h>

/* Several values at a time, of roots too; each step is rounded, as NumPy rounds it. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-math-errno", "fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif

enum { MOST_ARRAYS = 6 };

typedef void (*Loop)(void *const *arrays, Py_ssize_t size);

#define OF_ONE(name, type, value, slope)                                                                     \
    static void name(void *const *arrays, Py_ssize_t size) {                                                 \
        const type *__restrict xs = arrays[0], *__restrict of_xs = arrays[1];                                \
        type *__restrict values = arrays[2], *__restrict variances = arrays[3];                              \
        for (Py_ssize_t i = 0; i < size; i++) {                                                              \
            const type x = xs[i], f = (value), s = (slope);                                                  \
            values[i] = f;                                                                                   \
            variances[i] = of_xs[i] * s * s;                                                                 \
        }                                                                                                    \
    }

#define OF_TWO(name, type, value, variance)                                                                  \
    static void name(void *const *arrays, Py_ssize_t size) {                                                 \
        const type *__restrict xs = arrays[0], *__restrict ys = arrays[1];                                   \
        const type *__restrict of_xs = arrays[2], *__restrict of_ys = arrays[3];                             \
        type *__restrict values = arrays[4], *__restrict variances = arrays[5];                              \
        for (Py_ssize_t i = 0; i < size; i++) {                                                              \
            const type x = xs[i], y = ys[i], of_x = of_xs[i], of_y = of_ys[i], f = (value);                  \
            values[i] = f;                                                                                   \
            variances[i] = (variance);                                                                       \
        }                                                                                                    \
    }

#define OF_TYPE(type, root)                                                                                  \
    OF_ONE(square_##type, type, x * x, 2 * x)                                                                \
    OF_ONE(sqrt_##type, type, root(x), (type)0.5 / f)                                                        \
    OF_TWO(multiply_##type, type, x * y, of_x * y * y + of_y * x * x)                                        \
    OF_TWO(divide_##type, type, x / y, (of_x + of_y * f * f) / (y * y))

OF_TYPE(double, sqrt)
OF_TYPE(float, sqrtf)

/* Buffers of one type and one size, of which the last two are filled; gives how many of them have been taken. */
static Py_ssize_t take(PyObject *given, Py_ssize_t count, Py_buffer *views) {
    if (PyTuple_Size(given) != count) {
        PyErr_Format(PyExc_TypeError, "expected %zd arrays", count);
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (i < count - 2 ? 0 : PyBUF_WRITABLE);
        if (PyObject_GetBuffer(PyTuple_GetItem(given, i), &views[i], flags)) return i;
        if (views[i].len != views[0].len || strcmp(views[i].format, views[0].format)) {
            PyErr_SetString(PyExc_ValueError, "expected arrays of one size and type");
            return i + 1;
        }
    }
    return count;
}

static PyObject *run(PyObject *given, Py_ssize_t count, Loop of_doubles, Loop of_floats) {
    Py_buffer views[MOST_ARRAYS];
    void *arrays[MOST_ARRAYS];
    Py_ssize_t taken = take(given, count, views);
    if (!PyErr_Occurred()) {
        int are_doubles = !strcmp(views[0].format, "d"), are_floats = !strcmp(views[0].format, "f");
        for (Py_ssize_t i = 0; i < count; i++) arrays[i] = views[i].buf;
        if (!are_doubles && !are_floats)
            PyErr_SetString(PyExc_ValueError, "expected arrays of float64 or float32");
        else {
            Py_BEGIN_ALLOW_THREADS
            (are_doubles ? of_doubles : of_floats)(arrays, views[0].len / views[0].itemsize);
            Py_END_ALLOW_THREADS
        }
    }
    while (taken--) PyBuffer_Release(&views[taken]);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

#define FUNCTION(name, count)                                                                                \
    static PyObject *name##_all(PyObject *module, PyObject *given) {                                         \
        (void)module;                                                                                        \
        return run(given, count, name##_double, name##_float);                                               \
    }

FUNCTION(square, 4)
FUNCTION(sqrt, 4)
FUNCTION(multiply, 6)
FUNCTION(divide, 6)

static PyMethodDef methods[] = {
    {"square", square_all, METH_VARARGS, "Squares and their variances."},
    {"sqrt", sqrt_all, METH_VARARGS, "Square roots and their variances."},
    {"multiply", multiply_all, METH_VARARGS, "Products and their variances."},
    {"divide", divide_all, METH_VARARGS, "Quotients and their variances."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_propagate", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__propagate(void) { return PyModule_Create(&definition); }
