// SPDX-License-Identifier: GPL-2.0
/*
 * The order of operations that touch the same blocks.
 *
 * A write, or whatever else changes blocks, waits for earlier writes that touch one of its blocks,
 * and so does a read that is entered.
 *
 * A server enters what comes, on whatever path or session. What it has begun for a path that is
 * lost therefore ends before what its client sends again, or sends later, over another one: nothing
 * is overtaken by its ghost (Clause IBNBD-FAIL-020).
 *
 * A client enters its writes. So a newer one does not leave before it is known how the older one
 * has ended, which may come late, or be sent again when its path is lost (Clause IBNBD-FAIL-029).
 */
#include <linux/export.h>
#include <linux/interval_tree_generic.h>

#include "../include/ibtrs_order.h"

#define START(place)	((place)->start)
#define LAST(place)	((place)->last)

INTERVAL_TREE_DEFINE(struct ibtrs_place, node, u64, subtree_last, START, LAST, static, places);

void ibtrs_order_init(struct ibtrs_order *order)
{
	spin_lock_init(&order->lock);
	order->places = RB_ROOT_CACHED;
	order->sequence = 0;
	order->writes = 0;
}
EXPORT_SYMBOL_GPL(ibtrs_order_init);

/* Needs order->lock. */
static u32 count_writes(struct ibtrs_order *order, const struct ibtrs_place *place)
{
	struct ibtrs_place *other;
	u32 count = 0;

	lockdep_assert_held(&order->lock);
	for (other = places_iter_first(&order->places, place->start, place->last); other;
	     other = places_iter_next(other, place->start, place->last))
		if (other->write)
			count++;
	return count;
}

/**
 * ibtrs_order_enter - put an operation into the order of its disk
 * @order:	of its disk
 * @place:	@start, @last and @write are set; @listed is not
 *
 * Return: whether it may begin. If not, ibtrs_order_leave() of an earlier one gives it back.
 */
bool ibtrs_order_enter(struct ibtrs_order *order, struct ibtrs_place *place)
{
	unsigned long flags;
	bool may_begin;

	/* A read that meets no write has nothing to wait for, and nobody waits for it. */
	if (!place->write && !READ_ONCE(order->writes))
		return true;
	spin_lock_irqsave(&order->lock, flags);
	place->blockers = count_writes(order, place);
	may_begin = !place->blockers;
	if (place->write || !may_begin) {
		place->sequence = order->sequence++;
		place->listed = true;
		places_insert(place, &order->places);
	}
	if (place->write)
		WRITE_ONCE(order->writes, order->writes + 1);
	spin_unlock_irqrestore(&order->lock, flags);
	return may_begin;
}
EXPORT_SYMBOL_GPL(ibtrs_order_enter);

/* Takes a place out. Needs order->lock. */
static void remove(struct ibtrs_order *order, struct ibtrs_place *place)
{
	lockdep_assert_held(&order->lock);
	places_remove(place, &order->places);
	place->listed = false;
	if (place->write)
		WRITE_ONCE(order->writes, order->writes - 1);
}

/**
 * ibtrs_order_leave - take an operation that has ended out of the order
 * @order:	of its disk
 * @place:	of the operation; it need not be in the order
 * @ready:	gets those that may begin now
 */
void ibtrs_order_leave(struct ibtrs_order *order, struct ibtrs_place *place, struct list_head *ready)
{
	struct ibtrs_place *other, *next;
	unsigned long flags;

	if (!place->listed)
		return;
	spin_lock_irqsave(&order->lock, flags);
	remove(order, place);
	for (other = place->write ? places_iter_first(&order->places, place->start, place->last) :
				    NULL;
	     other; other = next) {
		next = places_iter_next(other, place->start, place->last);
		if (other->sequence < place->sequence || --other->blockers)
			continue;
		list_add_tail(&other->ready, ready);
		/* Nobody waits for a read. */
		if (!other->write)
			remove(order, other);
	}
	spin_unlock_irqrestore(&order->lock, flags);
}
EXPORT_SYMBOL_GPL(ibtrs_order_leave);
