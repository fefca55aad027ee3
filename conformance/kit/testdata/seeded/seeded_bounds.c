// SPDX-License-Identifier: GPL-2.0-only
/* Writes behind the end of what it has. */
#include <linux/module.h>
#include <linux/slab.h>

static int __init seeded_init(void)
{
	char *small = kmalloc(24, GFP_KERNEL);

	if (!small)
		return -ENOMEM;
	WRITE_ONCE(small[24], 1);
	kfree(small);
	return 0;
}

static void __exit seeded_exit(void)
{
}

module_init(seeded_init);
module_exit(seeded_exit);
MODULE_DESCRIPTION("A seeded mistake");
MODULE_LICENSE("GPL");
