/* The reader of the hub benchmark: N subscribers in one thread, which check every message that arrives.
 *
 *   reader key=value ...
 *     port=N               on 127.0.0.1
 *     path=/hub            of the WebSocket
 *     count=N              subscribers
 *     hub=0|1              speak SignalR: handshake, then call Subscribe (otherwise messages begin after the upgrade)
 *     negotiate=0|1        POST {path}/negotiate first, on a TCP connection of its own, as browsers do
 *     deflate=0|1          offer permessage-deflate, and insist on a server without context takeover
 *     numbered=0|1         sId must count from 0 per subscriber
 *     binary=0|1           take JSON in binary frames (which no stock client does)
 *     window=N             connections being opened at one time
 *     warmup=S seconds=S   before, and of the measurement
 *     stuck=N              the first N stop reading once they are subscribed
 *     drop=N               N are cut half a second into the measurement, and come back at once
 *     pids=A,B             processes of the server, whose CPU and memory are read
 *
 * Prints one JSON object; exit 1 with a reason if anything arrived that should not have, or the server closed a connection.
 * It polls without sleeping, so that waking it is not part of what is measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "content.h"

enum { SCRATCH = 512 * 1024, READ_AT_MOST = 256 * 1024, BUCKETS = 1000 * 1000, BUCKET_NS = 10 * 1000 };
enum Stage { IDLE, NEGOTIATING, UPGRADING, SHAKING, SUBSCRIBING, LIVE, ENDED };

typedef struct {
    int fd;
    uint8_t stage;
    bool stuck, dropped, back;
    uint32_t have; /* bytes of an unfinished frame in `rest` */
    unsigned char *rest;
    uint64_t version, next_number, place;
    char token[64];
} Client;

typedef struct { double cpu; double rss_kb; } Usage;

static struct {
    const char *path, *pids;
    int port, count, hub, negotiate, deflate, binary, window, stuck, drop;
    double warmup, seconds;
} asked = {.path = "/hub", .pids = "", .count = 1000, .window = 256, .warmup = 1, .seconds = 3};

static Client *clients;
static int poller, opening, live, dropped_back;
static bool measuring;
static uint32_t buckets[BUCKETS];
static uint64_t delivered, wire_bytes, missed, kept_before_drop, last_back_ns;
static uint64_t total_ns;
static unsigned char scratch[SCRATCH];

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *why) {
    fprintf(stderr, "reader: %s (errno: %s; %d live, %d opening)\n", why, strerror(errno), live, opening);
    exit(1);
}

/* -- the server's use of the machine ---------------------------------------------------------------------------------- */

static Usage usage(void) {
    Usage sum = {0, 0};
    char list[256], path[512], line[256];
    snprintf(list, sizeof list, "%s", asked.pids);
    for (char *save, *pid = strtok_r(list, ",", &save); pid; pid = strtok_r(NULL, ",", &save)) {
        snprintf(path, sizeof path, "/proc/%s/task", pid);
        DIR *tasks = opendir(path);
        if (!tasks) die("a process of the server is gone");
        for (struct dirent *task; (task = readdir(tasks));) {
            if (task->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", pid, task->d_name);
            FILE *f = fopen(path, "r");
            unsigned long long ns;
            if (f && fscanf(f, "%llu", &ns) == 1) sum.cpu += (double)ns / 1e9;
            if (f) fclose(f);
        }
        closedir(tasks);
        snprintf(path, sizeof path, "/proc/%s/status", pid);
        FILE *f = fopen(path, "r");
        long kb;
        while (f && fgets(line, sizeof line, f))
            if (sscanf(line, "VmRSS: %ld", &kb) == 1) sum.rss_kb += (double)kb;
        if (f) fclose(f);
    }
    return sum;
}

/* -- opening ---------------------------------------------------------------------------------------------------------- */

static void say(Client *c, const char *bytes, size_t length) {
    if (send(c->fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length) die("a request could not be written whole");
}

static void say_frame(Client *c, int opcode, const char *payload, size_t length) {
    unsigned char frame[160];
    const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    if (length > 125) die("a control frame is too long");
    frame[0] = (unsigned char)(0x80 | opcode);
    frame[1] = (unsigned char)(0x80 | length);
    memcpy(frame + 2, mask, 4);
    for (size_t i = 0; i < length; i++) frame[6 + i] = (unsigned char)payload[i] ^ mask[i & 3];
    say(c, (const char *)frame, 6 + length);
}

static void open_socket(Client *c, enum Stage stage) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)asked.port)};
    int one = 1, small = 16 * 1024;
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if ((c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (c->stuck) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) die("connect");
    c->stage = (uint8_t)stage;
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e)) die("epoll_ctl");
}

static void begin(Client *c) {
    c->version = c->next_number = c->place = 0;
    c->have = 0;
    opening++;
    open_socket(c, asked.negotiate ? NEGOTIATING : UPGRADING);
}

static void connected(Client *c) {
    char request[600];
    int length;
    if (c->stage == NEGOTIATING)
        length = snprintf(request, sizeof request, "POST %s/negotiate?negotiateVersion=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                          "Content-Type: text/plain;charset=UTF-8\r\nX-Requested-With: XMLHttpRequest\r\nContent-Length: 0\r\n\r\n",
                          asked.path, asked.port);
    else
        length = snprintf(request, sizeof request, "GET %s%s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                          asked.path, asked.negotiate ? "?id=" : "", asked.negotiate ? c->token : "", asked.port,
                          asked.deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
    say(c, request, (size_t)length);
}

static void became_live(Client *c) {
    c->stage = LIVE;
    opening--;
    live++;
    if (c->stuck) epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
}

/* Take the answer to the POST or to the upgrade; returns how many bytes it had, 0 while it is incomplete. */
static size_t http_answer(Client *c, unsigned char *data, size_t length) {
    unsigned char *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end) return 0;
    if (c->stage == NEGOTIATING) {
        unsigned char *token = memmem(end, length - (size_t)(end - data), "\"connectionToken\"", 17);
        if (memcmp(data + 9, "200", 3)) broken("negotiate was refused", data, length);
        if (!token || !memchr(token, '}', length - (size_t)(token - data))) return 0;
        token = (unsigned char *)memchr(token + 17, '"', length - (size_t)(token + 17 - data)) + 1;
        size_t size = strcspn((char *)token, "\"");
        if (size >= sizeof c->token) broken("the connection token is too long", token, size);
        memcpy(c->token, token, size);
        c->token[size] = 0;
        close(c->fd);
        open_socket(c, UPGRADING);
        return length;
    }
    if (memcmp(data + 9, "101", 3)) broken("the upgrade was refused", data, length);
    if (asked.deflate && !memmem(data, (size_t)(end - data), "server_no_context_takeover", 26))
        broken("the server does not compress without context", data, length);
    if (asked.hub) {
        c->stage = SHAKING;
        static const char hello[] = "{\"protocol\":\"json\",\"version\":1}\x1e";
        say_frame(c, 1, hello, sizeof hello - 1);
    } else became_live(c);
    return (size_t)(end + 4 - data);
}

/* -- messages --------------------------------------------------------------------------------------------------------- */

static void arrived(Client *c, uint64_t place, uint64_t version, uint64_t sent_ns, uint64_t number, size_t bytes, uint64_t now) {
    if (version <= c->version) broken("a version came twice, or after a newer one", NULL, 0);
    if (sent_ns > now) broken("a message came before it was sent", NULL, 0);
    if (number != (numbered ? c->next_number : 0)) broken("the number of a subscription is not the next one", NULL, 0);
    uint64_t gap = c->version ? version - c->version - 1 : 0;
    c->version = version;
    c->place = place;
    c->next_number++;
    if (c->dropped && !c->back && version >= kept_before_drop) {
        c->back = true;
        dropped_back++;
        last_back_ns = now;
    }
    if (!measuring || c->dropped) return;
    uint64_t bucket = (now - sent_ns) / BUCKET_NS;
    buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    total_ns += now - sent_ns;
    delivered++;
    wire_bytes += bytes;
    missed += gap;
}

static bool is_type(const unsigned char *text, size_t length, char type) {
    unsigned char *at = memmem(text, length < 64 ? length : 64, "\"type\":", 7);
    return at && at[7] == type;
}

static void record(Client *c, const unsigned char *text, size_t length, const unsigned char *payload, size_t payload_length,
                   bool deflated, uint64_t now) {
    if (c->stage == SHAKING) {
        if (length != 3 || memcmp(text, "{}\x1e", 3)) broken("the handshake was refused", text, length);
        static const char call[] = "{\"type\":1,\"invocationId\":\"0\",\"target\":\"Subscribe\",\"arguments\":[]}\x1e";
        c->stage = SUBSCRIBING;
        say_frame(c, 1, call, sizeof call - 1);
    } else if (is_type(text, length, '3')) {
        if (c->stage != SUBSCRIBING || memmem(text, length, "\"error\":\"", 9)) broken("Subscribe failed", text, length);
        became_live(c);
    } else if (is_type(text, length, '1')) {
        State state = checked(text, length);
        uint64_t place = c->place;
        if (length == payload_length || deflated) place = keep(payload, payload_length, deflated, text, length, state);
        arrived(c, place, state.version, state.sent_ns, state.number, payload_length + 4, now);
    } else if (!is_type(text, length, '6')) broken("an unexpected message", text, length);
}

static void data_frame(Client *c, const unsigned char *payload, size_t length, bool deflated, uint64_t now) {
    uint64_t number, place = find_kept(payload, length, deflated, c->place, &number);
    if (place) {
        const Kept *k = &kept[(place - 1) % KEPT];
        arrived(c, place, k->version, k->sent_ns, number, length + 4, now);
        return;
    }
    static unsigned char plain[MAX_MESSAGE + 1];
    const unsigned char *text = payload;
    size_t left = length;
    if (deflated) {
        left = inflated(payload, length, plain);
        text = plain;
    }
    while (left) {
        const unsigned char *end = memchr(text, 0x1e, left);
        if (!end) broken("a message without its end", text, left);
        size_t size = (size_t)(end + 1 - text);
        record(c, text, size, payload, length, deflated, now);
        text += size;
        left -= size;
    }
}

/* Take all whole frames; returns how many bytes they had. */
static size_t frames(Client *c, const unsigned char *data, size_t length, uint64_t now) {
    size_t at = 0;
    while (length - at >= 2) {
        const unsigned char *f = data + at;
        size_t size = f[1] & 127, head = 2;
        if (f[1] & 128) broken("a masked frame from the server", NULL, 0);
        if (size == 126) {
            if (length - at < 4) break;
            size = (size_t)f[2] << 8 | f[3];
            head = 4;
        } else if (size == 127) broken("a frame larger than any message", NULL, 0);
        if (length - at < head + size) break;
        int opcode = f[0] & 15;
        bool deflated = f[0] & 64;
        if (!(f[0] & 128) || opcode == 0) broken("a fragmented message", f, head);
        if (deflated && !asked.deflate) broken("a deflated frame that nobody asked for", NULL, 0);
        if (opcode == 2 && !asked.binary) broken("JSON in a binary frame", f + head, size);
        if (opcode == 1 || opcode == 2) data_frame(c, f + head, size, deflated, now);
        else if (opcode == 8) broken("the server closed a connection", f + head + 2, size > 2 ? size - 2 : 0);
        else if (opcode == 9) say_frame(c, 10, (const char *)f + head, size);
        at += head + size;
    }
    return at;
}

static void readable(Client *c) {
    if (c->have) memcpy(scratch, c->rest, c->have);
    ssize_t got = recv(c->fd, scratch + c->have, READ_AT_MOST, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) die("the server cut a connection");
    uint64_t now = now_ns();
    size_t length = c->have + (size_t)got, at = 0;
    if (c->stage == NEGOTIATING || c->stage == UPGRADING) at = http_answer(c, scratch, length);
    if (c->stage >= SHAKING) at += frames(c, scratch + at, length - at, now);
    size_t have = length - at;
    if (have > SCRATCH - READ_AT_MOST) die("a frame is too large");
    if (have) {
        if (have > c->have) c->rest = realloc(c->rest, have);
        memcpy(c->rest, scratch + at, have);
    } else if (c->have) {
        free(c->rest);
        c->rest = NULL;
    }
    c->have = (uint32_t)have;
}

/* One look at all sockets; returns whether anything came. */
static bool poll_once(void) {
    struct epoll_event events[512];
    int ready = epoll_wait(poller, events, 512, 0);
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < ready; i++) {
        Client *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT) connected(c);
        else readable(c);
    }
    return ready > 0;
}

/* -- the run ---------------------------------------------------------------------------------------------------------- */

static double percentile_ms(double share) {
    uint64_t seen = 0, wanted = (uint64_t)(share * (double)delivered);
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += buckets[i]) > wanted) return (i + 1) * (BUCKET_NS / 1e6);
    return 0;
}

static void cut(Client *c) {
    struct linger at_once = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(c->fd);
    c->dropped = true;
    live--;
}

static void take_arguments(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) die("arguments are key=value");
        *value++ = 0;
        const char *key = argv[i];
        if (!strcmp(key, "path")) asked.path = value;
        else if (!strcmp(key, "pids")) asked.pids = value;
        else if (!strcmp(key, "warmup")) asked.warmup = atof(value);
        else if (!strcmp(key, "seconds")) asked.seconds = atof(value);
        else if (!strcmp(key, "numbered")) numbered = atoi(value);
        else {
            const struct { const char *name; int *at; } numbers[] = {
                {"port", &asked.port}, {"count", &asked.count}, {"hub", &asked.hub}, {"negotiate", &asked.negotiate},
                {"deflate", &asked.deflate}, {"binary", &asked.binary}, {"window", &asked.window}, {"stuck", &asked.stuck},
                {"drop", &asked.drop}};
            int *at = NULL;
            for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++)
                if (!strcmp(key, numbers[j].name)) at = numbers[j].at;
            if (!at) die("an unknown argument");
            *at = atoi(value);
        }
    }
}

int main(int argc, char **argv) {
    take_arguments(argc, argv);
    clients = calloc((size_t)asked.count, sizeof *clients);
    poller = epoll_create1(0);
    Usage empty = usage();
    uint64_t start = now_ns(), deadline = start + 60000000000u;
    for (int next = 0; live < asked.count;) {
        for (; next < asked.count && opening < asked.window; next++) {
            clients[next].stuck = next < asked.stuck;
            begin(&clients[next]);
        }
        poll_once();
        if (now_ns() > deadline) die("not all clients were connected within 60 s");
    }
    double connect_seconds = (double)(now_ns() - start) / 1e9;
    uint64_t from = now_ns() + (uint64_t)(asked.warmup * 1e9), until = from + (uint64_t)(asked.seconds * 1e9);
    while (now_ns() < from) poll_once();

    Usage before = usage();
    measuring = true;
    from = now_ns();
    until = from + (uint64_t)(asked.seconds * 1e9);
    uint64_t drop_at = asked.drop ? from + 500000000u : UINT64_MAX, dropped_ns = 0, idle_ns = 0;
    for (uint64_t now = from; now < until;) {
        if (now >= drop_at) {
            dropped_ns = now;
            drop_at = UINT64_MAX;
            kept_before_drop = newest_version;
            for (int i = 0; i < asked.drop; i++) cut(&clients[asked.count - 1 - i]);
            for (int i = 0; i < asked.drop; i++) begin(&clients[asked.count - 1 - i]);
        }
        bool any = poll_once();
        uint64_t after_poll = now_ns();
        if (!any) idle_ns += after_poll - now;
        now = after_poll;
    }
    measuring = false;
    Usage at_end = usage();
    double seconds = (double)(now_ns() - from) / 1e9;
    int behind = 0;
    for (int i = asked.stuck; i < asked.count; i++) behind += clients[i].version + 1 < newest_version;
    printf("{\"clients\": %d, \"connect_seconds\": %.3f, \"seconds\": %.3f, \"delivered\": %lu, \"wire_bytes\": %lu, \"missed\": %lu, "
           "\"behind\": %d, \"mean_ms\": %.3f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, \"cpu_seconds\": %.4f, "
           "\"rss_empty_kb\": %.0f, \"rss_kb\": %.0f, \"reader_busy\": %.3f, \"back\": %d, \"back_seconds\": %.3f}\n",
           live, connect_seconds, seconds, delivered, wire_bytes, missed, behind, delivered ? (double)total_ns / 1e6 / (double)delivered : 0,
           percentile_ms(0.5), percentile_ms(0.99), percentile_ms(1.0 - 1e-9), at_end.cpu - before.cpu, empty.rss_kb, at_end.rss_kb,
           1.0 - (double)idle_ns / 1e9 / seconds, dropped_back, dropped_back ? (double)(last_back_ns - dropped_ns) / 1e9 : 0);
    return 0;
}
