// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"hash/maphash"
	"slices"
)

// carriedRequests is how many requests of a session are remembered: more than go over one path in the second in which the
// copies on another one come out.
const carriedRequests = 1 << 13

// carried remembers the latest requests of a session that has several paths, and which path has carried each.
type carried struct {
	ring []carriedRequest
	next int
}

type carriedRequest struct {
	digest uint64 // of permit, header and length
	path   *Path
}

var carriedSeed = maphash.MakeSeed()

// add remembers a request. What a session with one path carries need not be remembered.
func (c *carried) add(r *Request) {
	path := r.Path()
	if !r.Parsed || !r.ChunkKnown || len(path.session.paths) < 2 {
		return
	}
	now := carriedRequest{r.digest(), path}
	if len(c.ring) < carriedRequests {
		c.ring = append(c.ring, now)
		return
	}
	c.ring[c.next] = now
	c.next = (c.next + 1) % carriedRequests
}

// byAnother says whether another path has carried the same request: permit, header and length.
func (c *carried) byAnother(r *Request) bool {
	digest, path := r.digest(), r.Path()
	return slices.ContainsFunc(c.ring, func(q carriedRequest) bool { return q.digest == digest && q.path != path })
}

// digest stands for what is the same when a request is sent again over another path.
func (r *Request) digest() uint64 {
	var h maphash.Hash
	h.SetSeed(carriedSeed)
	maphash.WriteComparable(&h, [2]int{int(r.Chunk), r.DataLen})
	_, _ = h.Write(r.Header) // never fails
	return h.Sum64()
}
