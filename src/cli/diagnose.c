// SPDX-License-Identifier: MIT
/* mirrord diagnose: whether a cluster can be worked with, and how fast: who we are there, what we may do, what it takes to get to a target. */
#include "cli/diagnose.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/config_options.h"
#include "cli/options.h"
#include "kube/access_review.h"
#include "kube/json.h"
#include "kube/open.h"
#include "net/loop.h"
#include "session/cluster.h"
#include "target/target.h"
#include "tunnel/info.h"
#include "tunnel/mux.h"

enum { SAMPLES = 21, UNEVEN_SECONDS = 30 };
#define TARGET_TIME (90 * LOOP_SECOND)

struct diagnosis {
	int problems;
	struct kube *kube;
	struct kube_settings settings;
	/* The tunnel's part. */
	struct loop *loop;
	struct cluster *cluster;
	struct mux *mux;
	struct stream *stream;
	struct timer timer;
	double started, asked, samples[SAMPLES];
	int n;
	struct error error;
};

#define ROW(group, setter, letter, name, argument, help) { group, letter, name, argument, help, config_set_##setter },
#define OPTION_TARGET(setter, letter, name, argument, help, ...) ROW("Target", setter, letter, name, argument, help)
#define OPTION_FILE(setter, letter, name, argument, help, ...)                                     \
	ROW("Configuration", setter, letter, name, argument, help)
#define OWN_FILE(setter, letter, name, argument, help)		 ROW("Configuration", setter, letter, name, argument, help)
#define OPTION_AGENT(setter, letter, name, argument, help, ...)	 ROW("Agent", setter, letter, name, argument, help)

static const struct cli_option options[] = {
#include "cli/config_option.def"
};

static const struct cli_command command = {
	.name = "diagnose",
	.usage = "mirrord diagnose [OPTION]… [-t TARGET]",
	.summary = "Says whether a cluster can be worked with: who you are there, what you may do, and with a target, how fast it is reached.\n"
		   "Each line begins with ok, without (it works without, see docs/permissions.md) or missing. Exit status: 0 all is well, 1\n"
		   "something is missing.",
	.example = "mirrord diagnose -t deployment/shop",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
};

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *samples, int n)
{
	qsort(samples, (size_t)n, sizeof(*samples), compare);
	return samples[n / 2];
}

enum verdict { GOOD, DISPENSABLE, MISSING };

static void report(struct diagnosis *d, enum verdict verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void report(struct diagnosis *d, enum verdict verdict, const char *format, ...)
{
	static const char *const words[] = { [GOOD] = "ok", [DISPENSABLE] = "without", [MISSING] = "missing" };
	va_list ap;

	printf("%-8s", words[verdict]);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	d->problems += verdict == MISSING;
}

static void report_error(struct diagnosis *d, const struct error *e)
{
	report(d, MISSING, "%s", e->text);
	if (e->hint[0])
		printf("        %s\n", e->hint);
}

/* The first answer opens the connection; the others are round trips. */
static int check_server(struct diagnosis *d, struct error *err)
{
	double samples[SAMPLES], uneven;
	json_t *version = NULL;
	time_t theirs = 0;

	for (int i = -1; i < SAMPLES; i++) {
		struct kube_call c = { .path = "/version" };
		double began = now_ms();

		json_decref(version);
		if (kube_do(d->kube, &c, &version, "ask for the server's version", err) < 0)
			return -1;
		theirs = c.date;
		if (i >= 0)
			samples[i] = now_ms() - began;
	}
	report(d, GOOD, "%s: %s, Kubernetes %s", kube_access_of(d->kube)->origin, kube_access_of(d->kube)->server, kube_text(version, "gitVersion"));
	report(d, GOOD, "a request takes %.1f ms", median(samples, SAMPLES));
	json_decref(version);
	uneven = theirs ? difftime(theirs, time(NULL)) : 0;
	report(d, fabs(uneven) < UNEVEN_SECONDS ? GOOD : MISSING, "the server's clock and this one are %.0f s apart", fabs(uneven));
	return 0;
}

static const struct {
	const char *group, *resource, *verb, *what;
	bool of_agent; /* in the agent's namespace */
	bool wanted;   /* does without */
} rights[] = {
	{ "", "pods", "get", "find a target", false, false },
	{ "", "pods", "list", "find a target", false, false },
	{ "apps", "deployments", "get", "find a target", false, false },
	{ "batch", "jobs", "create", "the agent as a job", true, false },
	{ "", "pods", "watch", "the agent as a job", true, false },
	{ "", "pods/exec", "create", "the agent as a job", true, false },
	{ "batch", "jobs", "delete", "the job goes at once", true, true },
	{ "", "events", "watch", "what keeps the agent's pod away", true, true },
	{ "", "pods/ephemeralcontainers", "patch", "the agent in the target's pod", false, false },
	{ "", "pods", "watch", "the agent in the target's pod", false, false },
	{ "", "pods/exec", "create", "the agent in the target's pod", false, false },
};
enum { RIGHTS = sizeof(rights) / sizeof(rights[0]) };

static int check_rights(struct diagnosis *d, const char *namespace, const char *agents, struct error *err)
{
	struct kube_call c[RIGHTS] = { 0 };
	int r;

	for (int i = 0; i < RIGHTS; i++)
		kube_ask_access(&c[i], rights[i].of_agent ? agents : namespace, rights[i].group, rights[i].resource, rights[i].verb);
	r = kube_perform(d->kube, c, RIGHTS, err);
	for (int i = 0; i < RIGHTS; i++) {
		enum verdict v = kube_may(&c[i]) ? GOOD : rights[i].wanted ? DISPENSABLE : MISSING;

		if (r == 0)
			report(d, v, "%s: %s %s in namespace %s", rights[i].what, rights[i].verb, rights[i].resource,
			       rights[i].of_agent ? agents : namespace);
		json_decref(c[i].body);
		kube_call_fini(&c[i]);
	}
	return r;
}

static void check_level(struct diagnosis *d, const char *namespace)
{
	struct kube_call c = { 0 };
	struct error err = { 0 };

	kube_path(c.path, sizeof(c.path), "/api/v1/namespaces/%s", namespace);
	if (kube_perform(d->kube, &c, 1, &err) < 0)
		report_error(d, &err);
	else if (!kube_call_succeeded(&c))
		report(d, GOOD, "Pod Security of namespace %s: may not be read", namespace);
	else
		report(d, GOOD, "Pod Security of namespace %s: %s", namespace,
		       kube_text_or_null(kube_dig(c.answer, "metadata.labels"), "pod-security.kubernetes.io/enforce") ?
			       kube_text(kube_dig(c.answer, "metadata.labels"), "pod-security.kubernetes.io/enforce") :
			       "privileged");
	kube_call_fini(&c);
}

/* A round trip of the tunnel: a connection that the target refuses, to a port of its own that nobody has. */
static void sample(struct diagnosis *d);

static void on_reset(void *arg, int error)
{
	struct diagnosis *d = arg;

	d->stream = NULL;
	d->samples[d->n++] = now_ms() - d->asked;
	sample(d);
}

static void on_opened(void *arg)
{
	struct diagnosis *d = arg;

	stream_reset(d->stream, ECONNRESET); /* somebody has it */
	on_reset(d, 0);
}

static const struct stream_events stream_events = { .on_opened = on_opened, .on_reset = on_reset };

static void sample(struct diagnosis *d)
{
	struct stream_request request = { .kind = STREAM_TCP };

	if (d->n == SAMPLES) {
		loop_stop(d->loop);
		return;
	}
	ip_parse("127.0.0.1", &request.remote.ip);
	request.local.ip = IP_ANY4;
	request.remote.port = 1;
	d->asked = now_ms();
	d->stream = stream_open(d->mux, &request, &stream_events, d);
	if (!d->stream) {
		error_set(&d->error, errno, "open a stream");
		loop_stop(d->loop);
	}
}

static void fail(struct diagnosis *d, const struct error *why)
{
	if (!error_is_set(&d->error))
		d->error = *why;
	loop_stop(d->loop);
}

static void on_info(void *arg, uint16_t topic, const uint8_t *data, size_t len)
{
	struct diagnosis *d = arg;
	struct error err = { 0 };

	if (topic == INFO_FAILURE && failure_decode(data, len, &err) == 0)
		fail(d, &err);
	if (topic != INFO_TARGET)
		return;
	report(d, GOOD, "the agent answers after %.0f ms", now_ms() - d->started);
	sample(d);
}

static void on_gone(void *arg, const struct error *why)
{
	fail(arg, why);
}

static const struct mux_events mux_events = { .on_info = on_info, .on_gone = on_gone };

static void on_tunnel(void *arg, int fd, const struct kube_message *m)
{
	struct diagnosis *d = arg;
	struct error err = { 0 };

	d->mux = mux_new(d->loop, MUX_SESSION, fd, fd, &mux_events, d, &err);
	if (!d->mux)
		fail(d, &err);
}

static void on_failed(void *arg, const struct error *why)
{
	fail(arg, why);
}

static const struct cluster_events cluster_events = { .on_tunnel = on_tunnel, .on_failed = on_failed };

static void on_timer(struct timer *t)
{
	struct diagnosis *d = container_of(t, struct diagnosis, timer);
	struct error err = { 0 };

	error_set(&err, 0, "the target was not reached in time");
	fail(d, &err);
}

static int check_target(struct diagnosis *d, const char *text, struct error *err)
{
	struct target target;
	const struct kube_tunnel_options k = { .target = &target, .settings = &d->settings, .log_level = LOG_LEVEL_ERROR, .log_fd = -1,
					       .progress = isatty(STDERR_FILENO) };

	if (target_resolve(text, &target, err) < 0)
		return -1;
	if (!target_is_in_cluster(&target)) {
		error_set(err, 0, "target %s is not in a cluster", text);
		return error_hint(err, "`mirrord exec -t %s -- true` says what it lacks", text);
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	d->loop = loop_new(err);
	d->started = now_ms();
	d->cluster = d->loop ? cluster_start(d->loop, &k, &cluster_events, d, err) : NULL;
	if (!d->cluster)
		return -1;
	d->timer.on_due = on_timer;
	loop_arm(d->loop, &d->timer, loop_now(d->loop) + TARGET_TIME);
	if (loop_run(d->loop, err) < 0)
		return -1;
	if (error_is_set(&d->error)) {
		*err = d->error;
		return -1;
	}
	report(d, GOOD, "a round trip through the tunnel, to the target's own localhost, takes %.1f ms", median(d->samples, d->n));
	return 0;
}

static int diagnose(struct diagnosis *d, const struct config *c, struct error *err)
{
	const char *namespace, *agents;

	d->kube = kube_open(&d->settings, err);
	if (!d->kube || check_server(d, err) < 0)
		return -1;
	namespace = d->settings.namespace ? d->settings.namespace : kube_access_of(d->kube)->namespace;
	agents = d->settings.agent_namespace ? d->settings.agent_namespace : kube_access_of(d->kube)->namespace;
	if (check_rights(d, namespace, agents, err) < 0)
		return -1;
	check_level(d, namespace);
	if (strcmp(namespace, agents) != 0)
		check_level(d, agents);
	return c->target_path ? check_target(d, c->target_path, err) : 0;
}

int cli_diagnose(int argc, char **argv)
{
	static struct diagnosis d;
	struct config_options o = { 0 };
	struct config config;
	struct error err = { 0 };
	int at = cli_parse(&command, argc, argv, &o);

	if (at < 0)
		return at == -2 ? 0 : 2;
	if (at < argc || config_options_load(&o, &config) < 0)
		return 2;
	log_init("mirrord", LOG_LEVEL_ERROR, STDERR_FILENO);
	kube_settings_read(&config, &d.settings);
	if (diagnose(&d, &config, &err) < 0)
		report_error(&d, &err);
	if (d.mux)
		mux_free(d.mux);
	cluster_free(d.cluster);
	kube_free(d.kube);
	kube_settings_fini(&d.settings);
	config_fini(&config);
	return d.problems ? 1 : 0;
}
