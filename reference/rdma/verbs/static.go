// SPDX-License-Identifier: Apache-2.0

//go:build verbs && verbs_static && cgo && linux

package verbs

// A static program has no drivers to load: the one for soft-RoCE is linked in, and named to the library by shim_link_drivers.

// #cgo CFLAGS: -DRDMA_STATIC_PROVIDERS=rxe
// #cgo LDFLAGS: -static -lrdmacm -libverbs -lrxe-rdmav34 -libverbs -lnl-route-3 -lnl-3 -lpthread
// #include <infiniband/verbs.h>
import "C"
