/*
 * What C needs to move memory between two processes over loopback TCP: a thread for each channel at either end, blocking sockets, and for each packet one
 * writev and as many readv as it takes, from RAM into RAM that is there already. It looks at nothing and checks nothing, but for what has arrived in the end.
 * native BYTES CHANNELS: prints the seconds that it took, and those of both processes' processor time.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PACKET = 512 * 1024, HEADER = 1344, MOST = 16 };

static uint8_t *ram;
static size_t share;
static int sockets[MOST];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static double processor(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

/* What is left of a packet's two parts behind `done` bytes. */
static int rest(struct iovec *parts, uint8_t *header, uint8_t *pages, size_t done)
{
    if (done < HEADER) {
        parts[0] = (struct iovec){ header + done, HEADER - done };
        parts[1] = (struct iovec){ pages, PACKET };
        return 2;
    }
    parts[0] = (struct iovec){ pages + done - HEADER, HEADER + PACKET - done };
    return 1;
}

static void *move(void *channel, ssize_t (*call)(int, const struct iovec *, int))
{
    int number = (int)(intptr_t)channel;
    uint8_t header[HEADER] = { 0 };
    struct iovec parts[2];
    for (size_t at = 0; at < share; at += PACKET)
        for (size_t done = 0; done < HEADER + PACKET;) {
            ssize_t moved = call(sockets[number], parts, rest(parts, header, ram + number * share + at, done));
            if (moved <= 0) fail("a channel");
            done += moved;
        }
    return NULL;
}

static void *send_share(void *channel) { return move(channel, writev); }
static void *receive_share(void *channel) { return move(channel, readv); }

static void run(void *(*work)(void *), int channels)
{
    pthread_t threads[MOST];
    for (intptr_t i = 0; i < channels; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i) != 0) fail("a thread");
    for (int i = 0; i < channels; i++) pthread_join(threads[i], NULL);
}

static void fill(size_t bytes, uint32_t factor)
{
    ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram == MAP_FAILED) fail("memory");
    for (size_t word = 0; word < bytes / 4; word++) ((uint32_t *)ram)[word] = word * factor + 1;
}

static void target(int listener, int channels, size_t bytes, int ready)
{
    fill(bytes, 0);
    if (write(ready, "r", 1) != 1) fail("ready");
    for (int i = 0; i < channels; i++)
        if ((sockets[i] = accept(listener, NULL, NULL)) < 0) fail("accept");
    double before = processor();
    run(receive_share, channels);
    double used = processor() - before;
    if (write(ready, &used, sizeof used) != sizeof used) fail("an answer");
    for (size_t word = 0; word < bytes / 4; word++)
        if (((uint32_t *)ram)[word] != (uint32_t)word * 2654435761u + 1) exit(2);
    exit(0);
}

int main(int count, char **arguments)
{
    if (count != 3) return 1;
    size_t bytes = strtoull(arguments[1], NULL, 10);
    int channels = atoi(arguments[2]), answers[2], status;
    share = bytes / channels;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, MOST) || getsockname(listener, (struct sockaddr *)&address, &length) || pipe(answers)) fail("listen");
    pid_t other = fork();
    if (other == 0) target(listener, channels, bytes, answers[1]);
    fill(bytes, 2654435761u);
    char ready;
    if (read(answers[0], &ready, 1) != 1) fail("the target");
    double begun = seconds(), before = processor(), theirs;
    for (int i = 0; i < channels; i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(sockets[i], (struct sockaddr *)&address, sizeof address)) fail("connect");
    }
    run(send_share, channels);
    if (read(answers[0], &theirs, sizeof theirs) != sizeof theirs) fail("the target");
    double took = seconds() - begun, ours = processor() - before;
    waitpid(other, &status, 0);
    if (status != 0) return 2;
    printf("%.6f %.6f\n", took, ours + theirs);
    return 0;
}
