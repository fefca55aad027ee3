// SPDX-License-Identifier: Apache-2.0

// Package kmod is the source of the kernel modules, for whoever builds them: package image, for guests of a lab. The modules stand
// alone; nothing of them is linked into a program. Their licence is GPL-2.0, see LICENSE in this directory.
package kmod

import (
	"embed"
	"io/fs"
)

// Sources are the files that kbuild compiles for IBTRS and IBNBD. Build products in the directory, which a build in place leaves there,
// are not among them, but for the *.mod.c of kbuild, which it writes anew.
//
//go:embed Kbuild include/*.h ibtrs/Kbuild ibtrs/*.c ibtrs/*.h ibnbd/Kbuild ibnbd/*.c ibnbd/*.h
var Sources embed.FS

//go:embed srp/Kbuild srp/*.c srp/*.h
var srp embed.FS

// SRP are the files that kbuild compiles for SRP. The module has the name of mainline's, and takes its place in a guest.
var SRP = func() fs.FS {
	dir, err := fs.Sub(srp, "srp")
	if err != nil {
		panic(err) // the name is no path
	}
	return dir
}()
