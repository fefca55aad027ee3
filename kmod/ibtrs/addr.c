// SPDX-License-Identifier: GPL-2.0
/* Addresses of paths, as people write them and as sockets know them. */
#include <linux/export.h>
#include <linux/inet.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <net/ipv6.h>
#include <rdma/ib.h>

#include "core.h"

#define FULL_IP_LENGTH INET6_ADDRSTRLEN

static int parse_ip(const char *text, u16 port, struct sockaddr_storage *addr)
{
	char digits[6];

	snprintf(digits, sizeof(digits), "%u", port);
	return inet_pton_with_scope(&init_net, AF_UNSPEC, text, digits, addr);
}

/*
 * A GID is written like an IPv6 address. The service it is asked for is in the port space of
 * InfiniBand.
 */
static int parse_gid(const char *text, u16 port, struct sockaddr_storage *addr)
{
	struct sockaddr_ib *ib = (struct sockaddr_ib *)addr;

	if (!in6_pton(text, -1, ib->sib_addr.sib_raw, '\0', NULL))
		return -EINVAL;
	ib->sib_family = AF_IB;
	ib->sib_pkey = cpu_to_be16(0xffff);
	ib->sib_sid = cpu_to_be64(RDMA_IB_IP_PS_IB | port);
	ib->sib_sid_mask = cpu_to_be64(U64_MAX);
	return 0;
}

/**
 * ibtrs_parse_addr - read one address
 * @text:	"ip:..." or "gid:..."
 * @port:	that of the server
 * @addr:	where it goes
 *
 * Return: 0, -EPROTONOSUPPORT for an unknown prefix, -EINVAL for what is no address behind it.
 */
int ibtrs_parse_addr(const char *text, u16 port, struct sockaddr_storage *addr)
{
	memset(addr, 0, sizeof(*addr));
	if (str_has_prefix(text, "ip:"))
		return parse_ip(text + 3, port, addr) ? -EINVAL : 0;
	if (str_has_prefix(text, "gid:"))
		return parse_gid(text + 4, port, addr);
	return -EPROTONOSUPPORT;
}
EXPORT_SYMBOL_GPL(ibtrs_parse_addr);

/**
 * ibtrs_parse_path - read "[source,]destination"
 * @text:	the path, which is cut in two; '@' is taken for the comma as well
 * @port:	that of the server
 * @src:	source; of family AF_UNSPEC if there is none, so that routing chooses
 * @dst:	destination
 */
int ibtrs_parse_path(char *text, u16 port, struct sockaddr_storage *src,
		     struct sockaddr_storage *dst)
{
	char *rest = strpbrk(text, ",@");

	memset(src, 0, sizeof(*src));
	if (!rest)
		return ibtrs_parse_addr(text, port, dst);
	*rest++ = '\0';
	/* The source has no service: its port is chosen for each connection. */
	if (ibtrs_parse_addr(text, 0, src))
		return -EINVAL;
	return ibtrs_parse_addr(rest, port, dst);
}
EXPORT_SYMBOL_GPL(ibtrs_parse_path);

/**
 * ibtrs_format_addr - write one address as ibtrs_parse_addr() reads it
 * @addr:	the address
 * @buf:	where the text goes
 * @size:	of @buf
 *
 * Return: the length of the text.
 */
int ibtrs_format_addr(const struct sockaddr_storage *addr, char *buf, size_t size)
{
	const struct sockaddr_in6 *v6 = (const void *)addr;

	switch (addr->ss_family) {
	case AF_INET:
		return scnprintf(buf, size, "ip:%pI4",
				 &((const struct sockaddr_in *)addr)->sin_addr);
	case AF_INET6:
		/* A listener for both families sees IPv4 clients by their mapped addresses. */
		if (ipv6_addr_v4mapped(&v6->sin6_addr))
			return scnprintf(buf, size, "ip:%pI4", &v6->sin6_addr.s6_addr32[3]);
		return scnprintf(buf, size, "ip:%pI6c", &v6->sin6_addr);
	case AF_IB:
		return scnprintf(buf, size, "gid:%pI6",
				 ((const struct sockaddr_ib *)addr)->sib_addr.sib_raw);
	}
	return scnprintf(buf, size, "unknown");
}
EXPORT_SYMBOL_GPL(ibtrs_format_addr);

/**
 * ibtrs_emit_addr - show one address in a file of sysfs
 * @buf: page of the file
 * @addr: the address
 *
 * Return: number of characters written.
 */
ssize_t ibtrs_emit_addr(char *buf, const struct sockaddr_storage *addr)
{
	char text[64];

	ibtrs_format_addr(addr, text, sizeof(text));
	return sysfs_emit(buf, "%s\n", text);
}
EXPORT_SYMBOL_GPL(ibtrs_emit_addr);

/**
 * ibtrs_path_name - write "<source>@<destination>"
 * @src:	the client's address
 * @dst:	the server's
 * @buf:	where the text goes
 * @size:	of @buf
 */
void ibtrs_path_name(const struct sockaddr_storage *src, const struct sockaddr_storage *dst,
		     char *buf, size_t size)
{
	int n = ibtrs_format_addr(src, buf, size);

	n += scnprintf(buf + n, size - n, "@");
	ibtrs_format_addr(dst, buf + n, size - n);
}
EXPORT_SYMBOL_GPL(ibtrs_path_name);

/**
 * ibtrs_same_addr - compare two addresses, ports apart
 * @a:	one
 * @b:	other
 */
bool ibtrs_same_addr(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	char one[FULL_IP_LENGTH + 8], other[FULL_IP_LENGTH + 8];

	ibtrs_format_addr(a, one, sizeof(one));
	ibtrs_format_addr(b, other, sizeof(other));
	return !strcmp(one, other);
}
EXPORT_SYMBOL_GPL(ibtrs_same_addr);
