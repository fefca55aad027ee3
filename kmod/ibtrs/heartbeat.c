// SPDX-License-Identifier: GPL-2.0
/* The heartbeat of a path. Both sides run it, each for itself. */
#include <linux/export.h>

#include "core.h"

static void look(struct work_struct *work)
{
	struct ibtrs_heartbeat *hb =
		container_of(to_delayed_work(work), struct ibtrs_heartbeat, work);
	int missed = atomic_read(&hb->missed);

	if (missed > hb->forgiven || hb->probe(hb)) {
		hb->dead(hb);
		return;
	}
	if (missed > 0) {
		atomic_inc(&hb->missed);
	} else {
		atomic_set(&hb->missed, 1);
		hb->sent = ktime_get();
		if (hb->post(hb)) {
			hb->dead(hb);
			return;
		}
	}
	queue_delayed_work(system_highpri_wq, &hb->work, hb->interval);
}

void ibtrs_heartbeat_init(struct ibtrs_heartbeat *hb)
{
	INIT_DELAYED_WORK(&hb->work, look);
}
EXPORT_SYMBOL_GPL(ibtrs_heartbeat_init);

void ibtrs_heartbeat_start(struct ibtrs_heartbeat *hb, u32 interval_ms, int forgiven)
{
	hb->interval = msecs_to_jiffies(interval_ms);
	hb->forgiven = forgiven;
	atomic_set(&hb->missed, 0);
	queue_delayed_work(system_highpri_wq, &hb->work, hb->interval);
}
EXPORT_SYMBOL_GPL(ibtrs_heartbeat_start);

void ibtrs_heartbeat_stop(struct ibtrs_heartbeat *hb)
{
	cancel_delayed_work_sync(&hb->work);
}
EXPORT_SYMBOL_GPL(ibtrs_heartbeat_stop);

void ibtrs_heartbeat_acknowledged(struct ibtrs_heartbeat *hb)
{
	WRITE_ONCE(hb->latency, ktime_to_ns(ktime_sub(ktime_get(), hb->sent)));
}
EXPORT_SYMBOL_GPL(ibtrs_heartbeat_acknowledged);
