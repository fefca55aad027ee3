// SPDX-License-Identifier: GPL-2.0
/* Connection requests: what is accepted, and what is rejected with which number. */
#include <linux/slab.h>
#include <rdma/ib_cm.h>

#include "server.h"

/* Writes of a response are few at a time, but on connection 0 all chunks get their keys at once. */
static struct ibtrs_con_size con_size(const struct server_path *path, u16 cid)
{
	u32 depth = ibtrs_server_params->queue_depth;
	u32 most = path->dev->attrs.max_qp_wr - 1;
	/*
	 * Work requests that one takes: its chunk's key is invalidated and made anew, or data go
	 * out in more pieces than one; the client's key is invalidated, and the response.
	 */
	u32 each = ibtrs_server_params->legacy_clients ? MAX_DESCRIPTORS + 2 : 5;

	return (struct ibtrs_con_size){
		.sends = min(each * (depth + 2 * SIGNAL_PERIOD) + 2 * IBTRS_ADMIN_DEPTH, most),
		.recvs = min(cid ? depth : max_t(u32, depth, IBTRS_ADMIN_DEPTH) + 1, most),
		.send_sges = 1,
		.poll = IB_POLL_WORKQUEUE,
	};
}

static void reject(struct rdma_cm_id *id, int err)
{
	struct ibtrs_conn_response response = {
		.magic = cpu_to_le16(IBTRS_MAGIC),
		.version = cpu_to_le16(IBTRS_VERSION),
		.errno = cpu_to_le16(err),
	};

	rdma_reject(id, &response, sizeof(response), IB_CM_REJ_CONSUMER_DEFINED);
}

/* Says why. A client can have it repeated as often as it likes. */
#define refuse(id, err, why, ...)                                                              \
	({                                                                                     \
		pr_info_ratelimited("ibtrs_server: refuse connection from %pISpc: " why "\n",  \
				    &(id)->route.addr.dst_addr, ##__VA_ARGS__);                \
		(err);                                                                         \
	})

/* The checks that need no session (Clauses IBTRS-CONN-021 to IBTRS-CONN-026). */
static int check_request(struct rdma_cm_id *id, const struct rdma_conn_param *conn)
{
	const struct ibtrs_conn_request *request = conn->private_data;
	u16 count;

	if (!request || conn->private_data_len < sizeof(*request))
		return refuse(id, -ECONNRESET, "%u bytes of private data", conn->private_data_len);
	if (le16_to_cpu(request->magic) != IBTRS_MAGIC)
		return refuse(id, -ECONNRESET, "magic %#x", le16_to_cpu(request->magic));
	if (le16_to_cpu(request->version) >> 8 != IBTRS_VERSION_MAJOR)
		return refuse(id, -ECONNRESET, "version %#x", le16_to_cpu(request->version));
	count = le16_to_cpu(request->connection_count);
	if (count > IBTRS_MAX_CONNECTIONS || le16_to_cpu(request->cid) >= count)
		return refuse(id, -ECONNRESET, "connection %u of %u", le16_to_cpu(request->cid),
			      count);
	return 0;
}

static struct server_session *find_session(struct ibtrs_server *srv, const u8 *group)
{
	struct server_session *sess;

	list_for_each_entry(sess, &srv->sessions, entry)
		if (!memcmp(sess->group, group, IBTRS_UUID_SIZE))
			return sess;
	return NULL;
}

static struct server_path *find_path(struct server_session *sess, const u8 *uuid)
{
	struct server_path *path;

	list_for_each_entry(path, &sess->paths, entry)
		if (!memcmp(path->uuid, uuid, IBTRS_UUID_SIZE))
			return path;
	return NULL;
}

static bool has_path_between(struct server_session *sess, struct rdma_cm_id *id)
{
	struct server_path *path;

	list_for_each_entry(path, &sess->paths, entry)
		if (ibtrs_same_addr(&path->client, &id->route.addr.dst_addr) &&
		    ibtrs_same_addr(&path->local, &id->route.addr.src_addr))
			return true;
	return false;
}

/* Whether a connection may join a path (Clauses IBTRS-CONN-029 to IBTRS-CONN-032). */
static int may_join(struct server_path *path, struct rdma_cm_id *id,
		    const struct ibtrs_conn_request *request)
{
	u16 incarnation = le16_to_cpu(request->incarnation);
	u16 cid = le16_to_cpu(request->cid);

	if (incarnation != path->incarnation) {
		if ((s16)(incarnation - path->incarnation) > 0)
			server_path_fail(path, "the client has begun to build it anew");
		return refuse(id, -EBUSY, "incarnation %u of its path is still here, not %u",
			      path->incarnation, incarnation);
	}
	if (READ_ONCE(path->state) != SERVER_PATH_CONNECTING)
		return refuse(id, -ECONNRESET, "its path is connected or closes");
	if (le16_to_cpu(request->connection_count) != path->nr_cons)
		return refuse(id, -ECONNRESET, "its path has %u connections, not %u",
			      path->nr_cons, le16_to_cpu(request->connection_count));
	if (path->cons[cid])
		return refuse(id, -ECONNRESET, "connection %u exists", cid);
	if (id->device != path->dev)
		return refuse(id, -ECONNRESET, "its path is on another device");
	return 0;
}

/* Whether there is room for one more path (Clauses IBTRS-CONN-033, -035 and -050). */
static int may_add(struct ibtrs_server *srv, struct server_session *sess, struct rdma_cm_id *id)
{
	const struct server_params *p = ibtrs_server_params;
	u64 bytes = server_path_bytes();

	if (sess->nr_paths >= IBTRS_MAX_PATHS)
		return refuse(id, -ECONNRESET, "its session has %u paths", sess->nr_paths);
	if (has_path_between(sess, id))
		return refuse(id, -EEXIST, "its session has a path between these addresses");
	if (srv->half_open >= p->max_half_open)
		return refuse(id, -ENOMEM, "%u paths are half-open", srv->half_open);
	if ((srv->nr_paths + 1) * bytes > (u64)p->max_memory_mb << 20)
		return refuse(id, -ENOMEM, "max_memory_mb=%u is in use", p->max_memory_mb);
	if ((sess->nr_paths + 1) * bytes > (u64)p->max_session_mb << 20)
		return refuse(id, -ENOMEM, "its session uses max_session_mb=%u", p->max_session_mb);
	if (!(id->device->attrs.device_cap_flags & IB_DEVICE_MEM_MGT_EXTENSIONS))
		return refuse(id, -EOPNOTSUPP, "device %s has no memory management extensions",
			      id->device->name);
	return 0;
}

/* Gives the session of a request; a new one, without paths, if there is none and one may be made. */
static struct server_session *get_session(struct ibtrs_server *srv, struct rdma_cm_id *id,
					  const struct ibtrs_conn_request *request)
{
	struct server_session *sess = find_session(srv, request->group_uuid);

	if (sess)
		return sess;
	/* Original clients do not initialise the byte. */
	if (!(request->first_connection & IBTRS_FIRST_CONNECTION) &&
	    !ibtrs_server_params->legacy_clients)
		return ERR_PTR(refuse(id, -ENXIO, "no session of its group"));
	if (srv->nr_sessions >= ibtrs_server_params->max_sessions)
		return ERR_PTR(refuse(id, -ENOMEM, "max_sessions=%u exist", srv->nr_sessions));
	return server_session_create(srv, request->group_uuid) ?: ERR_PTR(-ENOMEM);
}

static struct server_path *add_path(struct ibtrs_server *srv, struct server_session *sess,
				    struct rdma_cm_id *id,
				    const struct ibtrs_conn_request *request)
{
	struct server_path *path;
	int err = may_add(srv, sess, id);

	if (err)
		return ERR_PTR(err);
	path = server_path_create(sess, id, request);
	if (IS_ERR(path))
		return path;
	if (list_empty(&sess->paths)) {
		list_add_tail(&sess->entry, &srv->sessions);
		srv->nr_sessions++;
	}
	list_add_tail(&path->entry, &sess->paths);
	sess->nr_paths++;
	srv->nr_paths++;
	srv->half_open++;
	path->half_open = true;
	queue_delayed_work(ibtrs_server_wq, &path->overdue,
			   msecs_to_jiffies(ibtrs_server_params->half_open_ms));
	return path;
}

/* Finds or makes session and path of a request. */
static struct server_path *get_path(struct ibtrs_server *srv, struct rdma_cm_id *id,
				    const struct ibtrs_conn_request *request)
{
	struct server_session *sess = get_session(srv, id, request);
	struct server_path *path;
	int err;

	lockdep_assert_held(&srv->mutex);
	if (IS_ERR(sess))
		return ERR_CAST(sess);
	path = find_path(sess, request->path_uuid);
	if (path) {
		err = may_join(path, id, request);
		return err ? ERR_PTR(err) : path;
	}
	path = add_path(srv, sess, id, request);
	if (list_empty(&sess->paths))
		put_device(&sess->dev);
	return path;
}

/* Finds or makes the path of a request, and keeps the place of its connection. */
static struct server_con *reserve(struct ibtrs_server *srv, struct rdma_cm_id *id,
				  const struct ibtrs_conn_request *request)
{
	struct server_con *con = kzalloc(sizeof(*con), GFP_KERNEL);
	struct server_path *path;
	int err = 0;

	if (!con)
		return ERR_PTR(-ENOMEM);
	mutex_lock(&srv->mutex);
	if (srv->closed)
		err = -ECONNRESET;
	else if (srv->nr_cons >= ibtrs_server_params->max_connections)
		err = refuse(id, -ENOMEM, "max_connections=%u exist", srv->nr_cons);
	if (!err) {
		path = get_path(srv, id, request);
		err = PTR_ERR_OR_ZERO(path);
	}
	if (!err) {
		con->path = path;
		con->con.owner = path;
		con->con.cid = le16_to_cpu(request->cid);
		con->recv.done = server_recv_done;
		con->send.done = server_send_done;
		path->cons[con->con.cid] = con;
		path->accepting++;
		srv->nr_cons++;
	}
	mutex_unlock(&srv->mutex);
	if (err) {
		kfree(con);
		return ERR_PTR(err);
	}
	return con;
}

/* Events of connections. */
static int con_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct server_con *con = id->context;

	switch (event->event) {
	case RDMA_CM_EVENT_ESTABLISHED:
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		WRITE_ONCE(con->gone, true);
		fallthrough;
	default:
		server_path_fail(con->path, rdma_event_msg(event->event));
		wake_up_all(&con->path->wait);
	}
	/* The identifier is destroyed with its path, never by returning an error here. */
	return 0;
}

static int accept(struct server_con *con, struct rdma_cm_id *id)
{
	const struct server_params *p = ibtrs_server_params;
	struct ibtrs_conn_response response = {
		.magic = cpu_to_le16(IBTRS_MAGIC),
		.version = cpu_to_le16(IBTRS_VERSION),
		.queue_depth = cpu_to_le16(p->queue_depth),
		.max_io_size = cpu_to_le32(ibtrs_server_max_io_size()),
		.max_header_size = cpu_to_le32(MAX_HEADER_SIZE),
		.flags = cpu_to_le32(p->key_refresh ? IBTRS_KEY_REFRESH : 0),
	};
	struct rdma_conn_param param = {
		.private_data = &response,
		.private_data_len = sizeof(response),
		.retry_count = IBTRS_DEFAULT_RETRIES,
		.rnr_retry_count = IBTRS_RNR_FOR_EVER,
	};
	struct server_path *path = con->path;
	u16 cid = con->con.cid;
	int err;

	con->con.id = id;
	id->context = con;
	id->event_handler = con_event;
	err = ibtrs_con_create_qp(&con->con, path->pd, cid, con_size(path, cid));
	if (!err && !cid)
		err = server_path_await_info(path);
	if (!err)
		err = rdma_accept(id, &param);
	return err;
}

/* Takes back what accept() has done, so that the connection manager can destroy the identifier. */
static void unaccept(struct server_con *con, struct rdma_cm_id *id)
{
	ibtrs_con_drain(&con->con);
	ibtrs_con_destroy_qp(&con->con);
	con->con.id = NULL;
}

/* Accepts a request or rejects it. An error has the connection manager destroy the identifier. */
static int admit(struct ibtrs_server *srv, struct rdma_cm_id *id,
		 const struct rdma_conn_param *conn)
{
	struct server_con *con;
	struct server_path *path;
	int err = check_request(id, conn);

	if (!err) {
		con = reserve(srv, id, conn->private_data);
		err = PTR_ERR_OR_ZERO(con);
	}
	if (err) {
		reject(id, err);
		return err;
	}
	path = con->path;
	err = accept(con, id);
	if (err) {
		unaccept(con, id);
		reject(id, err);
		server_path_fail(path, "a connection cannot be accepted");
	}
	mutex_lock(&srv->mutex);
	path->accepting--;
	wake_up_all(&path->wait);
	mutex_unlock(&srv->mutex);
	return err;
}

/* Events of listeners. */
int server_cm_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST)
		return admit(id->context, id, &event->param.conn);
	return 0;
}
