/*
 * The core's work in C, as it would be written for speed: the same memory, the same order of pages, the same spans of time.
 * native KERNEL MIB: prints the median speed, in GiB or millions of packets a second.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { PAGE = 4096, BATCH = 128, PACKETS = 10000, SPANS = 9, MIB = 1 << 20, ID_BYTES = 256, BLOCK_BYTES = 272 };

typedef uint64_t vector __attribute__((vector_size(32)));
typedef uint64_t loose_vector __attribute__((vector_size(32), aligned(1)));

static uint8_t *ram, *copy, *slot, *key;
static uint64_t *offsets, pages;

/* What is written here is not left out by the compiler. */
static volatile uint64_t sink;

__attribute__((noinline)) static int is_zero(const uint8_t *page)
{
    uint64_t first, middle, last;
    memcpy(&first, page, 8);
    memcpy(&middle, page + PAGE / 2, 8);
    memcpy(&last, page + PAGE - 8, 8);
    if (first | middle | last) {
        return 0;
    }
    for (const loose_vector *at = (const loose_vector *)page, *end = at + PAGE / 32; at != end; at += 4) {
        vector any = (at[0] | at[1]) | (at[2] | at[3]);
        if (any[0] | any[1] | any[2] | any[3]) {
            return 0;
        }
    }
    return 1;
}

static uint64_t zero_scan(void)
{
    uint32_t mask[BATCH / 32];
    uint64_t zeros = 0;
    for (uint64_t page = 0; page < pages; page += BATCH) {
        for (int word = 0; word < BATCH / 32; word++) {
            uint32_t bits = 0;
            for (int bit = 0; bit < 32; bit++) {
                bits |= (uint32_t)is_zero(ram + offsets[page + word * 32 + bit]) << bit;
            }
            mask[word] = bits;
            zeros += __builtin_popcount(bits);
        }
        sink = mask[BATCH / 32 - 1];
    }
    return zeros;
}

static uint64_t compare(void)
{
    uint64_t changed = 0;
    for (uint64_t page = 0; page < pages; page++) {
        changed += memcmp(ram + page * PAGE, copy + page * PAGE, PAGE) != 0;
    }
    return changed;
}

/* NH with two keys, a block of 32 bytes apart: 32-bit sums, 64-bit products. */
#ifdef __AVX2__
static __m256i products(__m256i data, __m256i with)
{
    __m256i sum = _mm256_add_epi32(data, with);
    return _mm256_mul_epu32(_mm256_cvtepu32_epi64(_mm256_castsi256_si128(sum)), _mm256_cvtepu32_epi64(_mm256_extracti128_si256(sum, 1)));
}

__attribute__((noinline)) static void nh(const uint8_t *page, uint64_t out[2])
{
    __m256i half0 = _mm256_setzero_si256(), half1 = half0, here = _mm256_loadu_si256((const __m256i *)key);
    for (int at = 0; at < PAGE; at += 32) {
        __m256i data = _mm256_loadu_si256((const __m256i *)(page + at)), next = _mm256_loadu_si256((const __m256i *)(key + at + 32));
        half0 = _mm256_add_epi64(half0, products(data, here));
        half1 = _mm256_add_epi64(half1, products(data, next));
        here = next;
    }
    vector sums0 = (vector)half0, sums1 = (vector)half1;
    out[0] = sums0[0] + sums0[1] + sums0[2] + sums0[3];
    out[1] = sums1[0] + sums1[1] + sums1[2] + sums1[3];
}
#else
__attribute__((noinline)) static void nh(const uint8_t *page, uint64_t out[2])
{
    uint64_t half0[4] = { 0 }, half1[4] = { 0 };
    for (int at = 0; at < PAGE; at += 32) {
        uint32_t data[8], here[8], next[8];
        memcpy(data, page + at, 32);
        memcpy(here, key + at, 32);
        memcpy(next, key + at + 32, 32);
        for (int word = 0; word < 4; word++) {
            half0[word] += (uint64_t)(uint32_t)(data[word] + here[word]) * (uint32_t)(data[word + 4] + here[word + 4]);
            half1[word] += (uint64_t)(uint32_t)(data[word] + next[word]) * (uint32_t)(data[word + 4] + next[word + 4]);
        }
    }
    out[0] = half0[0] + half0[1] + half0[2] + half0[3];
    out[1] = half1[0] + half1[1] + half1[2] + half1[3];
}
#endif

static uint64_t hash(void)
{
    uint64_t out[2];
    for (uint64_t page = 0; page < pages; page++) {
        nh(ram + page * PAGE, out);
        sink = out[0] ^ out[1];
    }
    return 0;
}

static uint64_t run_length(const uint64_t *list, uint64_t left)
{
    uint64_t length = 1;
    while (length < left && list[length] == list[length - 1] + PAGE) {
        length++;
    }
    return length;
}

static uint64_t gather(void)
{
    for (uint64_t page = 0; page < pages; page += BATCH) {
        for (uint64_t i = 0, length; i < BATCH; i += length) {
            length = run_length(offsets + page + i, BATCH - i);
            memcpy(slot + i * PAGE, ram + offsets[page + i], length * PAGE);
        }
        sink = slot[0];
    }
    return 0;
}

static uint64_t scatter(void)
{
    for (uint64_t page = 0; page < pages; page += BATCH) {
        for (uint64_t i = 0, length; i < BATCH; i += length) {
            length = run_length(offsets + page + i, BATCH - i);
            memcpy(ram + offsets[page + i], slot + i * PAGE, length * PAGE);
        }
    }
    return 0;
}

static uint8_t packet[320 + 8 * BATCH], block[BLOCK_BYTES];
static uint64_t counter, checked[BATCH];

static void put32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, 4);
}

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return __builtin_bswap32(value);
}

__attribute__((noinline)) static void fill(uint32_t normal, uint32_t zero)
{
    put32(packet, 0x11223344);
    put32(packet + 4, 1);
    put32(packet + 8, 0);
    put32(packet + 12, BATCH);
    put32(packet + 16, normal);
    put32(packet + 20, normal * PAGE);
    uint64_t number = __builtin_bswap64(__atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST));
    memcpy(packet + 24, &number, 8);
    put32(packet + 32, zero);
    memset(packet + 36, 0, 28);
    memcpy(packet + 64, block, ID_BYTES);
    for (uint32_t page = 0; page < normal + zero; page++) {
        uint64_t offset = __builtin_bswap64(offsets[page]);
        memcpy(packet + 320 + page * 8, &offset, 8);
    }
    memset(packet + 320 + (normal + zero) * 8, 0, (BATCH - normal - zero) * 8);
}

__attribute__((noinline)) static int check(void)
{
    uint64_t used;
    memcpy(&used, block + ID_BYTES, 8);
    uint32_t normal = get32(packet + 16), zero = get32(packet + 32);
    if (get32(packet) != 0x11223344 || get32(packet + 4) != 1 || get32(packet + 8) != 0 || get32(packet + 12) != BATCH || normal > BATCH || zero > BATCH - normal) {
        return 1;
    }
    size_t length = strnlen((const char *)packet + 64, ID_BYTES);
    if (length == ID_BYTES || memcmp(packet + 64, block, length + 1) != 0 || get32(packet + 20) != normal * PAGE) {
        return 1;
    }
    int bad = 0;
    for (uint32_t page = 0; page < normal + zero; page++) {
        uint64_t offset;
        memcpy(&offset, packet + 320 + page * 8, 8);
        offset = __builtin_bswap64(offset);
        checked[page] = offset;
        bad |= offset % PAGE != 0 || offset > used - PAGE;
    }
    return bad;
}

static uint64_t fill_packets(void)
{
    for (int i = 0; i < PACKETS; i++) {
        fill(BATCH, 0);
        sink = packet[320];
    }
    return 0;
}

static uint64_t check_packets(void)
{
    uint64_t refused = 0;
    for (int i = 0; i < PACKETS; i++) {
        refused += check();
        sink = checked[0];
    }
    return refused;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int passes_for(double seconds, uint64_t (*pass)(void))
{
    for (int passes = 1;; passes *= 2) {
        double begun = now();
        for (int i = 0; i < passes; i++) {
            sink = pass();
        }
        double taken = now() - begun;
        if (taken >= seconds) {
            int enough = passes * seconds / taken;
            return enough < 1 ? 1 : enough;
        }
    }
}

static void shuffle(void)
{
    uint32_t word = 1;
    for (uint64_t last = pages - 1; last > 0; last--) {
        word = word * 1664525 + 1013904223;
        uint64_t other = word % (last + 1), kept = offsets[last];
        offsets[last] = offsets[other];
        offsets[other] = kept;
    }
}

static const struct kernel {
    const char *name;
    uint64_t (*pass)(void);
    int in_page, shuffled, packets;
    uint64_t zeros_of_all;
} kernels[] = {
    { "zero scan: all zero", zero_scan, -1, 0, 0, 1 },
    { "zero scan: the last 16 bytes not", zero_scan, PAGE - 16, 0, 0, 0 },
    { "zero scan: the first byte not", zero_scan, 0, 0, 0, 0 },
    { "compare", compare, -1, 0, 0, 0 },
    { "hash", hash, -1, 0, 0, 0 },
    { "gather: scattered", gather, -1, 1, 0, 0 },
    { "gather: neighbours", gather, -1, 0, 0, 0 },
    { "scatter", scatter, -1, 1, 0, 0 },
    { "packet: fill", fill_packets, -1, 0, 1, 0 },
    { "packet: check", check_packets, -1, 0, 1, 0 },
};

int main(int argc, char **argv)
{
    const struct kernel *kernel = NULL;
    for (size_t i = 0; argc == 3 && i < sizeof kernels / sizeof *kernels; i++) {
        if (strcmp(kernels[i].name, argv[1]) == 0) {
            kernel = &kernels[i];
        }
    }
    if (kernel == NULL) {
        fprintf(stderr, "usage: native KERNEL MIB\n");
        return 2;
    }
    size_t bytes = (size_t)atoi(argv[2]) * MIB, skew = 3 * PAGE;
    pages = bytes / PAGE;
    uint8_t *all = mmap(NULL, 4 * MIB + 2 * bytes + skew, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    key = all + PAGE;
    slot = all + MIB;
    offsets = (uint64_t *)(all + 2 * MIB);
    ram = all + 4 * MIB;
    copy = ram + bytes + skew;
    int content = kernel->pass == zero_scan ? 0 : 0x5a;
    memset(ram, content, bytes);
    if (kernel->pass == compare) {
        memset(copy, content, bytes);
    }
    memset(slot, 1, BATCH * PAGE);
    for (uint32_t at = 0, word = 1; at < PAGE + 32; at++) {
        word = word * 0x41c64e6d + 12345;
        key[at] = word >> 16;
    }
    for (uint64_t page = 0; page < pages; page++) {
        offsets[page] = page * PAGE;
        if (kernel->in_page >= 0) {
            ram[page * PAGE + kernel->in_page] = 1;
        }
    }
    if (kernel->shuffled) {
        shuffle();
    }
    memcpy(block, "pc.ram", 6);
    uint64_t used = bytes;
    memcpy(block + ID_BYTES, &used, 8);
    fill(BATCH, 0);

    if (kernel->pass() != kernel->zeros_of_all * pages) {
        fprintf(stderr, "the memory is not what it was filled with\n");
        return 1;
    }
    passes_for(0.1, kernel->pass);
    int passes = passes_for(0.03, kernel->pass);
    double amount = kernel->packets ? PACKETS / 1e6 : bytes / (double)(1 << 30), speeds[SPANS];
    for (int span = 0; span < SPANS; span++) {
        double begun = now();
        for (int i = 0; i < passes; i++) {
            sink = kernel->pass();
        }
        speeds[span] = passes * amount / (now() - begun);
    }
    qsort(speeds, SPANS, sizeof *speeds, by_size);
    printf("%f\n", speeds[SPANS / 2]);
    return 0;
}
