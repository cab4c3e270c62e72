// SPDX-License-Identifier: MIT
/* HTTP/2 between one client and several servers (RFC 9113): the client's streams are routed one by one. Bytes in, bytes out: the connections
 * themselves are the caller's, who gives what they receive and sends what it is told.
 *
 * A link is one connection, to the client or to a server. A stream is a pair of halves, one on the client's link and one on a server's. What
 * one half receives is sent by the other; the credit that a peer gets is what the other has taken. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "http/marks.h"
#include "http/request.h"

struct h2;
struct h2_link;

enum h2_lack { H2_LACKS_NOTHING, H2_LACKS_BODY, H2_LACKS_ANSWERS };

struct h2_events {
	/* Whose the request is: a link, made by h2_connect() when there is none yet; NULL refuses it. With *ret_lacks it isn't known yet: it
	 * is asked again when the body is there, or with HTTP_BODY_UNKNOWN; or by h2_take_answers(). */
	struct h2_link *(*choose)(void *arg, struct http_request *r, enum h2_lack *ret_lacks);
	/* A body is waited for: until when? h2_give_up_bodies() ends it then. */
	uint64_t (*on_wait)(void *arg);
	/* Requests have answers of jq programs, which lacked them. Only to be taken note of. */
	void (*on_answers)(void *arg);
};

enum {
	H2_STREAMS = 256,	  /* of one client at a time */
	H2_LINGERING = 32,	  /* besides, such that the client is done with, while their servers still get the rest of them */
	H2_WINDOW = 256 << 10,	  /* bytes of a stream's, in each direction, that the other side didn't take yet */
	H2_RESETS = 1000,	  /* a client may reset so many streams more than it lets be answered */
};

/* Bodies are waited for up to @body_max bytes. NULL without memory. */
struct h2 *h2_new(const struct h2_events *events, void *arg, size_t body_max);
/* With all links. */
void h2_free(struct h2 *h);
struct h2_link *h2_client(struct h2 *h);
/* A link to a server. @home: the server that the client meant, whose settings it hears of. NULL without memory. */
struct h2_link *h2_connect(struct h2 *h, bool home);

/* The same with a server that was upgraded to HTTP/2, as was the client: the request that asked for it is the first stream's, and is answered
 * by this server. @settings are those that the client sent with it. NULL also when these are none. */
struct h2_link *h2_connect_upgraded(struct h2 *h, bool home, const uint8_t *settings, size_t len, bool is_head);

/* Answers of this server get these marks; what they point to stays. */
void h2_mark(struct h2_link *l, const struct http_marks *m);

/* The client is told what is possible when its home server has said what it can do, or by this when that will not be. Until then nothing of
 * the client's may be given to h2_receive(). */
void h2_greet(struct h2 *h);
bool h2_has_greeted(const struct h2 *h);

/* Takes bytes that the link's peer sent. False: the peer broke the protocol. What h2_pull() gives is to be sent still, then the connection is
 * to be closed. */
bool h2_receive(struct h2_link *l, const uint8_t *data, size_t len);
/* The next bytes to send, at most some frames; 0 when there are none now. They are valid until the next call. */
size_t h2_pull(struct h2_link *l, const uint8_t **ret_data);
/* Nothing is to be sent or received any more. */
bool h2_is_over(const struct h2_link *l);
/* It takes no more requests (GOAWAY). */
bool h2_is_leaving(const struct h2_link *l);
/* The connection is gone: requests without an answer are answered 502 with @why (NULL: reset), answers that have begun are reset, and who still
 * sends a request is told to stop. The link is freed. Returns how many clients have no whole answer. */
size_t h2_disconnect(struct h2_link *l, const char *why);
/* There are clients' requests, and all of them have no whole answer of @l's yet: when it ends, the client has nothing else to hear. */
bool h2_is_all(const struct h2_link *l);
/* The same of one to which no request was sent: each is asked about again, and may be another's. */
void h2_ask_again(struct h2_link *l);
/* No new streams; what is there is finished. */
void h2_leave(struct h2_link *l);
/* The client is told that this will follow. */
void h2_warn(struct h2_link *l);
/* Those whose time is over @now. When the next one's is; 0: none is waited for. */
uint64_t h2_give_up_bodies(struct h2 *h, uint64_t now);
void h2_take_answers(struct h2 *h);
