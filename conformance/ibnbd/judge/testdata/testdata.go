// SPDX-License-Identifier: Apache-2.0

// Package testdata has the recordings from the lab, for those outside of the tests who judge them or alter them.
package testdata

import "embed"

// Files are the recordings: pcapng, gzip-compressed, a file a rail.
//
//go:embed *.pcapng.gz
var Files embed.FS
