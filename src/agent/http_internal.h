// SPDX-License-Identifier: MIT
/* One HTTP connection and its ends. Internal to http_*.c; http_conn.c says how it lives. */
#pragma once

#include "agent/http.h"
#include "agent/tls_codec.h"
#include "http/h1_wait.h"
#include "http/h2.h"
#include "http/h2c.h"
#include "http/jq_program.h"
#include "http/marks.h"
#include "http/options.h"
#include "relay/backlog.h"
#include "relay/sockets.h"

enum {
	HTTP_BUFFER = 512 << 10,   /* one read */
	HTTP_LEAN = 32 << 10,	   /* the same while more than HTTP_KEPT bytes are kept in all */
	HTTP_KEPT = 64 << 20,
	HTTP_TURN = 1 << 20,	   /* bytes of one side before others have their turn */
	HTTP_PIPELINE = 32,	   /* requests of one connection that wait for their answer */
	HTTP_LINGER_MS = 2000,	   /* what a client still sends after it was told 502 */
	HTTP_QUIET_MS = 100,	   /* a connection that nobody filters any more has to be quiet so long to be ended */
	HTTP_BUSY_MS = 8000,	   /* it is ended between two requests then; the agent may go 2 s later (CLIENT_DRAIN_S) */
	HTTP_IDLE_MS = 3000,	   /* a connection to a program is kept so long, or up to twice as long, without use */
};

struct tls_link;

struct http_port {
	struct loop *loop;
	struct list takers, conns;
	struct timer idle, leave;
	uint64_t leave_until; /* when those that are busy are ended, too */
	unsigned int refs; /* the owner's, one for each connection, one for each taker */
};

struct http_taker {
	struct list node; /* in the port's takers, while it isn't gone */
	struct http_port *port;
	struct http_filter *filter;
	struct http_settings settings;
	const struct http_taker_ops *ops;
	void *arg;
	unsigned int refs;
	struct http_filter_trouble told; /* of the filter's trouble, counted already */
};

/* One socket. */
struct http_end {
	struct watch watch; /* fd -1: not there */
	struct tls_codec *tls; /* NULL: none */
	struct socket_tie tie; /* to the egress that it came by */
	struct backlog out; /* what it didn't take yet */
	bool readable, more, ended, broken, in_peace;
	bool lost; /* with its egress; broken, too */
	size_t turn;
};

/* A connection to the app (no taker) or to a session's program. */
struct http_upstream {
	struct http_end end;
	struct list node;
	struct http_conn *conn;
	struct http_taker *taker;
	struct dial *dial;
	int failed; /* the errno of the dial */
	struct h2_link *link; /* of HTTP/2 */
	bool greeted, proven; /* a session's program was sent how HTTP/2 begins, and has answered in it */
	struct http_gateway *gateway; /* it hasn't, and gets HTTP/1 */
	/* The answer that comes. */
	struct backlog held; /* a head that is not complete; of HTTP/2, how it begins, until the program is proven */
	struct h1_scan scan;
	struct h1_body body;
	bool in_body, begun;
	bool rested; /* unused since the last look (http_idle.c) */
};

enum http_stage {
	HTTP_SNIFFS,
	HTTP_DIVIDES,	 /* HTTP/1, message by message */
	HTTP_MULTIPLEXES, /* HTTP/2, stream by stream */
	HTTP_RELAYS,  /* to `current` for good, as soon as what is kept has gone out */
	HTTP_LINGERS, /* told 502, or that its HTTP/2 is over, until the client has heard it */
	HTTP_OVER,
};

/* When no filter is there any more (http_leave.c): it ends when it is quiet; at once, when nothing is on its way. */
enum http_leaving { HTTP_STAYS, HTTP_LEAVES, HTTP_GOES };

struct http_conn {
	struct http_port *port;
	struct list node, of_all;
	struct http_end client;
	struct http_peers peers;
	struct list upstreams;
	struct http_upstream *current; /* where the last request went; before the first, where all goes that no filter wants */
	struct backlog held;	       /* the client's bytes that were not forwarded yet */
	struct timer timer;
	struct deferred reap;
	enum http_stage stage;
	/* The request that comes. */
	struct h1_scan scan;
	struct h1_message request;
	struct h1_body body;
	uint32_t head_len;
	bool in_body;
	bool behind_last; /* what comes belongs to the last request's server, whatever it is */
	bool starved;	  /* `held` isn't enough to go on with */
	struct h1_wait wait;			     /* for the body of the request at the start of `held` */
	bool wants_body, gave_up_body, own_continue; /* for a filter; we said 100, so the server's isn't passed on */
	struct jq_answers answers;
	struct deferred answered;
	bool asked, asking; /* jq programs about it; not all of them have answered */
	/* Decided is where the request at the start of `held` goes; when it is unsafe, all that follows goes there, too. */
	bool decided, unsafe, tried; /* … and a connection to there was asked for */
	struct http_taker *wanted; /* NULL: no filter's */
	bool kept;		   /* and not that of who takes the rest, either */
	/* Requests that `current` has not answered. */
	uint8_t waiting[HTTP_PIPELINE];
	uint8_t first, n_waiting;
	uint8_t h2c[H2C_SETTINGS]; /* it asks for HTTP/2, with these settings: h2c_len bytes, or -1 */
	int8_t h2c_len;
	bool upgrading; /* the last of them asks for another protocol: what follows depends on the answer */
	/* The answer that comes is the last of a program that may have no other request. With unclear, only the client knows where it ends. */
	bool closing, unclear;
	bool shut;
	enum http_leaving leaving;
	bool quiet; /* since the last look of those who leave */
	struct h2 *h2;
};

/* What an answer depends on. */
enum { HTTP_WAITS_HEAD = 1, HTTP_WAITS_CONNECT = 2, HTTP_WAITS_LAST = 4 };

extern uint8_t http_buffer[HTTP_BUFFER];

/* http_end.c. Both own what they are given; -errno. @tls may be NULL. What was written before goes out. */
int http_end_open(struct http_conn *c, struct http_end *e, int fd, struct tls_codec *tls, void (*on_ready)(struct watch *, uint32_t));
int http_end_take(struct http_conn *c, struct http_end *e, struct dial *d, void (*on_ready)(struct watch *, uint32_t));
/* For somebody else to go on with, in the clear. A descriptor or -errno; the end is not there any more. With TLS there is a link behind it. */
int http_end_take_fd(struct http_conn *c, struct http_end *e, struct tls_link **ret_link);
/* An end of @from's is @to's end now. One without TLS's own end may be a cut; then @to ends so, too. */
void http_end_as(const struct http_end *from, struct http_end *to);
/* When it is closed, which is a reset otherwise, there will be a plain end; with TLS what is kept goes out before that. @brief: the kernel is to
 * wait for the peer's word on that, and for its own end, for a second only. */
void http_end_in_peace(struct http_end *e, bool brief);
void http_end_close(struct http_conn *c, struct http_end *e);
/* Says that nothing follows. False: not yet, what is kept has to go first. */
bool http_end_shut(struct http_conn *c, struct http_end *e);
/* Takes note of what an event says. */
void http_end_note(struct http_end *e, uint32_t events);
/* One read into http_buffer. Bytes, 0 when there is nothing now (or the end, or an error: see the flags). */
size_t http_end_read(struct http_conn *c, struct http_end *e);
/* Sends, or keeps what doesn't go now. A broken end takes anything. */
void http_end_write(struct http_conn *c, struct http_end *e, const void *data, size_t len);
void http_end_flush(struct http_conn *c, struct http_end *e);
/* All that is kept anywhere goes through these. False without memory. */
bool http_keep(struct backlog *b, const void *data, size_t len);
void http_kept_take(struct backlog *b, size_t len);

/* Is there anything to read, an end included? http_buffer stays as it is. */
bool http_end_has_something(struct http_conn *c, struct http_end *e);
/* As recv() with MSG_PEEK. */
ssize_t http_end_peek(struct http_conn *c, struct http_end *e, uint8_t *data, size_t room);

/* http_conn.c */
void http_run(struct http_conn *c);
/* Between two requests, as far as it is known. */
bool http_is_idle(const struct http_conn *c);
/* From here on it is a connection to @u and nothing more; what is kept for it goes first. NULL: to where all goes that no filter wants. */
void http_relay(struct http_conn *c, struct http_upstream *u);
/* Resets everything. */
void http_reset(struct http_conn *c);
/* Ends what is over. */
void http_end(struct http_conn *c);
/* Jq programs have answered. */
void http_on_answers(struct http_conn *c);
/* The same when the client may still be sending: it hears our last words first. */
void http_linger(struct http_conn *c);
/* The program can't answer: 502, or a reset when the answer has begun. */
void http_fail(struct http_conn *c, struct http_upstream *u, const char *what, int error);
void http_set_timer(struct http_conn *c, unsigned int ms);

/* http_upstream.c */
/* Where all goes that no filter wants; NULL: to the app. */
struct http_taker *http_home(const struct http_conn *c);
/* The connection to a taker's program, or with NULL to the app; made when there is none that is good. NULL without memory. */
struct http_upstream *http_upstream_to(struct http_conn *c, struct http_taker *t);
struct http_upstream *http_upstream_new(struct http_conn *c, struct http_taker *t);
/* It is needed no more, and hears a plain end when nothing is kept for it. */
void http_upstream_drop(struct http_upstream *u);
/* The same of one that the connection ends with: what owes an answer still is reset. */
void http_upstream_free(struct http_upstream *u);
/* Connects to a taker's program, or with NULL to the app; @alpn: as in http_peers. */
int http_dial(const struct http_peers *peers, const struct http_taker *t, struct span alpn, dial_done_fn done, void *arg,
	      struct dial **ret_dial);

/* http_requests.c, http_answers.c: true when something was done. */
bool http_take_requests(struct http_conn *c);
bool http_take_answers(struct http_conn *c);

/* http_h2.c. False without memory. */
bool http_multiplex_begin(struct http_conn *c);
/* After an upgrade that @u has granted. */
bool http_multiplex_upgraded(struct http_conn *c, struct http_upstream *u);
void http_multiplex(struct http_conn *c);
/* The link's answers get their marks. */
void http_multiplex_mark(struct http_upstream *u);

/* http_gateway.c: HTTP/2 from a link, HTTP/1 to a taker's program. NULL without memory. */
struct http_gateway *http_gateway_new(struct http_conn *c, struct http_taker *t);
void http_gateway_free(struct http_gateway *g);
/* What the link has sent already. */
void http_gateway_receive(struct http_gateway *g, const uint8_t *data, size_t len);
/* Ends connections that were idle at the last look, too. */
void http_gateway_end_idle(struct http_gateway *g);
/* True when something was done. */
bool http_gateway_move(struct http_gateway *g, struct h2_link *link);
/* The taker has gone: connections on their way are given up. True when there were any. */
bool http_gateway_recall(struct http_gateway *g);
bool http_gateway_is_broken(const struct http_gateway *g);

/* http_jq.c. A request waits for answers of jq programs. */
void http_jq_expect(struct loop *l);

/* http_idle.c. A connection to a program was made. */
void http_idle_watch(struct http_port *p);
/* Of HTTP/1: it is connected, and owes nothing. */
bool http_upstream_is_idle(const struct http_upstream *u);

/* http_leave.c. No filter is there any more. */
void http_leave(struct http_port *p);

/* http_port.c */
enum http_choice { HTTP_NOBODY, HTTP_TAKEN, HTTP_WAIT, HTTP_ASKS, HTTP_PROBE };
/* Whose the request is. HTTP_WAIT: its body must be there first. HTTP_ASKS: some of its answers. HTTP_PROBE: the app's, whoever takes the rest. */
enum http_choice http_choose(struct http_conn *c, const struct http_request *r, struct http_taker **ret);
/* Is a filter there that can match without a request? */
bool http_port_sees_connections(const struct http_port *p);
/* The one that takes what no filter wants; NULL: the app. */
struct http_taker *http_rest(const struct http_port *p);
void http_taker_ref(struct http_taker *t);
void http_taker_unref(struct http_taker *t);
/* How answers of a taker's program, or with NULL of the app, are marked. False: not at all. */
bool http_marks_of(const struct http_port *p, const struct http_taker *t, struct http_marks *ret);
/* The most that any of them wants to know of a body. */
size_t http_body_max(const struct http_port *p);
unsigned int http_body_ms(const struct http_port *p);
void http_count_all(struct http_port *p, enum counter what);
