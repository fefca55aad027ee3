/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ibnbd_server from inside.
 *
 * A session begins with its first connected path and ends with its last. A device is what a session
 * has open; its number in sess->devices is its identifier. A target is the real block device, which
 * all devices of all sessions that lead to it share: it counts writers, and keeps order among
 * writes.
 *
 * A device has one use for being open, and one for each I/O in flight. Who ends it, by CLOSE, by
 * force or with the session, takes the first back and waits for the others.
 *
 * Locks, outermost first:
 *
 *	sess->mutex	opening and closing devices of the session; sess->devices is read without
 *			it, under rcu_read_lock()
 *	targets_mutex	targets, their devices, all of sysfs
 *	target->order	the order of writes; taken in any context
 */
#ifndef IBNBD_SERVER_H
#define IBNBD_SERVER_H

#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/kobject.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "../include/ibtrs_order.h"
#include "../include/ibtrs_server.h"
#include "../include/wire.h"

#define MAX_FULL_PATH	4095
#define MAX_SEGMENTS	128	/* what the clients that exist use at most in one request */
#define FEATURES	(IBNBD_FEATURE_IO_MODE | IBNBD_FEATURE_FLAGS)

/* What the exchange of SESS_INFO has settled. Zero before it. */
struct agreement {
	u8	version;	/* the lower of both sides */
	bool	original;	/* the client is of version 1 */
	u32	features;	/* of both sides; none without the marker */
};

struct server_session {
	char			name[IBTRS_NAME_SIZE];
	struct mutex		mutex;
	struct agreement	agreement;
	struct xarray		devices;	/* by identifier */
};

struct target {
	struct kobject		kobj;		/* its directory */
	struct kobject		*sessions_dir;
	struct list_head	entry;
	dev_t			dev;
	char			name[BDEVNAME_SIZE];
	u32			users, writers;
	enum ibnbd_io_mode	io_mode;	/* of all users */
	struct ibtrs_order	order;
};

struct server_device {
	struct kobject		kobj;		/* its directory below sessions */
	struct server_session	*sess;
	struct target		*target;
	struct file		*file;
	struct block_device	*bdev;
	u32			id;
	enum ibnbd_access_mode	access_mode;
	char			path[IBNBD_PATH_SIZE];	/* as sent by the client */
	bool			shown;
	bool			ending;		/* under sess->mutex */
	refcount_t		users;
	struct completion	idle;		/* @users is 0 */
	struct completion	ended;		/* nothing is left but the identifier */
	struct rcu_head		rcu;
};

/* One request, in the scratch memory of the transport. */
struct operation {
	struct ibtrs_server_request *rq;
	struct server_session	*sess;
	struct server_device	*dev;
	struct work_struct	work;
	struct ibtrs_place	place;
	enum ibnbd_op		op;
	u32			flags;
	u16			priority;
	u64			sector;
	u32			size;
	atomic_t		bios;		/* that have not ended, and one for who makes them */
	blk_status_t		status;		/* of the first that failed */
};

/* server.c */
extern struct workqueue_struct *ibnbd_server_wq;
extern const char *ibnbd_search_path(void);
extern enum ibnbd_io_mode ibnbd_default_io_mode(void);

/* server_device.c */
int device_open(struct server_session *sess, const struct ibnbd_open *msg,
		struct ibnbd_open_rsp *rsp);
void device_close(struct server_session *sess, u32 id);
bool device_begin_end(struct server_device *dev);
void device_end(struct server_device *dev);
void devices_close(struct server_session *sess);
struct server_device *device_get(struct server_session *sess, u32 id);
void device_put(struct server_device *dev);

/* server_io.c */
void io_begin(struct server_session *sess, struct ibtrs_server_request *rq);


/* server_sysfs.c */
extern struct mutex targets_mutex;
extern const struct kobj_type target_ktype;
extern const struct kobj_type device_ktype;
int server_ctl_create(void);
void server_ctl_destroy(void);
int target_show(struct target *target, struct block_device *bdev);
void target_hide(struct target *target);
int device_show(struct server_device *dev);
void device_hide(struct server_device *dev);

#endif /* IBNBD_SERVER_H */
