/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The order of operations that touch the same blocks, for users of the transport on both sides.
 */
#ifndef IBTRS_ORDER_H
#define IBTRS_ORDER_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>

/* The operations on one disk that have not ended. */
struct ibtrs_order {
	spinlock_t		lock;		/* taken in any context */
	struct rb_root_cached	places;
	u64			sequence;
	u32			writes;		/* in @places */
};

/* Where an operation stands among them. */
struct ibtrs_place {
	struct rb_node		node;
	u64			start, last;	/* bytes of the disk */
	u64			subtree_last;
	u64			sequence;
	u32			blockers;	/* earlier writes that touch its blocks */
	bool			write;
	bool			listed;
	struct list_head	ready;
};

void ibtrs_order_init(struct ibtrs_order *order);
bool ibtrs_order_enter(struct ibtrs_order *order, struct ibtrs_place *place);
void ibtrs_order_leave(struct ibtrs_order *order, struct ibtrs_place *place,
		       struct list_head *ready);

#endif /* IBTRS_ORDER_H */
