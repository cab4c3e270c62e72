// SPDX-License-Identifier: MIT
/* Records over a byte stream and back, through two of them as both sides of a tunnel have them: boundaries, empty records, ends, limits, and
 * streams cut at every place. */
#include "relay/records.h"

#include <sys/ioctl.h>

#include "loop_thread.h"
#include "net/bytes.h"
#include "peers.h"
#include "tap.h"

static struct list all;

struct start {
	int packets, stream;
};

static void start(void *arg)
{
	const struct start *s = arg;

	records_start(loop, s->packets, s->stream, &all);
}

static void count(void *arg)
{
	int n = 0;

	for (struct list *l = all.next; l != &all; l = l->next)
		n++;
	*(int *)arg = n;
}

static int running(void)
{
	int n;

	for (int i = 0; i < 5000; i++) {
		on_loop(count, &n);
		if (!n)
			break;
		usleep(1000);
	}
	return n;
}

/* A SOCK_SEQPACKET peer; *ret_stream is the byte stream behind it. */
static int one(int *ret_stream)
{
	int packets[2], stream[2];
	struct start s;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) < 0)
		abort();
	s = (struct start){ packets[1], stream[1] };
	on_loop(start, &s);
	set_patience(packets[0]);
	set_patience(stream[0]);
	*ret_stream = stream[0];
	return packets[0];
}

/* Two peers; what is between them is as between a program and a server. */
static void both(int peers[2])
{
	int streams[2], packets[2];
	struct start s;

	for (int i = 0; i < 2; i++)
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets) < 0)
			abort();
		else
			peers[i] = packets[0], streams[i] = packets[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, packets) < 0)
		abort();
	for (int i = 0; i < 2; i++) {
		s = (struct start){ streams[i], packets[i] };
		on_loop(start, &s);
		set_patience(peers[i]);
	}
}

static void test_boundaries(void)
{
	static const size_t lengths[] = { 1, 0, 5, 100000, 0, 1, 200000, 3 };
	enum { N = sizeof(lengths) / sizeof(lengths[0]) };
	static char data[200000], got[300000];
	int peers[2], wrong = 0;

	both(peers);
	for (int from = 0; from < 2; from++) {
		for (size_t i = 0; i < N; i++) {
			memset(data, 'a' + (int)i, sizeof(data));
			wrong += send(peers[from], data, lengths[i], 0) != (ssize_t)lengths[i];
			wrong += recv(peers[!from], got, sizeof(got), 0) != (ssize_t)lengths[i] || memcmp(got, data, lengths[i]) != 0;
		}
	}
	tap_int(wrong, 0, "records keep their boundaries, both ways");
	shutdown(peers[0], SHUT_WR);
	tap_int(read_outcome(peers[1]), 0, "a half-close passes");
	tap_ok(send(peers[1], "late", 4, 0) == 4 && recv(peers[0], got, 9, 0) == 4, "and the other way is still open");
	close(peers[1]);
	tap_int(read_outcome(peers[0]), 0, "the other end");
	close(peers[0]);
	tap_int(running(), 0, "then all is over");
}

static void test_close(void)
{
	char got[8];
	int peers[2];

	both(peers);
	for (int i = 0; i < 20; i++)
		send(peers[0], "last", 4, 0);
	close(peers[0]);
	for (int i = 0; i < 20; i++)
		if (recv(peers[1], got, sizeof(got), 0) != 4)
			tap_ok(false, "record %d before a close arrives", i);
	tap_int(read_outcome(peers[1]), 0, "a close is an end behind all records");
	tap_int(running(), 0, "and all is over, whether the other one closes or not");
	tap_ok(send(peers[1], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "who still sends gets EPIPE");
	close(peers[1]);
}

/* One that doesn't read stops the other one, and nothing is lost. */
static void test_slow(void)
{
	static char data[5000];
	int peers[2], sent = 0, got = 0;

	both(peers);
	fd_set_nonblocking(peers[0], true);
	for (int idle = 0; idle < 50;) {
		if (send(peers[0], data, sizeof(data), 0) > 0)
			sent++, idle = 0;
		else
			usleep(1000), idle++;
	}
	tap_ok(sent > 10 && sent < 4000, "%d records wait somewhere", sent);
	shutdown(peers[0], SHUT_WR);
	while (recv(peers[1], data, sizeof(data), 0) == (ssize_t)sizeof(data))
		got++;
	tap_int(got, sent, "all of them arrive");
	close(peers[0]);
	close(peers[1]);
	tap_int(running(), 0, "all is over");
}

static void test_splits(void)
{
	static const char stream[] = "\0\0\0\3abc" "\0\0\0\0" "\0\0\0\1d";
	size_t len = sizeof(stream) - 1;
	int wrong = 0, other, peer = one(&other);
	char got[8];

	for (size_t cut = 0; cut <= len; cut++) {
		wrong += cut && send(other, stream, cut, 0) != (ssize_t)cut;
		usleep(1000);
		wrong += cut < len && send(other, stream + cut, len - cut, 0) != (ssize_t)(len - cut);
		wrong += recv(peer, got, sizeof(got), 0) != 3 || memcmp(got, "abc", 3) != 0;
		wrong += recv(peer, got, sizeof(got), 0) != 0;
		wrong += recv(peer, got, sizeof(got), 0) != 1 || got[0] != 'd';
	}
	tap_int(wrong, 0, "a stream that is cut anywhere");
	send(peer, "xyz", 3, 0);
	send(peer, "", 0, 0);
	tap_ok(recv(other, got, 8, MSG_WAITALL) == 8 && memcmp(got, "\0\0\0\3xyz\0", 8) == 0, "records as bytes");
	close(other);
	close(peer);
	tap_int(running(), 0, "all is over");
}

/* A stream that breaks the rules ends the connection. */
static void test_broken(void)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
	} rows[] = { { "a record that is too long", "\0\x10\0\1", 4 },
		     { "an end within a length", "\0\0", 2 },
		     { "an end within a record", "\0\0\0\3ab", 6 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int other, peer = one(&other);

		send(other, rows[i].bytes, rows[i].len, 0);
		shutdown(other, SHUT_WR);
		tap_int(read_outcome(peer), 0, "%s: the end", rows[i].name);
		tap_int(running(), 0, "%s: all is over", rows[i].name);
		close(other);
		close(peer);
	}
}

static void end_all(void *arg)
{
	records_end_all(&all);
}

int main(void)
{
	int before, other, peer;

	list_init(&all);
	loop_thread_start();
	before = open_descriptors();
	test_boundaries();
	test_close();
	test_slow();
	test_splits();
	test_broken();
	peer = one(&other);
	on_loop(end_all, NULL);
	tap_int(read_outcome(peer), 0, "ended by the owner");
	close(peer);
	close(other);
	tap_int(open_descriptors(), before, "no descriptor is left");
	loop_thread_stop();
	return tap_done();
}
