// SPDX-License-Identifier: MIT
/* The first bytes of a byte stream whose session isn't known yet: reads the peer's hello and nothing behind it, so that an agent with
 * several tunnels can tell which one it belongs to (mux_resumes(), mux_resume()). */
#pragma once

#include "net/loop.h"
#include "tunnel/hello.h"

/* A hello that comes in parts; zero-initialise. */
struct hello_reader {
	size_t len;
	uint8_t data[HELLO_MAX];
};
enum { HELLO_READ_FAILED = -1, HELLO_READ_MORE, HELLO_READ_WHOLE };
/* Reads from the non-blocking @fd what is there of the hello. One of the above; FAILED with the end of @fd and with other text. */
int hello_read(struct hello_reader *r, int fd, struct hello *ret);

struct greeting;

/* Called once; the greeting is gone then, and @in and @out are the owner's. @hello is NULL when none came (another text, a break, 10
 * seconds). The owner closes them or gives them on. */
typedef void (*greeting_done_fn)(void *arg, int in, int out, const struct hello *hello);

/* @in and @out may be one descriptor; they become non-blocking. NULL with errno, then they stay the caller's. */
struct greeting *greeting_new(struct loop *loop, int in, int out, greeting_done_fn done, void *arg);
/* Before it is done; closes the descriptors. */
void greeting_free(struct greeting *g);
/* Answers a session that resumes a tunnel which isn't there: a hello that doesn't resume, and CLOSE. Closes the descriptors. */
void greeting_refuse(int in, int out);
