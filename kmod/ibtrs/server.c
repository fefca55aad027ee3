// SPDX-License-Identifier: GPL-2.0
/* The module, listening, and sessions. */
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <rdma/ib.h>

#include "server.h"

MODULE_DESCRIPTION("InfiniBand Transport: server");
MODULE_LICENSE("GPL");

#define BACKLOG		64
#define LEAST_CHUNK	8192
#define DAY_MS		(24 * 60 * 60 * MSEC_PER_SEC)

static struct server_params params = {
	.chunk_size = 128 * 1024,
	.queue_depth = 512,
	.key_refresh = true,
	.heartbeat_ms = 250,
	.misses = 3,
	.half_open_ms = 60000,
	.teardown_ms = 400,
	.max_sessions = 128,
	.max_half_open = 32,
	.max_connections = 8192,
	.max_memory_mb = 16384,
	.max_session_mb = 8192,
};
const struct server_params *const ibtrs_server_params = &params;

module_param_named(max_chunk_size, params.chunk_size, uint, 0444);
MODULE_PARM_DESC(max_chunk_size,
		 "bytes of a chunk, a power of two of 8192 or more (default 131072)");
module_param_named(sess_queue_depth, params.queue_depth, uint, 0444);
MODULE_PARM_DESC(sess_queue_depth, "chunks of a session, 1 to 65535 (default 512)");
module_param_named(always_invalidate, params.key_refresh, bool, 0444);
MODULE_PARM_DESC(always_invalidate, "give a chunk a new key for each request (default Y)");
module_param_named(legacy_clients, params.legacy_clients, bool, 0444);
MODULE_PARM_DESC(legacy_clients,
		 "let original IBTRS clients in: any request may create a session, keys are kept, reads have up to 16 descriptors (default N)");
module_param_named(heartbeat_ms, params.heartbeat_ms, uint, 0444);
MODULE_PARM_DESC(heartbeat_ms, "milliseconds between two looks at the peer (default 250)");
module_param_named(heartbeat_misses, params.misses, uint, 0444);
MODULE_PARM_DESC(heartbeat_misses, "looks at a silent peer that are forgiven (default 3)");
module_param_named(half_open_ms, params.half_open_ms, uint, 0444);
MODULE_PARM_DESC(half_open_ms,
		 "milliseconds in which a path must send its INFO request (default 60000)");
module_param_named(teardown_ms, params.teardown_ms, uint, 0444);
MODULE_PARM_DESC(
	teardown_ms,
	"longest time in milliseconds that a client may take to confirm a disconnect (default 400)");
module_param_named(max_sessions, params.max_sessions, uint, 0444);
MODULE_PARM_DESC(max_sessions, "sessions at a time (default 128)");
module_param_named(max_half_open, params.max_half_open, uint, 0444);
MODULE_PARM_DESC(max_half_open, "paths without INFO exchange at a time (default 32)");
module_param_named(max_connections, params.max_connections, uint, 0444);
MODULE_PARM_DESC(max_connections, "connections of all paths (default 8192)");
module_param_named(max_memory_mb, params.max_memory_mb, uint, 0444);
MODULE_PARM_DESC(max_memory_mb, "MiB of chunks of all paths (default 16384)");
module_param_named(max_session_mb, params.max_session_mb, uint, 0444);
MODULE_PARM_DESC(max_session_mb, "MiB of chunks of the paths of one session (default 8192)");

struct workqueue_struct *ibtrs_server_wq;

static void session_release(struct device *dev)
{
	struct server_session *sess = container_of(dev, struct server_session, dev);

	mutex_destroy(&sess->link_mutex);
	kfree(sess);
}

const struct class ibtrs_server_class = {
	.name = "ibtrs-server",
	.dev_release = session_release,
};

/* Bytes of chunks that a path has, or is promised. */
u64 server_path_bytes(void)
{
	return (u64)params.queue_depth * params.chunk_size;
}

u32 ibtrs_server_max_io_size(void)
{
	return params.chunk_size - MAX_HEADER_SIZE;
}
EXPORT_SYMBOL_GPL(ibtrs_server_max_io_size);

/* Makes a session of a group. It is known to the server when it has its first path. */
struct server_session *server_session_create(struct ibtrs_server *srv, const u8 *group)
{
	struct server_session *sess = kzalloc(sizeof(*sess), GFP_KERNEL);

	if (!sess)
		return NULL;
	sess->srv = srv;
	memcpy(sess->group, group, IBTRS_UUID_SIZE);
	INIT_LIST_HEAD(&sess->paths);
	mutex_init(&sess->link_mutex);
	device_initialize(&sess->dev);
	sess->dev.class = &ibtrs_server_class;
	return sess;
}

static struct rdma_cm_id *listen_on(struct ibtrs_server *srv, struct sockaddr *addr,
				    enum rdma_ucm_port_space ps)
{
	struct rdma_cm_id *id = rdma_create_id(&init_net, server_cm_event, srv, ps, IB_QPT_RC);
	int err;

	if (IS_ERR(id))
		return id;
	err = rdma_bind_addr(id, addr);
	if (!err)
		err = rdma_listen(id, BACKLOG);
	if (!err)
		return id;
	rdma_destroy_id(id);
	return ERR_PTR(err);
}

/* One listener for IPv6, which IPv4 comes to as well, and one for GIDs. */
static int listen_all(struct ibtrs_server *srv, u16 port)
{
	struct sockaddr_in6 ip = {
		.sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_ANY_INIT,
		.sin6_port = htons(port),
	};
	struct sockaddr_ib gid = {
		.sib_family = AF_IB,
		.sib_pkey = cpu_to_be16(0xffff),
		.sib_sid = cpu_to_be64(RDMA_IB_IP_PS_IB | port),
		.sib_sid_mask = cpu_to_be64(U64_MAX),
	};
	struct rdma_cm_id *id;

	id = listen_on(srv, (struct sockaddr *)&ip, RDMA_PS_TCP);
	if (IS_ERR(id)) {
		pr_err("ibtrs_server: cannot listen on IP port %u: %ld\n", port, PTR_ERR(id));
		return PTR_ERR(id);
	}
	srv->listeners[0] = id;
	id = listen_on(srv, (struct sockaddr *)&gid, RDMA_PS_IB);
	if (IS_ERR(id)) {
		pr_err("ibtrs_server: cannot listen on GID port %u: %ld\n", port, PTR_ERR(id));
		return PTR_ERR(id);
	}
	srv->listeners[1] = id;
	return 0;
}

/**
 * ibtrs_server_open - begin to listen
 * @ops:	the user
 * @port:	for IP and for GID addresses alike
 *
 * Return: the server, which ibtrs_server_close() ends, or an error.
 */
struct ibtrs_server *ibtrs_server_open(const struct ibtrs_server_ops *ops, u16 port)
{
	struct ibtrs_server *srv = kzalloc(sizeof(*srv), GFP_KERNEL);
	int err;

	if (!srv)
		return ERR_PTR(-ENOMEM);
	srv->ops = ops;
	mutex_init(&srv->mutex);
	INIT_LIST_HEAD(&srv->sessions);
	init_waitqueue_head(&srv->wait);
	err = listen_all(srv, port);
	if (err) {
		ibtrs_server_close(srv);
		return ERR_PTR(err);
	}
	return srv;
}
EXPORT_SYMBOL_GPL(ibtrs_server_open);

static bool no_paths(struct ibtrs_server *srv)
{
	bool none;

	mutex_lock(&srv->mutex);
	none = !srv->nr_paths;
	mutex_unlock(&srv->mutex);
	return none;
}

/**
 * ibtrs_server_close - end a server and all its sessions
 * @srv:	server
 *
 * Waits for the requests that the user has. When this returns, no operation of the user is called
 * any more.
 */
void ibtrs_server_close(struct ibtrs_server *srv)
{
	struct server_session *sess;
	struct server_path *path;
	int i;

	for (i = 0; i < ARRAY_SIZE(srv->listeners); i++)
		if (srv->listeners[i])
			rdma_destroy_id(srv->listeners[i]);
	mutex_lock(&srv->mutex);
	srv->closed = true;
	list_for_each_entry(sess, &srv->sessions, entry)
		list_for_each_entry(path, &sess->paths, entry)
			server_path_fail(path, "the server ends");
	mutex_unlock(&srv->mutex);
	wait_event(srv->wait, no_paths(srv));
	flush_workqueue(ibtrs_server_wq);
	mutex_destroy(&srv->mutex);
	kfree(srv);
}
EXPORT_SYMBOL_GPL(ibtrs_server_close);

static int check_param(const char *name, u32 value, u32 least, u32 most)
{
	if (value >= least && value <= most)
		return 0;
	pr_err("ibtrs_server: %s is %u, must be %u to %u\n", name, value, least, most);
	return -EINVAL;
}

static int check_geometry(void)
{
	if (!is_power_of_2(params.chunk_size)) {
		pr_err("ibtrs_server: max_chunk_size is %u, must be a power of two\n",
		       params.chunk_size);
		return -EINVAL;
	}
	if (ibtrs_geometry_fits(params.queue_depth, params.chunk_size))
		return 0;
	pr_err("ibtrs_server: sess_queue_depth %u and max_chunk_size %u do not fit into %u bits of immediate data together\n",
	       params.queue_depth, params.chunk_size, IBTRS_IMM_PAYLOAD_BITS);
	return -EINVAL;
}

static int check_memory(const char *name, u32 mb)
{
	if ((u64)mb << 20 >= server_path_bytes())
		return 0;
	pr_err("ibtrs_server: %s is %u, one path alone needs %llu bytes\n", name, mb,
	       server_path_bytes());
	return -EINVAL;
}

static int check_params(void)
{
	return check_param("sess_queue_depth", params.queue_depth, 1, U16_MAX)		       ?:
	       check_param("max_chunk_size", params.chunk_size, LEAST_CHUNK, BIT(28))	       ?:
	       check_geometry()								       ?:
	       check_param("heartbeat_ms", params.heartbeat_ms, 1, DAY_MS)		       ?:
	       check_param("heartbeat_misses", params.misses, 1, 1000)			       ?:
	       check_param("half_open_ms", params.half_open_ms, 1, DAY_MS)		       ?:
	       check_param("teardown_ms", params.teardown_ms, 0, DAY_MS)		       ?:
	       check_param("max_sessions", params.max_sessions, 1, BIT(20))		       ?:
	       check_param("max_half_open", params.max_half_open, 1, BIT(20))		       ?:
	       check_param("max_connections", params.max_connections, IBTRS_MAX_CONNECTIONS,
			   BIT(20))							       ?:
	       check_memory("max_memory_mb", params.max_memory_mb)			       ?:
	       check_memory("max_session_mb", params.max_session_mb);
}

static int __init server_init(void)
{
	int err = check_params();

	if (err)
		return err;
	if (params.legacy_clients)
		params.key_refresh = false;
	ibtrs_server_wq = alloc_workqueue("ibtrs_server", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!ibtrs_server_wq)
		return -ENOMEM;
	err = class_register(&ibtrs_server_class);
	if (err)
		destroy_workqueue(ibtrs_server_wq);
	return err;
}

static void __exit server_exit(void)
{
	class_unregister(&ibtrs_server_class);
	destroy_workqueue(ibtrs_server_wq);
}

module_init(server_init);
module_exit(server_exit);
