// SPDX-License-Identifier: MIT
/* What exec.c (the handshake) and exec_stream.c (what follows) share. */
#pragma once

#include <sys/uio.h>

#include "kube/connection.h"
#include "kube/exec.h"
#include "kube/websocket.h"

/* A message of this size gets nearly all the throughput that there is; the server takes larger ones. */
enum { EXEC_MESSAGE = 65536, EXEC_IN = 131072, EXEC_PIECES = 64 };
enum { EXEC_CONTROL = 2 * (WEBSOCKET_HEADER_MAX + WEBSOCKET_CONTROL_MAX), EXEC_MASKS = 4096 };

struct kube_exec {
	struct kube *kube;
	CURL *handle;
	struct curl_slist *headers;
	int sock; /* libcurl's */
	const char *namespace; /* of the pod, while it is opened */
	bool closes_stdin; /* v5.channel.k8s.io: 255, 0 ends the command's input */

	struct loop *loop;
	const struct kube_exec_events *events;
	void *arg;
	int local;
	struct watch sock_watch, local_watch;
	struct deferred end;
	struct error why;
	bool local_ended, local_gone, ended, broke;

	uint8_t in[EXEC_IN];
	size_t in_at, in_len;
	struct websocket_decoder decoder;
	int channel; /* of the message that is coming; -1: its first byte is still to come */
	struct iovec pending[EXEC_PIECES]; /* in @in: what the local side has not taken yet, from @pending_at on */
	size_t pending_at, pending_n;
	char status[16384]; /* the Status of the end */
	size_t status_len;
	bool has_status, closed; /* what ends it came, and waits until the local side has taken what came before */

	uint8_t out[WEBSOCKET_HEADER_MAX + 1 + EXEC_MESSAGE];
	size_t out_at, out_len;
	uint8_t control[EXEC_CONTROL]; /* frames that go before the next message */
	size_t control_len;
	uint8_t masks[EXEC_MASKS];
	size_t masks_at;
};
