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
    const char *bytes = PyBytes_AsString(content);
    if (!bytes) return 0;
    *span = (Span){(const uint8_t *)bytes, (size_t)PyBytes_Size(content)};
    return 1;
}

static PyObject *as_bytes(const uint8_t *bytes, size_t size) {
    return PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)size);
}

/* Text, if the bytes are UTF-8. */
static PyObject *as_text(const uint8_t *bytes, size_t size) {
    PyObject *made = PyUnicode_DecodeUTF8((const char *)bytes, (Py_ssize_t)size, NULL);
    if (!made && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) PyErr_Clear();
    return made;
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

/* --- what is kept of a file -------------------------------------------------------------------------------------- */

/* What is kept of a file: its blocks of so many bytes by their numbers, and where its addresses count from. */
typedef struct {
    PyObject *blocks;
    Py_ssize_t block_size, base, lengths, offsets;
} File;

static int is_file(PyObject *kept, File *file) {
    return PyArg_ParseTuple(kept, "O!nnnn", &PyDict_Type, &file->blocks, &file->block_size, &file->base, &file->lengths,
                            &file->offsets);
}

static int is_usual_file(const File *file) {
    return file->block_size > 0 && file->base >= 0 && are_widths(file->lengths, file->offsets);
}

/* The block that an address is in, if it is kept, and what of it is behind the address. */
static PyObject *block_at(const File *file, uint64_t address, Span *behind) {
    if (address > INT64_MAX - (uint64_t)file->base) return NULL;
    uint64_t begin = address + (uint64_t)file->base, size = (uint64_t)file->block_size;
    PyObject *key = PyLong_FromUnsignedLongLong(begin / size);
    PyObject *block = key ? PyDict_GetItemWithError(file->blocks, key) : NULL;
    Py_XDECREF(key);
    if (!block || !is_span(block, behind) || behind->size <= begin % size) return NULL;
    *behind = (Span){behind->bytes + begin % size, behind->size - (size_t)(begin % size)};
    return Py_NewRef(block);
}

/* --- object headers ---------------------------------------------------------------------------------------------- */

enum { PREFIX_1 = 8, PREFIX_2 = 4, ORDERED_PREFIX_2 = 6, HEAD_1 = 16, HEAD_2 = 6, CHECKSUM = 4 };
enum { FAIL_IF_UNKNOWN = 0x80, ORDER_TRACKED = 0x04, PHASES_STORED = 0x10, TIMES_STORED = 0x20, KNOWN_FLAGS = 0x3F };

typedef struct {
    long kind, flags;
    Span content;
} Message;

static PyObject *flagged(Message message) {
    return pair(PyLong_FromLong(message.flags), as_bytes(message.content.bytes, message.content.size));
}

static int is_entered(PyObject *found, Message message) {
    PyObject *key = PyLong_FromLong(message.kind);
    PyObject *known = key ? PyDict_GetItemWithError(found, key) : NULL;
    PyObject *made = known || PyErr_Occurred() ? NULL : PyList_New(0);
    int failed = made && PyDict_SetItem(found, key, made);
    PyObject *list = known ? known : made;
    failed |= !list || !is_appended(list, flagged(message));
    Py_XDECREF(made);
    Py_XDECREF(key);
    return !failed;
}

/* Messages in a block, each behind a prefix of so many bytes, and the bytes of all that the block is in. */
typedef struct {
    Span left;
    size_t prefix, whole;
} Block;

static int is_empty(const Block *block) { return block->left.size < block->prefix; }

/* The next message, if it is whole and one that may be unknown. */
static int is_taken(Block *block, Message *message) {
    const uint8_t *at = block->left.bytes;
    size_t kind_size = block->prefix == PREFIX_1 ? 2 : 1, left = block->left.size - block->prefix;
    size_t size = (size_t)number(at + kind_size, 2);
    *message = (Message){(long)number(at, kind_size), at[kind_size + 2], {at + block->prefix, size}};
    if (size > left || message->flags & FAIL_IF_UNKNOWN) return 0;
    block->left = (Span){message->content.bytes + size, left - size};
    return 1;
}

static PyObject *messages_of(Block block) {
    PyObject *found = PyDict_New();
    int is_whole = found != NULL;
    while (is_whole && !is_empty(&block)) {
        Message message;
        is_whole = is_taken(&block, &message);
        if (is_whole && message.kind) is_whole = is_entered(found, message);
    }
    return given(found, is_whole);
}

static int is_header_1(Span start, Block *block) {
    uint64_t size = start.size < HEAD_1 ? UINT64_MAX : number(start.bytes + 8, 4);
    if (start.size < HEAD_1 || size > start.size - HEAD_1) return 0;
    *block = (Block){{start.bytes + HEAD_1, (size_t)size}, PREFIX_1, HEAD_1 + (size_t)size};
    return 1;
}

static int is_header_2(Span start, Block *block) {
    int flags = start.size < HEAD_2 ? 0xFF : start.bytes[5];
    if (flags & ~KNOWN_FLAGS || start.bytes[4] != 2) return 0;
    size_t width = (size_t)1 << (flags & 3), at = HEAD_2;
    at += (flags & TIMES_STORED ? 16u : 0) + (flags & PHASES_STORED ? 4u : 0);
    if (start.size < at + width + CHECKSUM) return 0;
    uint64_t size = number(start.bytes + at, width);
    at += width;
    if (size > start.size - at - CHECKSUM) return 0;
    size_t end = at + (size_t)size;
    if (checksum(start.bytes, end) != word(start.bytes + end, CHECKSUM)) return 0;
    size_t prefix = flags & ORDER_TRACKED ? ORDERED_PREFIX_2 : PREFIX_2;
    *block = (Block){{start.bytes + at, (size_t)size}, prefix, end + CHECKSUM};
    return 1;
}

/* The messages of an object header, as far as it doesn't continue elsewhere. */
static int is_header(Span start, Block *block) {
    if (start.size && start.bytes[0] == 1) return is_header_1(start, block);
    return start.size >= 4 && !memcmp(start.bytes, "OHDR", 4) && is_header_2(start, block);
}

static PyObject *header(PyObject *module, PyObject *content) {
    Span start;
    Block block;
    (void)module;
    if (!is_span(content, &start)) return NULL;
    if (is_header(start, &block)) return messages_of(block);
    Py_RETURN_NONE;
}

static PyObject *messages(PyObject *module, PyObject *args) {
    PyObject *content;
    Py_ssize_t prefix;
    Span block;
    (void)module;
    if (!PyArg_ParseTuple(args, "Sn", &content, &prefix) || !is_span(content, &block)) return NULL;
    if (prefix != PREFIX_1 && prefix != PREFIX_2 && prefix != ORDERED_PREFIX_2) Py_RETURN_NONE;
    return messages_of((Block){block, (size_t)prefix, block.size});
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

/* The object of a collection, if that is known by now. It is kept alive, as it may be forgotten. */
static PyObject *object_of(PyObject *collections, uint64_t address, uint64_t index) {
    PyObject *place = PyLong_FromUnsignedLongLong(address);
    PyObject *collection = place ? PyDict_GetItemWithError(collections, place) : NULL;
    PyObject *key = collection && PyDict_Check(collection) ? PyLong_FromUnsignedLongLong(index) : NULL;
    PyObject *object = key ? PyDict_GetItemWithError(collection, key) : NULL;
    Py_XINCREF(object);
    Py_XDECREF(place);
    Py_XDECREF(key);
    return object;
}

enum { TEXT_LENGTH = 4, TEXT_INDEX = 4 };

/* The text in an object up to its end, which some have as a null, and others only in their length. */
static PyObject *text_in(PyObject *object, size_t length) {
    Span whole;
    if (!object || !is_span(object, &whole) || whole.size < length) return NULL;
    return as_text(whole.bytes, text_size(whole.bytes, length));
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

/* --- values of single elements ----------------------------------------------------------------------------------- */

/* Items of what an attribute or a dataset is. */
enum { TYPE_SIZE = 3, TYPE_WAY = 5, TYPE_ITEMS = 6 };
/* Ways to a value; of a number, it is what unpacks it. */
enum { VARYING_TEXT = 1, TERMINATED_TEXT = 2, PADDED_TEXT = 3 };

static PyObject *unpacked(PyObject *unpack, Span raw) {
    PyObject *bytes = as_bytes(raw.bytes, raw.size);
    PyObject *values = bytes ? PyObject_CallFunctionObjArgs(unpack, bytes, NULL) : NULL;
    PyObject *value = values ? PyTuple_GetItem(values, 0) : NULL;
    Py_XINCREF(value);
    Py_XDECREF(values);
    Py_XDECREF(bytes);
    return value;
}

/* The value of what is one element, where there is a short way to it; else none, and no error. */
static PyObject *single_of(PyObject *type, Span raw, PyObject *collections) {
    PyObject *way = PyTuple_Size(type) == TYPE_ITEMS ? PyTuple_GetItem(type, TYPE_WAY) : NULL;
    if (!way || way == Py_None) return NULL;
    if (!PyLong_Check(way)) return unpacked(way, raw);
    size_t size = raw.size;
    switch (PyLong_AsLong(way)) {
    case VARYING_TEXT: return text_of(raw, collections);
    case TERMINATED_TEXT: return as_text(raw.bytes, text_size(raw.bytes, size));
    case PADDED_TEXT:
        while (size && !raw.bytes[size - 1]) size--;
        return as_text(raw.bytes, size);
    default: return NULL;
    }
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

/* What is known of an attribute that begins like this: its name, its type, and how many bytes its data is. It is kept
 * alive, as others may forget it meanwhile.
 */
static PyObject *head_of(Span content, size_t at, PyObject *heads) {
    PyObject *key = as_bytes(content.bytes, at), *head = key ? PyDict_GetItemWithError(heads, key) : NULL;
    Py_XINCREF(head);
    Py_XDECREF(key);
    return head;
}

/* The value, or a pair of type and data. */
static PyObject *value_of(PyObject *head, Span stored, PyObject *collections) {
    PyObject *type = PyTuple_GetItem(head, 1);
    size_t size = PyLong_AsSize_t(PyTuple_GetItem(head, 2));
    if (PyErr_Occurred() || size > stored.size) return NULL;
    PyObject *value = single_of(type, (Span){stored.bytes, size}, collections);
    return value || PyErr_Occurred() ? value : pair(Py_NewRef(type), as_bytes(stored.bytes, size));
}

static int is_added(PyObject *found, Span content, size_t at, PyObject *heads, PyObject *collections) {
    PyObject *head = head_of(content, at, heads), *value = NULL;
    PyObject *name = head && PyTuple_Size(head) == 3 ? PyTuple_GetItem(head, 0) : NULL;
    if (name && name != Py_None && !PyDict_Contains(found, name))
        value = value_of(head, (Span){content.bytes + at, content.size - at}, collections);
    int failed = !value || PyDict_SetItem(found, name, value);
    Py_XDECREF(value);
    Py_XDECREF(head);
    return !failed;
}

static int are_in_order(PyObject *found) {
    PyObject *key, *value, *before = NULL;
    Py_ssize_t at = 0;
    while (PyDict_Next(found, &at, &key, &value)) {
        if (before && PyUnicode_Compare(before, key) > 0) return 0;
        before = key;
    }
    return 1;
}

/* The dictionary, or another of the same, with its keys in order. */
static PyObject *in_order(PyObject *found) {
    if (are_in_order(found)) return Py_NewRef(found);
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

/* --- datasets ---------------------------------------------------------------------------------------------------- */

enum { DATASPACE = 1, LINK_INFO = 2, DATATYPE = 3, EXTERNAL_FILES = 7, LAYOUT = 8, ATTRIBUTE = 12 };
enum { CONTINUATION = 16, SYMBOL_TABLE = 17, ATTRIBUTE_INFO = 21 };
enum { CONTIGUOUS = 1, FIRST_LAYOUT = 3, LAST_LAYOUT = 4, INFO_TRACKS_ORDER = 1, FEW_BYTES = 256 };

typedef struct {
    Span type, space, layout;
} Said;

static int has_heap(Span info, size_t offsets) {
    size_t at = info.size > 1 && info.bytes[1] & INFO_TRACKS_ORDER ? 4 : 2;
    if (info.size < at + 2 * offsets || info.bytes[0]) return 1;
    for (size_t i = 0; i < offsets; i++)
        if (info.bytes[at + i] != 0xFF) return 1;
    return 0;
}

/* Notes the first message of a kind, unless it is said elsewhere. */
static int is_noted(Span *noted, Message message) {
    if (!noted->bytes) *noted = message.content;
    return !(message.flags & SHARED);
}

/* Notes what a dataset has to say of itself, if that is all that there is to say about what it is. */
static int is_said(Said *said, Message message) {
    switch (message.kind) {
    case DATATYPE: return is_noted(&said->type, message);
    case DATASPACE: return is_noted(&said->space, message);
    case LAYOUT: return is_noted(&said->layout, message);
    case LINK_INFO: case SYMBOL_TABLE: case EXTERNAL_FILES: case CONTINUATION: return 0;
    default: return 1;
    }
}

/* The attribute that a message is, if it is usual; other messages aren't. */
static int is_usual(PyObject *found, Message message, size_t offsets, PyObject *heads, PyObject *collections) {
    if (message.kind == ATTRIBUTE_INFO) return !has_heap(message.content, offsets);
    if (message.kind != ATTRIBUTE) return 1;
    size_t at = message.flags & SHARED ? 0 : data_at(message.content);
    return at && at <= message.content.size && is_added(found, message.content, at, heads, collections);
}

static uint64_t undefined_in(const File *file) {
    return file->offsets < 8 ? ((uint64_t)1 << 8 * file->offsets) - 1 : UINT64_MAX;
}

/* Whether a dataset is in one piece: then its address, which may be undefined, and its size. */
static int is_in_one_piece(Span layout, const File *file, uint64_t *address, uint64_t *size) {
    size_t offsets = (size_t)file->offsets, lengths = (size_t)file->lengths;
    if (layout.size < 2 + offsets + lengths || layout.bytes[1] != CONTIGUOUS) return 0;
    if (layout.bytes[0] < FIRST_LAYOUT || layout.bytes[0] > LAST_LAYOUT) return 0;
    *address = number(layout.bytes + 2, offsets);
    *size = number(layout.bytes + 2 + offsets, lengths);
    return 1;
}

/* Address, if there is one, and size of a dataset in one piece; else the message. */
static PyObject *layout_of(Span layout, const File *file) {
    uint64_t address, size;
    if (!is_in_one_piece(layout, file, &address, &size)) return as_bytes(layout.bytes, layout.size);
    int is_nowhere = address == undefined_in(file);
    return pair(is_nowhere ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(address), PyLong_FromUnsignedLongLong(size));
}

/* The block in which the bytes of all elements are, if they are few and kept; else none, maybe with an error. */
static PyObject *few_at(const File *file, PyObject *type, Span layout, Span *raw) {
    uint64_t address, stored;
    size_t size = PyLong_AsSize_t(PyTuple_GetItem(type, TYPE_SIZE));
    if (PyErr_Occurred() || !size || size > FEW_BYTES) return NULL;
    if (!is_in_one_piece(layout, file, &address, &stored) || address == undefined_in(file) || size > stored) return NULL;
    PyObject *block = block_at(file, address, raw);
    if (block && size <= raw->size) {
        raw->size = size;
        return block;
    }
    Py_XDECREF(block);
    return NULL;
}

/* The bytes of all elements, if they are few and kept; else None. */
static PyObject *few_bytes(const File *file, PyObject *type, Span layout) {
    Span raw;
    PyObject *block = few_at(file, type, layout, &raw), *found = block ? as_bytes(raw.bytes, raw.size) : NULL;
    Py_XDECREF(block);
    return found || PyErr_Occurred() ? found : Py_NewRef(Py_None);
}

static PyObject *known_type(PyObject *types, const Said *said) {
    PyObject *key = pair(as_bytes(said->type.bytes, said->type.size), as_bytes(said->space.bytes, said->space.size));
    PyObject *type = key ? PyDict_GetItemWithError(types, key) : NULL;
    Py_XINCREF(type);
    Py_XDECREF(key);
    return type;
}

/* What a header says that doesn't continue elsewhere, and of which type the dataset is. Of the block and of the type it
 * holds references.
 */
typedef struct {
    File file;
    Said said;
    Span header;
    Block messages;
    PyObject *block, *type, *heads, *collections;
} Dataset;

static void let_go(Dataset *set) {
    Py_XDECREF(set->block);
    Py_XDECREF(set->type);
}

/* Whether all is said in one place, and of a known type. */
static int is_read(Dataset *set, Span start, PyObject *types) {
    const Said *said = &set->said;
    if (!is_header(start, &set->messages)) return 0;
    for (Block messages = set->messages; !is_empty(&messages);) {
        Message message;
        if (!is_taken(&messages, &message) || !is_said(&set->said, message)) return 0;
    }
    if (said->type.bytes && said->space.bytes && said->layout.bytes) set->type = known_type(types, said);
    set->header = (Span){start.bytes, set->messages.whole};
    return set->type && PyTuple_Size(set->type) == TYPE_ITEMS;
}

/* Its attributes by name, or None. */
static PyObject *attributes_of(const Dataset *set) {
    PyObject *found = PyDict_New();
    int are_usual = found != NULL;
    for (Block messages = set->messages; are_usual && !is_empty(&messages);) {
        Message message;
        are_usual = is_taken(&messages, &message)
            && is_usual(found, message, (size_t)set->file.offsets, set->heads, set->collections);
    }
    PyObject *made = are_usual ? in_order(found) : given(NULL, 0);
    Py_XDECREF(found);
    return made;
}

/* The dataset that arguments name, if all is in one place and of a known type; it is to be let go in any case. */
static int is_dataset(PyObject *args, Dataset *set) {
    PyObject *kept, *types;
    unsigned long long address;
    *set = (Dataset){0};
    if (!PyArg_ParseTuple(args, "O!O!O!O!K", &PyTuple_Type, &kept, &PyDict_Type, &types, &PyDict_Type, &set->heads,
                          &PyDict_Type, &set->collections, &address))
        return 0;
    Span start;
    if (is_file(kept, &set->file) && is_usual_file(&set->file)) set->block = block_at(&set->file, address, &start);
    return set->block && is_read(set, start, types);
}

/* Type, layout, header, attributes and bytes of all elements. */
static PyObject *dataset(PyObject *module, PyObject *args) {
    Dataset set;
    (void)module;
    PyObject *made = is_dataset(args, &set) ? PyTuple_New(5) : NULL;
    int is_whole = made && is_set(made, 0, Py_NewRef(set.type)) && is_set(made, 1, layout_of(set.said.layout, &set.file))
        && is_set(made, 2, as_bytes(set.header.bytes, set.header.size)) && is_set(made, 3, attributes_of(&set))
        && is_set(made, 4, few_bytes(&set.file, set.type, set.said.layout));
    let_go(&set);
    return given(made, is_whole);
}

static int are_values(PyObject *attributes) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    if (!PyDict_Check(attributes)) return 0;
    while (PyDict_Next(attributes, &at, &key, &value))
        if (PyTuple_Check(value)) return 0;
    return 1;
}

/* The value of the only element, if there is a short way to it, and its bytes are kept. */
static PyObject *only_value(const Dataset *set) {
    Span raw;
    if (PyTuple_GetItem(set->type, TYPE_WAY) == Py_None) return NULL;
    PyObject *block = few_at(&set->file, set->type, set->said.layout, &raw);
    PyObject *value = block ? single_of(set->type, raw, set->collections) : NULL;
    Py_XDECREF(block);
    return value;
}

/* Value and attributes of a dataset of a single element. */
static PyObject *single(PyObject *module, PyObject *args) {
    Dataset set;
    (void)module;
    /* Most that aren't of a single element are told by that, before any attribute is looked at. */
    PyObject *value = is_dataset(args, &set) ? only_value(&set) : NULL;
    PyObject *said = value ? attributes_of(&set) : NULL;
    int is_whole = said && are_values(said);
    PyObject *made = pair(value, said);
    let_go(&set);
    return given(made, is_whole);
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

static int are_entries(PyObject *found, Span node, Span segment, size_t lengths, size_t offsets, size_t *room) {
    int is_whole = 1;
    size_t width = lengths + offsets + 24;
    for (; is_whole && node.size >= width; node.bytes += width, node.size -= width)
        is_whole = is_appended(found, entry(segment, node.bytes, lengths, offsets, room));
    return is_whole;
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
    size_t left = (size_t)room;
    int is_whole = found && are_entries(found, node, segment, (size_t)lengths, (size_t)offsets, &left);
    found = given(found, is_whole);
    return found && is_whole ? pair(found, PyLong_FromSize_t(left)) : found;
}

enum { HEAP_AT = 8, TREE_AT = 8, NODE_AT = 8, MOST_NODES = 64 };

/* The names of a group, which are kept. */
static PyObject *names_at(const File *file, uint64_t address, Span *names) {
    Span head;
    size_t lengths = (size_t)file->lengths, offsets = (size_t)file->offsets;
    PyObject *block = block_at(file, address, &head), *found = NULL;
    if (block && head.size >= HEAP_AT + 2 * lengths + offsets && !memcmp(head.bytes, "HEAP\0", 5)) {
        uint64_t size = number(head.bytes + HEAP_AT, lengths);
        found = block_at(file, number(head.bytes + HEAP_AT + 2 * lengths, offsets), names);
        if (found && size <= names->size) {
            names->size = (size_t)size;
        } else {
            Py_XDECREF(found);
            found = NULL;
        }
    }
    Py_XDECREF(block);
    return found;
}

static int is_node(PyObject *found, const File *file, uint64_t address, Span names, size_t *left) {
    Span node;
    size_t lengths = (size_t)file->lengths, offsets = (size_t)file->offsets;
    PyObject *block = block_at(file, address, &node);
    size_t size = block && node.size >= NODE_AT ? (size_t)number(node.bytes + 6, 2) * (lengths + offsets + 24) : 0;
    int is_whole = block && node.size >= NODE_AT && !memcmp(node.bytes, "SNOD\1", 5) && size <= node.size - NODE_AT
        && are_entries(found, (Span){node.bytes + NODE_AT, size}, names, lengths, offsets, left);
    Py_XDECREF(block);
    return is_whole;
}

/* The nodes below the root of a tree, if there are no others between, each of them once. */
static int are_nodes(const File *file, uint64_t address, uint64_t *nodes, size_t *count) {
    Span tree;
    size_t lengths = (size_t)file->lengths, offsets = (size_t)file->offsets, width = lengths + offsets;
    size_t begin = TREE_AT + 2 * offsets;
    PyObject *block = block_at(file, address, &tree);
    int is_tree = block && tree.size >= begin && !memcmp(tree.bytes, "TREE\0\0", 6);
    *count = is_tree ? (size_t)number(tree.bytes + 6, 2) : 0;
    is_tree = is_tree && *count <= MOST_NODES && *count * width <= tree.size - begin;
    for (size_t i = 0; is_tree && i < *count; i++) {
        nodes[i] = number(tree.bytes + begin + i * width + lengths, offsets);
        for (size_t j = 0; j < i; j++) is_tree = is_tree && nodes[j] != nodes[i];
    }
    Py_XDECREF(block);
    return is_tree;
}

/* The links of a symbol table that is kept as a whole. */
static PyObject *links_of(const File *file, uint64_t btree, uint64_t heap) {
    Span names;
    uint64_t nodes[MOST_NODES];
    size_t count;
    int are_kept = are_nodes(file, btree, nodes, &count);
    PyObject *segment = are_kept ? names_at(file, heap, &names) : NULL, *found = segment ? PyList_New(0) : NULL;
    int is_whole = found != NULL;
    size_t left = is_whole ? names.size : 0;
    for (size_t i = 0; is_whole && i < count; i++) is_whole = is_node(found, file, nodes[i], names, &left);
    Py_XDECREF(segment);
    if (is_whole) return found;
    Py_XDECREF(found);
    return NULL;
}

static PyObject *links(PyObject *module, PyObject *args) {
    File file;
    PyObject *kept;
    unsigned long long btree, heap;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!KK", &PyTuple_Type, &kept, &btree, &heap) || !is_file(kept, &file)) return NULL;
    return given(is_usual_file(&file) ? links_of(&file, btree, heap) : NULL, 1);
}

enum { MOST_FURTHER = 8 };

/* What is said about a group: where its links are, its attributes, and the further blocks of its header. */
typedef struct {
    int has_table;
    uint64_t btree, heap;
    PyObject *attributes;
    size_t count;
    struct {
        uint64_t address, size;
    } further[MOST_FURTHER];
} Group;

/* Notes where the first table of links is, unless that is said elsewhere. */
static int is_table(Group *group, Message message, size_t offsets) {
    if (message.flags & SHARED || message.content.size < 2 * offsets) return 0;
    if (!group->has_table) {
        group->btree = number(message.content.bytes, offsets);
        group->heap = number(message.content.bytes + offsets, offsets);
    }
    return group->has_table = 1;
}

static int is_apart(uint64_t first, uint64_t size, uint64_t second) { return first > second || second - first >= size; }

/* Notes a further block, unless there are many, or it is empty or within one that was met. */
static int is_further(Group *group, Span place, size_t offsets, size_t lengths) {
    if (group->count == MOST_FURTHER || place.size < offsets + lengths) return 0;
    uint64_t address = number(place.bytes, offsets), size = number(place.bytes + offsets, lengths);
    int is_new = size > 0;
    for (size_t i = 0; is_new && i < group->count; i++) {
        uint64_t other = group->further[i].address;
        is_new = is_apart(other, group->further[i].size, address) && is_apart(address, size, other);
    }
    group->further[group->count].address = address;
    group->further[group->count].size = size;
    group->count += (size_t)is_new;
    return is_new;
}

static int are_of_group(Group *group, const File *file, Block block, PyObject *heads, PyObject *collections) {
    size_t offsets = (size_t)file->offsets;
    int is_whole = 1;
    while (is_whole && !is_empty(&block)) {
        Message message;
        if (!is_taken(&block, &message) || message.kind == LINK_INFO) return 0;
        if (message.kind == SYMBOL_TABLE) is_whole = is_table(group, message, offsets);
        if (message.kind == CONTINUATION) is_whole = is_further(group, message.content, offsets, (size_t)file->lengths);
        is_whole = is_whole && is_usual(group->attributes, message, offsets, heads, collections);
    }
    return is_whole;
}

/* Links and attributes of a group whose header is of the first version. */
static PyObject *group_in(const File *file, Group *group, Span start, PyObject *heads, PyObject *collections) {
    Block block;
    int is_whole = start.bytes[0] == 1 && is_header(start, &block)
        && are_of_group(group, file, block, heads, collections);
    for (size_t i = 0; is_whole && i < group->count; i++) {
        Span behind;
        PyObject *further = block_at(file, group->further[i].address, &behind);
        is_whole = further && group->further[i].size <= behind.size;
        if (is_whole) {
            block = (Block){{behind.bytes, (size_t)group->further[i].size}, PREFIX_1, 0};
            is_whole = are_of_group(group, file, block, heads, collections);
        }
        Py_XDECREF(further);
    }
    if (!is_whole || !group->has_table) return NULL;
    PyObject *found = links_of(file, group->btree, group->heap);
    return pair(found, found ? in_order(group->attributes) : NULL);
}

static PyObject *group(PyObject *module, PyObject *args) {
    File file;
    PyObject *kept, *heads, *collections;
    unsigned long long address;
    Span start;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!O!K", &PyTuple_Type, &kept, &PyDict_Type, &heads, &PyDict_Type, &collections, &address))
        return NULL;
    if (!is_file(kept, &file)) return NULL;
    PyObject *block = is_usual_file(&file) ? block_at(&file, address, &start) : NULL;
    Group group = {.attributes = block ? PyDict_New() : NULL};
    PyObject *made = group.attributes ? group_in(&file, &group, start, heads, collections) : NULL;
    Py_XDECREF(group.attributes);
    Py_XDECREF(block);
    return given(made, 1);
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

/* --- links in a heap --------------------------------------------------------------------------------------------- */

enum { HEAP_KIND_AT = 5, RECORD_HASH = 4, NAME_RECORDS = 5, TREE_NODE = 6, CHECKSUMMED_BLOCKS = 2, MOST_BLOCK_LOG = 62 };

/* Takes a number from the front, if there are so many bytes. */
static int is_number(Span *left, size_t width, uint64_t *value) {
    if (left->size < width) return 0;
    *value = number(left->bytes, width < 8 ? width : 8);
    *left = (Span){left->bytes + width, left->size - width};
    return 1;
}

/* The bytes at an address that begin so, up to their checksum, if they are kept, and that is right. */
static PyObject *checked_at(const File *file, uint64_t address, const char *signature, size_t signature_size, size_t size,
                            Span *content) {
    PyObject *block = block_at(file, address, content);
    int is_right = block && size >= signature_size && size + CHECKSUM <= content->size
        && !memcmp(content->bytes, signature, signature_size)
        && checksum(content->bytes, size) == word(content->bytes + size, CHECKSUM);
    content->size = is_right ? size : 0;
    if (is_right) return block;
    Py_XDECREF(block);
    return NULL;
}

static int log_2(uint64_t power) {
    int log = 0;
    while (power >>= 1) log++;
    return log;
}

static int is_power(uint64_t size) { return size && !(size & (size - 1)) && size <= (uint64_t)1 << MOST_BLOCK_LOG; }

/* A heap whose objects are all in one block, which went through no filter: where that is, and how long it is; how long
 * identifiers are, and how many bytes of them are an address and a length; and with how many bytes the block begins.
 */
typedef struct {
    uint64_t address, root, root_size, id_size, offset_size, length_size, head_size;
    int has_checksum;
} Heap;

static int is_heap(const File *file, uint64_t address, Heap *heap) {
    size_t lengths = (size_t)file->lengths, offsets = (size_t)file->offsets;
    size_t between = 10 * lengths + 2 * offsets;
    size_t size = HEAP_KIND_AT + 9 + between + 2 + 2 * lengths + 4 + offsets + 2;
    uint64_t filters, flags, managed, width, first, direct, bits, rows;
    Span left;
    PyObject *block = checked_at(file, address, "FRHP\0", HEAP_KIND_AT, size, &left);
    if (!block) return 0;
    left = (Span){left.bytes + HEAP_KIND_AT, left.size - HEAP_KIND_AT};
    int is_whole = is_number(&left, 2, &heap->id_size) && is_number(&left, 2, &filters) && is_number(&left, 1, &flags)
        && is_number(&left, 4, &managed) && left.size >= between;
    if (is_whole) left = (Span){left.bytes + between, left.size - between};
    is_whole = is_whole && is_number(&left, 2, &width) && is_number(&left, lengths, &first)
        && is_number(&left, lengths, &direct) && is_number(&left, 2, &bits) && is_number(&left, 2, &rows)
        && is_number(&left, offsets, &heap->root) && is_number(&left, 2, &rows);
    Py_DECREF(block);
    if (!is_whole || filters || rows || !managed || bits > 64 || !is_power(width) || !is_power(first)) return 0;
    if (!is_power(direct) || first > direct) return 0;
    int by_block = (log_2(direct) + 7) / 8, by_object = log_2(managed) / 8 + 1;
    heap->address = address;
    heap->root_size = first;
    heap->offset_size = (bits + 7) / 8;
    heap->length_size = (uint64_t)(by_block < by_object ? by_block : by_object);
    heap->has_checksum = (flags & CHECKSUMMED_BLOCKS) != 0;
    heap->head_size = HEAP_KIND_AT + offsets + heap->offset_size + (heap->has_checksum ? CHECKSUM : 0);
    return heap->id_size >= 1 + heap->offset_size + heap->length_size;
}

/* Whether the checksum of a block is right, which is of the block with zeros in its place. */
static int is_right_block(Span block, size_t at) {
    uint8_t *copy = PyMem_Malloc(block.size);
    if (!copy) return 0;
    memcpy(copy, block.bytes, block.size);
    memset(copy + at, 0, CHECKSUM);
    int is_right = checksum(copy, block.size) == word(block.bytes + at, CHECKSUM);
    PyMem_Free(copy);
    return is_right;
}

/* The only block of a heap, if it is kept as a whole. */
static PyObject *root_of(const File *file, const Heap *heap, Span *content) {
    size_t offsets = (size_t)file->offsets, before = (size_t)heap->head_size - (heap->has_checksum ? CHECKSUM : 0);
    PyObject *block = block_at(file, heap->root, content);
    int is_right = block && heap->root_size <= content->size && heap->head_size <= heap->root_size;
    if (is_right) content->size = (size_t)heap->root_size;
    is_right = is_right && !memcmp(content->bytes, "FHDB\0", HEAP_KIND_AT)
        && number(content->bytes + HEAP_KIND_AT, offsets) == heap->address;
    for (size_t i = HEAP_KIND_AT + offsets; is_right && i < before; i++) is_right = !content->bytes[i];
    if (is_right && (!heap->has_checksum || is_right_block(*content, before))) return block;
    Py_XDECREF(block);
    return NULL;
}

/* The records of names in a tree that is a single node, if it is kept. */
static PyObject *records_at(const File *file, uint64_t address, size_t *record_size, size_t *count, Span *records) {
    size_t lengths = (size_t)file->lengths, offsets = (size_t)file->offsets;
    uint64_t kind, node_size, size, depth, root, in_root, in_all;
    Span left;
    PyObject *head = checked_at(file, address, "BTHD\0", 5, 5 + 1 + 4 + 2 + 2 + 2 + offsets + 2 + lengths, &left);
    if (!head) return NULL;
    left = (Span){left.bytes + 5, left.size - 5};
    int is_whole = is_number(&left, 1, &kind) && is_number(&left, 4, &node_size) && is_number(&left, 2, &size)
        && is_number(&left, 2, &depth) && is_number(&left, 2, &root) && is_number(&left, offsets, &root)
        && is_number(&left, 2, &in_root) && is_number(&left, lengths, &in_all);
    Py_DECREF(head);
    if (!is_whole || kind != NAME_RECORDS || depth || !size || !in_root || in_root != in_all) return NULL;
    if (node_size < TREE_NODE + CHECKSUM || in_root > (node_size - TREE_NODE - CHECKSUM) / size) return NULL;
    *record_size = (size_t)size;
    *count = (size_t)in_root;
    PyObject *node = checked_at(file, root, "BTLF\0\5", TREE_NODE, TREE_NODE + *count * *record_size, records);
    if (node) *records = (Span){records->bytes + TREE_NODE, records->size - TREE_NODE};
    return node;
}

/* The object of an identifier, which takes its bytes from what is left for all of them. */
static int is_object(const Heap *heap, Span block, const uint8_t *id, size_t *room, Span *object) {
    if (heap->offset_size > 8 || id[0] >> 4) return 0;
    uint64_t at = number(id + 1, (size_t)heap->offset_size);
    uint64_t size = number(id + 1 + heap->offset_size, (size_t)heap->length_size);
    if (at < heap->head_size || at > block.size || size > block.size - at || size > *room) return 0;
    *room -= (size_t)size;
    *object = (Span){block.bytes + at, (size_t)size};
    return 1;
}

static PyObject *links_in(const Heap *heap, Span block, Span records, size_t record_size, size_t count, size_t offsets) {
    PyObject *found = PyList_New(0);
    size_t room = block.size;
    int is_whole = found && record_size == RECORD_HASH + heap->id_size;
    for (size_t i = 0; is_whole && i < count; i++) {
        Span message;
        is_whole = is_object(heap, block, records.bytes + i * record_size + RECORD_HASH, &room, &message)
            && is_appended(found, link_in(message, offsets));
    }
    return given(found, is_whole);
}

static PyObject *links_in_heap(PyObject *module, PyObject *args) {
    File file;
    Heap heap;
    PyObject *kept, *found = NULL;
    unsigned long long address, index;
    size_t record_size, count;
    Span block, records;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!KK", &PyTuple_Type, &kept, &address, &index) || !is_file(kept, &file)) return NULL;
    int is_kept = is_usual_file(&file) && is_heap(&file, address, &heap);
    PyObject *root = is_kept ? root_of(&file, &heap, &block) : NULL;
    PyObject *node = root ? records_at(&file, index, &record_size, &count, &records) : NULL;
    if (node) found = links_in(&heap, block, records, record_size, count, (size_t)file.offsets);
    Py_XDECREF(root);
    Py_XDECREF(node);
    return found ? found : given(NULL, 0);
}

/* --- what is made of them ---------------------------------------------------------------------------------------- */

/* What may be tracked, now or later: a dictionary within is again as soon as something that is is put into it. */
static int may_be_tracked(PyObject *item) { return PyDict_Check(item) || PyObject_GC_IsTracked(item); }

static int holds_tracked(PyObject *container) {
    PyObject *key, *value;
    Py_ssize_t at = 0, count = PyTuple_Check(container) ? PyTuple_Size(container) : 0;
    for (Py_ssize_t i = 0; i < count; i++)
        if (may_be_tracked(PyTuple_GetItem(container, i))) return 1;
    while (PyDict_Check(container) && PyDict_Next(container, &at, &key, &value))
        if (may_be_tracked(key) || may_be_tracked(value)) return 1;
    return 0;
}

static PyObject *untracked(PyObject *module, PyObject *container) {
    (void)module;
    if ((PyDict_Check(container) || PyTuple_Check(container)) && !holds_tracked(container)) PyObject_GC_UnTrack(container);
    return Py_NewRef(container);
}

static PyObject *lookup3(PyObject *module, PyObject *content) {
    Span span;
    (void)module;
    if (!is_span(content, &span)) return NULL;
    return PyLong_FromUnsignedLong(checksum(span.bytes, span.size));
}

static PyMethodDef methods[] = {
    {"attributes", attributes, METH_VARARGS, "The attributes that are messages, by their names."},
    {"dataset", dataset, METH_VARARGS, "What is said about a dataset that says all itself, with its attributes."},
    {"entries", entries, METH_VARARGS, "The links in a node of a symbol table, and what room is left for names."},
    {"group", group, METH_VARARGS, "Links and attributes of a group that has a symbol table."},
    {"header", header, METH_O, "The messages of an object header, by their kinds."},
    {"heap_objects", heap_objects, METH_VARARGS, "The objects of a collection of the global heap, by their indexes."},
    {"link", link_message, METH_VARARGS, "The link that a message describes."},
    {"links", links, METH_VARARGS, "The links in a symbol table that is kept as a whole."},
    {"links_in_heap", links_in_heap, METH_VARARGS, "The links in a heap of one block that is kept."},
    {"lookup3", lookup3, METH_O, "The checksum of bytes."},
    {"messages", messages, METH_VARARGS, "The messages of a block of an object header, by their kinds."},
    {"single", single, METH_VARARGS, "Value and attributes of a dataset of a single element."},
    {"text", text, METH_VARARGS, "The text in the global heap that an element stands for."},
    {"untracked", untracked, METH_O, "The same dictionary or tuple, left out of the collector's walks if none may be in it."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_parse", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__parse(void) { return PyModule_Create(&definition); }
