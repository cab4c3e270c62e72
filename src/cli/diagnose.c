// SPDX-License-Identifier: MIT
/* mirrord diagnose: whether this machine can make a network for a program, whether a cluster can be worked with, and how fast: who we are
 * there, what we may do, what it takes to get to a target. */
#include "cli/diagnose.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/config_options.h"
#include "cli/options.h"
#include "kube/access_review.h"
#include "kube/json.h"
#include "kube/left.h"
#include "kube/open.h"
#include "net/loop.h"
#include "session/link.h"
#include "target/target.h"
#include "tunnel/info.h"
#include "tunnel/mux.h"
#include "twin/keeper.h"
#include "twin/privilege.h"

enum { SAMPLES = 21, UNEVEN_SECONDS = 30 };
#define TARGET_TIME (90 * LOOP_SECOND)

struct diagnosis {
	int problems;
	struct kube *kube;
	struct kube_settings settings;
	/* The tunnel's part. */
	struct loop *loop;
	struct link *link;
	struct stream *stream;
	struct timer timer;
	double started, asked, samples[SAMPLES];
	int n;
	struct error error;
};

#define OPTION_TARGET(...) CONFIG_OPTION("Target", __VA_ARGS__)
#define OPTION_FILE(...)   CONFIG_OPTION("Configuration", __VA_ARGS__)
#define OWN_FILE	   OPTION_FILE
#define OPTION_AGENT(...)  CONFIG_OPTION("Agent", __VA_ARGS__)

static const struct cli_option options[] = {
#include "cli/config_option.def"
};

static const struct cli_command command = {
	.name = "diagnose",
	.usage = "mirrord diagnose [OPTION]… [-t TARGET]",
	.summary = "Says whether this machine can make a network for a program, and whether a cluster can be worked with: who you are there, what\n"
		   "you may do, and with a target (one of this machine's needs no cluster), how fast it is reached.\n"
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

static void check_left(struct diagnosis *d, const char *agents)
{
	struct kube_call c = { 0 };
	struct error err = { 0 };
	const char *name;
	size_t i = 0;

	kube_left_ask(&c, agents);
	if (kube_perform(d->kube, &c, 1, &err) < 0) {
		report_error(d, &err);
		return;
	}
	while ((name = kube_left_next(&c, &i)))
		report(d, DISPENSABLE, "the end of job %s, an agent's that is over: `kubectl -n %s delete job %s`", name, agents, name);
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
	d->stream = stream_open(link_mux(d->link), &request, &stream_events, d);
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

/* An agent of another version speaks the protocol's same version, or it would not have got here. */
static void report_target(struct diagnosis *d, const struct target_info *info)
{
	report(d, GOOD, "the target's kernel is Linux %s, its agent mirrord %s%s", info->kernel[0] ? info->kernel : "of a release that isn't told",
	       info->version, strcmp(info->version, VERSION) == 0 ? "" : " (and this is " VERSION ")");
	report(d, info->may & INFO_MAY_STEAL ? GOOD : DISPENSABLE, "stealing: NET_ADMIN over the target's network");
	report(d, info->may & INFO_MAY_MIRROR ? GOOD : DISPENSABLE, "mirroring, UDP that is stolen, dump: NET_RAW over the target's network");
}

static void on_target(void *arg, const struct target_info *info)
{
	struct diagnosis *d = arg;

	report(d, GOOD, "the agent answers after %.0f ms", now_ms() - d->started);
	report_target(d, info);
	sample(d);
}

static void on_lost(void *arg, const struct error *why)
{
	fail(arg, why);
}

static const struct link_events link_events = { .on_target = on_target, .on_lost = on_lost };

static void on_timer(struct timer *t)
{
	struct diagnosis *d = container_of(t, struct diagnosis, timer);
	struct error err = { 0 };

	error_set(&err, 0, "the target was not reached in time");
	fail(d, &err);
}

/* A twin is really made, of a target with both families. */
static void check_here(struct diagnosis *d)
{
	struct twin_owner owner = { .user_ns = -1, .uid = getuid(), .gid = getgid() };
	struct info_address addresses[2] = { { .prefix_len = 24 }, { .prefix_len = 64 } };
	const struct target_info info = { .interface = "eth0", .hostname = "diagnose", .addresses = addresses, .n_addresses = 2 };
	struct error err = { 0 };
	struct utsname machine;
	struct twin twin;
	int keeper = -1;

	ip_parse("192.0.2.2", &addresses[0].ip);
	ip_parse("2001:db8::2", &addresses[1].ip);
	privilege_sudo_user(&owner.uid, &owner.gid);
	uname(&machine);
	if (keeper_start(&owner, &keeper, &err) < 0 || keeper_build(keeper, &info, "diagnose", &twin, &err) < 0)
		report_error(d, &err);
	else
		report(d, GOOD, "this machine can make a network for a program: Linux %s, %s", machine.release,
		       twin.user_ns >= 0 ? "in a user namespace" : "with this user's own rights");
	if (keeper >= 0)
		close(keeper);
}

static int check_target(struct diagnosis *d, const struct target *target, struct error *err)
{
	const struct link_options o = { .target = target, .settings = &d->settings, .progress = isatty(STDERR_FILENO) };

	d->loop = loop_new(err);
	d->started = now_ms();
	d->link = d->loop ? link_new(d->loop, &o, &link_events, d, err) : NULL;
	if (!d->link)
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

static int check_cluster(struct diagnosis *d, struct error *err)
{
	const char *namespace, *agents;

	if (kube_let_ask(&d->settings, err) < 0)
		return -1;
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
	check_left(d, agents);
	return 0;
}

/* A target of this machine's needs no cluster. */
static int diagnose(struct diagnosis *d, const struct config *c, struct error *err)
{
	struct target target;

	check_here(d);
	if (c->target_path && target_resolve(c->target_path, &target, err) < 0)
		return -1;
	if ((!c->target_path || target_is_in_cluster(&target)) && check_cluster(d, err) < 0)
		return -1;
	return c->target_path ? check_target(d, &target, err) : 0;
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
	link_free(d.link);
	kube_free(d.kube);
	kube_settings_fini(&d.settings);
	config_fini(&config);
	return d.problems ? 1 : 0;
}
