// SPDX-License-Identifier: GPL-2.0
/* The line that is written to map_device. */
#include <linux/inet.h>
#include <linux/string.h>

#include "../ibtrs/core.h"
#include "client.h"

static const char * const access_modes[] = {
	[IBNBD_ACCESS_RO] = "ro",
	[IBNBD_ACCESS_RW] = "rw",
	[IBNBD_ACCESS_MIGRATION] = "migration",
};

static const char * const io_modes[] = {
	[IBNBD_IO_FILE] = "fileio",
	[IBNBD_IO_BLOCK] = "blockio",
};

const char *access_mode_name(enum ibnbd_access_mode mode)
{
	return access_modes[mode];
}

const char *io_mode_name(enum ibnbd_io_mode mode)
{
	return io_modes[mode];
}

/* While the line is read. */
struct parser {
	struct map_request *map;
	u16 port;
};

static int refuse(const char *option, const char *value, const char *limit)
{
	pr_err("ibnbd_client: map_device: %s \"%.32s\" %s\n", option, value, limit);
	return -EINVAL;
}

static int take_name(const char *option, const char *value, char *to, size_t size)
{
	if (!*value || strlen(value) >= size)
		return refuse(option, value, "must have 1 to 254 characters");
	strscpy(to, value, size);
	return 0;
}

static int parse_session(struct parser *p, char *value)
{
	return take_name("sessname", value, p->map->session, sizeof(p->map->session));
}

static int parse_device_path(struct parser *p, char *value)
{
	return take_name("device_path", value, p->map->device_path, sizeof(p->map->device_path));
}

static int parse_one_path(struct parser *p, char *value)
{
	struct ibtrs_path_addr *path;
	int err;

	if (p->map->nr_paths == MAX_MAP_PATHS) {
		refuse("path", value, "is one more than the 6 that there can be");
		return -ENOMEM;
	}
	path = &p->map->paths[p->map->nr_paths];
	err = ibtrs_parse_path(value, p->port, &path->src, &path->dst);
	if (err) {
		refuse("path", value, "is not [ip:|gid:]<source>,[ip:|gid:]<destination>");
		return err;
	}
	p->map->nr_paths++;
	return 0;
}

static int parse_access_mode(struct parser *p, char *value)
{
	int mode = match_string(access_modes, ARRAY_SIZE(access_modes), value);

	if (mode < 0)
		return refuse("access_mode", value, "is not ro, rw or migration");
	p->map->access_mode = mode;
	return 0;
}

static int parse_io_mode(struct parser *p, char *value)
{
	int mode = match_string(io_modes, ARRAY_SIZE(io_modes), value);

	if (mode < 0)
		return refuse("io_mode", value, "is not fileio or blockio");
	p->map->io_mode = mode;
	return 0;
}

/* Holds for the paths behind it. */
static int parse_port(struct parser *p, char *value)
{
	if (kstrtou16(value, 10, &p->port))
		return refuse("dest_port", value, "is not 0 to 65535");
	return 0;
}

static const struct {
	const char *prefix;
	int (*parse)(struct parser *p, char *value);
} options[] = {
	{ "sessname=", parse_session },	       { "path=", parse_one_path },
	{ "device_path=", parse_device_path }, { "access_mode=", parse_access_mode },
	{ "io_mode=", parse_io_mode },	       { "dest_port=", parse_port },
};

static int parse_option(struct parser *p, char *word)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		size_t n = str_has_prefix(word, options[i].prefix);

		if (n && word[n])
			return options[i].parse(p, word + n);
	}
	return refuse("option", word, "is unknown, or has no value");
}

/**
 * map_parse - read a request to map a device
 * @text:	options separated by blanks; is cut to pieces
 * @map:	where they go
 */
int map_parse(char *text, struct map_request *map)
{
	struct parser p = { .map = map, .port = IBTRS_DEFAULT_PORT };
	char *word;
	int err;

	*map = (struct map_request){ .access_mode = IBNBD_ACCESS_RW, .io_mode = IBNBD_IO_BLOCK };
	text = strim(text);
	while ((word = strsep(&text, " "))) {
		if (!*word)
			continue;
		err = parse_option(&p, word);
		if (err)
			return err;
	}
	if (!*map->session || !*map->device_path)
		return refuse("request", "", "needs sessname= and device_path=");
	return 0;
}
