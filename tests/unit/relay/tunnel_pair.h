// SPDX-License-Identifier: MIT
/* A session's egress over a tunnel, and the agent that serves it, on one loop. */
#pragma once

#include "loop_thread.h"
#include "relay/sockets.h"
#include "relay/tunnel_egress.h"
#include "relay/tunnel_server.h"

static struct tunnel {
	struct mux *muxes[2]; /* by enum mux_role */
	struct egress *egress, *agent;
	struct tunnel_server *server;
	volatile int gone;
	int transport; /* the session's end */
} tunnel;

static void on_tunnel_open(void *arg, struct stream *s, const struct stream_request *request)
{
	tunnel_server_open(tunnel.server, s, request);
}

static void on_tunnel_gone(void *arg, const struct error *why)
{
	tunnel.gone++;
}

static const struct mux_events tunnel_events = { .on_open = on_tunnel_open, .on_gone = on_tunnel_gone };

/* @arg is the source of the agent's sockets, or NULL. */
static inline void tunnel_start(void *arg)
{
	struct error err = { 0 };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	tunnel = (struct tunnel){ .transport = fds[MUX_SESSION] };
	for (int role = 0; role < 2; role++)
		tunnel.muxes[role] = mux_new(loop, role, fds[role], fds[role], &tunnel_events, NULL, &err);
	tunnel.agent = socket_egress_new(loop, arg);
	tunnel.server = tunnel_server_new(loop, tunnel.agent);
	tunnel.egress = tunnel_egress_new(loop, tunnel.muxes[MUX_SESSION]);
	if (!tunnel.muxes[0] || !tunnel.muxes[1] || !tunnel.egress || !tunnel.server)
		abort();
}

static inline void tunnel_stop(void *arg)
{
	tunnel_egress_free(tunnel.egress);
	tunnel_server_free(tunnel.server);
	socket_egress_free(tunnel.agent);
	mux_free(tunnel.muxes[0]);
	mux_free(tunnel.muxes[1]);
}

static inline void tunnel_cut(void *arg)
{
	shutdown(tunnel.transport, SHUT_RDWR);
}

static void tunnel_count(void *arg)
{
	int *n = arg;
	size_t session = mux_stream_count(tunnel.muxes[MUX_SESSION]), agent = mux_stream_count(tunnel.muxes[MUX_AGENT]);

	*n = (int)(session > agent ? session : agent);
}

/* Streams that either side knows. */
static inline int tunnel_streams(void)
{
	int n;

	on_loop(tunnel_count, &n);
	return n;
}

/* Waits until no more than @n are left. Returns how many are, some time later at the latest. */
static inline int await_streams(int n)
{
	for (int i = 0; i < 60000 && tunnel_streams() > n; i++)
		usleep(1000);
	return tunnel_streams();
}
