// SPDX-License-Identifier: Apache-2.0

package wireshark_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// The notes beside the captures say what the machines did. These tests look for it in what the dissector shows.

// answered is a request and what its response says.
type answered struct {
	request, result row
}

// pair dissects a capture and puts requests and their responses together, by what the dissector says about it.
func pair(t *testing.T, capture, requestIn string, fields ...string) []answered {
	t.Helper()
	rows := dissect(t, capture, append(fields, requestIn))
	var all []answered
	for number := range 1 << 16 {
		r := rows[number]
		if r == nil || r[requestIn] == "" || r["ibtrs.errno"]+r["srp_rdma.rsp.status"] == "" {
			continue
		}
		request, err := strconv.Atoi(r[requestIn])
		if err != nil {
			t.Fatalf("frame %d answers frame %q", number, r[requestIn])
		}
		all = append(all, answered{rows[request], r})
	}
	return all
}

func (r row) uint(field string) uint64 {
	n, err := strconv.ParseUint(r[field], 10, 64)
	if err != nil {
		return 1<<64 - 1
	}
	return n
}

func rnbdTraffic(t *testing.T) []answered {
	t.Helper()
	fields := []string{
		"ibnbd.op", "ibnbd.sector", "ibnbd.size", "ibnbd.open.device_path", "ibnbd.open.access_mode",
		"ibnbd.close.device_id", "ibtrs.errno",
	}
	return append(
		pair(t, captures+"rnbd-mainline-rail0.pcap", "ibtrs.request_in", fields...),
		pair(t, captures+"rnbd-mainline-rail1.pcap", "ibtrs.request_in", fields...)...,
	)
}

func TestNotesOfRNBDRequests(t *testing.T) {
	bytes := map[ibnbd.Op]uint64{} // of successful requests from byte 131072 to 262143
	seen := map[[3]uint64]bool{}   // operation, sector, size of successful requests
	for _, a := range rnbdTraffic(t) {
		op, sector, size := a.request.uint("ibnbd.op"), a.request.uint("ibnbd.sector"), a.request.uint("ibnbd.size")
		if a.request["ibnbd.op"] == "" || a.result.uint("ibtrs.errno") != 0 {
			continue
		}
		seen[[3]uint64{op, sector, size}] = true
		if sector >= 256 && sector < 512 {
			bytes[ibnbd.Op(op)] += size
		}
	}
	for _, want := range [][3]uint64{
		{uint64(ibnbd.OpWrite), 0, 4096},
		{uint64(ibnbd.OpRead), 0, 4096},
		{uint64(ibnbd.OpDiscard), 1048576 / 512, 65536},
	} {
		if !seen[want] {
			t.Errorf("operation %v at sector %d of %d bytes is missing", ibnbd.Op(want[0]), want[1], want[2])
		}
	}
	if bytes[ibnbd.OpWrite] != 131072 || bytes[ibnbd.OpRead] < 131072 {
		t.Errorf("128 KiB from byte 131072 on: %d written, %d read", bytes[ibnbd.OpWrite], bytes[ibnbd.OpRead])
	}
}

func TestNotesOfRNBDOpens(t *testing.T) {
	type open struct {
		path   string
		access string
		errno  string
	}
	var opens []open
	closes := 0
	for _, a := range rnbdTraffic(t) {
		if path := a.request["ibnbd.open.device_path"]; path != "" {
			opens = append(opens, open{path, a.request["ibnbd.open.access_mode"], a.result["ibtrs.errno"]})
		}
		if a.request["ibnbd.close.device_id"] != "" {
			closes++
		}
	}
	want := []open{
		{"dev/ram0", "1", "0"}, {"dev/nosuch", "1", "2"}, {"dev/ram1", "0", "0"}, {"../dev/ram1", "1", "22"},
		{"dev/ram0", "1", "1"}, {"dev/ram0", "2", "0"},
	}
	if diff := cmp.Diff(want, opens, cmp.AllowUnexported(open{})); diff != "" {
		t.Error("devices opened (-want +got):\n" + diff)
	}
	if closes != 3 {
		t.Errorf("%d devices closed, want 3", closes)
	}
}

func TestNotesOfSRP(t *testing.T) {
	immediate, residuals := map[uint64]int{}, map[uint64]bool{}
	var beyondTheEnd, reset bool
	for _, a := range pair(t, captures+"srp-login-io-logout.pcap", "srp_rdma.request_in",
		"srp_rdma.cmd.formats", "srp_rdma.data_out_length", "srp_rdma.rsp.status", "srp_rdma.rsp.data_in_residual",
		"srp_rdma.sense_key", "srp_rdma.asc", "srp_rdma.tsk_mgmt.function", "srp_rdma.response_code") {
		if a.request.uint("srp_rdma.cmd.formats") == 0x30 {
			immediate[a.request.uint("srp_rdma.data_out_length")]++
		}
		residuals[a.result.uint("srp_rdma.rsp.data_in_residual")] = true
		beyondTheEnd = beyondTheEnd || a.result["srp_rdma.rsp.status"] == "2" && a.result["srp_rdma.sense_key"] == "5" && a.result.uint("srp_rdma.asc") == 0x2100
		reset = reset || a.request.uint("srp_rdma.tsk_mgmt.function") == uint64(srp.LogicalUnitReset) && a.result["srp_rdma.response_code"] == "0"
	}
	if immediate[4096] != 4 || immediate[8192] != 2 {
		t.Errorf("immediate writes by size: %v, want 4 of 4096 and 2 of 8192 bytes", immediate)
	}
	if !residuals[159] || !residuals[4064] {
		t.Errorf("residuals %v, want 159 and 4064 among them", residuals)
	}
	if !beyondTheEnd || !reset {
		t.Errorf("CHECK CONDITION 5/21/00 found: %v; LU reset answered: %v", beyondTheEnd, reset)
	}
}

func TestNotesOfSRPLogins(t *testing.T) {
	fields := []string{"srp_rdma.login_req_cm.flags", "srp_rdma.login_rsp.flags", "srp_rdma.login_rej.reason"}
	rows := dissect(t, captures+"srp-two-channels-indirect.pcap", fields)
	var story []string
	for number := range 1 << 16 {
		for _, f := range fields {
			if v := rows[number][f]; v != "" {
				story = append(story, f[len("srp_rdma."):]+" "+v)
			}
		}
	}
	want := []string{
		"login_req_cm.flags 128", // nobody listens yet, the reject has no login reject in it
		"login_req_cm.flags 128", "login_rej.reason 65537",
		"login_req_cm.flags 128", "login_rsp.flags 128",
		"login_req_cm.flags 129", "login_rsp.flags 130",
	}
	if diff := cmp.Diff(want, story); diff != "" {
		t.Error("logins (-want +got):\n" + diff)
	}
}

// Mainline sends old memory between the descriptor of immediate data and the data.
func TestPaddingOfImmediateData(t *testing.T) {
	file := captures + "srp-login-io-logout.pcap"
	want := decode(t, file).unclean
	if len(want) == 0 {
		t.Fatal("the Go parsers find no padding that is not zero")
	}
	var got []int
	for line := range strings.Lines(tshark(t, file, "-Y", "srp_rdma.reserved_set", "-T", "fields", "-e", "frame.number")) {
		number, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, number)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("frames with a remark (-Go parsers +dissector):\n" + diff)
	}
}
