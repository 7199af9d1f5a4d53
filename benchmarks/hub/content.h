/* What a message of the benchmark's feed must look like, checked once per version and compared byte for byte after that.
 *
 * A message is one SignalR invocation in JSON, ended by 0x1E, whose argument holds, in this order:
 *   "sId": a number that counts per subscription (always 0 where the server does not number),
 *   "version": counts the states, "sent": CLOCK_MONOTONIC in nanoseconds when it was published,
 *   "crc": 10^10 + CRC-32 of the JSON text of "wgi", "length": the bytes of that text, "wgi": the text itself.
 *
 * The first arrival of a version, deflated or not, is inflated, parsed, and its CRC computed. It is kept; the other 9,999
 * arrivals must be the same bytes, except for the ten characters of a numbered slot.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* zlib's runtime is on every Debian, its header is not: these are the parts of its stable ABI that are used here. */
typedef struct {
    const unsigned char *next_in;
    unsigned avail_in;
    unsigned long total_in;
    unsigned char *next_out;
    unsigned avail_out;
    unsigned long total_out;
    const char *msg;
    void *state, *zalloc, *zfree, *opaque;
    int data_type;
    unsigned long adler, reserved;
} ZStream;
extern int inflateInit2_(ZStream *, int, const char *, int);
extern int inflate(ZStream *, int);
extern int inflateReset(ZStream *);
extern unsigned long crc32(unsigned long, const unsigned char *, unsigned);

enum { KEPT = 256, SLOT = 10, MAX_MESSAGE = 64 * 1024 };

typedef struct {
    uint64_t version, sent_ns;
    uint32_t length, slot; /* slot: where the ten characters of sId are in `bytes`, 0 = they do not vary */
    bool deflated;
    unsigned char *bytes;
} Kept;

static Kept kept[KEPT];
static uint64_t kept_count, newest_version;
static bool numbered;

static void broken(const char *what, const unsigned char *bytes, size_t length) {
    fprintf(stderr, "reader: %s: %.*s\n", what, (int)(length < 200 ? length : 200), bytes ? (const char *)bytes : "");
    exit(1);
}

static const unsigned char *after(const unsigned char *text, size_t length, const char *key) {
    const unsigned char *found = memmem(text, length, key, strlen(key));
    if (!found) broken("a message lacks one of its parts", text, length);
    return found + strlen(key);
}

static uint64_t number_at(const unsigned char *at) { return strtoull((const char *)at, NULL, 10); }

/* Inflate one message of permessage-deflate without context; returns its length. */
static size_t inflated(const unsigned char *bytes, size_t length, unsigned char *out) {
    static ZStream z;
    static bool ready;
    static unsigned char in[MAX_MESSAGE + 4];
    if (!ready && inflateInit2_(&z, -15, "1.2.13", (int)sizeof z) != 0) broken("zlib cannot be used", NULL, 0);
    ready = true;
    inflateReset(&z);
    memcpy(in, bytes, length);
    memcpy(in + length, "\0\0\377\377", 4);
    z.next_in = in;
    z.avail_in = (unsigned)length + 4;
    z.next_out = out;
    z.avail_out = MAX_MESSAGE;
    int result = inflate(&z, 2);
    if ((result != 0 && result != -5) || z.avail_in || !z.avail_out) broken("a message cannot be inflated", NULL, 0);
    return MAX_MESSAGE - z.avail_out;
}

typedef struct { uint64_t version, sent_ns, number; } State;

/* Parse a record and compare its CRC. */
static State checked(const unsigned char *text, size_t length) {
    State state;
    const unsigned char *end = text + length;
    const unsigned char *at = after(text, length, "\"sId\":");
    state.number = number_at(at);
    at = after(at, (size_t)(end - at), "\"version\":");
    state.version = number_at(at);
    at = after(at, (size_t)(end - at), "\"sent\":");
    state.sent_ns = number_at(at);
    at = after(at, (size_t)(end - at), "\"crc\":");
    uint64_t sum = number_at(at) - 10000000000u;
    at = after(at, (size_t)(end - at), "\"length\":");
    uint64_t size = number_at(at);
    at = after(at, (size_t)(end - at), "\"wgi\":");
    if (at + size + 4 != end || memcmp(at + size, "}]}\x1e", 4)) broken("a message has another shape", text, length);
    if (crc32(0, at, (unsigned)size) != sum) broken("a message is not what was published", text, length);
    return state;
}

/* Keep a payload as the pattern of its version; `text` is the same, inflated. Returns its place, counted from 1. */
static uint64_t keep(const unsigned char *bytes, size_t length, bool deflated, const unsigned char *text, size_t text_length,
                     State state) {
    for (uint64_t i = kept_count > KEPT ? kept_count - KEPT : 0; i < kept_count; i++)
        if (kept[i % KEPT].version == state.version && kept[i % KEPT].sent_ns != state.sent_ns)
            broken("two messages have the same version", text, text_length);
    Kept *k = &kept[kept_count++ % KEPT];
    free(k->bytes);
    *k = (Kept){.version = state.version, .sent_ns = state.sent_ns, .length = (uint32_t)length, .deflated = deflated};
    k->bytes = malloc(length);
    memcpy(k->bytes, bytes, length);
    if (numbered) {
        const unsigned char *slot = after(text, text_length, "\"sId\":");
        const unsigned char *found = memmem(bytes, length, slot, SLOT);
        if (!found) broken("the numbered slot is not where it can be found", text, text_length);
        k->slot = (uint32_t)(found - bytes);
    }
    if (state.version > newest_version) newest_version = state.version;
    return kept_count;
}

/* Find the payload among those kept since `from`; returns its place counted from 1, or 0 if it is none of them. */
static uint64_t find_kept(const unsigned char *bytes, size_t length, bool deflated, uint64_t from, uint64_t *number) {
    if (kept_count > KEPT && from < kept_count - KEPT) from = kept_count - KEPT;
    for (uint64_t i = from; i < kept_count; i++) {
        const Kept *k = &kept[i % KEPT];
        if (k->length != length || k->deflated != deflated) continue;
        if (!k->slot) {
            if (memcmp(k->bytes, bytes, length)) continue;
            *number = 0;
            return i + 1;
        }
        if (memcmp(k->bytes, bytes, k->slot) || memcmp(k->bytes + k->slot + SLOT, bytes + k->slot + SLOT, length - k->slot - SLOT))
            continue;
        char digits[SLOT + 1] = {0};
        memcpy(digits, bytes + k->slot, SLOT);
        *number = strtoull(digits, NULL, 10);
        return i + 1;
    }
    return 0;
}
