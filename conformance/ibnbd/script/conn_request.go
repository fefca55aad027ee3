// SPDX-License-Identifier: Apache-2.0

package script

import (
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// ConnRequest is a connection request that the script has not answered yet.
type ConnRequest struct {
	Request  ibtrs.ConnRequest
	Response ibtrs.ConnResponse // what Accept answers; may be changed
	Path     *Path              // that the connection belongs to

	request rdma.Request
}

// connRequest finds the path that a connection is asked for and has the script answer.
func (v *Server) connRequest(d rdma.Device, r rdma.Request) {
	v.ConnRequests++
	request, err := ibtrs.ParseConnRequest(r.PrivateData())
	if err != nil {
		_ = r.Reject(marshal(ibtrs.Reject(ibtrs.ECONNRESET)))
		return
	}
	k := &ConnRequest{Request: request, Response: ibtrs.Accept(v.Script.Geometry, v.flags()), request: r}
	k.Path = v.pathOf(d, request)
	if v.Script.Connect != nil {
		v.Script.Connect(k)
		return
	}
	k.Accept()
}

func (v *Server) flags() uint32 {
	if v.Script.KeyRefresh {
		return ibtrs.KeyRefresh
	}
	return 0
}

// pathOf finds the build that a request belongs to, or begins it.
func (v *Server) pathOf(d rdma.Device, r ibtrs.ConnRequest) *Path {
	for _, p := range v.Paths {
		if p.Request.PathUUID == r.PathUUID && p.Request.Incarnation == r.Incarnation && !p.HungUp && !p.Broken() {
			return p
		}
	}
	p := &Path{Request: r, Conns: make(map[uint16]*Conn), server: v, device: d, geometry: v.Script.Geometry, refresh: v.Script.KeyRefresh}
	v.Paths = append(v.Paths, p)
	return p
}

// Accept makes the connection, with Response as private data.
func (k *ConnRequest) Accept() { k.AcceptWith(marshal(k.Response)) }

// AcceptWith makes the connection with any private data.
func (k *ConnRequest) AcceptWith(data []byte) {
	v := k.Path.server
	c, err := k.Path.admit(k.request, k.Request.CID, data)
	switch {
	case errors.Is(err, rdma.ErrDisconnected): // the client does not want it any more
	case err != nil:
		v.fail(fmt.Errorf("accept connection %d: %w", k.Request.CID, err))
	default:
		v.running.Go(c.poll)
	}
}

// Reject refuses the connection with any private data.
func (k *ConnRequest) Reject(data []byte) {
	if err := k.request.Reject(data); err != nil && !errors.Is(err, rdma.ErrDisconnected) {
		k.Path.server.fail(fmt.Errorf("reject connection %d: %w", k.Request.CID, err))
	}
}

// RejectErrno refuses the connection with an errno field of the response, which a conforming server negates.
func (k *ConnRequest) RejectErrno(field int16) {
	k.Reject(marshal(ibtrs.ConnResponse{Magic: ibtrs.Magic, Version: ibtrs.Version, Errno: field}))
}

// Ignore leaves the client without an answer, until the server is closed.
func (k *ConnRequest) Ignore() { k.Path.server.held = append(k.Path.server.held, k.request) }

// marshal gives the bytes of a message of this project's packages, none of which can fail to encode.
func marshal(m interface {
	AppendBinary([]byte) ([]byte, error)
}) []byte {
	b, _ := m.AppendBinary(nil)
	return b
}
