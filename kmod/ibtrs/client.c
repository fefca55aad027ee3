// SPDX-License-Identifier: GPL-2.0
/* The module, and sessions from open to close. */
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "client.h"

MODULE_DESCRIPTION("InfiniBand Transport: client");
MODULE_LICENSE("GPL");

/* Of new sessions; each session can change its own. */
static struct timers defaults = {
	.heartbeat = 250,
	.misses = 3,
	.connect = 2000,
	.answer = 250,
	.packet_lifetime = 400,
	.reconnect_delay = 1000,
	.reconnect_spread = 250,
};

module_param_named(heartbeat_ms, defaults.heartbeat, uint, 0444);
MODULE_PARM_DESC(heartbeat_ms, "milliseconds between two looks at the peer (default 250)");
module_param_named(heartbeat_misses, defaults.misses, uint, 0444);
MODULE_PARM_DESC(heartbeat_misses, "looks at a silent peer that are forgiven (default 3)");
module_param_named(answer_ms, defaults.answer, uint, 0444);
MODULE_PARM_DESC(answer_ms,
		 "Milliseconds that an attempt to reconnect may wait for the first answer, or four times what it took the last time if that is longer; every fourth in a row waits for connect_ms (default 250)");
module_param_named(connect_ms, defaults.connect, uint, 0444);
MODULE_PARM_DESC(
	connect_ms,
	"longest time in milliseconds that an attempt to connect a path may take (default 2000)");
module_param_named(packet_lifetime_ms, defaults.packet_lifetime, uint, 0444);
MODULE_PARM_DESC(packet_lifetime_ms,
		 "milliseconds that writes of a lost path wait for its last packets (default 400)");
module_param_named(reconnect_delay_ms, defaults.reconnect_delay, uint, 0444);
MODULE_PARM_DESC(reconnect_delay_ms,
		 "milliseconds before each attempt to reconnect a path (default 1000)");
module_param_named(reconnect_spread_ms, defaults.reconnect_spread, uint, 0444);
MODULE_PARM_DESC(reconnect_spread_ms,
		 "largest random addition in milliseconds to that (default 250)");

struct workqueue_struct *ibtrs_lost_wq;
struct workqueue_struct *ibtrs_reconnect_wq;

static void session_free(struct ibtrs_session *sess)
{
	kvfree(sess->calls);
	bitmap_free(sess->permits);
	free_percpu(sess->turn);
	mutex_destroy(&sess->mutex);
	mutex_destroy(&sess->link_mutex);
	kfree(sess);
}

static void session_release(struct device *dev)
{
	session_free(container_of(dev, struct ibtrs_session, dev));
}

const struct class ibtrs_client_class = {
	.name = "ibtrs-client",
	.dev_groups = ibtrs_session_groups,
	.dev_release = session_release,
};

/*
 * Takes the limits of a new build. The first one decides how many calls there are; all others must
 * agree.
 */
int session_adopt(struct ibtrs_session *sess, struct build *build)
{
	u32 k;

	if (sess->calls) {
		if (sess->queue_depth != build->queue_depth) {
			pr_warn("ibtrs_client: %s: queue depth of the path is %u, of the session %u\n",
				sess->name, build->queue_depth, sess->queue_depth);
			return -ECONNRESET;
		}
	} else {
		sess->calls = kvcalloc(build->queue_depth, sizeof(*sess->calls), GFP_KERNEL);
		sess->permits = bitmap_zalloc(build->queue_depth, GFP_KERNEL);
		if (!sess->calls || !sess->permits)
			return -ENOMEM;
		for (k = 0; k < build->queue_depth; k++)
			spin_lock_init(&sess->calls[k].lock);
		sess->queue_depth = build->queue_depth;
		sess->max_io_size = build->max_io_size;
		sess->max_segments = build->max_segments;
	}
	build->path->queue_depth = build->queue_depth;
	sess->max_io_size = min(sess->max_io_size, build->max_io_size);
	sess->max_segments = min(sess->max_segments, build->max_segments);
	return 0;
}

static struct ibtrs_session *session_create(const char *name, const struct ibtrs_session_ops *ops,
					    void *user)
{
	struct ibtrs_session *sess = kzalloc(sizeof(*sess), GFP_KERNEL);

	if (!sess)
		return NULL;
	strscpy(sess->name, name, sizeof(sess->name));
	sess->turn = alloc_percpu(u32);
	if (!sess->turn) {
		kfree(sess);
		return NULL;
	}
	get_random_bytes(sess->uuid, sizeof(sess->uuid));
	sess->ops = ops;
	sess->user = user;
	mutex_init(&sess->mutex);
	mutex_init(&sess->link_mutex);
	INIT_LIST_HEAD(&sess->paths);
	init_waitqueue_head(&sess->permit_wait);
	sess->timers = defaults;
	sess->max_reconnect_attempts = -1;
	sess->policy = POLICY_MIN_INFLIGHT;
	device_initialize(&sess->dev);
	sess->dev.class = &ibtrs_client_class;
	return sess;
}

/* Connects one more path and shows it. Needs sess->mutex. */
int session_add_path(struct ibtrs_session *sess, const struct ibtrs_path_addr *addr)
{
	struct ibtrs_path *path;
	int err;

	lockdep_assert_held(&sess->mutex);
	if (sess->closing)
		return -ENODEV;
	if (sess->nr_paths >= IBTRS_MAX_PATHS)
		return -EINVAL;
	path = path_create(sess, addr);
	if (!path)
		return -ENOMEM;
	list_add_tail_rcu(&path->entry, &sess->paths);
	sess->nr_paths++;
	err = path_open(path);
	if (!err)
		err = session_show(sess);
	if (!err)
		err = path_show(path);
	if (err)
		path_remove(path);
	return err;
}

static u16 port_of(const struct sockaddr_storage *addr)
{
	switch (addr->ss_family) {
	case AF_INET:
		return ntohs(((const struct sockaddr_in *)addr)->sin_port);
	case AF_INET6:
		return ntohs(((const struct sockaddr_in6 *)addr)->sin6_port);
	}
	return IBTRS_DEFAULT_PORT;
}

static bool legal_name(const char *name)
{
	size_t length = strlen(name);

	return length && length < IBTRS_NAME_SIZE && !strpbrk(name, "/.");
}

/**
 * ibtrs_open - open a session
 * @name:	of 1 to 254 characters, without '/' and '.'; no other session may have it
 * @ops:	what the session tells
 * @user:	whom
 * @paths:	where to, one after the other; if one of them cannot be connected, none is
 * @count:	of @paths
 *
 * Return: the session, which ibtrs_close() ends, or an error.
 */
struct ibtrs_session *ibtrs_open(const char *name, const struct ibtrs_session_ops *ops, void *user,
				 const struct ibtrs_path_addr *paths, unsigned int count)
{
	struct ibtrs_session *sess;
	unsigned int i;
	int err = -EINVAL;

	if (!count || !legal_name(name))
		return ERR_PTR(-EINVAL);
	sess = session_create(name, ops, user);
	if (!sess)
		return ERR_PTR(-ENOMEM);
	sess->port = port_of(&paths[0].dst);
	mutex_lock(&sess->mutex);
	for (i = 0; i < count; i++) {
		err = session_add_path(sess, &paths[i]);
		if (err)
			break;
	}
	mutex_unlock(&sess->mutex);
	if (err) {
		ibtrs_close(sess);
		return ERR_PTR(err);
	}
	mutex_lock(&sess->link_mutex);
	sess->open = true;
	mutex_unlock(&sess->link_mutex);
	return sess;
}
EXPORT_SYMBOL_GPL(ibtrs_open);

/**
 * ibtrs_close - close a session
 * @sess:	session, of which no request is in flight, and none is submitted any more
 */
void ibtrs_close(struct ibtrs_session *sess)
{
	struct ibtrs_path *path, *next;

	mutex_lock(&sess->mutex);
	mutex_lock(&sess->link_mutex);
	sess->closing = true;
	mutex_unlock(&sess->link_mutex);
	list_for_each_entry(path, &sess->paths, entry)
		path_interrupt(path);
	list_for_each_entry_safe(path, next, &sess->paths, entry)
		path_remove(path);
	mutex_unlock(&sess->mutex);
	/* Nobody adds a path any more; who is about to, ends here. */
	session_hide(sess);
	put_device(&sess->dev);
}
EXPORT_SYMBOL_GPL(ibtrs_close);

void ibtrs_get_limits(struct ibtrs_session *sess, struct ibtrs_limits *limits)
{
	limits->queue_depth = sess->queue_depth;
	limits->max_io_size = READ_ONCE(sess->max_io_size);
	limits->max_segments = READ_ONCE(sess->max_segments);
}
EXPORT_SYMBOL_GPL(ibtrs_get_limits);

bool ibtrs_connected(struct ibtrs_session *sess)
{
	return READ_ONCE(sess->connected);
}
EXPORT_SYMBOL_GPL(ibtrs_connected);

static int check_default(const char *name, u32 value, u32 least, u32 most)
{
	if (value >= least && value <= most)
		return 0;
	pr_err("ibtrs_client: %s is %u, must be %u to %u\n", name, value, least, most);
	return -EINVAL;
}

static int check_defaults(void)
{
	const u32 day = 24 * 60 * 60 * MSEC_PER_SEC;

	return check_default("heartbeat_ms", defaults.heartbeat, 1, day)		     ?:
		       check_default("heartbeat_misses", defaults.misses, 1, 1000)	     ?:
		       check_default("answer_ms", defaults.answer, 1, day)		     ?:
		       check_default("connect_ms", defaults.connect, 1, day)		     ?:
		       check_default("packet_lifetime_ms", defaults.packet_lifetime, 0, day) ?:
		       check_default("reconnect_delay_ms", defaults.reconnect_delay, 0, day) ?:
		       check_default("reconnect_spread_ms", defaults.reconnect_spread, 0, day);
}

static int __init client_init(void)
{
	int err = check_defaults();

	if (err)
		return err;
	err = -ENOMEM;
	ibtrs_lost_wq = alloc_workqueue("ibtrs_lost", WQ_UNBOUND | WQ_MEM_RECLAIM | WQ_HIGHPRI, 0);
	ibtrs_reconnect_wq = alloc_ordered_workqueue("ibtrs_reconnect", 0);
	if (ibtrs_lost_wq && ibtrs_reconnect_wq)
		err = class_register(&ibtrs_client_class);
	if (!err)
		return 0;
	if (ibtrs_lost_wq)
		destroy_workqueue(ibtrs_lost_wq);
	if (ibtrs_reconnect_wq)
		destroy_workqueue(ibtrs_reconnect_wq);
	return err;
}

static void __exit client_exit(void)
{
	class_unregister(&ibtrs_client_class);
	destroy_workqueue(ibtrs_lost_wq);
	destroy_workqueue(ibtrs_reconnect_wq);
}

module_init(client_init);
module_exit(client_exit);
