// SPDX-License-Identifier: Apache-2.0

package wireshark_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// row is what one frame shows: values of display filter fields by name. Numbers are decimal; a field that occurs more
// than once has its values joined by commas.
type row map[string]string

func (r row) number(field string, n uint64) { r.text(field, fmt.Sprint(n)) }

func (r row) text(field, s string) {
	if r[field] != "" {
		s = r[field] + "," + s
	}
	r[field] = s
}

// decoded is a capture as the Go parsers read it. It knows just enough of connections to tell whose a queue pair is, and
// fails the test upon anything that does not fit together.
type decoded struct {
	t          *testing.T
	rows       map[int]row
	requests   map[endpoint]*dialogue // by communication id of the client
	queuePairs map[endpoint]*channel  // by number of the queue pair
	paths      map[ibtrs.UUID]*path
	unclean    []int // frames of commands with padding that is not zero
}

// endpoint is a number that a host gave to something.
type endpoint struct {
	host   netip.Addr
	number uint32
}

// dialogue is one connection.
type dialogue struct {
	protocol  string
	client    endpoint // its queue pair
	path      *path    // of IBTRS
	wanted    uint16   // of SRP: the offset of immediate data that the initiator asked for
	immediate uint16   // of SRP: the one that was granted
}

type path struct {
	g      ibtrs.Geometry
	chunks []ibtrs.Chunk
}

// channel is one direction of a dialogue.
type channel struct {
	*dialogue
	fromClient bool
	reth       roce.RETH
	message    []byte
}

// decode reads a capture.
func decode(t *testing.T, file string) *decoded {
	t.Helper()
	w := &decoded{
		t: t, rows: map[int]row{}, requests: map[endpoint]*dialogue{}, queuePairs: map[endpoint]*channel{},
		paths: map[ibtrs.UUID]*path{},
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reader, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for number := 1; ; number++ {
		frame, _, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return w
		}
		if err != nil {
			t.Fatalf("%s: frame %d: %v", file, number, err)
		}
		var p roce.Packet
		if err := p.Decode(frame); errors.Is(err, roce.ErrNotRoCE) {
			continue
		} else if err != nil {
			t.Fatalf("%s: frame %d: %v", file, number, err)
		}
		w.packet(number, &p)
	}
}

// row returns the row of a frame.
func (w *decoded) row(number int) row {
	if w.rows[number] == nil {
		w.rows[number] = row{}
	}
	return w.rows[number]
}

// must takes the result of a parser, which has to be without error.
func must[M any](w *decoded, number int) func(M, error) M {
	return func(m M, err error) M {
		w.t.Helper()
		if err != nil {
			w.t.Fatalf("frame %d: %v", number, err)
		}
		return m
	}
}

func (w *decoded) packet(number int, p *roce.Packet) {
	if p.IsMAD() {
		if _, m, err := roce.DecodeCM(p.Payload); err == nil {
			w.management(number, p, m)
		}
		return
	}
	c := w.queuePairs[endpoint{p.Dst, p.BTH.DestQP}]
	if c == nil || !p.BTH.OpCode.IsRequest() {
		return
	}
	if p.BTH.OpCode.StartsMessage() {
		c.reth, c.message = p.RETH, nil
	}
	c.message = append(c.message, p.Payload...)
	if p.BTH.OpCode.EndsMessage() || p.BTH.OpCode.Operation() == roce.OperationReadRequest {
		w.message(number, c, p)
	}
}

// Connection management

func (w *decoded) management(number int, p *roce.Packet, m roce.CMMessage) {
	switch m := m.(type) {
	case *roce.CMReq:
		w.request(number, p, m)
	case *roce.CMRep:
		if d := w.requests[endpoint{p.Dst, m.RemoteCommID}]; d != nil {
			w.accept(number, p, m, d)
		}
	case *roce.CMRej:
		if d := w.requests[endpoint{p.Dst, m.RemoteCommID}]; d != nil && m.Reason == roce.RejConsumer {
			w.reject(number, m.PrivateData(), d)
		}
	}
}

func (w *decoded) request(number int, p *roce.Packet, m *roce.CMReq) {
	private := m.PrivateData()
	if _, _, ok := m.ServiceID.IP(); ok {
		private = private[roce.IPCMLen:]
	}
	d := &dialogue{client: endpoint{p.Src, m.LocalQPN}}
	r := row{}
	if request, err := ibtrs.ParseConnRequest(private); err == nil {
		d.protocol, d.path = "ibtrs", w.path(request)
		r.number("ibtrs.conn_request.cid", uint64(request.CID))
		r.number("ibtrs.conn_request.connection_count", uint64(request.ConnectionCount))
		r.number("ibtrs.conn_request.incarnation", uint64(request.Incarnation))
		r.text("ibtrs.conn_request.group_uuid", hex.EncodeToString(request.GroupUUID[:]))
		r.number("ibtrs.conn_request.first_connection", uint64(request.FirstConnection))
	} else if request, err := srp.ParseLoginReqCM(private); err == nil && request.RequiredFormats != 0 {
		d.protocol, d.wanted = "srp", request.ImmediateOffset
		r.number("srp_rdma.login_req_cm.requested_iu_length", uint64(request.RequestedIULength))
		r.number("srp_rdma.login_req_cm.flags", uint64(request.Flags))
		r.text("srp_rdma.login_req_cm.initiator_port", request.InitiatorPort.String())
	} else {
		return
	}
	w.rows[number] = r
	w.requests[endpoint{p.Src, m.LocalCommID}] = d
}

func (w *decoded) path(r ibtrs.ConnRequest) *path {
	if w.paths[r.PathUUID] == nil || r.CID == 0 {
		w.paths[r.PathUUID] = &path{}
	}
	return w.paths[r.PathUUID]
}

func (w *decoded) accept(number int, p *roce.Packet, m *roce.CMRep, d *dialogue) {
	w.queuePairs[endpoint{p.Src, m.LocalQPN}] = &channel{dialogue: d, fromClient: true}
	w.queuePairs[d.client] = &channel{dialogue: d}
	r := w.row(number)
	if d.protocol == "srp" {
		response := must[srp.LoginRsp](w, number)(srp.ParseLoginRsp(m.PrivateData()))
		if response.Flags&srp.LoginImmediate != 0 {
			d.immediate = d.wanted
		}
		r.number("srp_rdma.login_rsp.request_limit_delta", uint64(response.RequestLimitDelta))
		r.number("srp_rdma.login_rsp.flags", uint64(response.Flags))
		return
	}
	response := must[ibtrs.ConnResponse](w, number)(ibtrs.ParseConnResponse(m.PrivateData()))
	d.path.g = must[ibtrs.Geometry](w, number)(response.Geometry())
	r.number("ibtrs.conn_response.queue_depth", uint64(response.QueueDepth))
	r.number("ibtrs.conn_response.max_io_size", uint64(response.MaxIOSize))
	r.number("ibtrs.conn_response.max_header_size", uint64(response.MaxHeaderSize))
	r.number("ibtrs.conn_response.flags", uint64(response.Flags))
}

func (w *decoded) reject(number int, private []byte, d *dialogue) {
	if d.protocol == "srp" {
		m := must[srp.LoginRej](w, number)(srp.ParseLoginRej(private))
		w.row(number).number("srp_rdma.login_rej.reason", uint64(m.Reason))
		return
	}
	m := must[ibtrs.ConnResponse](w, number)(ibtrs.ParseConnResponse(private))
	w.row(number).number("ibtrs.errno", uint64(m.Rejection()))
}

// IBTRS

func (w *decoded) message(number int, c *channel, p *roce.Packet) {
	if c.protocol == "srp" {
		w.unit(number, c, p)
		return
	}
	immediate := ibtrs.Immediate(p.ImmDt.Value)
	switch {
	case p.Has(roce.ExtImmDt) && immediate.Type() == ibtrs.ImmRequest:
		w.ioRequest(number, c, immediate)
	case p.Has(roce.ExtImmDt):
		w.response(number, c, immediate)
	case p.Has(roce.ExtIETH):
		w.row(number).number("ibtrs.invalidated_key", uint64(p.IETH.RKey))
	case p.BTH.OpCode.Operation() == roce.OperationWrite:
		w.readData(number, c)
	case c.fromClient:
		m := must[ibtrs.InfoRequest](w, number)(ibtrs.ParseInfoRequest(c.message))
		w.row(number).text("ibtrs.info_request.session_name", m.SessionName.String())
	default:
		w.infoResponse(number, c)
	}
}

func (w *decoded) infoResponse(number int, c *channel) {
	m := must[ibtrs.InfoResponse](w, number)(ibtrs.ParseInfoResponse(c.message))
	if m.Size() != len(c.message) {
		w.t.Fatalf("frame %d: INFO response of %d bytes, %d are its own", number, len(c.message), m.Size())
	}
	c.path.chunks = must[[]ibtrs.Chunk](w, number)(m.AppendChunks(nil, c.path.g))
	r := w.row(number)
	r.number("ibtrs.info_response.count", uint64(m.Count))
	w.descriptors(r, m.Regions)
}

func (w *decoded) descriptors(r row, list ibtrs.Descriptors) {
	for _, d := range list.All() {
		r.number("ibtrs.descriptor.address", d.Address)
		r.number("ibtrs.descriptor.rkey", uint64(d.RKey))
		r.number("ibtrs.descriptor.length", uint64(d.Length))
	}
}

// ioRequest puts the message to its place in a chunk, as the server's adapter does, and parses the chunk.
func (w *decoded) ioRequest(number int, c *channel, immediate ibtrs.Immediate) {
	k, offset, err := c.path.g.Request(immediate)
	if err != nil {
		w.t.Fatalf("frame %d: %v", number, err)
	}
	at := c.path.chunks[k]
	if c.reth.RKey != at.RKey {
		w.t.Errorf("frame %d: request with key %#x, chunk %d has %#x", number, c.reth.RKey, k, at.RKey)
	}
	chunk := make([]byte, c.path.g.ChunkSize())
	if n := copy(chunk[c.reth.VA-at.Address:], c.message); n != len(c.message) {
		w.t.Fatalf("frame %d: request runs past the end of chunk %d", number, k)
	}
	request := must[ibtrs.ChunkRequest](w, number)(ibtrs.ParseChunk(chunk, offset, 1))

	r := w.row(number)
	r.number("ibtrs.immediate.value", uint64(immediate))
	r.number("ibtrs.chunk", uint64(k))
	r.number("ibtrs.offset", uint64(offset))
	r.number("ibtrs.data_length", uint64(len(request.Data)))
	r.number("ibtrs."+request.Direction.String()+"_message.header_length", uint64(len(request.Header)))
	w.descriptors(r, request.Descriptors)
	w.blockMessage(number, r, request)
}

func (w *decoded) blockMessage(number int, r row, request ibtrs.ChunkRequest) {
	kind := must[uint16](w, number)(ibnbd.MessageType(request.Header))
	switch kind {
	case ibnbd.TypeSessInfo:
		m := must[ibnbd.SessInfo](w, number)(ibnbd.ParseSessInfo(request.Header))
		r.number("ibnbd.sess_info.version", uint64(m.Version))
	case ibnbd.TypeOpen:
		m := must[ibnbd.OpenRequest](w, number)(ibnbd.ParseOpenRequest(request.Header))
		r.text("ibnbd.open.device_path", m.DevicePath.String())
		r.number("ibnbd.open.access_mode", uint64(m.AccessMode))
	case ibnbd.TypeClose:
		m := must[ibnbd.CloseRequest](w, number)(ibnbd.ParseCloseRequest(request.Header))
		r.number("ibnbd.close.device_id", uint64(m.DeviceID))
		r.number("ibnbd.device_id", uint64(m.DeviceID))
	case ibnbd.TypeIO:
		m := must[ibnbd.IORequest](w, number)(ibnbd.ParseIORequest(request.Header))
		if err := m.Check(request.Direction, uint32(len(request.Data)), false); err != nil {
			w.t.Errorf("frame %d: %v", number, err)
		}
		r.number("ibnbd.op", uint64(m.Op()))
		r.number("ibnbd.device_id", uint64(m.DeviceID))
		r.number("ibnbd.sector", m.Sector)
		r.number("ibnbd.size", uint64(m.Size))
		r.number("ibnbd.io.op_flags", uint64(m.OpFlags))
	default:
		w.t.Errorf("frame %d: message type %d", number, kind)
	}
}

func (w *decoded) response(number int, c *channel, immediate ibtrs.Immediate) {
	r := w.row(number)
	id, errno, _, ok := immediate.Response()
	if !ok {
		r.number("ibtrs.immediate.value", uint64(immediate))
		return
	}
	m := must[ibtrs.KeyResponse](w, number)(ibtrs.ParseKeyResponse(c.message))
	if err := m.Check(c.path.g, immediate); err != nil {
		w.t.Errorf("frame %d: %v", number, err)
	}
	c.path.chunks[m.Chunk].RKey = m.RKey
	r.number("ibtrs.response_immediate.value", uint64(immediate))
	r.number("ibtrs.chunk", uint64(id))
	r.number("ibtrs.errno", uint64(errno))
	r.number("ibtrs.key_response.rkey", uint64(m.RKey))
}

func (w *decoded) readData(number int, c *channel) {
	r := w.row(number)
	r.number("ibtrs.data_length", uint64(len(c.message)))
	if m, err := ibnbd.ParseSessInfoResponse(c.message); err == nil && len(c.message) == ibnbd.SessInfoSize {
		r.number("ibnbd.sess_info_rsp.version", uint64(m.Version))
	}
	if m, err := ibnbd.ParseOpenResponse(c.message); err == nil && len(c.message) == ibnbd.OpenResponseSize {
		r.number("ibnbd.open_rsp.device_id", uint64(m.DeviceID))
		r.number("ibnbd.open_rsp.capacity", m.Capacity)
		r.number("ibnbd.open_rsp.logical_block_size", uint64(m.LogicalBlockSize))
		r.number("ibnbd.open_rsp.cache_policy", uint64(m.CachePolicy))
	}
}

// SRP

func (w *decoded) unit(number int, c *channel, p *roce.Packet) {
	r := w.row(number)
	if p.BTH.OpCode.Operation() != roce.OperationSend {
		r.number("srp_rdma.rdma_length", uint64(c.reth.DMALen))
		return
	}
	kind := must[uint8](w, number)(srp.IUType(c.message))
	switch kind {
	case srp.TypeCmd:
		w.command(number, r, c)
	case srp.TypeRsp:
		w.scsiResponse(number, r, c.message)
	case srp.TypeTskMgmt:
		m := must[srp.TskMgmt](w, number)(srp.ParseTskMgmt(c.message))
		r.number("srp_rdma.tsk_mgmt.function", uint64(m.Function))
		r.text("srp_rdma.tsk_mgmt.tag", m.Tag.String())
	default:
		w.t.Errorf("frame %d: unit type %#x", number, kind)
	}
}

func (w *decoded) command(number int, r row, c *channel) {
	m := must[srp.Cmd](w, number)(srp.ParseCmd(c.message))
	r.text("srp_rdma.cmd.tag", m.Tag.String())
	r.number("srp_rdma.cmd.formats", uint64(m.Formats))
	r.number("srp_rdma.opcode", uint64(m.CDB[0]))
	out := must[srp.Buffer](w, number)(m.DataOut(c.immediate))
	in := must[srp.Buffer](w, number)(m.DataIn())
	if out.Format != srp.NoData {
		r.number("srp_rdma.data_out_length", uint64(out.Length))
	}
	if in.Format != srp.NoData {
		r.number("srp_rdma.data_in_length", uint64(in.Length))
	}
	for _, b := range []srp.Buffer{out, in} {
		w.memory(r, b)
	}
	if !isZero(out.Padding) {
		w.unclean = append(w.unclean, number)
	}
	if group := m.CDB[0] >> 5; group == 1 && (m.CDB[0] == 0x28 || m.CDB[0] == 0x2a) {
		f := layout.Field{Offset: 2, Size: 4, Encoding: layout.Big}
		r.number("srp_rdma.lba", f.Uint(m.CDB[:]))
		f = layout.Field{Offset: 7, Size: 2, Encoding: layout.Big}
		r.number("srp_rdma.blocks", f.Uint(m.CDB[:]))
	}
}

func (w *decoded) memory(r row, b srp.Buffer) {
	list := b.List
	if b.Format == srp.Direct {
		list = srp.MemoryDescriptors{}.Append(b.Memory)
	}
	for _, d := range list.All() {
		r.number("srp_rdma.memory_descriptor.address", d.Address)
		r.number("srp_rdma.memory_descriptor.rkey", uint64(d.RKey))
		r.number("srp_rdma.memory_descriptor.length", uint64(d.Length))
	}
}

func (w *decoded) scsiResponse(number int, r row, b []byte) {
	m := must[srp.Rsp](w, number)(srp.ParseRsp(b))
	r.text("srp_rdma.rsp.tag", m.Tag.String())
	r.number("srp_rdma.rsp.status", uint64(m.Status))
	r.number("srp_rdma.rsp.flags", uint64(m.Flags))
	r.number("srp_rdma.rsp.data_in_residual", uint64(m.DataInResidual))
	if code, ok := m.ResponseCode(); ok {
		r.number("srp_rdma.response_code", uint64(code))
	}
	if sense := m.Sense(); len(sense) >= 14 {
		r.number("srp_rdma.sense_key", uint64(sense[2]&0x0f))
		r.number("srp_rdma.asc", uint64(sense[12])<<8|uint64(sense[13]))
	}
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// isText tells which fields hold no number.
func isText(field string) bool {
	for _, end := range []string{"tag", "uuid", "_port", "_path", "_name"} {
		if strings.HasSuffix(field, end) {
			return true
		}
	}
	return false
}
