/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ibtrs_client from inside.
 *
 * Who owns what
 * -------------
 *
 * A session owns its paths and its calls, one call for each permit. A path, while it connects or is
 * connected, owns one build: its connections, the server's chunks as seen over them, and the memory
 * in which headers are laid out.
 *
 *	session		a struct device; freed when its last reference is dropped
 *	  path		a kobject below it; the session's list has one reference
 *	    build	path->live; created and destroyed under path->mutex, never reused
 *	  call[k]	who has permit k may have one request in flight, on one build at a time
 *
 * Locks, outermost first
 * ----------------------
 *
 *	sess->mutex		the list of paths (readers: RCU), sysfs of the session
 *	path->mutex		path->live, connecting and taking down; held while an attempt takes
 *	sess->link_mutex	the number of connected paths, and telling the user about it
 *	path->state_lock	path->state and the publication of path->build; taken in any context
 *	call->lock		the state of one call; taken in any context
 *
 * How a build ends
 * ----------------
 *
 * Any trouble calls build_fail(), which may be called in any context and any number of times: it
 * takes the path out of CONNECTED, takes back path->build, so that nobody else finds the build, and
 * has a work take it down. That work, in this order:
 *
 *	1. waits for those that are posting (synchronize_rcu), and stops the heartbeat
 *	2. disconnects and drains all connections: no completion comes any more
 *	3. sends reads again over other paths; writes too, once the server has confirmed each
 *	   disconnect or the packet lifetime has passed, so that none of them can land after a
 *	   newer one. What finds no path fails with -ECONNABORTED
 *	4. destroys queue pairs, memory regions, protection domain, and last the identifiers, which
 *	   wait for their handlers
 *
 * The removal of an RDMA device waits for the identifiers; step 4 is therefore all that it needs.
 */
#ifndef IBTRS_CLIENT_INTERNAL_H
#define IBTRS_CLIENT_INTERNAL_H

#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/spinlock.h>
#include <linux/uuid.h>
#include <linux/wait.h>

#include "../include/ibtrs_client.h"
#include "core.h"

#define HEADER_ROOM		512	/* user header and transport message with one descriptor */
#define HEADERS_PER_PAGE	(PAGE_SIZE / HEADER_ROOM)
#define SIGNAL_PERIOD		64	/* of reads on a connection, whose sends nobody waits for */
#define SMALLEST_HEADER_SIZE	288	/* an OPEN with its read message and descriptor */
#define SMALLEST_IO_SIZE	512
#define REG_PAGE_SIZE		4096
#define MAX_SEGMENTS		31	/* pages in a request of the usual size */

static_assert(IBTRS_MAX_USER_HEADER + sizeof(struct ibtrs_read_message) +
	      sizeof(struct ibtrs_descriptor) <= HEADER_ROOM);

enum path_state {
	PATH_CONNECTING,
	PATH_CONNECTING_ERR,
	PATH_RECONNECTING,
	PATH_CONNECTED,
	PATH_CLOSING,
	PATH_CLOSED,
	PATH_DEAD,
	PATH_STATES,
};

enum policy {
	POLICY_ROUND_ROBIN,
	POLICY_MIN_INFLIGHT,
	POLICY_MIN_LATENCY,
	POLICIES,
};

/* All in milliseconds but @misses. */
struct timers {
	u32 heartbeat;
	u32 misses;
	u32 connect;
	u32 answer;
	u32 packet_lifetime;
	u32 reconnect_delay;
	u32 reconnect_spread;
};

enum call_state {
	CALL_FREE,
	CALL_SENT,	/* the server has it, or will; call->build says over which connections */
	CALL_ANSWERED,	/* the adapter still owes us the end of its own work on the memory */
};

struct call {
	spinlock_t		lock;		/* all of this while the permit is taken */
	enum call_state		state;
	bool			send_done;	/* of a write: its memory is not read any more */
	int			err;
	struct ibtrs_request	*rq;
	struct build		*build;
};

struct chunk {
	u64 addr;
	u32 rkey;
};

struct client_con {
	struct ibtrs_con	con;
	struct build		*build;
	struct ib_cqe		recv;		/* of receives without memory */
	struct ib_cqe		send;		/* of sends that nobody waits for */
	u32			reads;		/* since the last one that was signalled */
	u32			invalidated;	/* the key of the server's last SEND */
	spinlock_t		post_lock;	/* @reads */
	int			step;		/* last CM event that was awaited */
	bool			gone;		/* the peer has confirmed the disconnect */
	bool			answered;	/* @response is valid */
	struct ibtrs_conn_response response;
	/* with key refresh: one receive buffer for each receive */
	struct key_recv		*key_recvs;
	struct ibtrs_key_response *keys;
	u64			keys_dma;
	u32			nr_keys;
};

struct key_recv {
	struct ib_cqe cqe;
};

/* What a build has for each permit. */
struct slot {
	struct build	*build;
	struct ib_mr	*mr;
	struct ib_cqe	send;		/* of a write with data */
	struct ib_cqe	inv;		/* of the local invalidation of a read's key */
	void		*header;
	u64		header_dma;
};

struct build {
	struct ibtrs_path	*path;
	struct ibtrs_session	*sess;
	struct ib_device	*dev;
	struct ib_pd		*pd;
	struct ib_event_handler	events;
	bool			events_registered;
	struct client_con	*cons;
	u32			nr_cons;	/* of the path */
	u32			made;		/* that have an identifier */
	u32			queue_depth;
	u32			chunk_size;
	u32			max_io_size;
	u32			max_header_size;
	u32			max_segments;
	bool			key_refresh;
	unsigned int		shift;
	struct chunk		*chunks;
	struct slot		*slots;
	struct page		**header_pages;
	u64			*header_dmas;
	atomic_t		inflight;
	struct ibtrs_heartbeat	heartbeat;
	wait_queue_head_t	wait;		/* for @err, steps of connections, and their ends */
	int			err;		/* what has ended the attempt */
	bool			removed;	/* the device goes away */
	unsigned long		begun;		/* in jiffies */
	unsigned long		deadline;	/* of the attempt, or of its first answer, in jiffies */
	struct ib_cqe		info_recv;
	struct ib_cqe		info_send;
	struct ibtrs_info_response *info;
	struct ibtrs_info_request *name;
	u64			info_dma, name_dma;
	int			info_len;	/* of what was received; -1 before */
	bool			name_sent;
};

struct path_counts {
	u64 reads, read_bytes, writes, write_bytes, failed_over;
};

struct ibtrs_path {
	struct kobject		kobj;
	struct ibtrs_session	*sess;
	struct list_head	entry;		/* of sess->paths */
	struct sockaddr_storage	src, dst;
	char			name[IBTRS_PATH_NAME_SIZE];
	u8			uuid[IBTRS_UUID_SIZE];
	spinlock_t		state_lock;	/* @state, and changes of @build and @live */
	enum path_state		state;
	struct build __rcu	*build;		/* connected */
	struct mutex		mutex;		/* connecting, taking down, and @live */
	struct build		*live;
	bool			shown;		/* @kobj is in sysfs */
	bool			removed;	/* from the session, under sess->mutex */
	bool			hopeless;	/* the server's queue depth has changed */
	u16			incarnation;
	u16			queue_depth;	/* of the last accept; 0 before the first */
	u32			answered;	/* ms, of the last connection 0; 0 before the first */
	int			attempts;
	atomic_t		interrupts;	/* who wants @mutex, and no attempt to hold it up */
	struct work_struct	lost;
	struct delayed_work	reconnect;
	struct path_counts __percpu *counts;
	atomic_t		reconnected;	/* -1 before the first connect */
	atomic_t		failed;
	char			hca_name[IB_DEVICE_NAME_MAX];
	u32			hca_port;
};

struct ibtrs_session {
	struct device		dev;
	bool			shown;
	struct kobject		*paths_dir;
	char			name[IBTRS_NAME_SIZE];
	u8			uuid[IBTRS_UUID_SIZE];
	const struct ibtrs_session_ops *ops;
	void			*user;
	struct mutex		mutex;		/* changes of @paths */
	struct list_head	paths;
	u32			nr_paths;
	struct mutex		link_mutex;	/* @connected, and telling the user */
	u32			connected;	/* paths, under @link_mutex */
	bool			open;		/* the first connect is behind us */
	bool			closing;
	struct timers		timers;
	int			max_reconnect_attempts;
	enum policy		policy;
	u32 __percpu		*turn;		/* of round-robin */
	u32			queue_depth;
	u32			max_io_size;
	u32			max_segments;
	u16			port;		/* of paths that are added */
	struct call		*calls;
	unsigned long		*permits;	/* set: in use */
	wait_queue_head_t	permit_wait;
};

/* client.c */
extern struct workqueue_struct *ibtrs_lost_wq;
extern struct workqueue_struct *ibtrs_reconnect_wq;
extern const struct class ibtrs_client_class;
int session_adopt(struct ibtrs_session *sess, struct build *build);

/* client_path.c */
const char *path_state_name(enum path_state state);
struct ibtrs_path *path_create(struct ibtrs_session *sess, const struct ibtrs_path_addr *addr);
int path_open(struct ibtrs_path *path);
void path_disconnect(struct ibtrs_path *path);
int path_reconnect(struct ibtrs_path *path);
void path_remove(struct ibtrs_path *path);
void path_interrupt(struct ibtrs_path *path);
bool path_interrupted(struct ibtrs_path *path);
void build_fail(struct build *build, int err, const char *cause);

/* client_build.c */
struct build *build_create(struct ibtrs_path *path);
int build_connect(struct build *build);
void build_disconnect(struct build *build);
void build_wait_gone(struct build *build, u32 timeout_ms);
void build_destroy(struct build *build);

/* client_io.c */
int call_dispatch(struct ibtrs_session *sess, u32 k, bool again);
void calls_failover(struct build *build, bool writes);
void con_recv_done(struct ib_cq *cq, struct ib_wc *wc);
void con_send_done(struct ib_cq *cq, struct ib_wc *wc);
void slot_send_done(struct ib_cq *cq, struct ib_wc *wc);
void slot_inv_done(struct ib_cq *cq, struct ib_wc *wc);
void key_recv_done(struct ib_cq *cq, struct ib_wc *wc);
int client_con_post_recvs(struct client_con *con);

/* client_sysfs.c */
extern const struct attribute_group *ibtrs_session_groups[];
extern const struct kobj_type path_ktype;
int session_show(struct ibtrs_session *sess);
void session_hide(struct ibtrs_session *sess);
int path_show(struct ibtrs_path *path);
void path_hide(struct ibtrs_path *path);
int session_add_path(struct ibtrs_session *sess, const struct ibtrs_path_addr *addr);

#endif /* IBTRS_CLIENT_INTERNAL_H */
