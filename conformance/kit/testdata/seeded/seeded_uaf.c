// SPDX-License-Identifier: GPL-2.0-only
/* Reads what was freed. */
#include <linux/module.h>
#include <linux/slab.h>

static int __init seeded_init(void)
{
	int *freed = kmalloc(64, GFP_KERNEL);

	if (!freed)
		return -ENOMEM;
	kfree(freed);
	pr_info("%d\n", READ_ONCE(freed[1]));
	return 0;
}

static void __exit seeded_exit(void)
{
}

module_init(seeded_init);
module_exit(seeded_exit);
MODULE_DESCRIPTION("A seeded mistake");
MODULE_LICENSE("GPL");
