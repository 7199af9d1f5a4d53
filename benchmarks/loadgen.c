/* A lean HTTP/1.1 load generator: keep-alive connections, one request in flight on each, epoll, no allocation while it runs.
 *
 * Written for the wallet benchmark, because a generator in Python would cost more than the server that it measures.
 * Requests are prepared beforehand (signed, complete with their headers) in a file of records: 4 bytes of length, little
 * endian, then the bytes. They are sent in the order of the file by whichever connection is free.
 *
 *   loadgen HOST PORT CONNECTIONS FILE WARMUP_SECONDS MEASURED_SECONDS RATE
 *
 * RATE 0 is a closed loop. Another RATE is an open loop: request i is due at i/RATE seconds and its latency counts from
 * that moment, whether a connection was free or not, so that a stalled server cannot hide the requests it held up.
 * Prints one JSON object. Exit 1 if the server broke the connection or the file ran out, since neither is a measurement.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 4096, MAX_SAMPLES = 8 * 1000 * 1000 };

typedef struct {
    int fd;
    uint64_t due_ns; /* when the request in flight was due (open loop) or sent (closed loop) */
    uint32_t have;   /* bytes of the answer so far */
    char answer[ANSWER_BYTES];
} Connection;

static const unsigned char *records, *records_end, *next_record;
static uint32_t *samples_us;
static uint64_t sample_count, sent, ok, insufficient, other_errors, not_200;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *why) {
    fprintf(stderr, "loadgen: %s (errno: %s)\n", why, strerror(errno));
    exit(1);
}

static void open_connection(Connection *c, const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("HOST must be an IPv4 address");
    if ((c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

/* Send the next record, or return 0 when the file is used up. A request fits the socket buffer, so a short write is an error. */
static int send_next(Connection *c, uint64_t due_ns) {
    uint32_t length;
    if (next_record + 4 > records_end) return 0;
    memcpy(&length, next_record, 4);
    if (write(c->fd, next_record + 4, length) != (ssize_t)length) die("a request could not be written whole");
    next_record += 4 + length;
    c->due_ns = due_ns;
    c->have = 0;
    sent++;
    return 1;
}

/* Length of the complete answer in the buffer, or 0 while more has to come. Understands just what the servers here send. */
static uint32_t complete(Connection *c) {
    char *head_end, *field;
    c->answer[c->have] = 0;
    if (!(head_end = strstr(c->answer, "\r\n\r\n"))) return 0;
    if (!(field = strcasestr(c->answer, "content-length:"))) die("an answer without Content-Length");
    uint32_t total = (uint32_t)(head_end - c->answer) + 4 + (uint32_t)strtoul(field + 15, NULL, 10);
    return c->have >= total ? total : 0;
}

static void count_answer(Connection *c) {
    char *body = strstr(c->answer, "\r\n\r\n") + 4;
    if (strncmp(c->answer + 9, "200", 3) != 0) not_200++;
    else if (strstr(body, "\"error\":null") || strstr(body, "\"error\": null")) ok++;
    else if (strstr(body, "INSUFFICENT_FUNDS")) insufficient++;
    else other_errors++;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_ms(double share) {
    if (!sample_count) return 0;
    uint64_t at = (uint64_t)(share * (double)sample_count);
    return samples_us[at < sample_count ? at : sample_count - 1] / 1000.0;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: loadgen HOST PORT CONNECTIONS FILE WARMUP_S MEASURED_S RATE\n");
        return 2;
    }
    int n = atoi(argv[3]), file = open(argv[4], O_RDONLY), exhausted = 0;
    double warmup_s = atof(argv[5]), measured_s = atof(argv[6]), rate = atof(argv[7]);
    struct stat info;
    if (file < 0 || fstat(file, &info) < 0) die("the request file cannot be read");
    records = next_record = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (records == MAP_FAILED) die("mmap");
    records_end = records + info.st_size;
    samples_us = malloc(sizeof *samples_us * MAX_SAMPLES);
    Connection *connections = calloc((size_t)n, sizeof *connections);
    Connection **idle = malloc(sizeof *idle * (size_t)n);
    int idle_count = 0, poller = epoll_create1(0);
    struct epoll_event events[256];
    for (int i = 0; i < n; i++) {
        open_connection(&connections[i], argv[1], atoi(argv[2]));
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &connections[i]};
        epoll_ctl(poller, EPOLL_CTL_ADD, connections[i].fd, &e);
        idle[idle_count++] = &connections[i];
    }

    uint64_t start = now_ns(), from = start + (uint64_t)(warmup_s * 1e9), until = from + (uint64_t)(measured_s * 1e9);
    uint64_t scheduled = 0, measured = 0;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (;;) {
        uint64_t now = now_ns();
        if (now < until && !exhausted) {
            while (idle_count) {
                uint64_t due = rate > 0 ? start + (uint64_t)((double)scheduled * 1e9 / rate) : now;
                if (due > now) break;
                if (!send_next(idle[idle_count - 1], due)) { exhausted = 1; break; }
                idle_count--;
                scheduled++;
            }
        } else if (idle_count == n) break; /* every answer has come */
        if (now > until + 30000000000u) die("answers are missing 30 s after the end");

        struct timespec wait = {1, 0}, *patience = &wait;
        if (rate > 0 && idle_count && now < until) {
            uint64_t due = start + (uint64_t)((double)scheduled * 1e9 / rate);
            uint64_t left = due > now ? due - now : 0;
            wait.tv_sec = (time_t)(left / 1000000000u);
            wait.tv_nsec = (long)(left % 1000000000u);
        }
        int ready = epoll_pwait2(poller, events, 256, patience, NULL);
        if (ready < 0 && errno != EINTR) die("epoll_pwait2");
        for (int i = 0; i < ready; i++) {
            Connection *c = events[i].data.ptr;
            ssize_t got = read(c->fd, c->answer + c->have, ANSWER_BYTES - 1 - c->have);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) die("the server closed a connection");
            c->have += (uint32_t)got;
            if (!complete(c)) continue;
            uint64_t done = now_ns();
            count_answer(c);
            if (done >= from && done < until) {
                measured++;
                if (sample_count < MAX_SAMPLES) samples_us[sample_count++] = (uint32_t)((done - c->due_ns) / 1000);
            }
            if (rate == 0 && done < until && !exhausted) {
                if (send_next(c, done)) continue;
                exhausted = 1;
            }
            idle[idle_count++] = c;
        }
    }
    getrusage(RUSAGE_SELF, &after);
    double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                 (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    qsort(samples_us, sample_count, sizeof *samples_us, by_value);
    printf("{\"per_second\": %.1f, \"sent\": %lu, \"ok\": %lu, \"insufficient\": %lu, \"other_errors\": %lu, \"not_200\": %lu, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f, \"generator_us_per_request\": %.2f, \"exhausted\": %s}\n",
           (double)measured / measured_s, sent, ok, insufficient, other_errors, not_200, percentile_ms(0.50), percentile_ms(0.99),
           percentile_ms(0.999), percentile_ms(1.0), sent ? cpu * 1e6 / (double)sent : 0, exhausted ? "true" : "false");
    return exhausted ? 1 : 0;
}
