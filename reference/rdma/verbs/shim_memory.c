// SPDX-License-Identifier: Apache-2.0

//go:build verbs && linux

// Devices, their events, and memory.

#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

// failed is the errno of a call that returned no object; some providers forget to set it.
static int failed(void)
{
	return errno ? errno : ENOMEM;
}

void shim_link_drivers(void)
{
#ifdef RDMA_STATIC_PROVIDERS
	ibv_static_providers(NULL, _RDMA_STATIC_PREFIX(RDMA_STATIC_PROVIDERS), NULL);
#endif
}

// What soft-RoCE says of itself: that its maker has no number.
static const uint32_t soft_roce_vendor = 0xffffff;

static int query(struct ibv_context *context, struct shim_limits *limits)
{
	struct ibv_device_attr attr;
	int err = ibv_query_device(context, &attr);

	if (err)
		return err;
	memset(limits, 0, sizeof(*limits));
	limits->max_region = attr.max_mr_size;
	limits->max_qp_wr = attr.max_qp_wr;
	limits->max_sge = attr.max_sge;
	limits->max_cqe = attr.max_cqe;
	limits->max_initiator_depth = attr.max_qp_init_rd_atom;
	limits->max_responder_resources = attr.max_qp_rd_atom;
	limits->windows = !!(attr.device_cap_flags & IBV_DEVICE_MEM_WINDOW);
	limits->queue_windows =
		!!(attr.device_cap_flags & (IBV_DEVICE_MEM_WINDOW_TYPE_2A | IBV_DEVICE_MEM_WINDOW_TYPE_2B));
	limits->kernel_flags = attr.vendor_id == soft_roce_vendor;
	limits->chained_binds = attr.vendor_id == soft_roce_vendor;
	return 0;
}

int shim_open_device(struct rdma_cm_id *id, struct ibv_context **context, struct shim_limits *limits)
{
	int flags, err;

	if (!id->verbs)
		return ENODEV;
	if (id->verbs->device->transport_type != IBV_TRANSPORT_IB)
		return EPROTONOSUPPORT;
	errno = 0;
	*context = ibv_open_device(id->verbs->device);
	if (!*context)
		return failed();
	flags = fcntl((*context)->async_fd, F_GETFL);
	if (flags < 0 || fcntl((*context)->async_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		err = errno;
	else
		err = query(*context, limits);
	if (err)
		ibv_close_device(*context);
	return err;
}

static uint32_t qp_of(const struct ibv_async_event *event)
{
	switch (event->event_type) {
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
	case IBV_EVENT_COMM_EST:
	case IBV_EVENT_SQ_DRAINED:
	case IBV_EVENT_PATH_MIG:
	case IBV_EVENT_PATH_MIG_ERR:
	case IBV_EVENT_QP_LAST_WQE_REACHED:
		return event->element.qp->qp_num;
	default:
		return 0;
	}
}

int shim_next_async(struct ibv_context *context, int *type, uint32_t *qpn)
{
	struct ibv_async_event event;

	if (ibv_get_async_event(context, &event))
		return errno;
	*type = event.event_type;
	*qpn = qp_of(&event);
	ibv_ack_async_event(&event);
	return 0;
}

int shim_alloc_pd(struct ibv_context *context, struct ibv_pd **pd)
{
	errno = 0;
	*pd = ibv_alloc_pd(context);
	return *pd ? 0 : failed();
}

int shim_register(struct ibv_pd *pd, void *addr, size_t length, int access, struct ibv_mr **mr)
{
	errno = 0;
	*mr = ibv_reg_mr(pd, addr, length, access);
	return *mr ? 0 : failed();
}

int shim_alloc_window(struct ibv_pd *pd, int type, struct ibv_mw **mw)
{
	errno = 0;
	*mw = ibv_alloc_mw(pd, type);
	return *mw ? 0 : failed();
}

int shim_dealloc_window(struct ibv_mw *mw)
{
	return ibv_dealloc_mw(mw);
}
