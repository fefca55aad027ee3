// SPDX-License-Identifier: Apache-2.0

package srp

import "math/bits"

// pageSize is the unit in which data memory is given out, in bytes; backends want buffers to begin with one.
const pageSize = 4096

// pages gives out runs of pages of a memory. Its owner locks it.
type pages struct {
	used []uint64 // a bit for each page
	n    int
}

func newPages(bytes int) *pages {
	n := bytes / pageSize
	return &pages{used: make([]uint64, (n+63)/64), n: n}
}

// take returns the offset of a run that holds so many bytes; ok is false if there is none free.
func (p *pages) take(bytes int) (offset int, ok bool) {
	want := (bytes + pageSize - 1) / pageSize
	run := 0
	for i := 0; i < p.n; {
		word := p.used[i/64] >> (i % 64)
		if word&1 != 0 {
			run = 0
			i += bits.TrailingZeros64(^word)
			continue
		}
		run++
		i++
		if run == want {
			p.mark(i-want, want, true)
			return (i - want) * pageSize, true
		}
	}
	return 0, false
}

// give returns a run that take gave.
func (p *pages) give(offset, bytes int) {
	p.mark(offset/pageSize, (bytes+pageSize-1)/pageSize, false)
}

func (p *pages) mark(first, n int, used bool) {
	for i := first; i < first+n; i++ {
		if used {
			p.used[i/64] |= 1 << (i % 64)
		} else {
			p.used[i/64] &^= 1 << (i % 64)
		}
	}
}
