/* The load of benchmarks/room.py: all clients of a room in one process, on one clock.
 *
 *     room_load PORT[,PORT...] plain|irc   (members spread evenly over many hosts of one room)
 *                                do what standard input says, and answer each line with one of JSON:
 *         join N AT_ONCE              N members more, so many at a time, each until it is greeted
 *         single COUNT GAP_MS         lines one by one, and how long until the last member has each
 *         lines COUNT                 by one of them at once, and how long until all have them
 *         talk SPEAKERS SECONDS WINDOW  as fast as the room takes it, until all have all of it
 *         deaf / gone                 one more member that never reads / it goes away
 *     room_load serve PORT       the ceiling: a loop that writes what it reads to all others
 *
 * It owns the clients' sockets, the numbers in what they say, and what is counted. Every socket is
 * drained with large reads into one buffer and newlines are counted, so whatever a room puts before
 * a line is not looked at; only one member, the sample, looks for the numbers too. It knows 127.0.0.1
 * alone and comes from 127.0.0.x (an address has too few ports for all), everything it waits for has a deadline, and which room it talks to it does not know.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MEMBERS 20000
#define AT_AN_ADDRESS 4000
#define SPEAKERS 100
#define HOSTS 16
#define TEXT 59              /* characters of a line; with its newline 60 */
#define WIRE (TEXT + 24)     /* with what IRC puts around it */
#define BATCH 1000           /* lines in one send at most */
#define BUFFER (256 * 1024)  /* small enough for a processor's cache */
#define QUIET 1.0            /* s without a byte: whoever has come or gone has been announced */
#define PATIENCE 60.0        /* s for a step; what is missing then is reported as missing */
#define JOIN 0.015           /* s more for each that joins */
#define STALLED 5.0          /* s without a byte while something is missing */

struct member {
    int fd;
    bool greeted;
    uint64_t got;     /* newlines */
    uint64_t due;     /* of these, when the step is over */
    uint64_t sent;    /* lines, ever; the next one's number */
    size_t from, to;  /* what is left to send of its batch */
    char *batch;
};

static struct member members[MEMBERS + 1], *deaf;
static int count, poller, port;
static int ports[HOSTS], hosts, dialled;
static bool irc;
static char buffer[BUFFER];
static uint64_t dropped, taken; /* members; bytes */
static double latest; /* when the last byte came */

/* What the sample member saw; it is the last one that joined. */
static struct {
    uint64_t next[SPEAKERS], lost, again, torn;
    char line[1024]; /* the piece of one that a read ended in */
    size_t length;
    bool looking;
} sample;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void fail(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    fputs("room_load: ", stderr);
    vfprintf(stderr, format, rest);
    fputc('\n', stderr);
    va_end(rest);
    exit(1);
}

/* 16 bytes at a time: a comparison is -1 where it holds, and 255 of them fit into a byte. */
static uint64_t newlines(const char *at, size_t length)
{
    typedef unsigned char block __attribute__((vector_size(16)));
    const block wanted = (block){0} + '\n';
    uint64_t found = 0;
    while (length >= sizeof(block)) {
        block sum = {0};
        for (int i = 0; i < 255 && length >= sizeof(block); i++) {
            block bytes;
            memcpy(&bytes, at, sizeof bytes);
            sum -= (block)(bytes == wanted);
            at += sizeof(block);
            length -= sizeof(block);
        }
        for (size_t i = 0; i < sizeof(block); i++)
            found += sum[i];
    }
    while (length--)
        found += *at++ == '\n';
    return found;
}

/* A line of ours is "~03 0000001234 ......", and ends with the line that it came in. */
static bool reads(const char *text, unsigned *speaker, uint64_t *number)
{
    if (text[0] != '~' || text[3] != ' ' || text[14] != ' ' || text[TEXT - 1] != '.')
        return false;
    for (int i = 1; i < 14; i++)
        if (i != 3 && (text[i] < '0' || text[i] > '9'))
            return false;
    *speaker = (text[1] - '0') * 10 + text[2] - '0';
    *number = 0;
    for (int i = 4; i < 14; i++)
        *number = *number * 10 + text[i] - '0';
    return true;
}

static void look(const char *line, size_t length)
{
    unsigned speaker;
    uint64_t number;
    if (length && line[length - 1] == '\r')
        length--;
    if (length < TEXT || !reads(line + length - TEXT, &speaker, &number)) {
        sample.torn++;
        return;
    }
    uint64_t *next = &sample.next[speaker];
    sample.lost += number > *next ? number - *next : 0;
    sample.again += number < *next;
    if (number >= *next)
        *next = number + 1;
}

static void look_at(const char *at, size_t length)
{
    const char *end;
    while ((end = memchr(at, '\n', length))) {
        size_t piece = end - at;
        if (sample.length) {
            size_t room = sizeof sample.line - sample.length;
            memcpy(sample.line + sample.length, at, piece < room ? piece : room);
            look(sample.line, sample.length + (piece < room ? piece : room));
            sample.length = 0;
        } else {
            look(at, piece);
        }
        length -= piece + 1;
        at = end + 1;
    }
    if (length > sizeof sample.line - sample.length)
        length = sizeof sample.line - sample.length;
    memcpy(sample.line + sample.length, at, length);
    sample.length += length;
}

/* Until an IRC client has the list of names (366) it is not in the channel. */
static bool greets(const char *at, size_t length)
{
    return irc ? memmem(at, length, " 366 ", 5) != NULL : memchr(at, '\n', length) != NULL;
}

static void drain(struct member *m)
{
    ssize_t length = recv(m->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (length > 0) {
        m->got += newlines(buffer, length);
        taken += length;
        m->greeted = m->greeted || greets(buffer, length);
        if (sample.looking && m == &members[count - 1])
            look_at(buffer, length);
        latest = now();
    } else if (length == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(m->fd);
        m->fd = -1;
        dropped++;
    }
}

/* One look at all sockets; `seconds` at most if none has anything. */
static void turn(double seconds)
{
    struct epoll_event events[1024];
    int found = epoll_wait(poller, events, 1024, seconds > 0 ? (int)(seconds * 1000) + 1 : 0);
    for (int i = 0; i < found; i++)
        drain(events[i].data.ptr);
}

static void settle(void)
{
    double started = latest = now();
    while (now() - latest < QUIET && now() - started < PATIENCE)
        turn(QUIET);
}

static void enter(struct member *m, int number)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(ports[dialled++ % hosts])};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = m};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number / AT_AN_ADDRESS);
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(m->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (m->fd < 0 || bind(m->fd, (struct sockaddr *)&source, sizeof source) ||
        connect(m->fd, (struct sockaddr *)&address, sizeof address))
        fail("member %d cannot connect: %s", number, strerror(errno));
    setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (irc)
        dprintf(m->fd, "NICK m%d\r\nUSER m 0 * :m\r\nJOIN #room\r\n", number);
    epoll_ctl(poller, EPOLL_CTL_ADD, m->fd, &event);
}

static void join(int more, int at_once)
{
    double started = now();
    int target = count + more, first = count;
    if (target > MEMBERS)
        fail("%d members at most", MEMBERS);
    while (first < target) {
        for (; count < target && count - first < at_once; count++)
            enter(&members[count], count);
        turn(0.1);
        while (first < count && members[first].greeted)
            first++;
        if (dropped || now() - started > PATIENCE + more * JOIN)
            fail("%d of %d members were let in, %d were cut", first, target, (int)dropped);
    }
    double seconds = now() - started;
    settle();
    printf("{\"seconds\": %.6f}\n", seconds);
}

/* Lines into the batch of a member, if it is empty. */
static void compose(struct member *m, int lines)
{
    static char dots[TEXT + 1];
    memset(dots, '.', TEXT);
    if (!m->batch && !(m->batch = malloc(BATCH * WIRE)))
        fail("no memory");
    m->from = m->to = 0;
    for (int i = 0; i < lines; i++) {
        char *at = m->batch + m->to;
        const char *before = irc ? "PRIVMSG #room :" : "";
        size_t length = strlen(before);
        memcpy(at, before, length);
        at += length;
        memcpy(at, dots, TEXT);
        at[0] = '~';
        at[1] = '0' + (m - members) / 10;
        at[2] = '0' + (m - members) % 10;
        at[3] = at[14] = ' ';
        uint64_t number = m->sent++;
        for (int digit = 13; digit > 3; digit--, number /= 10)
            at[digit] = '0' + number % 10;
        at += TEXT;
        if (irc)
            *at++ = '\r';
        *at++ = '\n';
        m->to = at - m->batch;
    }
}

static void push(struct member *m)
{
    ssize_t length = send(m->fd, m->batch + m->from, m->to - m->from, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (length > 0)
        m->from += length;
}

/* Everybody is due what the others have sent; true while somebody has not got it. */
static bool waiting(uint64_t total, int *first)
{
    for (; *first < count; ++*first) {
        struct member *m = &members[*first];
        if (m->fd >= 0 && m->got < m->due + total - m->sent)
            return true;
    }
    return false;
}

static uint64_t total_sent(void)
{
    uint64_t total = 0;
    for (int i = 0; i < count && i < SPEAKERS; i++)
        total += members[i].sent;
    return total;
}

/* From now on: `due` is what a member would have now if it had got nothing of what is sent next. */
static void begin(void)
{
    uint64_t total = total_sent();
    for (int i = 0; i < count; i++)
        members[i].due = members[i].got - (total - members[i].sent);
    sample.lost = sample.again = sample.torn = sample.length = 0;
    sample.looking = true;
    for (int i = 0; i < count && i < SPEAKERS; i++)
        sample.next[i] = members[i].sent;
}

static uint64_t missing(uint64_t total, uint64_t *extra)
{
    uint64_t sum = *extra = 0;
    for (int i = 0; i < count; i++) {
        struct member *m = &members[i];
        uint64_t wanted = m->due + total - m->sent;
        sum += m->got < wanted ? wanted - m->got : 0;
        *extra += m->got > wanted ? m->got - wanted : 0;
    }
    return sum;
}

/* The end of a step's answer: what was wrong, in lines. */
static void print_faults(uint64_t total)
{
    uint64_t extra, sum = missing(total, &extra);
    sample.looking = false;
    printf("\"missing\": %lu, \"extra\": %lu, \"lost\": %lu, \"again\": %lu, \"torn\": %lu, "
           "\"dropped\": %lu}\n",
           sum, extra, sample.lost, sample.again, sample.torn, dropped);
}

static void single(int lines, double gap)
{
    printf("{\"times\": [");
    begin();
    for (int i = 0; i < lines; i++) {
        struct member *m = &members[i * 7 % (count < SPEAKERS ? count : SPEAKERS)];
        double started, quiet = now() + gap;
        int first = 0;
        while (now() < quiet)
            turn(quiet - now());
        compose(m, 1);
        started = now();
        push(m);
        uint64_t total = total_sent();
        while (waiting(total, &first) && now() - started < STALLED)
            turn(0.1);
        printf("%s%.9f", i ? ", " : "", now() - started);
        if (waiting(total, &first))
            break; /* it is lost, or somebody was cut: that is said */
    }
    printf("], ");
    print_faults(total_sent());
}

static void lines(int number)
{
    struct member *m = &members[0];
    int first = 0;
    begin();
    taken = 0;
    double started = latest = now();
    compose(m, number < BATCH ? number : BATCH);
    while (waiting(total_sent(), &first) && now() - latest < STALLED) {
        if (m->from < m->to)
            push(m);
        turn(m->from < m->to ? 0.001 : 0.1);
    }
    printf("{\"seconds\": %.6f, \"bytes\": %lu, ", latest - started, taken);
    print_faults(total_sent());
}

/* `window`: so many lines may be on their way to the sample; to member 0 for the sample's own. */
static void talk(int speakers, double seconds, uint64_t window)
{
    if (speakers > count || speakers > SPEAKERS)
        fail("there are not %d speakers", speakers);
    begin();
    uint64_t batch = window / (2 * speakers), already = total_sent(), total = already;
    batch = batch < 1 ? 1 : batch > BATCH ? BATCH : batch;
    double started = now(), used = cpu();
    taken = 0;
    bool said = false;
    int first = 0, start = 0;
    latest = started;
    while (!said || waiting(total, &first)) {
        bool ending = now() - started > seconds, busy = false;
        said = ending;
        start = (start + 1) % speakers;
        for (int i = 0; i < speakers; i++) {
            struct member *m = &members[(start + i) % speakers];
            struct member *watcher = &members[m == &members[count - 1] ? 0 : count - 1];
            uint64_t flying = watcher->due + total - watcher->sent - watcher->got;
            if (m->fd < 0)
                continue;
            if (m->from == m->to && !ending && (int64_t)flying + (int64_t)batch <= (int64_t)window) {
                compose(m, batch);
                total += batch;
                busy = true;
            }
            if (m->from < m->to)
                push(m);
            if (m->from < m->to)
                said = false;
        }
        turn(busy ? 0 : 0.001);
        if (now() - latest > STALLED || now() - started > seconds + PATIENCE)
            break;
    }
    double wall = latest - started, share = (cpu() - used) / (now() - started);
    uint64_t extra, lines = total - already;
    printf("{\"lines\": %lu, \"deliveries\": %lu, \"bytes\": %lu, \"seconds\": %.6f, "
           "\"cpu\": %.4f, ",
           lines, lines * (count - 1) - missing(total, &extra), taken, wall, share);
    print_faults(total);
}

/* The room says who has come or gone: not at once, and on a busy disk late. */
static void wait_for_announcement(uint64_t before)
{
    for (double started = now(); members[0].got == before && now() - started < PATIENCE;)
        turn(0.1);
    settle();
    puts("{}");
}

static void stop_reading(void)
{
    uint64_t before = members[0].got;
    deaf = &members[MEMBERS];
    *deaf = (struct member){.fd = -1};
    enter(deaf, MEMBERS);
    for (double started = now(); !deaf->greeted && now() - started < PATIENCE;)
        turn(0.1);
    epoll_ctl(poller, EPOLL_CTL_DEL, deaf->fd, NULL);
    wait_for_announcement(before);
}

static void go_away(void)
{
    uint64_t before = members[0].got;
    close(deaf->fd);
    wait_for_announcement(before);
}

static void obey(void)
{
    char line[200];
    int number, at_once;
    double seconds;
    uint64_t window;
    setvbuf(stdout, NULL, _IOLBF, 0);
    poller = epoll_create1(EPOLL_CLOEXEC);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "join %d %d", &number, &at_once) == 2)
            join(number, at_once);
        else if (sscanf(line, "single %d %lf", &number, &seconds) == 2)
            single(number, seconds / 1000);
        else if (sscanf(line, "lines %d", &number) == 1)
            lines(number);
        else if (sscanf(line, "talk %d %lf %lu", &number, &seconds, &window) == 3)
            talk(number, seconds, window);
        else if (!strcmp(line, "deaf\n"))
            stop_reading();
        else if (!strcmp(line, "gone\n") && deaf)
            go_away();
        else
            fail("what is %s", line);
    }
}

/* The ceiling. It reads, and writes to all others; who does not take it stops everything. */

#define TAIL 200 /* of a line that a read ended in: lines stay whole */
static struct {
    char at[TAIL];
    ssize_t length;
} tails[MEMBERS + 100];
static int others[MEMBERS];

static void leave(int fd)
{
    for (int i = 0; i < count; i++)
        if (others[i] == fd)
            others[i] = others[--count];
    close(fd);
}

static void fan_out(int fd)
{
    ssize_t kept = tails[fd].length;
    memcpy(buffer, tails[fd].at, kept);
    ssize_t length = recv(fd, buffer + kept, 64 * 1024, MSG_DONTWAIT);
    if (length <= 0) {
        leave(fd);
        return;
    }
    length += kept;
    char *end = memrchr(buffer, '\n', length);
    ssize_t whole = end ? end + 1 - buffer : 0;
    if (length - whole > TAIL)
        fail("a line of more than %d bytes", TAIL);
    tails[fd].length = length - whole;
    memcpy(tails[fd].at, buffer + whole, length - whole);
    for (int i = 0; i < count; i++)
        for (ssize_t done = 0; done < whole && others[i] != fd;) {
            ssize_t sent = send(others[i], buffer + done, whole - done, MSG_NOSIGNAL);
            if (sent < 0)
                break; /* it has gone, and its next read says so */
            done += sent;
        }
}

static void serve(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event events[1024], event = {.events = EPOLLIN};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 100))
        fail("cannot listen: %s", strerror(errno));
    poller = epoll_create1(EPOLL_CLOEXEC);
    event.data.fd = listener;
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int found = epoll_wait(poller, events, 1024, -1);
        for (int i = 0; i < found; i++) {
            if (events[i].data.fd != listener) {
                fan_out(events[i].data.fd);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd < 0)
                continue;
            if (count == MEMBERS || fd >= MEMBERS + 100) {
                close(fd);
                continue;
            }
            tails[fd].length = 0;
            others[count++] = fd;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            event.data.fd = fd;
            epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
            dprintf(fd, "! welcome\n");
        }
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (argc != 3)
        fail("usage: room_load serve PORT, or room_load PORT[,PORT...] plain|irc");
    if (!strcmp(argv[1], "serve")) {
        port = atoi(argv[2]);
        serve();
    }
    for (char *part = strtok(argv[1], ","); part && hosts < HOSTS; part = strtok(NULL, ","))
        ports[hosts++] = atoi(part);
    irc = !strcmp(argv[2], "irc");
    obey();
    return 0;
}
