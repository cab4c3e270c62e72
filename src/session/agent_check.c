// SPDX-License-Identifier: MIT
#include "session/agent_check.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/subscription.h"

int agent_check_ask(struct agent_check *c, const struct incoming_options *o, struct mux *mux, const uint8_t *info, size_t len, struct error *err)
{
	const struct subscription question = { .protocol = IPPROTO_TCP, .port = 1, .mode = SUBSCRIPTION_CHECK, .on_concurrent = CONCURRENT_ABORT,
					       .http_filter = (char *)o->http_filter, .http_options = (char *)o->http_options };
	size_t n = 0;
	uint8_t *data;
	int r;

	if (!o->decrypts)
		return 0;
	data = subscription_encode(&question, &n);
	c->info = malloc(len + 1);
	r = data && c->info ? mux_send_info(mux, INFO_SUBSCRIBE, data, n) : -ENOMEM;
	free(data);
	if (r < 0)
		return error_set(err, -r, "talk to the agent");
	memcpy(c->info, info, len);
	c->len = len;
	return 1;
}

int agent_check_answer(struct agent_check *c, const uint8_t *data, size_t len, struct error *err)
{
	struct subscribed answer;

	if (subscribed_decode(data, len, &answer, err) < 0)
		return -1;
	if (!error_is_set(&answer.refused))
		return 0;
	*err = answer.refused;
	return -1;
}

void agent_check_fini(struct agent_check *c)
{
	free(c->info);
	*c = (struct agent_check){ 0 };
}
