// SPDX-License-Identifier: MIT
/* A connection each ─► its length and the question ─► the same of the answer. */
#include "session/dns_exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/bytes.h"

enum { HEAD = DNS_EXCHANGE_HEAD };

void dns_exchange_end(struct dns_exchange *x)
{
	if (x->dial && *x->egress)
		x->dial->egress->ops->abandon(x->dial);
	if (x->watch.added)
		loop_close(x->loop, &x->watch);
	free(x->answer);
	*x = (struct dns_exchange){ .on_answer = x->on_answer };
}

static void give_up(struct dns_exchange *x)
{
	dns_exchange_end(x);
	x->on_answer(x, NULL, 0);
}

/* Returns what recv() does. */
static ssize_t read_some(struct dns_exchange *x)
{
	uint8_t *place = x->answer ? x->answer + x->at - HEAD : x->head + x->at;
	ssize_t n = recv(x->watch.fd, place, (x->answer ? x->answer_len + HEAD : HEAD) - x->at, MSG_DONTWAIT);

	if (n > 0)
		x->at += (size_t)n;
	if (n > 0 && !x->answer && x->at == HEAD) {
		x->answer_len = get16(x->head);
		x->answer = x->answer_len ? malloc(x->answer_len) : NULL;
		if (!x->answer)
			return 0;
	}
	return n;
}

static ssize_t send_some(struct dns_exchange *x)
{
	ssize_t n = send(x->watch.fd, x->message + x->at, x->len - x->at, MSG_DONTWAIT | MSG_NOSIGNAL);

	x->at += n > 0 ? (size_t)n : 0;
	if (x->at == x->len) {
		x->asked = true;
		x->at = 0;
		return loop_rewatch(x->loop, &x->watch, EPOLLIN) < 0 ? 0 : n;
	}
	return n;
}

static void on_connection(struct watch *w, uint32_t ready)
{
	struct dns_exchange *x = container_of(w, struct dns_exchange, watch);
	ssize_t n = x->asked ? read_some(x) : send_some(x);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		give_up(x);
	} else if (x->answer && x->at == HEAD + x->answer_len) {
		loop_close(x->loop, w);
		x->on_answer(x, x->answer, x->answer_len);
	}
}

static void on_dialed(void *arg, int error)
{
	struct dns_exchange *x = arg;
	struct dial *dial = x->dial;
	int fd;

	x->dial = NULL;
	fd = error ? -1 : egress_dial_take(dial);
	if (fd >= 0 && loop_watch(x->loop, &x->watch, fd, EPOLLOUT, on_connection) == 0)
		return;
	if (fd >= 0)
		close(fd);
	give_up(x);
}

void dns_exchange_start(struct dns_exchange *x, struct loop *loop, struct egress **egress, const struct endpoint *server, const uint8_t *message,
			size_t len)
{
	const struct endpoint any = { .ip = ip_is_v4(&server->ip) ? IP_ANY4 : IP_ANY6 };
	int error;

	*x = (struct dns_exchange){ .on_answer = x->on_answer, .loop = loop, .egress = egress, .message = message, .len = len };
	error = *egress ? (*egress)->ops->dial(*egress, &any, server, on_dialed, x, &x->dial) : ENETUNREACH;
	if (error != EINPROGRESS)
		on_dialed(x, error);
}
