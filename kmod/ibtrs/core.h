/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ibtrs_core: what the transport's client and server have in common.
 *
 * Addresses, the arithmetic of immediate data, one RDMA connection with its completion queue, and
 * the heartbeat of a path. Nothing here has state of its own: everything lives in structures that
 * the client or the server embeds, and ends before they do.
 */
#ifndef IBTRS_CORE_H
#define IBTRS_CORE_H

#include <linux/bitfield.h>
#include <linux/inet.h>
#include <linux/ktime.h>
#include <linux/socket.h>
#include <linux/workqueue.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>

#include "../include/wire.h"

#define IBTRS_MAX_PATHS		128	/* of a session */
#define IBTRS_MAX_CONNECTIONS	4096	/* of a path */
#define IBTRS_ADMIN_DEPTH	512	/* work requests for each purpose on connection 0 */
#define IBTRS_PATH_NAME_SIZE	128	/* of "<source>@<destination>" */
#define IBTRS_DEFAULT_RETRIES	7
#define IBTRS_RNR_FOR_EVER	7

/* Addresses: ip:<ipv4>, ip:<ipv6>[%<scope>] and gid:<gid>. */

int ibtrs_parse_addr(const char *text, u16 port, struct sockaddr_storage *addr);
int ibtrs_parse_path(char *text, u16 port, struct sockaddr_storage *src,
		     struct sockaddr_storage *dst);
int ibtrs_format_addr(const struct sockaddr_storage *addr, char *buf, size_t size);
ssize_t ibtrs_emit_addr(char *buf, const struct sockaddr_storage *addr);
void ibtrs_path_name(const struct sockaddr_storage *src, const struct sockaddr_storage *dst,
		     char *buf, size_t size);
bool ibtrs_same_addr(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

/* Immediate data. All of these take and give integers of the host. */

static inline u32 ibtrs_imm(enum ibtrs_imm_type type, u32 payload)
{
	return FIELD_PREP(IBTRS_IMM_TYPE, type) | FIELD_PREP(IBTRS_IMM_PAYLOAD, payload);
}

/* How many binary digits it takes to write @n; none for 0. */
static inline unsigned int ibtrs_bits(u32 n)
{
	return fls(n);
}

static inline unsigned int ibtrs_imm_shift(u32 queue_depth)
{
	return IBTRS_IMM_PAYLOAD_BITS - ibtrs_bits(queue_depth - 1);
}

bool ibtrs_geometry_fits(u32 queue_depth, u64 chunk_size);
u32 ibtrs_wire_errno(int err);

/**
 * struct ibtrs_con - one reliable connection of a path
 * @id:		its identifier at the connection manager; destroyed last, when nothing of the device
 *		is left
 * @cq:		completions of both queues, polled in the context that its owner asks for
 * @beat:	completion of empty writes: heartbeats and their acknowledges
 * @probe:	completion of what asks whether the peer takes what is sent
 * @sent:	something was, since the last probe; set by the owner
 * @probing:	a probe has not completed yet
 * @silent:	looks since then without any completion of what was sent
 * @cid:	its number in the path
 * @owner:	the path, or what stands for it
 *
 * The owner creates and destroys it in process context; all posting ends before ibtrs_con_drain()
 * begins.
 */
struct ibtrs_con {
	struct rdma_cm_id	*id;
	struct ib_cq		*cq;
	struct ib_cqe		beat;
	struct ib_cqe		probe;
	bool			sent;
	bool			probing;
	int			silent;
	u16			cid;
	void			*owner;
};

struct ibtrs_con_size {
	u32 sends;
	u32 recvs;
	u32 send_sges;
	enum ib_poll_context poll;
};

int ibtrs_con_create_qp(struct ibtrs_con *con, struct ib_pd *pd, int vector,
			struct ibtrs_con_size size);
void ibtrs_con_drain(struct ibtrs_con *con);
void ibtrs_con_destroy_qp(struct ibtrs_con *con);
int ibtrs_post_empty_recv(struct ibtrs_con *con, struct ib_cqe *cqe);
int ibtrs_post_recv(struct ibtrs_con *con, struct ib_cqe *cqe, struct ib_pd *pd, u64 addr,
		    u32 length);
int ibtrs_post_send(struct ibtrs_con *con, struct ib_cqe *cqe, struct ib_pd *pd, u64 addr,
		    u32 length);
int ibtrs_post_empty_write(struct ibtrs_con *con, struct ib_cqe *cqe, u32 imm);
int ibtrs_con_probe(struct ibtrs_con *con, int forgiven);

/* Something is about to be sent. */
static inline void ibtrs_con_sends(struct ibtrs_con *con)
{
	if (!READ_ONCE(con->sent))
		WRITE_ONCE(con->sent, true);
}

/* Something that was sent has completed. */
static inline void ibtrs_con_carries(struct ibtrs_con *con)
{
	if (READ_ONCE(con->silent))
		WRITE_ONCE(con->silent, 0);
}

/**
 * struct ibtrs_heartbeat - how a side of a path knows that its peer lives
 * @work:	looks at the miss counter once in an interval
 * @interval:	between two looks
 * @forgiven:	looks at a silent peer that are forgiven
 * @missed:	looks since the peer was heard; any completion from it resets this
 * @sent:	when the last heartbeat left
 * @latency:	nanoseconds from there to its acknowledge; 0 before the first
 * @post:	sends a heartbeat; an error is as good as a dead peer
 * @probe:	asks each connection whether it carries anything, see ibtrs_con_probe(); at every look
 * @dead:	tells the owner that the peer is dead; called at most once for each start
 *
 * Owned by a path. Between ibtrs_heartbeat_start() and ibtrs_heartbeat_stop() the work may run at
 * any time; stop waits for it, so @post, @probe and @dead must not take locks that are held around
 * stop.
 */
struct ibtrs_heartbeat {
	struct delayed_work	work;
	unsigned long		interval;
	int			forgiven;
	atomic_t		missed;
	ktime_t			sent;
	s64			latency;
	int			(*post)(struct ibtrs_heartbeat *hb);
	int			(*probe)(struct ibtrs_heartbeat *hb);
	void			(*dead)(struct ibtrs_heartbeat *hb);
};

void ibtrs_heartbeat_init(struct ibtrs_heartbeat *hb);
void ibtrs_heartbeat_start(struct ibtrs_heartbeat *hb, u32 interval_ms, int forgiven);
void ibtrs_heartbeat_stop(struct ibtrs_heartbeat *hb);
void ibtrs_heartbeat_acknowledged(struct ibtrs_heartbeat *hb);

static inline void ibtrs_heartbeat_heard(struct ibtrs_heartbeat *hb)
{
	if (atomic_read(&hb->missed))
		atomic_set(&hb->missed, 0);
}

#endif /* IBTRS_CORE_H */
