// SPDX-License-Identifier: MIT
/* Capture streams.
 *
 *   ring ─► records ─► unix socket ─► bridge ─► stream
 *   (the process)                     (the agent)
 *
 * What the session doesn't take in time is lost and counted; the ring is emptied at any time. When the session has said its end, what the
 * kernel still holds back follows, the last count, and the stream ends. */
#include "agent/capture_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/children.h"
#include "agent/layout.h"
#include "agent/mirror_process.h"
#include "agent/ring.h"
#include "base/fd.h"
#include "base/log.h"
#include "capture/filter.h"
#include "capture/record.h"
#include "net/sock_diag.h"
#include "relay/backlog.h"
#include "relay/bridge.h"

enum { OUT = 3, OUT_MAX = 8 << 20, BLOCKS_A_TURN = 4, PORTS = 65536 };
#define LOST_STEP LOOP_SECOND
#define LAST_PACKETS (2 * (uint64_t)RING_RETIRE_MS * LOOP_MS)

/* The process. */

struct taker {
	struct loop *loop;
	struct watch out, packets;
	struct timer lost_timer, end_timer;
	struct ring *ring;
	int ring_fd;
	uint8_t request[CAPTURE_REQUEST_MAX];
	size_t request_len;
	struct backlog backlog;
	uint64_t lost;
	bool asked, ending;
};

static void update_interest(struct taker *t)
{
	loop_rewatch(t->loop, &t->out, (t->ending || t->end_timer.index ? 0 : EPOLLIN) | (backlog_len(&t->backlog) ? EPOLLOUT : 0));
}

static void flush(struct taker *t)
{
	while (backlog_len(&t->backlog)) {
		ssize_t n = send(OUT, backlog_first(&t->backlog), backlog_len(&t->backlog), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
			_exit(0);
		if (n < 0)
			break;
		backlog_take(&t->backlog, (size_t)n);
	}
	if (t->ending && !backlog_len(&t->backlog))
		_exit(0);
	update_interest(t);
}

/* False when there is no room for it. */
static bool put(struct taker *t, const struct record *r)
{
	uint8_t header[RECORD_HEADER];

	if (backlog_len(&t->backlog) + sizeof(header) + r->len > OUT_MAX)
		return false;
	record_encode_header(r, header);
	if (!backlog_add(&t->backlog, header, sizeof(header)) || !backlog_add(&t->backlog, r->data, r->len))
		_exit(1);
	return true;
}

static void put_lost(struct taker *t)
{
	struct record r = { .kind = RECORD_LOST };

	t->lost += t->ring_fd >= 0 ? ring_lost(t->ring_fd) : 0;
	r.wire_len = t->lost > UINT32_MAX ? UINT32_MAX : (uint32_t)t->lost;
	if (t->lost && put(t, &r))
		t->lost = 0;
}

static void on_lost(struct timer *timer)
{
	struct taker *t = container_of(timer, struct taker, lost_timer);

	put_lost(t);
	flush(t);
	loop_arm(t->loop, timer, loop_now(t->loop) + LOST_STEP);
}

static void finish(struct taker *t)
{
	t->ending = true;
	put_lost(t);
	flush(t);
}

static void on_ring_packet(void *arg, const struct ring_packet *p)
{
	struct taker *t = arg;
	const struct record r = { .kind = RECORD_PACKET, .type = p->type, .summed = p->summed, .hatype = p->hatype, .link = p->link,
				  .wire_len = (uint32_t)p->wire_len, .time = p->time, .data = p->data, .len = p->len };

	if (!put(t, &r))
		t->lost++;
}

static void on_end(struct timer *timer)
{
	struct taker *t = container_of(timer, struct taker, end_timer);

	while (ring_read(t->ring, BLOCKS_A_TURN, on_ring_packet, t))
		;
	finish(t);
}

/* No more is asked for. */
static void end_soon(struct taker *t)
{
	loop_rewatch(t->loop, &t->out, 0);
	if (!t->ring) {
		finish(t);
		return;
	}
	t->end_timer.on_due = on_end;
	loop_arm(t->loop, &t->end_timer, loop_now(t->loop) + LAST_PACKETS);
}

static void fail(struct taker *t, const struct error *err)
{
	char text[sizeof(err->text) + sizeof(err->hint)];
	int n = snprintf(text, sizeof(text), "%s", err->text) + 1;

	n += snprintf(text + n, sizeof(text) - (size_t)n, "%s", err->hint);
	put(t, &(struct record){ .kind = RECORD_ERROR, .data = (const uint8_t *)text, .len = (size_t)n });
	finish(t);
}

static void on_ring(struct watch *w, uint32_t events)
{
	struct taker *t = container_of(w, struct taker, packets);

	ring_read(t->ring, BLOCKS_A_TURN, on_ring_packet, t);
	flush(t);
}

/* Ports of UDP sockets that a client's kernel chose are no service's. */
static bool is_ephemeral(uint16_t port)
{
	static unsigned int low = 32768, high = 60999;
	static bool known;
	FILE *f = known ? NULL : fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned int l, h;

	known = true;
	if (f && fscanf(f, "%u %u", &l, &h) == 2) {
		low = l;
		high = h;
	}
	if (f)
		fclose(f);
	return port >= low && port <= high;
}

struct finding {
	bool there[PORTS];
	bool skip_ephemeral;
};

static void note_port(void *arg, const struct diag_socket *s)
{
	struct finding *f = arg;

	if (s->local.port && !s->remote.port && !(f->skip_ephemeral && is_ephemeral(s->local.port)))
		f->there[s->local.port] = true;
}

/* What the target listens on now. */
static int find_ports(struct capture_request *request, struct error *err)
{
	static const uint8_t protocols[CAPTURE_PROTOCOLS] = { [CAPTURE_TCP] = IPPROTO_TCP, [CAPTURE_UDP] = IPPROTO_UDP };
	static struct finding found;
	struct sock_diag *d = sock_diag_open(err);
	int rc = 0;

	for (int p = 0; d && rc == 0 && p < CAPTURE_PROTOCOLS; p++) {
		memset(&found, 0, sizeof(found));
		found.skip_ephemeral = p == CAPTURE_UDP;
		rc = sock_diag_list_services(d, protocols[p], note_port, &found);
		for (uint32_t i = 1; i < PORTS && request->n[0] + request->n[1] < CAPTURE_REQUEST_PORTS; i++)
			if (found.there[i])
				request->ports[p][request->n[p]++] = (uint16_t)i;
	}
	sock_diag_close(d);
	if (rc < 0)
		error_set(err, -rc, "ask for what the target listens on");
	if (rc == 0 && d && request->n[0] + request->n[1] == 0) {
		rc = error_set(err, 0, "the target listens on no port");
		error_hint(err, "name the ports that it will listen on: -p PORT");
	}
	return d && rc == 0 ? 0 : -1;
}

static int compare_ports(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static int start_taking(struct taker *t, struct capture_request *request, struct error *err)
{
	static struct sock_filter program[BPF_MAXINSNS];
	/* What the agent itself sends to the target's program, in a client's name, has come from that client before. */
	struct capture_plan plan = { .answers = { CAPTURE_WHOLE, CAPTURE_WHOLE }, .skip_mark = AGENT_MARK };
	size_t n;

	if (request->n[0] + request->n[1] == 0 && find_ports(request, err) < 0)
		return -1;
	for (int p = 0; p < CAPTURE_PROTOCOLS; p++) {
		qsort(request->ports[p], request->n[p], sizeof(uint16_t), compare_ports);
		plan.ports[p] = request->ports[p];
		plan.n[p] = request->n[p];
	}
	n = capture_filter(&plan, program);
	t->ring_fd = ring_open("showing packets", err);
	if (t->ring_fd < 0 || ring_make(t->ring_fd, err) < 0 || !(t->ring = ring_map(t->ring_fd, err)) || ring_bind(t->ring_fd, err) < 0 ||
	    ring_filter(t->ring_fd, program, n, err) < 0)
		return -1;
	if (loop_watch(t->loop, &t->packets, t->ring_fd, EPOLLIN, on_ring) < 0)
		return error_set(err, ENOMEM, "watch the ring");
	t->lost_timer.on_due = on_lost;
	return loop_arm(t->loop, &t->lost_timer, loop_now(t->loop) + LOST_STEP);
}

static void on_request(struct taker *t, struct capture_request *request)
{
	uint8_t ports[CAPTURE_REQUEST_MAX];
	struct error err = { 0 };

	t->asked = true;
	if (start_taking(t, request, &err) < 0) {
		fail(t, &err);
		return;
	}
	put(t, &(struct record){ .kind = RECORD_PORTS, .data = ports, .len = capture_request_encode(request, ports) });
	flush(t);
}

/* The request, and then the end. */
static void on_out(struct watch *w, uint32_t events)
{
	static struct capture_request request;
	struct taker *t = container_of(w, struct taker, out);
	ssize_t n;
	int rc;

	if (events & EPOLLOUT)
		flush(t);
	if (events & (EPOLLHUP | EPOLLERR)) /* nobody reads any more */
		_exit(0);
	if (!(events & EPOLLIN))
		return;
	n = recv(OUT, t->request + t->request_len, sizeof(t->request) - t->request_len, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		end_soon(t);
		return;
	}
	t->request_len += (size_t)n;
	rc = t->asked ? -1 : capture_request_decode(t->request, t->request_len, &request);
	if (rc < 0)
		_exit(1);
	if (rc > 0)
		on_request(t, &request);
}

static _Noreturn void run(void)
{
	static struct taker t = { .ring_fd = -1 };
	struct error err = { 0 };

	mirror_process_settle();
	t.loop = loop_new(&err);
	if (!t.loop || loop_watch(t.loop, &t.out, OUT, EPOLLIN, on_out) < 0)
		_exit(1);
	loop_run(t.loop, &err);
	_exit(1);
}

/* The agent. */

struct capture_streams {
	struct loop *loop;
	struct children processes;
	struct list bridges;
};

struct capture_streams *capture_streams_new(struct loop *loop)
{
	struct capture_streams *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	all->loop = loop;
	children_init(&all->processes, loop);
	list_init(&all->bridges);
	return all;
}

void capture_streams_free(struct capture_streams *all)
{
	if (!all)
		return;
	bridge_reset_all(&all->bridges);
	children_fini(&all->processes);
	free(all);
}

/* Forks one; *ret_sock is our end of its socket. Returns 0 or an errno. */
static int start_process(struct capture_streams *all, int *ret_sock)
{
	int sock = -1, kept;
	pid_t pid = fd_fork_connected("mirrord-mirror", SOCK_STREAM | SOCK_NONBLOCK, &kept, 1, &sock);

	if (pid == 0)
		run();
	if (pid < 0 || children_add(&all->processes, pid) < 0) {
		fd_closep(&sock); /* which ends the process, too */
		return ENOMEM;
	}
	*ret_sock = sock;
	return 0;
}

static const struct stream_events no_events = { 0 };

void capture_streams_open(struct capture_streams *all, struct stream *s)
{
	int sock, error = all->processes.n >= CAPTURE_STREAMS ? ENOBUFS : start_process(all, &sock);

	if (error) {
		stream_reset(s, error);
		return;
	}
	stream_accept(s, &no_events, NULL);
	bridge_start(all->loop, s, sock, NULL, false, &all->bridges);
}
