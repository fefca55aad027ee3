/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ibtrs_server from inside.
 *
 * Who owns what
 * -------------
 *
 *	server		what one user listens for; ends after its last path
 *	  session	the paths of one group UUID, a struct device; ends with its last path
 *	    path	one incarnation of a path, a kobject; never used again
 *	      con[cid]	a connection, made by its request at the connection manager
 *	      request[k]	the request that is in chunk k of the path, if one is
 *
 * Each path has chunks of its own. Paths of a session can be on different devices; and a chunk with
 * which a lost path still works must not be the one that the request is sent to again.
 *
 * The chunks of a half-open path are counted with its first connection, but made only when its INFO
 * request is there: who has only connected has cost no memory to speak of.
 *
 * Locks, outermost first
 * ----------------------
 *
 *	sess->link_mutex	the number of connected paths, and telling the user about it
 *	srv->mutex		sessions, their names and their paths, connections, what all of them
 *				cost; sysfs
 *	path->lock		path->state, taken in any context
 *
 * How a path ends
 * ---------------
 *
 * Any trouble calls server_path_fail(), in any context and any number of times: it takes the path
 * out of CONNECTED, after which no request is begun and no response is sent, and has a work take it
 * down. That work, in this order:
 *
 *	1. waits for connections that are just being accepted, for the INFO exchange, and for those
 *	   that are posting (synchronize_rcu)
 *	2. drains all connections: whatever has come is begun or never will be
 *	3. disconnects them. Only now does the client know, so that a request which it sends again
 *	   over another path comes after all that was begun here
 *	4. waits until the user has responded to all requests, and tells it when the session is down
 *	5. waits for the client to confirm, for a while, and destroys what the path had; the
 *	   identifiers last, for which the removal of an RDMA device waits
 *	6. takes the path out of sysfs and out of its session
 */
#ifndef IBTRS_SERVER_INTERNAL_H
#define IBTRS_SERVER_INTERNAL_H

#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "../include/ibtrs_server.h"
#include "core.h"

#define MAX_HEADER_SIZE		4096	/* of the part of a chunk that is not data */
#define SIGNAL_PERIOD		64	/* of responses on a connection, whose sends nobody waits for */
#define MAX_DESCRIPTORS		16	/* of a read of an original client; others send one */

/* Module parameters. Sizes in bytes unless their name says otherwise. */
struct server_params {
	u32 chunk_size;
	u32 queue_depth;
	bool key_refresh;	/* off with @legacy_clients */
	bool legacy_clients;
	u32 heartbeat_ms;
	u32 misses;
	u32 half_open_ms;
	u32 teardown_ms;
	u32 max_sessions;
	u32 max_half_open;
	u32 max_connections;
	u32 max_memory_mb;
	u32 max_session_mb;
};

enum server_path_state {
	SERVER_PATH_CONNECTING,
	SERVER_PATH_CONNECTED,
	SERVER_PATH_CLOSING,
	SERVER_PATH_CLOSED,
};

struct server_con {
	struct ibtrs_con	con;	/* its identifier is NULL before it is accepted */
	struct server_path	*path;
	struct ib_cqe		recv;
	struct ib_cqe		send;	/* of responses, which nobody waits for */
	atomic_t		sends;	/* responses */
	bool			gone;	/* the client has confirmed the disconnect */
};

/* A piece of memory that has one key: one chunk, or with keys that are kept as many as fit. */
struct region {
	struct ib_mr		*mr;
	struct sg_table		table;
	int			mapped;	/* entries as the device sees them; 0 if it does not */
};

struct server_request {
	struct ibtrs_server_request rq;	/* what the user sees */
	struct server_path	*path;
	struct server_con	*con;	/* on which it has come */
	struct ib_cqe		key;	/* of the chunk's new key */
	unsigned long		busy;	/* bit 0: a request is in the chunk */
	struct scatterlist	*sg;	/* of the chunk */
	u32			nents;
	u64			dma;	/* of the chunk, if it is one piece for the device; else 0 */
	u32			offset;	/* of its transport message */
	u32			new_key;
	bool			invalidate;
	u16			nr_descriptors;	/* of a read: where its data go */
	struct ibtrs_descriptor	descriptors[MAX_DESCRIPTORS];
	u8			header[IBTRS_MAX_USER_HEADER];
};

struct server_counts {
	u64 reads, read_bytes, writes, write_bytes;
};

struct server_path {
	struct kobject		kobj;
	struct server_session	*sess;
	struct ibtrs_server	*srv;
	struct list_head	entry;		/* of sess->paths */
	u8			uuid[IBTRS_UUID_SIZE];
	u16			incarnation;
	struct sockaddr_storage	client, local;
	char			name[IBTRS_PATH_NAME_SIZE];
	struct ib_device	*dev;
	u32			port_num;
	struct ib_pd		*pd;
	struct server_con	**cons;		/* by cid; set under srv->mutex */
	u32			nr_cons;
	u32			accepting;	/* connections; under srv->mutex */
	bool			half_open;	/* and counted as such; under srv->mutex */
	bool			shown;
	bool			up;		/* counted in sess->connected */
	spinlock_t		lock;		/* changes of @state */
	enum server_path_state	state;
	wait_queue_head_t	wait;		/* @accepting, @inflight, @gone of connections */
	struct delayed_work	overdue;	/* the INFO request is */
	struct work_struct	info_work;
	struct work_struct	close_work;
	struct ibtrs_heartbeat	heartbeat;
	struct ib_cqe		info_recv;
	struct ib_cqe		info_send;
	struct ibtrs_info_request *info;
	u64			info_dma;
	struct ibtrs_info_response *answer;
	u64			answer_dma;
	u32			answer_len;
	struct ib_wc		info_wc;	/* of what was received */
	void			**chunks;
	struct region		*regions;
	u32			nr_regions;
	struct server_request	*requests;	/* one for each chunk */
	void			*scratch;
	struct ibtrs_key_response *keys;	/* one for each chunk, with key refresh */
	u64			keys_dma;
	atomic_t		inflight;
	struct server_counts __percpu *counts;
};

struct server_session {
	struct device		dev;
	bool			shown;
	struct kobject		*paths_dir;
	struct ibtrs_server	*srv;
	struct list_head	entry;		/* of srv->sessions */
	u8			group[IBTRS_UUID_SIZE];
	char			name[IBTRS_NAME_SIZE];	/* empty before the first INFO request */
	struct list_head	paths;		/* under srv->mutex, as the rest of this part */
	u32			nr_paths;
	struct mutex		link_mutex;
	u32			connected;	/* paths */
	void			*user;		/* while there are */
};

struct ibtrs_server {
	const struct ibtrs_server_ops *ops;
	struct rdma_cm_id	*listeners[2];
	struct mutex		mutex;
	struct list_head	sessions;
	bool			closed;
	u32			nr_sessions, half_open, nr_cons, nr_paths;
	wait_queue_head_t	wait;		/* for @nr_paths */
};

/* server.c */
extern const struct server_params *const ibtrs_server_params;
extern struct workqueue_struct *ibtrs_server_wq;
extern const struct class ibtrs_server_class;
struct server_session *server_session_create(struct ibtrs_server *srv, const u8 *group);
u64 server_path_bytes(void);

/* server_admit.c */
int server_cm_event(struct rdma_cm_id *id, struct rdma_cm_event *event);

/* server_path.c */
struct server_path *server_path_create(struct server_session *sess, struct rdma_cm_id *id,
				       const struct ibtrs_conn_request *request);
void server_path_fail(struct server_path *path, const char *cause);
int server_path_await_info(struct server_path *path);
bool server_path_connected(const struct server_path *path);

/* server_memory.c */
int server_memory_create(struct server_path *path);
void server_memory_destroy(struct server_path *path);
u32 server_chunks_per_region(const struct server_path *path);

/* server_io.c */
void server_recv_done(struct ib_cq *cq, struct ib_wc *wc);
void server_send_done(struct ib_cq *cq, struct ib_wc *wc);
void server_key_done(struct ib_cq *cq, struct ib_wc *wc);

/* server_sysfs.c */
extern const struct kobj_type server_path_ktype;
int server_session_show(struct server_session *sess);
void server_session_hide(struct server_session *sess);
int server_path_show(struct server_path *path);
void server_path_hide(struct server_path *path);

#endif /* IBTRS_SERVER_INTERNAL_H */
