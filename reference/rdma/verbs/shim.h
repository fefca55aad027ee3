// SPDX-License-Identifier: Apache-2.0

// The C side of package verbs: what Go cannot call, or should not. Static inline functions and macros become functions,
// unions become flat structures, chains are linked here, and errno leaves with the call that set it: every function that
// returns int returns 0 or an errno, unless it says otherwise. No function blocks waiting for an event, none calls back.

#ifndef VERBS_SHIM_H
#define VERBS_SHIM_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdint.h>

// An IP address and port, in host order.
struct shim_addr {
	uint8_t ip[16]; // an IPv4 address is in the first four
	uint32_t scope; // interface index of an IPv6 link-local address
	uint16_t port;
	uint8_t is6;
};

// One event of connection management, without anything that has to be given back.
struct shim_cm_event {
	uint64_t tag;          // of the id that it is for; of a connect request: of the listener
	struct rdma_cm_id *id; // of a connect request: the new id, which is the receiver's to destroy
	int32_t type;          // enum rdma_cm_event_type
	int32_t status;        // negative errno, or the reason of a reject
	uint8_t responder_resources;
	uint8_t initiator_depth;
	uint8_t private_length;
	uint8_t private_data[255];
};

// What the two sides of a connection tell each other.
struct shim_conn_param {
	uint32_t qpn;
	uint8_t responder_resources;
	uint8_t initiator_depth;
	uint8_t retry_count;
	uint8_t rnr_retry_count;
	uint8_t private_length;
	uint8_t private_data[255];
};

// Attributes of a queue pair that do not come from connection management as it proposes them.
struct shim_qp_attr {
	uint8_t max_rd_atomic;
	uint8_t max_dest_rd_atomic;
	uint8_t min_rnr_timer;
	uint8_t timeout; // 0: as connection management proposes
};

// One send work request. Its buffers are the next nsge of the chain's.
struct shim_send {
	uint64_t wr_id;
	uint64_t remote_addr;
	uint64_t bind_addr;
	uint64_t bind_length;
	struct ibv_mw *mw;
	struct ibv_mr *mr;
	uint32_t opcode;      // enum ibv_wr_opcode
	uint32_t flags;       // enum ibv_send_flags
	uint32_t key;         // of the peer, or the one to take back, or the one that a bind gives
	uint32_t imm;         // in host order
	uint32_t bind_access; // enum ibv_access_flags
	uint32_t nsge;
};

// One receive. Its buffers are the next nsge of the chain's.
struct shim_recv {
	uint64_t wr_id;
	uint32_t nsge;
};

// One completion.
struct shim_wc {
	uint64_t wr_id;
	uint32_t status; // enum ibv_wc_status
	uint32_t opcode; // enum ibv_wc_opcode; valid only where status is success, as are the rest but vendor_err
	uint32_t vendor_err;
	uint32_t length;
	uint32_t flags; // enum ibv_wc_flags
	uint32_t imm;   // in host order
	uint32_t invalidated;
};

// The sizes of a queue pair.
struct shim_sizes {
	uint32_t sends, recvs;
	uint32_t send_sges, recv_sges;
	uint32_t batch; // completions polled at once
	uint32_t kernel_flags, chained_binds; // see struct shim_limits
};

// A queue pair with its completion queue, and the arrays through which work and completions pass. The caller fills
// sends and send_sges, or recvs and recv_sges, from the start and then posts.
struct shim_qp {
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct shim_send *sends;
	struct ibv_sge *send_sges;
	struct ibv_send_wr *send_wrs;
	struct shim_recv *recvs;
	struct ibv_sge *recv_sges;
	struct ibv_recv_wr *recv_wrs;
	struct shim_wc *done;
	struct ibv_wc *wcs;
	uint32_t batch;
	uint32_t kernel_flags, chained_binds; // see struct shim_limits
};

// What a device can do.
struct shim_limits {
	uint64_t max_region;
	uint32_t max_qp_wr, max_sge, max_cqe;
	uint32_t max_initiator_depth, max_responder_resources;
	uint32_t windows;       // memory windows of type 1
	uint32_t queue_windows; // memory windows of type 2
	uint32_t kernel_flags;  // of completions: soft-RoCE, up to Linux 6.12 at least; see restore_inv
	uint32_t chained_binds; // windows of type 1 can be bound by work requests: soft-RoCE; see is_direct
};

// Connection management.

int shim_open_channel(struct rdma_event_channel **channel);
// EAGAIN means that there is no event.
int shim_next_event(struct rdma_event_channel *channel, struct shim_cm_event *event);
int shim_create_id(struct rdma_event_channel *channel, uint64_t tag, struct rdma_cm_id **id);
void shim_set_tag(struct rdma_cm_id *id, uint64_t tag);
int shim_destroy_id(struct rdma_cm_id *id);
int shim_bind(struct rdma_cm_id *id, const struct shim_addr *local);
int shim_resolve_addr(struct rdma_cm_id *id, const struct shim_addr *local, const struct shim_addr *peer, int timeout_ms);
int shim_resolve_route(struct rdma_cm_id *id, int timeout_ms);
int shim_set_ack_timeout(struct rdma_cm_id *id, uint8_t timeout);
int shim_listen(struct rdma_cm_id *id, int backlog);
int shim_connect(struct rdma_cm_id *id, const struct shim_conn_param *param);
int shim_accept(struct rdma_cm_id *id, const struct shim_conn_param *param);
int shim_establish(struct rdma_cm_id *id);
int shim_confirm(struct rdma_cm_id *id);
int shim_reject(struct rdma_cm_id *id, const struct shim_conn_param *param);
int shim_disconnect(struct rdma_cm_id *id);
void shim_local_addr(struct rdma_cm_id *id, struct shim_addr *addr);
void shim_peer_addr(struct rdma_cm_id *id, struct shim_addr *addr);

// Devices and memory.

// Names the drivers that are linked in to the library. To be called once, before anything else.
void shim_link_drivers(void);
int shim_open_device(struct rdma_cm_id *id, struct ibv_context **context, struct shim_limits *limits);
// EAGAIN means that there is no event. qpn is 0 where the event is not about a queue pair.
int shim_next_async(struct ibv_context *context, int *type, uint32_t *qpn);
int shim_alloc_pd(struct ibv_context *context, struct ibv_pd **pd);
int shim_register(struct ibv_pd *pd, void *addr, size_t length, int access, struct ibv_mr **mr);
int shim_alloc_window(struct ibv_pd *pd, int type, struct ibv_mw **mw);
int shim_dealloc_window(struct ibv_mw *mw);

// Queue pairs.

int shim_create_qp(struct ibv_pd *pd, const struct shim_sizes *sizes, struct shim_qp **out);
int shim_destroy_qp(struct shim_qp *q);
int shim_to_init(struct shim_qp *q, struct rdma_cm_id *id, const struct shim_qp_attr *attr);
int shim_to_ready(struct shim_qp *q, struct rdma_cm_id *id, const struct shim_qp_attr *attr);
int shim_to_error(struct shim_qp *q);
// Posts the first n entries as one chain; posted tells how many were taken when it fails.
int shim_post_send(struct shim_qp *q, uint32_t n, uint32_t *posted);
int shim_post_recv(struct shim_qp *q, uint32_t n, uint32_t *posted);
// Posts an empty request behind all others, for which there is always room once, to a queue pair that flushes.
int shim_post_marker(struct shim_qp *q, uint64_t wr_id);
// Moves up to most completions to q->done and returns how many, or a negative errno. If there are none and arm is set,
// the completion queue is armed and looked at once more.
int shim_poll(struct shim_qp *q, uint32_t most, int arm);
// Takes one notice of the completion queue. EAGAIN means that there is none.
int shim_take_notice(struct shim_qp *q);

#endif
