// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/backend"
)

// watched is a disk that notes whether it is changed outside of a range of bytes.
type watched struct {
	backend.Backend
	first, end int64
	outside    atomic.Bool
}

func (w *watched) changed(offset, length int64) {
	if offset < w.first || offset+length > w.end {
		w.outside.Store(true)
	}
}

func (w *watched) WriteAt(p []byte, offset int64, fua bool) error {
	w.changed(offset, int64(len(p)))
	return w.Backend.WriteAt(p, offset, fua)
}

func (w *watched) Discard(offset, length int64) error {
	w.changed(offset, length)
	return w.Backend.Discard(offset, length)
}

func (w *watched) WriteZeroes(offset, length int64, keep bool) error {
	w.changed(offset, length)
	return w.Backend.WriteZeroes(offset, length, keep)
}
