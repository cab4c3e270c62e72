// SPDX-License-Identifier: MIT
/* Shared by port.c (a port's life), datagram.c (what goes over its socket) and echo.c (the ICMP header). */
#pragma once

#include "relay/sockets_internal.h"

struct socket_port {
	struct port port;
	struct list node; /* in the egress's ports */
	struct waiter waiter;
	struct watch watch;
	struct endpoint local; /* as wished; an echo port's port is the program's identifier */
	const struct port_events *events;
	void *arg;
	struct list queue; /* datagrams that came before a socket did */
	size_t n_queued, queued_bytes;
	size_t train_max; /* longest datagrams that the kernel takes a train of, as far as we know */
	int fd; /* -1 while waiting */
	uint16_t wire_id; /* the identifier on the wire: 0 where the kernel sees to it */
	uint8_t kind;	  /* enum port_kind */
	bool raw, may_fragment; /* what the socket sends may be cut on its way: "don't fragment" is off */
};

/* port.c: the errno of a datagram that send has taken comes as the ICMP error that makes the same; EMSGSIZE with the link's MTU. */
void port_report(struct socket_port *p, const struct endpoint *to, const uint8_t *data, size_t len, int error);

/* One datagram that came, in the egress's mailbox. */
struct arrival {
	struct endpoint peer;
	struct packet_marks marks;
	uint8_t *data;
	size_t len;
};

/* datagram.c */
struct mailbox;
struct mailbox *mailbox_new(void);
void mailbox_free(struct mailbox *m);
/* Sends one datagram, with @head (may be empty) before @data. Returns 0 (also when dropped because of load) or an errno. */
int datagram_send(int fd, const struct endpoint *to, struct packet_marks marks, const void *head, size_t head_len,
		  const void *data, size_t len);
/* Sends datagrams of @segment bytes each, the last may be shorter, that lie in @data one after the other. Returns as above. */
int datagram_send_train(int fd, const struct endpoint *to, struct packet_marks marks, const void *data, size_t len, size_t segment);
/* "Don't fragment" off or on (as a new socket has it), for what is sent next. What the network then says of the path's MTU comes as an error; the
 * kernel's own memory of it is not asked. Returns 0, or -1 with errno. */
int datagram_let_fragment(int fd, int family, bool may);
/* Connects @fd, and returns how long a packet to @to may be; 0: can't be told. */
uint32_t datagram_path_mtu(int fd, const struct endpoint *to);
/* Receives up to MAILBOX_BATCH datagrams of @fd, valid until the next call. Returns how many. */
enum { MAILBOX_BATCH = 32 };
size_t datagram_receive(struct mailbox *m, int fd, struct arrival ret[MAILBOX_BATCH]);
/* The next ICMP error that came for a datagram of @fd's; ret->peer is where that went, ret->data what is quoted of it. */
bool datagram_receive_error(struct mailbox *m, int fd, struct arrival *ret, struct icmp_error *ret_error);

/* echo.c: between the form that egress_ops.send describes and ICMP. */
enum { ECHO_HEAD = 6 };
/* The first bytes of an echo request up to and with the identifier; @data (@len ≥ 4) is what send was given. */
void echo_head(const struct socket_port *p, const uint8_t *data, size_t len, uint8_t ret[ECHO_HEAD]);
/* Makes a received message what on_datagram gives. False: it is no reply to this port's. */
bool echo_unwrap_reply(const struct socket_port *p, struct arrival *a);
/* Makes the quoted request of an error what on_error gives. False: it is another's. */
bool echo_unwrap_error(const struct socket_port *p, struct arrival *a);
