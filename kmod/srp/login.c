// SPDX-License-Identifier: GPL-2.0
/* Login strings: what is written to add_target. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/inet.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <net/net_namespace.h>

#include "srp.h"

enum { REQ_ID_EXT = 1, REQ_IOC_GUID = 2, REQ_DEST = 4, IB_DGID = 8, IB_PKEY = 16, IB_SERVICE = 32 };

#define REQUIRED	(REQ_ID_EXT | REQ_IOC_GUID | REQ_DEST)
#define REQUIRED_IB	(REQ_ID_EXT | REQ_IOC_GUID | IB_DGID | IB_PKEY | IB_SERVICE)

/*
 * Takes an address with a port: a.b.c.d:port, [ipv6]:port or [ipv6%device]:port. Without @with_port
 * the port may be left out.
 */
static int parse_addr(char *text, struct sockaddr_storage *addr, bool with_port)
{
	char *host = text, *port = NULL;

	if (*text == '[') {
		char *end = strchr(text, ']');

		if (!end)
			return -EINVAL;
		*end = 0;
		host = text + 1;
		if (end[1] == ':')
			port = end + 2;
		else if (end[1])
			return -EINVAL;
	} else {
		port = strchr(text, ':');
		if (port && strchr(port + 1, ':')) {	/* IPv6 without brackets */
			port = NULL;
			if (with_port)
				return -EINVAL;
		} else if (port) {
			*port++ = 0;
		}
	}
	if (with_port && (!port || !*port))
		return -EINVAL;
	return inet_pton_with_scope(&init_net, AF_UNSPEC, host, port, addr);
}

static int hex64(const char *text, u64 *value)
{
	return kstrtou64(text, 16, value);
}

/* A number within limits, which the log names. */
static int number(const char *name, const char *text, u32 min, u32 max, u32 *value)
{
	int n, err = kstrtoint(text, 0, &n);

	if (err || n < 0 || n < min || n > max) {
		pr_err("%s=%s: want %u to %u\n", name, text, min, max);
		return -EINVAL;
	}
	*value = n;
	return 0;
}

static const struct {
	const char *name;
	u32 min, max;
	size_t at;
} numbers[] = {
	{ "max_sect", 1, INT_MAX, offsetof(struct srp_params, max_sectors) },
	{ "max_cmd_per_lun", 1, INT_MAX, offsetof(struct srp_params, cmd_per_lun) },
	{ "target_can_queue", 1, INT_MAX, offsetof(struct srp_params, target_can_queue) },
	{ "queue_size", 1, INT_MAX, offsetof(struct srp_params, queue_size) },
	{ "cmd_sg_entries", 1, 255, offsetof(struct srp_params, cmd_sg_entries) },
	{ "sg_tablesize", 1, SG_MAX_SEGMENTS, offsetof(struct srp_params, sg_tablesize) },
	{ "comp_vector", 0, INT_MAX, offsetof(struct srp_params, comp_vector) },
	{ "tl_retry_count", 2, 7, offsetof(struct srp_params, retry_count) },
	{ "ack_timeout", 1, 31, offsetof(struct srp_params, ack_timeout) },
	{ "max_it_iu_size", 0, INT_MAX, offsetof(struct srp_params, max_iu) },
	{ "ch_count", 1, INT_MAX, offsetof(struct srp_params, channels) },
};

/* Takes one parameter of the InfiniBand form, which is checked and then has no way to be used. */
static int parse_ib(const char *name, const char *value, struct srp_params *p)
{
	u8 gid[16];
	u64 n;

	if (!strcmp(name, "dgid")) {
		p->seen |= IB_DGID;
		return strlen(value) == 32 ? hex2bin(gid, value, 16) : -EINVAL;
	}
	if (!strcmp(name, "pkey")) {
		p->seen |= IB_PKEY;
		return hex64(value, &n);
	}
	if (!strcmp(name, "service_id")) {
		p->seen |= IB_SERVICE;
		return hex64(value, &n);
	}
	return -ENOENT;
}

static int parse_one(const char *name, char *value, struct srp_params *p)
{
	u32 flag;
	u64 n;
	int i, err;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!strcmp(name, numbers[i].name))
			return number(name, value, numbers[i].min, numbers[i].max,
				      (u32 *)((u8 *)p + numbers[i].at));
	if (!strcmp(name, "id_ext")) {
		p->seen |= REQ_ID_EXT;
		return hex64(value, &p->id_ext);
	}
	if (!strcmp(name, "ioc_guid")) {
		p->seen |= REQ_IOC_GUID;
		return hex64(value, &p->ioc_guid);
	}
	if (!strcmp(name, "initiator_ext"))
		return hex64(value, &p->initiator_ext);
	if (!strcmp(name, "dest")) {
		p->seen |= REQ_DEST;
		return parse_addr(value, &p->dst, true);
	}
	if (!strcmp(name, "src")) {
		p->has_src = true;
		return parse_addr(value, &p->src, false);
	}
	if (!strcmp(name, "io_class")) {
		err = hex64(value, &n);
		if (err || (n != 0x0100 && n != 0xff00))
			return -EINVAL;
		p->io_class = n;
		return 0;
	}
	if (!strcmp(name, "allow_ext_sg")) {
		err = number(name, value, 0, 1, &flag);
		p->allow_ext_sg = !err && flag;
		return err;
	}
	return parse_ib(name, value, p);
}

static int parse_all(char *line, struct srp_params *p)
{
	char *item;
	int err;

	while ((item = strsep(&line, ",\n"))) {
		char *value = strchr(item, '=');

		if (!*item)
			continue;
		if (!value || !value[1]) {
			pr_err("login string: \"%s\" has no value\n", item);
			return -EINVAL;
		}
		*value++ = 0;
		err = parse_one(item, value, p);
		if (err) {
			pr_err("login string: %s=%s %s\n", item, value,
			       err == -ENOENT ? "is not known" : "is not valid");
			return -EINVAL;
		}
	}
	return 0;
}

/**
 * srp_parse_login - take a login string apart
 * @line:	"name=value,..."
 * @p:		with the defaults; what the string says is put in
 *
 * Return: -EINVAL if it makes no sense, which the log explains; -ENODEV if it wants the connection
 * manager of InfiniBand, which this initiator has not.
 */
int srp_parse_login(const char *line, struct srp_params *p)
{
	char *copy = kstrdup(line, GFP_KERNEL);
	int err;

	if (!copy)
		return -ENOMEM;
	err = parse_all(copy, p);
	kfree(copy);
	if (err)
		return err;
	if ((p->seen & REQUIRED) == REQUIRED) {
		if (p->has_src && p->src.ss_family != p->dst.ss_family) {
			pr_err("login string: src and dest are of different kinds\n");
			return -EINVAL;
		}
		return 0;
	}
	if ((p->seen & REQUIRED_IB) == REQUIRED_IB) {
		pr_err("login string: only RDMA/CM is supported: want dest=\n");
		return -ENODEV;
	}
	pr_err("login string: want id_ext, ioc_guid and dest\n");
	return -EINVAL;
}
