/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ib_srp: an initiator of SRP over RDMA/CM that keeps its disks, fails I/O in time, and reconnects
 * one target at a time.
 *
 * A port is a target port that was logged in to, with its SCSI host; it lives until it is deleted.
 * A connection is what exists of it while it is connected: channels, buffers and memory regions,
 * all on one RDMA device. A connection that has failed is never mended: it is taken apart, and the
 * next attempt makes another.
 */
#ifndef IB_SRP_H
#define IB_SRP_H

#include <linux/completion.h>
#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/socket.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <rdma/ib_cache.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_host.h>

#include "wire.h"

#define SRP_PAGE_SIZE		4096	/* of memory regions */
#define SRP_MAX_CDB		32
#define SRP_IMM_OFFSET		68	/* behind the longest CDB and the length of immediate data */
#define SRP_IMM_SGES		2	/* pieces that immediate data may come in */
#define SRP_MIN_RECV		8260	/* no target of ours or of Linux sends longer units */
#define SRP_ANSWERS		4	/* to requests of the target, of which one may be unanswered */
#define SRP_TM_SECONDS		5
#define SRP_READ_DEPTH		4	/* RDMA READs of the target at a time */
#define SRP_RNR_FOR_EVER	7
#define SRP_OFF			(-1)	/* a timer that never expires */
#define SRP_MAX_FAST_FAIL	600
#define SRP_EAGER_FAILURES	8	/* after so many the pause doubles */
#define SRP_GAP_MS		100	/* between two attempts */
#define SRP_LOGOUT_MS		1000
#define SRP_RESOLVE_MS		1000U	/* for an address */
#define SRP_MAX_CHANNELS	64
#define SRP_NAME_SIZE		64

/**
 * struct srp_params - what a login string says
 * @seen:		bits of the parameters that were there
 * @attempt_tmo_ms:	for one attempt to connect
 */
struct srp_params {
	u32			seen;
	u64			id_ext;
	u64			ioc_guid;
	u64			initiator_ext;
	struct sockaddr_storage	src;
	struct sockaddr_storage	dst;
	u16			io_class;
	u32			max_sectors;
	u32			cmd_per_lun;
	u32			target_can_queue;
	u32			queue_size;
	u32			cmd_sg_entries;
	u32			sg_tablesize;
	u32			comp_vector;
	u32			retry_count;
	u32			ack_timeout;	/* code; 0 leaves it to the connection manager */
	u32			max_iu;
	u32			channels;
	bool			allow_ext_sg;
	bool			has_src;
};

int srp_parse_login(const char *line, struct srp_params *p);

enum srp_state { SRP_RUNNING, SRP_BLOCKED, SRP_FAIL_FAST, SRP_LOST };

const char *srp_state_name(enum srp_state state);

struct srp_conn;

/* A receive buffer */
struct srp_recv {
	struct ib_cqe	cqe;
	void		*buf;
	u64		dma;
};

/* A unit that answers a request of the target */
struct srp_answer {
	struct ib_cqe		cqe;
	struct srp_short	*iu;
	u64			dma;
	bool			busy;
};

/* A command without data by which a target is asked whether it answers */
struct srp_ping {
	struct ib_cqe		cqe;
	struct srp_cmd		*iu;
	u64			dma;
	u64			tag;
	u32			life;
	bool			sending;
	bool			outstanding;
};

/**
 * struct srp_channel - one reliable connection
 * @conn:	which it is a part of
 * @id:		its identifier at the connection manager
 * @lock:	guards @credits, @closed, @answers, @ping, and who ends a command
 * @credits:	requests that may still be sent
 * @closed:	nothing is posted any more
 * @heard:	jiffies of the last unit or acknowledge
 * @answered:	jiffies of the last unit
 * @probing:	a write of nothing has not been acknowledged since @probed
 */
struct srp_channel {
	struct srp_conn		*conn;
	struct rdma_cm_id	*id;
	struct ib_cq		*cq;
	spinlock_t		lock; /* see above */
	s32			credits;
	bool			closed;
	bool			imm;
	u32			max_iu;
	struct srp_recv		*recvs;
	struct srp_answer	answers[SRP_ANSWERS];
	struct srp_ping		ping;
	struct ib_cqe		probe;
	struct ib_cqe		bye;
	struct completion	said_bye;
	unsigned long		heard;
	unsigned long		answered;
	unsigned long		probed;
	bool			probing;
	int			step;
	int			rej_cm;
	bool			disconnected;
};

/**
 * struct srp_slot - what a SCSI command needs while it is outstanding
 * @cmd:	the command; NULL when somebody has begun to end it
 * @ending:	the command, from then on until it has ended
 * @waits:	completions that must come before the command may end
 *
 * Slots are numbered as the tags of the block layer, which are unique in a host.
 */
struct srp_slot {
	struct srp_channel	*ch;
	struct scsi_cmnd	*cmd;
	struct scsi_cmnd	*ending;
	atomic_t		waits;
	u64			tag;
	u32			life;
	unsigned long		sent;
	struct ib_cqe		send;
	struct ib_cqe		reg;
	struct ib_cqe		inv;
	struct ib_mr		*mr;
	bool			registered;
	int			nents;
	enum dma_data_direction	dir;
	void			*buf;
	u64			dma;
};

/* The task management function under way */
struct srp_tm {
	struct ib_cqe		cqe;
	struct srp_tsk_mgmt	*iu;
	u64			dma;
	u64			tag;
	u32			life;
	bool			busy;
	u8			code;
	struct completion	done;
};

/**
 * struct srp_conn - a port while it is connected, or an attempt to connect it
 * @entry:	in the list of all, under srp_lists
 * @err:	why it has failed; set once
 * @wait:	woken when a step is reached, or when it fails
 * @ready:	the port uses it, which is told of a failure
 * @asking:	0, or the context of a user that signals interrupt
 */
struct srp_conn {
	struct srp_port		*port;
	struct list_head	entry;
	struct ib_device	*dev;
	u32			port_num;
	struct ib_pd		*pd;
	int			err;
	bool			ready;
	bool			interruptible;
	unsigned long		deadline;
	wait_queue_head_t	wait;
	struct srp_channel	*channels;
	int			nr_channels;
	int			used;
	u32			depth;
	u32			iu_size;
	u32			recv_size;
	struct srp_slot		*slots;
	struct srp_tm		tm;
	u32			reject;
};

/**
 * struct srp_port - a target port, with its SCSI host
 * @conn:	what commands are sent over, or NULL; RCU
 * @mutex:	guards state, timers and the exchange of @conn. Never held while anything on the network
 *		is waited for.
 * @scanning:	the first scan, during which a loss ends the port
 */
struct srp_port {
	struct Scsi_Host	*host;
	struct device		dev;
	struct list_head	entry;
	struct srp_params	params;
	char			ib_name[IB_DEVICE_NAME_MAX];
	u32			ib_port;
	u32			ack_timeout;	/* code that the queue pairs have */
	u32			command_tmo;	/* seconds; 0 for what the bound asks for */
	u8			initiator_id[16];
	u8			target_id[16];
	union ib_gid		sgid;

	struct srp_conn __rcu	*conn;
	struct srp_conn		*attempt;
	struct mutex		mutex; /* see above */
	enum srp_state		state;
	bool			removing;
	bool			scanning;
	int			fast_io_fail_tmo;
	int			dev_loss_tmo;
	int			reconnect_delay;
	u32			reconnect_delay_max;
	u32			probe_ms;
	u32			deadline_ms;
	int			failed_reconnects;
	int			last_error;
	u32			last_reject;
	bool			reconnecting;
	unsigned long		lost_at;
	u32			zero_req_lim;

	struct work_struct	loss_work;
	struct work_struct	kick_work;
	struct work_struct	remove_work;
	struct delayed_work	reconnect_work;
	struct delayed_work	fast_fail_work;
	struct delayed_work	dev_loss_work;
	struct delayed_work	watch_work;
	struct mutex		tm_mutex; /* one task management function at a time */
	wait_queue_head_t	idle;
};

/* A local port of an RDMA device, with the file to which login strings are written */
struct srp_local {
	struct device		dev;
	struct srp_device	*device;
	u32			port_num;
	u32			retries;
	u32			last_reject;
};

struct srp_device {
	struct ib_device	*ib;
	struct ib_event_handler	events;
	struct srp_local	**locals;
	u32			nr_locals;
	bool			removed;
	struct list_head	entry;
};

/* main.c */
struct srp_defaults {
	int	reconnect_delay;
	int	fast_io_fail_tmo;
	int	dev_loss_tmo;
	uint	reconnect_delay_max;
	uint	probe_ms;
	uint	deadline_ms;
	uint	attempt_ms;
	uint	cmd_sg_entries;
	uint	indirect_sg_entries;
	uint	ch_count;
	uint	max_imm_data;
	bool	use_imm_data;
	bool	allow_ext_sg;
	bool	never_register;
};

extern struct srp_defaults srp_def;
extern struct workqueue_struct *srp_wq;		/* losses, timers, removals: never wait for the network */
extern struct workqueue_struct *srp_gate_wq;	/* ordered: attempts, one at a time */
extern struct device *srp_root;
extern const struct class srp_port_class;
extern spinlock_t srp_lists;
extern struct list_head srp_conns;
extern struct list_head srp_ports;
extern wait_queue_head_t srp_conns_wait;
extern const struct class srp_local_class;
extern bool srp_exiting;
bool srp_device_usable(const char *name);

int srp_gate_enter_first(void);
void srp_gate_enter(void);
void srp_gate_leave(void);

/* connection.c */
struct srp_conn *srp_connect(struct srp_port *port, bool interruptible);
void srp_conn_fail(struct srp_conn *conn, int err, const char *why);
void srp_conn_log_out(struct srp_conn *conn);
void srp_conn_close(struct srp_conn *conn);
void srp_conn_destroy(struct srp_conn *conn);
bool srp_conn_watch(struct srp_conn *conn, u32 probe_ms, u32 deadline_ms);

/* io.c */
int srp_queuecommand(struct Scsi_Host *host, struct scsi_cmnd *cmd);
int srp_abort(struct scsi_cmnd *cmd);
int srp_reset_lun(struct scsi_cmnd *cmd);
int srp_reset_host(struct scsi_cmnd *cmd);
enum scsi_timeout_action srp_timed_out(struct scsi_cmnd *cmd);
void srp_recv_done(struct ib_cq *cq, struct ib_wc *wc);
void srp_slot_init(struct srp_slot *slot);
void srp_tm_init(struct srp_tm *tm);
void srp_ping_init(struct srp_ping *ping);
int srp_send_ping(struct srp_channel *ch, const u8 *lun);
void srp_end_all(struct srp_conn *conn, int result);
int srp_post_recv(struct srp_channel *ch, struct srp_recv *recv);

/* port.c */
int srp_port_create(struct srp_local *local, const struct srp_params *params);
void srp_port_delete(struct srp_port *port);
void srp_port_kick(struct srp_port *port);
void srp_timers_changed(struct srp_port *port);
bool srp_tmo_legal(int reconnect_delay, int fast_io_fail_tmo, int dev_loss_tmo);
s64 srp_bound_ms(struct srp_port *port);
void srp_set_command_timer(struct srp_port *port, struct scsi_device *sdev);

/* sysfs.c */
extern const struct attribute_group *srp_port_groups[];
extern const struct attribute_group *srp_host_groups[];

static inline struct srp_port *host_port(struct Scsi_Host *host)
{
	return shost_priv(host);
}

#endif
