// SPDX-License-Identifier: Apache-2.0

//go:build verbs && linux

// Connection management: librdmacm with queue pairs that it does not know, so that their attributes are ours.

#include "shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return errno;
	return 0;
}

static void to_sockaddr(const struct shim_addr *addr, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (addr->is6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(addr->port);
		in6->sin6_scope_id = addr->scope;
		memcpy(&in6->sin6_addr, addr->ip, sizeof(in6->sin6_addr));
		return;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(addr->port);
	memcpy(&in->sin_addr, addr->ip, sizeof(in->sin_addr));
}

static void from_sockaddr(const struct sockaddr *sa, struct shim_addr *out)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET6) {
		out->is6 = 1;
		out->port = ntohs(in6->sin6_port);
		out->scope = in6->sin6_scope_id;
		memcpy(out->ip, &in6->sin6_addr, sizeof(in6->sin6_addr));
		return;
	}
	out->port = ntohs(in->sin_port);
	memcpy(out->ip, &in->sin_addr, sizeof(in->sin_addr));
}

// result turns the library's -1 with errno into an errno.
static int result(int ret)
{
	return ret ? errno : 0;
}

int shim_open_channel(struct rdma_event_channel **channel)
{
	int err;

	*channel = rdma_create_event_channel();
	if (!*channel)
		return errno;
	err = nonblocking((*channel)->fd);
	if (err)
		rdma_destroy_event_channel(*channel);
	return err;
}

static uint64_t tag_of(const struct rdma_cm_id *id)
{
	return (uint64_t)(uintptr_t)id->context;
}

void shim_set_tag(struct rdma_cm_id *id, uint64_t tag)
{
	id->context = (void *)(uintptr_t)tag;
}

int shim_next_event(struct rdma_event_channel *channel, struct shim_cm_event *out)
{
	struct rdma_cm_event *event;
	struct rdma_conn_param *conn;

	if (rdma_get_cm_event(channel, &event))
		return errno;
	memset(out, 0, sizeof(*out));
	out->id = event->id;
	out->type = event->event;
	out->status = event->status;
	out->tag = tag_of(event->event == RDMA_CM_EVENT_CONNECT_REQUEST ? event->listen_id : event->id);
	conn = &event->param.conn;
	out->responder_resources = conn->responder_resources;
	out->initiator_depth = conn->initiator_depth;
	if (conn->private_data) {
		out->private_length = conn->private_data_len;
		memcpy(out->private_data, conn->private_data, conn->private_data_len);
	}
	// From here on the id may be destroyed by whoever owns it; nothing of the event is used any more.
	return result(rdma_ack_cm_event(event));
}

int shim_create_id(struct rdma_event_channel *channel, uint64_t tag, struct rdma_cm_id **id)
{
	return result(rdma_create_id(channel, id, (void *)(uintptr_t)tag, RDMA_PS_TCP));
}

int shim_destroy_id(struct rdma_cm_id *id)
{
	return result(rdma_destroy_id(id));
}

int shim_bind(struct rdma_cm_id *id, const struct shim_addr *local)
{
	struct sockaddr_storage sa;

	to_sockaddr(local, &sa);
	return result(rdma_bind_addr(id, (struct sockaddr *)&sa));
}

int shim_resolve_addr(struct rdma_cm_id *id, const struct shim_addr *local, const struct shim_addr *peer, int timeout_ms)
{
	struct sockaddr_storage from, to;

	to_sockaddr(local, &from);
	to_sockaddr(peer, &to);
	return result(rdma_resolve_addr(id, (struct sockaddr *)&from, (struct sockaddr *)&to, timeout_ms));
}

int shim_resolve_route(struct rdma_cm_id *id, int timeout_ms)
{
	return result(rdma_resolve_route(id, timeout_ms));
}

int shim_set_ack_timeout(struct rdma_cm_id *id, uint8_t timeout)
{
	return result(rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof(timeout)));
}

int shim_listen(struct rdma_cm_id *id, int backlog)
{
	return result(rdma_listen(id, backlog));
}

static struct rdma_conn_param conn_param(const struct shim_conn_param *param)
{
	struct rdma_conn_param conn = {
		.private_data = param->private_length ? param->private_data : NULL,
		.private_data_len = param->private_length,
		.responder_resources = param->responder_resources,
		.initiator_depth = param->initiator_depth,
		.retry_count = param->retry_count,
		.rnr_retry_count = param->rnr_retry_count,
		.qp_num = param->qpn,
	};

	return conn;
}

int shim_connect(struct rdma_cm_id *id, const struct shim_conn_param *param)
{
	struct rdma_conn_param conn = conn_param(param);

	return result(rdma_connect(id, &conn));
}

int shim_accept(struct rdma_cm_id *id, const struct shim_conn_param *param)
{
	struct rdma_conn_param conn = conn_param(param);

	return result(rdma_accept(id, &conn));
}

int shim_establish(struct rdma_cm_id *id)
{
	return result(rdma_establish(id));
}

int shim_confirm(struct rdma_cm_id *id)
{
	return result(rdma_notify(id, IBV_EVENT_COMM_EST));
}

int shim_reject(struct rdma_cm_id *id, const struct shim_conn_param *param)
{
	return result(rdma_reject(id, param->private_data, param->private_length));
}

int shim_disconnect(struct rdma_cm_id *id)
{
	return result(rdma_disconnect(id));
}

void shim_local_addr(struct rdma_cm_id *id, struct shim_addr *addr)
{
	from_sockaddr(rdma_get_local_addr(id), addr);
}

void shim_peer_addr(struct rdma_cm_id *id, struct shim_addr *addr)
{
	from_sockaddr(rdma_get_peer_addr(id), addr);
}
