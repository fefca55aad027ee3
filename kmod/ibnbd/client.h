/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ibnbd_client from inside.
 *
 * A session is made by the first map of its name, and ends with its last device. A device has one
 * reference of the list of its session, one of its disk (until the last user has closed it), and
 * one of whoever works with it.
 *
 * Locks, outermost first:
 *
 *	sessions_mutex		the list of sessions; also held while one of them is closed
 *	sess->mutex		opening the session
 *	dev->mutex		opening, remapping and unmapping the device
 *	sess->lock		the list of devices, their states and remote identifiers, the number
 *				of losses; process context
 *
 * Requests read state and identifier without a lock, under rcu_read_lock(), see devices_lost().
 *
 * The callback of the transport takes sess->lock alone.
 */
#ifndef IBNBD_CLIENT_H
#define IBNBD_CLIENT_H

#include <linux/blk-mq.h>
#include <linux/kobject.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>

#include "../include/ibtrs_client.h"
#include "../include/ibtrs_order.h"
#include "../include/wire.h"

#define MAX_MAP_PATHS	6
#define MINOR_BITS	6	/* of a disk and its partitions */
#define INLINE_SEGMENTS	4

enum device_state {
	DEVICE_INIT,
	DEVICE_OPEN,
	DEVICE_CLOSED,	/* the session is lost, or has come back without the device */
	DEVICE_UNMAPPED,
};

struct ibnbd_session {
	struct kref		ref;
	struct list_head	entry;		/* of the sessions */
	char			name[IBTRS_NAME_SIZE];
	struct mutex		mutex;
	bool			opened;		/* @err is valid */
	int			err;		/* of the first open */
	struct ibtrs_session	*ibtrs;
	struct blk_mq_tag_set	tags;
	bool			has_tags;
	u8			version;
	u32			features;	/* agreed on; 0 without the marker */
	bool			marker;
	spinlock_t		lock;
	struct list_head	devices;
	u32			losses;		/* of the link */
	bool			closing;
	struct work_struct	resume;		/* opens the devices again */
};

struct ibnbd_device {
	struct kref		ref;
	struct kobject		*dir;		/* below the disk */
	struct ibnbd_session	*sess;
	struct list_head	entry;		/* of sess->devices */
	struct mutex		mutex;
	enum device_state	state;
	bool			unmapping;	/* under @mutex */
	u32			remote_id;
	int			index;		/* of the disk; -1 before there is one */
	struct gendisk		*disk;
	struct ibnbd_open_rsp	rsp;
	enum ibnbd_access_mode	access_mode;
	enum ibnbd_io_mode	io_mode;	/* asked for */
	char			path[IBNBD_PATH_SIZE];
	char			*link;		/* name below ctl/devices */
	struct ibtrs_order	order;		/* of what changes blocks */
};

/* What was written to map_device. */
struct map_request {
	char			session[IBTRS_NAME_SIZE];
	char			device_path[IBNBD_PATH_SIZE];
	struct ibtrs_path_addr	paths[MAX_MAP_PATHS];
	unsigned int		nr_paths;
	enum ibnbd_access_mode	access_mode;
	enum ibnbd_io_mode	io_mode;
};

/* client.c */
extern int ibnbd_major;
struct ibnbd_session *session_get(const struct map_request *map);
void session_put(struct ibnbd_session *sess);
int session_info(struct ibnbd_session *sess);

/* client_map.c */
int map_parse(char *text, struct map_request *map);
const char *access_mode_name(enum ibnbd_access_mode mode);
const char *io_mode_name(enum ibnbd_io_mode mode);

/* client_device.c */
int device_map(const struct map_request *map);
int device_unmap(struct ibnbd_device *dev, bool force, const struct attribute *self);
int device_remap(struct ibnbd_device *dev);
int device_resize(struct ibnbd_device *dev, u64 sectors);
void device_put(struct ibnbd_device *dev);
void devices_lost(struct ibnbd_session *sess);
void resume_work(struct work_struct *work);
void unmap_all(void);
enum ibnbd_io_mode io_mode_in_use(const struct ibnbd_device *dev);

/* client_io.c */
int session_create_tags(struct ibnbd_session *sess);
int admin_exchange(struct ibnbd_session *sess, enum ibtrs_direction direction, const void *msg,
		   u16 msg_len, void *reply, u32 reply_len, struct ibnbd_device *still_open);
struct gendisk *device_alloc_disk(struct ibnbd_device *dev, struct queue_limits *limits);

/* client_sysfs.c */
int ctl_create(void);
void ctl_stop(void);
void ctl_destroy(void);
int device_show(struct ibnbd_device *dev);
void device_hide(struct ibnbd_device *dev);

extern struct list_head ibnbd_sessions;
extern struct mutex ibnbd_sessions_mutex;

#endif /* IBNBD_CLIENT_H */
