// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// baseHeader is a BTH as a header: its decoder wants to know how long the datagram was.
type baseHeader struct{ *roce.BTH }

func (b baseHeader) Len() int { return roce.BTHLen }

func (b baseHeader) Decode(data []byte) error { return b.BTH.Decode(data, len(data)) }

// field is one row of a layout: the name of a struct field and its place, as
//
//	"5-7"          bytes 5 to 7
//	"43.7:3"       bits 7 to 3 of byte 43
//	"0-3.31:12"    bits 31 to 12 of the number in bytes 0 to 3
//	"15,19,23"     bytes 15, 19 and 23, most significant first
type field struct{ name, place string }

// layouts says for every header where each field lies. Together the rows of a
// header cover each of its bits once.
var layouts = []struct {
	make   func() roce.Header
	size   int // header bytes
	after  int // bytes that must follow for the decoder
	fields []field
}{
	{func() roce.Header { return baseHeader{&roce.BTH{}} }, 12, 64, []field{
		{"OpCode", "0"}, {"Solicited", "1.7"}, {"MigReq", "1.6"}, {"PadCnt", "1.5:4"}, {"TVer", "1.3:0"},
		{"PKey", "2-3"}, {"FECN", "4.7"}, {"BECN", "4.6"}, {"Reserved6", "4.5:0"}, {"DestQP", "5-7"},
		{"AckReq", "8.7"}, {"Reserved7", "8.6:0"}, {"PSN", "9-11"},
	}},
	{func() roce.Header { return &roce.XRCETH{} }, 4, 0, []field{{"Reserved", "0"}, {"SRQ", "1-3"}}},
	{func() roce.Header { return &roce.DETH{} }, 8, 0, []field{{"QKey", "0-3"}, {"Reserved", "4"}, {"SrcQP", "5-7"}}},
	{func() roce.Header { return &roce.FETH{} }, 4, 0, []field{
		{"Reserved", "0-3.31:6"}, {"Selectivity", "3.5:4"}, {"Placement", "3.3:0"},
	}},
	{func() roce.Header { return &roce.RETH{} }, 16, 0, []field{{"VA", "0-7"}, {"RKey", "8-11"}, {"DMALen", "12-15"}}},
	{func() roce.Header { return &roce.AtomicETH{} }, 28, 0, []field{
		{"VA", "0-7"}, {"RKey", "8-11"}, {"SwapAdd", "12-19"}, {"Compare", "20-27"},
	}},
	{func() roce.Header { return &roce.AETH{} }, 4, 0, []field{{"Syndrome", "0"}, {"MSN", "1-3"}}},
	{func() roce.Header { return &roce.AtomicAckETH{} }, 8, 0, []field{{"Original", "0-7"}}},
	{func() roce.Header { return &roce.ImmDt{} }, 4, 0, []field{{"Value", "0-3"}}},
	{func() roce.Header { return &roce.IETH{} }, 4, 0, []field{{"RKey", "0-3"}}},
	{func() roce.Header { return &roce.CNPReserved{} }, 16, 0, []field{{"Reserved", "0-15"}}},
	{func() roce.Header { return &roce.MAD{} }, 24, 232, []field{
		{"BaseVersion", "0"}, {"MgmtClass", "1"}, {"ClassVersion", "2"}, {"Method", "3"}, {"Status", "4-5"},
		{"ClassSpecific", "6-7"}, {"TransactionID", "8-15"}, {"AttributeID", "16-17"}, {"Reserved", "18-19"},
		{"AttributeModifier", "20-23"},
	}},
	{func() roce.Header { return &roce.CMReq{} }, 140, 92, append(append([]field{
		{"LocalCommID", "0-3"}, {"Reserved4", "4"}, {"VendorID", "5-7"}, {"ServiceID", "8-15"},
		{"LocalCAGUID", "16-23"}, {"Reserved24", "24-27"}, {"LocalQKey", "28-31"}, {"LocalQPN", "32-34"},
		{"ResponderResources", "35"}, {"LocalEECN", "36-38"}, {"InitiatorDepth", "39"}, {"RemoteEECN", "40-42"},
		{"RemoteCMTimeout", "43.7:3"}, {"TransportType", "43.2:1"}, {"FlowControl", "43.0"}, {"StartingPSN", "44-46"},
		{"LocalCMTimeout", "47.7:3"}, {"RetryCount", "47.2:0"}, {"PKey", "48-49"}, {"PathMTU", "50.7:4"},
		{"RDCExists", "50.3"}, {"RNRRetryCount", "50.2:0"}, {"MaxCMRetries", "51.7:4"}, {"SRQ", "51.3"},
		{"ExtendedTransport", "51.2:0"},
	}, pathFields("Primary", 52)...), pathFields("Alternate", 96)...)},
	{func() roce.Header { return &roce.CMMra{} }, 10, 222, []field{
		{"LocalCommID", "0-3"}, {"RemoteCommID", "4-7"}, {"MessageMRAed", "8.7:6"}, {"Reserved6", "8.5:0"},
		{"ServiceTimeout", "9.7:3"}, {"Reserved3", "9.2:0"},
	}},
	{func() roce.Header { return &roce.CMRej{} }, 84, 148, []field{
		{"LocalCommID", "0-3"}, {"RemoteCommID", "4-7"}, {"MessageRejected", "8.7:6"}, {"Reserved6", "8.5:0"},
		{"InfoLength", "9.7:1"}, {"Reserved1", "9.0"}, {"Reason", "10-11"}, {"Info", "12-83"},
	}},
	{func() roce.Header { return &roce.CMRep{} }, 36, 196, []field{
		{"LocalCommID", "0-3"}, {"RemoteCommID", "4-7"}, {"LocalQKey", "8-11"}, {"LocalQPN", "12-14"},
		{"VendorID", "15,19,23"}, {"LocalEECN", "16-18"}, {"StartingPSN", "20-22"}, {"ResponderResources", "24"},
		{"InitiatorDepth", "25"}, {"TargetACKDelay", "26.7:3"}, {"FailoverAccepted", "26.2:1"}, {"FlowControl", "26.0"},
		{"RNRRetryCount", "27.7:5"}, {"SRQ", "27.4"}, {"Reserved", "27.3:0"}, {"LocalCAGUID", "28-35"},
	}},
	{func() roce.Header { return &roce.CMRtu{} }, 8, 224, []field{{"LocalCommID", "0-3"}, {"RemoteCommID", "4-7"}}},
	{func() roce.Header { return &roce.CMDreq{} }, 12, 220, []field{
		{"LocalCommID", "0-3"}, {"RemoteCommID", "4-7"}, {"RemoteQPN", "8-10"}, {"Reserved", "11"},
	}},
	{func() roce.Header { return &roce.CMDrep{} }, 8, 224, []field{{"LocalCommID", "0-3"}, {"RemoteCommID", "4-7"}}},
	{func() roce.Header { return &roce.IPCM{} }, 36, 56, []field{
		{"MajorVersion", "0.7:4"}, {"MinorVersion", "0.3:0"}, {"IPVersion", "1.7:4"}, {"Reserved", "1.3:0"},
		{"SrcPort", "2-3"}, {"Src", "4-19"}, {"Dst", "20-35"},
	}},
}

// pathFields is the layout of a path in a REQ that begins at a byte.
func pathFields(path string, at int) []field {
	b := func(from, to int) string { return fmt.Sprintf("%d-%d", at+from, at+to) }
	return []field{
		{path + ".LocalLID", b(0, 1)}, {path + ".RemoteLID", b(2, 3)},
		{path + ".LocalGID", b(4, 19)}, {path + ".RemoteGID", b(20, 35)},
		{path + ".FlowLabel", b(36, 39) + ".31:12"}, {path + ".Reserved6", b(36, 39) + ".11:6"},
		{path + ".PacketRate", b(36, 39) + ".5:0"}, {path + ".TrafficClass", fmt.Sprint(at + 40)},
		{path + ".HopLimit", fmt.Sprint(at + 41)}, {path + ".SL", fmt.Sprintf("%d.7:4", at+42)},
		{path + ".SubnetLocal", fmt.Sprintf("%d.3", at+42)}, {path + ".Reserved3", fmt.Sprintf("%d.2:0", at+42)},
		{path + ".ACKTimeout", fmt.Sprintf("%d.7:3", at+43)}, {path + ".Reserved3b", fmt.Sprintf("%d.2:0", at+43)},
	}
}

// bitsOf gives the numbers of the bits of a place, most significant first; bit 0
// is the highest of byte 0.
func bitsOf(place string) (all []int) {
	for _, part := range strings.Split(place, ",") {
		bytes, bits, partial := strings.Cut(part, ".")
		from, to := cutRange(bytes, "-")
		high, low := (to-from+1)*8-1, 0
		if partial {
			high, low = cutRange(bits, ":")
		}
		last := to*8 + 7
		for b := high; b >= low; b-- {
			all = append(all, last-b)
		}
	}
	return all
}

func cutRange(s, sep string) (a, b int) {
	left, right, two := strings.Cut(s, sep)
	if !two {
		right = left
	}
	return atoi(left), atoi(right)
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// Every bit of every header is read into the one field that owns it, and
// written from there.
func TestLayouts(t *testing.T) {
	for _, l := range layouts {
		name := structOf(l.make()).Type().Name()
		t.Run(name, func(t *testing.T) {
			owner := map[int]string{}
			for _, f := range l.fields {
				places := bitsOf(f.place)
				for i, bit := range places {
					if other, taken := owner[bit]; taken {
						t.Fatalf("bit %d belongs to %s and to %s", bit, other, f.name)
					}
					owner[bit] = f.name
					checkBit(t, l.make(), l.size, l.after, bit, f.name, i, len(places))
				}
			}
			if len(owner) != l.size*8 {
				t.Errorf("the rows cover %d bits, want %d", len(owner), l.size*8)
			}
		})
	}
}

// checkBit decodes a header with a single bit set, which is number i of the n
// bits of a field, and serializes it again.
func checkBit(t *testing.T, header roce.Header, size, after, bit int, name string, i, n int) {
	t.Helper()
	data := make([]byte, size+after)
	data[bit/8] = 0x80 >> (bit % 8)
	if err := header.Decode(data); err != nil {
		t.Fatalf("bit %d: %v", bit, err)
	}
	for path, v := range leaves(structOf(header), "") {
		if path == name {
			if !onlyBit(v, i, n) {
				t.Errorf("bit %d: %s is %v, want only bit %d of %d from the top", bit, name, v, i, n)
			}
		} else if !v.IsZero() {
			t.Errorf("bit %d of %s: %s is %v, want 0", bit, name, path, v)
		}
	}
	got := make([]byte, size)
	header.Put(got)
	if !bytes.Equal(got, data[:size]) {
		t.Errorf("bit %d of %s: written as %x, want %x", bit, name, got, data[:size])
	}
}

// structOf gives the struct of package roce that a header is.
func structOf(header roce.Header) reflect.Value {
	if base, ok := header.(baseHeader); ok {
		return reflect.ValueOf(base.BTH).Elem()
	}
	return reflect.ValueOf(header).Elem()
}

// leaves gives the wire fields of a header by path.
func leaves(v reflect.Value, prefix string) map[string]reflect.Value {
	all := map[string]reflect.Value{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || f.Anonymous || notOnHeader[f.Name] {
			continue
		}
		if f.Type.Kind() == reflect.Struct {
			for path, leaf := range leaves(v.Field(i), prefix+f.Name+".") {
				all[path] = leaf
			}
			continue
		}
		all[prefix+f.Name] = v.Field(i)
	}
	return all
}

// notOnHeader are the fields of BTH that are no part of its 12 bytes.
var notOnHeader = map[string]bool{"Pad": true, "ICRC": true, "NoICRC": true, "ICRCXor": true, "Payload": true}

// onlyBit reports whether of the n bits of a value only bit i is set, counted
// from the most significant.
func onlyBit(v reflect.Value, i, n int) bool {
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool() && n == 1
	case reflect.Array:
		want := make([]byte, n/8)
		want[i/8] = 0x80 >> (i % 8)
		got := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(got), v)
		return bytes.Equal(got, want)
	}
	return v.Uint() == 1<<(n-1-i)
}
