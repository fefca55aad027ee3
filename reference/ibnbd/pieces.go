// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"sync"
	"sync/atomic"
)

// piecesAtOnce is how many pieces of one long read or write are in flight at a time.
const piecesAtOnce = 8

// inPieces cuts a range into pieces of at most limit bytes and calls f for each, several at a time. It gives the number
// of bytes in front of the first piece that failed, and its error.
func inPieces(offset, length, limit int64, f func(offset, length int64) error) (done int64, err error) {
	limit = max(limit, 1)
	if length <= limit {
		if length == 0 {
			return 0, nil
		}
		if err := f(offset, length); err != nil {
			return 0, err
		}
		return length, nil
	}
	return manyPieces(offset, length, limit, f)
}

func manyPieces(offset, length, limit int64, f func(offset, length int64) error) (done int64, err error) {
	var next atomic.Int64
	var mu sync.Mutex // guards done and err
	var all sync.WaitGroup
	done = length
	for range min(piecesAtOnce, (length+limit-1)/limit) {
		all.Go(func() {
			for {
				at := next.Add(limit) - limit
				if at >= length {
					return
				}
				if e := f(offset+at, min(limit, length-at)); e != nil {
					next.Store(length) // what has not begun is left out
					mu.Lock()
					if at < done {
						done, err = at, e
					}
					mu.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
	return done, err
}
