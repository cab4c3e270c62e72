// SPDX-License-Identifier: MIT
/* mirrord port-forward: the command line of forward/forward.h. */
#include "cli/port_forward.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/config_options.h"
#include "cli/options.h"
#include "cli/who.h"
#include "forward/forward.h"
#include "twin/privilege.h"

struct port_forward_options {
	struct config_options config;
	struct forward_rule rules[FORWARD_RULES];
	size_t n;
	struct error bad;
};

static void add(struct port_forward_options *o, bool remote, const char *text)
{
	struct forward_rule *r = &o->rules[o->n];

	if (error_is_set(&o->bad))
		return;
	if (o->n == FORWARD_RULES) {
		error_set(&o->bad, 0, "more than %d times -L and -R", FORWARD_RULES);
		return;
	}
	if (forward_rule_parse(remote, text, r, &o->bad) < 0)
		return;
	for (size_t i = 0; i < o->n; i++)
		if (forward_rule_clashes(&o->rules[i], r))
			error_set(&o->bad, 0, "-%c %s: port %u is there twice", remote ? 'R' : 'L', text, r->listen.port);
	o->n++;
}

static void set_local(void *arg, const char *value)
{
	add(arg, false, value);
}

static void set_remote(void *arg, const char *value)
{
	add(arg, true, value);
}

#define OPTION_TARGET(...) CONFIG_OPTION("Target", __VA_ARGS__)
#define OPTION_FILE(...)   CONFIG_OPTION("Configuration", __VA_ARGS__)
#define OWN_FILE	   OPTION_FILE
#define OPTION_AGENT(...)  CONFIG_OPTION("Agent", __VA_ARGS__)

static const struct cli_option options[] = {
	{ "Ports", 'L', "local", "[[ADDRESS:]PORT:]HOST:PORT[/udp]",
	  "a port of this machine leads to what HOST is for the target (default: the same\n"
	  "                               port of 127.0.0.1); may be given more than once",
	  set_local },
	{ "Ports", 'R', "remote", "[PORT:[HOST:]]PORT[/udp]",
	  "a port of the target leads to this machine (default: the same port of localhost);\n"
	  "                               may be given more than once",
	  set_remote },
#include "cli/config_option.def"
};

static const struct cli_command command = {
	.name = "port-forward",
	.usage = "mirrord port-forward [OPTION]… -t TARGET -L [[ADDRESS:]PORT:]HOST:PORT … -R [PORT:[HOST:]]PORT …",
	.summary = "Leads ports of this machine into a target's network, and ports of the target to this machine, until Ctrl-C.\n"
		   "IPv6 addresses stand in brackets. What -R takes is stolen from the target, unless the configuration says otherwise\n"
		   "(feature.network.incoming: its mode, http_filter and on_concurrent_steal hold).",
	.example = "mirrord port-forward -t deployment/shop -L 5432:db:5432 -L 5353:10.96.0.10:53/udp -R 80:8080",
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
};

static int complain(const char *what)
{
	fprintf(stderr, "mirrord port-forward: %s\nsee `mirrord port-forward --help`\n", what);
	return 2;
}

/* Whoever gives a port to -R wants to answer, so stealing is the default here. */
static int incoming_of(const struct config *c, struct incoming_options *ret, struct error *err)
{
	if (incoming_options_of(c, true, ret, err) < 0)
		return -1;
	if (c->sources[KEY_incoming_mode].origin == ORIGIN_DEFAULT)
		ret->mode = INCOMING_STEAL;
	return 0;
}

static bool has_remote(const struct port_forward_options *o)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->rules[i].remote)
			return true;
	return false;
}

static int run(struct port_forward_options *o, const struct config *c)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	bool sudo = privilege_sudo_user(&uid, &gid) == 0;
	char who[SUBSCRIPTION_WHO_MAX + 1];
	struct kube_settings settings;
	struct error err = { 0 };
	struct forward_options f = { .target = c->target_path, .settings = &settings, .rules = o->rules, .n_rules = o->n,
				     .progress = isatty(STDERR_FILENO) };
	int rc;

	if (incoming_of(c, &f.incoming, &err) < 0)
		return cli_print_error(&err);
	if (f.incoming.mode == INCOMING_OFF && has_remote(o))
		return complain("-R takes incoming traffic, and feature.network.incoming is off");
	who_say(uid, sudo, "port-forward", who);
	f.incoming.who = who;
	log_init("mirrord", LOG_LEVEL_ERROR, STDERR_FILENO);
	kube_settings_read(c, &settings);
	rc = forward_run(&f, &err);
	kube_settings_fini(&settings);
	return rc < 0 ? cli_print_error(&err) : 0;
}

int cli_port_forward(int argc, char **argv)
{
	static struct port_forward_options o;
	struct config config;
	int at = cli_parse(&command, argc, argv, &o), status;

	if (at < 0)
		return at == -2 ? 0 : 2;
	if (error_is_set(&o.bad)) {
		cli_print_error(&o.bad);
		return 2;
	}
	if (at < argc)
		return complain("it takes no program: `mirrord exec` runs one");
	if (!o.n)
		return complain("nothing to forward: -L or -R is missing");
	if (config_options_load(&o.config, &config) < 0)
		return 2;
	status = config.target_path ? run(&o, &config) : complain("the target (-t TARGET) is missing");
	config_fini(&config);
	return status;
}
