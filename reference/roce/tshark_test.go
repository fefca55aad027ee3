// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// several are the values of a field that tshark shows more than once.
type several []any

// needTshark skips a test where tshark is not installed.
func needTshark(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed: no second opinion on the captures")
	}
}

func tshark(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tshark", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.Bytes())
	}
	return string(out)
}

// headerFields are the prefixes of tshark's fields for headers of this package.
var headerFields = []string{
	"infiniband.bth", "infiniband.deth", "infiniband.reth", "infiniband.atomiceth", "infiniband.atomicacketh",
	"infiniband.aeth", "infiniband.immdt", "infiniband.ieth", "infiniband.mad", "infiniband.cm", "infiniband.invariant",
}

// Nothing that tshark knows of our headers is left out of the comparison.
func TestTsharkFieldsAreAllCompared(t *testing.T) {
	needTshark(t)
	compared := map[string]bool{}
	for _, a := range agreements {
		compared[a.field] = true
	}
	for line := range strings.Lines(tshark(t, "-G", "fields")) {
		columns := strings.Split(line, "\t")
		if len(columns) < 3 || columns[0] != "F" {
			continue
		}
		name := columns[2]
		for _, prefix := range headerFields {
			if (name == prefix || strings.HasPrefix(name, prefix+".")) && !compared[name] && notCompared[name] == "" {
				t.Errorf("%s is not compared", name)
			}
		}
	}
}

func TestTsharkAgreesOnCaptures(t *testing.T) {
	needTshark(t)
	for _, c := range captures(t) {
		t.Run(c.name, func(t *testing.T) { compareWithTshark(t, c.path, c.frames) })
	}
}

// The captures lack NAKs and most values of most fields: random packets of every
// opcode and every CM message have them.
func TestTsharkAgreesOnRandomPackets(t *testing.T) {
	needTshark(t)
	const seed1, seed2 = 4791, 2
	frames := randomFrames(t, rand.New(rand.NewPCG(seed1, seed2)))
	path := filepath.Join(t.TempDir(), "random.pcap")
	writePcap(t, path, frames)
	compareWithTshark(t, path, frames)
}

func writePcap(t *testing.T, path string, frames [][]byte) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := pcapgo.NewWriter(file)
	if err := w.WriteFileHeader(1<<16, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i, frame := range frames {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(frame), Length: len(frame)}
		if err := w.WritePacket(info, frame); err != nil {
			t.Fatal(err)
		}
	}
}

// compareWithTshark holds every field of every RoCEv2 packet of a capture
// against tshark, which reads the file once.
func compareWithTshark(t *testing.T, path string, frames [][]byte) {
	t.Helper()
	args := []string{"-r", path, "-T", "fields", "-E", "separator=/t", "-e", "_ws.malformed"}
	for _, a := range agreements {
		args = append(args, "-e", a.field)
	}
	lines := strings.Split(strings.TrimSuffix(tshark(t, args...), "\n"), "\n")
	if len(lines) != len(frames) {
		t.Fatalf("tshark has %d frames, want %d", len(lines), len(frames))
	}
	compared := 0
	for i, line := range lines {
		s := look(frames[i])
		if s == nil {
			continue
		}
		columns := strings.Split(line, "\t")
		if len(columns) != 1+len(agreements) {
			t.Fatalf("frame %d: tshark has %d columns, want %d", i+1, len(columns), 1+len(agreements))
		}
		malformed := columns[0]
		if malformed != "" {
			checkMalformed(t, i+1, malformed, s)
		}
		for j, a := range agreements {
			if malformed != "" && a.field == "infiniband.invariant.crc" {
				continue // tshark gives up before it
			}
			compare(t, i+1, a, s, columns[1+j])
		}
		compared++
	}
	if compared == 0 {
		t.Fatal("no RoCEv2 packet was compared")
	}
	t.Logf("%d packets agree in %d fields", compared, len(agreements))
}

// look decodes a frame whole; nil if it is not RoCEv2.
func look(frame []byte) *sight {
	s := &sight{}
	if s.Decode(frame) != nil {
		return nil
	}
	if !s.IsMAD() {
		return s
	}
	mad, msg, _ := roce.DecodeCM(s.Payload)
	s.mad, s.msg = &mad, msg
	if req, ok := msg.(*roce.CMReq); ok {
		s.ip, s.application, _ = req.IPCM()
	}
	return s
}

// checkMalformed examines a packet that tshark calls malformed. We are right
// that it is not: it has the lengths its opcode demands and its ICRC is good.
// What is wrong is tshark's guess that a payload, which happens to have plausible
// numbers in the right places, is RPC over RDMA; as that it is cut short.
func checkMalformed(t *testing.T, number int, malformed string, s *sight) {
	t.Helper()
	if !strings.Contains(malformed, "RPCoRDMA") {
		t.Errorf("frame %d: tshark says %q, not about a guessed upper protocol", number, malformed)
	}
	if got := s.CheckICRC(); got != roce.ICRCGood {
		t.Errorf("frame %d: tshark says %q, and its ICRC is %v", number, malformed, got)
	}
	if err := s.BTH.OpCode.CheckPayload(len(s.Payload), 4096); err != nil {
		t.Errorf("frame %d: tshark says %q, and %v", number, malformed, err)
	}
}

// compare holds one field of one packet against tshark's, which may be ours or,
// for a known difference, the one explained in the table.
func compare(t *testing.T, number int, a agreement, s *sight, theirs string) {
	t.Helper()
	if oneSided(s.BTH.OpCode) && !strings.HasPrefix(a.field, "infiniband.bth.") {
		return
	}
	ours := a.ours(s)
	if same(ours, theirs) || a.theirs != nil && same(a.theirs(s), theirs) {
		return
	}
	t.Errorf("frame %d, %v: %s is %q to tshark and %v to us", number, s.BTH.OpCode, a.field, theirs, ours)
}

// same reports whether a value of ours is what tshark shows. tshark shows some
// fields twice, separated by a comma.
func same(ours any, theirs string) bool {
	if ours == nil {
		return theirs == ""
	}
	parts := strings.Split(theirs, ",")
	want, ok := ours.(several)
	if !ok {
		want = several{}
		for range parts {
			want = append(want, ours)
		}
	}
	if len(parts) != len(want) {
		return false
	}
	for i, part := range parts {
		if !sameOne(want[i], part) {
			return false
		}
	}
	return true
}

func sameOne(ours any, theirs string) bool {
	switch v := ours.(type) {
	case []byte:
		return hex.EncodeToString(v) == strings.ReplaceAll(theirs, ":", "")
	case netip.Addr:
		a, err := netip.ParseAddr(theirs)
		return err == nil && a == v
	case bool:
		return fmt.Sprint(v) == strings.ToLower(theirs) || sameOne(boolNumber(v), theirs)
	}
	n, err := strconv.ParseUint(theirs, 0, 64)
	return err == nil && n == reflect.ValueOf(ours).Uint()
}

func boolNumber(v bool) uint8 {
	if v {
		return 1
	}
	return 0
}

// oneSided reports whether only one of the two knows what follows the BTH of a
// packet, so that there is nothing to compare. tshark 4.0 shows no more than the
// BTH of XRC, FLUSH, ATOMIC WRITE, CNP and unassigned opcodes; we show no more of
// reliable datagrams, which no RoCEv2 device has.
func oneSided(op roce.OpCode) bool {
	switch op.Class() {
	case roce.ClassRC, roce.ClassUC, roce.ClassUD:
		return !op.Known() || op == roce.RCFlush || op == roce.RCAtomicWrite
	}
	return true
}

// randomFrames builds packets of every opcode and every CM message with random
// bits in all fields, and one packet for each syndrome.
func randomFrames(t *testing.T, r *rand.Rand) [][]byte {
	t.Helper()
	var frames [][]byte
	for i := range 256 {
		op := roce.OpCode(i)
		for range 4 {
			frames = append(frames, randomFrame(t, r, op))
		}
		frames = append(frames, sample(t, func(p *roce.Packet) {
			p.BTH.OpCode, p.Payload = roce.RCAcknowledge, nil
			p.AETH.Syndrome = roce.Syndrome(i)
		}))
	}
	for a := roce.AttrREQ; a <= roce.AttrAPR; a++ {
		for range 8 {
			frames = append(frames, randomCM(t, r, a))
		}
	}
	return frames
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// randomFrame makes all of the UDP payload but opcode, queue pair and ICRC
// random, with a payload as long as the opcode allows at a path MTU of 256.
func randomFrame(t *testing.T, r *rand.Rand, op roce.OpCode) []byte {
	t.Helper()
	length := 0
	for n := range 257 {
		if op.CheckPayload(n, 256) == nil && r.IntN(3) < 2 {
			length = n
		}
	}
	if err := op.CheckPayload(length, 256); err != nil {
		length = 256 // the rule is an exact length and the dice missed it
		if op.Payload() == roce.PayloadEight {
			length = 8
		}
	}
	frame := sample(t, func(p *roce.Packet) { p.BTH.OpCode, p.Payload = op, make([]byte, length) })
	end := len(frame) - roce.ICRCLen
	copy(frame[sampleBTH+1:end], randomBytes(r, end-sampleBTH-1))
	var p roce.Packet
	pad := byte(-length & 3)
	frame[sampleBTH+1] = frame[sampleBTH+1]&0xC0 | pad<<4 // transport version 0
	if err := p.Decode(frame); err != nil {
		t.Fatal(err)
	}
	if err := p.Reseal(); err != nil {
		t.Fatal(err)
	}
	return frame
}

// randomCM makes a CM message with random data behind the MAD header.
func randomCM(t *testing.T, r *rand.Rand, a roce.AttributeID) []byte {
	t.Helper()
	m := roce.NewCMHeader(a, r.Uint64())
	data := randomBytes(r, roce.MADDataLen)
	if a == roce.AttrREQ && r.IntN(2) == 0 {
		copy(data[8:], []byte{0, 0, 0, 0, 1}) // RDMA IP CM service
		data[141] = byte(4+2*r.IntN(2))<<4 | data[141]&0x0F
	}
	if a == roce.AttrREQ && r.IntN(2) == 0 {
		gid := roce.GIDOf(netip.AddrFrom4([4]byte(randomBytes(r, 4))))
		copy(data[56:], gid[:])
		copy(data[72:], gid[:])
	}
	datagram := make([]byte, roce.MADHeaderLen, roce.MADLen)
	m.Put(datagram)
	datagram = append(datagram, data...)
	return sample(t, func(p *roce.Packet) {
		p.BTH.OpCode, p.BTH.DestQP = roce.UDSendOnly, roce.GSIQPN
		p.DETH.QKey, p.DETH.SrcQP, p.Payload = roce.GSIQKey, roce.GSIQPN, datagram
	})
}
