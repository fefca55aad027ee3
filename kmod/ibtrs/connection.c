// SPDX-License-Identifier: GPL-2.0
/*
 * One connection: its queue pair and completion queue, and the work requests that both sides post.
 */
#include <linux/export.h>

#include "core.h"

static void beat_done(struct ib_cq *cq, struct ib_wc *wc)
{
	/*
	 * A heartbeat that did not get through is missed by its acknowledge, and the connection's
	 * error shows in its receives.
	 */
}

static void probe_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct ibtrs_con *con = container_of(wc->wr_cqe, struct ibtrs_con, probe);

	/* An error shows in the receives of the connection. */
	ibtrs_con_carries(con);
	WRITE_ONCE(con->probing, false);
}

/**
 * ibtrs_con_create_qp - create the completion queue and the queue pair
 * @con:	connection, whose identifier is bound to a device
 * @pd:		of the path
 * @vector:	completion vector, reduced to those that the device has
 * @size:	how many work requests must fit; one more is added for the drain
 */
int ibtrs_con_create_qp(struct ibtrs_con *con, struct ib_pd *pd, int vector,
			struct ibtrs_con_size size)
{
	struct ib_device *dev = con->id->device;
	struct ib_qp_init_attr attr = {
		.qp_type = IB_QPT_RC,
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.cap = {
			.max_send_wr = size.sends + 1,
			.max_recv_wr = size.recvs + 1,
			.max_send_sge = size.send_sges,
			.max_recv_sge = 1,
		},
	};
	int err;

	con->beat.done = beat_done;
	con->probe.done = probe_done;
	con->cq = ib_alloc_cq(dev, con, size.sends + size.recvs + 2, vector % dev->num_comp_vectors,
			      size.poll);
	if (IS_ERR(con->cq)) {
		err = PTR_ERR(con->cq);
		con->cq = NULL;
		return err;
	}
	attr.send_cq = con->cq;
	attr.recv_cq = con->cq;
	err = rdma_create_qp(con->id, pd, &attr);
	if (err) {
		ib_free_cq(con->cq);
		con->cq = NULL;
	}
	return err;
}
EXPORT_SYMBOL_GPL(ibtrs_con_create_qp);

/**
 * ibtrs_con_drain - end all work of a connection
 * @con:	connection; may have no queue pair yet
 *
 * Afterwards no completion of it is, or will be, handled.
 */
void ibtrs_con_drain(struct ibtrs_con *con)
{
	if (con->id && con->id->qp)
		ib_drain_qp(con->id->qp);
}
EXPORT_SYMBOL_GPL(ibtrs_con_drain);

void ibtrs_con_destroy_qp(struct ibtrs_con *con)
{
	if (con->id && con->id->qp)
		rdma_destroy_qp(con->id);
	if (con->cq)
		ib_free_cq(con->cq);
	con->cq = NULL;
}
EXPORT_SYMBOL_GPL(ibtrs_con_destroy_qp);

static int post_recv(struct ibtrs_con *con, struct ib_cqe *cqe, struct ib_sge *sge)
{
	struct ib_recv_wr wr = { .wr_cqe = cqe, .sg_list = sge, .num_sge = sge ? 1 : 0 };

	return ib_post_recv(con->id->qp, &wr, NULL);
}

/* A receive that takes immediate data and nothing else. */
int ibtrs_post_empty_recv(struct ibtrs_con *con, struct ib_cqe *cqe)
{
	return post_recv(con, cqe, NULL);
}
EXPORT_SYMBOL_GPL(ibtrs_post_empty_recv);

int ibtrs_post_recv(struct ibtrs_con *con, struct ib_cqe *cqe, struct ib_pd *pd, u64 addr,
		    u32 length)
{
	struct ib_sge sge = { .addr = addr, .length = length, .lkey = pd->local_dma_lkey };

	return post_recv(con, cqe, &sge);
}
EXPORT_SYMBOL_GPL(ibtrs_post_recv);

int ibtrs_post_send(struct ibtrs_con *con, struct ib_cqe *cqe, struct ib_pd *pd, u64 addr,
		    u32 length)
{
	struct ib_sge sge = { .addr = addr, .length = length, .lkey = pd->local_dma_lkey };
	struct ib_send_wr wr = {
		.wr_cqe = cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};

	return ib_post_send(con->id->qp, &wr, NULL);
}
EXPORT_SYMBOL_GPL(ibtrs_post_send);

/* A write of nothing, for the sake of its immediate data. */
int ibtrs_post_empty_write(struct ibtrs_con *con, struct ib_cqe *cqe, u32 imm)
{
	struct ib_rdma_wr wr = {
		.wr = {
			.wr_cqe = cqe,
			.opcode = IB_WR_RDMA_WRITE_WITH_IMM,
			.send_flags = IB_SEND_SIGNALED,
			.ex.imm_data = cpu_to_be32(imm),
		},
	};

	return ib_post_send(con->id->qp, &wr.wr, NULL);
}
EXPORT_SYMBOL_GPL(ibtrs_post_empty_write);

/**
 * ibtrs_con_probe - ask whether the peer takes what is sent on a connection
 * @con:	connection
 * @forgiven:	looks without an answer that are forgiven
 *
 * Called once in a heartbeat interval. Heartbeats tell that a peer has died, but they go over
 * connection 0; another one that carries nothing any more shows in nothing, for soft-RoCE repeats
 * for ever where it was asked to do so seven times. So if something was sent, a write of nothing is
 * sent behind it, which completes when the peer's adapter has taken all before it.
 *
 * Return: an error if the connection must be taken for lost.
 */
int ibtrs_con_probe(struct ibtrs_con *con, int forgiven)
{
	struct ib_rdma_wr wr = {
		.wr = {
			.wr_cqe = &con->probe,
			.opcode = IB_WR_RDMA_WRITE,
			.send_flags = IB_SEND_SIGNALED,
		},
	};

	if (READ_ONCE(con->probing)) {
		WRITE_ONCE(con->silent, READ_ONCE(con->silent) + 1);
		return READ_ONCE(con->silent) > forgiven ? -ETIMEDOUT : 0;
	}
	if (!READ_ONCE(con->sent))
		return 0;
	WRITE_ONCE(con->sent, false);
	WRITE_ONCE(con->silent, 0);
	WRITE_ONCE(con->probing, true);
	return ib_post_send(con->id->qp, &wr.wr, NULL);
}
EXPORT_SYMBOL_GPL(ibtrs_con_probe);
