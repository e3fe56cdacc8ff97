/* Structures of which a file has thousands, taken apart, and the checksum of metadata.
 *
 * Each function is given bytes and gives what is in them. Where they are damaged or unusual it gives None, and plain
 * Python, which can do all of this too, tells what is the matter. Nothing is read that isn't within the bytes.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t size;
} Span;

/* The bytes before a null, or all. */
static size_t text_size(const uint8_t *bytes, size_t size) {
    const uint8_t *end = memchr(bytes, 0, size);
    return end ? (size_t)(end - bytes) : size;
}

static uint64_t number(const uint8_t *bytes, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static size_t padded(uint64_t size) { return ((size_t)size + 7) & ~(size_t)7; }

/* --- the checksum: lookup3 by Bob Jenkins ------------------------------------------------------------------------ */

static uint32_t turned(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

static uint32_t word(const uint8_t *bytes, size_t count) { return (uint32_t)number(bytes, count < 4 ? count : 4); }

static uint32_t checksum(const uint8_t *bytes, size_t size) {
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

/* --- from and to Python ------------------------------------------------------------------------------------------ */

static int is_span(PyObject *content, Span *span) {
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(content, &bytes, &size) < 0) return 0;
    *span = (Span){(const uint8_t *)bytes, (size_t)size};
    return 1;
}

static PyObject *as_bytes(const uint8_t *bytes, size_t size) {
    return PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)size);
}

/* What was made as long as nothing failed; else an error, or None where Python is to look. */
static PyObject *given(PyObject *made, int is_whole) {
    if (is_whole && made) return made;
    Py_XDECREF(made);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* Each of these takes over what it is given, which may be missing, and tells whether all went well. */

static int is_set(PyObject *tuple, Py_ssize_t index, PyObject *item) {
    return item && !PyTuple_SetItem(tuple, index, item);
}

static int is_appended(PyObject *list, PyObject *item) {
    int failed = !item || PyList_Append(list, item);
    Py_XDECREF(item);
    return !failed;
}

static PyObject *pair(PyObject *first, PyObject *second) {
    PyObject *made = first && second ? PyTuple_Pack(2, first, second) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(second);
    return made;
}

/* The bytes of a message, which is a pair of its flags and these. */
static int is_message(PyObject *list, Py_ssize_t index, long *flags, Span *content) {
    PyObject *message = PyList_GetItem(list, index);
    if (!message || PyTuple_Size(message) != 2) return 0;
    *flags = PyLong_AsLong(PyTuple_GetItem(message, 0));
    return !PyErr_Occurred() && is_span(PyTuple_GetItem(message, 1), content);
}

/* Bytes of a length or an address. */
enum { MOST_WIDTH = 8 };

static int are_widths(Py_ssize_t lengths, Py_ssize_t offsets) {
    return 0 < lengths && lengths <= MOST_WIDTH && 0 < offsets && offsets <= MOST_WIDTH;
}

/* --- object headers ---------------------------------------------------------------------------------------------- */

enum { PREFIX_1 = 8, PREFIX_2 = 4, ORDERED_PREFIX_2 = 6, HEAD_1 = 16, HEAD_2 = 6, CHECKSUM = 4 };
enum { FAIL_IF_UNKNOWN = 0x80, ORDER_TRACKED = 0x04, PHASES_STORED = 0x10, TIMES_STORED = 0x20, KNOWN_FLAGS = 0x3F };

static int is_entered(PyObject *found, long kind, long flags, Span content) {
    PyObject *key = PyLong_FromLong(kind);
    PyObject *known = key ? PyDict_GetItemWithError(found, key) : NULL;
    PyObject *made = known || PyErr_Occurred() ? NULL : PyList_New(0);
    int failed = made && PyDict_SetItem(found, key, made);
    PyObject *list = known ? known : made;
    failed |= !list || !is_appended(list, pair(PyLong_FromLong(flags), as_bytes(content.bytes, content.size)));
    Py_XDECREF(made);
    Py_XDECREF(key);
    return !failed;
}

static PyObject *messages_of(Span block, size_t prefix) {
    PyObject *found = PyDict_New();
    const uint8_t *at = block.bytes;
    size_t left = block.size;
    int is_whole = found != NULL;
    while (is_whole && left >= prefix) {
        size_t kind_size = prefix == PREFIX_1 ? 2 : 1;
        long kind = (long)number(at, kind_size), flags = at[kind_size + 2];
        size_t size = (size_t)number(at + kind_size, 2);
        at += prefix, left -= prefix;
        is_whole = size <= left && !(flags & FAIL_IF_UNKNOWN);
        if (is_whole && kind) is_whole = is_entered(found, kind, flags, (Span){at, size});
        if (is_whole) at += size, left -= size;
    }
    return given(found, is_whole);
}

static PyObject *header_1(Span start) {
    uint64_t size = start.size < HEAD_1 ? UINT64_MAX : number(start.bytes + 8, 4);
    if (start.size < HEAD_1 || size > start.size - HEAD_1) Py_RETURN_NONE;
    return messages_of((Span){start.bytes + HEAD_1, (size_t)size}, PREFIX_1);
}

static PyObject *header_2(Span start) {
    int flags = start.size < HEAD_2 ? 0xFF : start.bytes[5];
    if (flags & ~KNOWN_FLAGS || start.bytes[4] != 2) Py_RETURN_NONE;
    size_t width = (size_t)1 << (flags & 3), at = HEAD_2;
    at += (flags & TIMES_STORED ? 16u : 0) + (flags & PHASES_STORED ? 4u : 0);
    if (start.size < at + width + CHECKSUM) Py_RETURN_NONE;
    uint64_t size = number(start.bytes + at, width);
    at += width;
    if (size > start.size - at - CHECKSUM) Py_RETURN_NONE;
    size_t end = at + (size_t)size;
    if (checksum(start.bytes, end) != word(start.bytes + end, CHECKSUM)) Py_RETURN_NONE;
    return messages_of((Span){start.bytes + at, (size_t)size}, flags & ORDER_TRACKED ? ORDERED_PREFIX_2 : PREFIX_2);
}

static PyObject *header(PyObject *module, PyObject *content) {
    Span start;
    (void)module;
    if (!is_span(content, &start)) return NULL;
    if (start.size && start.bytes[0] == 1) return header_1(start);
    if (start.size >= 4 && !memcmp(start.bytes, "OHDR", 4)) return header_2(start);
    Py_RETURN_NONE;
}

static PyObject *messages(PyObject *module, PyObject *args) {
    PyObject *content;
    Py_ssize_t prefix;
    Span block;
    (void)module;
    if (!PyArg_ParseTuple(args, "Sn", &content, &prefix) || !is_span(content, &block)) return NULL;
    if (prefix != PREFIX_1 && prefix != PREFIX_2 && prefix != ORDERED_PREFIX_2) Py_RETURN_NONE;
    return messages_of(block, (size_t)prefix);
}

/* --- the global heap --------------------------------------------------------------------------------------------- */

enum { HEAP_PREFIX = 8, HEAP_ALIGNMENT = 8 };

static int is_kept(PyObject *found, long index, Span content) {
    PyObject *key = PyLong_FromLong(index), *value = as_bytes(content.bytes, content.size);
    int failed = !key || !value || PyDict_SetItem(found, key, value);
    Py_XDECREF(key);
    Py_XDECREF(value);
    return !failed;
}

static PyObject *heap_objects(PyObject *module, PyObject *args) {
    PyObject *content;
    Py_ssize_t lengths;
    Span block;
    (void)module;
    if (!PyArg_ParseTuple(args, "Sn", &content, &lengths) || !is_span(content, &block)) return NULL;
    PyObject *found = PyDict_New();
    int is_whole = found && are_widths(lengths, 1);
    size_t head = HEAP_PREFIX + HEAP_ALIGNMENT;
    while (is_whole && block.size >= head) {
        long index = (long)number(block.bytes, 2);
        uint64_t size = number(block.bytes + HEAP_PREFIX, (size_t)lengths);
        size_t left = block.size - head;
        if (!index) { /* free space, whose size is that of its head, too */
            is_whole = size >= head && size <= block.size;
        } else {
            is_whole = size <= left && padded(size) <= left
                && is_kept(found, index, (Span){block.bytes + head, (size_t)size});
        }
        size_t used = !is_whole ? 0 : index ? head + padded(size) : (size_t)size;
        block = (Span){block.bytes + used, block.size - used};
    }
    return given(found, is_whole);
}

/* The object of a collection, which those who know the others may read now. It is kept alive, as it may be forgotten. */
static PyObject *object_of(PyObject *collections, uint64_t address, uint64_t index) {
    PyObject *place = PyLong_FromUnsignedLongLong(address);
    PyObject *collection = place ? PyObject_GetItem(collections, place) : NULL;
    PyObject *key = collection ? PyLong_FromUnsignedLongLong(index) : NULL;
    PyObject *object = key && PyDict_Check(collection) ? PyDict_GetItemWithError(collection, key) : NULL;
    if (place && !collection && PyErr_ExceptionMatches(PyExc_KeyError)) PyErr_Clear();
    Py_XINCREF(object);
    Py_XDECREF(place);
    Py_XDECREF(collection);
    Py_XDECREF(key);
    return object;
}

enum { TEXT_LENGTH = 4, TEXT_INDEX = 4 };

/* The text in an object up to its end, which some have as a null, and others only in their length. */
static PyObject *text_in(PyObject *object, size_t length) {
    Span whole;
    if (!object || !is_span(object, &whole) || whole.size < length) return NULL;
    size_t size = text_size(whole.bytes, length);
    PyObject *made = PyUnicode_DecodeUTF8((const char *)whole.bytes, (Py_ssize_t)size, NULL);
    if (!made && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) PyErr_Clear();
    return made;
}

/* The text that an element stands for, if its collection has it. */
static PyObject *text_of(Span raw, PyObject *collections) {
    if (raw.size <= TEXT_LENGTH + TEXT_INDEX || raw.size > TEXT_LENGTH + MOST_WIDTH + TEXT_INDEX) return NULL;
    size_t length = (size_t)number(raw.bytes, TEXT_LENGTH), offsets = raw.size - TEXT_LENGTH - TEXT_INDEX;
    uint64_t address = number(raw.bytes + TEXT_LENGTH, offsets);
    if (!length || !address) return PyUnicode_FromStringAndSize(NULL, 0);
    PyObject *object = object_of(collections, address, number(raw.bytes + TEXT_LENGTH + offsets, TEXT_INDEX));
    PyObject *made = text_in(object, length);
    Py_XDECREF(object);
    return made;
}

static PyObject *text(PyObject *module, PyObject *args) {
    PyObject *element, *collections;
    Span raw;
    (void)module;
    if (!PyArg_ParseTuple(args, "SO!", &element, &PyDict_Type, &collections) || !is_span(element, &raw)) return NULL;
    return given(text_of(raw, collections), 1);
}

/* --- attributes -------------------------------------------------------------------------------------------------- */

enum { SHARED = 2, PARTS_SHARED = 3, SIZES = 8 };

/* Where the data of an attribute begins, 0 where Python is to look. */
static size_t data_at(Span content) {
    if (content.size < SIZES) return 0;
    const uint8_t *bytes = content.bytes;
    uint64_t name = number(bytes + 2, 2), type = number(bytes + 4, 2), space = number(bytes + 6, 2);
    if (bytes[0] == 1) return SIZES + padded(name) + padded(type) + padded(space);
    if ((bytes[0] != 2 && bytes[0] != 3) || bytes[1] & PARTS_SHARED) return 0;
    return (bytes[0] == 2 ? SIZES : SIZES + 1u) + (size_t)(name + type + space);
}

/* What is known of an attribute that begins like this: its name, type, how many bytes its data is, and whether that is
 * one text of varying length. It is kept alive, as others may forget it meanwhile.
 */
static PyObject *head_of(Span content, size_t at, PyObject *heads) {
    PyObject *key = as_bytes(content.bytes, at), *head = key ? PyDict_GetItemWithError(heads, key) : NULL;
    Py_XINCREF(head);
    Py_XDECREF(key);
    return head;
}

/* The text, or a pair of type and data. */
static PyObject *value_of(PyObject *head, Span stored, PyObject *collections) {
    size_t size = PyLong_AsSize_t(PyTuple_GetItem(head, 2));
    if (PyErr_Occurred() || size > stored.size) return NULL;
    if (PyTuple_GetItem(head, 3) == Py_True) return text_of((Span){stored.bytes, size}, collections);
    return pair(Py_NewRef(PyTuple_GetItem(head, 1)), as_bytes(stored.bytes, size));
}

static int is_added(PyObject *found, Span content, size_t at, PyObject *heads, PyObject *collections) {
    PyObject *head = head_of(content, at, heads), *value = NULL;
    PyObject *name = head && PyTuple_Size(head) == 4 ? PyTuple_GetItem(head, 0) : NULL;
    if (name && name != Py_None && !PyDict_Contains(found, name))
        value = value_of(head, (Span){content.bytes + at, content.size - at}, collections);
    int failed = !value || PyDict_SetItem(found, name, value);
    Py_XDECREF(value);
    Py_XDECREF(head);
    return !failed;
}

/* The same dictionary with its keys in order. */
static PyObject *in_order(PyObject *found) {
    PyObject *keys = PyDict_Keys(found), *ordered = PyDict_New();
    int is_whole = keys && ordered && !PyList_Sort(keys);
    for (Py_ssize_t i = 0; is_whole && i < PyList_Size(keys); i++) {
        PyObject *key = PyList_GetItem(keys, i), *value = PyDict_GetItemWithError(found, key);
        is_whole = value && !PyDict_SetItem(ordered, key, value);
    }
    Py_XDECREF(keys);
    return given(ordered, is_whole);
}

static PyObject *attributes(PyObject *module, PyObject *args) {
    PyObject *list, *heads, *collections;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!O!", &PyList_Type, &list, &PyDict_Type, &heads, &PyDict_Type, &collections))
        return NULL;
    PyObject *found = PyDict_New();
    int is_whole = found != NULL;
    for (Py_ssize_t i = 0; is_whole && i < PyList_Size(list); i++) {
        long flags;
        Span content;
        is_whole = is_message(list, i, &flags, &content) && !(flags & SHARED);
        size_t at = is_whole ? data_at(content) : 0;
        is_whole = at && at <= content.size && is_added(found, content, at, heads, collections);
    }
    PyObject *ordered = is_whole ? in_order(found) : given(NULL, 0);
    Py_XDECREF(found);
    return ordered;
}

/* --- links ------------------------------------------------------------------------------------------------------- */

/* A stored link: name, kind, address, target and place in the order. */
static PyObject *link_of(Span name, long kind, PyObject *address, Span target, int64_t order) {
    PyObject *made = PyTuple_New(5);
    int is_whole = made && is_set(made, 0, as_bytes(name.bytes, name.size)) && is_set(made, 1, PyLong_FromLong(kind));
    is_whole = is_whole && address && is_set(made, 2, Py_NewRef(address));
    is_whole = is_whole && is_set(made, 3, as_bytes(target.bytes, target.size));
    is_whole = is_whole && is_set(made, 4, PyLong_FromLongLong(order));
    Py_XDECREF(address);
    if (is_whole) return made;
    Py_XDECREF(made);
    return NULL;
}

/* The text of a heap that begins somewhere. */
static int is_text(Span segment, uint64_t at, Span *text) {
    const uint8_t *end = at < segment.size ? memchr(segment.bytes + at, 0, segment.size - (size_t)at) : NULL;
    if (end) *text = (Span){segment.bytes + at, (size_t)(end - segment.bytes) - (size_t)at};
    return end != NULL;
}

enum { HARD = 0, SOFT = 1, EXTERNAL = 64, ENTRY_IS_SOFT = 2 };

static PyObject *entry(Span segment, const uint8_t *bytes, size_t lengths, size_t offsets, size_t *room) {
    Span name, target = {bytes, 0};
    const uint8_t *behind = bytes + lengths + offsets;
    uint64_t kind = number(behind, 4);
    if (kind > ENTRY_IS_SOFT || !is_text(segment, number(bytes, lengths), &name)) return NULL;
    if (kind == ENTRY_IS_SOFT && !is_text(segment, number(behind + 8, 4), &target)) return NULL;
    if (name.size + 1 + target.size > *room) return NULL;
    *room -= name.size + 1 + target.size;
    if (kind == ENTRY_IS_SOFT) return link_of(name, SOFT, Py_NewRef(Py_None), target, 0);
    return link_of(name, HARD, PyLong_FromUnsignedLongLong(number(bytes + lengths, offsets)), target, 0);
}

static PyObject *entries(PyObject *module, PyObject *args) {
    PyObject *content, *heap;
    Py_ssize_t room, lengths, offsets;
    Span node, segment;
    (void)module;
    if (!PyArg_ParseTuple(args, "SSnnn", &content, &heap, &room, &lengths, &offsets)) return NULL;
    if (!is_span(content, &node) || !is_span(heap, &segment)) return NULL;
    if (room < 0 || !are_widths(lengths, offsets)) Py_RETURN_NONE;
    PyObject *found = PyList_New(0);
    int is_whole = found != NULL;
    size_t width = (size_t)lengths + (size_t)offsets + 24, left = (size_t)room;
    for (; is_whole && node.size >= width; node.bytes += width, node.size -= width)
        is_whole = is_appended(found, entry(segment, node.bytes, (size_t)lengths, (size_t)offsets, &left));
    found = given(found, is_whole);
    return found && is_whole ? pair(found, PyLong_FromSize_t(left)) : found;
}

enum { LINK_ORDER = 0x04, LINK_KIND = 0x08, LINK_ENCODING = 0x10, LINK_FLAGS = 0x1F };

static PyObject *link_in(Span content, size_t offsets) {
    const uint8_t *bytes = content.bytes;
    if (content.size < 2 || bytes[0] != 1 || bytes[1] & ~LINK_FLAGS) return NULL;
    int flags = bytes[1];
    size_t width = (size_t)1 << (flags & 3), at = 2;
    size_t before = 2 + (flags & LINK_KIND ? 1u : 0) + (flags & LINK_ORDER ? 8u : 0) + (flags & LINK_ENCODING ? 1u : 0);
    if (content.size < before + width) return NULL;
    long kind = flags & LINK_KIND ? bytes[at++] : HARD;
    int64_t order = 0;
    if (flags & LINK_ORDER) order = (int64_t)number(bytes + at, 8), at += 8;
    int encoding = flags & LINK_ENCODING ? bytes[at++] : 0;
    uint64_t size = number(bytes + at, width);
    at += width;
    if (encoding > 1 || (SOFT < kind && kind < EXTERNAL) || !size || size > content.size - at) return NULL;
    Span name = {bytes + at, text_size(bytes + at, (size_t)size)};
    const uint8_t *behind = bytes + at + size;
    size_t left = content.size - at - (size_t)size;
    if (!name.size) return NULL;
    if (kind == HARD && left >= offsets)
        return link_of(name, kind, PyLong_FromUnsignedLongLong(number(behind, offsets)), (Span){behind, 0}, order);
    if (kind == HARD || left < 2 || number(behind, 2) > left - 2) return NULL;
    return link_of(name, kind, Py_NewRef(Py_None), (Span){behind + 2, (size_t)number(behind, 2)}, order);
}

static PyObject *link_message(PyObject *module, PyObject *args) {
    PyObject *message;
    Py_ssize_t offsets;
    Span content;
    (void)module;
    if (!PyArg_ParseTuple(args, "Sn", &message, &offsets) || !is_span(message, &content)) return NULL;
    return given(are_widths(1, offsets) ? link_in(content, (size_t)offsets) : NULL, 1);
}

static PyObject *lookup3(PyObject *module, PyObject *content) {
    Span span;
    (void)module;
    if (!is_span(content, &span)) return NULL;
    return PyLong_FromUnsignedLong(checksum(span.bytes, span.size));
}

static PyMethodDef methods[] = {
    {"attributes", attributes, METH_VARARGS, "The attributes that are messages, by their names."},
    {"entries", entries, METH_VARARGS, "The links in a node of a symbol table, and what room is left for names."},
    {"header", header, METH_O, "The messages of an object header, by their kinds."},
    {"heap_objects", heap_objects, METH_VARARGS, "The objects of a collection of the global heap, by their indexes."},
    {"link", link_message, METH_VARARGS, "The link that a message describes."},
    {"lookup3", lookup3, METH_O, "The checksum of bytes."},
    {"messages", messages, METH_VARARGS, "The messages of a block of an object header, by their kinds."},
    {"text", text, METH_VARARGS, "The text in the global heap that an element stands for."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_parse", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__parse(void) { return PyModule_Create(&definition); }
