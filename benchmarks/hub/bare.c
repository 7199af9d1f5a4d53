/* What the kernel alone costs: a loop of send() in C, to COUNT sockets that were upgraded, without a pause and for ever.
 *
 *   bare PORT COUNT
 *
 * No server can write one message after the other in less, but for io_uring, which saves the system calls. Sends the
 * benchmark's messages (`content.h`) with other games in them, always the same, so that it computes next to nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "content.h"

enum { GAMES = 2560 };

/* Wait until the reader has taken the rest of a frame: the only way to be slow here. */
static void finish(int fd, const char *rest, size_t length) {
    fcntl(fd, F_SETFL, 0);
    if (send(fd, rest, length, MSG_NOSIGNAL) != (ssize_t)length) exit(0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

int main(int argc, char **argv) {
    if (argc != 3) broken("usage: bare PORT COUNT", NULL, 0);
    int count = atoi(argv[2]), one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) broken("the port is taken", NULL, 0);
    int *sockets = malloc(sizeof *sockets * (size_t)count);
    for (int i = 0; i < count;) {
        static const char head[] = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        char request[4096];
        int fd = accept(listener, NULL, NULL);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (recv(fd, request, sizeof request, 0) <= 0) {
            close(fd); /* somebody who only looked whether there is a server */
            continue;
        }
        send(fd, head, sizeof head - 1, MSG_NOSIGNAL);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        sockets[i++] = fd;
    }
    static char games[GAMES + 1], frame[2 * GAMES];
    memset(games, '1', GAMES);
    unsigned long sum = crc32(0, (const unsigned char *)games, GAMES);
    for (unsigned long version = 1;; version++) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        int length = sprintf(frame + 4,
                             "{\"type\":1,\"target\":\"Games\",\"arguments\":[{\"sId\":0,\"version\":%lu,\"sent\":%lu,"
                             "\"crc\":%lu,\"length\":%d,\"wgi\":%s}]}\x1e",
                             version, (unsigned long)now.tv_sec * 1000000000u + (unsigned long)now.tv_nsec,
                             10000000000u + sum, GAMES, games);
        frame[0] = (char)0x81;
        frame[1] = 126;
        frame[2] = (char)(length >> 8);
        frame[3] = (char)length;
        for (int i = 0; i < count; i++) {
            ssize_t sent = send(sockets[i], frame, (size_t)length + 4, MSG_NOSIGNAL);
            if (sent == length + 4) continue;
            if (sent < 0 && errno != EAGAIN) return 0;
            if (sent < 0) sent = 0;
            finish(sockets[i], frame + sent, (size_t)(length + 4 - sent));
        }
    }
}
