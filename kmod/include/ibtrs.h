/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What users of the transport's client and of its server have in common.
 */
#ifndef IBTRS_H
#define IBTRS_H

enum ibtrs_direction {
	IBTRS_READ,
	IBTRS_WRITE,
};

#define IBTRS_MAX_USER_HEADER 264	/* of an OPEN, the longest there is */

#endif /* IBTRS_H */
