// SPDX-License-Identifier: GPL-2.0
/* The module, and sessions from the first map to the last unmap. */
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "client.h"

MODULE_DESCRIPTION("InfiniBand Network Block Device: client");
MODULE_LICENSE("GPL");

int ibnbd_major;
LIST_HEAD(ibnbd_sessions);
DEFINE_MUTEX(ibnbd_sessions_mutex);

#define FEATURES (IBNBD_FEATURE_IO_MODE | IBNBD_FEATURE_FLAGS)

/* Tells the server our version and learns its own (Clause IBNBD-MSG-001). */
int session_info(struct ibnbd_session *sess)
{
	struct ibnbd_sess_info msg = {
		.type = cpu_to_le16(IBNBD_MSG_SESS_INFO),
		.version = IBNBD_VERSION,
		.features = cpu_to_le32(FEATURES),
	};
	struct ibnbd_sess_info *rsp;
	int err;

	rsp = kzalloc(sizeof(*rsp), GFP_KERNEL);
	if (!rsp)
		return -ENOMEM;
	memcpy(msg.marker, IBNBD_MARKER, IBNBD_MARKER_SIZE);
	err = admin_exchange(sess, IBTRS_READ, &msg, sizeof(msg), rsp, sizeof(*rsp), NULL);
	if (!err && le16_to_cpu(rsp->type) != IBNBD_MSG_SESS_INFO_RSP) {
		pr_err("ibnbd_client: %s: SESS_INFO answered with type %u\n", sess->name,
		       le16_to_cpu(rsp->type));
		err = -EINVAL;
	}
	if (!err) {
		sess->version = min_t(u8, rsp->version, IBNBD_VERSION);
		sess->marker = rsp->version >= IBNBD_VERSION &&
			       !memcmp(rsp->marker, IBNBD_MARKER, IBNBD_MARKER_SIZE);
		sess->features = sess->marker ? le32_to_cpu(rsp->features) & FEATURES : 0;
	}
	kfree(rsp);
	return err;
}

/* What the transport tells. */
static void link_changed(void *user, bool up)
{
	struct ibnbd_session *sess = user;

	if (!up) {
		devices_lost(sess);
		return;
	}
	spin_lock(&sess->lock);
	if (!sess->closing)
		queue_work(system_unbound_wq, &sess->resume);
	spin_unlock(&sess->lock);
}

static const struct ibtrs_session_ops session_ops = { .link = link_changed };

static int session_open(struct ibnbd_session *sess, const struct map_request *map)
{
	int err;

	if (!map->nr_paths) {
		pr_err("ibnbd_client: map_device: session %s does not exist, and no path= says where it goes\n",
		       sess->name);
		return -EINVAL;
	}
	sess->ibtrs = ibtrs_open(sess->name, &session_ops, sess, map->paths, map->nr_paths);
	if (IS_ERR(sess->ibtrs)) {
		err = PTR_ERR(sess->ibtrs);
		sess->ibtrs = NULL;
		return err;
	}
	err = session_create_tags(sess);
	return err ?: session_info(sess);
}

static void session_close(struct ibnbd_session *sess)
{
	spin_lock(&sess->lock);
	sess->closing = true;
	spin_unlock(&sess->lock);
	cancel_work_sync(&sess->resume);
	if (sess->ibtrs)
		ibtrs_close(sess->ibtrs);
	if (sess->has_tags)
		blk_mq_free_tag_set(&sess->tags);
	mutex_destroy(&sess->mutex);
	kfree(sess);
}

/*
 * The session is closed before its name is free, so that a new one of that name does not meet the
 * old one.
 */
static void session_release(struct kref *ref)
{
	struct ibnbd_session *sess = container_of(ref, struct ibnbd_session, ref);

	list_del(&sess->entry);
	session_close(sess);
	mutex_unlock(&ibnbd_sessions_mutex);
}

void session_put(struct ibnbd_session *sess)
{
	kref_put_mutex(&sess->ref, session_release, &ibnbd_sessions_mutex);
}

static struct ibnbd_session *session_find_or_create(const char *name)
{
	struct ibnbd_session *sess;

	mutex_lock(&ibnbd_sessions_mutex);
	list_for_each_entry(sess, &ibnbd_sessions, entry)
		if (!strcmp(sess->name, name)) {
			kref_get(&sess->ref);
			goto unlock;
		}
	sess = kzalloc(sizeof(*sess), GFP_KERNEL);
	if (!sess)
		goto unlock;
	kref_init(&sess->ref);
	strscpy(sess->name, name, sizeof(sess->name));
	mutex_init(&sess->mutex);
	spin_lock_init(&sess->lock);
	INIT_LIST_HEAD(&sess->devices);
	INIT_WORK(&sess->resume, resume_work);
	list_add_tail(&sess->entry, &ibnbd_sessions);
unlock:
	mutex_unlock(&ibnbd_sessions_mutex);
	return sess;
}

/**
 * session_get - the session of a name, opened if it is new
 * @map:	name and paths; those of a session that exists are ignored
 *
 * Return: the session with a reference, or what has kept it from opening.
 */
struct ibnbd_session *session_get(const struct map_request *map)
{
	struct ibnbd_session *sess = session_find_or_create(map->session);
	int err;

	if (!sess)
		return ERR_PTR(-ENOMEM);
	mutex_lock(&sess->mutex);
	if (!sess->opened) {
		sess->err = session_open(sess, map);
		sess->opened = true;
	}
	err = sess->err;
	mutex_unlock(&sess->mutex);
	if (err) {
		session_put(sess);
		return ERR_PTR(err);
	}
	return sess;
}

static int __init client_init(void)
{
	int err;

	ibnbd_major = register_blkdev(0, "ibnbd");
	if (ibnbd_major < 0)
		return ibnbd_major;
	err = ctl_create();
	if (err)
		unregister_blkdev(ibnbd_major, "ibnbd");
	return err;
}

static void __exit client_exit(void)
{
	ctl_stop();
	unmap_all();
	ctl_destroy();
	unregister_blkdev(ibnbd_major, "ibnbd");
}

module_init(client_init);
module_exit(client_exit);
