// SPDX-License-Identifier: MIT
/* mirrord dump.
 *
 * The agent sends packets, and here is where they become connections (dump_flows.h): so that --pcap has them as they were, and the agent does
 * little beside the target. Ctrl-C asks the agent for its last count, and a second one doesn't wait for it. */
#include "cli/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "capture/filter.h"
#include "capture/intake.h"
#include "capture/pcap.h"
#include "capture/record.h"
#include "cli/config_options.h"
#include "cli/dump_flows.h"
#include "cli/options.h"
#include "net/loop.h"
#include "relay/backlog.h"
#include "session/link.h"
#include "target/target.h"
#include "tunnel/info.h"
#include "tunnel/mux.h"

#define LAST_WORDS (2 * LOOP_SECOND)

struct dump_options {
	struct config_options config;
	const char *pcap;
	enum dump_format format;
	struct capture_request request;
	const char *bad_port;
};

struct dump {
	const struct dump_options *options;
	struct loop *loop;
	struct link *link;
	struct stream *stream;
	struct watch signals;
	struct timer last_words;
	struct backlog input;
	struct dump_flows *flows;
	FILE *pcap;
	uint64_t packets, lost;
	bool stopping;
	struct error error;
};

/* "8080", "53/udp", "53/tcp"; without a protocol: both. */
static void set_port(void *arg, const char *value)
{
	struct dump_options *o = arg;
	char *end;
	unsigned long port = strtoul(value, &end, 10);
	bool tcp = strcmp(end, "") == 0 || strcmp(end, "/tcp") == 0, udp = strcmp(end, "") == 0 || strcmp(end, "/udp") == 0;
	size_t *n = o->request.n;

	if (value[0] < '0' || value[0] > '9' || port < 1 || port > 65535 || (!tcp && !udp) || n[0] + n[1] + 2 > CAPTURE_REQUEST_PORTS) {
		o->bad_port = value;
		return;
	}
	if (tcp)
		o->request.ports[CAPTURE_TCP][n[CAPTURE_TCP]++] = (uint16_t)port;
	if (udp)
		o->request.ports[CAPTURE_UDP][n[CAPTURE_UDP]++] = (uint16_t)port;
}

static void set_pcap(void *arg, const char *value)
{
	((struct dump_options *)arg)->pcap = value;
}

static void set_hex(void *arg, const char *value)
{
	((struct dump_options *)arg)->format = DUMP_HEX;
}

static void set_json(void *arg, const char *value)
{
	((struct dump_options *)arg)->format = DUMP_JSON;
}

#define OPTION_TARGET(...) CONFIG_OPTION("Target", __VA_ARGS__)
#define OPTION_FILE(...)   CONFIG_OPTION("Configuration", __VA_ARGS__)
#define OWN_FILE	   OPTION_FILE
#define OPTION_AGENT(...)  CONFIG_OPTION("Agent", __VA_ARGS__)

static const struct cli_option options[] = {
	{ "Target", 'p', "port", "PORT", "a port of the target's: 8080, 53/udp; may be given more than once (default: what it\n"
	  "                               listens on)",
	  set_port },
#include "cli/config_option.def"
	{ "Output", 0, "hex", NULL, "bytes as hex digits (default: text)", set_hex },
	{ "Output", 0, "json", NULL, "a JSON object a line", set_json },
	{ "Output", 0, "pcap", "FILE", "packets, for tcpdump and Wireshark, to FILE; - is standard output", set_pcap },
};

static const struct cli_command command = {
	.name = "dump",
	.usage = "mirrord dump [OPTION]… -t TARGET [-p PORT]…",
	.summary = "Shows the traffic that reaches a target, and its answers, until Ctrl-C. The target notices nothing.",
	.example = "mirrord dump -t netns/shop -p 8080",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
};

/* Records. */

static void stop(struct dump *d)
{
	d->stopping = true;
	loop_stop(d->loop);
}

static void fail(struct dump *d, const struct error *e)
{
	if (!error_is_set(&d->error))
		d->error = *e;
	stop(d);
}

static void write_packet(struct dump *d, const struct record *r)
{
	uint8_t header[PCAP_PACKET_HEADER];
	struct error err = { 0 };

	pcap_packet_header(r, header);
	if (fwrite(header, sizeof(header), 1, d->pcap) == 1 && fwrite(r->data, 1, r->len, d->pcap) == r->len)
		return;
	error_set(&err, errno, "write %s", d->options->pcap);
	fail(d, &err);
}

static void take_packet(struct dump *d, const struct record *r)
{
	const struct captured c = {
		.data = r->data,
		.len = r->len,
		.wire_len = r->wire_len,
		.passage = r->hatype == ARPHRD_LOOPBACK ? PASSAGE_LO : r->type == PACKET_OUTGOING ? PASSAGE_OUT : PASSAGE_IN,
		.summed = r->summed,
		.now_ms = r->time / LOOP_MS,
	};

	d->packets++;
	if (d->pcap)
		write_packet(d, r);
	else
		dump_flows_add(d->flows, &c, r->time);
}

static void print_ports(const struct capture_request *ports)
{
	static const char *const suffixes[CAPTURE_PROTOCOLS] = { [CAPTURE_TCP] = "", [CAPTURE_UDP] = "/udp" };
	const char *before = " ";

	fprintf(stderr, "mirrord: traffic of");
	for (int p = 0; p < CAPTURE_PROTOCOLS; p++)
		for (size_t i = 0; i < ports->n[p]; i++, before = ", ")
			fprintf(stderr, "%sport %u%s", before, ports->ports[p][i], suffixes[p]);
	fprintf(stderr, "; Ctrl-C ends it\n");
}

static void take_ports(struct dump *d, const struct record *r)
{
	struct capture_request ports;
	struct error err = { 0 };

	if (capture_request_decode(r->data, r->len, &ports) <= 0) {
		error_set(&err, 0, "the agent's answer can't be understood");
		fail(d, &err);
		return;
	}
	for (int p = 0; p < CAPTURE_PROTOCOLS; p++)
		for (size_t i = 0; i < ports.n[p]; i++)
			dump_flows_watch(d->flows, p, ports.ports[p][i]);
	print_ports(&ports);
}

static void take_error(struct dump *d, const struct record *r)
{
	struct error err = { 0 };
	size_t text = strnlen((const char *)r->data, r->len);

	error_set(&err, 0, "%.*s", (int)text, (const char *)r->data);
	if (text + 1 < r->len)
		error_hint(&err, "%.*s", (int)(r->len - text - 1), (const char *)r->data + text + 1);
	fail(d, &err);
}

static void take_record(struct dump *d, const struct record *r)
{
	if (r->kind == RECORD_PORTS)
		take_ports(d, r);
	else if (r->kind == RECORD_PACKET)
		take_packet(d, r);
	else if (r->kind == RECORD_LOST)
		d->lost += r->wire_len;
	else if (r->kind == RECORD_ERROR)
		take_error(d, r);
}

/* Whoever reads our output may have gone: then there is no more to do. */
static void flush_output(struct dump *d)
{
	if (d->pcap ? fflush(d->pcap) == 0 : fflush(stdout) == 0 && !ferror(stdout))
		return;
	if (!d->pcap && errno == EPIPE)
		clearerr(stdout);
	stop(d);
}

static void on_stream_data(void *arg, const uint8_t *data, size_t len)
{
	struct dump *d = arg;
	struct error err = { 0 };
	struct record r;
	long used = 0;

	if (!backlog_add(&d->input, data, len))
		abort();
	stream_consumed(d->stream, len);
	while (backlog_len(&d->input) && (used = record_decode(backlog_first(&d->input), backlog_len(&d->input), &r)) > 0) {
		take_record(d, &r);
		backlog_take(&d->input, (size_t)used);
	}
	if (used < 0) {
		error_set(&err, 0, "the agent sent what can't be understood");
		fail(d, &err);
	}
	flush_output(d);
}

static void on_stream_opened(void *arg)
{
	struct dump *d = arg;
	uint8_t request[CAPTURE_REQUEST_MAX], *place;
	size_t len = capture_request_encode(&d->options->request, request), room;

	place = stream_reserve(d->stream, &room);
	if (!place || room < len)
		abort(); /* a new stream has credit for it */
	memcpy(place, request, len);
	stream_commit(d->stream, len);
}

static void on_stream_end(void *arg)
{
	stop(arg);
}

static void on_stream_reset(void *arg, int error)
{
	struct dump *d = arg;
	struct error err = { 0 };

	d->stream = NULL;
	if (d->stopping)
		return;
	error_set(&err, error, "capture in the target");
	fail(d, &err);
}

static const struct stream_events stream_events = {
	.on_opened = on_stream_opened, .on_data = on_stream_data, .on_end = on_stream_end, .on_reset = on_stream_reset,
};

/* The agent. */

static void on_target(void *arg, const struct target_info *info)
{
	const struct stream_request request = { .kind = STREAM_CAPTURE, .local.ip = IP_ANY6, .remote.ip = IP_ANY6 };
	struct dump *d = arg;
	struct error err = { 0 };

	d->stream = stream_open(link_mux(d->link), &request, &stream_events, d);
	if (!d->stream) {
		error_set(&err, errno, "capture in the target");
		fail(d, &err);
	}
}

static void on_lost(void *arg, const struct error *why)
{
	struct dump *d = arg;

	if (!d->stopping)
		fail(d, why);
}

static const struct link_events link_events = { .on_target = on_target, .on_lost = on_lost };

static void on_last_words(struct timer *t)
{
	stop(container_of(t, struct dump, last_words));
}

static void on_signal(struct watch *w, uint32_t events)
{
	struct dump *d = container_of(w, struct dump, signals);
	struct signalfd_siginfo info;

	if (read(w->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (!d->stream || d->last_words.index) {
		stop(d);
		return;
	}
	stream_end(d->stream);
	d->last_words.on_due = on_last_words;
	loop_arm(d->loop, &d->last_words, loop_now(d->loop) + LAST_WORDS);
}

static int watch_signals(struct dump *d, struct error *err)
{
	static const int ends[] = { SIGINT, SIGTERM };
	int r = loop_watch_signals(d->loop, &d->signals, ends, sizeof(ends) / sizeof(ends[0]), on_signal);

	return r < 0 ? error_set(err, -r, "wait for signals") : 0;
}

static int open_pcap(struct dump *d, struct error *err)
{
	uint8_t header[PCAP_FILE_HEADER];

	if (!d->options->pcap)
		return 0;
	d->pcap = strcmp(d->options->pcap, "-") == 0 ? stdout : fopen(d->options->pcap, "we");
	pcap_file_header(header);
	if (d->pcap && fwrite(header, sizeof(header), 1, d->pcap) == 1 && fflush(d->pcap) == 0)
		return 0;
	error_set(err, errno, "write %s", d->options->pcap);
	return error_hint(err, "name a file that you may write, in a directory that exists, on a disk with room");
}

static void print_counts(const struct dump *d)
{
	const struct dump_counts *c = dump_flows_counts(d->flows);

	fprintf(stderr, "mirrord: %llu packets", (unsigned long long)d->packets);
	if (!d->pcap)
		fprintf(stderr, ", %llu connections, %llu bytes from clients, %llu from the target", (unsigned long long)c->flows,
			(unsigned long long)c->bytes[SIDE_CLIENT], (unsigned long long)c->bytes[SIDE_SERVER]);
	fprintf(stderr, "; %llu packets lost\n", (unsigned long long)d->lost);
}

/* Until it is enough, or something fails. */
static int capture(struct dump *d, const char *path, struct kube_settings *settings, struct error *err)
{
	struct target target;
	const struct link_options o = { .target = &target, .settings = settings, .progress = isatty(STDERR_FILENO) };

	if (target_resolve(path, &target, err) < 0 || open_pcap(d, err) < 0 || !(d->loop = loop_new(err)))
		return -1;
	d->flows = dump_flows_new(d->options->format);
	if (!d->flows)
		return error_set(err, ENOMEM, "read the capture");
	d->link = link_new(d->loop, &o, &link_events, d, err);
	if (!d->link || watch_signals(d, err) < 0)
		return -1;
	return loop_run(d->loop, err);
}

static int run(struct dump *d, const struct config *c, struct error *err)
{
	struct kube_settings settings;
	int rc;

	kube_settings_read(c, &settings);
	rc = capture(d, c->target_path, &settings, err);
	link_free(d->link);
	kube_settings_fini(&settings);
	if (rc < 0)
		return -1;
	if (error_is_set(&d->error)) {
		*err = d->error;
		return -1;
	}
	if (d->pcap && fclose(d->pcap) != 0)
		return error_set(err, errno, "write %s", d->options->pcap);
	print_counts(d);
	return 0;
}

static int complain(const char *what)
{
	fprintf(stderr, "mirrord dump: %s\nsee `mirrord dump --help`\n", what);
	return 2;
}

int cli_dump(int argc, char **argv)
{
	static struct dump_options o;
	static struct dump d = { .options = &o };
	struct config config;
	struct error err = { 0 };
	char text[256];
	int at = cli_parse(&command, argc, argv, &o), status;

	if (at < 0)
		return at == -2 ? 0 : 2;
	if (o.bad_port) {
		snprintf(text, sizeof(text), "%s is no port: a number from 1 to 65535, with /tcp or /udp behind it or nothing", o.bad_port);
		return complain(text);
	}
	if (at < argc)
		return complain("it takes no program: `mirrord exec` runs one");
	if (config_options_load(&o.config, &config) < 0)
		return 2;
	if (!config.target_path)
		status = complain("the target (-t TARGET) is missing");
	else
		status = run(&d, &config, &err) == 0 ? 0 : cli_print_error(&err);
	config_fini(&config);
	return status;
}
