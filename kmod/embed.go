// SPDX-License-Identifier: Apache-2.0

// Package kmod is the source of the kernel modules, for whoever builds them: package image, for guests of a lab. The modules stand
// alone; nothing of them is linked into a program. Their licence is GPL-2.0, see LICENSE in this directory.
package kmod

import "embed"

// Sources are the files that kbuild compiles. Build products in the directory, which a build in place leaves there, are not among
// them, but for the *.mod.c of kbuild, which it writes anew.
//
//go:embed Kbuild */Kbuild */*.c */*.h
var Sources embed.FS
