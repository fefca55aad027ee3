// SPDX-License-Identifier: GPL-2.0
/* The module, and the arithmetic of the protocol. */
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/module.h>

#include "core.h"

MODULE_DESCRIPTION("InfiniBand Transport: parts of client and server");
MODULE_LICENSE("GPL");

/**
 * ibtrs_geometry_fits - whether immediate data can name every place in every chunk
 * @queue_depth:	number of chunks
 * @chunk_size:		of each, in bytes
 */
bool ibtrs_geometry_fits(u32 queue_depth, u64 chunk_size)
{
	if (!queue_depth || queue_depth > U16_MAX || chunk_size > U32_MAX ||
	    !is_power_of_2(chunk_size))
		return false;
	return ibtrs_bits(queue_depth - 1) + ibtrs_bits(chunk_size - 1) <= IBTRS_IMM_PAYLOAD_BITS;
}
EXPORT_SYMBOL_GPL(ibtrs_geometry_fits);

/**
 * ibtrs_wire_errno - the number that tells an error to the peer
 * @err:	0, or a negative errno
 *
 * There are 9 bits for it: what does not fit would arrive as another error.
 */
u32 ibtrs_wire_errno(int err)
{
	if (err == -ENOTSUPP)
		return EOPNOTSUPP;
	return -err > IBTRS_IMM_MAX_ERRNO ? EIO : -err;
}
EXPORT_SYMBOL_GPL(ibtrs_wire_errno);
