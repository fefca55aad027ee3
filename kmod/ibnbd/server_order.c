// SPDX-License-Identifier: GPL-2.0
/*
 * The order of operations that touch the same blocks.
 *
 * A write, or whatever else changes blocks, waits for earlier writes that touch one of its blocks,
 * whatever path or session they came on, and so does a read. What has been begun for a path that is
 * lost therefore ends before what its client sends again, or sends later, over another one: nothing
 * is overtaken by its ghost (Clause IBNBD-FAIL-020).
 */
#include <linux/interval_tree_generic.h>

#include "server.h"

#define START(place)	((place)->start)
#define LAST(place)	((place)->last)

INTERVAL_TREE_DEFINE(struct place, node, u64, subtree_last, START, LAST, static, places);

/* Needs target->lock. */
static u32 count_writes(struct target *target, const struct place *place)
{
	struct place *other;
	u32 count = 0;

	lockdep_assert_held(&target->lock);
	for (other = places_iter_first(&target->order, place->start, place->last); other;
	     other = places_iter_next(other, place->start, place->last))
		if (other->write)
			count++;
	return count;
}

/**
 * order_enter - put an operation into the order of its target
 * @target:	target
 * @place:	@start, @last and @write are set; @listed is not
 *
 * Return: whether it may begin. If not, order_leave() of an earlier one gives it back.
 */
bool order_enter(struct target *target, struct place *place)
{
	unsigned long flags;
	bool may_begin;

	/* A read that meets no write has nothing to wait for, and nobody waits for it. */
	if (!place->write && !READ_ONCE(target->writes))
		return true;
	spin_lock_irqsave(&target->lock, flags);
	place->blockers = count_writes(target, place);
	may_begin = !place->blockers;
	if (place->write || !may_begin) {
		place->sequence = target->sequence++;
		place->listed = true;
		places_insert(place, &target->order);
	}
	if (place->write)
		WRITE_ONCE(target->writes, target->writes + 1);
	spin_unlock_irqrestore(&target->lock, flags);
	return may_begin;
}

/* Takes a place out. Needs target->lock. */
static void remove(struct target *target, struct place *place)
{
	lockdep_assert_held(&target->lock);
	places_remove(place, &target->order);
	place->listed = false;
	if (place->write)
		WRITE_ONCE(target->writes, target->writes - 1);
}

/**
 * order_leave - take an operation that has ended out of the order
 * @target:	target
 * @place:	of the operation; it need not be in the order
 * @ready:	gets those that may begin now
 */
void order_leave(struct target *target, struct place *place, struct list_head *ready)
{
	struct place *other, *next;
	unsigned long flags;

	if (!place->listed)
		return;
	spin_lock_irqsave(&target->lock, flags);
	remove(target, place);
	for (other = place->write ? places_iter_first(&target->order, place->start, place->last) :
				    NULL;
	     other; other = next) {
		next = places_iter_next(other, place->start, place->last);
		if (other->sequence < place->sequence || --other->blockers)
			continue;
		list_add_tail(&other->ready, ready);
		/* Nobody waits for a read. */
		if (!other->write)
			remove(target, other);
	}
	spin_unlock_irqrestore(&target->lock, flags);
}
