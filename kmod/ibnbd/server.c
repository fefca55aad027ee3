// SPDX-License-Identifier: GPL-2.0
/* The module, sessions, and what is done with their messages. */
#include <linux/module.h>
#include <linux/slab.h>

#include "server.h"

MODULE_DESCRIPTION("InfiniBand Network Block Device: server");
MODULE_LICENSE("GPL");

static char search_path[MAX_FULL_PATH + 1] = "/";

static int search_path_set(const char *value, const struct kernel_param *kp)
{
	size_t length = strcspn(value, "\n");

	if (length > MAX_FULL_PATH) {
		pr_err("ibnbd_server: dev_search_path has %zu bytes, must have %d at most\n",
		       length, MAX_FULL_PATH);
		return -EINVAL;
	}
	strscpy(search_path, value, length + 1);
	return 0;
}

static int search_path_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%s\n", search_path);
}

static const struct kernel_param_ops search_path_ops = {
	.set = search_path_set,
	.get = search_path_get,
};
module_param_cb(dev_search_path, &search_path_ops, NULL, 0444);
MODULE_PARM_DESC(dev_search_path,
		 "where device paths lead; may have %SESSNAME% in it (default \"/\")");

static unsigned int def_io_mode = IBNBD_IO_BLOCK;
module_param(def_io_mode, uint, 0444);
MODULE_PARM_DESC(def_io_mode,
		 "I/O mode of clients that choose none: 0 file, 1 block (default 1)");

static ushort port_nr = IBTRS_DEFAULT_PORT;
module_param(port_nr, ushort, 0444);
MODULE_PARM_DESC(port_nr, "port to listen on (default 1234)");

struct workqueue_struct *ibnbd_server_wq;
static struct workqueue_struct *admin_wq; /* of OPEN and CLOSE, which wait for I/O */
static struct ibtrs_server *transport;

const char *ibnbd_search_path(void)
{
	return search_path;
}

enum ibnbd_io_mode ibnbd_default_io_mode(void)
{
	return def_io_mode;
}

/* Writes an answer where the client will read it, and nothing else (Clause IBNBD-MSG-014). */
static int reply(struct ibtrs_server_request *rq, const void *msg, size_t size)
{
	memset(rq->data, 0, rq->data_len);
	memcpy(rq->data, msg, size);
	return 0;
}

static bool has_room(const struct ibtrs_server_request *rq, size_t size)
{
	return rq->direction == IBTRS_READ && rq->data_len >= size;
}

/* Agrees on version and features; may come again at any time (Clauses IBNBD-MSG-016, -017). */
static int session_info(struct server_session *sess, struct ibtrs_server_request *rq)
{
	const struct ibnbd_sess_info *msg = rq->header;
	struct ibnbd_sess_info rsp = { .type = cpu_to_le16(IBNBD_MSG_SESS_INFO_RSP) };
	struct agreement a = {};

	if (rq->header_len < sizeof(*msg) || !has_room(rq, sizeof(rsp)) || !msg->version)
		return -EINVAL;
	a.version = min_t(u8, msg->version, IBNBD_VERSION);
	a.original = a.version == IBNBD_VERSION_ORIGINAL;
	rsp.version = a.version;
	if (!a.original && !memcmp(msg->marker, IBNBD_MARKER, IBNBD_MARKER_SIZE)) {
		a.features = le32_to_cpu(msg->features) & FEATURES;
		memcpy(rsp.marker, IBNBD_MARKER, IBNBD_MARKER_SIZE);
		rsp.features = cpu_to_le32(a.features);
	}
	mutex_lock(&sess->mutex);
	sess->agreement = a;
	mutex_unlock(&sess->mutex);
	return reply(rq, &rsp, sizeof(rsp));
}

static int open_message(struct server_session *sess, struct ibtrs_server_request *rq)
{
	struct ibnbd_open_rsp rsp;
	int err;

	if (rq->header_len < sizeof(struct ibnbd_open) || !has_room(rq, sizeof(rsp)))
		return -EINVAL;
	err = device_open(sess, rq->header, &rsp);
	return err ?: reply(rq, &rsp, sizeof(rsp));
}

static int close_message(struct server_session *sess, struct ibtrs_server_request *rq)
{
	const struct ibnbd_close *msg = rq->header;

	if (rq->header_len < sizeof(*msg))
		return -EINVAL;
	device_close(sess, le32_to_cpu(msg->device_id));
	return 0;
}

static u16 type_of(const struct ibtrs_server_request *rq)
{
	return le16_to_cpu(*(const __le16 *)rq->header);
}

/* What may wait for I/O, or for the lookup of a path. */
static void admin_work(struct work_struct *work)
{
	struct operation *op = container_of(work, struct operation, work);
	struct ibtrs_server_request *rq = op->rq;
	int err;

	if (ibtrs_server_abandoned(rq)) {
		ibtrs_server_respond(rq, -EIO);
		return;
	}
	switch (type_of(rq)) {
	case IBNBD_MSG_SESS_INFO:
		err = session_info(op->sess, rq);
		break;
	case IBNBD_MSG_OPEN:
		err = open_message(op->sess, rq);
		break;
	default:
		err = close_message(op->sess, rq);
	}
	ibtrs_server_respond(rq, err);
}

static void take_request(void *session, struct ibtrs_server_request *rq)
{
	struct operation *op = rq->scratch;

	if (rq->header_len < offsetof(struct ibnbd_close, device_id)) {
		ibtrs_server_respond(rq, -EINVAL);
		return;
	}
	switch (type_of(rq)) {
	case IBNBD_MSG_IO:
		io_begin(session, rq);
		break;
	case IBNBD_MSG_SESS_INFO:
	case IBNBD_MSG_OPEN:
	case IBNBD_MSG_CLOSE:
		op->rq = rq;
		op->sess = session;
		INIT_WORK(&op->work, admin_work);
		queue_work(admin_wq, &op->work);
		break;
	default:
		ibtrs_server_respond(rq, -EINVAL); /* Clause IBNBD-MSG-011 */
	}
}

static void *session_up(const char *name)
{
	struct server_session *sess = kzalloc(sizeof(*sess), GFP_KERNEL);

	if (!sess)
		return ERR_PTR(-ENOMEM);
	strscpy(sess->name, name, sizeof(sess->name));
	mutex_init(&sess->mutex);
	xa_init_flags(&sess->devices, XA_FLAGS_ALLOC);
	return sess;
}

static void session_down(void *session)
{
	struct server_session *sess = session;

	devices_close(sess);
	xa_destroy(&sess->devices);
	mutex_destroy(&sess->mutex);
	kfree(sess);
}

static const struct ibtrs_server_ops ops = {
	.scratch_size = sizeof(struct operation),
	.session_up = session_up,
	.session_down = session_down,
	.request = take_request,
};

static int create_queues(void)
{
	ibnbd_server_wq = alloc_workqueue("ibnbd_server", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	admin_wq = alloc_workqueue("ibnbd_server_admin", WQ_UNBOUND, 0);
	return ibnbd_server_wq && admin_wq ? 0 : -ENOMEM;
}

static void destroy_queues(void)
{
	if (admin_wq)
		destroy_workqueue(admin_wq);
	if (ibnbd_server_wq)
		destroy_workqueue(ibnbd_server_wq);
}

static int __init server_init(void)
{
	int err;

	if (def_io_mode > IBNBD_IO_BLOCK) {
		pr_err("ibnbd_server: def_io_mode is %u, must be 0 (file) or 1 (block)\n",
		       def_io_mode);
		return -EINVAL;
	}
	err = create_queues();
	if (!err)
		err = server_ctl_create();
	if (err) {
		destroy_queues();
		return err;
	}
	transport = ibtrs_server_open(&ops, port_nr);
	if (!IS_ERR(transport))
		return 0;
	server_ctl_destroy();
	destroy_queues();
	return PTR_ERR(transport);
}

static void __exit server_exit(void)
{
	ibtrs_server_close(transport);
	server_ctl_destroy();
	destroy_queues();
}

module_init(server_init);
module_exit(server_exit);
