// SPDX-License-Identifier: GPL-2.0-only
/* Forgets memory. */
#include <linux/module.h>
#include <linux/slab.h>

/* Not in the init section, whose names are gone when kmemleak looks. */
static noinline void forget(void)
{
	int i;

	/* More than one: a stale register may still hold the last. */
	for (i = 0; i < 8; i++)
		WRITE_ONCE(*(void **)kzalloc(64, GFP_KERNEL | __GFP_NOFAIL), NULL);
}

static int __init seeded_init(void)
{
	forget();
	return 0;
}

static void __exit seeded_exit(void)
{
}

module_init(seeded_init);
module_exit(seeded_exit);
MODULE_DESCRIPTION("A seeded mistake");
MODULE_LICENSE("GPL");
