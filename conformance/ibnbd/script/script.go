// SPDX-License-Identifier: Apache-2.0

package script

import "github.com/ibnbd/ibnbd/reference/ibtrs"

// Script is how a server behaves. Each step is done as the protocol says when its function is nil; a function replaces the step, and can
// call the default. All of them run in the server's event loop.
type Script struct {
	Geometry   ibtrs.Geometry // what there is, and what a conforming accept says; the zero one means DefaultGeometry
	KeyRefresh bool           // each response brings a new key for its chunk

	Connect   func(k *ConnRequest)  // somebody asks for a connection; by default [ConnRequest.Accept]
	Inform    func(p *Path)         // the INFO request of a path has come; by default [Path.Inform]
	Heartbeat func(c *Conn)         // a heartbeat has come; by default [Conn.Acknowledge]
	Serve     func(r *Request)      // a request has come; by default [Request.Answer]
	Adapt     func(r *OpenResponse) // an OPEN is answered; by default left as the disk says
}

// DefaultGeometry is quick to set up, and has room for any request of a small client.
var DefaultGeometry = ibtrs.Geometry{QueueDepth: 16, MaxIOSize: 65536 - 4096, MaxHeaderSize: 4096}
